#include "cli/run.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>

#include "agent/image.h"
#include "cli/session.h"

namespace skep::cli {
namespace {

constexpr int EXIT_SKEP = 125, EXIT_CANNOT = 126, EXIT_MISSING = 127;

int complain(const std::string& text) {
  fmt::print(stderr, "skep: {}\n", text);
  return EXIT_SKEP;
}

volatile pid_t child = 0;

/// What a terminal sends goes to the whole group; what somebody sent to us alone is meant for the command.
void forward(int sig, siginfo_t* info, void*) {
  if (child > 0 && info->si_code <= 0) kill(child, sig);
}

void forward_signals() {
  struct sigaction sa {};
  sa.sa_sigaction = forward;
  sa.sa_flags = SA_SIGINFO | SA_RESTART;
  for (const int sig : {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGALRM, SIGWINCH, SIGCONT}) sigaction(sig, &sa, nullptr);
}

/// Out of the program's way, open across exec.
int park(int fd) {
  rlimit limit{1024, 1024};
  getrlimit(RLIMIT_NOFILE, &limit);
  const int top = limit.rlim_cur > 1023 ? 1023 : static_cast<int>(limit.rlim_cur) - 1;
  for (int at = top - 15; at > 2; at -= 64)
    if (const int to = fcntl(fd, F_DUPFD, at); to >= 0) return to;
  return fcntl(fd, F_DUPFD, 3);
}

/// The file that execvp would run; empty when there is none.
std::string find_command(const std::string& name) {
  if (name.find('/') != std::string::npos) return name;
  const char* env = getenv("PATH");
  const std::string path = env != nullptr ? env : "/bin:/usr/bin";
  for (std::size_t at = 0; at <= path.size();) {
    std::size_t end = path.find(':', at);
    if (end == std::string::npos) end = path.size();
    const std::string file = (end == at ? std::string(".") : path.substr(at, end - at)) + "/" + name;
    if (access(file.c_str(), X_OK) == 0 && !std::filesystem::is_directory(file)) return file;
    at = end + 1;
  }
  return {};
}

[[noreturn]] void become(const RunOptions& options, const SessionHandle& session, const std::string& agent) {
  const std::string file = find_command(options.command[0]);
  if (file.empty()) {
    fmt::print(stderr, "skep: {}: command not found\n", options.command[0]);
    _exit(EXIT_MISSING);
  }
  using agent::Image;
  const Image image = agent::classify_image(AT_FDCWD, file.c_str(), 0);
  if (image != Image::Traced) fmt::print(stderr, "skep: {} is {}: it runs untraced\n", file, agent::image_text(image));
  // Nothing in a session makes a real bpf(2) or perf_event_open. Root could: system calls from outside libc, untraced images. For others
  // the machine is closed already, or the image is fenced in where that does no harm.
  if (image != Image::Traced || geteuid() == 0) agent::fence_image(image);
  const char* old = getenv("LD_PRELOAD");
  if (image != Image::OtherLibc && image != Image::Other32 && image != Image::Unreadable)
    setenv("LD_PRELOAD", old == nullptr || *old == '\0' ? agent.c_str() : (agent + ":" + old).c_str(), 1);
  setenv("SKEP_SESSION", session.dir.c_str(), 1);
  if (options.fake_root) setenv("SKEP_FAKE_ROOT", "1", 1);
  setenv("SKEP_TOKEN", session.token.c_str(), 1);
  setenv("SKEP_LIVENESS", std::to_string(park(session.liveness.get())).c_str(), 1);
  std::vector<char*> argv;
  for (const std::string& a : options.command) argv.push_back(const_cast<char*>(a.c_str()));
  argv.push_back(nullptr);
  execvp(options.command[0].c_str(), argv.data());
  const int error = errno;
  fmt::print(stderr, "skep: {}: {}\n", options.command[0], std::strerror(error));
  _exit(error == ENOENT ? EXIT_MISSING : EXIT_CANNOT);
}

}  // namespace

std::string agent_path() {
  std::error_code ec;
  const auto exe = std::filesystem::read_symlink("/proc/self/exe", ec);
  for (const char* place : {"../lib/libskep-agent.so", "../lib/skep/libskep-agent.so", "libskep-agent.so"}) {
    const auto file = (exe.parent_path() / place).lexically_normal();
    if (std::filesystem::exists(file, ec)) return file.string();
  }
  return {};
}

int run_command(const RunOptions& options) {
  const std::string agent = agent_path();
  if (agent.empty()) return complain("libskep-agent.so is not beside this program (../lib): is the build complete?");
  if (agent.find_first_of(": ") != std::string::npos) return complain(fmt::format("{}: the dynamic loader cannot preload a path with ':' or ' '", agent));
  SessionHandle session;
  if (const Problem p = open_session(options.session, &session, {options.jit, options.perf_map, options.gdb_jit}); !p.empty()) return complain(p);
  const u64 refused = options.explain == Explain::No ? 0 : refusal_count(session.dir);
  sigset_t all, before;
  sigfillset(&all);
  sigprocmask(SIG_BLOCK, &all, &before);
  const pid_t pid = fork();
  if (pid < 0) return complain(fmt::format("fork: {}", std::strerror(errno)));
  if (pid == 0) {
    sigprocmask(SIG_SETMASK, &before, nullptr);
    become(options, session, agent);
  }
  child = pid;
  forward_signals();
  sigprocmask(SIG_SETMASK, &before, nullptr);
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (options.explain != Explain::No) explain_since(session.dir, refused, options.explain);
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

}  // namespace skep::cli
