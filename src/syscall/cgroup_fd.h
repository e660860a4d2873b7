// syscall: fds of cgroups, which are directories of the machine's own.
#pragma once
#include "syscall/context.h"

namespace skep {

/// The id of the cgroup (of the hierarchy of version 2) whose directory the caller has open as `fd`. EBADF.
/// Linux: kernel/cgroup/cgroup.c:cgroup_get_from_fd()
Result<u64> cgroup_of_fd(CallContext& ctx, s32 fd);

}  // namespace skep
