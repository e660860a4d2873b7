#include "objects/pins.h"

#include <fcntl.h>
#include <sys/fsuid.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#include <vector>

namespace skep {
namespace {

constexpr const char* BPFFS = "/sys/fs/bpf";

/// Lexical: ".", "..", doubled slashes.
std::string normalize(const std::string& path) {
  std::vector<std::string> parts;
  std::size_t i = 0;
  while (i < path.size()) {
    const std::size_t j = path.find('/', i);
    const std::string part = path.substr(i, j == std::string::npos ? j : j - i);
    i = j == std::string::npos ? path.size() : j + 1;
    if (part.empty() || part == ".") continue;
    if (part == "..") {
      if (!parts.empty()) parts.pop_back();
    } else {
      parts.push_back(part);
    }
  }
  std::string out;
  for (const std::string& p : parts) out += "/" + p;
  return out.empty() ? "/" : out;
}

bool under(const std::string& path, const std::string& dir) {
  return path.compare(0, dir.size(), dir) == 0 && (path.size() == dir.size() || path[dir.size()] == '/');
}

}  // namespace

FsCredentials::FsCredentials(uid_t uid, gid_t gid) : changed_(geteuid() == 0 && uid != 0) {
  if (!changed_) return;
  setfsgid(gid);
  setfsuid(uid);
}

FsCredentials::~FsCredentials() {
  if (!changed_) return;
  setfsuid(geteuid());
  setfsgid(getegid());
}

PinStore::PinStore(std::string root) : root_(std::move(root)) {
  if (!root_.empty()) inotify_ = UniqueFd(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
}

std::string PinStore::real_path(const std::string& path, const std::string& cwd) const {
  if (root_.empty() || path.empty()) return {};
  const std::string full = normalize(path[0] == '/' ? path : cwd + "/" + path);
  if (under(full, BPFFS)) return root_ + full.substr(std::char_traits<char>::length(BPFFS));
  if (under(full, root_)) return full;
  return {};
}

Status PinStore::pin(const std::string& real, ObjectRef object, uid_t uid, gid_t gid) {
  if (!inotify_) return Errno(EPERM);
  const std::size_t slash = real.rfind('/');
  // Linux: kernel/bpf/inode.c:bpf_lookup(): dots in names are reserved.
  if (slash == std::string::npos || real.find('.', slash) != std::string::npos) return Errno(EPERM);
  const FsCredentials as(uid, gid);
  const UniqueFd fd(open(real.c_str(), O_CREAT | O_EXCL | O_RDWR | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!fd) return Errno(errno);
  struct stat st {};
  const std::string self = "/proc/self/fd/" + std::to_string(fd.get());
  const int wd = fstat(fd.get(), &st) == 0 ? inotify_add_watch(inotify_.get(), self.c_str(), IN_DELETE_SELF) : -1;
  if (wd < 0) {
    const int saved = errno;
    unlink(real.c_str());
    return Errno(saved);
  }
  MapUser user(object);
  by_watch_[wd] = Pin{st.st_dev, st.st_ino, real, std::move(object), std::move(user)};
  return ok_status();
}

Result<ObjectRef> PinStore::get(const std::string& real, uid_t uid, gid_t gid, u32 mode) {
  const FsCredentials as(uid, gid);
  const int flags = mode == FILE_READ ? O_RDONLY : mode == FILE_WRITE ? O_WRONLY : O_RDWR;
  // Not to be held up by whatever else somebody put there.
  const UniqueFd fd(open(real.c_str(), flags | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
  if (!fd) return Errno(errno == EISDIR || errno == ENXIO ? EACCES : errno);
  struct stat st {};
  if (fstat(fd.get(), &st) != 0) return Errno(errno);
  for (const auto& [wd, pin] : by_watch_)
    if (pin.dev == st.st_dev && pin.ino == st.st_ino) return pin.object;
  return Errno(EACCES);
}

void PinStore::drain() {
  if (!inotify_) return;
  alignas(inotify_event) char buf[4096];
  for (;;) {
    const ssize_t n = read(inotify_.get(), buf, sizeof buf);
    if (n <= 0) return;
    for (ssize_t at = 0; at < n;) {
      const auto* e = reinterpret_cast<const inotify_event*>(buf + at);
      at += static_cast<ssize_t>(sizeof *e + e->len);
      if ((e->mask & (IN_DELETE_SELF | IN_IGNORED)) != 0) by_watch_.erase(e->wd);
    }
  }
}

}  // namespace skep
