// helpers: who, where and when. Linux: kernel/bpf/helpers.c, kernel/trace/bpf_trace.c
#include "base/bytes.h"
#include "helpers/protos.h"

namespace skep {
namespace {

u64 get_current_pid_tgid(RunCtx& run, u64, u64, u64, u64, u64) noexcept { return run.env->pid_tgid(run.env); }
u64 get_current_uid_gid(RunCtx& run, u64, u64, u64, u64, u64) noexcept { return run.env->uid_gid(run.env); }
u64 get_current_task(RunCtx& run, u64, u64, u64, u64, u64) noexcept { return run.env->current_task(run.env); }
u64 ktime_get_ns(RunCtx& run, u64, u64, u64, u64, u64) noexcept { return run.env->ktime_ns(run.env); }
u64 ktime_get_boot_ns(RunCtx& run, u64, u64, u64, u64, u64) noexcept { return run.env->boot_ns(run.env); }
u64 get_smp_processor_id(RunCtx& run, u64, u64, u64, u64, u64) noexcept { return run.op.cpu; }

u64 get_current_comm(RunCtx& run, u64 buf, u64 size, u64, u64, u64) noexcept {
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

/// Needs no state that outlives the run: mixes the clock with who and where, then splitmix64's finish.
u64 get_prandom_u32(RunCtx& run, u64, u64, u64, u64, u64) noexcept {
  u64 x = run.env->ktime_ns(run.env) ^ run.env->pid_tgid(run.env) << 20 ^ static_cast<u64>(run.op.cpu) << 56;
  x += 0x9e3779b97f4a7c15ULL * ++run.prandom_calls;
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ x >> 27) * 0x94d049bb133111ebULL;
  return static_cast<u32>(x ^ x >> 31);
}

u64 get_attach_cookie(RunCtx& run, u64, u64, u64, u64, u64) noexcept { return run.probe != nullptr ? run.probe->cookie : 0; }

constexpr FuncProto no_args(u32 id, const char* name, bool gpl_only, u64 types, HelperFn fn) noexcept {
  return {id, name, gpl_only, RET_INTEGER, {}, types, fn};
}

}  // namespace

constinit const FuncProto bpf_get_current_pid_tgid_proto =
    no_args(BPF_FUNC_get_current_pid_tgid, "bpf_get_current_pid_tgid", false, BASE_PROG_TYPES, get_current_pid_tgid);
constinit const FuncProto bpf_get_current_uid_gid_proto =
    no_args(BPF_FUNC_get_current_uid_gid, "bpf_get_current_uid_gid", false,
            TRACING_PROG_TYPES | CGROUP_CURRENT_PROG_TYPES | prog_types(BPF_PROG_TYPE_SK_MSG), get_current_uid_gid);
constinit const FuncProto bpf_get_current_task_proto =
    no_args(BPF_FUNC_get_current_task, "bpf_get_current_task", true, BASE_PROG_TYPES, get_current_task);
constinit const FuncProto bpf_ktime_get_ns_proto =
    no_args(BPF_FUNC_ktime_get_ns, "bpf_ktime_get_ns", false, BASE_AND_LIRC_PROG_TYPES, ktime_get_ns);
constinit const FuncProto bpf_ktime_get_boot_ns_proto =
    no_args(BPF_FUNC_ktime_get_boot_ns, "bpf_ktime_get_boot_ns", false, BASE_AND_LIRC_PROG_TYPES, ktime_get_boot_ns);
constinit const FuncProto bpf_get_smp_processor_id_proto =
    no_args(BPF_FUNC_get_smp_processor_id, "bpf_get_smp_processor_id", false, BASE_PROG_TYPES, get_smp_processor_id);
constinit const FuncProto bpf_get_prandom_u32_proto =
    no_args(BPF_FUNC_get_prandom_u32, "bpf_get_prandom_u32", false, BASE_AND_LIRC_PROG_TYPES, get_prandom_u32);
constinit const FuncProto bpf_get_current_comm_proto = {
    BPF_FUNC_get_current_comm, "bpf_get_current_comm", false, RET_INTEGER, {ARG_PTR_TO_UNINIT_MEM, ARG_CONST_SIZE},
    TRACING_PROG_TYPES | CGROUP_CURRENT_PROG_TYPES, get_current_comm};
/// Linux: the _trace, _pe and _tracing variants differ in where the cookie is kept only. TRACING and LSM programs need a
/// trampoline.
constinit const FuncProto bpf_get_attach_cookie_proto = {
    BPF_FUNC_get_attach_cookie, "bpf_get_attach_cookie", false, RET_INTEGER, {ARG_PTR_TO_CTX},
    prog_types(BPF_PROG_TYPE_KPROBE, BPF_PROG_TYPE_TRACEPOINT, BPF_PROG_TYPE_PERF_EVENT, BPF_PROG_TYPE_RAW_TRACEPOINT,
               BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE),
    get_attach_cookie};

}  // namespace skep
