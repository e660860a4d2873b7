// maps tests: a child that runs one operation instruction by instruction, with a look at shared memory after each.
#pragma once
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <functional>

#include "base/types.h"

namespace skep::test {

#ifdef __SANITIZE_ADDRESS__
constexpr u32 STEP_STRIDE = 7;  ///< instrumented code takes ten times the steps: look at every seventh place
#else
constexpr u32 STEP_STRIDE = 1;
#endif

/// Stepper and stepped on one processor: waking each other across two costs several times as much.
class OneCpu {
 public:
  OneCpu() {
    sched_getaffinity(0, sizeof(before_), &before_);
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(sched_getcpu(), &one);
    sched_setaffinity(0, sizeof(one), &one);
  }
  ~OneCpu() { sched_setaffinity(0, sizeof(before_), &before_); }
  OneCpu(const OneCpu&) = delete;
  OneCpu& operator=(const OneCpu&) = delete;

 private:
  cpu_set_t before_;
};

/// Forks, single-steps `op` in the child and calls seen(n) after its n-th instruction; false: the rest runs freely. Fails the test
/// when the child does not end well.
inline void step_through(const std::function<void()>& op, const std::function<bool(u32)>& seen) {
  const OneCpu pinned;
  // Says when the child is inside op: what comes before and after (signal return, lazy binding of _exit) is not stepped.
  auto* inside = static_cast<volatile u32*>(mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  ASSERT_NE(inside, MAP_FAILED);
  const pid_t pid = fork();
  ASSERT_GE(pid, 0);
  if (pid == 0) {
    ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
    raise(SIGSTOP);
    *inside = 1;
    op();
    *inside = 2;
    _exit(0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(pid, &status, 0), pid);
  ASSERT_TRUE(WIFSTOPPED(status));
  bool stepping = true;
  for (u32 n = 0;;) {
    ASSERT_EQ(ptrace(stepping ? PTRACE_SINGLESTEP : PTRACE_CONT, pid, nullptr, nullptr), 0);
    ASSERT_EQ(waitpid(pid, &status, 0), pid);
    if (!WIFSTOPPED(status)) break;
    ASSERT_EQ(WSTOPSIG(status), SIGTRAP);
    if (*inside == 1) stepping = seen(n++);
    if (*inside == 2) stepping = false;
  }
  munmap(const_cast<u32*>(inside), 4096);
  ASSERT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
}

}  // namespace skep::test
