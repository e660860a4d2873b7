// clients_load MODE NAME [COUNT]: makes system calls that clients are to see and tells them on stdout, one a line:
//
//   mark         on each processor a child that does one of each: PID
//   open, stat   PID TID COMM RESULT PATH
//   exec         PID PPID RESULT PATH ARG...
//   kill         PID SIGNAL TARGET RESULT
//   exit         PID PPID TID CODE SIGNAL
//   mount        PID CALL RESULT
//
// NAME is a file that exists, and is what tells these calls from others'. RESULT is what the kernel answered: -errno for a failure.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { THREADS = 4, MAX_NAME = 256 };

static const char* name;
static int count;
static char missing[MAX_NAME], below[MAX_NAME];  // ENOENT, ENOTDIR

static long result(long rc) { return rc < 0 ? -errno : rc; }
static pid_t tid(void) { return (pid_t)syscall(SYS_gettid); }

static void await(pid_t pid) {
  int status;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) continue;
}

// One write for a line: children and threads tell on the same file.
static void tell(const char* comm, long rc, const char* path) {
  char line[512];
  const int n = snprintf(line, sizeof line, "%d %d %s %ld %s\n", getpid(), tid(), comm, rc, path);
  if (write(1, line, (size_t)n) != n) abort();
}

static void open_one(const char* comm, int how, const char* path) {
  long fd;
  if (how == 0)
    fd = result(open(path, O_RDONLY));
  else if (how == 1)
    fd = result(openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC));
  else
    fd = result(syscall(SYS_open, path, O_RDONLY));
  tell(comm, fd, path);
  if (fd >= 0) close((int)fd);
}

static void open_some(const char* comm) {
  for (int i = 0; i < count; ++i) open_one(comm, i % 3, name);
  open_one(comm, 0, missing);
  open_one(comm, 2, below);
}

static void stat_one(const char* comm, int how, const char* path) {
  struct stat st;
  struct statfs fs;
  tell(comm, result(how == 0 ? syscall(SYS_stat, path, &st) : how == 1 ? syscall(SYS_lstat, path, &st) : statfs(path, &fs)), path);
}

static void stat_some(const char* comm) {
  for (int i = 0; i < count; ++i) stat_one(comm, i % 3, name);
  stat_one(comm, 0, missing);
  stat_one(comm, 2, below);
}

static void (*some)(const char* comm);

static void in_handler(int sig) {
  (void)sig;
  const int saved = errno;
  some("clients_load");
  errno = saved;
}

static void* in_thread(void* arg) {
  char comm[16];
  snprintf(comm, sizeof comm, "load-thread-%ld", (long)arg);
  prctl(PR_SET_NAME, comm);
  some(comm);
  return NULL;
}

// The same calls from wherever a program makes calls.
static void everywhere(void) {
  some("clients_load");
  pthread_t threads[THREADS];
  for (long i = 0; i < THREADS; ++i) pthread_create(&threads[i], NULL, in_thread, (void*)i);
  for (long i = 0; i < THREADS; ++i) pthread_join(threads[i], NULL);
  signal(SIGUSR1, in_handler);
  raise(SIGUSR1);
  const pid_t shared = vfork();
  if (shared == 0) {
    some("clients_load");
    _exit(0);
  }
  await(shared);
  const pid_t child = fork();
  if (child == 0) {
    some("clients_load");
    _exit(0);
  }
  await(child);
}

// The C library opens the file, in the child, before the exec.
static void open_in_spawn(void) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, name, O_RDONLY, 0);
  pid_t pid;
  char* argv[] = {(char*)"true", NULL};
  if (posix_spawn(&pid, "/bin/true", &actions, NULL, argv, environ) != 0) abort();
  await(pid);
  printf("%d %d clients_load 0 %s\n", pid, pid, name);
}

static void tell_exec(pid_t pid, int rc, const char* path, int i) {
  printf("%d %d %d %s %s %d\n", pid, getpid(), rc, path, name, i);
}

static pid_t exec_one(int by_vfork, const char* path, char* const argv[]) {
  fflush(stdout);
  const pid_t pid = by_vfork ? vfork() : fork();
  if (pid == 0) {
    execve(path, argv, environ);
    _exit(errno);
  }
  await(pid);
  return pid;
}

static void exec_some(void) {
  for (int i = 0; i < count; ++i) {
    char number[16];
    snprintf(number, sizeof number, "%d", i);
    char* argv[] = {(char*)"true", (char*)name, number, NULL};
    pid_t pid;
    if (i % 3 == 2) {
      if (posix_spawn(&pid, "/bin/true", NULL, NULL, argv, environ) != 0) abort();
      await(pid);
    } else {
      pid = exec_one(i % 3 == 1, "/bin/true", argv);
    }
    tell_exec(pid, 0, "/bin/true", i);
  }
  char* argv[] = {(char*)"none", (char*)name, (char*)"1000", NULL};
  tell_exec(exec_one(0, missing, argv), -ENOENT, missing, 1000);
  tell_exec(exec_one(1, below, argv), -ENOTDIR, below, 1000);
  tell_exec(exec_one(0, name, argv), -EACCES, name, 1000);
}

static void kill_one(pid_t pid, int sig) { printf("%d %d %d %ld\n", getpid(), sig, pid, result(kill(pid, sig))); }

static void kill_some(void) {
  signal(SIGUSR2, SIG_IGN);
  for (int i = 0; i < count; ++i) kill_one(getpid(), i % 2 == 0 ? 0 : SIGUSR2);
  kill_one(1 << 30, SIGTERM);
  kill_one(getpid(), 99);
  const pid_t child = fork();
  if (child == 0)
    for (;;) pause();
  kill_one(child, SIGKILL);
  await(child);
}

static void* short_thread(void* at) {
  *(pid_t*)at = tid();
  return NULL;
}

static void exit_some(void) {
  for (int i = 0; i < count; ++i) {
    const pid_t pid = fork();
    if (pid == 0) _exit(i % 5);
    await(pid);
    printf("%d %d %d %d 0\n", pid, getpid(), pid, i % 5);
    fflush(stdout);
  }
  for (int i = 0; i < THREADS; ++i) {
    pthread_t thread;
    pid_t of = 0;
    pthread_create(&thread, NULL, short_thread, &of);
    pthread_join(thread, NULL);
    printf("%d %d %d 0 0\n", getpid(), getppid(), of);
  }
  fflush(stdout);
  const int signals[] = {SIGTERM, SIGUSR1};
  for (unsigned i = 0; i < sizeof signals / sizeof *signals; ++i) {
    const pid_t pid = fork();
    if (pid == 0) {
      raise(signals[i]);
      _exit(77);
    }
    await(pid);
    printf("%d %d %d 0 %d\n", pid, getpid(), pid, signals[i]);
    fflush(stdout);
  }
}

static void mount_some(void) {
  for (int i = 0; i < count; ++i) {
    printf("%d mount %ld\n", getpid(), result(mount("skep-source", name, "tmpfs", MS_RDONLY, "skep-data")));
    printf("%d umount %ld\n", getpid(), result(umount2(name, MNT_DETACH)));
  }
}

static void mark_one(size_t cpu) {
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(cpu, &one);
  if (sched_setaffinity(0, sizeof one, &one) != 0) abort();
  struct stat st;
  struct statfs fs;
  signal(SIGURG, SIG_IGN);
  const int fd = open(name, O_RDONLY);
  syscall(SYS_stat, name, &st);
  statfs(name, &fs);
  kill(getpid(), 0);
  kill(getpid(), SIGURG);
  mount("skep-mark", name, "tmpfs", 0, NULL);
  if (fd >= 0) close(fd);
  char* argv[] = {(char*)"true", (char*)name, (char*)"mark", NULL};
  execve("/bin/true", argv, environ);
  abort();
}

static void mark(void) {
  cpu_set_t all;
  if (sched_getaffinity(0, sizeof all, &all) != 0) abort();
  for (size_t cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &all)) continue;
    const pid_t pid = fork();
    if (pid == 0) mark_one(cpu);
    await(pid);
    printf("%d\n", pid);
    fflush(stdout);
  }
}

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  const char* mode = argv[1];
  name = argv[2];
  count = argc > 3 ? atoi(argv[3]) : 1;
  if (strlen(name) + 8 > sizeof missing) return 2;
  snprintf(missing, sizeof missing, "%s.none", name);
  snprintf(below, sizeof below, "%s/x", name);
  if (strcmp(mode, "mark") == 0) {
    mark();
  } else if (strcmp(mode, "open") == 0) {
    some = open_some;
    everywhere();
    open_in_spawn();
  } else if (strcmp(mode, "stat") == 0) {
    some = stat_some;
    everywhere();
  } else if (strcmp(mode, "exec") == 0) {
    exec_some();
  } else if (strcmp(mode, "kill") == 0) {
    kill_some();
  } else if (strcmp(mode, "exit") == 0) {
    exit_some();
  } else if (strcmp(mode, "mount") == 0) {
    mount_some();
  } else {
    return 2;
  }
  return 0;
}
