// maps tests: processes that work on a map beside the test.
#pragma once
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <ctime>
#include <functional>
#include <vector>

namespace skep::test {

inline double now_s(clockid_t clock = CLOCK_MONOTONIC) {
  timespec t;
  clock_gettime(clock, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

/// Processes that never stop, killed with the test.
class Churners {
 public:
  void start(const std::function<void()>& work) {
    const pid_t pid = fork();
    if (pid == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      work();
      _exit(1);
    }
    pids_.push_back(pid);
  }
  void stop() {
    for (const pid_t p : pids_) kill(p, SIGKILL), waitpid(p, nullptr, 0);
    pids_.clear();
  }
  ~Churners() { stop(); }

 private:
  std::vector<pid_t> pids_;
};

}  // namespace skep::test
