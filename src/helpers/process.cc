// helpers: that reach out to the process of the run: its memory, its signals, its task and namespace.
// Linux: kernel/trace/bpf_trace.c, kernel/bpf/helpers.c
#include <cerrno>

#include "base/bytes.h"
#include "helpers/helper_list.h"
#include "helpers/user_memory.h"
#include "maps/object_maps.h"

namespace skep {
namespace {

u64 ret(long value) noexcept { return static_cast<u64>(value); }

/// Linux: include/uapi/linux/bpf.h:struct bpf_pidns_info
struct PidnsInfo {
  u32 pid, tgid;
};

/// Linux: bpf_trace.c:bpf_send_signal_common()
u64 send_signal(RunCtx& run, u32 sig, bool to_thread) noexcept {
  constexpr u32 NSIG = 64;
  if (run.env->pid_tgid(run.env) >> 32 == 1) return ret(-EPERM);
  if (sig > NSIG) return ret(-EINVAL);
  return sig == 0 ? 0 : ret(run.env->send_signal(run.env, sig, to_thread));
}

}  // namespace

u64 bpf_probe_write_user(RunCtx& run, u64 dst, u64 src, u64 size, u64, u64) noexcept {
  return ret(write_user_bytes(run, dst, reinterpret_cast<const void*>(src), static_cast<u32>(size)));
}

u64 bpf_copy_from_user(RunCtx& run, u64 dst, u64 size, u64 src, u64, u64) noexcept {
  return ret(read_bytes(run, reinterpret_cast<void*>(dst), static_cast<u32>(size), src, Space::User));
}

/// Of a task that is not the run's own, nothing can be read.
u64 bpf_copy_from_user_task(RunCtx& run, u64 dst, u64 size, u64 src, u64 task, u64 flags) noexcept {
  if (flags != 0) return ret(-EINVAL);
  if (task == run.env->current_task(run.env)) return bpf_copy_from_user(run, dst, size, src, 0, 0);
  zero_bytes(reinterpret_cast<void*>(dst), static_cast<u32>(size));
  return size == 0 ? 0 : ret(-EFAULT);
}

u64 bpf_send_signal(RunCtx& run, u64 sig, u64, u64, u64, u64) noexcept { return send_signal(run, static_cast<u32>(sig), false); }
u64 bpf_send_signal_thread(RunCtx& run, u64 sig, u64, u64, u64, u64) noexcept {
  return send_signal(run, static_cast<u32>(sig), true);
}

u64 bpf_get_current_task_btf(RunCtx& run, u64, u64, u64, u64, u64) noexcept { return run.task = run.env->current_task(run.env); }

u64 bpf_get_ns_current_pid_tgid(RunCtx& run, u64 dev, u64 ino, u64 info, u64 size, u64) noexcept {
  auto* out = reinterpret_cast<PidnsInfo*>(info);
  u64 own_dev = 0, own_ino = 0;
  const bool same = static_cast<u32>(size) == sizeof *out && static_cast<u32>(dev) == dev &&
                    run.env->pid_namespace(run.env, &own_dev, &own_ino) && own_dev == dev && own_ino == ino;
  if (!same) {
    zero_bytes(out, static_cast<u32>(size));
    return ret(-EINVAL);
  }
  const u64 ids = run.env->pid_tgid(run.env);
  *out = {static_cast<u32>(ids), static_cast<u32>(ids >> 32)};
  return 0;
}

/// Linux: helpers.c:bpf_get_current_cgroup_id() and its like
u64 bpf_get_current_cgroup_id(RunCtx& run, u64, u64, u64, u64, u64) noexcept {
  const CgroupPath& path = *run.env->cgroups(run.env);
  return path.levels == 0 ? 0 : path.ids[path.levels - 1];
}

u64 bpf_get_current_ancestor_cgroup_id(RunCtx& run, u64 level, u64, u64, u64, u64) noexcept {
  const CgroupPath& path = *run.env->cgroups(run.env);
  const s32 at = static_cast<s32>(level);
  return at < 0 || static_cast<u32>(at) >= path.levels ? 0 : path.ids[at];
}

u64 bpf_current_task_under_cgroup(RunCtx& run, u64 map, u64 index, u64, u64, u64) noexcept {
  const auto* desc = reinterpret_cast<const MapDesc*>(map);
  if (static_cast<u32>(index) >= desc->max_entries) return ret(-E2BIG);
  const u64 id = cgroup_at(*desc, static_cast<u32>(index));
  if (id == 0) return ret(-EAGAIN);
  const CgroupPath& path = *run.env->cgroups(run.env);
  for (u32 i = 0; i < path.levels; ++i)
    if (path.ids[i] == id) return 1;
  return 0;
}

}  // namespace skep
