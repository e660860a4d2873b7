// Who may call which helper, asked of the machine's kernel: for every program type that loads without BTF and every helper, whether
// the type has it, whether it wants a GPL licence, whether it sleeps, and which of its arguments is the first that may not be a
// number.
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "isa/asm_test.h"
#include "isa/func_names.h"
#include "isa/linux_bpf_test.h"
#include "progtypes/func_ids.h"
#include "progtypes/func_proto.h"

namespace skep::test {
namespace {

std::string load_log(const Prog& insns, const ProgTraits& prog, const char* license) {
  std::string log(4096, '\0');
  bpf_attr attr;
  std::memset(&attr, 0, sizeof attr);
  attr.prog_load.prog_type = prog.type;
  attr.prog_load.expected_attach_type = prog.expected_attach_type;
  attr.prog_load.prog_flags = prog.sleepable ? BPF_F_SLEEPABLE : 0;
  attr.prog_load.insns = reinterpret_cast<u64>(insns.data());
  attr.prog_load.insn_cnt = static_cast<u32>(insns.size());
  attr.prog_load.license = reinterpret_cast<u64>(license);
  attr.prog_load.log_level = 1;
  attr.prog_load.log_size = static_cast<u32>(log.size());
  attr.prog_load.log_buf = reinterpret_cast<u64>(log.data());
  const long fd = linux_bpf(BPF_PROG_LOAD, &attr, sizeof attr);
  if (fd >= 0) close(static_cast<int>(fd));
  log.resize(std::strlen(log.c_str()));
  return fd >= 0 ? "loaded" : log;
}

/// r0 = helper(...): the context where it comes first, numbers for all other arguments that the proto has, the rest unwritten.
Prog call_of(u32 id, const FuncProto* p) {
  Prog prog;
  for (u32 i = 0; p != nullptr && i < 5; ++i)
    if (p->args[i] != ARG_DONTCARE && (i != 0 || base_type(p->args[0]) != ARG_PTR_TO_CTX)) prog.push_back(mov(i + 1, 0x1234));
  return prog + Prog{call(static_cast<s32>(id)), mov(0, 0), exit_()};
}

bool has(const std::string& log, const char* words) { return log.find(words) != std::string::npos; }

/// What Linux expects where it gets a number: the start of its list. "" when a number is what it takes.
std::string pointer_words(u32 type) {
  switch (base_type(type)) {
    case ARG_DONTCARE:
    case ARG_SCALAR:
    case ARG_CONST_SIZE:
    case ARG_CONST_SIZE_OR_ZERO:
    case ARG_CONST_ALLOC_SIZE_OR_ZERO:
    case ARG_ANYTHING:
      return "";
    case ARG_CONST_MAP_PTR:
      return "map_ptr\n";
    case ARG_PTR_TO_CTX:
      return "ctx\n";
    case ARG_PTR_TO_MEM:
      return "fp, pkt, pkt_meta, map_key, map_value, mem, ringbuf_mem, buf";
    case ARG_PTR_TO_SOCKET:
      return "sock\n";
    case ARG_PTR_TO_BTF_ID_SOCK_COMMON:
    case ARG_PTR_TO_SOCK_COMMON:
      return "sock_common, sock, tcp_sock, xdp_sock";
    case ARG_PTR_TO_BTF_ID:
      return "ptr_, trusted_ptr_, rcu_ptr_\n";
    case ARG_PTR_TO_RINGBUF_MEM:
      return "ringbuf_mem\n";
    case ARG_PTR_TO_PERCPU_BTF_ID:
      return "percpu_ptr_";
    case ARG_PTR_TO_FUNC:
      return "func\n";
    case ARG_PTR_TO_TIMER:
    case ARG_KPTR_XCHG_DEST:
    case ARG_PTR_TO_CONST_STR:
    case ARG_PTR_TO_SPIN_LOCK:
      return "map_value";
    case ARG_PTR_TO_DYNPTR:
      return "fp, dynptr_ptr\n";
    default:
      return "never the first of a helper's pointers";
  }
}

/// What Linux says of the first number that should have been a pointer.
std::string arg_words(const FuncProto& p) {
  for (u32 i = 0; i < 5; ++i) {
    if (i == 0 && base_type(p.args[0]) == ARG_PTR_TO_CTX) continue;
    if (const std::string words = pointer_words(p.args[i]); !words.empty())
      return "R" + std::to_string(i + 1) + " type=scalar expected=" + words;
  }
  return "";
}

/// What our tables say of one call, in the kernel's order. Linux: verifier.c:check_helper_call()
const char* const REFUSED = "cannot use helper";
const char* const GPL = "cannot call GPL-restricted function from non-GPL compatible program";
const char* const PROBE = "helper call is not allowed in probe";
const char* const SLEEPS = "helper call might sleep in a non-sleepable prog";
std::string expected_words(const FuncProto* p, const ProgTraits& prog, bool gpl_compatible) {
  if (p == nullptr) return REFUSED;
  if (p->gpl_only && !gpl_compatible) return GPL;
  if (!func_allowed(*p, prog)) return PROBE;
  if (p->might_sleep && !prog.sleepable) return SLEEPS;
  return arg_words(*p);
}
bool agrees(const std::string& log, const std::string& words) {
  if (!words.empty()) return has(log, words.c_str());
  for (const char* other : {REFUSED, GPL, PROBE, SLEEPS, "type=scalar expected", "!read_ok"})
    if (has(log, other)) return false;
  return true;
}

const std::vector<ProgTraits>& programs() {
  static const std::vector<ProgTraits> all = [] {
    std::vector<ProgTraits> v;
    const auto add = [&](u32 type, std::initializer_list<u32> attach_types = {0}, bool sleepable = false) {
      for (const u32 a : attach_types) v.push_back({.type = type, .expected_attach_type = a, .sleepable = sleepable});
    };
    for (const u32 type :
         {BPF_PROG_TYPE_SOCKET_FILTER, BPF_PROG_TYPE_SCHED_CLS, BPF_PROG_TYPE_SCHED_ACT, BPF_PROG_TYPE_TRACEPOINT,
          BPF_PROG_TYPE_XDP, BPF_PROG_TYPE_PERF_EVENT, BPF_PROG_TYPE_LWT_IN, BPF_PROG_TYPE_LWT_OUT, BPF_PROG_TYPE_LWT_XMIT,
          BPF_PROG_TYPE_SK_SKB, BPF_PROG_TYPE_SK_MSG, BPF_PROG_TYPE_RAW_TRACEPOINT, BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE,
          BPF_PROG_TYPE_LWT_SEG6LOCAL, BPF_PROG_TYPE_LIRC_MODE2, BPF_PROG_TYPE_FLOW_DISSECTOR})
      add(type);
    add(BPF_PROG_TYPE_KPROBE, {0, BPF_TRACE_KPROBE_MULTI, BPF_TRACE_KPROBE_SESSION, BPF_TRACE_UPROBE_MULTI});
    add(BPF_PROG_TYPE_KPROBE, {0, BPF_TRACE_UPROBE_MULTI}, true);
    add(BPF_PROG_TYPE_SYSCALL, {0}, true);
    add(BPF_PROG_TYPE_CGROUP_SKB, {BPF_CGROUP_INET_INGRESS, BPF_CGROUP_INET_EGRESS});
    add(BPF_PROG_TYPE_CGROUP_SOCK, {BPF_CGROUP_INET_SOCK_CREATE, BPF_CGROUP_INET4_POST_BIND, BPF_CGROUP_INET_SOCK_RELEASE});
    add(BPF_PROG_TYPE_CGROUP_DEVICE, {BPF_CGROUP_DEVICE});
    add(BPF_PROG_TYPE_CGROUP_SYSCTL, {BPF_CGROUP_SYSCTL});
    add(BPF_PROG_TYPE_CGROUP_SOCKOPT, {BPF_CGROUP_GETSOCKOPT, BPF_CGROUP_SETSOCKOPT});
    add(BPF_PROG_TYPE_SOCK_OPS, {BPF_CGROUP_SOCK_OPS});
    add(BPF_PROG_TYPE_SK_REUSEPORT, {BPF_SK_REUSEPORT_SELECT, BPF_SK_REUSEPORT_SELECT_OR_MIGRATE});
    add(BPF_PROG_TYPE_SK_LOOKUP, {BPF_SK_LOOKUP});
    add(BPF_PROG_TYPE_NETFILTER, {BPF_NETFILTER});
    add(BPF_PROG_TYPE_CGROUP_SOCK_ADDR,
        {BPF_CGROUP_INET4_BIND, BPF_CGROUP_INET6_BIND, BPF_CGROUP_INET4_CONNECT, BPF_CGROUP_INET6_CONNECT, BPF_CGROUP_UNIX_CONNECT,
         BPF_CGROUP_UDP4_SENDMSG, BPF_CGROUP_UDP6_SENDMSG, BPF_CGROUP_UNIX_SENDMSG, BPF_CGROUP_UDP4_RECVMSG,
         BPF_CGROUP_UDP6_RECVMSG, BPF_CGROUP_UNIX_RECVMSG, BPF_CGROUP_INET4_GETPEERNAME, BPF_CGROUP_INET6_GETPEERNAME,
         BPF_CGROUP_UNIX_GETPEERNAME, BPF_CGROUP_INET4_GETSOCKNAME, BPF_CGROUP_INET6_GETSOCKNAME, BPF_CGROUP_UNIX_GETSOCKNAME});
    return v;
  }();
  return all;
}

/// Where the machine's kernel may differ from 6.12 as configured by Debian, with the reason.
struct Drift {
  u32 id;
  u64 types;
  bool opened;  ///< the machine's kernel has it and 6.12 has not, or the other way round
  const char* why;
};
constexpr u64 ALL = ~u64{0};
constexpr const char* BASE_GREW = "6.16 moved tracing's helpers that need nothing of their context to bpf_base_func_proto()";
const Drift DRIFTS[] = {
    {func::get_current_uid_gid, ALL, true, BASE_GREW},
    {func::get_current_comm, ALL, true, BASE_GREW},
    {func::get_cgroup_classid, ALL, true, BASE_GREW},
    {func::perf_event_read, ALL, true, BASE_GREW},
    {func::current_task_under_cgroup, ALL, true, BASE_GREW},
    {func::perf_event_read_value, ALL, true, BASE_GREW},
    {func::send_signal, ALL, true, BASE_GREW},
    {func::send_signal_thread, ALL, true, BASE_GREW},
    {func::get_task_stack, ALL, true, BASE_GREW},
    {func::copy_from_user, ALL, true, BASE_GREW},
    {func::copy_from_user_task, ALL, true, BASE_GREW},
    {func::task_storage_get, ALL, true, BASE_GREW},
    {func::task_storage_delete, ALL, true, BASE_GREW},
    {func::get_branch_snapshot, ALL, true, BASE_GREW},
    {func::find_vma, ALL, true, BASE_GREW},
    {func::get_netns_cookie,
     prog_types(BPF_PROG_TYPE_SOCKET_FILTER, BPF_PROG_TYPE_SCHED_CLS, BPF_PROG_TYPE_SCHED_ACT, BPF_PROG_TYPE_CGROUP_SKB), true,
     "6.15 gave it to programs of packets"},
    {func::setsockopt, prog_type_bit(BPF_PROG_TYPE_CGROUP_SOCK_ADDR), true, "newer kernels open it to AF_UNIX's names too"},
    {func::getsockopt, prog_type_bit(BPF_PROG_TYPE_CGROUP_SOCK_ADDR), true, "newer kernels open it to AF_UNIX's names too"},
    {func::skb_pull_data, prog_type_bit(BPF_PROG_TYPE_LWT_SEG6LOCAL), true, "6.12.y closed it late; other kernels may not have"},
    {func::probe_write_user,
     prog_types(BPF_PROG_TYPE_KPROBE, BPF_PROG_TYPE_TRACEPOINT, BPF_PROG_TYPE_PERF_EVENT, BPF_PROG_TYPE_RAW_TRACEPOINT,
                BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE, BPF_PROG_TYPE_SYSCALL),
     false, "closed where the kernel is locked down for integrity"},
    {func::override_return, prog_type_bit(BPF_PROG_TYPE_KPROBE), false,
     "needs CONFIG_BPF_KPROBE_OVERRIDE, which Debian's kernel has"},
};

bool is_drift(u32 id, u32 type, bool ours, const std::string& log) {
  for (const Drift& d : DRIFTS)
    if (d.id == id && (d.types & prog_type_bit(type)) != 0 && ours != d.opened && has(log, REFUSED) != d.opened) return true;
  return false;
}

TEST(LinuxFuncProto, EveryTypeAndHelper) {
  SKIP_WITHOUT_LINUX_BPF();
  u32 probed = 0;
  for (const ProgTraits& prog : programs()) {
    if (load_log(call_of(func::map_lookup_elem, nullptr), prog, "GPL").empty()) {  // refused before anything is judged
      std::printf("  type %u attach %u: not loadable here\n", prog.type, prog.expected_attach_type);
      continue;
    }
    ++probed;
    for (const bool gpl : {true, false})
      for (u32 id = 1; id < func::max_id; ++id) {
        const FuncProto* proto = get_func_proto(id, prog);
        const std::string log = load_log(call_of(id, proto), prog, gpl ? "GPL" : "Proprietary");
        const std::string words = expected_words(proto, prog, gpl);
        EXPECT_TRUE(agrees(log, words) || is_drift(id, prog.type, proto != nullptr, log))
            << "type " << prog.type << " attach " << prog.expected_attach_type << (prog.sleepable ? " sleepable" : "")
            << (gpl ? " GPL " : " not GPL ") << func_id_name(id) << "#" << id << ": expected '" << words << "', Linux says\n"
            << log;
      }
  }
  EXPECT_GT(probed, 20u);
}

}  // namespace
}  // namespace skep::test
