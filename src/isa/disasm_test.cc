#include "isa/disasm.h"

#include <fmt/format.h>

#include "isa/asm_test.h"
#include "isa/func_names.h"
#include "isa/linux_bpf_test.h"

namespace skep::test {
namespace {

std::string text(const bpf_insn& insn) { return disasm(&insn); }

TEST(Disasm, Alu) {
  EXPECT_EQ(text(mov(0, -1)), "(b7) r0 = -1");
  EXPECT_EQ(text(alu32k(BPF_MOV, 3, 5)), "(b4) w3 = 5");
  EXPECT_EQ(text(movr(6, 1)), "(bf) r6 = r1");
  EXPECT_EQ(text(alu64x(BPF_MOV, 6, 1, 8)), "(bf) r6 = (s8)r1");
  EXPECT_EQ(text(alu64x(BPF_MOV, 6, 1, 32)), "(bf) r6 = (s32)r1");
  EXPECT_EQ(text(alu32x(BPF_MOV, 6, 1, 16)), "(bc) w6 = (s16)w1");
  EXPECT_EQ(text(alu64k(BPF_ADD, 2, -8)), "(07) r2 += -8");
  EXPECT_EQ(text(alu32x(BPF_XOR, 2, 3)), "(ac) w2 ^= w3");
  EXPECT_EQ(text(alu64k(BPF_ARSH, 2, 7)), "(c7) r2 s>>= 7");
  EXPECT_EQ(text(alu64x(BPF_DIV, 2, 3, 1)), "(3f) r2 s/= r3");
  EXPECT_EQ(text(alu32k(BPF_MOD, 2, 3, 1)), "(94) w2 s%= 3");
  EXPECT_EQ(text(alu64k(BPF_NEG, 2, 0)), "(87) r2 = -r2");
  EXPECT_EQ(text(alu32k(BPF_NEG, 2, 0)), "(84) w2 = -w2");
  EXPECT_EQ(text(raw(BPF_ALU | BPF_END | BPF_TO_BE, 1, 0, 0, 16)), "(dc) r1 = be16 r1");
  EXPECT_EQ(text(raw(BPF_ALU | BPF_END | BPF_TO_LE, 1, 0, 0, 32)), "(d4) r1 = le32 r1");
  EXPECT_EQ(text(raw(BPF_ALU64 | BPF_END, 1, 0, 0, 64)), "(d7) r1 = bswap64 r1");
  EXPECT_EQ(text(raw(BPF_ALU64 | BPF_MOV | BPF_X, 1, 2, 1, 1 << 16)), "(bf) r1 = addr_space_cast(r2, 1, 0)");
  EXPECT_EQ(text(raw(BPF_ALU64 | BPF_MOV | BPF_X, 1, 2, -1)), "(bf) r1 = &(void __percpu *)(r2)");
}

TEST(Disasm, Memory) {
  EXPECT_EQ(text(ldx(BPF_W, 2, 1, 76)), "(61) r2 = *(u32 *)(r1 +76)");
  EXPECT_EQ(text(ldsx(BPF_H, 2, 1, -2)), "(89) r2 = *(s16 *)(r1 -2)");
  EXPECT_EQ(text(stx(BPF_DW, 10, -16, 4)), "(7b) *(u64 *)(r10 -16) = r4");
  EXPECT_EQ(text(st(BPF_B, 10, -1, 7)), "(72) *(u8 *)(r10 -1) = 7");
  EXPECT_EQ(text(atomic(BPF_DW, BPF_ADD, 1, 0, 2)), "(db) lock *(u64 *)(r1 +0) += r2");
  EXPECT_EQ(text(atomic(BPF_W, BPF_OR | BPF_FETCH, 1, 4, 2)), "(c3) r2 = atomic_fetch_or((u32 *)(r1 +4), r2)");
  EXPECT_EQ(text(atomic(BPF_DW, BPF_XCHG, 1, 4, 2)), "(db) r2 = atomic64_xchg((u64 *)(r1 +4), r2)");
  EXPECT_EQ(text(atomic(BPF_DW, BPF_CMPXCHG, 1, 4, 2)), "(db) r0 = atomic64_cmpxchg((u64 *)(r1 +4), r0, r2)");
  EXPECT_EQ(text(atomic(BPF_DW, 0x77, 1, 4, 2)), "BUG_db");
  EXPECT_EQ(text(raw(BPF_LD | BPF_ABS | BPF_H, 0, 0, 0, 12)), "(28) r0 = *(u16 *)skb[12]");
  EXPECT_EQ(text(raw(BPF_LD | BPF_IND | BPF_W, 0, 7, 0, 12)), "(40) r0 = *(u32 *)skb[r7 + 12]");
  EXPECT_EQ(text(raw(BPF_LDX | BPF_IND)), "BUG_ldx_41");
  EXPECT_EQ(text(raw(BPF_LD)), "BUG_ld_00");
}

TEST(Disasm, JumpsAndCalls) {
  EXPECT_EQ(text(ja(-2)), "(05) goto pc-2");
  EXPECT_EQ(text(gotol(2)), "(06) gotol pc+2");
  EXPECT_EQ(text(may_goto(3)), "(e5) may_goto pc+3");
  EXPECT_EQ(text(jk(BPF_JNE, 3, -1, 0)), "(55) if r3 != 0xffffffff goto pc+0");
  EXPECT_EQ(text(j32x(BPF_JSLE, 3, 4, 9)), "(de) if w3 s<= w4 goto pc+9");
  EXPECT_EQ(text(jk(BPF_JSET, 3, 16, 1)), "(45) if r3 & 0x10 goto pc+1");
  EXPECT_EQ(text(exit_()), "(95) exit");
  EXPECT_EQ(text(call(BPF_FUNC_ringbuf_submit)), "(85) call bpf_ringbuf_submit#132");
  EXPECT_EQ(text(call(195896080)), "(85) call unknown#195896080");
  EXPECT_EQ(text(call_pc(7)), "(85) call pc+7");
  EXPECT_EQ(text(raw(BPF_JMP | BPF_CALL, 0, BPF_PSEUDO_KFUNC_CALL, 0, 9)), "(85) call kernel-function#9");
}

TEST(Disasm, Immediate64) {
  const Prog plain = ldimm64(1, 0x1122334455667788ULL), map = ldimm64(1, 5, BPF_PSEUDO_MAP_FD);
  EXPECT_EQ(disasm(plain.data()), "(18) r1 = 0x1122334455667788");
  DisasmOptions hidden;
  hidden.show_pointers = false;
  EXPECT_EQ(disasm(map.data(), hidden), "(18) r1 = 0x0");
  EXPECT_EQ(disasm(plain.data(), hidden), "(18) r1 = 0x1122334455667788");
  DisasmOptions named;
  named.imm_name = [](const bpf_insn& insn, u64 v) { return insn.src_reg != 0 ? fmt::format("map[id:{}]", v) : std::string(); };
  EXPECT_EQ(disasm(map.data(), named), "(18) r1 = map[id:5]");
  EXPECT_EQ(disasm(plain.data(), named), "(18) r1 = 0x1122334455667788");
}

TEST(FuncNames, Bounds) {
  EXPECT_STREQ(func_id_name(0), "bpf_unspec");
  EXPECT_STREQ(func_id_name(BPF_FUNC_get_attach_cookie), "bpf_get_attach_cookie");
  EXPECT_STREQ(func_id_name(211), "bpf_cgrp_storage_delete");
  EXPECT_STREQ(func_id_name(212), "unknown");
  EXPECT_STREQ(func_id_name(-1), "unknown");
}

/// One straight program with every kind of instruction; the kernel's trace of it must hold our lines.
TEST(Disasm, MatchesTheKernelsTrace) {
  SKIP_WITHOUT_LINUX_BPF();
  Prog p = {mov(0, 100), mov(1, 7), mov(2, 3)};
  for (u8 op : {BPF_ADD, BPF_SUB, BPF_MUL, BPF_DIV, BPF_OR, BPF_AND, BPF_LSH, BPF_RSH, BPF_MOD, BPF_XOR, BPF_MOV, BPF_ARSH})
    p = p + Prog{alu64k(op, 0, 5), alu32k(op, 0, 5), alu64x(op, 0, 1), alu32x(op, 0, 1)};
  p = p + Prog{alu64x(BPF_DIV, 0, 1, 1),
               alu32k(BPF_MOD, 0, -7, 1),
               alu64x(BPF_MOV, 3, 1, 8),
               alu32x(BPF_MOV, 3, 1, 16),
               alu64k(BPF_NEG, 0, 0),
               alu32k(BPF_NEG, 0, 0),
               raw(BPF_ALU | BPF_END, 0, 0, 0, 16),
               raw(BPF_ALU | BPF_END | BPF_TO_BE, 0, 0, 0, 32),
               raw(BPF_ALU64 | BPF_END, 0, 0, 0, 64)};
  p = p + ldimm64(4, 0x123456789abcdef0ULL);
  p = p + Prog{st(BPF_DW, 10, -8, 1), stx(BPF_W, 10, -12, 1), ldx(BPF_B, 5, 10, -8), ldsx(BPF_H, 5, 10, -8)};
  for (s32 op : {s32{BPF_ADD}, s32{BPF_AND} | BPF_FETCH, s32{BPF_XOR}, BPF_XCHG, BPF_CMPXCHG})
    p = p + Prog{atomic(BPF_DW, op, 10, -8, 1), mov(1, 7), mov(0, 1)};
  for (u8 op : {BPF_JEQ, BPF_JGT, BPF_JGE, BPF_JSET, BPF_JNE, BPF_JSGT, BPF_JSGE, BPF_JLT, BPF_JLE, BPF_JSLT, BPF_JSLE})
    p = p + Prog{jk(op, 1, -3, 0), jx(op, 1, 2, 0), j32k(op, 1, 9, 0), j32x(op, 1, 2, 0)};
  p = p + Prog{call(BPF_FUNC_get_prandom_u32), ja(0), gotol(0), mov(0, 0), exit_()};
  const LinuxVerdict v = linux_prog_load(p, BPF_PROG_TYPE_SOCKET_FILTER, 2);
  ASSERT_EQ(v.err, 0) << v.log;
  for (u32 i = 0; i < p.size(); i += insn_slots(p[i])) {
    const std::string line = fmt::format("\n{}: {}", i, disasm(&p[i]));
    const auto at = v.log.find(line);
    ASSERT_NE(at, std::string::npos) << line << "\n" << v.log;
    const char after = v.log[at + line.size()];
    EXPECT_TRUE(after == ' ' || after == '\n') << line;
  }
}

}  // namespace
}  // namespace skep::test
