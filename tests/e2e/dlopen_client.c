// dlopen_client OBJECT LIBRARY: loads the library over and over and holds what programs see of ld.so's system calls against what it must
// have made: in a process, a thread, children of fork, with errors, with errors that a program injects, and beside threads that do the
// same. One line for each difference; the exit status is 0 when there is none.
#include <bpf/libbpf.h>
#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "dlopen_counts.h"

#define ROUNDS 20
#define THREADS 4

static struct facts* facts;
static const char* library;
static int differences;

#define SAME(what, seen, truth)                                                                \
  do {                                                                                         \
    const unsigned long long seen_ = (unsigned long long)(seen), truth_ = (unsigned long long)(truth); \
    if (seen_ != truth_) {                                                                     \
      printf("%s: %s is %llu, not %llu\n", what, #seen, seen_, truth_);                        \
      __atomic_add_fetch(&differences, 1, __ATOMIC_SEQ_CST);                                   \
    }                                                                                          \
  } while (0)

static int count_segments(struct dl_phdr_info* info, size_t size, void* out) {
  (void)size;
  if (strcmp(info->dlpi_name, library) != 0) return 0;
  for (int i = 0; i < info->dlpi_phnum; ++i)
    if (info->dlpi_phdr[i].p_type == PT_LOAD && info->dlpi_phdr[i].p_filesz > 0) ++*(unsigned long long*)out;
  return 1;
}

static int answer_of(void* handle) {
  int (*answer)(void);
  *(void**)&answer = dlsym(handle, "dlopen_lib_answer");
  return answer == NULL ? -1 : answer();
}

static void load_and_unload(const char* what) {
  facts->process = (unsigned)getpid();
  for (int i = 0; i < ROUNDS; ++i) {
    memset(&facts->seen, 0, sizeof facts->seen);
    facts->seen.fd = -2;
    void* handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    if (handle == NULL) {
      printf("%s: %s\n", what, dlerror());
      exit(1);
    }
    struct counts after = facts->seen;
    unsigned long long segments = 0;
    dl_iterate_phdr(count_segments, &segments);
    SAME(what, after.opens, 1);
    SAME(what, after.refusals, 0);
    SAME(what, after.reads, 1);
    SAME(what, after.maps, segments);
    SAME(what, after.closes, 1);
    SAME(what, after.unmaps, 0);
    SAME(what, answer_of(handle), 42);
    struct link_map* map = handle;
    facts->seen.base = map->l_addr;
    facts->seen.fd = -2;
    SAME(what, dlclose(handle), 0);
    SAME(what, facts->seen.unmaps, 1);
    SAME(what, facts->seen.opens, 1);
  }
  facts->process = 0;
}

static void* load_in_thread(void* unused) {
  (void)unused;
  load_and_unload("thread");
  return NULL;
}

/// ld.so leaves a failed dlopen by a long jump.
static void fail(const char* what, const char* path, int error) {
  facts->process = (unsigned)getpid();
  for (int i = 0; i < ROUNDS; ++i) {
    memset(&facts->seen, 0, sizeof facts->seen);
    SAME(what, dlopen(path, RTLD_NOW) != NULL, 0);
    SAME(what, facts->seen.refusals, 1);
    const char* text = dlerror();
    SAME(what, text != NULL && strstr(text, strerror(error)) != NULL, 1);
  }
  facts->process = 0;
}

/// All at once: only the sum is known, and of a library that is loaded no file is opened.
static void* load_often(void* unused) {
  (void)unused;
  for (int i = 0; i < ROUNDS; ++i) {
    void* handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    SAME("threads", handle != NULL && answer_of(handle) == 42, 1);
    if (handle != NULL) SAME("threads", dlclose(handle), 0);
  }
  return NULL;
}

static void load_beside_each_other(void) {
  pthread_t threads[THREADS];
  facts->process = (unsigned)getpid();
  memset(&facts->seen, 0, sizeof facts->seen);
  for (int i = 0; i < THREADS; ++i) pthread_create(&threads[i], NULL, load_often, NULL);
  for (int i = 0; i < THREADS; ++i) pthread_join(threads[i], NULL);
  facts->process = 0;
  SAME("threads", facts->seen.opens >= 1 && facts->seen.opens <= THREADS * ROUNDS, 1);
  SAME("threads", facts->seen.refusals, 0);
}

static int attach(const char* object) {
  struct bpf_object* obj = bpf_object__open_file(object, NULL);
  struct bpf_program* p;
  if (obj == NULL || bpf_object__load(obj) != 0) return -1;
  struct bpf_map* bss = bpf_object__find_map_by_name(obj, ".bss");
  if (bss == NULL) return -1;
  facts = mmap(NULL, sizeof *facts, PROT_READ | PROT_WRITE, MAP_SHARED, bpf_map__fd(bss), 0);
  if (facts == MAP_FAILED) return -1;
  bpf_object__for_each_program(p, obj)
    if (bpf_program__attach(p) == NULL) return -1;
  return 0;
}

static void in_a_child(void (*what)(const char*)) {
  const pid_t pid = fork();
  int status = 0;
  if (pid == 0) {
    what("child");
    fflush(stdout);
    _exit(differences != 0);
  }
  SAME("child", waitpid(pid, &status, 0) == pid && status == 0, 1);
}

int main(int argc, char** argv) {
  if (argc != 3 || strlen(argv[2]) >= WANTED_SIZE) return 2;
  library = argv[2];
  if (attach(argv[1]) != 0) {
    fprintf(stderr, "%s: cannot be attached\n", argv[1]);
    return 3;
  }
  strcpy(facts->wanted, library);
  load_and_unload("process");
  pthread_t thread;
  pthread_create(&thread, NULL, load_in_thread, NULL);
  pthread_join(thread, NULL);
  in_a_child(load_and_unload);
  fail("missing", "/nowhere/at/all.so", ENOENT);
  facts->denied = 1;
  fail("denied", library, EACCES);
  facts->denied = 0;
  load_and_unload("allowed again");
  load_beside_each_other();
  return differences != 0;
}
