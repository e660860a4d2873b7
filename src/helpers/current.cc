// helpers: who, where and when. Linux: kernel/bpf/helpers.c, kernel/trace/bpf_trace.c
#include "base/bytes.h"
#include "helpers/helper_list.h"

namespace skep {
u64 bpf_get_current_pid_tgid(RunCtx& run, u64, u64, u64, u64, u64) noexcept { return run.pid_tgid = run.env->pid_tgid(run.env); }
u64 bpf_get_current_uid_gid(RunCtx& run, u64, u64, u64, u64, u64) noexcept { return run.env->uid_gid(run.env); }
u64 bpf_get_current_task(RunCtx& run, u64, u64, u64, u64, u64) noexcept { return run.task = run.env->current_task(run.env); }
u64 bpf_ktime_get_ns(RunCtx& run, u64, u64, u64, u64, u64) noexcept { return run.env->ktime_ns(run.env); }
u64 bpf_ktime_get_boot_ns(RunCtx& run, u64, u64, u64, u64, u64) noexcept { return run.env->boot_ns(run.env); }
u64 bpf_ktime_get_coarse_ns(RunCtx& run, u64, u64, u64, u64, u64) noexcept { return run.env->coarse_ns(run.env); }
u64 bpf_ktime_get_tai_ns(RunCtx& run, u64, u64, u64, u64, u64) noexcept { return run.env->tai_ns(run.env); }
u64 bpf_get_numa_node_id(RunCtx& run, u64, u64, u64, u64, u64) noexcept { return run.env->numa_node(run.env); }

/// Of a kernel with 250 ticks a second, whose count begins five minutes before it wraps. Linux: include/linux/jiffies.h:INITIAL_JIFFIES
/// The coarse clock moves with the machine's ticks, as jiffies do.
u64 bpf_jiffies64(RunCtx& run, u64, u64, u64, u64, u64) noexcept {
  constexpr u64 HZ = 250;
  return static_cast<u32>(-300 * static_cast<s32>(HZ)) + run.env->coarse_ns(run.env) / (1'000'000'000 / HZ);
}

u64 bpf_get_smp_processor_id(RunCtx& run, u64, u64, u64, u64, u64) noexcept { return run.op.cpu; }

u64 bpf_get_current_comm(RunCtx& run, u64 buf, u64 size, u64, u64, u64) noexcept {
  char comm[16];
  zero_bytes(comm, sizeof(comm));
  run.env->comm(run.env, comm);
  u64 len = 0;
  while (len < sizeof(comm) && comm[len] != 0) ++len;
  if (len > size - 1) len = size - 1;  // REQUIRES of ARG_CONST_SIZE: size > 0
  copy_bytes(reinterpret_cast<void*>(buf), comm, len);
  zero_bytes(reinterpret_cast<void*>(buf + len), size - len);
  return 0;
}

/// splitmix64, whose state begins with when, who and where, so that nothing need outlive the run.
u64 bpf_get_prandom_u32(RunCtx& run, u64, u64, u64, u64, u64) noexcept {
  if (run.prandom_calls++ == 0)
    run.prandom_seed = run.env->ktime_ns(run.env) ^ run.env->pid_tgid(run.env) << 20 ^ static_cast<u64>(run.op.cpu) << 56;
  u64 x = run.prandom_seed + 0x9e3779b97f4a7c15ULL * run.prandom_calls;
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ x >> 27) * 0x94d049bb133111ebULL;
  return static_cast<u32>(x ^ x >> 31);
}

u64 bpf_get_attach_cookie(RunCtx& run, u64, u64, u64, u64, u64) noexcept { return run.probe != nullptr ? run.probe->cookie : 0; }

}  // namespace skep
