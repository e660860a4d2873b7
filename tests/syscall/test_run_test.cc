// BPF_PROG_TEST_RUN: what is refused and in which order, contexts and packets in and out.
// Linux: kernel/bpf/syscall.c:bpf_prog_test_run(), net/bpf/test_run.c
#include <signal.h>
#include <sys/time.h>

#include "bpf_calls.h"
#include "program_text.h"

namespace skep::test {
namespace {

/// An IPv4 packet to the loopback device's address: 14 bytes of Ethernet, then bytes that count up.
std::vector<unsigned char> packet(std::size_t size = 64) {
  std::vector<unsigned char> p(size, 0);
  for (std::size_t i = 14; i < size; ++i) p[i] = static_cast<unsigned char>(i);
  p[12] = 0x08;
  return p;
}

class TestRunTest : public BpfTest {
 protected:
  void SetUp() override {
    BpfTest::SetUp();
    attr_ = zero_attr();
    packet_ = packet();
  }
  Fd load(std::uint32_t type, const std::vector<struct bpf_insn>& insns, std::uint32_t attach = 0) {
    Fd prog(prog_load({.type = type, .insns = insns, .expected_attach_type = attach}));
    EXPECT_THAT(prog.get(), SyscallSucceeds());
    return prog;
  }
  Fd returning(std::uint32_t type, std::int32_t value = 1) { return load(type, return_program(value)); }
  void use_packet() {
    attr_.test.data_in = user_ptr(packet_.data());
    attr_.test.data_size_in = static_cast<std::uint32_t>(packet_.size());
  }
  template <typename T>
  void use_ctx(T& ctx) {
    attr_.test.ctx_in = attr_.test.ctx_out = user_ptr(&ctx);
    attr_.test.ctx_size_in = attr_.test.ctx_size_out = sizeof ctx;
  }
  long run(const Fd& prog) {
    attr_.test.prog_fd = static_cast<std::uint32_t>(prog.get());
    return bpf(BPF_PROG_TEST_RUN, attr_);
  }
  union bpf_attr attr_;
  std::vector<unsigned char> packet_;
};

TEST_F(TestRunTest, PairsAndFds) {
  const Fd prog = returning(BPF_PROG_TYPE_SOCKET_FILTER);
  use_packet();
  attr_.test.ctx_size_in = 4;
  attr_.test.prog_fd = static_cast<std::uint32_t>(-1);
  EXPECT_THAT(bpf(BPF_PROG_TEST_RUN, attr_), SyscallFailsWithErrno(EINVAL)) << "before the fd";
  attr_.test.ctx_size_in = 0;
  attr_.test.ctx_out = user_ptr(&attr_);
  EXPECT_THAT(bpf(BPF_PROG_TEST_RUN, attr_), SyscallFailsWithErrno(EINVAL));
  attr_.test.ctx_out = 0;
  EXPECT_THAT(bpf(BPF_PROG_TEST_RUN, attr_), SyscallFailsWithErrno(EBADF));
  const Fd map(map_create({}));
  EXPECT_THAT(run(map), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(run(prog), SyscallSucceeds());
  reinterpret_cast<unsigned char*>(&attr_)[100] = 1;
  EXPECT_THAT(run(prog), SyscallFailsWithErrno(EINVAL));
}

TEST_F(TestRunTest, TypesWithoutARun) {
  use_packet();
  EXPECT_THAT(run(returning(BPF_PROG_TYPE_KPROBE)), SyscallFailsWithErrno(kENOTSUPP));
  EXPECT_THAT(run(returning(BPF_PROG_TYPE_TRACEPOINT)), SyscallFailsWithErrno(kENOTSUPP));
  EXPECT_THAT(run(returning(BPF_PROG_TYPE_PERF_EVENT)), SyscallFailsWithErrno(kENOTSUPP));
}

TEST_F(TestRunTest, ResultsOfPacketPrograms) {
  for (const std::uint32_t type : {BPF_PROG_TYPE_SOCKET_FILTER, BPF_PROG_TYPE_SCHED_CLS, BPF_PROG_TYPE_SCHED_ACT, BPF_PROG_TYPE_XDP,
                                   BPF_PROG_TYPE_CGROUP_SKB, BPF_PROG_TYPE_LWT_IN, BPF_PROG_TYPE_LWT_OUT, BPF_PROG_TYPE_LWT_XMIT}) {
    attr_ = zero_attr();
    use_packet();
    GuardedBuffer out(packet_.size());
    attr_.test.data_out = user_ptr(out.data());
    attr_.test.data_size_out = static_cast<std::uint32_t>(out.size());
    attr_.test.repeat = 3;
    ASSERT_THAT(run(returning(type)), SyscallSucceeds()) << type;
    EXPECT_EQ(attr_.test.retval, 1u) << type;
    EXPECT_EQ(attr_.test.data_size_out, 64u) << type;
    EXPECT_EQ(std::memcmp(out.data() + 14, packet_.data() + 14, 50), 0) << type;
    const bool keeps_ethernet = type == BPF_PROG_TYPE_SCHED_CLS || type == BPF_PROG_TYPE_SCHED_ACT || type == BPF_PROG_TYPE_XDP;
    EXPECT_EQ(out.data()[12], keeps_ethernet ? 0x08 : 0) << type;
  }
}

TEST_F(TestRunTest, PacketSizes) {
  const Fd prog = returning(BPF_PROG_TYPE_SCHED_CLS);
  packet_ = packet(5000);
  use_packet();
  attr_.test.data_size_in = 13;
  EXPECT_THAT(run(prog), SyscallFailsWithErrno(EINVAL));
  attr_.test.data_size_in = 33;
  EXPECT_THAT(run(prog), SyscallFailsWithErrno(EINVAL)) << "half an IPv4 header";
  attr_.test.data_size_in = 34;
  EXPECT_THAT(run(prog), SyscallSucceeds());
  attr_.test.data_size_in = 3712;
  attr_.test.data_size_out = 0;  // the last run's size
  EXPECT_THAT(run(prog), SyscallSucceeds());
  attr_.test.data_in = user_ptr(bad_pointer());
  EXPECT_THAT(run(prog), SyscallFailsWithErrno(EFAULT));
}

TEST_F(TestRunTest, TooLargeForAPage) {
  const Fd prog = returning(BPF_PROG_TYPE_SCHED_CLS);
  packet_ = packet(5000);
  use_packet();
  attr_.test.data_size_in = 3713;
  if (drifted()) GTEST_SKIP() << "drift: newer kernels make skbs of several pages";
  EXPECT_THAT(run(prog), SyscallFailsWithErrno(EINVAL));
}

TEST_F(TestRunTest, ResultsThatDoNotFit) {
  const Fd prog = returning(BPF_PROG_TYPE_SCHED_CLS, 5);
  use_packet();
  GuardedBuffer out(20);
  attr_.test.data_out = user_ptr(out.data());
  attr_.test.data_size_out = 20;
  EXPECT_THAT(run(prog), SyscallFailsWithErrno(ENOSPC));
  EXPECT_EQ(attr_.test.data_size_out, 64u) << "what there is";
  EXPECT_EQ(attr_.test.retval, 5u);
  EXPECT_EQ(out.data()[12], 0x08);
  attr_.test.data_size_out = 64;
  attr_.test.data_out = user_ptr(bad_pointer());
  EXPECT_THAT(run(prog), SyscallFailsWithErrno(EFAULT));
}

TEST_F(TestRunTest, WordsThatPacketsDoNotTake) {
  const Fd prog = returning(BPF_PROG_TYPE_SCHED_CLS);
  use_packet();
  attr_.test.cpu = 1;
  EXPECT_THAT(run(prog), SyscallFailsWithErrno(EINVAL));
  attr_.test.cpu = 0;
  attr_.test.batch_size = 1;
  EXPECT_THAT(run(prog), SyscallFailsWithErrno(EINVAL));
  attr_.test.batch_size = 0;
  attr_.test.flags = BPF_F_TEST_RUN_ON_CPU;
  EXPECT_THAT(run(prog), SyscallFailsWithErrno(EINVAL));
}

TEST_F(TestRunTest, ContextOfAnSkb) {
  // r0 = skb->cb[1] + skb->len; skb->mark = skb->mark + 1; skb->cb[1] = 77
  const Fd prog = load(BPF_PROG_TYPE_SCHED_CLS, ProgramText()
                                                    .load(BPF_W, R0, R1, offsetof(struct __sk_buff, cb) + 4)
                                                    .load(BPF_W, R2, R1, offsetof(struct __sk_buff, len))
                                                    .raw(insn(BPF_ALU64 | BPF_ADD | BPF_X, R0, R2, 0, 0))
                                                    .load(BPF_W, R2, R1, offsetof(struct __sk_buff, mark))
                                                    .alu(BPF_ADD, R2, 1)
                                                    .store(BPF_W, R1, offsetof(struct __sk_buff, mark), R2)
                                                    .mov(R2, 77)
                                                    .store(BPF_W, R1, offsetof(struct __sk_buff, cb) + 4, R2)
                                                    .exit()
                                                    .build());
  use_packet();
  Guarded<struct __sk_buff> ctx;
  ctx->mark = 8;
  ctx->cb[1] = 100;
  ctx->priority = 3;
  ctx->ifindex = 1;
  ctx->tstamp = 12345;
  ctx->gso_segs = 4;
  use_ctx(*ctx);
  ASSERT_THAT(run(prog), SyscallSucceeds());
  EXPECT_EQ(attr_.test.retval, 164u);
  EXPECT_EQ(ctx->mark, 9u);
  EXPECT_EQ(ctx->cb[1], 77u);
  EXPECT_EQ(ctx->priority, 3u);
  EXPECT_EQ(ctx->ifindex, 1u);
  EXPECT_EQ(ctx->tstamp, 12345u);
  EXPECT_EQ(ctx->gso_segs, 4u);
  EXPECT_EQ(ctx->wire_len, 64u);
  EXPECT_GE(attr_.test.ctx_size_out, 184u);
}

TEST_F(TestRunTest, ContextsOfAnSkbThatAreRefused) {
  const Fd prog = returning(BPF_PROG_TYPE_SCHED_CLS);
  const auto with = [&](auto change) {
    attr_ = zero_attr();
    use_packet();
    struct __sk_buff ctx;
    std::memset(&ctx, 0, sizeof ctx);
    change(ctx);
    use_ctx(ctx);
    return run(prog);
  };
  using Ctx = struct __sk_buff;
  EXPECT_THAT(with([](Ctx&) {}), SyscallSucceeds());
  EXPECT_THAT(with([](Ctx& c) { c.len = 1; }), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(with([](Ctx& c) { c.protocol = 1; }), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(with([](Ctx& c) { c.tc_index = 1; }), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(with([](Ctx& c) { c.hash = 1; }), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(with([](Ctx& c) { c.wire_len = 63; }), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(with([](Ctx& c) { c.gso_segs = 65536; }), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(with([](Ctx& c) { c.ifindex = 99999; }), SyscallFailsWithErrno(ENODEV));
  unsigned char longer[512] = {};
  attr_ = zero_attr();
  use_packet();
  use_ctx(longer);
  EXPECT_THAT(run(prog), SyscallSucceeds());
  longer[511] = 1;
  use_ctx(longer);
  EXPECT_THAT(run(prog), SyscallFailsWithErrno(E2BIG));
}

TEST_F(TestRunTest, KindsOfPackets) {
  const Fd type_of =
      load(BPF_PROG_TYPE_SCHED_CLS, ProgramText().load(BPF_W, R0, R1, offsetof(struct __sk_buff, pkt_type)).exit().build());
  const Fd protocol_of =
      load(BPF_PROG_TYPE_SOCKET_FILTER, ProgramText().load(BPF_W, R0, R1, offsetof(struct __sk_buff, protocol)).exit().build());
  use_packet();
  const auto result = [&](const Fd& prog) {
    EXPECT_THAT(run(prog), SyscallSucceeds());
    return attr_.test.retval;
  };
  EXPECT_EQ(result(type_of), 0u);
  EXPECT_EQ(result(protocol_of), 0x0008u);
  packet_[0] = 0xff;
  EXPECT_EQ(result(type_of), 2u) << "the loopback device has no broadcast address";
  packet_[0] = 2;
  EXPECT_EQ(result(type_of), 3u);
  packet_[12] = 0;
  EXPECT_EQ(result(protocol_of), 0x0400u);
  packet_[14] = packet_[15] = 0xff;
  EXPECT_EQ(result(protocol_of), 0x0100u);
}

TEST_F(TestRunTest, PacketBytes) {
  // Loads by LD_ABS: from the network header on for a socket filter, big-endian.
  const Fd absolute =
      load(BPF_PROG_TYPE_SOCKET_FILTER, ProgramText().mov(R6, R1).raw(insn(BPF_LD | BPF_ABS | BPF_H, 0, 0, 0, 2)).exit().build());
  use_packet();
  ASSERT_THAT(run(absolute), SyscallSucceeds());
  EXPECT_EQ(attr_.test.retval, 0x1011u);
  // And directly: the third byte behind the Ethernet header, bounds looked at.
  const Fd direct = load(BPF_PROG_TYPE_SCHED_CLS, ProgramText()
                                                      .load(BPF_W, R2, R1, offsetof(struct __sk_buff, data))
                                                      .load(BPF_W, R3, R1, offsetof(struct __sk_buff, data_end))
                                                      .mov(R4, R2)
                                                      .alu(BPF_ADD, R4, 17)
                                                      .mov(R0, 0)
                                                      .raw(insn(BPF_JMP | BPF_JGT | BPF_X, R4, R3, 1, 0))
                                                      .load(BPF_B, R0, R2, 16)
                                                      .exit()
                                                      .build());
  ASSERT_THAT(run(direct), SyscallSucceeds());
  EXPECT_EQ(attr_.test.retval, 16u);
}

TEST_F(TestRunTest, ContextOfXdp) {
  // r0 = data_end - data
  const Fd length = load(BPF_PROG_TYPE_XDP, ProgramText()
                                                .load(BPF_W, R2, R1, offsetof(struct xdp_md, data))
                                                .load(BPF_W, R0, R1, offsetof(struct xdp_md, data_end))
                                                .raw(insn(BPF_ALU64 | BPF_SUB | BPF_X, R0, R2, 0, 0))
                                                .exit()
                                                .build());
  use_packet();
  Guarded<struct xdp_md> ctx;
  ctx->data = 4;
  ctx->data_end = 64;
  ctx->ingress_ifindex = 1;
  use_ctx(*ctx);
  ASSERT_THAT(run(length), SyscallSucceeds());
  EXPECT_EQ(attr_.test.retval, 60u);
  EXPECT_EQ(ctx->data, 4u);
  EXPECT_EQ(ctx->data_end, 64u);
  EXPECT_EQ(attr_.test.data_size_out, 64u);
  const auto with = [&](auto change) {
    attr_ = zero_attr();
    use_packet();
    struct xdp_md c;
    std::memset(&c, 0, sizeof c);
    c.data_end = 64;
    change(c);
    use_ctx(c);
    return run(length);
  };
  using Ctx = struct xdp_md;
  EXPECT_THAT(with([](Ctx&) {}), SyscallSucceeds());
  EXPECT_THAT(with([](Ctx& c) { c.data_meta = 1; }), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(with([](Ctx& c) { c.data_end = 65; }), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(with([](Ctx& c) { c.data = 3; }), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(with([](Ctx& c) { c.egress_ifindex = 1; }), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(with([](Ctx& c) { c.rx_queue_index = 1; }), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(with([](Ctx& c) { c.ingress_ifindex = 1, c.rx_queue_index = 1; }), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(with([](Ctx& c) { c.ingress_ifindex = 99999; }), SyscallFailsWithErrno(ENODEV));
}

TEST_F(TestRunTest, XdpFramesChangeTheirSize) {
  const auto adjust = [&](int helper, std::int32_t by) {
    return load(BPF_PROG_TYPE_XDP, ProgramText().mov(R2, by).call(helper).exit().build());
  };
  use_packet();
  ASSERT_THAT(run(adjust(BPF_FUNC_xdp_adjust_head, -20)), SyscallSucceeds());
  EXPECT_EQ(attr_.test.retval, 0u);
  EXPECT_EQ(attr_.test.data_size_out, 84u);
  attr_.test.data_size_out = 0;
  ASSERT_THAT(run(adjust(BPF_FUNC_xdp_adjust_head, -217)), SyscallSucceeds());
  EXPECT_EQ(static_cast<std::int32_t>(attr_.test.retval), -EINVAL) << "40 of 256 bytes are the kernel's";
  attr_.test.data_size_out = 0;
  ASSERT_THAT(run(adjust(BPF_FUNC_xdp_adjust_tail, -50)), SyscallSucceeds());
  EXPECT_EQ(attr_.test.data_size_out, 14u);
  attr_.test.data_size_out = 0;
  ASSERT_THAT(run(adjust(BPF_FUNC_xdp_adjust_tail, 100)), SyscallSucceeds());
  EXPECT_EQ(attr_.test.data_size_out, 164u);
}

TEST_F(TestRunTest, SmallXdpFrames) {
  const Fd prog = returning(BPF_PROG_TYPE_XDP, 2);
  use_packet();
  attr_.test.data_size_in = 13;
  EXPECT_THAT(run(prog), SyscallFailsWithErrno(EINVAL));
  attr_.test.data_size_in = 14;
  EXPECT_THAT(run(prog), SyscallSucceeds());
  EXPECT_EQ(attr_.test.retval, 2u);
  attr_.test.batch_size = 1;
  EXPECT_THAT(run(prog), SyscallFailsWithErrno(EINVAL));
}

TEST_F(TestRunTest, RawTracepoint) {
  const Fd prog = load(BPF_PROG_TYPE_RAW_TRACEPOINT, ProgramText()
                                                         .load(BPF_DW, R0, R1, 0)
                                                         .load(BPF_DW, R2, R1, 8)
                                                         .raw(insn(BPF_ALU64 | BPF_ADD | BPF_X, R0, R2, 0, 0))
                                                         .exit()
                                                         .build());
  std::uint64_t args[2] = {20, 3};
  attr_.test.ctx_in = user_ptr(args);
  attr_.test.ctx_size_in = sizeof args;
  ASSERT_THAT(run(prog), SyscallSucceeds());
  EXPECT_EQ(attr_.test.retval, 23u);
  attr_.test.ctx_size_in = 13 * 8;
  EXPECT_THAT(run(prog), SyscallFailsWithErrno(EINVAL));
  attr_.test.ctx_size_in = 16;
  attr_.test.repeat = 1;
  EXPECT_THAT(run(prog), SyscallFailsWithErrno(EINVAL));
  attr_.test.repeat = 0;
  attr_.test.cpu = 1;
  EXPECT_THAT(run(prog), SyscallFailsWithErrno(EINVAL));
  attr_.test.flags = BPF_F_TEST_RUN_ON_CPU;
  attr_.test.cpu = 0xffff;
  EXPECT_THAT(run(prog), SyscallFailsWithErrno(ENXIO));
  attr_.test.cpu = 0;
  EXPECT_THAT(run(prog), SyscallSucceeds());
}

TEST_F(TestRunTest, RawTracepointReadsNoMoreThanItIsGiven) {
  const Fd prog = load(BPF_PROG_TYPE_RAW_TRACEPOINT, ProgramText().load(BPF_DW, R0, R1, 8).exit().build());
  std::uint64_t args[2] = {1, 2};
  attr_.test.ctx_in = user_ptr(args);
  attr_.test.ctx_size_in = 8;
  EXPECT_THAT(run(prog), SyscallFailsWithErrno(EINVAL));
}

TEST_F(TestRunTest, RunsOnTheNamedCpu) {
  const Fd prog = load(BPF_PROG_TYPE_RAW_TRACEPOINT, ProgramText().call(BPF_FUNC_get_smp_processor_id).exit().build());
  attr_.test.flags = BPF_F_TEST_RUN_ON_CPU;
  for (const int cpu : online_cpus()) {
    attr_.test.cpu = static_cast<std::uint32_t>(cpu);
    ASSERT_THAT(run(prog), SyscallSucceeds());
    EXPECT_EQ(attr_.test.retval, static_cast<std::uint32_t>(cpu));
  }
}

TEST_F(TestRunTest, RepeatsAndCounts) {
  const Fd counter(map_create({.type = BPF_MAP_TYPE_ARRAY, .max_entries = 1}));
  const Fd prog = load(BPF_PROG_TYPE_SCHED_CLS, ProgramText().count(counter.get()).out().build());
  use_packet();
  attr_.test.repeat = 1000;
  ASSERT_THAT(run(prog), SyscallSucceeds());
  const std::uint32_t key = 0;
  std::uint64_t value = 0;
  ASSERT_THAT(map_lookup(counter.get(), &key, &value), SyscallSucceeds());
  EXPECT_EQ(value, 1000u);
}

TEST_F(TestRunTest, ASignalEndsALongOne) {
  struct sigaction act {};
  act.sa_handler = [](int) {};
  struct sigaction old {};
  ASSERT_EQ(sigaction(SIGALRM, &act, &old), 0);
  const Fd prog = returning(BPF_PROG_TYPE_SCHED_CLS);
  use_packet();
  attr_.test.repeat = 0xffffffff;
  struct itimerval soon {};
  soon.it_value.tv_usec = 100000;
  ASSERT_EQ(setitimer(ITIMER_REAL, &soon, nullptr), 0);
  EXPECT_THAT(run(prog), SyscallFailsWithErrno(EINTR));
  sigaction(SIGALRM, &old, nullptr);
}

TEST_F(TestRunTest, TailCalls) {
  const Fd array(map_create({.type = BPF_MAP_TYPE_PROG_ARRAY, .value_size = 4, .max_entries = 2}));
  ASSERT_THAT(array.get(), SyscallSucceeds());
  const auto caller = [&](std::int32_t index) {
    return load(BPF_PROG_TYPE_SCHED_CLS,
                ProgramText().map_fd(R2, array.get()).mov(R3, index).call(BPF_FUNC_tail_call).mov(R0, 3).exit().build());
  };
  const Fd target = returning(BPF_PROG_TYPE_SCHED_CLS, 42);
  const std::uint32_t key = 1;
  const int fd = target.get();
  ASSERT_THAT(map_update(array.get(), &key, &fd), SyscallSucceeds());
  use_packet();
  ASSERT_THAT(run(caller(1)), SyscallSucceeds());
  EXPECT_EQ(attr_.test.retval, 42u);
  attr_.test.data_size_out = 0;
  ASSERT_THAT(run(caller(0)), SyscallSucceeds());
  EXPECT_EQ(attr_.test.retval, 3u) << "nobody there: the program goes on";
}

TEST_F(TestRunTest, SocketLookup) {
  const Fd prog = load(BPF_PROG_TYPE_SK_LOOKUP, return_program(1), BPF_SK_LOOKUP);
  EXPECT_THAT(run(prog), SyscallFailsWithErrno(EINVAL)) << "a context must be";
  struct bpf_sk_lookup ctx;
  std::memset(&ctx, 0, sizeof ctx);
  ctx.family = 2;
  ctx.local_port = 80;
  use_ctx(ctx);
  ASSERT_THAT(run(prog), SyscallSucceeds());
  EXPECT_EQ(attr_.test.retval, 1u);
  ctx.local_port = 65536;
  EXPECT_THAT(run(prog), SyscallFailsWithErrno(ERANGE));
  ctx.local_port = 80;
  ctx.family = 1;
  EXPECT_THAT(run(prog), SyscallFailsWithErrno(EAFNOSUPPORT));
  ctx.family = 2;
  use_packet();
  EXPECT_THAT(run(prog), SyscallFailsWithErrno(EINVAL));
}

TEST_F(TestRunTest, FlowDissector) {
  const Fd prog = returning(BPF_PROG_TYPE_FLOW_DISSECTOR, 0);
  use_packet();
  Guarded<struct bpf_flow_keys> keys;
  attr_.test.data_out = user_ptr(keys.get());
  attr_.test.data_size_out = sizeof *keys;
  ASSERT_THAT(run(prog), SyscallSucceeds());
  EXPECT_EQ(attr_.test.data_size_out, sizeof *keys);
  EXPECT_EQ(keys->nhoff, 14u);
  EXPECT_EQ(keys->thoff, 14u);
  EXPECT_EQ(keys->n_proto, 0x0008u);
}

}  // namespace
}  // namespace skep::test
