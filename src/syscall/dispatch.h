// syscall: bpf(2) itself: copy in, check, act, copy out, and the only sign flip.
#pragma once
#include "syscall/context.h"

namespace skep {

/// bpf(cmd, attr, size) -> >= 0 or -errno. When the result is a new fd, ctx.new_file is set and the result is 0.
/// -ERESTART_CALL when the caller's memory or fds have to be asked first.
s64 skep_bpf(CallContext& ctx, u32 cmd, u64 attr_addr, u32 size);

/// perf_event_open(2), for what a BPF user asks: kprobe/kretprobe, tracepoints, SW_BPF_OUTPUT. Same shape.
s64 skep_perf_event_open(CallContext& ctx, u64 attr_addr, s32 pid, s32 cpu, s32 group_fd, u64 flags);
/// ioctl(2) on a perf event fd of ours. ENOTTY on other objects, as on Linux.
s64 skep_ioctl(CallContext& ctx, s32 fd, u64 request, u64 arg);

/// What an mmap(2) of one of our fds becomes: ranges of the RAM file, one behind the other.
struct MmapPlan {
  struct Part {
    u64 ram_offset, len;
  };
  std::vector<Part> parts;
  u32 prot_max = 0;  ///< PROT_* that mprotect may still give
  ObjectRef object;
};
/// ENODEV, EINVAL, EPERM, EACCES, ENOMEM as Linux's mmap handlers answer. `prot`/`flags` as in mmap(2); offset in bytes.
Result<MmapPlan> skep_mmap(CallContext& ctx, s32 fd, u64 len, u32 prot, u32 flags, u64 offset);

const char* bpf_cmd_name(u32 cmd);

}  // namespace skep
