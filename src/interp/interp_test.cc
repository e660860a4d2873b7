// Every instruction against the model at the edges of its operands; control flow; calls.
#include "interp/interp.h"

#include "helpers/run_fixture_test.h"
#include "interp/model_test.h"

namespace skep::test {
namespace {

constexpr u64 EDGES[] = {0,
                         1,
                         2,
                         7,
                         31,
                         32,
                         33,
                         63,
                         64,
                         0x7f,
                         0x80,
                         0xff,
                         0x7fff,
                         0x8000,
                         0x7fffffff,
                         0x80000000,
                         0xffffffff,
                         0x100000000,
                         0x8000000080000000,
                         0x7fffffffffffffff,
                         0x8000000000000000,
                         0xffffffff80000000,
                         0xfffffffffffffffe,
                         0xffffffffffffffff,
                         0x0123456789abcdef};
constexpr s32 IMM_EDGES[] = {0, 1, 2, 31, 32, 63, 0x7f, 0x7fffffff, -1, -2, -128, static_cast<s32>(0x80000000)};
constexpr u8 ALU_OPS[] = {BPF_ADD, BPF_SUB, BPF_MUL, BPF_DIV, BPF_OR,  BPF_AND,
                          BPF_LSH, BPF_RSH, BPF_MOD, BPF_XOR, BPF_MOV, BPF_ARSH};
constexpr u8 JMP_OPS[] = {BPF_JEQ, BPF_JGT, BPF_JGE, BPF_JSET, BPF_JNE, BPF_JSGT, BPF_JSGE, BPF_JLT, BPF_JLE, BPF_JSLT, BPF_JSLE};

class Interp : public RunFixture {
 protected:
  u64 run(const Prog& p, u32 type = BPF_PROG_TYPE_KPROBE) { return interp_run(prepare(p, type)); }
  u64 good(const Prog& p) {
    const u64 r0 = run(p);
    EXPECT_EQ(run_->fault.kind, FaultKind::None) << "insn " << run_->fault.insn;
    return r0;
  }
  /// `insn` works on r3 and r4; its result in r3 comes back.
  u64 alu(const bpf_insn& insn, u64 dst, u64 src) {
    return good(ldimm64(3, dst) + ldimm64(4, src) + Prog{insn, movr(0, 3), exit_()});
  }
  u64 taken(const bpf_insn& insn, u64 dst, u64 src) {
    return good(ldimm64(3, dst) + ldimm64(4, src) + Prog{mov(0, 1), insn, mov(0, 0), exit_()});
  }
};

TEST_F(Interp, RegisterArithmeticMatchesTheModel) {
  for (u8 cls : {BPF_ALU, BPF_ALU64})
    for (u8 op : ALU_OPS)
      for (s32 off : {0, 1, 8, 16, 32}) {
        const bool signed_div = off == 1 && (op == BPF_DIV || op == BPF_MOD);
        const bool movsx = off >= 8 && op == BPF_MOV && (off != 32 || cls == BPF_ALU64);
        if (off != 0 && !signed_div && !movsx) continue;
        const bpf_insn insn = raw(cls | op | BPF_X, 3, 4, off);
        for (u64 a : EDGES)
          for (u64 b : EDGES)
            ASSERT_EQ(alu(insn, a, b), model_alu(insn, a, b))
                << std::hex << int{insn.code} << " off " << off << ": " << a << ", " << b;
      }
}

TEST_F(Interp, ImmediateArithmeticMatchesTheModel) {
  for (u8 cls : {BPF_ALU, BPF_ALU64})
    for (u8 op : ALU_OPS)
      for (s32 imm : IMM_EDGES)
        for (s32 off : {0, 1}) {
          if (off == 1 && op != BPF_DIV && op != BPF_MOD) continue;
          const bpf_insn insn = raw(cls | op | BPF_K, 3, 0, off, imm);
          for (u64 a : EDGES)
            ASSERT_EQ(alu(insn, a, 0), model_alu(insn, a, 0))
                << std::hex << int{insn.code} << " off " << off << ": " << a << ", " << imm;
        }
}

TEST_F(Interp, NegationAndByteOrderMatchTheModel) {
  std::vector<bpf_insn> insns = {alu64k(BPF_NEG, 3, 0), alu32k(BPF_NEG, 3, 0)};
  for (s32 bits : {16, 32, 64})
    for (int code : {BPF_ALU | BPF_END | BPF_TO_LE, BPF_ALU | BPF_END | BPF_TO_BE, BPF_ALU64 | BPF_END})
      insns.push_back(raw(static_cast<u8>(code), 3, 0, 0, bits));
  for (const bpf_insn& insn : insns)
    for (u64 a : EDGES) ASSERT_EQ(alu(insn, a, 0), model_alu(insn, a, 0)) << std::hex << int{insn.code} << " " << a;
}

TEST_F(Interp, JumpsMatchTheModel) {
  for (u8 cls : {BPF_JMP, BPF_JMP32})
    for (u8 op : JMP_OPS)
      for (u64 a : EDGES) {
        for (u64 b : EDGES) {
          const bpf_insn insn = raw(cls | op | BPF_X, 3, 4, 1);
          ASSERT_EQ(taken(insn, a, b), model_jump(insn, a, b) ? 1u : 0u) << std::hex << int{insn.code} << ": " << a << ", " << b;
        }
        for (s32 imm : IMM_EDGES) {
          const bpf_insn insn = raw(cls | op | BPF_K, 3, 0, 1, imm);
          ASSERT_EQ(taken(insn, a, 0), model_jump(insn, a, 0) ? 1u : 0u) << std::hex << int{insn.code} << ": " << a << ", " << imm;
        }
      }
}

TEST_F(Interp, LoadsAndStoresOfEverySize) {
  const u64 pattern = 0x8182838485868788ULL;
  const struct {
    u8 size;
    u64 plain, extended;
  } cases[] = {{BPF_B, 0x88, 0xffffffffffffff88}, {BPF_H, 0x8788, 0xffffffffffff8788}, {BPF_W, 0x85868788, 0xffffffff85868788}};
  for (const auto& c : cases) {
    const Prog head = ldimm64(1, pattern) + Prog{stx(BPF_DW, 10, -8, 1)};
    EXPECT_EQ(good(head + Prog{ldx(c.size, 0, 10, -8), exit_()}), c.plain);
    EXPECT_EQ(good(head + Prog{ldsx(c.size, 0, 10, -8), exit_()}), c.extended);
    // A store changes its own bytes only.
    EXPECT_EQ(good(head + Prog{mov(2, 0), stx(c.size, 10, -8, 2), ldx(BPF_DW, 0, 10, -8), exit_()}), pattern & ~c.plain);
    EXPECT_EQ(good(head + Prog{st(c.size, 10, -8, 0), ldx(BPF_DW, 0, 10, -8), exit_()}), pattern & ~c.plain);
  }
  EXPECT_EQ(good({st(BPF_DW, 10, -8, -2), ldx(BPF_DW, 0, 10, -8), exit_()}), ~1ULL);
  EXPECT_EQ(good({st(BPF_DW, 10, -16, 0), st(BPF_B, 10, -9, 1), ldx(BPF_DW, 0, 10, -13), exit_()}), 1ULL << 32);  // unaligned
}

TEST_F(Interp, UninitialisedStackIsZero) { EXPECT_EQ(good({ldx(BPF_DW, 0, 10, -512), exit_()}), 0u); }

TEST_F(Interp, AtomicsMatchTheModel) {
  const s32 ops[] = {
      BPF_ADD, BPF_AND, BPF_OR, BPF_XOR, BPF_ADD | BPF_FETCH, BPF_AND | BPF_FETCH, BPF_OR | BPF_FETCH, BPF_XOR | BPF_FETCH,
      BPF_XCHG};
  for (u8 size : {BPF_W, BPF_DW})
    for (s32 op : ops)
      for (u64 mem : EDGES)
        for (u64 src : EDGES) {
          const Prog head = ldimm64(1, mem) + Prog{stx(BPF_DW, 10, -8, 1)} + ldimm64(2, src) + Prog{atomic(size, op, 10, -8, 2)};
          const u64 width = size == BPF_W ? 0xffffffffULL : ~0ULL;
          const u64 result = op == BPF_XCHG ? src : model_alu(alu64x(static_cast<u8>(op & 0xf0), 0, 1), mem, src);
          ASSERT_EQ(good(head + Prog{ldx(BPF_DW, 0, 10, -8), exit_()}), (mem & ~width) | (result & width));
          ASSERT_EQ(good(head + Prog{movr(0, 2), exit_()}), (op & BPF_FETCH) != 0 ? mem & width : src);
        }
}

TEST_F(Interp, CompareAndExchange) {
  for (u8 size : {BPF_W, BPF_DW}) {
    const u64 width = size == BPF_W ? 0xffffffffULL : ~0ULL;
    const u64 mem = 0xaaaaaaaa55555555ULL;
    for (bool equal : {true, false}) {
      // With 32 bits the upper half of r0 must not matter.
      const u64 r0 = equal ? (size == BPF_W ? mem ^ 1ULL << 63 : mem) : mem ^ 1;
      const Prog head =
          ldimm64(1, mem) + Prog{stx(BPF_DW, 10, -8, 1)} + ldimm64(0, r0) + Prog{mov(2, 9), atomic(size, BPF_CMPXCHG, 10, -8, 2)};
      EXPECT_EQ(good(head + Prog{exit_()}), mem & width);
      EXPECT_EQ(good(head + Prog{ldx(BPF_DW, 0, 10, -8), exit_()}), equal ? (mem & ~width) | 9 : mem);
      EXPECT_EQ(good(head + Prog{movr(0, 2), exit_()}), 9u);
    }
  }
}

TEST_F(Interp, Immediate64OfEveryPseudoSource) {
  for (u32 src : {0u, u32{BPF_PSEUDO_MAP_FD}, u32{BPF_PSEUDO_MAP_VALUE}, u32{BPF_PSEUDO_BTF_ID}, u32{BPF_PSEUDO_MAP_IDX},
                  u32{BPF_PSEUDO_MAP_IDX_VALUE}})
    EXPECT_EQ(good(ldimm64(0, 0xfedcba9800000001ULL, src) + Prog{exit_()}), 0xfedcba9800000001ULL) << src;
}

TEST_F(Interp, ForwardBackwardAndLongJumps) {
  // r0 = 1 + 2 + ... + 10
  EXPECT_EQ(good({mov(0, 0), mov(1, 10), alu64x(BPF_ADD, 0, 1), alu64k(BPF_SUB, 1, 1), jk(BPF_JNE, 1, 0, -3), exit_()}), 55u);
  EXPECT_EQ(good({mov(0, 1), ja(1), mov(0, 2), gotol(1), mov(0, 3), exit_()}), 1u);
  Prog far = {mov(0, 7), gotol(40000)};
  far.resize(far.size() + 40000, mov(0, 0));
  far.push_back(exit_());
  EXPECT_EQ(good(far), 7u);
  EXPECT_EQ(run_->steps, 3u);
}

TEST_F(Interp, MayGotoLeavesAfterItsLoops) {
  step_limit_ = 0xffffffff;
  // r0 counts the turns; the may_goto leaves.
  EXPECT_EQ(good({mov(0, 0), alu64k(BPF_ADD, 0, 1), may_goto(1), ja(-3), exit_()}), u64{BPF_MAX_LOOPS} + 1);
}

TEST_F(Interp, SubprogramsKeepCalleeSavedRegistersAndFrames) {
  const Prog p = {
      mov(6, 60), mov(7, 70), mov(8, 80), mov(9, 90), st(BPF_DW, 10, -8, 5), movr(1, 10), mov(2, 1),
      call_pc(8),                             // 7
      ldx(BPF_DW, 1, 10, -8),                 // written by the callee through r1
      alu64x(BPF_ADD, 0, 6), alu64x(BPF_ADD, 0, 7), alu64x(BPF_ADD, 0, 8), alu64x(BPF_ADD, 0, 9), alu64x(BPF_ADD, 0, 1),
      exit_(), exit_(),                       // 14, 15 (15 is padding)
      mov(6, 1), mov(7, 1), mov(8, 1), mov(9, 1), ldx(BPF_DW, 3, 10, -8),  // 16: own frame, zeroed
      st(BPF_DW, 10, -8, 1), st(BPF_DW, 1, -8, 1000), movr(0, 3), alu64x(BPF_ADD, 0, 2), exit_(),
  };
  EXPECT_EQ(good(p), 1u + 60 + 70 + 80 + 90 + 1000);
}

TEST_F(Interp, FramesAreCounted) {
  // f(n): n == 0 ? 0 : 1 + f(n - 1)
  const auto nested = [](s32 n) {
    return Prog{mov(1, n), call_pc(1), exit_(),
                mov(0, 0), jk(BPF_JEQ, 1, 0, 3), alu64k(BPF_SUB, 1, 1), call_pc(-4), alu64k(BPF_ADD, 0, 1), exit_()};
  };
  constexpr s32 MOST = RUN_FRAMES - 2;  // beside the entry's and the last f's
  EXPECT_EQ(good(nested(MOST)), static_cast<u64>(MOST));
  EXPECT_EQ(run(nested(MOST + 1)), 0u);
  EXPECT_EQ(run_->fault.kind, FaultKind::CallDepth);
}

TEST_F(Interp, HelperCallsScratchRegisters) {
  const auto sum_after = [this](u32 helper) {
    return good({mov(6, 5), mov(1, 1), mov(2, 2), call(static_cast<s32>(helper)), mov(0, 0), alu64x(BPF_ADD, 0, 1), alu64x(BPF_ADD, 0, 2),
                 alu64x(BPF_ADD, 0, 6), exit_()});
  };
  EXPECT_EQ(sum_after(BPF_FUNC_ktime_get_ns), 5u);
  EXPECT_EQ(sum_after(BPF_FUNC_get_smp_processor_id), 1u + 2 + 5) << "clobbers nothing but r0";
}

TEST_F(Interp, ContextIsReadInAnyWidth) {
  for (u8 i = 0; i < 64; ++i) ctx_[i] = i;
  EXPECT_EQ(good({ldx(BPF_DW, 0, 1, 56), exit_()}), 0x3f3e3d3c3b3a3938ULL);
  EXPECT_EQ(good({ldx(BPF_B, 0, 1, 63), exit_()}), 63u);
  EXPECT_EQ(good({ldx(BPF_W, 0, 1, 5), exit_()}), 0x08070605u);
}

}  // namespace
}  // namespace skep::test
