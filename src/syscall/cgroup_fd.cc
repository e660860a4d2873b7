#include "syscall/cgroup_fd.h"

#include <sys/stat.h>
#include <sys/vfs.h>

namespace skep {
namespace {

/// A directory there has its cgroup's id as its inode. Linux: fs/kernfs/dir.c:kernfs_ino()
bool is_cgroup2(u64 dev) {
  constexpr auto MAGIC = 0x63677270;
  for (const char* at : {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"}) {
    struct statfs fs;
    struct stat s;
    if (statfs(at, &fs) == 0 && fs.f_type == MAGIC && stat(at, &s) == 0 && s.st_dev == dev) return true;
  }
  return false;
}

}  // namespace

Result<u64> cgroup_of_fd(CallContext& ctx, s32 fd) {
  const FdIdentity id = TRY(ctx.fds.identify(fd));
  if (!S_ISDIR(id.mode) || !is_cgroup2(id.dev)) return Errno(EBADF);
  return id.ino;
}

}  // namespace skep
