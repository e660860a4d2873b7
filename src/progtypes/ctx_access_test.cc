// What may be accessed, against the machine's kernel: every type, attach type, offset, size and direction.
#include "progtypes/ctx_access.h"

#include <gtest/gtest.h>

#include "progtypes/ctx_kernel_test.h"
#include "uapi/contexts.h"

namespace skep {
namespace {

using namespace test;

bool ours(const CtxCase& c, How how, s32 off, u32 size) {
  CtxAccessInfo info;
  info.is_ldsx = how == How::LOAD_SIGNED;
  return is_valid_ctx_access(off, size, is_store(how) ? BPF_WRITE : BPF_READ, traits_of(c), &info, nullptr);
}

std::string where(const CtxCase& c, How how, s32 off, u32 size) {
  return std::string(c.name) + " attach " + std::to_string(c.attach) + (is_store(how) ? " write" : " read") +
         (how == How::LOAD_SIGNED ? " signed" : "") + " off " + std::to_string(off) + " size " + std::to_string(size);
}

/// DIFFERS in ctx_trace.cc: Linux lets these through by an unsigned comparison.
bool refused_on_purpose(const CtxCase& c, How how, s32 off) {
  return c.type == BPF_PROG_TYPE_TRACEPOINT && off < 0 && !is_store(how);
}

struct Tally {
  u32 allowed = 0, refused = 0;
};

void compare(const CtxCase& c, How how, s32 off, u32 size, Tally* tally) {
  const LinuxVerdict v = load_as(c, Prog{access_insn(how, size, off, 1, 2)} + leave(c));
  const bool refused = v.log.find("invalid bpf_context access off=" + std::to_string(off)) != std::string::npos;
  ASSERT_EQ(v.err != 0, refused) << where(c, how, off, size) << ": " << std::strerror(v.err) << "\n" << v.log;
  if (refused_on_purpose(c, how, off))
    EXPECT_FALSE(ours(c, how, off, size)) << where(c, how, off, size);
  else
    EXPECT_EQ(ours(c, how, off, size), !refused) << where(c, how, off, size) << "\n" << v.log;
  ++(refused ? tally->refused : tally->allowed);
}

void compare_all(const CtxCase& c, Tally* tally) {
  for (s32 off = -8; off < std::min(c.end + 16, 32768); ++off) {
    if (off >= c.skip_from && off < c.skip_to) continue;
    for (u32 size : {1u, 2u, 4u, 8u})
      for (How how : {How::LOAD, How::LOAD_SIGNED, How::STORE_CONST})
        if (how != How::LOAD_SIGNED || size != 8) compare(c, how, off, size, tally);
  }
}

TEST(CtxAccessKernelTest, EveryByteOfEveryContext) {
  SKIP_WITHOUT_ALL_TYPES();
  for (const CtxCase& c : ctx_cases()) {
    if (!loads(c)) continue;
    Tally tally;
    compare_all(c, &tally);
    EXPECT_GT(tally.allowed, 0u) << c.name;
    EXPECT_GT(tally.refused, 100u) << c.name;
    if (HasFailure()) break;
  }
}

// A socket reached from the context of a classifier: as what, and whose helper makes it that.
struct SockCase {
  const char* name;
  u32 reg_type;
  s32 helper;  ///< 0: the context's own pointer
  s32 end;
};
constexpr SockCase SOCK_CASES[] = {
    {"sock_common", PTR_TO_SOCK_COMMON, 0, 80}, {"sock", PTR_TO_SOCKET, 95, 80}, {"tcp_sock", PTR_TO_TCP_SOCK, 96, 112}};

Prog sock_prog(const SockCase& c, const bpf_insn& access) {
  Prog p = {ldx(BPF_DW, 1, 1, offsetof(__sk_buff, sk)), jk(BPF_JNE, 1, 0, 2), mov(0, 0), exit_()};
  if (c.helper != 0) p = p + Prog{call(c.helper), jk(BPF_JNE, 0, 0, 1), exit_(), movr(1, 0)};
  return p + Prog{access, mov(0, 0), exit_()};
}

TEST(CtxAccessKernelTest, EveryByteBehindSocketPointers) {
  SKIP_WITHOUT_ALL_TYPES();
  const CtxCase cls{"sched_cls", BPF_PROG_TYPE_SCHED_CLS, 0, 192};
  for (const SockCase& c : SOCK_CASES)
    for (s32 off = -8; off < c.end + 16; ++off)
      for (u32 size : {1u, 2u, 4u, 8u}) {
        const LinuxVerdict v = load_as(cls, sock_prog(c, access_insn(How::LOAD, size, off, 1, 2)));
        const bool refused = v.log.find("access off=" + std::to_string(off)) != std::string::npos;
        CtxAccessInfo info;
        EXPECT_EQ(is_valid_sock_access(c.reg_type, off, size, BPF_READ, &info), !refused) << c.name << off << " " << size << v.log;
        EXPECT_FALSE(is_valid_sock_access(c.reg_type, off, size, BPF_WRITE, &info));
        if (refused) continue;
        // What is allowed and not converted is refused later, with other words.
        std::vector<bpf_insn> out;
        u32 target = 0;
        const bool converts = convert_sock_access(c.reg_type, BPF_READ, ldx(code_of_size(size), 2, 1, off & ~3), &out, &target);
        EXPECT_EQ(v.err == 0, converts) << c.name << off << " " << size << v.log;
      }
}

bool allowed(u32 type, u32 attach, s32 off, u32 size, AccessType access, CtxAccessInfo* info, bool bpf_capable = true) {
  const ProgTraits prog{.type = type, .expected_attach_type = attach, .bpf_capable = bpf_capable};
  return is_valid_ctx_access(off, size, access, prog, info, nullptr);
}

TEST(CtxAccessTest, LoadedPointersHaveTheirTypes) {
  struct {
    u32 type, off, size, reg_type;
  } const rows[] = {
      {BPF_PROG_TYPE_SCHED_CLS, offsetof(__sk_buff, data), 4, PTR_TO_PACKET},
      {BPF_PROG_TYPE_SCHED_CLS, offsetof(__sk_buff, data_end), 4, PTR_TO_PACKET_END},
      {BPF_PROG_TYPE_SCHED_CLS, offsetof(__sk_buff, data_meta), 4, PTR_TO_PACKET_META},
      {BPF_PROG_TYPE_SCHED_CLS, offsetof(__sk_buff, sk), 8, PTR_TO_SOCK_COMMON_OR_NULL},
      {BPF_PROG_TYPE_SCHED_CLS, offsetof(__sk_buff, len), 4, SCALAR_VALUE},
      {BPF_PROG_TYPE_SK_SKB, offsetof(__sk_buff, data_end), 4, PTR_TO_PACKET_END},
      {BPF_PROG_TYPE_LWT_IN, offsetof(__sk_buff, data), 4, PTR_TO_PACKET},
      {BPF_PROG_TYPE_FLOW_DISSECTOR, offsetof(__sk_buff, flow_keys), 8, PTR_TO_FLOW_KEYS},
      {BPF_PROG_TYPE_XDP, offsetof(xdp_md, data), 4, PTR_TO_PACKET},
      {BPF_PROG_TYPE_XDP, offsetof(xdp_md, data_meta), 4, PTR_TO_PACKET_META},
      {BPF_PROG_TYPE_SK_LOOKUP, offsetof(bpf_sk_lookup, sk), 8, PTR_TO_SOCKET_OR_NULL},
      {BPF_PROG_TYPE_SK_REUSEPORT, offsetof(sk_reuseport_md, sk), 8, PTR_TO_SOCKET},
      {BPF_PROG_TYPE_SK_REUSEPORT, offsetof(sk_reuseport_md, migrating_sk), 8, PTR_TO_SOCK_COMMON_OR_NULL},
      {BPF_PROG_TYPE_SK_MSG, offsetof(sk_msg_md, sk), 8, PTR_TO_SOCKET},
      {BPF_PROG_TYPE_SOCK_OPS, offsetof(bpf_sock_ops, sk), 8, PTR_TO_SOCKET_OR_NULL},
      {BPF_PROG_TYPE_SOCK_OPS, offsetof(bpf_sock_ops, skb_data), 8, PTR_TO_PACKET},
      {BPF_PROG_TYPE_CGROUP_SOCK_ADDR, offsetof(bpf_sock_addr, sk), 8, PTR_TO_SOCKET},
      {BPF_PROG_TYPE_CGROUP_SOCKOPT, offsetof(bpf_sockopt, optval_end), 8, PTR_TO_PACKET_END},
      {BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE, 0, 8, PTR_TO_TP_BUFFER},
      {BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE, 8, 8, SCALAR_VALUE},
      {BPF_PROG_TYPE_NETFILTER, offsetof(bpf_nf_ctx, skb), 8, u32{PTR_TO_BTF_ID} | PTR_TRUSTED},
  };
  for (const auto& row : rows) {
    CtxAccessInfo info;
    ASSERT_TRUE(allowed(row.type, 0, static_cast<s32>(row.off), row.size, BPF_READ, &info)) << row.type << " " << row.off;
    EXPECT_EQ(info.reg_type, row.reg_type) << row.type << " " << row.off;
    EXPECT_EQ(info.btf_struct != nullptr, row.type == BPF_PROG_TYPE_NETFILTER);
  }
}

TEST(CtxAccessTest, NarrowLoadsNameTheFieldThatIsLoaded) {
  CtxAccessInfo info;
  ASSERT_TRUE(allowed(BPF_PROG_TYPE_XDP, 0, 12, 4, BPF_READ, &info));
  EXPECT_EQ(info.ctx_field_size, 0u);
  ASSERT_TRUE(allowed(BPF_PROG_TYPE_SCHED_CLS, 0, 1, 1, BPF_READ, &info));
  EXPECT_EQ(info.ctx_field_size, 4u);
  ASSERT_TRUE(allowed(BPF_PROG_TYPE_SCHED_CLS, 0, offsetof(__sk_buff, cb), 1, BPF_READ, &info));
  EXPECT_EQ(info.ctx_field_size, 0u);
  ASSERT_TRUE(allowed(BPF_PROG_TYPE_SCHED_CLS, 0, offsetof(__sk_buff, mark), 4, BPF_WRITE, &info));
  EXPECT_EQ(info.ctx_field_size, 0u);
  ASSERT_TRUE(allowed(BPF_PROG_TYPE_PERF_EVENT, 0, 169, 1, BPF_READ, &info));
  EXPECT_EQ(info.ctx_field_size, 8u);
  ASSERT_TRUE(is_valid_sock_access(PTR_TO_SOCKET, 48, 2, BPF_READ, &info));
  EXPECT_EQ(info.ctx_field_size, 2u);
  ASSERT_TRUE(is_valid_sock_access(PTR_TO_SOCKET, 48, 4, BPF_READ, &info));
  EXPECT_EQ(info.ctx_field_size, 4u);
  ASSERT_TRUE(is_valid_sock_access(PTR_TO_XDP_SOCK, 0, 4, BPF_READ, &info));
  EXPECT_FALSE(is_valid_sock_access(PTR_TO_XDP_SOCK, 0, 2, BPF_READ, &info));
  EXPECT_FALSE(is_valid_sock_access(PTR_TO_XDP_SOCK, 4, 4, BPF_READ, &info));
  EXPECT_FALSE(is_valid_sock_access(u32{PTR_TO_SOCKET} | PTR_MAYBE_NULL, 0, 4, BPF_READ, &info));
}

TEST(CtxAccessTest, PacketsOfCgroupsNeedCapBpf) {
  CtxAccessInfo info;
  constexpr u32 data = offsetof(__sk_buff, data), tstamp = offsetof(__sk_buff, tstamp);
  EXPECT_TRUE(allowed(BPF_PROG_TYPE_CGROUP_SKB, 0, data, 4, BPF_READ, &info));
  EXPECT_EQ(info.reg_type, u32{PTR_TO_PACKET});
  EXPECT_FALSE(allowed(BPF_PROG_TYPE_CGROUP_SKB, 0, data, 4, BPF_READ, &info, false));
  EXPECT_FALSE(allowed(BPF_PROG_TYPE_CGROUP_SKB, 0, data + 4, 4, BPF_READ, &info, false));
  EXPECT_TRUE(allowed(BPF_PROG_TYPE_CGROUP_SKB, 0, tstamp, 8, BPF_READ, &info, false));
  EXPECT_FALSE(allowed(BPF_PROG_TYPE_CGROUP_SKB, 0, tstamp, 8, BPF_WRITE, &info, false));
  EXPECT_TRUE(allowed(BPF_PROG_TYPE_CGROUP_SKB, 0, tstamp, 8, BPF_WRITE, &info));
}

TEST(CtxAccessTest, TstampTypeIsRemembered) {
  CtxAccessInfo info;
  ASSERT_TRUE(allowed(BPF_PROG_TYPE_SCHED_CLS, 0, offsetof(__sk_buff, tstamp_type), 1, BPF_READ, &info));
  EXPECT_TRUE(info.tstamp_type_access);
  ASSERT_TRUE(allowed(BPF_PROG_TYPE_SCHED_CLS, 0, offsetof(__sk_buff, tstamp), 8, BPF_READ, &info));
  EXPECT_FALSE(info.tstamp_type_access);
}

// Offsets beyond what an instruction holds come with a constant added to the pointer.
TEST(CtxAccessTest, FarOffsets) {
  CtxAccessInfo info;
  EXPECT_TRUE(allowed(BPF_PROG_TYPE_SYSCALL, 0, 65528, 8, BPF_WRITE, &info));
  EXPECT_TRUE(allowed(BPF_PROG_TYPE_SYSCALL, 0, 65534, 1, BPF_READ, &info));
  EXPECT_FALSE(allowed(BPF_PROG_TYPE_SYSCALL, 0, 65535, 1, BPF_READ, &info));
  EXPECT_FALSE(allowed(BPF_PROG_TYPE_SYSCALL, 0, 65536, 8, BPF_READ, &info));
  EXPECT_TRUE(allowed(BPF_PROG_TYPE_TRACEPOINT, 0, 8184, 8, BPF_READ, &info));
  EXPECT_FALSE(allowed(BPF_PROG_TYPE_TRACEPOINT, 0, 8192, 1, BPF_READ, &info));
  EXPECT_TRUE(allowed(BPF_PROG_TYPE_LIRC_MODE2, 0, 0, 4, BPF_READ, &info));
  EXPECT_FALSE(allowed(BPF_PROG_TYPE_LIRC_MODE2, 0, 0, 2, BPF_READ, &info));
  EXPECT_FALSE(allowed(BPF_PROG_TYPE_LIRC_MODE2, 0, 0, 4, BPF_WRITE, &info));
  EXPECT_FALSE(allowed(BPF_PROG_TYPE_UNSPEC, 0, 0, 4, BPF_READ, &info));
  EXPECT_FALSE(allowed(99, 0, 0, 4, BPF_READ, &info));
  EXPECT_FALSE(allowed(BPF_PROG_TYPE_XDP, 99, offsetof(xdp_md, egress_ifindex), 4, BPF_READ, &info));
}

TEST(CtxAccessTest, WhatIsJudgedElsewhere) {
  for (u32 type = 0; type < MAX_BPF_PROG_TYPE_; ++type) {
    const bool by_btf =
        type == BPF_PROG_TYPE_TRACING || type == BPF_PROG_TYPE_LSM || type == BPF_PROG_TYPE_STRUCT_OPS || type == BPF_PROG_TYPE_EXT;
    EXPECT_EQ(ctx_access_is_by_btf({.type = type}), by_btf) << type;
  }
  EXPECT_EQ(ctx_size(BPF_PROG_TYPE_XDP), 24u);
  EXPECT_EQ(ctx_size(BPF_PROG_TYPE_TRACEPOINT), 0u);
  EXPECT_TRUE(ctx_is_converted(BPF_PROG_TYPE_PERF_EVENT));
  EXPECT_FALSE(ctx_is_converted(BPF_PROG_TYPE_CGROUP_DEVICE));
}

}  // namespace
}  // namespace skep
