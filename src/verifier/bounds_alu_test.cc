#include <gtest/gtest.h>

#include "verifier/bounds.h"
#include "verifier/bounds_model_test.h"

namespace skep::test {
namespace {

constexpr u8 OPS[] = {BPF_ADD, BPF_SUB, BPF_MUL, BPF_AND, BPF_OR, BPF_XOR, BPF_LSH, BPF_RSH, BPF_ARSH};
constexpr int ROUNDS = 60000;

bool is_shift(u8 op) { return op == BPF_LSH || op == BPF_RSH || op == BPF_ARSH; }

/// Source: RFC 9669 section 4.1
u64 execute(u8 op, bool is64, u64 a, u64 b) {
  if (!is64) a &= U32_MAX;
  const u64 count = b & (is64 ? 63 : 31);
  u64 r = 0;
  switch (op) {
    case BPF_ADD:
      r = a + b;
      break;
    case BPF_SUB:
      r = a - b;
      break;
    case BPF_MUL:
      r = a * b;
      break;
    case BPF_AND:
      r = a & b;
      break;
    case BPF_OR:
      r = a | b;
      break;
    case BPF_XOR:
      r = a ^ b;
      break;
    case BPF_LSH:
      r = a << count;
      break;
    case BPF_RSH:
      r = a >> count;
      break;
    case BPF_ARSH:
      r = static_cast<u64>(is64 ? static_cast<s64>(a) >> count : static_cast<s64>(static_cast<s32>(a)) >> count);
      break;
    default:
      ADD_FAILURE() << "no such operation";
  }
  return is64 ? r : r & U32_MAX;
}

State shift_count(Rng& rng) {
  const u64 n = rng.below(66);
  return {hull({n}), {n}};
}

TEST(BoundsAlu, EveryResultIsAllowed) {
  Rng rng(11);
  for (int i = 0; i < ROUNDS; ++i) {
    const State x = random_state(rng), any = random_state(rng), count = shift_count(rng);
    for (u8 op : OPS) {
      const State& y = is_shift(op) && !rng.one_in(8) ? count : any;
      for (bool is64 : {false, true}) {
        ScalarBounds b = x.bounds;
        scalar_alu(op, is64, &b, y.bounds);
        for (u64 v : x.members) {
          for (u64 w : y.members) {
            ASSERT_TRUE(contains(b, execute(op, is64, v, w))) << std::hex << "op " << +op << " of " << v << ", " << w << ": "
                                                              << show(x.bounds) << ", " << show(y.bounds) << " -> " << show(b);
          }
        }
        ASSERT_EQ(bounds_sanity_check(b), nullptr) << show(b);
      }
    }
  }
}

TEST(BoundsAlu, ConstantsStayConstant) {
  for (u64 v : edges()) {
    for (u64 w : edges()) {
      for (u8 op : {BPF_AND, BPF_OR, BPF_XOR, BPF_ADD, BPF_SUB, BPF_MUL}) {
        for (bool is64 : {false, true}) {
          ScalarBounds b = hull({v});
          EXPECT_TRUE(scalar_alu(op, is64, &b, hull({w})));
          EXPECT_EQ(b, hull({execute(op, is64, v, w)})) << +op << ' ' << v << ' ' << w;
        }
      }
    }
    for (u8 op : {BPF_LSH, BPF_RSH, BPF_ARSH}) {
      for (u64 n = 0; n < 64; ++n) {
        ScalarBounds b = hull({v});
        EXPECT_TRUE(scalar_alu(op, true, &b, hull({n})));
        EXPECT_EQ(b, hull({execute(op, true, v, n)}));
        if (n >= 32) continue;
        EXPECT_TRUE(scalar_alu(op, false, &(b = hull({v})), hull({n})));
        EXPECT_EQ(b, hull({execute(op, false, v, n)}));
      }
    }
  }
}

// Small unsigned and signed ranges, everything else derived: the result's range is what brute force finds.
TEST(BoundsAlu, RangesOfAddSubMulAreExact) {
  const auto range = [](s64 lo, s64 hi) {
    ScalarBounds b;
    mark_unknown(&b);
    b.smin_value = lo;
    b.smax_value = hi;
    reg_bounds_sync(&b);
    return b;
  };
  const auto expect_exact = [&](u8 op, bool is64, s64 from) {
    for (s64 a = from; a < 8; ++a)
      for (s64 b = a; b < 8; ++b)
        for (s64 c = from; c < 8; ++c)
          for (s64 d = c; d < 8; ++d) {
            std::vector<u64> results;
            for (s64 v = a; v <= b; ++v)
              for (s64 w = c; w <= d; ++w) results.push_back(execute(op, is64, static_cast<u64>(v), static_cast<u64>(w)));
            const ScalarBounds best = hull(results);
            ScalarBounds got = range(a, b);
            scalar_alu(op, is64, &got, range(c, d));
            ASSERT_EQ(got.s32_min_value, best.s32_min_value) << show(got);
            ASSERT_EQ(got.s32_max_value, best.s32_max_value) << show(got);
            if (is64) {
              ASSERT_EQ(got.smin_value, best.smin_value) << show(got);
              ASSERT_EQ(got.smax_value, best.smax_value) << show(got);
            }
            if (from >= 0 && (op != BPF_SUB || a >= d)) {
              ASSERT_EQ(got.umin_value, best.umin_value) << show(got);
              ASSERT_EQ(got.umax_value, best.umax_value) << show(got);
            }
          }
  };
  for (bool is64 : {false, true}) {
    expect_exact(BPF_ADD, is64, -4);
    expect_exact(BPF_SUB, is64, -4);
    expect_exact(BPF_ADD, is64, 0);
    expect_exact(BPF_SUB, is64, 0);
    expect_exact(BPF_MUL, is64, 0);
  }
}

TEST(BoundsAlu, OverflowForgetsTheReadingThatOverflows) {
  ScalarBounds b = hull({S64_MAX - 1, S64_MAX});
  scalar_min_max_add(&b, hull({0, 1}));
  EXPECT_EQ(b.smin_value, S64_MIN);
  EXPECT_EQ(b.smax_value, S64_MAX);
  EXPECT_EQ(b.umin_value, static_cast<u64>(S64_MAX - 1));
  EXPECT_EQ(b.umax_value, u64{1} << 63);
  b = hull({U64_MAX - 1, U64_MAX});
  scalar_min_max_add(&b, hull({1, 2}));
  EXPECT_EQ(b.smin_value, -1);
  EXPECT_EQ(b.smax_value, 1);
  EXPECT_EQ(b.umin_value, 0u);
  EXPECT_EQ(b.umax_value, U64_MAX);
  b = hull({3, 9});
  scalar_min_max_sub(&b, hull({2, 4}));
  EXPECT_EQ(b.smin_value, -1);
  EXPECT_EQ(b.smax_value, 7);
  EXPECT_EQ(b.umax_value, U64_MAX);
  EXPECT_EQ(b.u32_max_value, 9u) << "64-bit ranges only";
  EXPECT_EQ(b.var_off, hull({3, 9}).var_off);
  b = hull({4, 9});
  scalar_min_max_sub(&b, hull({2, 4}));
  EXPECT_EQ(b.umin_value, 0u);
  EXPECT_EQ(b.umax_value, 7u);
}

TEST(BoundsAlu, UncomputableBecomesUnknown) {
  ScalarBounds unknown;
  mark_unknown(&unknown);
  const auto computes = [&](u8 op, bool is64, const ScalarBounds& src) {
    ScalarBounds b = hull({1});
    const bool done = scalar_alu(op, is64, &b, src);
    EXPECT_EQ(done, !(b == unknown));
    return done;
  };
  for (bool is64 : {false, true}) {
    for (u8 op : {BPF_DIV, BPF_MOD, BPF_NEG, BPF_END, BPF_MOV}) EXPECT_FALSE(computes(op, is64, hull({1})));
    for (u8 op : {BPF_LSH, BPF_RSH, BPF_ARSH}) {
      EXPECT_TRUE(computes(op, is64, hull({0})));
      EXPECT_TRUE(computes(op, is64, hull({is64 ? 63u : 31u})));
      EXPECT_FALSE(computes(op, is64, hull({is64 ? 64u : 32u})));
      EXPECT_FALSE(computes(op, is64, hull({U64_MAX})));
      EXPECT_FALSE(computes(op, is64, hull({1, 2})));
    }
  }
  EXPECT_FALSE(computes(BPF_LSH, false, hull({0x100000001}))) << "the whole count is compared with the width";
}

TEST(BoundsAlu, BothOperandsTheSame) {
  ScalarBounds b = hull({3, 4, 5});
  scalar_alu(BPF_ADD, true, &b, b);
  EXPECT_EQ(b.umin_value, 6u);
  EXPECT_EQ(b.umax_value, 10u);
}

TEST(BoundsAlu, ForkOnZeroOrMinusOne) {
  ScalarBounds mask;
  mark_unknown(&mask);
  mask.smin_value = -1;
  mask.smax_value = 0;
  reg_bounds_sync(&mask);
  EXPECT_EQ(scalar_fork(BPF_AND, mask, hull({7})), ScalarFork::WIDE);
  EXPECT_EQ(scalar_fork(BPF_OR, mask, hull({7})), ScalarFork::WIDE);
  EXPECT_EQ(scalar_fork(BPF_XOR, mask, hull({7})), ScalarFork::NONE);
  EXPECT_EQ(scalar_fork(BPF_AND, mask, hull({7, 8})), ScalarFork::NONE);
  zext_32_to_64(&mask);
  reg_bounds_sync(&mask);
  EXPECT_EQ(scalar_fork(BPF_AND, mask, hull({7})), ScalarFork::SUBREG);
  for (s64 other : {-1, 0}) {
    for (s64 outside : {-2, 1}) {
      const ScalarBounds dst = hull({static_cast<u64>(other), static_cast<u64>(outside)});
      EXPECT_EQ(scalar_fork(BPF_AND, dst, hull({7})), ScalarFork::NONE) << show(dst);
    }
  }
  EXPECT_EQ(scalar_fork(BPF_AND, hull({0}), hull({7})), ScalarFork::NONE);
}

// Register states that Linux's own selftests expect in its log. Linux: selftests/bpf/progs/verifier_bounds.c
ScalarBounds masked(u64 mask) {
  ScalarBounds b;
  mark_unknown(&b);
  scalar_alu(BPF_AND, true, &b, hull({mask}));
  return b;
}
TEST(BoundsAlu, StatesOfLinuxSelftests) {
  const auto result = [](u8 op, u64 dst, u64 src) {
    ScalarBounds b = masked(dst);
    scalar_alu(op, true, &b, masked(src));
    EXPECT_EQ(b.smin_value, 0);
    EXPECT_EQ(b.umax_value, static_cast<u64>(b.smax_value));
    EXPECT_EQ(b.u32_max_value, b.umax_value);
    return std::pair(b.umax_value, b.var_off);
  };
  EXPECT_EQ(result(BPF_XOR, 0x1a0, 0xaf), std::pair(u64{431}, Tnum{0, 0x1af}));  // non_const_xor_src_dst
  EXPECT_EQ(result(BPF_OR, 0x1a0, 0xaf), std::pair(u64{431}, Tnum{0, 0x1af}));   // non_const_or_src_dst
  EXPECT_EQ(result(BPF_MUL, 0xf, 0xff), std::pair(u64{3825}, Tnum{0, 0xfff}));   // non_const_mul_regs
}

// bounds_deduct_negative_overlap: r0 = (s8)r0, w6 = (s8)w0, w6 < 0xf0000000, r0 += r6, r6 += 400, r0 -= r6
TEST(BoundsAlu, NegativeOverlapOfLinuxSelftests) {
  ScalarBounds r0, r6;
  mark_unknown(&r0);
  mark_unknown(&r6);
  coerce_subreg_to_size_sx(&r6, 1);
  zext_32_to_64(&r6);
  reg_bounds_sync(&r6);
  coerce_reg_to_size_sx(&r0, 1);
  ScalarBounds limit = hull({0xfffffffff0000000});
  regs_refine_cond_op(&r6, &limit, rev_opcode(BPF_JGE), true);
  reg_bounds_sync(&r6);
  scalar_alu(BPF_ADD, true, &r0, r6);
  scalar_alu(BPF_ADD, true, &r6, hull({400}));
  scalar_alu(BPF_SUB, true, &r0, r6);
  EXPECT_EQ(r0.smin_value, -655);
  EXPECT_EQ(r0.smax_value, -146);
  EXPECT_EQ(r0.umin_value, 0xfffffffffffffd71u);
  EXPECT_EQ(r0.umax_value, 0xffffffffffffff6eu);
  EXPECT_EQ(r0.s32_min_value, -655);
  EXPECT_EQ(r0.u32_min_value, 0xfffffd71u);
  EXPECT_EQ(r0.var_off, (Tnum{0xfffffffffffffc00, 0x3ff}));
}

}  // namespace
}  // namespace skep::test
