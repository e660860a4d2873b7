#include "cli/session.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>

#include "cli/run.h"
#include "host/host.h"

namespace skep::cli {
namespace {

constexpr std::size_t MAX_DIR = 90;  // the agent's room for it, and a socket's path

u32 possible_cpus() {
  const long n = sysconf(_SC_NPROCESSORS_CONF);
  return n < 1 ? 1 : n > long{MAX_CPUS} ? MAX_CPUS : static_cast<u32>(n);
}

UniqueFd connect_to(const std::string& dir) {
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un addr{};
  addr.sun_family = AF_UNIX;
  const std::string path = dir + "/ctl";
  if (path.size() >= sizeof addr.sun_path) return UniqueFd();
  std::memcpy(addr.sun_path, path.c_str(), path.size() + 1);
  if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&addr), sizeof addr) != 0) return UniqueFd();
  return fd;
}

bool read_all(int fd, void* to, std::size_t n, UniqueFd* fd_out) {
  auto* at = static_cast<u8*>(to);
  while (n > 0) {
    iovec iov{at, n};
    alignas(cmsghdr) char control[CMSG_SPACE(4 * sizeof(int))];
    msghdr m{};
    m.msg_iov = &iov;
    m.msg_iovlen = 1;
    m.msg_control = control;
    m.msg_controllen = sizeof control;
    const ssize_t got = recvmsg(fd, &m, MSG_CMSG_CLOEXEC);
    if (got <= 0) return false;
    for (cmsghdr* c = CMSG_FIRSTHDR(&m); c != nullptr; c = CMSG_NXTHDR(&m, c)) {
      if (c->cmsg_type != SCM_RIGHTS) continue;
      int received;
      std::memcpy(&received, CMSG_DATA(c), sizeof received);
      if (fd_out != nullptr) fd_out->reset(received);
    }
    at += got;
    n -= static_cast<std::size_t>(got);
  }
  return true;
}

u64 random_word() {
  u64 r = 0;
  while (getrandom(&r, sizeof r, 0) != static_cast<ssize_t>(sizeof r)) {
  }
  return r;
}

Problem make_base(const std::string& base) {
  std::error_code ec;
  const bool made = std::filesystem::create_directories(base, ec);
  struct stat st {};
  if (ec || stat(base.c_str(), &st) != 0)
    return fmt::format("cannot make {}: {} (SKEP_RUNTIME_DIR names another place)", base, ec ? ec.message() : std::strerror(errno));
  if (st.st_uid != geteuid()) return fmt::format("{} belongs to uid {} (SKEP_RUNTIME_DIR names another place)", base, st.st_uid);
  // Others may pass through to a session that root told them of, and not look around.
  if ((made && chmod(base.c_str(), geteuid() == 0 ? 0711 : 0700) != 0) || access(base.c_str(), W_OK) != 0)
    return fmt::format("cannot write to {}: {} (SKEP_RUNTIME_DIR names another place)", base, std::strerror(errno));
  return {};
}

/// A directory of ours by its name, NAME.<12 hex digits>, and with a socket of ours in it.
bool looks_like_session(const std::filesystem::path& dir) {
  const std::string leaf = dir.filename().string();
  const std::size_t dot = leaf.rfind('.');
  if (dot == std::string::npos || leaf.size() - dot != 13 || leaf.find_first_not_of("0123456789abcdef", dot + 1) != std::string::npos) return false;
  struct stat st {};
  return lstat((dir / "ctl").c_str(), &st) == 0 && S_ISSOCK(st.st_mode) && st.st_uid == geteuid();
}

/// Removes what hosts that were killed left behind.
void sweep(const std::string& base) {
  std::error_code ec;
  for (const auto& e : std::filesystem::directory_iterator(base, ec)) {
    if (!looks_like_session(e.path())) continue;  // just being made, or none of ours
    if (connect_to(e.path().string()) || errno != ECONNREFUSED) continue;
    std::error_code ignored;
    std::filesystem::remove_all(e.path(), ignored);
  }
}

/// One at a time looks for a session and starts it, so that two with one name become one.
UniqueFd lock_base(const std::string& base) {
  UniqueFd fd(open(base.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (fd) flock(fd.get(), LOCK_EX);
  return fd;
}

bool write_token(const std::string& dir, const std::string& token) {
  const UniqueFd fd(open((dir + "/token").c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600));
  return fd && write(fd.get(), token.data(), token.size()) == static_cast<ssize_t>(token.size());
}

std::string read_token(const std::string& dir) {
  char text[64] = {};
  const UniqueFd fd(open((dir + "/token").c_str(), O_RDONLY | O_CLOEXEC));
  return fd && read(fd.get(), text, sizeof text - 1) > 0 ? text : "";
}

bool is_set(const char* name) {
  const char* value = getenv(name);
  return value != nullptr && *value != '\0';
}

[[noreturn]] void run_host(const std::string& dir, const u64 (&token)[2], const SessionOptions& with, int ready) {
  setsid();
  const int null = open("/dev/null", O_RDWR);
  for (int fd = 0; fd < 3; ++fd) dup2(null, fd);
  for (int fd = 3; fd < 4096; ++fd)
    if (fd != ready) close(fd);
  if (chdir("/") != 0) _exit(1);
  unsetenv("LD_PRELOAD");
  HostOptions options{dir, {token[0], token[1]}, possible_cpus()};
  options.jit = with.jit && !is_set("SKEP_NO_JIT");
  if (const char* headers = getenv("SKEP_KERNEL_HEADERS"); headers != nullptr) options.kernel_headers = headers;
  options.perf_map = with.perf_map || is_set("SKEP_PERF_MAP");
  std::error_code no_exe;
  options.worker = {std::filesystem::read_symlink("/proc/self/exe", no_exe).string(), agent_path()};
  options.gdb_jit = with.gdb_jit || is_set("SKEP_GDB_JIT");
  Result<std::unique_ptr<Host>> host = Host::create(options);
  const int error = host.ok() ? 0 : host.error().value();
  (void)!write(ready, &error, sizeof error);
  close(ready);
  if (host.ok()) {
    (*host)->run();
    host->reset();
  }
  std::error_code ec;
  std::filesystem::remove_all(dir, ec);
  if (getenv("SKEP_RUNTIME_DIR") == nullptr) std::filesystem::remove(std::filesystem::path(dir).parent_path(), ec);  // when it was the last
  _exit(error == 0 ? 0 : 1);
}

/// In a process of its own, child of nobody here.
Problem start_host(const std::string& dir, const u64 (&token)[2], const SessionOptions& with) {
  int ready[2];
  if (pipe2(ready, O_CLOEXEC) != 0) return fmt::format("pipe: {}", std::strerror(errno));
  const pid_t middle = fork();
  if (middle < 0) return fmt::format("fork: {}", std::strerror(errno));
  if (middle == 0) {
    const pid_t host = fork();
    if (host == 0) run_host(dir, token, with, ready[1]);
    _exit(host < 0 ? 1 : 0);
  }
  close(ready[1]);
  int status = 0, error = EIO;
  waitpid(middle, &status, 0);
  const bool said = read(ready[0], &error, sizeof error) == static_cast<ssize_t>(sizeof error);
  close(ready[0]);
  if (!said) return "the session's host died at its start";
  return error == 0 ? Problem() : fmt::format("the session's host cannot start: {}", std::strerror(error));
}

}  // namespace

std::string runtime_dir() {
  if (const char* own = getenv("SKEP_RUNTIME_DIR"); own != nullptr && *own == '/') return own;
  if (geteuid() == 0) return "/run/skep";
  const char* xdg = getenv("XDG_RUNTIME_DIR");
  struct stat st {};
  if (xdg != nullptr && *xdg == '/' && stat(xdg, &st) == 0 && st.st_uid == geteuid()) return std::string(xdg) + "/skep";
  return fmt::format("/tmp/skep-{}", geteuid());
}

std::string session_name(const std::string& dir) {
  const std::string leaf = std::filesystem::path(dir).filename().string();
  return leaf.substr(0, leaf.rfind('.'));
}

s64 ask_host(const std::string& dir, WireOp op, std::string* payload, UniqueFd* fd, u64 a0, u64 a1) {
  const UniqueFd conn = connect_to(dir);
  if (!conn) return -EIO;
  WireRequest r{};
  r.magic = WIRE_MAGIC;
  r.length = sizeof r;
  r.op = op;
  r.a[0] = a0;
  r.a[1] = a1;
  WireReply reply{};
  if (write(conn.get(), &r, sizeof r) != static_cast<ssize_t>(sizeof r) || !read_all(conn.get(), &reply, sizeof reply, fd)) return -EIO;
  std::string text(reply.payload, '\0');
  if (!read_all(conn.get(), text.data(), text.size(), fd)) return -EIO;
  if (payload != nullptr) *payload = std::move(text);
  return reply.rc;
}

std::vector<std::string> live_sessions() {
  std::vector<std::string> out;
  std::error_code ec;
  for (const auto& e : std::filesystem::directory_iterator(runtime_dir(), ec))
    if (connect_to(e.path().string())) out.push_back(e.path().string());
  return out;
}

Problem open_session(const std::string& name, SessionHandle* out, const SessionOptions& options) {
  for (const char c : name)
    if (std::isalnum(static_cast<unsigned char>(c)) == 0 && c != '-' && c != '_') return "a session's name is letters, digits, - and _";
  if (name.size() > 32) return "a session's name has at most 32 characters";
  const std::string base = runtime_dir();
  if (Problem p = make_base(base); !p.empty()) return p;
  const UniqueFd alone = lock_base(base);
  sweep(base);
  out->name = name.empty() ? fmt::format("s{}", getpid()) : name;
  if (!name.empty())
    for (const std::string& dir : live_sessions())
      if (session_name(dir) == name) {
        out->dir = dir;
        out->token = read_token(dir);
        if (ask_host(dir, WireOp::Liveness, nullptr, &out->liveness) == 0 && out->liveness) return {};
      }
  out->dir = fmt::format("{}/{}.{:012x}", base, out->name, random_word() & 0xffffffffffffULL);
  if (out->dir.size() > MAX_DIR) return fmt::format("the path {} is too long for a session (SKEP_RUNTIME_DIR names another place)", out->dir);
  if ((mkdir(out->dir.c_str(), 0755) != 0 && (!make_base(base).empty() || mkdir(out->dir.c_str(), 0755) != 0)) || chmod(out->dir.c_str(), geteuid() == 0 ? 0755 : 0700) != 0)
    return fmt::format("cannot make {}: {}", out->dir, std::strerror(errno));
  const u64 token[2] = {random_word(), random_word()};
  out->token = fmt::format("{:016x}{:016x}", token[0], token[1]);
  if (!write_token(out->dir, out->token)) return fmt::format("cannot write in {}: {}", out->dir, std::strerror(errno));
  if (Problem p = start_host(out->dir, token, options); !p.empty()) return p;
  if (ask_host(out->dir, WireOp::Liveness, nullptr, &out->liveness) != 0 || !out->liveness) return "the session's host does not answer";
  return {};
}

}  // namespace skep::cli
