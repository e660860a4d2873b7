// tests/syscall: which map an fd means, whatever has happened to the number since it was used last. On Linux that is never a question;
// a client of skep's answers it without the kernel, so every way to change it is tried with warm calls before and after.
#include <fcntl.h>
#include <linux/close_range.h>
#include <sched.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>

#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csetjmp>
#include <csignal>
#include <thread>

#include "bpf_calls.h"

extern char** environ;

namespace skep::test {
namespace {

constexpr std::uint32_t kKey = 1;

/// A system call that no library makes for us.
long raw_call(long number, long a, long b) {
  long rc;
  asm volatile("syscall" : "=a"(rc) : "a"(number), "D"(a), "S"(b) : "rcx", "r11", "memory");
  return rc;
}

/// Runs `f` in a child made by `make`, and expects that it returns true.
template <typename F>
void in_fork_child(F f) {
  const pid_t pid = fork();
  ASSERT_GE(pid, 0);
  if (pid == 0) _exit(f() ? 0 : 1);
  int status = 0;
  ASSERT_EQ(waitpid(pid, &status, 0), pid);
  EXPECT_EQ(status, 0);
}

class MapFdTest : public BpfTest {
 protected:
  void SetUp() override {
    BpfTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    a_ = make(100);
    b_ = make(200);
  }
  static Fd make(std::uint64_t value, std::uint32_t flags = 0) {
    Fd map(map_create({.max_entries = 16, .flags = flags}));
    EXPECT_THAT(map.get(), SyscallSucceeds());
    EXPECT_THAT(map_update(map.get(), &kKey, &value), SyscallSucceeds());
    return map;
  }
  /// What the fd's map holds; the negative errno when it cannot be read.
  static long value_of(int fd) {
    std::uint64_t v = 0;
    return map_lookup(fd, &kKey, &v) == 0 ? static_cast<long>(v) : -errno;
  }
  static long write_to(int fd, std::uint64_t v) { return map_update(fd, &kKey, &v) == 0 ? 0 : -errno; }
  static void warm(int fd, long expected) {
    for (int i = 0; i < 20; ++i) ASSERT_EQ(value_of(fd), expected);
  }
  Fd a_, b_;
};

TEST_F(MapFdTest, Close) {
  Fd fd(dup(a_.get()));
  const int n = fd.get();
  warm(n, 100);
  fd.reset();
  EXPECT_EQ(value_of(n), -EBADF);
  EXPECT_EQ(write_to(n, 1), -EBADF);
  EXPECT_EQ(value_of(a_.get()), 100);
}

TEST_F(MapFdTest, ANumberThatAnotherMapGets) {
  Fd first = make(1);
  const int n = first.get();
  warm(n, 1);
  first.reset();
  const Fd second = make(2);
  ASSERT_EQ(second.get(), n);
  EXPECT_EQ(value_of(n), 2);
}

TEST_F(MapFdTest, ANumberThatSomethingElseGets) {
  for (int kind = 0; kind < 4; ++kind) {
    Fd map = make(1);
    const int n = map.get();
    warm(n, 1);
    map.reset();
    int fds[2] = {-1, -1};
    if (kind == 0) ASSERT_EQ(pipe2(fds, O_CLOEXEC), 0);
    if (kind == 1) fds[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (kind == 2) fds[0] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (kind == 3) {
      const auto insns = std::vector<struct bpf_insn>{{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0},
                                                      {.code = BPF_JMP | BPF_EXIT, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0}};
      fds[0] = static_cast<int>(prog_load({.insns = insns}));
    }
    const Fd one(fds[0]), two(fds[1]);
    ASSERT_EQ(fds[0], n) << kind;
    EXPECT_EQ(value_of(n), -EINVAL) << kind;
    EXPECT_EQ(write_to(n, 5), -EINVAL) << kind;
    std::uint32_t next;
    EXPECT_THAT(map_get_next_key(n, nullptr, &next), SyscallFailsWithErrno(EINVAL)) << kind;
  }
}

TEST_F(MapFdTest, DupOver) {
  const Fd fd(dup(a_.get()));
  warm(fd.get(), 100);
  ASSERT_EQ(dup2(b_.get(), fd.get()), fd.get());
  EXPECT_EQ(value_of(fd.get()), 200);
  ASSERT_EQ(dup3(a_.get(), fd.get(), O_CLOEXEC), fd.get());
  EXPECT_EQ(value_of(fd.get()), 100);
  ASSERT_EQ(dup2(fd.get(), fd.get()), fd.get());
  EXPECT_EQ(value_of(fd.get()), 100);
  ASSERT_EQ(syscall(SYS_dup3, b_.get(), fd.get(), O_CLOEXEC), fd.get());
  EXPECT_EQ(value_of(fd.get()), 200);
  const Fd null(open("/dev/null", O_RDONLY | O_CLOEXEC));
  ASSERT_EQ(dup2(null.get(), fd.get()), fd.get());
  EXPECT_EQ(value_of(fd.get()), -EINVAL);
}

TEST_F(MapFdTest, WritesGoWhereTheNumberPoints) {
  const Fd fd(dup(a_.get()));
  for (std::uint64_t i = 0; i < 50; ++i) {
    const Fd& target = i % 2 != 0 ? a_ : b_;
    ASSERT_EQ(dup2(target.get(), fd.get()), fd.get());
    ASSERT_EQ(write_to(fd.get(), i), 0);
    ASSERT_EQ(value_of(target.get()), static_cast<long>(i));
    ASSERT_EQ(value_of(i % 2 != 0 ? b_.get() : a_.get()), i == 0 ? 100 : static_cast<long>(i - 1));
  }
}

TEST_F(MapFdTest, ClosesThatNobodySees) {
  const Fd fd(dup(a_.get()));
  const int n = fd.get();
  for (int round = 0; round < 20; ++round) {
    warm(n, 100);
    ASSERT_EQ(raw_call(SYS_dup2, b_.get(), n), n);
    ASSERT_EQ(write_to(n, 201), 0) << "what is written goes to the right map at once";
    ASSERT_EQ(value_of(b_.get()), 201);
    ASSERT_EQ(value_of(a_.get()), 100);
    ASSERT_EQ(value_of(n), 201);
    ASSERT_EQ(raw_call(SYS_dup2, a_.get(), n), n);
    // Only looked at: skep finds out a moment later.
    ASSERT_TRUE(eventually([&] { return value_of(n) == 100; }));
    ASSERT_EQ(write_to(b_.get(), 200), 0);
  }
  ASSERT_EQ(raw_call(SYS_close, n, 0), 0);
  EXPECT_EQ(write_to(n, 1), -EBADF);
  EXPECT_EQ(value_of(n), -EBADF);
  ASSERT_EQ(fcntl(a_.get(), F_DUPFD_CLOEXEC, n), n);  // for ~Fd()
}

TEST_F(MapFdTest, FrozenIsFrozen) {
  // Whoever writes while another freezes has written before, or is refused: what is read after the freeze stays.
  for (int round = 0; round < 50; ++round) {
    const Fd map(map_create({.type = BPF_MAP_TYPE_ARRAY, .max_entries = 1}));
    ASSERT_THAT(map.get(), SyscallSucceeds());
    std::atomic<bool> started{false};
    std::atomic<int> refusal{0};
    std::thread writer([&] {
      const std::uint32_t zero = 0;
      for (std::uint64_t v = 1; refusal == 0; ++v) {
        if (map_update(map.get(), &zero, &v) != 0) refusal = errno;
        started = true;
      }
    });
    while (!started) std::this_thread::yield();
    long rc;
    while ((rc = map_freeze(map.get())) != 0 && errno == EBUSY) {
    }
    const std::uint32_t zero = 0;
    std::uint64_t first = 0, second = 0;
    EXPECT_THAT(rc, SyscallSucceeds());
    map_lookup(map.get(), &zero, &first);
    writer.join();
    map_lookup(map.get(), &zero, &second);
    EXPECT_EQ(refusal, EPERM);
    EXPECT_EQ(first, second);
  }
}

TEST_F(MapFdTest, CloseRange) {
  const Fd low(fcntl(a_.get(), F_DUPFD_CLOEXEC, 200)), high(fcntl(b_.get(), F_DUPFD_CLOEXEC, 900));
  warm(low.get(), 100);
  warm(high.get(), 200);
  ASSERT_EQ(close_range(static_cast<unsigned>(low.get()), static_cast<unsigned>(low.get()), 0), 0);
  EXPECT_EQ(value_of(low.get()), -EBADF);
  EXPECT_EQ(value_of(high.get()), 200);
  in_fork_child([&] {  // what else is open there stays open here
    return value_of(high.get()) == 200 && close_range(static_cast<unsigned>(low.get()), ~0u, 0) == 0 && value_of(high.get()) == -EBADF &&
           value_of(a_.get()) == 100;
  });
  EXPECT_EQ(value_of(high.get()), 200);
}

TEST_F(MapFdTest, ManyNumbersOfManyMaps) {
  // More than anybody keeps in a small table: numbers 512 apart, and maps that take turns.
  std::vector<Fd> fds;
  for (int i = 0; i < 40; ++i) fds.emplace_back(fcntl(i % 2 != 0 ? a_.get() : b_.get(), F_DUPFD_CLOEXEC, 300 + i % 20 + 512 * (i / 20)));
  for (int round = 0; round < 3; ++round)
    for (std::size_t i = 0; i < fds.size(); ++i) {
      if (fds[i].get() < 0) continue;  // past the limit of open files
      EXPECT_EQ(value_of(fds[i].get()), i % 2 != 0 ? 100 : 200) << fds[i].get();
    }
}

TEST_F(MapFdTest, ReceivedFds) {
  int ends[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  const Fd from(ends[0]), to(ends[1]);
  Fd old(dup(a_.get()));
  const int n = old.get();
  warm(n, 100);
  char byte = 0, control[CMSG_SPACE(sizeof(int))] = {};
  iovec iov{&byte, 1};
  msghdr m{};
  m.msg_iov = &iov;
  m.msg_iovlen = 1;
  m.msg_control = control;
  m.msg_controllen = sizeof control;
  cmsghdr* c = CMSG_FIRSTHDR(&m);
  c->cmsg_level = SOL_SOCKET;
  c->cmsg_type = SCM_RIGHTS;
  c->cmsg_len = CMSG_LEN(sizeof(int));
  const int sent = b_.get();
  std::memcpy(CMSG_DATA(c), &sent, sizeof sent);
  ASSERT_EQ(sendmsg(from.get(), &m, 0), 1);
  old.reset();
  ASSERT_EQ(recvmsg(to.get(), &m, MSG_CMSG_CLOEXEC), 1);
  int got;
  std::memcpy(&got, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof got);
  const Fd received(got);
  ASSERT_EQ(got, n);
  EXPECT_EQ(value_of(n), 200);
}

TEST_F(MapFdTest, AccessIsTheFilesOwn) {
  const Fd reader(get_fd_by_id(BPF_MAP_GET_FD_BY_ID, map_id(a_.get()), BPF_F_RDONLY));
  ASSERT_THAT(reader.get(), SyscallSucceeds());
  const Fd fd(dup(a_.get()));
  EXPECT_EQ(write_to(fd.get(), 101), 0);
  warm(fd.get(), 101);
  ASSERT_EQ(dup2(reader.get(), fd.get()), fd.get());
  EXPECT_EQ(value_of(fd.get()), 101);
  EXPECT_EQ(write_to(fd.get(), 102), -EPERM);
  EXPECT_THAT(map_delete(fd.get(), &kKey), SyscallFailsWithErrno(EPERM));
}

TEST_F(MapFdTest, FrozenAtOnce) {
  warm(a_.get(), 100);
  ASSERT_EQ(write_to(a_.get(), 103), 0);
  ASSERT_THAT(map_freeze(a_.get()), SyscallSucceeds());
  EXPECT_EQ(write_to(a_.get(), 104), -EPERM);
  EXPECT_EQ(value_of(a_.get()), 103);
}

TEST_F(MapFdTest, ForkChildHasNumbersOfItsOwn) {
  warm(a_.get(), 100);
  in_fork_child([&] {
    if (value_of(a_.get()) != 100) return false;
    if (dup2(b_.get(), a_.get()) != a_.get()) return false;
    return value_of(a_.get()) == 200 && write_to(a_.get(), 201) == 0 && value_of(a_.get()) == 201;
  });
  EXPECT_EQ(value_of(a_.get()), 100);
  EXPECT_EQ(value_of(b_.get()), 201);
}

TEST_F(MapFdTest, TwoProcessesShareAMap) {
  warm(a_.get(), 100);
  in_fork_child([&] {
    for (std::uint32_t k = 2; k < 10; ++k)
      if (std::uint64_t v = k; map_update(a_.get(), &k, &v) != 0) return false;
    return map_delete(a_.get(), &kKey) == 0;
  });
  EXPECT_EQ(value_of(a_.get()), -ENOENT);
  for (std::uint32_t k = 2; k < 10; ++k) {
    std::uint64_t v = 0;
    ASSERT_THAT(map_lookup(a_.get(), &k, &v), SyscallSucceeds());
    EXPECT_EQ(v, k);
  }
}

TEST_F(MapFdTest, VforkChildTouchesOnlyItsOwn) {
  warm(a_.get(), 100);
  const pid_t pid = vfork();
  ASSERT_GE(pid, 0);
  if (pid == 0) {
    // Legal on Linux, if nowhere else: numbers of its own, memory of its parent's.
    const bool good = dup2(b_.get(), a_.get()) == a_.get() && value_of(a_.get()) == 200 && write_to(a_.get(), 202) == 0;
    _exit(good ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(pid, &status, 0), pid);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(value_of(a_.get()), 100);
  EXPECT_EQ(value_of(b_.get()), 202);
  warm(a_.get(), 100);
}

TEST_F(MapFdTest, PosixSpawnMovesNothing) {
  warm(a_.get(), 100);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, b_.get(), a_.get());
  posix_spawn_file_actions_addclose(&actions, b_.get());
  char name[] = "/bin/true";
  char* argv[] = {name, nullptr};
  pid_t pid;
  ASSERT_EQ(posix_spawn(&pid, name, &actions, nullptr, argv, environ), 0);
  posix_spawn_file_actions_destroy(&actions);
  int status = 0;
  ASSERT_EQ(waitpid(pid, &status, 0), pid);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(value_of(a_.get()), 100);
  EXPECT_EQ(value_of(b_.get()), 200);
}

TEST_F(MapFdTest, AThreadWithNumbersOfItsOwn) {
  in_fork_child([&] {  // what it does to the process stays there
    warm(a_.get(), 100);
    std::atomic<int> step{0};
    bool good = true;
    std::thread other([&] {
      good = good && unshare(CLONE_FILES) == 0 && dup2(b_.get(), a_.get()) == a_.get() && value_of(a_.get()) == 200;
      step = 1;
      while (step != 2) std::this_thread::yield();
      good = good && value_of(a_.get()) == 200 && write_to(a_.get(), 205) == 0;
    });
    while (step != 1) std::this_thread::yield();
    good = good && value_of(a_.get()) == 100;
    step = 2;
    other.join();
    return good && value_of(a_.get()) == 100 && value_of(b_.get()) == 205;
  });
}

TEST_F(MapFdTest, LookUpsBesideCloses) {
  // One thread moves the number from map to map, and to nothing; others look: each sees one of the maps, or none.
  constexpr int kNumber = 333;
  std::atomic<bool> stop{false};
  std::atomic<long> wrong{0};
  std::vector<std::thread> readers;
  for (int i = 0; i < 3; ++i)
    readers.emplace_back([&] {
      while (!stop) {
        const long v = value_of(kNumber);
        if (v != 100 && v != 200 && v != -EBADF) wrong = v;
      }
    });
  for (int i = 0; i < 800; ++i) {
    if (dup2(i % 2 != 0 ? a_.get() : b_.get(), kNumber) != kNumber) wrong = -1;
    if (const long v = value_of(kNumber); v != (i % 2 != 0 ? 100 : 200)) wrong = v;
    if (i % 3 != 0) continue;
    close(kNumber);
    if (const long v = value_of(kNumber); v != -EBADF) wrong = v;
  }
  stop = true;
  for (std::thread& t : readers) t.join();
  close(kNumber);
  EXPECT_EQ(wrong, 0);
}

TEST_F(MapFdTest, MapsThatGoWhileTheyAreUsed) {
  // The last fd of a map is closed under look-ups and updates; the next map may get its memory.
  std::atomic<int> number{-1};
  std::atomic<bool> stop{false};
  std::atomic<long> wrong{0};
  std::vector<std::thread> users;
  for (int i = 0; i < 3; ++i)
    users.emplace_back([&, i] {
      while (!stop) {
        const int fd = number;
        if (fd < 0) continue;
        std::uint64_t v = 7;
        const long rc = i == 0 ? map_update(fd, &kKey, &v) : map_lookup(fd, &kKey, &v);
        if (rc != 0 && errno != EBADF && errno != ENOENT && errno != EINVAL && errno != EBUSY) wrong = errno;
        if (rc == 0 && v != 7) wrong = -static_cast<long>(v);
      }
    });
  for (int i = 0; i < 400; ++i) {
    const Fd map(map_create({.max_entries = 4}));
    const std::uint64_t seven = 7;
    map_update(map.get(), &kKey, &seven);
    number = map.get();
    for (int look = 0; look < 20; ++look) value_of(map.get());
  }
  number = -1;
  stop = true;
  for (std::thread& t : users) t.join();
  EXPECT_EQ(wrong, 0);
}

TEST_F(MapFdTest, KilledInTheMiddle) {
  for (int i = 0; i < 10; ++i) {
    int ends[2];
    ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
    const Fd ready(ends[0]);
    Fd tell(ends[1]);
    const pid_t pid = fork();
    ASSERT_GE(pid, 0);
    if (pid == 0) {
      for (std::uint64_t v = 0;; ++v) {
        for (std::uint32_t k = 2; k < 12; ++k) map_update(a_.get(), &k, &v);
        for (std::uint32_t k = 2; k < 12; ++k) map_delete(a_.get(), &k);
        if (v == 50 && write(tell.get(), "x", 1) != 1) _exit(1);
      }
    }
    tell.reset();
    char byte;
    ASSERT_EQ(read(ready.get(), &byte, 1), 1);
    ASSERT_EQ(kill(pid, SIGKILL), 0);
    ASSERT_EQ(waitpid(pid, nullptr, 0), pid);
    // Whatever it held is free, and the map is whole.
    EXPECT_TRUE(eventually([&] { return write_to(a_.get(), 100) == 0; }));
    for (std::uint32_t k = 2; k < 16; ++k) {
      std::uint64_t v = k;
      ASSERT_TRUE(eventually([&] { return map_update(a_.get(), &k, &v) == 0; })) << i << ": " << k << ": " << errno;
    }
    for (std::uint32_t k = 2; k < 16; ++k) ASSERT_THAT(map_delete(a_.get(), &k), SyscallSucceeds()) << k;
    EXPECT_EQ(value_of(a_.get()), 100);
  }
}

sigjmp_buf out_of_handler;
std::atomic<int> handled;
int handler_map = -1;
std::atomic<long> handler_wrong;

void jump_out(int) { siglongjmp(out_of_handler, 1); }
void use_a_map(int) {
  std::uint64_t v = 0;
  const std::uint32_t key = 5;
  if (map_lookup(handler_map, &kKey, &v) != 0 || v != 200) handler_wrong = -errno;
  if (map_update(handler_map, &key, &v) != 0) handler_wrong = -errno;
  ++handled;
}

class TimerSignals {
 public:
  TimerSignals(void (*handler)(int), int flags) {
    struct sigaction action {};
    action.sa_handler = handler;
    action.sa_flags = flags | SA_RESTART;
    sigaction(SIGALRM, &action, &before_);
    const itimerval every{{0, 300}, {0, 300}};
    setitimer(ITIMER_REAL, &every, nullptr);
  }
  ~TimerSignals() {
    const itimerval never{};
    setitimer(ITIMER_REAL, &never, nullptr);
    sigaction(SIGALRM, &before_, nullptr);
  }

 private:
  struct sigaction before_ {};
};

TEST_F(MapFdTest, HandlersThatJumpOut) {
  volatile int jumps = 0;
  volatile std::uint64_t calls = 0;
  {
    const TimerSignals timer(jump_out, SA_NODEFER);
    if (sigsetjmp(out_of_handler, 1) != 0) jumps = jumps + 1;
    while (jumps < 300) {
      const std::uint32_t key = 2 + static_cast<std::uint32_t>(calls % 8);
      const std::uint64_t v = calls;
      map_update(a_.get(), &key, &v);
      map_delete(a_.get(), &key);
      calls = calls + 1;
    }
  }
  for (std::uint32_t k = 2; k < 17; ++k) {
    std::uint64_t v = k;
    ASSERT_TRUE(eventually([&] { return map_update(a_.get(), &k, &v) == 0 || errno == E2BIG; })) << k << ": " << errno;
  }
  EXPECT_EQ(value_of(a_.get()), 100);
}

TEST_F(MapFdTest, HandlersThatUseMaps) {
  handled = 0;
  handler_wrong = 0;
  handler_map = b_.get();
  {
    const TimerSignals timer(use_a_map, 0);
    while (handled < 300) {
      ASSERT_EQ(value_of(a_.get()), 100);
      ASSERT_EQ(write_to(a_.get(), 100), 0);
    }
  }
  EXPECT_EQ(handler_wrong, 0);
}

TEST_F(MapFdTest, CountsOfElementsSurvive) {
  // E2BIG comes at the same place whoever put the elements in.
  in_fork_child([&] {
    for (std::uint32_t k = 2; k < 10; ++k)
      if (std::uint64_t v = k; map_update(a_.get(), &k, &v) != 0) return false;
    return true;
  });
  for (std::uint32_t k = 10; k < 17; ++k) {
    std::uint64_t v = k;
    ASSERT_THAT(map_update(a_.get(), &k, &v), SyscallSucceeds()) << k;
  }
  const std::uint32_t one_more = 99;
  const std::uint64_t v = 0;
  EXPECT_THAT(map_update(a_.get(), &one_more, &v), SyscallFailsWithErrno(E2BIG));
}

}  // namespace
}  // namespace skep::test
