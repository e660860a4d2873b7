#include "verifier/ctx_arg.h"

#include <string_view>

#include "verifier/call_args.h"
#include "verifier/kfunc_meta.h"

namespace skep {
namespace {

/// The uapi struct that the type's context is; empty: it is none, or has no name. Linux: include/linux/bpf_types.h, asked by way of
/// btf.c:find_canonical_prog_ctx_type()
std::string_view ctx_struct_name(u32 prog_type) {
  switch (prog_type) {
    case BPF_PROG_TYPE_SOCKET_FILTER:
    case BPF_PROG_TYPE_SCHED_CLS:
    case BPF_PROG_TYPE_SCHED_ACT:
    case BPF_PROG_TYPE_CGROUP_SKB:
    case BPF_PROG_TYPE_LWT_IN:
    case BPF_PROG_TYPE_LWT_OUT:
    case BPF_PROG_TYPE_LWT_XMIT:
    case BPF_PROG_TYPE_LWT_SEG6LOCAL:
    case BPF_PROG_TYPE_SK_SKB:
    case BPF_PROG_TYPE_FLOW_DISSECTOR:
      return "__sk_buff";
    case BPF_PROG_TYPE_XDP:
      return "xdp_md";
    case BPF_PROG_TYPE_CGROUP_SOCK:
      return "bpf_sock";
    case BPF_PROG_TYPE_CGROUP_SOCK_ADDR:
      return "bpf_sock_addr";
    case BPF_PROG_TYPE_SOCK_OPS:
      return "bpf_sock_ops";
    case BPF_PROG_TYPE_SK_MSG:
      return "sk_msg_md";
    case BPF_PROG_TYPE_KPROBE:
      return "pt_regs";
    case BPF_PROG_TYPE_PERF_EVENT:
      return "bpf_perf_event_data";
    case BPF_PROG_TYPE_RAW_TRACEPOINT:
    case BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE:
      return "bpf_raw_tracepoint_args";
    case BPF_PROG_TYPE_CGROUP_DEVICE:
      return "bpf_cgroup_dev_ctx";
    case BPF_PROG_TYPE_CGROUP_SYSCTL:
      return "bpf_sysctl";
    case BPF_PROG_TYPE_CGROUP_SOCKOPT:
      return "bpf_sockopt";
    case BPF_PROG_TYPE_SK_REUSEPORT:
      return "sk_reuseport_md";
    case BPF_PROG_TYPE_SK_LOOKUP:
      return "bpf_sk_lookup";
    case BPF_PROG_TYPE_NETFILTER:
      return "bpf_nf_ctx";
    default:
      return {};
  }
}

/// The kernel's struct behind it. Linux: include/linux/bpf_types.h
std::string_view kernel_ctx_struct_name(u32 prog_type) {
  switch (prog_type) {
    case BPF_PROG_TYPE_XDP:
      return "xdp_buff";
    case BPF_PROG_TYPE_CGROUP_SOCK:
      return "sock";
    case BPF_PROG_TYPE_CGROUP_SOCK_ADDR:
      return "bpf_sock_addr_kern";
    case BPF_PROG_TYPE_SOCK_OPS:
      return "bpf_sock_ops_kern";
    case BPF_PROG_TYPE_SK_MSG:
      return "sk_msg";
    case BPF_PROG_TYPE_FLOW_DISSECTOR:
      return "bpf_flow_dissector";
    case BPF_PROG_TYPE_PERF_EVENT:
      return "bpf_perf_event_data_kern";
    case BPF_PROG_TYPE_CGROUP_SYSCTL:
      return "bpf_sysctl_kern";
    case BPF_PROG_TYPE_CGROUP_SOCKOPT:
      return "bpf_sockopt_kern";
    case BPF_PROG_TYPE_SK_REUSEPORT:
      return "sk_reuseport_kern";
    case BPF_PROG_TYPE_SK_LOOKUP:
      return "bpf_sk_lookup_kern";
    case BPF_PROG_TYPE_RAW_TRACEPOINT:
    case BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE:
      return {};  // u64
    default: {
      const std::string_view name = ctx_struct_name(prog_type);
      return name == "__sk_buff" ? "sk_buff" : name;
    }
  }
}

std::string_view name_of(const Btf& btf, const btf_type* t) {
  const char* name = btf.name(t->name_off);
  return name != nullptr ? std::string_view(name) : std::string_view();
}

/// Is there a typedef bpf_user_pt_regs_t on the way to the type?
bool is_user_pt_regs_typedef(const Btf& btf, const btf_type* t) {
  while (btf_is_modifier(t) && !btf_is_typedef(t)) t = btf.type_by_id(t->type);
  return btf_is_typedef(t) && name_of(btf, t) == "bpf_user_pt_regs_t";
}

bool is_u64(const btf_type* t) { return btf_is_int(t) && t->size == 8; }

/// Types beside the canonical one that a program type may call its context.
bool special_ctx_type(const ProgTraits& prog, const btf_type* t, std::string_view name) {
  switch (prog.type) {
    case BPF_PROG_TYPE_KPROBE:
    case BPF_PROG_TYPE_PERF_EVENT:
      return btf_is_struct(t) && name == "pt_regs";
    case BPF_PROG_TYPE_RAW_TRACEPOINT:
    case BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE:
    case BPF_PROG_TYPE_LSM:
    case BPF_PROG_TYPE_STRUCT_OPS:
      return is_u64(t);
    case BPF_PROG_TYPE_TRACING:
      switch (prog.expected_attach_type) {
        case BPF_TRACE_RAW_TP:
          return is_u64(t) || (btf_is_struct(t) && name == "bpf_raw_tracepoint_args");
        case BPF_TRACE_ITER:
          return btf_is_struct(t) && name.starts_with("bpf_iter__");
        case BPF_TRACE_FENTRY:
        case BPF_TRACE_FEXIT:
        case BPF_MODIFY_RETURN:
          return is_u64(t);
        default:
          return false;
      }
    case BPF_PROG_TYPE_TRACEPOINT:
    case BPF_PROG_TYPE_SYSCALL:
    case BPF_PROG_TYPE_EXT:
      return true;
    default:
      return false;
  }
}

}  // namespace

Result<u32> kernel_ctx_btf_id(VerifierEnv& env) {
  if (const u32 id = kernel_struct_id(env, kernel_ctx_struct_name(env.prog.type)); id != 0) return id;
  return env.refuse(EINVAL, "kern ctx type id {} is not a struct", 0);
}

bool btf_is_prog_ctx_type(const Btf& btf, const btf_type* ptr, u32 prog_type) {
  const btf_type* t = btf.type_by_id(ptr->type);
  if (prog_type == BPF_PROG_TYPE_KPROBE && is_user_pt_regs_typedef(btf, t)) return true;
  t = btf.skip_modifiers(ptr->type);
  if (!btf_is_composite(t)) return false;
  const std::string_view name = name_of(btf, t);
  const std::string_view ctx = ctx_struct_name(prog_type);
  if (ctx.empty()) return false;
  // The kernel's own struct stands for its projection. Linux: btf.c:btf_is_projection_of()
  if ((ctx == "__sk_buff" && name == "sk_buff") || (ctx == "xdp_md" && name == "xdp_buff")) return true;
  return name == ctx || (prog_type == BPF_PROG_TYPE_KPROBE && name == "bpf_user_pt_regs_t");
}

Status btf_validate_prog_ctx_type(VerifierEnv& env, const Btf& btf, const btf_type* ptr, u32 arg) {
  const u32 prog_type = env.prog.type;
  const btf_type* t = btf.type_by_id(ptr->type);
  if ((prog_type == BPF_PROG_TYPE_KPROBE || prog_type == BPF_PROG_TYPE_PERF_EVENT) && is_user_pt_regs_typedef(btf, t)) return ok_status();
  t = btf.skip_modifiers(ptr->type);
  if (btf_is_void(t)) return ok_status();
  const std::string_view name = name_of(btf, t);
  if (name.empty()) return env.refuse(EINVAL, "arg#{} type doesn't have a name", arg);
  if (special_ctx_type(env.prog, t, name)) return ok_status();
  const std::string_view ctx = ctx_struct_name(prog_type);
  if (ctx.empty()) return env.refuse(EINVAL, "arg#{} should be void pointer", arg);
  if (!btf_is_struct(t) || name != ctx) return env.refuse(EINVAL, "arg#{} should be `struct {} *`", arg, ctx);
  return ok_status();
}

}  // namespace skep
