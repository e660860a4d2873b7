// syscall: OBJ_PIN and OBJ_GET. Linux: kernel/bpf/syscall.c:bpf_obj_pin(), kernel/bpf/inode.c
#include <fcntl.h>
#include <unistd.h>

#include "syscall/commands.h"

namespace skep {
namespace {

constexpr u64 PATH_LIMIT = 4096;

/// Copies the path in and maps it onto the session's bpffs. ENOENT for an empty path; `foreign` for a path elsewhere whose `part`
/// (its directory for a pin, itself for a get) is there.
Result<std::string> bpffs_path(CallContext& ctx, u64 addr, u32 flags, s32 path_fd, Errno foreign, bool whole) {
  Result<std::string> path = ctx.mem.read_string(addr, PATH_LIMIT);
  if (!path.ok()) return path.error() == Errno(E2BIG) ? Errno(ENAMETOOLONG) : path.error();
  if (path->empty()) return Errno(ENOENT);
  std::string cwd = "/";
  if ((*path)[0] != '/') {
    char buf[PATH_LIMIT];
    const std::string proc = "/proc/" + std::to_string(ctx.who.pid);
    const bool from_fd = (flags & BPF_F_PATH_FD) != 0 && path_fd != AT_FDCWD;
    const ssize_t n = readlink((from_fd ? proc + "/fd/" + std::to_string(path_fd) : proc + "/cwd").c_str(), buf, sizeof buf);
    if (n < 0) return Errno(from_fd ? EBADF : ENOENT);
    cwd.assign(buf, static_cast<std::size_t>(n));
  }
  std::string real = ctx.pins.real_path(*path, cwd);
  if (!real.empty()) return real;
  const std::string full = (*path)[0] == '/' ? *path : cwd + "/" + *path;
  const std::string part = whole ? full : full.substr(0, full.rfind('/') + 1);
  // Not on behalf of another user, who might have mounted something there that never answers.
  if (ctx.who.uid == geteuid() && access(part.c_str(), F_OK) != 0) return Errno(errno);
  return foreign;
}

}  // namespace

Result<s64> obj_pin(CallContext& ctx, const bpf_attr& attr, const UserAttr&) {
  const auto& a = attr.obj;
  if ((a.file_flags & ~BPF_F_PATH_FD) != 0) return Errno(EINVAL);
  if ((a.file_flags & BPF_F_PATH_FD) == 0 && a.path_fd != 0) return Errno(EINVAL);
  // Linux: syscall.c:bpf_fd_probe_obj() answers EINVAL for whatever is no object, closed fds too.
  const Result<std::shared_ptr<File>> opened = ctx.file(static_cast<s32>(a.bpf_fd));
  if (!opened.ok()) return opened.error() == Errno(ERESTART_CALL) ? opened.error() : Errno(EINVAL);
  const std::shared_ptr<File> file = *opened;
  // Maps, programs and links can be pinned; BTF and perf events cannot.
  if (object_as<BtfObject>(file->object) != nullptr || object_as<PerfEvent>(file->object) != nullptr) return Errno(EINVAL);
  const std::string real = TRY(bpffs_path(ctx, a.pathname, a.file_flags, a.path_fd, Errno(EPERM), false));
  TRY(ctx.pins.pin(real, file->object, ctx.who.uid, ctx.who.gid));
  return s64{0};
}

Result<s64> obj_get(CallContext& ctx, const bpf_attr& attr, const UserAttr&) {
  const auto& a = attr.obj;
  if (a.bpf_fd != 0 || (a.file_flags & ~(BPF_F_RDONLY | BPF_F_WRONLY | BPF_F_PATH_FD)) != 0) return Errno(EINVAL);
  if ((a.file_flags & BPF_F_PATH_FD) == 0 && a.path_fd != 0) return Errno(EINVAL);
  const u32 mode = TRY(file_mode_of(a.file_flags));
  const std::string real = TRY(bpffs_path(ctx, a.pathname, a.file_flags, a.path_fd, Errno(EACCES), true));
  ObjectRef object = TRY(ctx.pins.get(real, ctx.who.uid, ctx.who.gid, mode));
  // Linux: inode.c:bpf_obj_get_user(): programs open read-write, links too.
  if (object_as<Map>(object) == nullptr && mode != (FILE_READ | FILE_WRITE)) return Errno(EINVAL);
  return ctx.install(std::move(object), mode);
}

}  // namespace skep
