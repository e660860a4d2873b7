// host: the session's worker: a process under skep in which software clocks go off, for processors on which nobody runs. Linux's idle tasks.
#pragma once
#include <sys/types.h>

#include <string>

#include "base/result.h"
#include "base/types.h"

namespace skep {

/// What the worker has to be told of its session.
struct WorkerOptions {
  std::string program;  ///< with an argument "worker"; empty: there is no worker, and clocks do not go off
  std::string agent;    ///< to be preloaded
};

/// A child of the host's. It ends with the host, by a signal of the kernel's, and has no part in how long the session lives.
class Worker {
 public:
  Worker() = default;
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  /// Starts it unless it is there. EAGAIN and the like when a process cannot be had, ENOENT without a program.
  Status start(const WorkerOptions& options, const std::string& session_dir, const u64 (&token)[2]);
  pid_t pid() const { return pid_; }

 private:
  pid_t pid_ = 0;
};

}  // namespace skep
