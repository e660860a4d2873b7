// The code that stands for an access, run: what it loads from our structures is what the uapi's context shows, what it stores
// changes that and nothing else, and no register but its own.
#include <gtest/gtest.h>

#include <random>

#include "progtypes/ctx_world_test.h"

namespace skep {
namespace {

using namespace test;

using Regs = std::array<u64, 12>;

u64 load_bytes(u64 address, u32 size) {
  u64 v = 0;
  std::memcpy(&v, reinterpret_cast<const void*>(address), size);
  return v;
}

u64 alu(u8 op, u64 a, u64 b) {
  switch (op) {
    case BPF_ADD:
      return a + b;
    case BPF_SUB:
      return a - b;
    case BPF_AND:
      return a & b;
    case BPF_XOR:
      return a ^ b;
    case BPF_LSH:
      return a << b;
    case BPF_RSH:
      return a >> b;
    default:
      EXPECT_EQ(op, BPF_MOV);
      return b;
  }
}

bool taken(u8 op, u64 a, u64 b) {
  return op == BPF_JA || (op == BPF_JEQ && a == b) || (op == BPF_JNE && a != b) || (op == BPF_JGE && a >= b) ||
         (op == BPF_JSET && (a & b) != 0);
}

u64 sign_extended(u64 v, u32 bits) { return static_cast<u64>(static_cast<s64>(v << (64 - bits)) >> (64 - bits)); }

/// The few instructions that conversions use, on real memory.
void run(const Prog& p, Regs& r) {
  for (size_t pc = 0; pc < p.size(); ++pc) {
    const bpf_insn& i = p[pc];
    const u64 imm = static_cast<u64>(static_cast<s64>(i.imm));
    const u64 src = bpf_src(i.code) == BPF_X ? r[i.src_reg] : imm;
    u64& dst = r[i.dst_reg];
    switch (bpf_class(i.code)) {
      case BPF_LDX:
        dst = load_bytes(r[i.src_reg] + static_cast<u64>(s64{i.off}), access_bytes(i.code));
        if (bpf_mode(i.code) == BPF_MEMSX) dst = sign_extended(dst, access_bytes(i.code) * 8);
        break;
      case BPF_ST:
      case BPF_STX: {
        const u64 value = bpf_class(i.code) == BPF_ST ? imm : r[i.src_reg];
        std::memcpy(reinterpret_cast<void*>(dst + static_cast<u64>(s64{i.off})), &value, access_bytes(i.code));
        break;
      }
      case BPF_ALU64:
        dst = alu(bpf_op(i.code), dst, src);
        if (bpf_op(i.code) == BPF_MOV && i.off != 0) dst = sign_extended(dst, static_cast<u32>(i.off));
        break;
      case BPF_ALU:
        dst = static_cast<u32>(alu(bpf_op(i.code), static_cast<u32>(dst), static_cast<u32>(src)));
        break;
      case BPF_JMP:
        if (taken(bpf_op(i.code), dst, src)) pc += static_cast<size_t>(i.off);
        break;
      case BPF_JMP32:
        if (taken(bpf_op(i.code), static_cast<u32>(dst), static_cast<u32>(src))) pc += static_cast<size_t>(i.off);
        break;
      default:
        FAIL() << "class of " << int{i.code};
    }
  }
}

struct Operands {
  u32 value, ctx;
};

std::string where(const CtxCase& c, How how, s32 off, u32 size) {
  return std::string(c.name) + " attach " + std::to_string(c.attach) + " how " + std::to_string(static_cast<int>(how)) + " off " +
         std::to_string(off) + " size " + std::to_string(size);
}

void check_load(const CtxCase& c, How how, s32 off, u32 size, Operands ops, World& world) {
  const Prog code = rewrite(c, access_insn(how, size, off, ops.ctx, ops.value));
  ASSERT_FALSE(code.empty()) << where(c, how, off, size);
  const View before = world.view(c);
  Regs regs;
  for (size_t i = 0; i < regs.size(); ++i) regs[i] = 0x1111111111111111ull * (i + 1);
  regs[ops.ctx] = world.ctx(c);
  Regs expected = regs;
  u64 value = world.wide_pointer(c, off);
  if (value == 0) value = load_bytes(reinterpret_cast<u64>(before.data()) + static_cast<u64>(off), size);
  for (const World::Small& f : World::small_fields(c.type))
    if (off > f.off && off < f.off + 4 && size >= f.bytes)
      value = load_bytes(reinterpret_cast<u64>(before.data() + f.off), f.bytes);
  expected[ops.value] = how == How::LOAD_SIGNED ? sign_extended(value, size * 8) : value;
  run(code, regs);
  regs[BPF_REG_AX] = expected[BPF_REG_AX];
  EXPECT_EQ(regs, expected) << where(c, how, off, size) << std::hex << " got " << regs[ops.value] << " not " << expected[ops.value];
  EXPECT_EQ(world.view(c), before) << where(c, how, off, size);
}

void check_store(const CtxCase& c, How how, s32 off, u32 size, Operands ops, World& world) {
  const bpf_insn insn = access_insn(how, size, off, ops.ctx, ops.value);
  const Prog code = rewrite(c, insn);
  ASSERT_FALSE(code.empty()) << where(c, how, off, size);
  View expected = world.view(c);
  const u64 value = how == How::STORE_CONST ? static_cast<u64>(s64{insn.imm}) : 0x1234;
  world.note_store(c, off, size, value, &expected);
  Regs regs;
  for (size_t i = 0; i < regs.size(); ++i) regs[i] = 0x1111111111111111ull * (i + 1);
  if (how == How::STORE_REG) regs[ops.value] = value;
  regs[ops.ctx] = world.ctx(c);
  Regs same = regs;
  run(code, regs);
  regs[BPF_REG_AX] = same[BPF_REG_AX];
  EXPECT_EQ(regs, same) << where(c, how, off, size);
  EXPECT_EQ(world.view(c), expected) << where(c, how, off, size);
}

TEST(CtxConvertTest, EveryAllowedAccessDoesWhatTheContextShows) {
  std::mt19937 random(1);
  for (const CtxCase& c : ctx_cases()) {
    if (!ctx_is_converted(c.type)) continue;
    u32 checked = 0;
    for (u32 round = 0; round < 8; ++round)
      for_each_allowed(c, [&](How how, s32 off, u32 size) {
        for (Operands ops : {Operands{2, 1}, Operands{1, 1}, Operands{8, 9}, Operands{9, 8}, Operands{9, 9}}) {
          if (is_store(how) && ops.value == ops.ctx) continue;
          World world(random, round, c);
          ++checked;
          is_store(how) ? check_store(c, how, off, size, ops, world) : check_load(c, how, off, size, ops, world);
        }
      });
    EXPECT_GT(checked, 0u) << c.name;
    if (HasFailure()) return;
  }
}

// What a pointer leads to may be no more than its type says: a request socket is a SockCommon.
TEST(CtxConvertTest, LoadsStayWithinTheSocketThatIsThere) {
  struct {
    u32 reg_type;
    size_t size;
  } const cases[] = {{PTR_TO_SOCK_COMMON, sizeof(SockCommon)},
                     {PTR_TO_SOCKET, sizeof(Sock)},
                     {PTR_TO_TCP_SOCK, sizeof(TcpSock)},
                     {PTR_TO_XDP_SOCK, sizeof(XdpSock)}};
  for (const auto& c : cases) {
    u32 loads = 0;
    for (s32 off = 0; off < 128; off += 4)
      for (u32 size : {4u, 8u}) {
        CtxAccessInfo info;
        Prog code;
        u32 target = 0;
        if (!is_valid_sock_access(c.reg_type, off, size, BPF_READ, &info) ||
            !convert_sock_access(c.reg_type, BPF_READ, ldx(code_of_size(size), 2, 1, off), &code, &target))
          continue;
        ++loads;
        EXPECT_LE(static_cast<u32>(code[0].off) + access_bytes(code[0].code), c.size) << c.reg_type << " off " << off;
        EXPECT_EQ(code[0].src_reg, 1);
      }
    EXPECT_EQ(loads, c.reg_type == PTR_TO_XDP_SOCK      ? 1u
                     : c.reg_type == PTR_TO_SOCK_COMMON ? 16u
                     : c.reg_type == PTR_TO_SOCKET      ? 20u
                                                        : 26u);
  }
}

TEST(CtxConvertTest, KnownTstampTypeLeavesTstampAsItIs) {
  const CtxCase c{"sched_cls", BPF_PROG_TYPE_SCHED_CLS, 0, 192};
  const bpf_insn load = ldx(BPF_DW, 2, 1, offsetof(__sk_buff, tstamp));
  EXPECT_EQ(rewrite(c, load, true).size(), 1u);
  EXPECT_EQ(rewrite(c, load).size(), 8u);
  EXPECT_EQ(rewrite(c, stx(BPF_DW, 1, offsetof(__sk_buff, tstamp), 2), true).size(), 1u);
}

TEST(CtxConvertTest, NoQueueIsNotStored) {
  const CtxCase c{"sched_cls", BPF_PROG_TYPE_SCHED_CLS, 0, 192};
  const Prog constant = rewrite(c, st(BPF_W, 1, offsetof(__sk_buff, queue_mapping), 0x10000));
  ASSERT_EQ(constant.size(), 1u);
  EXPECT_EQ(constant[0].code, BPF_JMP | BPF_JA);
  SkBuff skb{};
  skb.queue_mapping = 5;
  Regs regs{};
  regs[1] = reinterpret_cast<u64>(&skb);
  regs[2] = NO_QUEUE_MAPPING;
  run(rewrite(c, stx(BPF_W, 1, offsetof(__sk_buff, queue_mapping), 2)), regs);
  EXPECT_EQ(skb.queue_mapping, 5);
}

TEST(CtxConvertTest, PrologueUnclonesForThoseWhoWritePackets) {
  const bpf_insn first = mov(3, 7);
  for (u32 type = 0; type < MAX_BPF_PROG_TYPE_; ++type) {
    Prog out;
    gen_prologue({.type = type}, false, first, &out);
    EXPECT_TRUE(out.empty());
    gen_prologue({.type = type}, true, first, &out);
    const bool unclones = type == BPF_PROG_TYPE_SCHED_CLS || type == BPF_PROG_TYPE_SCHED_ACT || type == BPF_PROG_TYPE_LWT_XMIT ||
                          type == BPF_PROG_TYPE_SK_SKB;
    ASSERT_EQ(out.size(), unclones ? 11u : 0u) << type;
    if (!unclones) continue;
    EXPECT_EQ(out[2].off, 7);  // to `first`
    EXPECT_EQ(out[5].imm, 39);
    EXPECT_EQ(out[7].imm, type == BPF_PROG_TYPE_SK_SKB ? 0 : 2);
    EXPECT_EQ(out[10].imm, 7);
  }
}

TEST(CtxConvertTest, PacketLoadsBecomeCalls) {
  Prog out;
  gen_ld_abs(raw(BPF_LD | BPF_ABS | BPF_H, 0, 0, 0, 12), &out);
  ASSERT_EQ(out.size(), 6u);
  EXPECT_EQ(out[0].imm, 12);
  EXPECT_EQ(out[1].src_reg, 6);
  EXPECT_EQ(out[2].imm, SKB_LOAD_HELPER_16);
  EXPECT_EQ(out[3].off, 2);
  out.clear();
  gen_ld_abs(raw(BPF_LD | BPF_IND | BPF_B, 0, 7, 0, 3), &out);
  ASSERT_EQ(out.size(), 7u);
  EXPECT_EQ(out[0].src_reg, 7);
  EXPECT_EQ(out[1].imm, 3);
  EXPECT_EQ(out[3].imm, SKB_LOAD_HELPER_8);
  out.clear();
  gen_ld_abs(raw(BPF_LD | BPF_IND | BPF_W, 0, 7, 0, 0), &out);
  ASSERT_EQ(out.size(), 6u);
  EXPECT_EQ(out[2].imm, SKB_LOAD_HELPER_32);
}

}  // namespace
}  // namespace skep
