// citizen WHAT: ordinary programs' more delicate habits, each checked by itself: prints "ok" and exits 0 when all is as Linux
// promises. Run bare it must pass; under skep it must not notice a difference.
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

extern char** environ;

namespace {

#define CHECK(condition)                                                                                     \
  do {                                                                                                       \
    if (!(condition)) {                                                                                      \
      std::fprintf(stderr, "citizen: line %d: %s (errno %s)\n", __LINE__, #condition, std::strerror(errno)); \
      _exit(1);                                                                                              \
    }                                                                                                        \
  } while (false)

constexpr const char* TRUE_PATH = "/bin/true";

void reap(pid_t pid, int wanted = 0) {
  int status = -1;
  pid_t rc;
  while ((rc = waitpid(pid, &status, 0)) < 0 && errno == EINTR) {
  }
  CHECK(rc == pid);
  if (status != wanted)
    std::fprintf(stderr, "citizen: status %#x instead of %#x\n", static_cast<unsigned>(status), static_cast<unsigned>(wanted));
  CHECK(status == wanted);
}

[[noreturn]] void exec_true() {
  char* const argv[] = {const_cast<char*>("true"), nullptr};
  execve(TRUE_PATH, argv, environ);
  _exit(127);
}

void spawn_true() {
  char* const argv[] = {const_cast<char*>("true"), nullptr};
  pid_t pid = -1;
  CHECK(posix_spawn(&pid, TRUE_PATH, nullptr, nullptr, argv, environ) == 0);
  reap(pid);
}

/// Runs `body` in a child; it must end with `wanted` as wait status.
void in_child(const std::function<void()>& body, int wanted = 0) {
  std::fflush(stdout);
  const pid_t pid = fork();
  CHECK(pid >= 0);
  if (pid == 0) {
    body();
    _exit(0);
  }
  reap(pid, wanted);
}

// Faults

sigjmp_buf recover;
void* volatile fault_address;
volatile sig_atomic_t fault_signal, faults, on_alternate_stack;
alignas(16) char alternate_stack[65536];

void recover_handler(int sig, siginfo_t* info, void*) {
  char here;
  on_alternate_stack = &here >= alternate_stack && &here < alternate_stack + sizeof alternate_stack;
  fault_address = info->si_addr;
  fault_signal = sig;
  faults = faults + 1;
  siglongjmp(recover, 1);
}

void install(int sig, void (*handler)(int, siginfo_t*, void*), int flags) {
  struct sigaction sa {};
  sa.sa_sigaction = handler;
  sa.sa_flags = SA_SIGINFO | flags;
  CHECK(sigaction(sig, &sa, nullptr) == 0);
  struct sigaction shown {};
  CHECK(sigaction(sig, nullptr, &shown) == 0);
  CHECK(shown.sa_sigaction == handler && (shown.sa_flags & (SA_SIGINFO | flags)) == (SA_SIGINFO | flags));
  CHECK(((shown.sa_flags ^ sa.sa_flags) & (SA_NODEFER | SA_ONSTACK | SA_RESTART)) == 0);
}

void touch(char* p) {
  if (sigsetjmp(recover, 1) == 0) {
    *static_cast<volatile char*>(p) = 1;
    const bool the_store_faulted = false;
    CHECK(the_store_faulted);
  }
}

void use_alternate_stack() {
  stack_t ss{};
  ss.ss_sp = alternate_stack;
  ss.ss_size = sizeof alternate_stack;
  CHECK(sigaltstack(&ss, nullptr) == 0);
}

void segv() {
  use_alternate_stack();
  install(SIGSEGV, recover_handler, SA_ONSTACK);
  install(SIGBUS, recover_handler, SA_ONSTACK);
  char* const page = static_cast<char*>(mmap(nullptr, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  for (int i = 0; i < 100; ++i) {
    touch(page + i);
    CHECK(fault_signal == SIGSEGV && fault_address == page + i && on_alternate_stack);
    if (i % 20 == 0) spawn_true();
  }
  const int file = memfd_create("short", 0);
  char* const beyond = static_cast<char*>(mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0));
  for (int i = 0; i < 10; ++i) {
    touch(beyond + 8);
    CHECK(fault_signal == SIGBUS && fault_address == beyond + 8);
  }
  CHECK(faults == 110);
}

/// What is not handled kills, by the signal it is.
void segv_default() {
  in_child([] { *static_cast<volatile char*>(nullptr) = 1; }, SIGSEGV);
  in_child([] { raise(SIGSEGV); }, SIGSEGV);
  in_child(
      [] {
        kill(getpid(), SIGBUS);
        pause();
      },
      SIGBUS);
  in_child(
      [] {
        signal(SIGSEGV, SIG_IGN);
        raise(SIGSEGV);
        _exit(7);
      },
      7 << 8);
  in_child(
      [] {
        signal(SIGSEGV, SIG_IGN);
        *static_cast<volatile char*>(nullptr) = 1;
      },
      SIGSEGV);
  in_child(
      [] {
        install(
            SIGSEGV, [](int, siginfo_t*, void*) { _exit(9); }, 0);
        *static_cast<volatile char*>(nullptr) = 1;
      },
      9 << 8);
}

/// The handler runs with its own signal blocked: a fault in there is the end, after one line.
void segv_in_handler() {
  int lines[2];
  CHECK(pipe(lines) == 0);
  static int out;
  out = lines[1];
  in_child(
      [] {
        install(
            SIGSEGV,
            [](int, siginfo_t*, void*) {
              CHECK(write(out, "x", 1) == 1);
              *static_cast<volatile char*>(nullptr) = 2;
            },
            0);
        *static_cast<volatile char*>(nullptr) = 1;
      },
      SIGSEGV);
  close(lines[1]);
  char buf[16];
  CHECK(read(lines[0], buf, sizeof buf) == 1);
}

void segv_resethand() {
  in_child(
      [] {
        static volatile sig_atomic_t count;
        install(
            SIGSEGV, [](int, siginfo_t*, void*) { count = count + 1; }, static_cast<int>(SA_RESETHAND));
        raise(SIGSEGV);
        CHECK(count == 1);
        struct sigaction shown {};
        CHECK(sigaction(SIGSEGV, nullptr, &shown) == 0 && shown.sa_handler == SIG_DFL);
        raise(SIGSEGV);
      },
      SIGSEGV);
}

// Masks

sigset_t own_view() {
  sigset_t now;
  CHECK(sigprocmask(SIG_SETMASK, nullptr, &now) == 0);
  return now;
}

bool has(const sigset_t& set, int sig) { return sigismember(&set, sig) == 1; }

void masks() {
  sigset_t all, before, both;
  sigfillset(&all);
  CHECK(!has(own_view(), SIGSEGV) && !has(own_view(), SIGTERM));
  CHECK(sigprocmask(SIG_BLOCK, &all, &before) == 0);
  CHECK(!has(before, SIGSEGV) && !has(before, SIGBUS) && !has(before, SIGTERM));
  for (int s = 1; s < 32; ++s) CHECK(has(own_view(), s) == (s != SIGKILL && s != SIGSTOP));
  sigemptyset(&both);
  sigaddset(&both, SIGSEGV);
  CHECK(sigprocmask(SIG_UNBLOCK, &both, nullptr) == 0);
  CHECK(!has(own_view(), SIGSEGV) && has(own_view(), SIGBUS) && has(own_view(), SIGTERM));
  CHECK(sigprocmask(SIG_SETMASK, &both, nullptr) == 0);
  CHECK(has(own_view(), SIGSEGV) && !has(own_view(), SIGBUS) && !has(own_view(), SIGTERM));
  // A new thread and a fork child start with their creator's.
  in_child([] { CHECK(has(own_view(), SIGSEGV) && !has(own_view(), SIGBUS)); });
  pthread_t thread;
  CHECK(pthread_create(
            &thread, nullptr,
            [](void*) -> void* {
              sigset_t now;
              pthread_sigmask(SIG_SETMASK, nullptr, &now);
              CHECK(has(now, SIGSEGV) && !has(now, SIGBUS));
              return nullptr;
            },
            nullptr) == 0);
  CHECK(pthread_join(thread, nullptr) == 0);
  spawn_true();
  CHECK(has(own_view(), SIGSEGV));
  CHECK(sigprocmask(SIG_SETMASK, &before, nullptr) == 0);
  CHECK(!has(own_view(), SIGSEGV));
}

/// exec keeps the mask, and what was ignored.
void masks_exec() {
  sigset_t all;
  sigfillset(&all);
  CHECK(sigprocmask(SIG_SETMASK, &all, nullptr) == 0);
  signal(SIGSEGV, SIG_IGN);
  signal(SIGUSR1, SIG_IGN);
  execl("/proc/self/exe", "citizen", "masks-after-exec", nullptr);
}
void masks_after_exec() {
  CHECK(has(own_view(), SIGTERM) && has(own_view(), SIGSEGV) && has(own_view(), SIGBUS));
  struct sigaction sa {};
  CHECK(sigaction(SIGUSR1, nullptr, &sa) == 0 && sa.sa_handler == SIG_IGN);
  CHECK(sigaction(SIGSEGV, nullptr, &sa) == 0 && sa.sa_handler == SIG_IGN);
}

/// A blocked SIGSEGV that somebody sends stays pending, and a signalfd can read it.
void segv_pending() {
  sigset_t set, pending;
  sigemptyset(&set);
  sigaddset(&set, SIGSEGV);
  CHECK(sigprocmask(SIG_BLOCK, &set, nullptr) == 0);
  raise(SIGSEGV);
  CHECK(sigpending(&pending) == 0 && has(pending, SIGSEGV));
  const int fd = signalfd(-1, &set, 0);
  signalfd_siginfo info{};
  CHECK(read(fd, &info, sizeof info) == static_cast<ssize_t>(sizeof info) && info.ssi_signo == SIGSEGV);
}

/// Waiting with a mask: the mask counts while the wait lasts.
void masked_waits() {
  sigset_t all, all_but_usr1;
  sigfillset(&all);
  all_but_usr1 = all;
  sigdelset(&all_but_usr1, SIGUSR1);
  install(
      SIGUSR1, [](int, siginfo_t*, void*) { CHECK(has(own_view(), SIGTERM)); }, 0);
  CHECK(sigprocmask(SIG_SETMASK, &all, nullptr) == 0);
  const timespec long_time{30, 0};
  const int ep = epoll_create1(0);
  epoll_event event;
  raise(SIGUSR1);
  CHECK(sigsuspend(&all_but_usr1) == -1 && errno == EINTR);
  raise(SIGUSR1);
  CHECK(ppoll(nullptr, 0, &long_time, &all_but_usr1) == -1 && errno == EINTR);
  raise(SIGUSR1);
  CHECK(pselect(0, nullptr, nullptr, nullptr, &long_time, &all_but_usr1) == -1 && errno == EINTR);
  raise(SIGUSR1);
  CHECK(epoll_pwait(ep, &event, 1, 30000, &all_but_usr1) == -1 && errno == EINTR);
  CHECK(has(own_view(), SIGUSR1) && has(own_view(), SIGSEGV));
}

// Processes

void fork_in_threads() {
  std::atomic<bool> stop{false};
  std::vector<pthread_t> threads(4);
  struct Work {
    static void* run(void* arg) {
      auto* end = static_cast<std::atomic<bool>*>(arg);
      while (!end->load()) {
        void* p = std::malloc(1000);
        std::memset(p, 1, 1000);
        std::free(p);
        const int fd = open("/proc/self/stat", O_RDONLY);
        if (fd >= 0) close(fd);
        sigset_t set;
        sigfillset(&set);
        pthread_sigmask(SIG_BLOCK, &set, nullptr);
        pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
      }
      return nullptr;
    }
  };
  for (pthread_t& t : threads) CHECK(pthread_create(&t, nullptr, Work::run, &stop) == 0);
  for (int i = 0; i < 40; ++i) {
    in_child([] { exec_true(); });
    in_child([] { in_child([] { spawn_true(); }); });
    spawn_true();
    const pid_t pid = vfork();
    if (pid == 0) exec_true();
    reap(pid);
  }
  stop = true;
  for (const pthread_t t : threads) CHECK(pthread_join(t, nullptr) == 0);
}

void spawn_in_threads() {
  std::vector<pthread_t> threads(8);
  for (pthread_t& t : threads)
    CHECK(pthread_create(
              &t, nullptr,
              [](void*) -> void* {
                for (int i = 0; i < 20; ++i) spawn_true();
                return nullptr;
              },
              nullptr) == 0);
  for (const pthread_t t : threads) CHECK(pthread_join(t, nullptr) == 0);
}

/// A vfork child may only exec or _exit; if neither, the parent must be whole all the same.
void vfork_exit() {
  static int i;
  volatile int kept = 42;
  for (i = 0; i < 20; ++i) {
    const pid_t pid = vfork();
    CHECK(pid >= 0);
    if (pid == 0) _exit(3);
    reap(pid, 3 << 8);
    CHECK(kept == 42);
  }
  const pid_t pid = vfork();
  if (pid == 0) {
    execl("/nonexistent", "x", nullptr);
    close(20);
    _exit(4);
  }
  reap(pid, 4 << 8);
  spawn_true();
}

int clone_child(void* arg) {
  *static_cast<volatile int*>(arg) = 7;
  close(77);
  sigset_t set;
  sigemptyset(&set);
  sigprocmask(SIG_BLOCK, &set, nullptr);
  return 5;
}
void clones() {
  static char stack[65536] __attribute__((aligned(16)));
  for (const int flags : {CLONE_VM | CLONE_VFORK, CLONE_VM, 0, CLONE_FILES, CLONE_VM | CLONE_FILES | CLONE_FS}) {
    volatile int shared = 0;
    const pid_t pid = clone(clone_child, stack + sizeof stack, flags | SIGCHLD, const_cast<int*>(&shared));
    CHECK(pid > 0);
    reap(pid, 5 << 8);
    CHECK(shared == ((flags & CLONE_VM) != 0 ? 7 : 0));
    spawn_true();
  }
  const pid_t raw = static_cast<pid_t>(syscall(SYS_clone, SIGCHLD, nullptr, nullptr, nullptr, nullptr));
  CHECK(raw >= 0);
  if (raw == 0) _exit(getpid() == getppid() ? 1 : 6);
  reap(raw, 6 << 8);
}

struct Destructor {
  std::atomic<int>* count;
  ~Destructor() { ++*count; }
};
struct Cancelled {
  std::function<void()> wait;
  std::atomic<int> entered{0}, destroyed{0};
};

void cancel_in(const char* what, std::function<void()> wait) {
  Cancelled c;
  c.wait = std::move(wait);
  pthread_t thread;
  CHECK(pthread_create(
            &thread, nullptr,
            [](void* arg) -> void* {
              auto* mine = static_cast<Cancelled*>(arg);
              const Destructor outer{&mine->destroyed};
              mine->entered = 1;
              {
                const Destructor inner{&mine->destroyed};
                mine->wait();
              }
              return nullptr;
            },
            &c) == 0);
  while (c.entered.load() == 0) sched_yield();
  CHECK(pthread_cancel(thread) == 0);
  void* result = nullptr;
  CHECK(pthread_join(thread, &result) == 0);
  if (result != PTHREAD_CANCELED || c.destroyed != 2)
    std::fprintf(stderr, "citizen: cancelled in %s: %d of 2 destructors\n", what, c.destroyed.load());
  CHECK(result == PTHREAD_CANCELED && c.destroyed == 2);
}

void cancel() {
  int p[2];
  CHECK(pipe(p) == 0);
  const int ep = epoll_create1(0);
  for (int i = 0; i < 10; ++i) {
    cancel_in("read", [&] {
      char c;
      (void)!read(p[0], &c, 1);
    });
    cancel_in("poll", [&] {
      pollfd f{p[0], POLLIN, 0};
      poll(&f, 1, -1);
    });
    cancel_in("select", [&] {
      fd_set s;
      FD_ZERO(&s);
      FD_SET(p[0], &s);
      select(p[0] + 1, &s, nullptr, nullptr, nullptr);
    });
    cancel_in("epoll_wait", [&] {
      epoll_event e;
      epoll_wait(ep, &e, 1, -1);
    });
    cancel_in("pause", [] { pause(); });
    cancel_in("sigsuspend", [] {
      sigset_t s;
      sigemptyset(&s);
      sigsuspend(&s);
    });
    cancel_in("open", [] {
      for (;;) close(open("/dev/null", O_RDONLY));
    });
    cancel_in("system", [] { (void)!system("exec sleep 100"); });
  }
}

void system_popen() {
  for (int i = 0; i < 10; ++i) {
    CHECK(system("exit 3") == 3 << 8);
    FILE* const f = popen("echo one; echo two", "r");
    char line[16];
    CHECK(f != nullptr && std::fgets(line, sizeof line, f) != nullptr && std::strcmp(line, "one\n") == 0);
    CHECK(std::fgets(line, sizeof line, f) != nullptr && std::strcmp(line, "two\n") == 0);
    CHECK(pclose(f) == 0);
    FILE* const w = popen("cat >/dev/null", "w");
    CHECK(w != nullptr && std::fputs("text", w) >= 0 && pclose(w) == 0);
  }
}

// Descriptors

void few_files() {
  const rlimit few{16, 16};
  CHECK(setrlimit(RLIMIT_NOFILE, &few) == 0);
  spawn_true();
  CHECK(system("true") == 0);
  in_child([] { spawn_true(); });
  // Nearly all that its limit allows is the program's own.
  int opened = 0;
  while (open("/dev/null", O_RDONLY) >= 0) ++opened;
  CHECK(errno == EMFILE && opened >= 11);
}

/// The descriptors that a program opens are the lowest free ones, as POSIX has it, and closing what is not open says so.
void low_numbers() {
  for (int fd = 3; fd < 200; ++fd) close(fd);
  CHECK(open("/dev/null", O_RDONLY) == 3 && open("/dev/null", O_RDONLY) == 4);
  spawn_true();
  CHECK(open("/dev/null", O_RDONLY) == 5);
  CHECK(close(4) == 0 && close(4) == -1 && errno == EBADF);
  CHECK(dup2(3, 100) == 100 && close(100) == 0);
  CHECK(close_range(3, 5, 0) == 0 && fcntl(3, F_GETFD) == -1 && fcntl(5, F_GETFD) == -1);
  CHECK(close_range(5, 3, 0) == -1 && errno == EINVAL);
}

// Seccomp

void strict() {
  int p[2];
  CHECK(pipe(p) == 0);
  in_child(
      [&] {
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT);
        char c = 'x';
        if (write(p[1], &c, 1) != 1 || read(p[0], &c, 1) != 1) syscall(SYS_exit, 1);
        syscall(SYS_exit, 11);
      },
      11 << 8);
}

void kill_on(const std::vector<unsigned>& calls) {
  std::vector<sock_filter> filter;
  filter.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)));
  for (const unsigned nr : calls) {
    filter.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1));
    filter.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS));
  }
  filter.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  const sock_fprog program{static_cast<unsigned short>(filter.size()), filter.data()};
  CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
  CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
}

void own_filter() {
  kill_on({SYS_futex, SYS_sched_yield});
  for (int i = 0; i < 20; ++i) {
    in_child([] { exec_true(); });
    const pid_t pid = vfork();
    if (pid == 0) exec_true();
    reap(pid);
  }
}

/// The filter is inherited, also by what does not know of it.
void own_filter_children() {
  kill_on({SYS_futex, SYS_sched_yield});
  const pid_t pid = vfork();
  if (pid == 0) {
    execl("/bin/sh", "sh", "-c", "i=0; while [ $i -lt 20 ]; do /bin/true || exit 1; i=$((i+1)); done", nullptr);
    _exit(127);
  }
  reap(pid);
}

// Signals while programs start

volatile sig_atomic_t children_gone;
void sigchld() {
  install(
      SIGCHLD,
      [](int, siginfo_t*, void*) {
        const int saved = errno;
        const int fd = open("/proc/self/comm", O_RDONLY);
        char c;
        CHECK(fd >= 0 && read(fd, &c, 1) == 1 && close(fd) == 0);
        while (waitpid(-1, nullptr, WNOHANG) > 0) children_gone = children_gone + 1;
        errno = saved;
      },
      SA_RESTART);
  constexpr int COUNT = 200;
  sigset_t chld, old;
  sigemptyset(&chld);
  sigaddset(&chld, SIGCHLD);
  for (int i = 0; i < COUNT; ++i) {
    pid_t pid = -1;
    char* const argv[] = {const_cast<char*>("true"), nullptr};
    if (i % 2 == 0) {
      CHECK(posix_spawn(&pid, TRUE_PATH, nullptr, nullptr, argv, environ) == 0);
    } else {
      pid = fork();
      if (pid == 0) exec_true();
      CHECK(pid > 0);
    }
  }
  CHECK(sigprocmask(SIG_BLOCK, &chld, &old) == 0);
  while (children_gone < COUNT) sigsuspend(&old);
}

/// A timer fires all the time, its handler leaves by siglongjmp half of the times.
volatile sig_atomic_t ticks, jump_allowed;
void interrupted() {
  install(
      SIGALRM,
      [](int, siginfo_t*, void*) {
        ticks = ticks + 1;
        if (jump_allowed != 0 && ticks % 2 == 0) siglongjmp(recover, 1);
      },
      SA_RESTART);
  const itimerval fast{{0, 300}, {0, 300}}, off{};
  CHECK(setitimer(ITIMER_REAL, &fast, nullptr) == 0);
  static int i;
  for (i = 0; i < 100; ++i) {
    // A call that fails needs no child: execve of nothing, interrupted anywhere.
    if (sigsetjmp(recover, 1) == 0) {
      jump_allowed = 1;
      for (int k = 0; k < 20; ++k) {
        execl("/nonexistent", "x", nullptr);
        close(500);
      }
    }
    jump_allowed = 0;
    if (i % 10 == 0) spawn_true();
  }
  CHECK(setitimer(ITIMER_REAL, &off, nullptr) == 0);
  CHECK(ticks > 0);
  for (i = 0; i < 5; ++i) spawn_true();
}

void nothing() {}

struct What {
  const char* name;
  void (*run)();
};
constexpr What ALL[] = {
    {"segv", segv},
    {"segv-default", segv_default},
    {"segv-in-handler", segv_in_handler},
    {"segv-resethand", segv_resethand},
    {"segv-pending", segv_pending},
    {"masks", masks},
    {"masks-exec", masks_exec},
    {"masks-after-exec", masks_after_exec},
    {"masked-waits", masked_waits},
    {"fork-in-threads", fork_in_threads},
    {"spawn-in-threads", spawn_in_threads},
    {"vfork-exit", vfork_exit},
    {"clones", clones},
    {"cancel", cancel},
    {"system-popen", system_popen},
    {"few-files", few_files},
    {"low-numbers", low_numbers},
    {"strict", strict},
    {"own-filter", own_filter},
    {"own-filter-children", own_filter_children},
    {"sigchld", sigchld},
    {"interrupted", interrupted},
    {"nothing", nothing},
};

}  // namespace

int main(int argc, char** argv) {
  for (const What& w : ALL) {
    if (argc != 2 || std::strcmp(argv[1], w.name) != 0) continue;
    // A core file for each child that is to die of a signal helps nobody.
    const rlimit none{0, 0};
    setrlimit(RLIMIT_CORE, &none);
    w.run();
    std::puts("ok");
    return 0;
  }
  return 2;
}
