// What programs may return, against the machine's kernel.
#include <gtest/gtest.h>

#include "progtypes/ctx_kernel_test.h"

namespace skep {
namespace {

using namespace test;

// r0 just in and just out of the range, for every type and attach type; those without a rule return anything.
TEST(ReturnRulesKernelTest, EveryTypeAndAttachType) {
  SKIP_WITHOUT_ALL_TYPES();
  std::vector<CtxCase> cases = ctx_cases();
  cases.push_back({"kprobe_session", BPF_PROG_TYPE_KPROBE, 56, 168});
  for (const CtxCase& c : cases) {
    if (!loads(c)) continue;
    const ReturnRule rule = return_rule(traits_of(c));
    for (s32 value = -2; value <= 5; ++value) {
      const LinuxVerdict v = load_as(c, {mov(0, value), exit_()});
      const bool ours = !rule.enforced || (value >= rule.range.min && value <= rule.range.max);
      EXPECT_EQ(ours, v.err == 0) << c.name << " attach " << c.attach << " returns " << value << "\n" << v.log;
      if (v.err != 0) {
        EXPECT_NE(v.log.find("At program exit the register R0 has"), std::string::npos) << v.log;
      }
    }
  }
}

TEST(ReturnRulesTest, TypesThatNeedBtfToLoad) {
  const auto rule = [](u32 type, u32 attach, u32 btf_id = 1) {
    return return_rule({.type = type, .expected_attach_type = attach, .attach_btf_id = btf_id});
  };
  for (u32 attach : {24u, 25u}) {
    EXPECT_TRUE(rule(BPF_PROG_TYPE_TRACING, attach).enforced);
    EXPECT_EQ(rule(BPF_PROG_TYPE_TRACING, attach).range, (RetvalRange{0, 0}));
  }
  EXPECT_FALSE(rule(BPF_PROG_TYPE_TRACING, 23).enforced);
  EXPECT_FALSE(rule(BPF_PROG_TYPE_TRACING, 26).enforced);
  EXPECT_FALSE(rule(BPF_PROG_TYPE_TRACING, 26).unsupported);
  EXPECT_EQ(rule(BPF_PROG_TYPE_TRACING, 28).range, (RetvalRange{0, 1}));
  EXPECT_TRUE(rule(BPF_PROG_TYPE_TRACING, 0).unsupported);
  EXPECT_EQ(rule(BPF_PROG_TYPE_RAW_TRACEPOINT, 0).range, (RetvalRange{0, 0}));
  EXPECT_FALSE(rule(BPF_PROG_TYPE_RAW_TRACEPOINT, 0, 0).enforced);
  EXPECT_TRUE(rule(BPF_PROG_TYPE_CGROUP_SKB, 1).tracks_attach_type);
  EXPECT_FALSE(rule(BPF_PROG_TYPE_CGROUP_SKB, 0).tracks_attach_type);
  EXPECT_FALSE(rule(BPF_PROG_TYPE_EXT, 0).enforced);
}

// LD_ABS: refused with these words where it may not be.
TEST(ProgTypeRulesKernelTest, WhoMayLoadPacketBytes) {
  SKIP_WITHOUT_ALL_TYPES();
  for (const CtxCase& c : ctx_cases()) {
    if (!loads(c)) continue;
    const LinuxVerdict v = load_as(c, Prog{movr(6, 1), raw(BPF_LD | BPF_ABS | BPF_B)} + leave(c));
    EXPECT_EQ(may_access_skb(c.type), v.log.find("not allowed for this program type") == std::string::npos) << c.name << v.log;
    EXPECT_EQ(may_access_skb(c.type), v.err == 0) << c.name << v.log;
  }
}

TEST(ProgTypeRulesKernelTest, WhoMaySleep) {
  SKIP_WITHOUT_ALL_TYPES();
  for (const CtxCase& c : ctx_cases()) {
    if (c.type == BPF_PROG_TYPE_SYSCALL || !loads(c)) continue;
    EXPECT_EQ(load_as(c, leave(c), BPF_F_SLEEPABLE).err == 0, can_be_sleepable(c.type, c.attach)) << c.name;
  }
  EXPECT_TRUE(can_be_sleepable(BPF_PROG_TYPE_TRACING, 24));
  EXPECT_FALSE(can_be_sleepable(BPF_PROG_TYPE_TRACING, 23));
  EXPECT_TRUE(can_be_sleepable(BPF_PROG_TYPE_LSM, 27));
  EXPECT_FALSE(can_be_sleepable(BPF_PROG_TYPE_LSM, 43));
  EXPECT_TRUE(can_be_sleepable(BPF_PROG_TYPE_STRUCT_OPS, 0));
  EXPECT_FALSE(can_be_sleepable(BPF_PROG_TYPE_EXT, 0));
}

// A byte of the packet, read or written once it is known to be there.
Prog packet_prog(const CtxCase& c, s32 data, s32 data_end, u8 size, const bpf_insn& access) {
  return Prog{ldx(size, 2, 1, data), ldx(size, 3, 1, data_end), movr(4, 2), alu64k(BPF_ADD, 4, 1), jx(BPF_JGT, 4, 3, 1), access} +
         leave(c);
}

TEST(ProgTypeRulesKernelTest, WhoMayTouchPackets) {
  SKIP_WITHOUT_ALL_TYPES();
  u32 seen = 0;
  for (const CtxCase& c : ctx_cases()) {
    if (!loads(c)) continue;
    s32 data = -1, end = -1;
    u32 width = 0;
    for (s32 off = 0; off < c.end; off += 4)
      for (u32 size : {4u, 8u}) {
        CtxAccessInfo info;
        if (!is_valid_ctx_access(off, size, BPF_READ, traits_of(c), &info, nullptr)) continue;
        if (info.reg_type == PTR_TO_PACKET) data = off, width = size;
        if (info.reg_type == PTR_TO_PACKET_END) end = off;
      }
    if (data < 0) continue;
    ++seen;
    const u8 size = code_of_size(width);
    const LinuxVerdict r = load_as(c, packet_prog(c, data, end, size, ldx(BPF_B, 5, 2, 0)));
    const LinuxVerdict w = load_as(c, packet_prog(c, data, end, size, st(BPF_B, 2, 0, 1)));
    EXPECT_EQ(r.err, 0) << c.name << r.log;
    EXPECT_EQ(may_access_direct_pkt_data(traits_of(c), true, BPF_WRITE), w.err == 0) << c.name << w.log;
    if (w.err != 0) {
      EXPECT_NE(w.log.find("cannot write into packet"), std::string::npos) << w.log;
    }
  }
  EXPECT_GT(seen, 15u);
  EXPECT_FALSE(may_access_direct_pkt_data({.type = BPF_PROG_TYPE_XDP}, false, BPF_READ));
  EXPECT_TRUE(may_access_direct_pkt_data({.type = BPF_PROG_TYPE_CGROUP_SOCKOPT}, false, BPF_READ));
  EXPECT_FALSE(may_access_direct_pkt_data({.type = BPF_PROG_TYPE_SOCKET_FILTER}, true, BPF_READ));
}

TEST(ProgTypeRulesTest, TracingTypes) {
  u32 count = 0;
  for (u32 type = 0; type < MAX_BPF_PROG_TYPE_; ++type) count += is_tracing_prog_type(type);
  EXPECT_EQ(count, 5u);
  for (u32 type : {BPF_PROG_TYPE_KPROBE, BPF_PROG_TYPE_TRACEPOINT, BPF_PROG_TYPE_PERF_EVENT, BPF_PROG_TYPE_RAW_TRACEPOINT,
                   BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE})
    EXPECT_TRUE(is_tracing_prog_type(type));
}

}  // namespace
}  // namespace skep
