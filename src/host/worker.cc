#include "host/worker.h"

#include <fmt/format.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <vector>

namespace skep {
namespace {

/// The child has ended, by whatever.
bool is_gone(pid_t pid) { return waitpid(pid, nullptr, WNOHANG) != 0; }

}  // namespace

Worker::~Worker() {
  if (pid_ == 0 || is_gone(pid_)) return;
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
}

Status Worker::start(const WorkerOptions& options, const std::string& session_dir, const u64 (&token)[2]) {
  if (pid_ != 0 && !is_gone(pid_)) return ok_status();
  pid_ = 0;
  if (options.program.empty()) return Errno(ENOENT);
  std::string environment[] = {"LD_PRELOAD=" + options.agent, "SKEP_SESSION=" + session_dir,
                               fmt::format("SKEP_TOKEN={:016x}{:016x}", token[0], token[1])};
  std::vector<char*> envp;
  for (std::string& e : environment) envp.push_back(e.data());
  envp.push_back(nullptr);
  std::string name = "skep", command = "worker", parent = std::to_string(getpid());
  char* argv[] = {name.data(), command.data(), parent.data(), nullptr};
  // The host blocks signals that a worker may well get.
  posix_spawnattr_t attr;
  posix_spawnattr_init(&attr);
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&attr, &none);
  posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
  const int error = posix_spawn(&pid_, options.program.c_str(), nullptr, &attr, argv, envp.data());
  posix_spawnattr_destroy(&attr);
  if (error == 0) return ok_status();
  pid_ = 0;
  return Errno(error);
}

}  // namespace skep
