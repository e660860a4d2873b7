// exec_ways WAY FD: starts a program in one particular way, and says on FD which execve calls that makes: a line `PID COMM` for
// each, COMM being the caller's name before the call. What it cannot know (the pid behind system()) the started shell says on the
// same FD.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define TRUE_PATH "/bin/true"

extern char** environ;
static int report_fd;
static char name[16];

static _Noreturn void fail(const char* what) {
  fprintf(stderr, "exec_ways: %s: %s\n", what, strerror(errno));
  _exit(1);
}

static void call_me(const char* new_name) {
  snprintf(name, sizeof name, "%s", new_name);
  if (prctl(PR_SET_NAME, name) != 0) fail("prctl");
}

static void report(pid_t pid) {
  if (dprintf(report_fd, "%d %s\n", pid, name) < 0) fail("report");
}

static void reap(pid_t pid) {
  int status;
  if (pid < 0) fail("start");
  while (waitpid(pid, &status, 0) < 0)
    if (errno != EINTR) fail("waitpid");
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
    fprintf(stderr, "exec_ways: child ended with status %#x\n", (unsigned)status);
    _exit(1);
  }
}

static void exec_true(void) {
  char* const argv[] = {(char*)"true", NULL};
  execve(TRUE_PATH, argv, environ);
  _exit(127);
}

static void way_exec(void) {
  report(getpid());
  exec_true();
}

static void way_fork(void) {
  const pid_t pid = fork();
  if (pid == 0) exec_true();
  report(pid);
  reap(pid);
}

static void way_vfork(void) {
  for (int i = 0; i < 3; ++i) {
    const pid_t pid = vfork();
    if (pid == 0) exec_true();
    report(pid);
    reap(pid);
  }
}

static void way_spawn(void) {
  char* const argv[] = {(char*)"true", NULL};
  for (int i = 0; i < 3; ++i) {
    pid_t pid = -1;
    errno = posix_spawn(&pid, TRUE_PATH, NULL, NULL, argv, environ);
    if (errno != 0) fail("posix_spawn");
    report(pid);
    reap(pid);
  }
}

// More starts than the agent has stacks: each child that leaves by execve must give back what it took.
static void way_many(void) {
  for (int i = 0; i < 50; ++i) way_spawn();
  for (int i = 0; i < 50; ++i) way_vfork();
}

static int child_execs(void* arg) {
  (void)arg;
  exec_true();
  return 1;
}

static void way_clone(int flags) {
  enum { SIZE = 65536 };
  char* stack = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (stack == MAP_FAILED) fail("mmap");
  const pid_t pid = clone(child_execs, stack + SIZE, flags | SIGCHLD, NULL);
  if (pid < 0) fail("clone");
  report(pid);
  reap(pid);
}

static void* thread_execs(void* arg) {
  (void)arg;
  call_me("by-thread");
  report(getpid());
  exec_true();
  return NULL;
}

static void way_thread(void) {
  pthread_t thread;
  if (pthread_create(&thread, NULL, thread_execs, NULL) != 0) fail("pthread_create");
  for (;;) pause();
}

static void way_blocked(void) {
  sigset_t all;
  sigfillset(&all);
  if (sigprocmask(SIG_SETMASK, &all, NULL) != 0) fail("sigprocmask");
  way_exec();
}

static void run_system(void) {
  char command[128];
  snprintf(command, sizeof command, "echo $$ %s >&%d; echo $$ sh >&%d; exec " TRUE_PATH, name, report_fd, report_fd);
  if (system(command) != 0) fail("system");
}

static void* small_thread(void* arg) {
  (void)arg;
  way_fork();
  way_vfork();
  way_spawn();
  run_system();
  return NULL;
}

static void way_small_stack(void) {
  pthread_attr_t attr;
  pthread_t thread;
  pthread_attr_init(&attr);
  if ((errno = pthread_attr_setstacksize(&attr, 16384)) != 0) fail("setstacksize");
  if ((errno = pthread_create(&thread, &attr, small_thread, NULL)) != 0) fail("pthread_create");
  if ((errno = pthread_join(thread, NULL)) != 0) fail("pthread_join");
}

static void way_popen(void) {
  char command[128];
  snprintf(command, sizeof command, "echo $$ %s >&%d; echo $$ sh >&%d; exec /bin/echo out", name, report_fd, report_fd);
  FILE* from = popen(command, "r");
  char line[16] = "";
  if (from == NULL || fgets(line, sizeof line, from) == NULL || strcmp(line, "out\n") != 0) fail("popen");
  if (pclose(from) != 0) fail("pclose");
}

static void way_missing(void) {
  char* const argv[] = {(char*)"x", NULL};
  void* const volatile nowhere = (void*)16;
  report(getpid());
  if (execve("/nonexistent/program", argv, environ) != -1 || errno != ENOENT) fail("execve of a missing file");
  report(getpid());
  if (execve("/", argv, environ) != -1 || errno != EACCES) fail("execve of a directory");
  report(getpid());
  if (execve((const char*)nowhere, argv, environ) != -1 || errno != EFAULT) fail("execve of a bad pointer");
  report(getpid());
  if (execve(TRUE_PATH, argv, (char**)nowhere) != -1 || errno != EFAULT) fail("execve with a bad environment");
  report(getpid());
  if (execve(TRUE_PATH, (char**)nowhere, environ) != -1 || errno != EFAULT) fail("execve with bad arguments");
}

static void way_no_env(void) {
  char command[128];
  snprintf(command, sizeof command, TRUE_PATH " & echo $! sh >&%d; wait $!", report_fd);
  char* const argv[] = {(char*)"sh", (char*)"-c", command, NULL};
  char* const empty[] = {NULL};
  const pid_t pid = fork();
  if (pid == 0) {
    report(getpid());
    execve("/bin/sh", argv, empty);
    _exit(127);
  }
  reap(pid);
}

static void way_null_env(void) {
  const pid_t pid = fork();
  if (pid == 0) {
    char* const argv[] = {(char*)"true", NULL};
    report(getpid());
    execve(TRUE_PATH, argv, NULL);
    _exit(127);
  }
  reap(pid);
}

static void way_closed(void) {
  // As daemons do. The descriptors above the reporting one go in one call, and then one by one.
  if (close_range((unsigned)report_fd + 1, ~0U, 0) != 0) fail("close_range");
  way_spawn();
  for (int fd = 3; fd < 1024; ++fd)
    if (fd != report_fd) close(fd);
  way_spawn();
  way_fork();
  run_system();
}

static void way_few_files(void) {
  const struct rlimit few = {(rlim_t)report_fd + 16, (rlim_t)report_fd + 16};
  if (setrlimit(RLIMIT_NOFILE, &few) != 0) fail("setrlimit");
  way_spawn();
  way_fork();
  run_system();
}

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  const char* way = argv[1];
  report_fd = atoi(argv[2]);
  char own[32];
  snprintf(own, sizeof own, "w-%.12s", way);
  call_me(own);
  if (strcmp(way, "exec") == 0)
    way_exec();
  else if (strcmp(way, "fork") == 0)
    way_fork();
  else if (strcmp(way, "vfork") == 0)
    way_vfork();
  else if (strcmp(way, "spawn") == 0)
    way_spawn();
  else if (strcmp(way, "many") == 0)
    way_many();
  else if (strcmp(way, "clone-vm-vfork") == 0)
    way_clone(CLONE_VM | CLONE_VFORK);
  else if (strcmp(way, "clone-vm") == 0)
    way_clone(CLONE_VM);
  else if (strcmp(way, "clone") == 0)
    way_clone(0);
  else if (strcmp(way, "thread") == 0)
    way_thread();
  else if (strcmp(way, "blocked") == 0)
    way_blocked();
  else if (strcmp(way, "small-stack") == 0)
    way_small_stack();
  else if (strcmp(way, "system") == 0)
    run_system();
  else if (strcmp(way, "popen") == 0)
    way_popen();
  else if (strcmp(way, "missing") == 0)
    way_missing();
  else if (strcmp(way, "no-env") == 0)
    way_no_env();
  else if (strcmp(way, "null-env") == 0)
    way_null_env();
  else if (strcmp(way, "closed") == 0)
    way_closed();
  else if (strcmp(way, "few-files") == 0)
    way_few_files();
  else
    return 2;
  return 0;
}
