#include <gtest/gtest.h>

#include "verifier/bounds.h"
#include "verifier/bounds_model_test.h"

namespace skep::test {
namespace {

constexpr u8 NOT_JSET = BPF_JSET | BPF_X;
constexpr u8 OPS[] = {BPF_JEQ, BPF_JNE, BPF_JSET, BPF_JGT, BPF_JGE, BPF_JLT, BPF_JLE, BPF_JSGT, BPF_JSGE, BPF_JSLT, BPF_JSLE};
constexpr int ROUNDS = 60000;

/// Source: RFC 9669 section 4.3; NOT_JSET is the verifier's name for a JSET that falls through.
bool jumps(u8 op, bool is_jmp32, u64 a, u64 b) {
  const u64 x = is_jmp32 ? a & U32_MAX : a, y = is_jmp32 ? b & U32_MAX : b;
  const s64 sx = is_jmp32 ? static_cast<s32>(a) : static_cast<s64>(a), sy = is_jmp32 ? static_cast<s32>(b) : static_cast<s64>(b);
  switch (op) {
    case BPF_JEQ:
      return x == y;
    case BPF_JNE:
      return x != y;
    case BPF_JSET:
      return (x & y) != 0;
    case NOT_JSET:
      return (x & y) == 0;
    case BPF_JGT:
      return x > y;
    case BPF_JGE:
      return x >= y;
    case BPF_JLT:
      return x < y;
    case BPF_JLE:
      return x <= y;
    case BPF_JSGT:
      return sx > sy;
    case BPF_JSGE:
      return sx >= sy;
    case BPF_JSLT:
      return sx < sy;
    case BPF_JSLE:
      return sx <= sy;
    default:
      ADD_FAILURE() << "no such operation";
      return false;
  }
}

TEST(BoundsJump, FlipAndReverseMeanWhatTheySay) {
  for (u8 op : OPS) {
    for (u64 a : edges()) {
      for (u64 b : edges()) {
        for (bool is_jmp32 : {false, true}) {
          ASSERT_EQ(jumps(op, is_jmp32, a, b), jumps(flip_opcode(op), is_jmp32, b, a)) << +op;
          ASSERT_EQ(jumps(op, is_jmp32, a, b), !jumps(rev_opcode(op), is_jmp32, a, b)) << +op;
        }
      }
    }
    EXPECT_EQ(rev_opcode(rev_opcode(op)), op);
    EXPECT_EQ(flip_opcode(flip_opcode(op)), op);
  }
  EXPECT_EQ(rev_opcode(BPF_JA), 0);
  EXPECT_EQ(flip_opcode(BPF_JA), 0);
}

// Whatever each branch learns, no pair of numbers that goes that way gets lost; and no decision contradicts a pair.
void check_pair(const State& x, const State& y, u8 op, bool is_jmp32) {
  const int taken = is_scalar_branch_taken(x.bounds, y.bounds, op, is_jmp32);
  ScalarBounds jump_a = x.bounds, jump_b = y.bounds, fall_a = x.bounds, fall_b = y.bounds;
  regs_refine_cond_op(&jump_a, &jump_b, op, is_jmp32);
  regs_refine_cond_op(&fall_a, &fall_b, rev_opcode(op), is_jmp32);
  // Linux refines undecided jumps only: a decided one may leave garbage on its dead side.
  for (ScalarBounds* b : {&jump_a, &jump_b, &fall_a, &fall_b}) reg_bounds_sync(b);
  for (u64 v : x.members) {
    for (u64 w : y.members) {
      const bool goes = jumps(op, is_jmp32, v, w);
      ASSERT_TRUE(taken == -1 || taken == goes) << +op << ' ' << v << ' ' << w << ": " << show(x.bounds) << ", " << show(y.bounds);
      if (taken != -1) continue;
      const ScalarBounds &a = goes ? jump_a : fall_a, &b = goes ? jump_b : fall_b;
      ASSERT_TRUE(contains(a, v)) << +op << ' ' << goes << ' ' << v << ": " << show(x.bounds) << ", " << show(y.bounds) << " -> "
                                  << show(a);
      ASSERT_TRUE(contains(b, w)) << +op << ' ' << goes << ' ' << w << ": " << show(x.bounds) << ", " << show(y.bounds) << " -> "
                                  << show(b);
    }
  }
}

TEST(BoundsJump, EveryPairIsKeptAndNoDecisionIsWrong) {
  Rng rng(21);
  for (int i = 0; i < ROUNDS; ++i) {
    const State x = random_state(rng);
    State y = random_state(rng);
    if (rng.one_in(3)) {  // a constant, often one of the first operand's own numbers: the edges of JEQ, JNE and JSET
      const u64 k = rng.one_in(2) ? rng.pick(x.members) : u64{1} << rng.below(64);
      y = {hull({k}), {k}};
    }
    for (u8 op : OPS) {
      for (bool is_jmp32 : {false, true}) {
        check_pair(x, y, op, is_jmp32);
        check_pair(y, x, op, is_jmp32);
        if (::testing::Test::HasFatalFailure()) return;
      }
    }
  }
}

TEST(BoundsJump, RegisterAgainstItself) {
  Rng rng(22);
  for (int i = 0; i < ROUNDS; ++i) {
    const State s = random_state(rng);
    for (u8 op : OPS) {
      for (bool is_jmp32 : {false, true}) {
        const int taken = is_scalar_branch_taken(s.bounds, s.bounds, op, is_jmp32);
        ScalarBounds jump = s.bounds, fall = s.bounds;
        regs_refine_cond_op(&jump, &jump, op, is_jmp32);
        regs_refine_cond_op(&fall, &fall, rev_opcode(op), is_jmp32);
        reg_bounds_sync(&jump);
        reg_bounds_sync(&fall);
        for (u64 v : s.members) {
          const bool goes = jumps(op, is_jmp32, v, v);
          ASSERT_TRUE(taken == -1 || taken == goes) << +op << ' ' << show(s.bounds);
          if (taken == -1) {
            ASSERT_TRUE(contains(goes ? jump : fall, v)) << +op << ' ' << show(s.bounds);
          }
        }
      }
    }
  }
}

// Ranges lo..hi around 0 and (32 bits) around the sign boundary, everything else derived.
ScalarBounds small_range(u64 base, u64 lo, u64 hi) {
  std::vector<u64> all;
  for (u64 v = lo; v <= hi; ++v) all.push_back(base + v);
  return hull(all);
}
TEST(BoundsJump, OrdersAndEqualityAreDecidedAndRefinedExactly) {
  constexpr u64 N = 6;
  for (u64 base : {u64{0}, u64{0x7fffff00}, u64{0xffffff00}, u64{1} << 63, U64_MAX - 20}) {
    for (u64 a = 0; a < N; ++a)
      for (u64 b = a; b < N; ++b)
        for (u64 c = 0; c < N; ++c)
          for (u64 d = c; d < N; ++d) {
            for (u8 op : {BPF_JEQ, BPF_JNE, BPF_JGT, BPF_JGE, BPF_JLT, BPF_JLE, BPF_JSGT, BPF_JSGE, BPF_JSLT, BPF_JSLE}) {
              for (bool is_jmp32 : {false, true}) {
                std::vector<u64> left, right;
                u64 pairs = 0;
                for (u64 v = a; v <= b; ++v)
                  for (u64 w = c; w <= d; ++w, ++pairs)
                    if (jumps(op, is_jmp32, base + v, base + w)) left.push_back(base + v), right.push_back(base + w);
                ScalarBounds x = small_range(base, a, b), y = small_range(base, c, d);
                const int taken = left.empty() ? 0 : left.size() == pairs ? 1 : -1;
                ASSERT_EQ(is_scalar_branch_taken(x, y, op, is_jmp32), taken) << +op;
                if (taken != -1) continue;
                regs_refine_cond_op(&x, &y, op, is_jmp32);
                reg_bounds_sync(&x);
                reg_bounds_sync(&y);
                // JNE only trims edges against a constant, which is all there is to learn for a range.
                ASSERT_TRUE(range_within(hull(left), x)) << +op << ' ' << show(x);
                ASSERT_TRUE(range_within(hull(right), y)) << +op << ' ' << show(y);
              }
            }
          }
  }
}

TEST(BoundsJump, BitTests) {
  ScalarBounds any, k;
  mark_unknown(&any);
  EXPECT_EQ(is_scalar_branch_taken(hull({4, 12}), hull({4}), BPF_JSET, false), 1);
  EXPECT_EQ(is_scalar_branch_taken(hull({4}), hull({4, 12}), BPF_JSET, false), 1) << "either operand may be the constant";
  EXPECT_EQ(is_scalar_branch_taken(hull({4, 12}), hull({3}), BPF_JSET, false), 0);
  EXPECT_EQ(is_scalar_branch_taken(hull({4, 12}), hull({8}), BPF_JSET, false), -1);
  EXPECT_EQ(is_scalar_branch_taken(hull({4, 12}), hull({4, 5}), BPF_JSET, false), -1);

  ScalarBounds b = any;
  regs_refine_cond_op(&b, &(k = hull({8})), BPF_JSET, false);
  EXPECT_EQ(b.var_off, (Tnum{8, ~u64{8}}));
  regs_refine_cond_op(&(b = any), &(k = hull({9})), BPF_JSET, false);
  EXPECT_EQ(b, any) << "which of the two bits?";
  regs_refine_cond_op(&(b = any), &(k = hull({0xf00000001})), BPF_JSET, true);
  EXPECT_EQ(b.var_off, (Tnum{1, ~u64{1}})) << "the low half of the mask alone counts";
  regs_refine_cond_op(&(k = hull({9})), &(b = any), NOT_JSET, false);
  EXPECT_EQ(b.var_off, (Tnum{0, ~u64{9}}));
  regs_refine_cond_op(&(b = any), &(k = hull({U64_MAX})), NOT_JSET, true);
  EXPECT_EQ(b.var_off, (Tnum{0, 0xffffffff00000000}));
  regs_refine_cond_op(&(b = hull({4, 12})), &(k = hull({1})), NOT_JSET, false);
  EXPECT_EQ(b.umax_value, U64_MAX) << "6.12.117 forgets the ranges";
  EXPECT_EQ(b.var_off, (Tnum{4, 8}));
}

TEST(BoundsJump, LowHalvesDecideWideEquality) {
  ScalarBounds x, y;
  mark_unknown(&x);
  mark_unknown(&y);
  x.u32_max_value = 5;
  y.u32_min_value = 6;
  EXPECT_EQ(is_scalar_branch_taken(x, y, BPF_JEQ, false), 0);
  EXPECT_EQ(is_scalar_branch_taken(x, y, BPF_JNE, false), 1);
  mark_unknown(&x);
  mark_unknown(&y);
  x.s32_max_value = -1;
  y.s32_min_value = 0;
  EXPECT_EQ(is_scalar_branch_taken(x, y, BPF_JEQ, false), 0);
  EXPECT_EQ(is_scalar_branch_taken(x, y, BPF_JNE, true), 1);
  mark_unknown(&x);
  mark_unknown(&y);
  x.var_off = {0, ~u64{1}};
  y.var_off = {1, ~u64{1}};
  EXPECT_EQ(is_scalar_branch_taken(x, y, BPF_JEQ, false), 0) << "even against odd";
}

// verifier_bounds.c: bounds_deduct_positive_overlap and bounds_deduct_two_overlaps: r0 = (s8)r0; if r0 > K, fall through.
TEST(BoundsJump, OverlapsOfLinuxSelftests) {
  const auto fall_through = [](u64 k) {
    ScalarBounds r0, r1 = hull({k});
    mark_unknown(&r0);
    coerce_reg_to_size_sx(&r0, 1);
    regs_refine_cond_op(&r0, &r1, rev_opcode(BPF_JGT), false);
    reg_bounds_sync(&r0);
    return r0;
  };
  const ScalarBounds one = fall_through(0xffffffffffffff00);
  EXPECT_EQ(one, small_range(0, 0, 127));
  const ScalarBounds two = fall_through(0xffffffffffffff80);
  EXPECT_EQ(two.smin_value, -128);
  EXPECT_EQ(two.smax_value, 127);
  EXPECT_EQ(two.s32_min_value, -128);
  EXPECT_EQ(two.umin_value, 0u);
  EXPECT_EQ(two.umax_value, 0xffffffffffffff80u);
  EXPECT_EQ(two.var_off, tnum_unknown);
}

}  // namespace
}  // namespace skep::test
