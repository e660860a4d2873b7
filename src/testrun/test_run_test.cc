// Requests of every kind, run in this process: checks in their order, contexts in and out, results. The programs are as the
// verifier's rewriting leaves them: they read the kernel's structures.
#include "testrun/test_run.h"

#include "helpers/helper.h"
#include "helpers/packet.h"
#include "helpers/run_fixture_test.h"
#include "progtypes/func_ids.h"

namespace skep::test {
namespace {

constexpr long ENOTSUPP_HERE = 524;
constexpr u32 INET = 2, INET6 = 10;  // address families

struct LocalEnv : TestRunEnv {
  bool stop = false;
  LocalEnv() : TestRunEnv{} {
    read_user = [](TestRunEnv*, void* dst, u64 addr, u64 len) noexcept -> long {
      if (addr < PAGE_SIZE) return -EFAULT;
      std::memcpy(dst, reinterpret_cast<const void*>(addr), len);
      return 0;
    };
    write_user = [](TestRunEnv*, u64 addr, const void* src, u64 len) noexcept -> long {
      if (addr < PAGE_SIZE) return -EFAULT;
      std::memcpy(reinterpret_cast<void*>(addr), src, len);
      return 0;
    };
    interrupted = [](TestRunEnv* e) noexcept { return static_cast<LocalEnv*>(e)->stop; };
    take_cpu = [](TestRunEnv* e, u32 cpu) noexcept {
      e->op.cpu = cpu;
      return true;
    };
  }
};

class TestRun : public RunFixture {
 protected:
  void SetUp() override {
    RunFixture::SetUp();
    packet_in_.assign(64, 0);
    packet_in_[12] = 0x08;  // IPv4
    for (u32 i = 0; i < 8; ++i) packet_in_[26 + i] = static_cast<u8>(10 + i);
    attr_.data_in = addr(packet_in_.data());
    attr_.data_size_in = 64;
  }
  static u64 addr(const void* p) { return reinterpret_cast<u64>(p); }

  s64 run(u32 type, const Prog& p, u32 attach = 0) {
    prepare(p, type);
    memory_.assign(test_run_memory_size() / PAGE_SIZE + 2, Page{});
    LocalEnv env;
    env.run = &env_;
    env.op = op();
    env.memory = memory_[0].bytes;
    env.stop = stop_;
    TestRunPlan plan{&image_, addr(&attr_), attach, max_ctx_offset_, attr_};
    const s64 rc = test_run(plan, env);
    fault_ = env.fault;
    return rc;
  }
  s64 run_cls(const Prog& p) { return run(BPF_PROG_TYPE_SCHED_CLS, p); }
  s64 run_xdp(const Prog& p) { return run(BPF_PROG_TYPE_XDP, p); }
  template <typename T>
  void set_ctx(T* ctx) {
    attr_.ctx_in = attr_.ctx_out = addr(ctx);
    attr_.ctx_size_in = attr_.ctx_size_out = sizeof *ctx;
  }

  struct alignas(PAGE_SIZE) Page {
    u8 bytes[PAGE_SIZE];
  };
  std::vector<Page> memory_;
  std::vector<u8> packet_in_;
  bpf_test_run_attr attr_{};
  u32 max_ctx_offset_ = 0;
  bool stop_ = false;
  Fault fault_{};
};

const Prog RETURN_7 = {mov(0, 7), exit_()};

TEST_F(TestRun, SkbChecksInOrder) {
  attr_.cpu = 1;
  EXPECT_EQ(run_cls(RETURN_7), -EINVAL);
  attr_.cpu = 0;
  attr_.flags = 1;
  EXPECT_EQ(run_cls(RETURN_7), -EINVAL);
  attr_.flags = 0;
  attr_.data_size_in = 13;
  EXPECT_EQ(run_cls(RETURN_7), -EINVAL);
  attr_.data_size_in = 4096 - 64 - 320 + 1;
  attr_.data_in = 0;
  EXPECT_EQ(run_cls(RETURN_7), -EINVAL) << "before the packet is looked at";
  attr_.data_size_in = 64;
  EXPECT_EQ(run_cls(RETURN_7), -EFAULT);
  attr_.data_in = addr(packet_in_.data());
  attr_.data_size_in = 33;
  EXPECT_EQ(run_cls(RETURN_7), -EINVAL) << "no room for an IPv4 header";
  attr_.data_size_in = 34;
  EXPECT_EQ(run_cls(RETURN_7), 0);
  EXPECT_EQ(attr_.retval, 7u);
  EXPECT_EQ(attr_.data_size_out, 34u);
}

TEST_F(TestRun, WhatAnSkbLooksLike) {
  const auto read = [this](u8 size, u64 off, u32 type = BPF_PROG_TYPE_SCHED_CLS) {
    EXPECT_EQ(run(type, {ldx(size, 0, 1, static_cast<s32>(off)), exit_()}), 0);
    return attr_.retval;
  };
  EXPECT_EQ(read(BPF_W, offsetof(SkBuff, len)), 64u);
  EXPECT_EQ(read(BPF_W, offsetof(SkBuff, len), BPF_PROG_TYPE_SOCKET_FILTER), 50u) << "without its Ethernet header";
  EXPECT_EQ(read(BPF_H, offsetof(SkBuff, protocol)), 0x0008u);
  EXPECT_EQ(read(BPF_B, offsetof(SkBuff, pkt_type)), 0u) << "to the loopback device's address";
  packet_in_[0] = 0xff;
  EXPECT_EQ(read(BPF_B, offsetof(SkBuff, pkt_type)), 2u);
  packet_in_[0] = 0x02;
  EXPECT_EQ(read(BPF_B, offsetof(SkBuff, pkt_type)), 3u);
  packet_in_[12] = 0;
  packet_in_[13] = 50;
  EXPECT_EQ(read(BPF_H, offsetof(SkBuff, protocol)), 0x0400u) << "a length: 802.2";
  packet_in_[14] = packet_in_[15] = 0xff;
  EXPECT_EQ(read(BPF_H, offsetof(SkBuff, protocol)), 0x0100u) << "802.3";
  packet_in_[12] = 0x08;
  packet_in_[13] = 0;
  const Prog socket = {ldx(BPF_DW, 2, 1, offsetof(SkBuff, sk)), ldx(BPF_W, 0, 2, offsetof(SockCommon, skc_daddr)), exit_()};
  EXPECT_EQ(run_cls(socket), 0);
  EXPECT_EQ(attr_.retval, 0x11100f0eu);
  const Prog device = {ldx(BPF_DW, 2, 1, offsetof(SkBuff, dev)), ldx(BPF_W, 0, 2, 0), exit_()};
  EXPECT_EQ(run_cls(device), 0);
  EXPECT_EQ(attr_.retval, 1u);
}

TEST_F(TestRun, DirectAccessEndsAtThePacket) {
  constexpr s32 END = offsetof(SkBuff, cb) + offsetof(BpfSkbDataEnd, data_end);
  const Prog ends = {ldx(BPF_DW, 2, 1, offsetof(SkBuff, data)), ldx(BPF_DW, 3, 1, END)};
  EXPECT_EQ(run_cls(ends + Prog{movr(0, 3), alu64x(BPF_SUB, 0, 2), exit_()}), 0);
  EXPECT_EQ(attr_.retval, 64u);
  EXPECT_EQ(run_cls(ends + Prog{st(BPF_B, 2, 63, 9), ldx(BPF_B, 0, 3, -1), exit_()}), 0);
  EXPECT_EQ(attr_.retval, 9u);
  EXPECT_EQ(run_cls(ends + Prog{ldx(BPF_B, 0, 3, 0), exit_()}), -EIO) << "only a program that was judged wrongly does that";
  EXPECT_EQ(fault_.kind, FaultKind::BadRead);
}

TEST_F(TestRun, SkbContextInAndOut) {
  __sk_buff ctx{};
  ctx.mark = 1;
  ctx.priority = 2;
  ctx.ingress_ifindex = 11;
  ctx.ifindex = 1;
  ctx.cb[4] = 5;
  ctx.tstamp = 6;
  ctx.wire_len = 100;
  ctx.gso_segs = 8;
  ctx.hwtstamp = 9;
  set_ctx(&ctx);
  constexpr s32 CB4 = offsetof(SkBuff, cb) + offsetof(QdiscSkbCb, data) + 16;
  EXPECT_EQ(run_cls({ldx(BPF_W, 0, 1, CB4), st(BPF_W, 1, CB4, 50), st(BPF_W, 1, offsetof(SkBuff, mark), 10), exit_()}), 0);
  EXPECT_EQ(attr_.retval, 5u);
  EXPECT_EQ(ctx.mark, 10u);
  EXPECT_EQ(ctx.cb[4], 50u);
  EXPECT_EQ(ctx.ingress_ifindex, 11u);
  EXPECT_EQ(ctx.wire_len, 100u);
  EXPECT_EQ(ctx.gso_segs, 8u);
  EXPECT_EQ(ctx.hwtstamp, 9u);
  EXPECT_EQ(attr_.ctx_size_out, sizeof ctx);
  attr_.ctx_size_out = 8;
  EXPECT_EQ(run_cls(RETURN_7), -ENOSPC);
  EXPECT_EQ(attr_.ctx_size_out, sizeof ctx);
}

TEST_F(TestRun, SkbContextsThatAreRefused) {
  const auto with = [this](auto change) {
    __sk_buff ctx{};
    change(ctx);
    set_ctx(&ctx);
    return run_cls(RETURN_7);
  };
  EXPECT_EQ(with([](__sk_buff& c) { c.len = 1; }), -EINVAL);
  EXPECT_EQ(with([](__sk_buff& c) { c.protocol = 1; }), -EINVAL);
  EXPECT_EQ(with([](__sk_buff& c) { c.tc_index = 1; }), -EINVAL);
  EXPECT_EQ(with([](__sk_buff& c) { c.hash = 1; }), -EINVAL);
  EXPECT_EQ(with([](__sk_buff& c) { c.sk = 1; }), -EINVAL);
  EXPECT_EQ(with([](__sk_buff& c) { c.tstamp_type = 1; }), -EINVAL);
  EXPECT_EQ(with([](__sk_buff& c) { c.wire_len = 63; }), -EINVAL);
  EXPECT_EQ(with([](__sk_buff& c) { c.wire_len = 65537; }), -EINVAL);
  EXPECT_EQ(with([](__sk_buff& c) { c.gso_segs = 65536; }), -EINVAL);
  EXPECT_EQ(with([](__sk_buff& c) { c.ifindex = 999; }), -ENODEV);
  EXPECT_EQ(with([](__sk_buff&) {}), 0);
  u8 longer[sizeof(__sk_buff) + 8] = {};
  set_ctx(&longer);
  EXPECT_EQ(run_cls(RETURN_7), 0);
  longer[sizeof longer - 1] = 1;
  EXPECT_EQ(run_cls(RETURN_7), -E2BIG);
}

TEST_F(TestRun, DataOut) {
  std::vector<u8> out(64, 0xee);
  attr_.data_out = addr(out.data());
  attr_.data_size_out = 20;
  EXPECT_EQ(run_cls(RETURN_7), -ENOSPC);
  EXPECT_EQ(attr_.data_size_out, 64u) << "what there was";
  EXPECT_EQ(attr_.retval, 7u);
  EXPECT_EQ(out[12], 0x08);
  EXPECT_EQ(out[20], 0xee);
  EXPECT_EQ(run(BPF_PROG_TYPE_CGROUP_SKB, RETURN_7), 0);
  EXPECT_EQ(out[12], 0) << "its Ethernet header is blank";
  EXPECT_EQ(out[26], 10);
  attr_.data_out = 16;
  EXPECT_EQ(run_cls(RETURN_7), -EFAULT);
}

TEST_F(TestRun, WholePacketSums) {
  attr_.flags = BPF_F_TEST_SKB_CHECKSUM_COMPLETE;
  const auto store = [&](s32 flags) {
    return Prog{st(BPF_H, 10, -2, 0x3412),   mov(2, 20), movr(3, 10), alu64k(BPF_ADD, 3, -2), mov(4, 2), mov(5, flags),
                call(func::skb_store_bytes), exit_()};
  };
  EXPECT_EQ(run_cls(store(1)), 0);
  EXPECT_EQ(attr_.retval, 0u);
  EXPECT_EQ(run_cls(store(0)), -EBADMSG) << "the program did not keep it";
  EXPECT_EQ(run_cls({mov(2, 0), call(func::csum_update), exit_()}), 0);
  EXPECT_NE(attr_.retval, static_cast<u32>(-ENOTSUPP_HERE));
}

TEST_F(TestRun, AbsoluteLoads) {
  EXPECT_EQ(run(BPF_PROG_TYPE_SOCKET_FILTER, {mov(2, 12), call(static_cast<s32>(SKB_LOAD_HELPERS) + 2), exit_()}), 0);
  EXPECT_EQ(attr_.retval, 0x0a0b0c0du) << "from the network header on";
}

TEST_F(TestRun, RepeatAndSignals) {
  MapDesc* counter = map(BPF_MAP_TYPE_ARRAY, 4, 8, 1);
  const Prog count =
      ldptr(6, counter->elems, BPF_PSEUDO_MAP_VALUE) + Prog{mov(7, 1), atomic(BPF_DW, BPF_ADD, 6, 0, 7), mov(0, 0), exit_()};
  attr_.repeat = 100;
  EXPECT_EQ(run_cls(count), 0);
  EXPECT_EQ(*reinterpret_cast<u64*>(counter->elems), 100u);
  stop_ = true;
  EXPECT_EQ(run_cls(count), -EINTR);
  EXPECT_LT(*reinterpret_cast<u64*>(counter->elems), 200u);
  attr_.repeat = 1;
  EXPECT_EQ(run_cls(count), 0) << "one run is always made";
}

TEST_F(TestRun, XdpChecks) {
  EXPECT_EQ(run(BPF_PROG_TYPE_XDP, RETURN_7, BPF_XDP_DEVMAP), -EINVAL);
  attr_.batch_size = 1;
  EXPECT_EQ(run_xdp(RETURN_7), -EINVAL);
  attr_.flags = BPF_F_TEST_XDP_LIVE_FRAMES;
  attr_.batch_size = 257;
  EXPECT_EQ(run_xdp(RETURN_7), -E2BIG);
  attr_.batch_size = 0;
  EXPECT_EQ(run_xdp(RETURN_7), -ENOTSUPP_HERE);
  attr_.flags = 0;
  attr_.data_size_in = 13;
  EXPECT_EQ(run_xdp(RETURN_7), -EINVAL);
  attr_.data_size_in = 14;
  EXPECT_EQ(run_xdp(RETURN_7), 0);
  EXPECT_EQ(attr_.retval, 7u);
}

TEST_F(TestRun, XdpContext) {
  xdp_md ctx{};
  ctx.data = 4;
  ctx.data_end = 64;
  ctx.ingress_ifindex = 1;
  set_ctx(&ctx);
  const Prog length = {ldx(BPF_DW, 2, 1, offsetof(XdpBuff, data)), ldx(BPF_DW, 0, 1, offsetof(XdpBuff, data_end)),
                       alu64x(BPF_SUB, 0, 2), exit_()};
  EXPECT_EQ(run_xdp(length), 0);
  EXPECT_EQ(attr_.retval, 60u);
  EXPECT_EQ(ctx.data, 4u);
  EXPECT_EQ(ctx.data_end, 64u);
  EXPECT_EQ(attr_.data_size_out, 64u) << "with its metadata";
  const auto with = [this](auto change) {
    xdp_md c{};
    c.data_end = 64;
    change(c);
    set_ctx(&c);
    return run_xdp(RETURN_7);
  };
  EXPECT_EQ(with([](xdp_md& c) { c.data_meta = 1; }), -EINVAL);
  EXPECT_EQ(with([](xdp_md& c) { c.data_end = 65; }), -EINVAL);
  EXPECT_EQ(with([](xdp_md& c) { c.data = 3; }), -EINVAL);
  EXPECT_EQ(with([](xdp_md& c) { c.data = 65; }), -EINVAL);
  EXPECT_EQ(with([](xdp_md& c) { c.data = 52; }), -EINVAL) << "too little behind it";
  EXPECT_EQ(with([](xdp_md& c) { c.egress_ifindex = 1; }), -EINVAL);
  EXPECT_EQ(with([](xdp_md& c) { c.rx_queue_index = 1; }), -EINVAL);
  EXPECT_EQ(with([](xdp_md& c) { c.ingress_ifindex = 1, c.rx_queue_index = 1; }), -EINVAL);
  EXPECT_EQ(with([](xdp_md& c) { c.ingress_ifindex = 999; }), -ENODEV);
}

TEST_F(TestRun, XdpRoomAndFrags) {
  std::vector<u8> out(9000, 0);
  packet_in_.assign(9000, 0);
  packet_in_[8999] = 77;
  attr_.data_in = addr(packet_in_.data());
  attr_.data_size_in = 9000;
  attr_.data_out = addr(out.data());
  attr_.data_size_out = 9000;
  const Prog length = {call(func::xdp_get_buff_len), exit_()};
  EXPECT_EQ(run_xdp(length), 0);
  EXPECT_EQ(attr_.retval, 9000u);
  EXPECT_EQ(out[8999], 77);
  attr_.data_size_out = 5000;
  EXPECT_EQ(run_xdp(length), -ENOSPC) << "less than the frags: nothing at all";
  EXPECT_EQ(attr_.data_size_out, 5000u);
  attr_.data_size_in = 64;
  attr_.data_size_out = 9000;
  EXPECT_EQ(run_xdp({mov(2, -20), call(func::xdp_adjust_head), mov(0, 2), exit_()}), 0);
  EXPECT_EQ(attr_.data_size_out, 84u);
  packet_in_.assign(3520 + 17 * 4096 + 1, 0);
  attr_.data_in = addr(packet_in_.data());
  attr_.data_size_in = static_cast<u32>(packet_in_.size());
  EXPECT_EQ(run_xdp(length), -ENOMEM);
}

TEST_F(TestRun, FlowDissector) {
  bpf_flow_keys out{};
  attr_.data_out = addr(&out);
  attr_.data_size_out = sizeof out;
  const Prog set = {ldx(BPF_DW, 2, 1, 0), st(BPF_H, 2, offsetof(bpf_flow_keys, thoff), 1000),
                    st(BPF_H, 2, offsetof(bpf_flow_keys, nhoff), 1), ldx(BPF_W, 0, 2, offsetof(bpf_flow_keys, flags)), exit_()};
  bpf_flow_keys user{};
  user.flags = 3;
  set_ctx(&user);
  EXPECT_EQ(run(BPF_PROG_TYPE_FLOW_DISSECTOR, set), 0);
  EXPECT_EQ(attr_.retval, 3u);
  EXPECT_EQ(attr_.data_size_out, sizeof out);
  EXPECT_EQ(out.n_proto, 0x0008);
  EXPECT_EQ(out.nhoff, 14) << "not before the Ethernet header's end";
  EXPECT_EQ(out.thoff, 64) << "not behind the packet";
  user.nhoff = 1;
  EXPECT_EQ(run(BPF_PROG_TYPE_FLOW_DISSECTOR, set), -EINVAL);
}

TEST_F(TestRun, SkLookup) {
  attr_ = bpf_test_run_attr{};
  EXPECT_EQ(run(BPF_PROG_TYPE_SK_LOOKUP, RETURN_7), -EINVAL) << "a context must be";
  bpf_sk_lookup user{};
  user.family = INET;
  user.local_port = 80;
  user.remote_port = 0x3412;
  user.local_ip4 = 5;
  set_ctx(&user);
  EXPECT_EQ(run(BPF_PROG_TYPE_SK_LOOKUP,
                {ldx(BPF_H, 2, 1, offsetof(SkLookupKern, dport)), mov(0, 0), jk(BPF_JNE, 2, 80, 1), mov(0, 1), exit_()}),
            0);
  EXPECT_EQ(attr_.retval, 1u);
  EXPECT_EQ(run(BPF_PROG_TYPE_SK_LOOKUP, {mov(0, 0), exit_()}), 0);
  EXPECT_EQ(attr_.retval, 0u);
  user.local_port = 65536;
  EXPECT_EQ(run(BPF_PROG_TYPE_SK_LOOKUP, RETURN_7), -ERANGE);
  user.local_port = 80;
  user.ingress_ifindex = 1;
  EXPECT_EQ(run(BPF_PROG_TYPE_SK_LOOKUP, RETURN_7), -EINVAL);
  user.ingress_ifindex = 0;
  user.family = 1;
  EXPECT_EQ(run(BPF_PROG_TYPE_SK_LOOKUP, RETURN_7), -EAFNOSUPPORT);
  user.family = INET6;
  user.local_ip6[3] = 21;
  EXPECT_EQ(run(BPF_PROG_TYPE_SK_LOOKUP, {ldx(BPF_DW, 2, 1, offsetof(SkLookupKern, v6.daddr)), ldx(BPF_W, 2, 2, 12), mov(0, 0),
                                          jk(BPF_JNE, 2, 21, 1), mov(0, 1), exit_()}),
            0);
  EXPECT_EQ(attr_.retval, 1u);
  attr_.data_size_in = 1;
  EXPECT_EQ(run(BPF_PROG_TYPE_SK_LOOKUP, RETURN_7), -EINVAL);
}

TEST_F(TestRun, RawTracepoint) {
  attr_ = bpf_test_run_attr{};
  u64 args[2] = {20, 3};
  attr_.ctx_in = addr(args);
  attr_.ctx_size_in = sizeof args;
  max_ctx_offset_ = 16;
  const Prog sum = {ldx(BPF_DW, 0, 1, 0), ldx(BPF_DW, 2, 1, 8), alu64x(BPF_ADD, 0, 2), exit_()};
  EXPECT_EQ(run(BPF_PROG_TYPE_RAW_TRACEPOINT, sum), 0);
  EXPECT_EQ(attr_.retval, 23u);
  attr_.ctx_size_in = 8;
  EXPECT_EQ(run(BPF_PROG_TYPE_RAW_TRACEPOINT, sum), -EINVAL) << "less than it reads";
  attr_.ctx_size_in = 13 * 8;
  EXPECT_EQ(run(BPF_PROG_TYPE_RAW_TRACEPOINT, sum), -EINVAL);
  attr_.ctx_size_in = 16;
  attr_.cpu = 1;
  EXPECT_EQ(run(BPF_PROG_TYPE_RAW_TRACEPOINT, sum), -EINVAL);
  attr_.flags = BPF_F_TEST_RUN_ON_CPU;
  EXPECT_EQ(run(BPF_PROG_TYPE_RAW_TRACEPOINT, {call(BPF_FUNC_get_smp_processor_id), exit_()}), 0);
  EXPECT_EQ(attr_.retval, 1u);
  attr_.cpu = CPUS;
  EXPECT_EQ(run(BPF_PROG_TYPE_RAW_TRACEPOINT, sum), -ENXIO);
  attr_.cpu = 0;
  attr_.repeat = 1;
  EXPECT_EQ(run(BPF_PROG_TYPE_RAW_TRACEPOINT, sum), -EINVAL);
}

TEST_F(TestRun, SyscallPrograms) {
  attr_ = bpf_test_run_attr{};
  std::vector<u8> args(0x10000, 1);
  attr_.ctx_in = addr(args.data());
  attr_.ctx_size_in = 0xffff;
  EXPECT_EQ(run(BPF_PROG_TYPE_SYSCALL, {st(BPF_W, 1, 4, 9), ldx(BPF_B, 0, 1, 32766), exit_()}), 0);
  EXPECT_EQ(attr_.retval, 1u);
  EXPECT_EQ(args[4], 9) << "what it writes comes back";
  attr_.ctx_size_in = 0x10000;
  EXPECT_EQ(run(BPF_PROG_TYPE_SYSCALL, RETURN_7), -EINVAL);
  attr_.ctx_size_in = 0;
  attr_.ctx_in = 0;
  EXPECT_EQ(run(BPF_PROG_TYPE_SYSCALL, RETURN_7), 0);
  attr_.flags = 1;
  EXPECT_EQ(run(BPF_PROG_TYPE_SYSCALL, RETURN_7), -EINVAL);
}

TEST_F(TestRun, TypesWithoutARun) { EXPECT_EQ(run(BPF_PROG_TYPE_KPROBE, RETURN_7), -ENOTSUPP_HERE); }

}  // namespace
}  // namespace skep::test
