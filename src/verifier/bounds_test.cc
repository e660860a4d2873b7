#include "verifier/bounds.h"

#include <gtest/gtest.h>

#include <memory>

#include "verifier/bounds_model_test.h"

namespace skep::test {
namespace {

constexpr int ROUNDS = 200000;

TEST(Bounds, Marks) {
  ScalarBounds b;
  EXPECT_TRUE(contains(b, 0));
  mark_known(&b, 0xfffffffe80000001);
  EXPECT_EQ(b, hull({0xfffffffe80000001}));
  mark_known_zero(&b);
  EXPECT_EQ(b, ScalarBounds{});
  mark_unknown(&b);
  for (u64 v : edges()) EXPECT_TRUE(contains(b, v));
  EXPECT_EQ(b.var_off, tnum_unknown);

  mark32_known(&b, 0x80000000);
  EXPECT_EQ(b.var_off, (Tnum{0x80000000, 0xffffffff00000000}));
  EXPECT_EQ(b.s32_min_value, S32_MIN);
  EXPECT_EQ(b.s32_max_value, S32_MIN);
  EXPECT_EQ(b.u32_max_value, 0x80000000);
  EXPECT_EQ(b.umax_value, U64_MAX);
  EXPECT_TRUE(is_const(b, true));
  EXPECT_FALSE(is_const(b, false));
  EXPECT_EQ(const_value(b, true), 0x80000000u);

  mark_known(&b, 0x300000005);
  EXPECT_EQ(const_value(b, true), 5u);
  EXPECT_EQ(const_value(b, false), 0x300000005u);
  EXPECT_EQ(reg_width(b), 34u);
  mark_unbounded(&b);
  EXPECT_EQ(b.var_off, tnum_const(0x300000005)) << "ranges only";
  EXPECT_EQ(reg_width(b), 64u);
  EXPECT_EQ(reg_width(ScalarBounds{}), 0u);
  mark_known(&b, 5);
  mark64_unbounded(&b);
  EXPECT_EQ(b.u32_max_value, 5u);
  EXPECT_EQ(b.smin_value, S64_MIN);
  mark_known(&b, 5);
  mark32_unbounded(&b);
  EXPECT_EQ(b.umax_value, 5u);
  EXPECT_EQ(b.s32_min_value, S32_MIN);
}

TEST(Bounds, SyncKeepsNumbersAndNeverWidens) {
  Rng rng(1);
  for (int i = 0; i < ROUNDS; ++i) {
    const State s = random_state(rng);
    ScalarBounds b = s.bounds;
    reg_bounds_sync(&b);
    for (u64 v : s.members) ASSERT_TRUE(contains(b, v)) << v << " lost: " << show(s.bounds) << " -> " << show(b);
    ASSERT_TRUE(range_within(s.bounds, b)) << show(s.bounds) << " -> " << show(b);
    ASSERT_TRUE(tnum_in(s.bounds.var_off, b.var_off)) << show(s.bounds) << " -> " << show(b);
    ASSERT_EQ(bounds_sanity_check(b), nullptr) << show(s.bounds) << " -> " << show(b);
  }
}

// Every pair of ranges between edges, one in each of two domains.
TEST(Bounds, SyncOfEveryPairOfEdgeRanges) {
  std::vector<ScalarBounds> ranges;
  for (u64 lo : edges()) {
    for (u64 hi : edges()) {
      ScalarBounds b;
      mark_unknown(&b);
      ScalarBounds u = b, s = b, u_low = b, s_low = b;
      u.umin_value = lo, u.umax_value = hi;
      s.smin_value = static_cast<s64>(lo), s.smax_value = static_cast<s64>(hi);
      u_low.u32_min_value = static_cast<u32>(lo), u_low.u32_max_value = static_cast<u32>(hi);
      s_low.s32_min_value = static_cast<s32>(lo), s_low.s32_max_value = static_cast<s32>(hi);
      for (const ScalarBounds& one : {u, s, u_low, s_low})
        if (bounds_sanity_check(one) == nullptr) ranges.push_back(one);
    }
  }
  Rng rng(2);
  u64 kept = 0;
  for (const ScalarBounds& one : ranges) {
    for (int n = 0; n < 40; ++n) {
      const ScalarBounds& other = rng.pick(ranges);
      ScalarBounds b = one;
      regs_refine_cond_op(&b, std::make_unique<ScalarBounds>(other).get(), BPF_JEQ, false);
      regs_refine_cond_op(&b, std::make_unique<ScalarBounds>(other).get(), BPF_JEQ, true);
      const ScalarBounds before = b;
      reg_bounds_sync(&b);
      for (u64 v : edges()) {
        if (!contains(one, v) || !contains(other, v)) continue;
        ++kept;
        ASSERT_TRUE(contains(b, v)) << v << " lost: " << show(before) << " -> " << show(b);
      }
    }
  }
  EXPECT_GT(kept, 100000u);
}

TEST(Bounds, SyncLeavesKnownAndUnknownAlone) {
  for (u64 v : edges()) {
    ScalarBounds b = hull({v});
    reg_bounds_sync(&b);
    EXPECT_EQ(b, hull({v}));
    mark_unbounded(&b);
    reg_bounds_sync(&b);
    EXPECT_EQ(b, hull({v})) << "the bits alone tell the number";
    const Tnum bits = b.var_off;
    b.var_off = tnum_unknown;
    reg_bounds_sync(&b);
    EXPECT_EQ(b.var_off, bits) << "so do the ranges";
  }
  ScalarBounds any;
  mark_unknown(&any);
  ScalarBounds b = any;
  reg_bounds_sync(&b);
  EXPECT_EQ(b, any);
}

// Consequences that programs rely on. Linux: the explanations in __reg32_deduce_bounds(), __reg64_deduce_bounds() and
// __reg_deduce_mixed_bounds(); selftests prog_tests/reg_bounds.c crafted_cases[]
TEST(Bounds, SyncDeduces) {
  ScalarBounds any, b;
  mark_unknown(&any);

  (b = any).umin_value = 0x10000000a, b.umax_value = 0x10000000f;
  reg_bounds_sync(&b);
  EXPECT_EQ(b.u32_min_value, 10u);
  EXPECT_EQ(b.s32_max_value, 15);
  EXPECT_EQ(b.var_off, (Tnum{0x100000008, 7}));

  (b = any).smin_value = -1, b.smax_value = 1;
  reg_bounds_sync(&b);
  EXPECT_EQ(b.s32_min_value, -1);
  EXPECT_EQ(b.s32_max_value, 1);
  EXPECT_EQ(b.umax_value, U64_MAX);

  (b = any).umin_value = 0xfffffff0fffffff0, b.umax_value = 0xfffffff100000010;
  reg_bounds_sync(&b);
  EXPECT_EQ(b.s32_min_value, -16);
  EXPECT_EQ(b.s32_max_value, 16);

  (b = any).umin_value = 0x100000000, b.umax_value = 0x380000000, b.s32_min_value = 1;
  reg_bounds_sync(&b);
  EXPECT_EQ(b.umin_value, 0x100000001u);
  EXPECT_EQ(b.umax_value, 0x37fffffffu);

  (b = any).smin_value = S32_MIN, b.smax_value = S32_MAX, b.s32_min_value = 0;
  reg_bounds_sync(&b);
  EXPECT_EQ(b.umax_value, static_cast<u64>(S32_MAX));
  EXPECT_EQ(b.var_off, (Tnum{0, 0x7fffffff}));

  (b = any).smin_value = -128, b.smax_value = 127, b.umax_value = 0xffffffffffffff00;
  reg_bounds_sync(&b);
  EXPECT_EQ(b, hull([] {
              std::vector<u64> all;
              for (u64 v = 0; v < 128; ++v) all.push_back(v);
              return all;
            }()));

  (b = any).s32_min_value = -5, b.s32_max_value = 3, b.u32_min_value = 4;
  reg_bounds_sync(&b);
  EXPECT_EQ(b.s32_max_value, -1);
  EXPECT_EQ(b.u32_min_value, static_cast<u32>(-5));
}

TEST(Bounds, SanityWords) {
  EXPECT_EQ(bounds_sanity_check(ScalarBounds{}), nullptr);
  const auto words = [](auto spoil) {
    ScalarBounds b;
    mark_unknown(&b);
    spoil(b);
    const char* text = bounds_sanity_check(b);
    return std::string(text ? text : "");
  };
  EXPECT_EQ(words([](ScalarBounds&) {}), "");
  EXPECT_EQ(words([](ScalarBounds& b) { b.umin_value = 5, b.umax_value = 4; }), "range bounds violation");
  EXPECT_EQ(words([](ScalarBounds& b) { b.smin_value = 5, b.smax_value = 4; }), "range bounds violation");
  EXPECT_EQ(words([](ScalarBounds& b) { b.u32_min_value = 5, b.u32_max_value = 4; }), "range bounds violation");
  EXPECT_EQ(words([](ScalarBounds& b) { b.s32_min_value = 5, b.s32_max_value = 4; }), "range bounds violation");
  EXPECT_EQ(words([](ScalarBounds& b) { b.var_off = tnum_const(3); }), "const tnum out of sync with range bounds");
  EXPECT_EQ(words([](ScalarBounds& b) { mark_known(&b, 3), b.smax_value = 4; }), "const tnum out of sync with range bounds");
  EXPECT_EQ(words([](ScalarBounds& b) { b.var_off = tnum_const_subreg(tnum_unknown, 3); }),
            "const subreg tnum out of sync with range bounds");
  EXPECT_EQ(words([](ScalarBounds& b) { mark32_known(&b, 3), b.s32_min_value = 2; }),
            "const subreg tnum out of sync with range bounds");
}

TEST(Bounds, RangeWithinLooksAtEachOfTheFourRanges) {
  const ScalarBounds inner = hull({5, 9});
  EXPECT_TRUE(range_within(inner, inner));
  EXPECT_TRUE(range_within(hull({4, 10}), inner));
  const auto refuses = [&](auto narrow) {
    ScalarBounds old = hull({4, 10});
    narrow(old);
    return !range_within(old, inner);
  };
  EXPECT_TRUE(refuses([](ScalarBounds& b) { b.umin_value = 6; }));
  EXPECT_TRUE(refuses([](ScalarBounds& b) { b.umax_value = 8; }));
  EXPECT_TRUE(refuses([](ScalarBounds& b) { b.smin_value = 6; }));
  EXPECT_TRUE(refuses([](ScalarBounds& b) { b.smax_value = 8; }));
  EXPECT_TRUE(refuses([](ScalarBounds& b) { b.u32_min_value = 6; }));
  EXPECT_TRUE(refuses([](ScalarBounds& b) { b.u32_max_value = 8; }));
  EXPECT_TRUE(refuses([](ScalarBounds& b) { b.s32_min_value = 6; }));
  EXPECT_TRUE(refuses([](ScalarBounds& b) { b.s32_max_value = 8; }));
}

u64 truncate(u64 v, u32 bytes) { return v & ((u64{1} << (bytes * 8)) - 1); }
u64 sign_extend(u64 v, u32 bytes) {
  const u64 sign = u64{1} << (bytes * 8 - 1);
  return (truncate(v, bytes) ^ sign) - sign;
}

TEST(Bounds, WidthChangesKeepNumbers) {
  Rng rng(3);
  for (int i = 0; i < ROUNDS; ++i) {
    const State s = random_state(rng);
    const auto check = [&](const char* what, const ScalarBounds& b, auto concrete) {
      for (u64 v : s.members)
        ASSERT_TRUE(contains(b, concrete(v))) << what << ' ' << v << ": " << show(s.bounds) << " -> " << show(b);
    };
    ScalarBounds b = s.bounds;
    zext_32_to_64(&b);
    check("zext", b, [](u64 v) { return truncate(v, 4); });
    for (u32 bytes : {1u, 2u, 4u}) {
      coerce_reg_to_size(&(b = s.bounds), bytes);
      check("truncate", b, [bytes](u64 v) { return truncate(v, bytes); });
      coerce_reg_to_size_sx(&(b = s.bounds), bytes);
      check("sign-extend", b, [bytes](u64 v) { return sign_extend(v, bytes); });
      reg_bounds_sync(&b);
      check("sign-extend and sync", b, [bytes](u64 v) { return sign_extend(v, bytes); });
      if (bytes == 4) continue;
      coerce_subreg_to_size_sx(&(b = s.bounds), bytes);
      zext_32_to_64(&b);
      reg_bounds_sync(&b);
      check("sign-extend to 32", b, [bytes](u64 v) { return truncate(sign_extend(v, bytes), 4); });
    }
  }
}

TEST(Bounds, WidthChangesArePreciseWhereLinuxIs) {
  ScalarBounds b;
  for (u64 v : edges()) {
    for (u32 bytes : {1u, 2u, 4u}) {
      coerce_reg_to_size(&(b = hull({v})), bytes);
      EXPECT_EQ(b, hull({truncate(v, bytes)}));
      coerce_reg_to_size_sx(&(b = hull({v})), bytes);
      EXPECT_EQ(b, hull({sign_extend(v, bytes)}));
    }
  }
  coerce_reg_to_size_sx(&(b = hull({0x1234580, 0x1234590})), 1);
  EXPECT_EQ(b.smin_value, -128);
  EXPECT_EQ(b.smax_value, -112);
  EXPECT_EQ(b.umin_value, static_cast<u64>(-128));
  mark_unknown(&b);
  coerce_reg_to_size_sx(&b, 2);
  EXPECT_EQ(b.smin_value, -32768);
  EXPECT_EQ(b.s32_max_value, 32767);
  EXPECT_EQ(b.umax_value, U64_MAX);
  EXPECT_EQ(b.var_off, tnum_unknown);
  mark_unknown(&b);
  coerce_reg_to_size(&b, 1);
  EXPECT_EQ(b.umax_value, 255u);
  EXPECT_EQ(b.s32_max_value, 255);
  EXPECT_EQ(b.var_off, (Tnum{0, 0xff}));
  mark_unknown(&b);
  coerce_subreg_to_size_sx(&b, 1);
  EXPECT_EQ(b.s32_min_value, -128);
  EXPECT_EQ(b.s32_max_value, 127);
  EXPECT_EQ(b.var_off, (Tnum{0, U32_MAX}));
}

TEST(Bounds, NarrowToS32Range) {
  Rng rng(4);
  for (int i = 0; i < ROUNDS; ++i) {
    const State s = random_state(rng);
    s32 min = static_cast<s32>(number(rng)), max = static_cast<s32>(number(rng));
    if (min > max) std::swap(min, max);
    ScalarBounds b = s.bounds;
    narrow_to_s32_range(&b, min, max);
    for (u64 v : s.members) {
      const s64 x = static_cast<s64>(v);
      if (min <= x && x <= max) {
        ASSERT_TRUE(contains(b, v)) << show(s.bounds) << " -> " << show(b);
      }
    }
  }
  ScalarBounds b;
  mark_unknown(&b);
  narrow_to_s32_range(&b, -4095, 0);
  EXPECT_EQ(b.smin_value, -4095);
  EXPECT_EQ(b.smax_value, 0);
  EXPECT_EQ(b.s32_min_value, -4095);
  EXPECT_EQ(bounds_sanity_check(b), nullptr);
  mark_known(&b, 1);
  narrow_to_s32_range(&b, -4095, 0);
  EXPECT_EQ(b, hull({1})) << "an impossible range: Linux trusts the unsigned side and drops the signed one";
}

}  // namespace
}  // namespace skep::test
