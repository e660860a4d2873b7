// Loads task.bpf.o and looks at tasks through it: this one, threads, children of fork, vfork and exec, orphans, other users, other
// namespaces. What programs see is held against /proc. One line for each difference; the exit status is 0 when there is none.
//
//   task_client OBJECT              all; with SKEP_SESSION in the environment also what is skep's alone
//   task_client --again MAP_FD      after an exec: only this process
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "task_facts.h"

static int map_fd, children_fd, exits_fd, differences;

#define SAME(what, seen, truth)                                                                                       \
  do {                                                                                                                \
    const unsigned long long seen_ = (unsigned long long)(seen), truth_ = (unsigned long long)(truth);                \
    if (seen_ != truth_) {                                                                                            \
      printf("%s: %s is %llu (%llx), not %llu (%llx)\n", what, #seen, seen_, seen_, truth_, truth_);                  \
      __atomic_add_fetch(&differences, 1, __ATOMIC_SEQ_CST);                                                          \
    }                                                                                                                 \
  } while (0)
#define SAME_TEXT(what, seen, truth)                          \
  do {                                                        \
    if (strcmp(seen, truth) != 0) {                           \
      printf("%s: %s is \"%s\", not \"%s\"\n", what, #seen, seen, truth); \
      __atomic_add_fetch(&differences, 1, __ATOMIC_SEQ_CST);  \
    }                                                         \
  } while (0)

static unsigned inum_of(const char *name) {
  char path[64], text[64] = "";
  snprintf(path, sizeof path, "/proc/thread-self/ns/%s", name);
  if (readlink(path, text, sizeof text - 1) < 0) return 0;
  const char *open = strchr(text, '[');
  return open ? (unsigned)strtoul(open + 1, NULL, 10) : 0;
}

/// Field `number`, as proc(5) counts, of /proc/PATH/stat.
static unsigned long long stat_field(const char *task, int number) {
  char path[64], text[2048];
  snprintf(path, sizeof path, "/proc/%s/stat", task);
  FILE *in = fopen(path, "r");
  if (!in) return 0;
  const size_t n = fread(text, 1, sizeof text - 1, in);
  fclose(in);
  text[n] = '\0';
  char *p = strrchr(text, ')');
  for (int at = 2; p && at < number; ++at) p = strchr(p + 1, ' ');
  return p ? strtoull(p, NULL, 10) : 0;
}

static unsigned long long effective_caps(void) {
  char line[256];
  unsigned long long caps = 0;
  FILE *in = fopen("/proc/thread-self/status", "r");
  while (in && fgets(line, sizeof line, in))
    if (strncmp(line, "CapEff:", 7) == 0) caps = strtoull(line + 7, NULL, 16);
  if (in) fclose(in);
  return caps;
}

static void comm_of(int pid, char out[16]) {
  char path[64];
  memset(out, 0, 16);
  snprintf(path, sizeof path, "/proc/%d/comm", pid);
  FILE *in = fopen(path, "r");
  if (in && fgets(out, 16, in)) out[strcspn(out, "\n")] = '\0';
  if (in) fclose(in);
}

static struct facts ask(void) {
  struct facts f;
  memset(&f, 0, sizeof f);
  const unsigned key = (unsigned)syscall(SYS_gettid);
  bpf_map_delete_elem(map_fd, &key);
  syscall(SYS_getpgid, MARK);
  if (bpf_map_lookup_elem(map_fd, &key, &f) != 0) {
    printf("no program ran in %u\n", key);
    __atomic_add_fetch(&differences, 1, __ATOMIC_SEQ_CST);
  }
  return f;
}

static void check_ids(const char *what, const struct facts *f) {
  unsigned r, e, s;
  SAME(what, f->pid, syscall(SYS_gettid));
  SAME(what, f->tgid, getpid());
  SAME(what, f->leader_pid, getpid());
  SAME(what, f->inner_pid, syscall(SYS_gettid));
  SAME(what, f->pgrp, getpgid(0));
  SAME(what, f->parent_tgid, getppid() != 0 ? getppid() : getpid());
  SAME(what, f->typed_tgid, f->parent_tgid);
  getresuid(&r, &e, &s);
  SAME(what, f->uid, r);
  SAME(what, f->typed_uid, r);
  SAME(what, f->euid, e);
  SAME(what, f->suid, s);
  SAME(what, f->fsuid, e);
  SAME(what, f->gid, getgid());
  SAME(what, f->cap_effective, effective_caps());
}

static void check_namespaces(const char *what, const struct facts *f) {
  struct utsname name;
  uname(&name);
  SAME_TEXT(what, f->nodename, name.nodename);
  SAME(what, f->mnt, inum_of("mnt"));
  SAME(what, f->typed_mnt, f->mnt);
  SAME(what, f->pid_ns, inum_of("pid_for_children"));
  SAME(what, f->net, inum_of("net"));
  SAME(what, f->ipc, inum_of("ipc"));
  SAME(what, f->uts, inum_of("uts"));
  SAME(what, f->cgroup, inum_of("cgroup"));
  SAME(what, f->user, inum_of("user"));
}

static struct facts check(const char *what) {
  const struct facts f = ask();
  char comm[16];
  prctl(PR_GET_NAME, comm);
  SAME_TEXT(what, f.comm, comm);
  check_ids(what, &f);
  check_namespaces(what, &f);
  if (getppid() != 0) {
    comm_of(getppid(), comm);
    SAME_TEXT(what, f.parent_comm, comm);
  }
  SAME(what, f.flags, stat_field("thread-self", 9));
  SAME(what, f.start_boottime / 10000000, stat_field("thread-self", 22));
  SAME(what, f.arg_start, stat_field("self", 48));
  SAME(what, f.arg_end, stat_field("self", 49));
  SAME(what, f.env_start, stat_field("self", 50));
  return f;
}

/// In a child of its own; its exit status is the number of differences.
static void in_child(const char *what, void (*body)(const void *), const void *arg) {
  fflush(stdout);
  const pid_t pid = fork();
  if (pid == 0) {
    differences = 0;
    body(arg);
    fflush(stdout);
    _exit(differences > 100 ? 100 : differences);
  }
  int status = -1;
  waitpid(pid, &status, 0);
  SAME(what, status, 0);
}

static pthread_barrier_t barrier;
static unsigned long long address_of[8];

static void *threaded(void *arg) {
  const long n = (long)arg;
  char name[16];
  snprintf(name, sizeof name, "thread %ld", n);
  pthread_barrier_wait(&barrier);
  prctl(PR_SET_NAME, name);
  const struct facts f = check(name);
  address_of[n] = f.address;
  SAME(name, check(name).address, f.address);
  pthread_barrier_wait(&barrier);
  return (void *)(unsigned long)f.leader;
}

static void check_threads(unsigned long long leader) {
  pthread_t threads[8];
  pthread_barrier_init(&barrier, NULL, 8);
  for (long n = 0; n < 8; ++n) pthread_create(&threads[n], NULL, threaded, (void *)n);
  for (long n = 0; n < 8; ++n) {
    void *seen = NULL;
    pthread_join(threads[n], &seen);
    SAME("leader of thread", (unsigned long)seen, leader);
    for (long i = 0; i < n; ++i) SAME("two threads with one task", address_of[n] == address_of[i], 0);
  }
}

static void *one_of_many(void *out) {
  *(unsigned long long *)out = ask().address;
  return NULL;
}

/// Blocks of threads that have ended serve again.
static void check_many(const void *arg) {
  (void)arg;
  unsigned long long seen[300], at;
  int n = 0;
  for (int i = 0; i < 300; ++i) {
    pthread_t thread;
    pthread_create(&thread, NULL, one_of_many, &at);
    pthread_join(thread, NULL);
    int known = 0;
    for (int j = 0; j < n; ++j) known |= seen[j] == at;
    if (!known) seen[n++] = at;
  }
  if (getenv("SKEP_SESSION") != NULL) SAME("blocks for 300 threads, one after the other, are few", n < 20, 1);
}

/// And those of processes that were killed, once that has been seen.
static void check_killed(const void *arg) {
  (void)arg;
  unsigned long long seen[300], at;
  int n = 0, tell[2];
  if (pipe(tell) != 0) exit(2);
  for (int i = 0; i < 300; ++i) {
    const pid_t pid = fork();
    if (pid == 0) {
      at = ask().address;
      if (write(tell[1], &at, sizeof at) != sizeof at) _exit(1);
      kill(getpid(), SIGKILL);
    }
    if (read(tell[0], &at, sizeof at) != sizeof at) exit(2);
    waitpid(pid, NULL, 0);
    int known = 0;
    for (int j = 0; j < n; ++j) known |= seen[j] == at;
    if (!known) seen[n++] = at;
  }
  if (getenv("SKEP_SESSION") != NULL) SAME("blocks for 300 processes, killed one after the other, are few", n < 100, 1);
}

static void forked(const void *arg) {
  const struct facts f = check("fork child");
  SAME("fork child", f.parent, *(const unsigned long long *)arg);
  SAME("fork child", f.address != f.parent, 1);
  check_threads(f.address);
}

/// Leaves a child, which has looked once, to the test itself, who is its subreaper.
static void orphan(const void *arg) {
  int looked[2];
  char byte = 0;
  if (pipe(looked) != 0) _exit(1);
  const pid_t self = getpid();
  fflush(stdout);
  if (fork() == 0) {
    differences = 0;
    const struct facts before = check("child");
    SAME("child", before.parent_tgid, self);
    if (write(looked[1], &byte, 1) != 1) _exit(1);
    while (getppid() == self) sched_yield();
    const struct facts after = check("orphan");
    SAME("orphan", after.parent, *(const unsigned long long *)arg);
    SAME("orphan", after.address, before.address);
    fflush(stdout);
    _exit(differences != 0);
  }
  if (read(looked[0], &byte, 1) != 1) _exit(1);
}

static void other_user(const void *arg) {
  (void)arg;
  check("before setresuid");
  if (setresgid(65534, 65534, 65534) != 0 || setresuid(65534, 65534, 65534) != 0) return;
  prctl(PR_SET_DUMPABLE, 1);
  const struct facts f = ask();
  check_ids("after setresuid", &f);
}

static void other_namespaces(const void *arg) {
  (void)arg;
  const struct facts before = check("before unshare");
  if (unshare(CLONE_NEWUSER | CLONE_NEWUTS | CLONE_NEWNS | CLONE_NEWIPC) != 0) return;
  (void)!sethostname("elsewhere", 9);
  const struct facts f = ask();
  check_namespaces("after unshare", &f);
  SAME("after unshare", f.address, before.address);
  SAME("after unshare", f.mnt != before.mnt, 1);
}

/// What programs saw of a child when it was made, and when it ended.
static void check_birth_and_death(const struct facts *self) {
  int tell[2];
  struct facts f;
  if (pipe(tell) != 0) exit(2);
  fflush(stdout);
  const pid_t pid = fork();
  if (pid == 0) {
    f = ask();
    if (write(tell[1], &f, sizeof f) != sizeof f) _exit(1);
    _exit(43);
  }
  if (read(tell[0], &f, sizeof f) != sizeof f) exit(2);
  close(tell[0]);
  close(tell[1]);
  int status = 0, code = -1;
  waitpid(pid, &status, 0);
  struct child_facts born;
  memset(&born, 0, sizeof born);
  const unsigned key = (unsigned)pid;
  SAME("fork", bpf_map_lookup_elem(children_fd, &key, &born), 0);
  SAME("fork", born.address, f.address);
  SAME("fork", born.parent, self->address);
  SAME("fork", born.tgid, pid);
  SAME("fork", born.parent_tgid, getpid());
  SAME_TEXT("fork", born.comm, "another name");
  SAME("exit", bpf_map_lookup_elem(exits_fd, &key, &code), 0);
  SAME("exit", code, status);
  SAME("exit", status, 43 << 8);
}

static void exec_again(const void *arg) {
  (void)arg;
  char fd[16];
  snprintf(fd, sizeof fd, "%d", map_fd);
  execl("/proc/self/exe", "renamed client", "--again", fd, "and more", (char *)NULL);
  _exit(99);
}

/// On its parent's memory and TLS.
static void check_vfork(const struct facts *self) {
  static volatile int pid, parent;
  static volatile unsigned long long address;
  pid_t child = vfork();
  if (child == 0) {
    const struct facts f = ask();
    pid = f.pid;
    parent = f.tgid;
    address = f.address;
    _exit(0);
  }
  waitpid(child, NULL, 0);
  SAME("vfork child", pid, child);
  SAME("vfork child", parent, child);
  SAME("vfork child", address != self->address, 1);
  const struct facts after = check("after vfork");
  SAME("after vfork", after.address, self->address);
}

static int load(const char *path) {
  struct bpf_object *object = bpf_object__open_file(path, NULL);
  if (!object || bpf_object__load(object) != 0) return -1;
  struct bpf_program *program;
  bpf_object__for_each_program(program, object) {
    if (!bpf_program__attach(program)) return -1;
  }
  children_fd = bpf_object__find_map_fd_by_name(object, "children");
  exits_fd = bpf_object__find_map_fd_by_name(object, "exits");
  return bpf_object__find_map_fd_by_name(object, "tasks");
}

int main(int argc, char **argv) {
  if (argc > 2 && strcmp(argv[1], "--again") == 0) {
    map_fd = atoi(argv[2]);
    check("after exec");
    return differences != 0;
  }
  if (argc != 2 || (map_fd = load(argv[1])) < 0) return fprintf(stderr, "%s: cannot be loaded\n", argc > 1 ? argv[1] : "?"), 2;
  map_fd = dup(map_fd);  // without close-on-exec
  const struct facts self = check("itself");
  SAME("itself", self.leader, self.address);
  prctl(PR_SET_NAME, "another name");
  SAME("itself again", check("itself again").address, self.address);
  check_threads(self.address);
  in_child("fork", forked, &self.address);
  in_child("many threads", check_many, NULL);
  in_child("killed", check_killed, NULL);
  in_child("setresuid", other_user, NULL);
  in_child("unshare", other_namespaces, NULL);
  in_child("exec", exec_again, NULL);
  check_birth_and_death(&self);
  check_vfork(&self);
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  in_child("orphan's parent", orphan, &self.address);
  int status = -1;
  while (wait(&status) > 0) SAME("orphan", status, 0);
  SAME("itself at last", check("itself at last").address, self.address);
  printf("%d differences\n", differences);
  return differences != 0;
}
