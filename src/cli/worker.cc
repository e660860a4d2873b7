#include "cli/worker.h"

#include <dlfcn.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

namespace skep::cli {

int worker_main(pid_t host) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != host) return 0;  // it has gone already
  prctl(PR_SET_NAME, "skep-worker");
  // In the agent, agent/clock.cc: comes back only where there is no session.
  if (void* loop = dlsym(RTLD_DEFAULT, "skep_clock_loop"); loop != nullptr) reinterpret_cast<void (*)()>(loop)();
  fmt::print(stderr, "skep: worker: this is a part of a session, which starts it by itself: see `skep run`\n");
  return 125;
}

}  // namespace skep::cli
