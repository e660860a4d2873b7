// progtypes tests: every program type with every expected attach type that loads, and small programs on the machine's kernel.
#pragma once
#include "isa/asm_test.h"
#include "isa/linux_bpf_test.h"
#include "progtypes/ctx_access.h"

namespace skep::test {

struct CtxCase {
  const char* name;
  u32 type, attach;
  s32 end;                         ///< of the context
  s32 skip_from = 0, skip_to = 0;  ///< offsets between that are left out: nothing happens there
};

inline std::vector<CtxCase> ctx_cases() {
  std::vector<CtxCase> cases = {
      {"socket_filter", BPF_PROG_TYPE_SOCKET_FILTER, 0, 192},
      {"kprobe", BPF_PROG_TYPE_KPROBE, 0, 168},
      {"sched_cls", BPF_PROG_TYPE_SCHED_CLS, 0, 192},
      {"sched_act", BPF_PROG_TYPE_SCHED_ACT, 0, 192},
      {"tracepoint", BPF_PROG_TYPE_TRACEPOINT, 0, 8192, 32, 8168},
      {"xdp", BPF_PROG_TYPE_XDP, 0, 24},
      {"xdp_devmap", BPF_PROG_TYPE_XDP, 33, 24},
      {"xdp_cpumap", BPF_PROG_TYPE_XDP, 35, 24},
      {"xdp_xdp", BPF_PROG_TYPE_XDP, 37, 24},
      {"perf_event", BPF_PROG_TYPE_PERF_EVENT, 0, 184},
      {"cgroup_skb_ingress", BPF_PROG_TYPE_CGROUP_SKB, 0, 192},
      {"cgroup_skb_egress", BPF_PROG_TYPE_CGROUP_SKB, 1, 192},
      {"lwt_in", BPF_PROG_TYPE_LWT_IN, 0, 192},
      {"lwt_out", BPF_PROG_TYPE_LWT_OUT, 0, 192},
      {"lwt_xmit", BPF_PROG_TYPE_LWT_XMIT, 0, 192},
      {"lwt_seg6local", BPF_PROG_TYPE_LWT_SEG6LOCAL, 0, 192},
      {"sock_ops", BPF_PROG_TYPE_SOCK_OPS, 3, 224},
      {"sk_skb_parser", BPF_PROG_TYPE_SK_SKB, 4, 192},
      {"sk_skb_verdict", BPF_PROG_TYPE_SK_SKB, 5, 192},
      {"cgroup_device", BPF_PROG_TYPE_CGROUP_DEVICE, 6, 12},
      {"sk_msg", BPF_PROG_TYPE_SK_MSG, 7, 80},
      {"raw_tracepoint", BPF_PROG_TYPE_RAW_TRACEPOINT, 0, 96},
      {"lirc", BPF_PROG_TYPE_LIRC_MODE2, 0, 4},
      {"sk_reuseport", BPF_PROG_TYPE_SK_REUSEPORT, 39, 56},
      {"sk_reuseport_migrate", BPF_PROG_TYPE_SK_REUSEPORT, 40, 56},
      {"flow_dissector", BPF_PROG_TYPE_FLOW_DISSECTOR, 17, 192},
      {"sysctl", BPF_PROG_TYPE_CGROUP_SYSCTL, 18, 8},
      {"raw_tracepoint_writable", BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE, 0, 96},
      {"getsockopt", BPF_PROG_TYPE_CGROUP_SOCKOPT, 21, 40},
      {"setsockopt", BPF_PROG_TYPE_CGROUP_SOCKOPT, 22, 40},
      {"sk_lookup", BPF_PROG_TYPE_SK_LOOKUP, 36, 72},
      {"syscall", BPF_PROG_TYPE_SYSCALL, 0, 32767, 32, 32744},
      {"netfilter", BPF_PROG_TYPE_NETFILTER, 45, 16},
  };
  for (u32 attach : {2u, 12u, 13u, 34u}) cases.push_back({"cgroup_sock", BPF_PROG_TYPE_CGROUP_SOCK, attach, 80});
  for (u32 attach : {8u, 9u, 10u, 11u, 14u, 15u, 19u, 20u, 29u, 30u, 31u, 32u, 49u, 50u, 51u, 52u, 53u})
    cases.push_back({"sock_addr", BPF_PROG_TYPE_CGROUP_SOCK_ADDR, attach, 72});
  return cases;
}

inline ProgTraits traits_of(const CtxCase& c) {
  return {.type = c.type, .expected_attach_type = c.attach, .gpl_compatible = true, .sleepable = c.type == BPF_PROG_TYPE_SYSCALL};
}

/// Loads `insns`; the verdict's log is level 1.
inline LinuxVerdict load_as(const CtxCase& c, const Prog& insns, u32 prog_flags = 0) {
  static char buffer[1 << 14];
  buffer[0] = 0;
  bpf_attr attr;
  std::memset(&attr, 0, sizeof attr);
  attr.prog_load.prog_type = c.type;
  attr.prog_load.expected_attach_type = c.attach;
  attr.prog_load.prog_flags = prog_flags | (c.type == BPF_PROG_TYPE_SYSCALL ? BPF_F_SLEEPABLE : 0);
  attr.prog_load.insns = reinterpret_cast<u64>(insns.data());
  attr.prog_load.insn_cnt = static_cast<u32>(insns.size());
  attr.prog_load.license = reinterpret_cast<u64>("GPL");
  attr.prog_load.log_level = BPF_LOG_LEVEL1;
  attr.prog_load.log_size = sizeof buffer;
  attr.prog_load.log_buf = reinterpret_cast<u64>(buffer);
  LinuxVerdict v;
  v.fd = static_cast<int>(linux_bpf(BPF_PROG_LOAD, &attr, sizeof attr));
  v.err = v.fd < 0 ? errno : 0;
  v.log = buffer;
  return v;
}

/// The end of a program of this type: a value that it may return.
inline Prog leave(const CtxCase& c) {
  const ReturnRule rule = return_rule(traits_of(c));
  return {mov(0, rule.enforced ? rule.range.min : 0), exit_()};
}

/// Whether the kernel has this type for us; says so where not. A program that it refuses with words is a failure.
inline bool loads(const CtxCase& c) {
  const LinuxVerdict v = load_as(c, leave(c));
  EXPECT_TRUE(v.err == 0 || v.log.empty()) << c.name << " attach " << c.attach << "\n" << v.log;
  if (v.err != 0) std::printf("[  without ] %s: %s\n", c.name, std::strerror(v.err));
  return v.err == 0;
}

/// Unprivileged users may load a few types at most.
#define SKIP_WITHOUT_ALL_TYPES()                                                                           \
  do {                                                                                                     \
    SKIP_WITHOUT_LINUX_BPF();                                                                              \
    const ::skep::test::CtxCase cls{"sched_cls", BPF_PROG_TYPE_SCHED_CLS, 0, 192};                         \
    if (::skep::test::load_as(cls, ::skep::test::leave(cls)).err == EPERM) GTEST_SKIP() << "no privilege"; \
  } while (false)

/// How the context is accessed.
enum class How { LOAD, LOAD_SIGNED, STORE_CONST, STORE_REG };
constexpr bool is_store(How how) { return how == How::STORE_CONST || how == How::STORE_REG; }
constexpr u8 code_of_size(u32 size) { return size == 1 ? BPF_B : size == 2 ? BPF_H : size == 4 ? BPF_W : BPF_DW; }

inline bpf_insn access_insn(How how, u32 size, s32 off, u32 ctx_reg, u32 value_reg) {
  const u8 code = code_of_size(size);
  switch (how) {
    case How::LOAD:
      return ldx(code, value_reg, ctx_reg, off);
    case How::LOAD_SIGNED:
      return ldsx(code, value_reg, ctx_reg, off);
    case How::STORE_CONST:
      return st(code, ctx_reg, off, 1);
    default:
      return stx(code, ctx_reg, off, value_reg);
  }
}

}  // namespace skep::test
