// progtypes: what a program may return. Linux: verifier.c:check_return_code()
#include "progtypes/ctx_table.h"

namespace skep {
namespace {

constexpr ReturnRule anything() { return {}; }
constexpr ReturnRule within(s32 min, s32 max) { return {.enforced = true, .range = {min, max}}; }

ReturnRule sock_addr_rule(u32 attach_type) {
  switch (attach_type) {
    case BPF_CGROUP_UDP4_RECVMSG:
    case BPF_CGROUP_UDP6_RECVMSG:
    case BPF_CGROUP_UNIX_RECVMSG:
    case BPF_CGROUP_INET4_GETPEERNAME:
    case BPF_CGROUP_INET6_GETPEERNAME:
    case BPF_CGROUP_UNIX_GETPEERNAME:
    case BPF_CGROUP_INET4_GETSOCKNAME:
    case BPF_CGROUP_INET6_GETSOCKNAME:
    case BPF_CGROUP_UNIX_GETSOCKNAME:
      return within(1, 1);
    case BPF_CGROUP_INET4_BIND:
    case BPF_CGROUP_INET6_BIND:
      return within(0, 3);
    default:
      return within(0, 1);
  }
}

ReturnRule cgroup_skb_rule(u32 attach_type) {
  ReturnRule rule = within(0, 1);
  if (attach_type == BPF_CGROUP_INET_EGRESS) {
    rule.range.max = 3;
    rule.tracks_attach_type = true;
  }
  return rule;
}

ReturnRule tracing_rule(u32 attach_type) {
  switch (attach_type) {
    case BPF_TRACE_FENTRY:
    case BPF_TRACE_FEXIT:
      return within(0, 0);
    case BPF_TRACE_RAW_TP:
    case BPF_MODIFY_RETURN:
      return anything();
    case BPF_TRACE_ITER:
      return within(0, 1);
    default:
      return {.unsupported = true};
  }
}

}  // namespace

ReturnRule return_rule(const ProgTraits& prog) noexcept {
  const u32 attach_type = prog.expected_attach_type;
  switch (prog.type) {
    case BPF_PROG_TYPE_CGROUP_SOCK_ADDR:
      return sock_addr_rule(attach_type);
    case BPF_PROG_TYPE_CGROUP_SKB:
      return cgroup_skb_rule(attach_type);
    case BPF_PROG_TYPE_CGROUP_SOCK:
    case BPF_PROG_TYPE_SOCK_OPS:
    case BPF_PROG_TYPE_CGROUP_DEVICE:
    case BPF_PROG_TYPE_CGROUP_SYSCTL:
    case BPF_PROG_TYPE_CGROUP_SOCKOPT:
    case BPF_PROG_TYPE_SK_LOOKUP:
    case BPF_PROG_TYPE_NETFILTER:
      return within(0, 1);
    case BPF_PROG_TYPE_RAW_TRACEPOINT:
      return prog.attach_btf_id != 0 ? within(0, 0) : anything();
    case BPF_PROG_TYPE_TRACING:
      return tracing_rule(attach_type);
    case BPF_PROG_TYPE_KPROBE:
      return attach_type == BPF_TRACE_KPROBE_SESSION ? within(0, 1) : anything();
    default:
      return anything();
  }
}

}  // namespace skep
