// progtypes: the conditions of func_table.h, asked of a program.
#include "progtypes/func_table.h"
#include "progtypes/hook_names.h"

namespace skep {
namespace {

constexpr u64 bit(u32 attach_type) noexcept { return attach_type < MAX_BPF_ATTACH_TYPE_ ? 1ULL << attach_type : 0; }
template <typename... Types>
constexpr u64 bits(Types... types) noexcept {
  return (bit(types) | ...);
}

/// Linux: cgroup_common_func_proto()
constexpr u64 WITHOUT_RETVAL =
    bits(BPF_CGROUP_INET_INGRESS, BPF_CGROUP_INET_EGRESS, BPF_CGROUP_SOCK_OPS, BPF_CGROUP_UDP4_RECVMSG, BPF_CGROUP_UDP6_RECVMSG,
         BPF_CGROUP_UNIX_RECVMSG, BPF_CGROUP_INET4_GETPEERNAME, BPF_CGROUP_INET6_GETPEERNAME, BPF_CGROUP_UNIX_GETPEERNAME,
         BPF_CGROUP_INET4_GETSOCKNAME, BPF_CGROUP_INET6_GETSOCKNAME, BPF_CGROUP_UNIX_GETSOCKNAME);
/// Linux: sock_addr_func_proto(). The peer and socket names of AF_UNIX are not among them.
constexpr u64 SOCK_ADDR_SOCKOPT =
    bits(BPF_CGROUP_INET4_BIND, BPF_CGROUP_INET6_BIND, BPF_CGROUP_INET4_CONNECT, BPF_CGROUP_INET6_CONNECT, BPF_CGROUP_UNIX_CONNECT,
         BPF_CGROUP_UDP4_RECVMSG, BPF_CGROUP_UDP6_RECVMSG, BPF_CGROUP_UNIX_RECVMSG, BPF_CGROUP_UDP4_SENDMSG,
         BPF_CGROUP_UDP6_SENDMSG, BPF_CGROUP_UNIX_SENDMSG, BPF_CGROUP_INET4_GETPEERNAME, BPF_CGROUP_INET6_GETPEERNAME,
         BPF_CGROUP_INET4_GETSOCKNAME, BPF_CGROUP_INET6_GETSOCKNAME);
/// Linux: is_kprobe_multi(), and UPROBE_MULTI beside it
constexpr u64 MULTI_PROBE = bits(BPF_TRACE_KPROBE_MULTI, BPF_TRACE_KPROBE_SESSION, BPF_TRACE_UPROBE_MULTI);
constexpr u64 TRAMPOLINE = bits(BPF_TRACE_FENTRY, BPF_TRACE_FEXIT, BPF_MODIFY_RETURN);

/// Linux: bpf_lsm.c:bpf_lsm_locked_sockopt_hooks, bpf_lsm_unlocked_sockopt_hooks
constexpr const char* LSM_SOCKOPT_HOOKS[] = {"sock_graft", "inet_csk_clone", "inet_conn_established", "socket_post_create",
                                             "socket_socketpair"};

/// Index of tcp_congestion_ops.release: what expected_attach_type of its program is. Linux: include/net/tcp.h
constexpr u32 TCP_CA_RELEASE = 17;

/// Linux: bpf_prog_has_trampoline(), which looks at the program's own type
bool has_trampoline(const ProgTraits& prog) noexcept {
  if (prog.is_ext) return false;
  if (prog.type == BPF_PROG_TYPE_TRACING) return (TRAMPOLINE & bit(prog.expected_attach_type)) != 0;
  return prog.type == BPF_PROG_TYPE_LSM && prog.expected_attach_type == BPF_LSM_MAC;
}

bool is_tcp_ca(const ProgTraits& prog) noexcept { return name_is(prog.attach_func_name, "tcp_congestion_ops"); }

bool holds(When when, const ProgTraits& prog) noexcept {
  const u32 attach_type = prog.expected_attach_type;
  switch (when) {
    case When::Always:
      return true;
    case When::Never:
      return false;
    case When::Bpf:
      return prog.bpf_capable;
    case When::Perfmon:
      return prog.perfmon;
    case When::BpfPerfmon:
      return prog.bpf_capable && prog.perfmon;
    case When::Sleepable:
      return prog.sleepable;
    case When::MultiProbe:
      return (MULTI_PROBE & bit(attach_type)) != 0;
    case When::TraceIter:
      return attach_type == BPF_TRACE_ITER;
    case When::TcpIter:
      return attach_type == BPF_TRACE_ITER && name_is(name_without(prog.attach_func_name, "bpf_iter_"), "tcp");
    case When::Trampoline:
      return has_trampoline(prog);
    case When::TrampolineOrRawTp:
      return has_trampoline(prog) || (prog.type == BPF_PROG_TYPE_TRACING && !prog.is_ext && attach_type == BPF_TRACE_RAW_TP);
    case When::LsmCgroup:
      return attach_type == BPF_LSM_CGROUP;
    case When::LsmSockoptHook:
      return attach_type == BPF_LSM_CGROUP && name_is_one_of(name_without(prog.attach_func_name, "bpf_lsm_"), LSM_SOCKOPT_HOOKS);
    case When::RetvalAttach:
      return (WITHOUT_RETVAL & bit(attach_type)) == 0;
    case When::BindAttach:
      return attach_type == BPF_CGROUP_INET4_CONNECT || attach_type == BPF_CGROUP_INET6_CONNECT;
    case When::SockAddrSockoptAttach:
      return (SOCK_ADDR_SOCKOPT & bit(attach_type)) != 0;
    case When::SetsockoptAttach:
      return attach_type == BPF_CGROUP_SETSOCKOPT;
    case When::TcpCa:
      return is_tcp_ca(prog);
    case When::TcpCaNotRelease:
      return is_tcp_ca(prog) && attach_type != TCP_CA_RELEASE;
    case When::SchedExt:
      return name_is(prog.attach_func_name, "sched_ext_ops");
  }
  return false;
}

/// bpf_dummy_ops has no get_func_proto at all. Linux: net/bpf/bpf_dummy_struct_ops.c
bool has_no_helpers(const ProgTraits& prog) noexcept {
  return prog.type == BPF_PROG_TYPE_STRUCT_OPS && name_is(prog.attach_func_name, "bpf_dummy_ops");
}

}  // namespace

const FuncProto* get_func_proto(s64 id, const ProgTraits& prog) noexcept {
  if (id < 0 || has_no_helpers(prog)) return nullptr;
  for (const FuncRow& row : func_rows(static_cast<u64>(id), prog.type))
    if (holds(row.when, prog)) return &func_row_proto(row);
  return nullptr;
}

}  // namespace skep
