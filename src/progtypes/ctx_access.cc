// progtypes: may these bytes of a context be accessed so: the rows of the type's table decide.
#include "progtypes/ctx_access.h"

#include "progtypes/ctx_table.h"

namespace skep {

CtxKind ctx_kind(u32 prog_type) {
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
      return skb_ctx();
    case BPF_PROG_TYPE_FLOW_DISSECTOR:
      return flow_dissector_ctx();
    case BPF_PROG_TYPE_XDP:
      return xdp_ctx();
    case BPF_PROG_TYPE_SK_LOOKUP:
      return sk_lookup_ctx();
    case BPF_PROG_TYPE_SK_REUSEPORT:
      return sk_reuseport_ctx();
    case BPF_PROG_TYPE_SK_MSG:
      return sk_msg_ctx();
    case BPF_PROG_TYPE_NETFILTER:
      return netfilter_ctx();
    case BPF_PROG_TYPE_CGROUP_SOCK:
      return sock_ctx();
    case BPF_PROG_TYPE_SOCK_OPS:
      return sock_ops_ctx();
    case BPF_PROG_TYPE_CGROUP_SOCK_ADDR:
      return sock_addr_ctx();
    case BPF_PROG_TYPE_CGROUP_DEVICE:
      return cgroup_dev_ctx();
    case BPF_PROG_TYPE_CGROUP_SYSCTL:
      return sysctl_ctx();
    case BPF_PROG_TYPE_CGROUP_SOCKOPT:
      return sockopt_ctx();
    default:
      return trace_ctx(prog_type);
  }
}

namespace {

struct Access {
  u32 off, size;
  AccessType type;
  bool is_ldsx, cap_bpf;
  u64 who;
  u32 attach_type;
};

bool allows(const CtxField& f, const Access& a) {
  if (a.off < f.span.off || a.off >= f.span.end || (f.at_start_only && a.off != f.span.off)) return false;
  const bool read = a.type == BPF_READ;
  if (((read ? f.read : f.write) & a.size) == 0 || ((read ? f.readers : f.writers) & a.who) == 0) return false;
  if (f.attach != 0 && (a.attach_type > 63 || (f.attach >> a.attach_type & 1) == 0)) return false;
  return !(f.no_ldsx && a.is_ldsx) && !(f.needs_cap_bpf && !a.cap_bpf);
}

bool judge(CtxFields fields, const Access& a, CtxAccessInfo* info) {
  if (a.off % a.size != 0) return false;
  for (const CtxField& f : fields) {
    if (!allows(f, a)) continue;
    info->reg_type = f.reg_type;
    info->ctx_field_size = a.type == BPF_READ ? f.whole : 0;
    info->is_retval = false;
    info->btf_struct = f.btf_struct;
    info->tstamp_type_access = f.marks_tstamp_type;
    return true;
  }
  return false;
}

}  // namespace

bool ctx_access_is_by_btf(const ProgTraits& prog) noexcept {
  switch (prog.type) {
    case BPF_PROG_TYPE_TRACING:
    case BPF_PROG_TYPE_LSM:
    case BPF_PROG_TYPE_STRUCT_OPS:
    case BPF_PROG_TYPE_EXT:
      return true;
    default:
      return false;
  }
}

bool is_valid_ctx_access(s32 off, u32 size, AccessType type, const ProgTraits& prog, CtxAccessInfo* info, std::string*) {
  if (off < 0 || prog.type >= MAX_BPF_PROG_TYPE_) return false;
  const Access a{static_cast<u32>(off), size, type, info->is_ldsx, prog.bpf_capable, by_type(prog.type), prog.expected_attach_type};
  return judge(ctx_kind(prog.type).fields, a, info);
}

bool is_valid_sock_access(u32 reg_type, s32 off, u32 size, AccessType type, CtxAccessInfo* info) {
  if (off < 0 || type != BPF_READ) return false;
  Access a{static_cast<u32>(off), size, type, info->is_ldsx, false, BY_SOCKET, 0};
  switch (reg_type) {
    case PTR_TO_SOCK_COMMON:
      a.who = BY_SOCK_COMMON;
      return judge(sock_ctx().fields, a, info);
    case PTR_TO_SOCKET:
      return judge(sock_ctx().fields, a, info);
    case PTR_TO_TCP_SOCK:
      return judge(tcp_sock_ctx().fields, a, info);
    case PTR_TO_XDP_SOCK:
      return judge(xdp_sock_ctx().fields, a, info);
    default:
      return false;
  }
}

u32 ctx_size(u32 prog_type) noexcept { return ctx_kind(prog_type).size; }
bool ctx_is_converted(u32 prog_type) noexcept { return ctx_kind(prog_type).converted; }

bool may_access_direct_pkt_data(const ProgTraits& prog, bool helper_with_pkt_access, AccessType type) noexcept {
  switch (prog.type) {
    case BPF_PROG_TYPE_LWT_IN:
    case BPF_PROG_TYPE_LWT_OUT:
    case BPF_PROG_TYPE_LWT_SEG6LOCAL:
    case BPF_PROG_TYPE_SK_REUSEPORT:
    case BPF_PROG_TYPE_FLOW_DISSECTOR:
    case BPF_PROG_TYPE_CGROUP_SKB:
      return type == BPF_READ && helper_with_pkt_access;
    case BPF_PROG_TYPE_SCHED_CLS:
    case BPF_PROG_TYPE_SCHED_ACT:
    case BPF_PROG_TYPE_XDP:
    case BPF_PROG_TYPE_LWT_XMIT:
    case BPF_PROG_TYPE_SK_SKB:
    case BPF_PROG_TYPE_SK_MSG:
      return helper_with_pkt_access;
    case BPF_PROG_TYPE_CGROUP_SOCKOPT:
      return true;
    default:
      return false;
  }
}

bool may_access_skb(u32 prog_type) noexcept {
  return prog_type == BPF_PROG_TYPE_SOCKET_FILTER || prog_type == BPF_PROG_TYPE_SCHED_CLS || prog_type == BPF_PROG_TYPE_SCHED_ACT;
}

bool is_tracing_prog_type(u32 prog_type) noexcept {
  switch (prog_type) {
    case BPF_PROG_TYPE_KPROBE:
    case BPF_PROG_TYPE_TRACEPOINT:
    case BPF_PROG_TYPE_PERF_EVENT:
    case BPF_PROG_TYPE_RAW_TRACEPOINT:
    case BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE:
      return true;
    default:
      return false;
  }
}

bool can_be_sleepable(u32 prog_type, u32 expected_attach_type) noexcept {
  switch (prog_type) {
    case BPF_PROG_TYPE_TRACING:
      return expected_attach_type == BPF_TRACE_FENTRY || expected_attach_type == BPF_TRACE_FEXIT ||
             expected_attach_type == BPF_MODIFY_RETURN || expected_attach_type == BPF_TRACE_ITER;
    case BPF_PROG_TYPE_LSM:
      return expected_attach_type != BPF_LSM_CGROUP;
    case BPF_PROG_TYPE_KPROBE:
    case BPF_PROG_TYPE_STRUCT_OPS:
      return true;
    default:
      return false;
  }
}

}  // namespace skep
