// Every Tnum of five unknown-able bits against brute force over the numbers it stands for, at the bottom, around bit 31, and at the
// top of the 64 bits.
#include "verifier/tnum.h"

#include <gtest/gtest.h>

#include <set>

#include "verifier/bounds_model_test.h"

namespace skep::test {
namespace {

constexpr u32 WIDTH = 5;
constexpr int PLACES[] = {0, 29, 59};

template <typename Visit>
void for_each_member(Tnum t, Visit visit) {
  u64 sub = 0;
  do visit(t.value | sub);
  while ((sub = (sub - t.mask) & t.mask) != 0);
}

std::vector<u64> members(Tnum t) {
  std::vector<u64> all;
  for_each_member(t, [&](u64 v) { all.push_back(v); });
  return all;
}

std::vector<Tnum> all_tnums(int place) {
  std::vector<Tnum> all;
  for (u64 mask = 0; mask < 1u << WIDTH; ++mask)
    for (u64 value = 0; value < 1u << WIDTH; ++value)
      if ((value & mask) == 0) all.push_back({value << place, mask << place});
  return all;
}

template <typename Concrete>
Tnum brute_force(Tnum a, Tnum b, Concrete concrete) {
  const u64 first = concrete(a.value, b.value);
  u64 differ = 0;
  for_each_member(a, [&](u64 x) { for_each_member(b, [&](u64 y) { differ |= concrete(x, y) ^ first; }); });
  return {first & ~differ, differ};
}

/// The operation's answer is the smallest Tnum with all results: sound and as precise as a Tnum can be.
template <typename Abstract, typename Concrete>
void expect_optimal(Abstract abstract, Concrete concrete) {
  for (int place : PLACES)
    for (const Tnum a : all_tnums(place))
      for (const Tnum b : all_tnums(place)) ASSERT_EQ(abstract(a, b), brute_force(a, b, concrete)) << a.value << ' ' << a.mask;
}

TEST(Tnum, AddIsOptimal) {
  expect_optimal(tnum_add, [](u64 x, u64 y) { return x + y; });
}
TEST(Tnum, SubIsOptimal) {
  expect_optimal(tnum_sub, [](u64 x, u64 y) { return x - y; });
}
TEST(Tnum, AndIsOptimal) {
  expect_optimal(tnum_and, [](u64 x, u64 y) { return x & y; });
}
TEST(Tnum, OrIsOptimal) {
  expect_optimal(tnum_or, [](u64 x, u64 y) { return x | y; });
}
TEST(Tnum, XorIsOptimal) {
  expect_optimal(tnum_xor, [](u64 x, u64 y) { return x ^ y; });
}

// The product is not optimal in Linux; what it is exactly is checked by a digest in bounds_linux_test.cc.
TEST(Tnum, MulIsSoundAndExactForConstants) {
  for (int place : PLACES) {
    for (const Tnum a : all_tnums(place)) {
      for (const Tnum b : all_tnums(place / 2)) {
        const Tnum product = tnum_mul(a, b);
        ASSERT_EQ(product.value & product.mask, 0u);
        ASSERT_TRUE(tnum_in(product, brute_force(a, b, [](u64 x, u64 y) { return x * y; })));
        if (tnum_is_const(a) && tnum_is_const(b)) {
          ASSERT_EQ(product, tnum_const(a.value * b.value));
        }
      }
    }
  }
  EXPECT_EQ(tnum_mul({0, 0xff}, {0, 0xf}), (Tnum{0, 0xfff}));
  EXPECT_EQ(tnum_mul(tnum_const(0), tnum_unknown), tnum_const(0));
  EXPECT_EQ(tnum_mul(tnum_unknown, tnum_const(4)), (Tnum{0, ~u64{3}}));
}

TEST(Tnum, ShiftsAreOptimal) {
  for (int place : PLACES) {
    for (const Tnum a : all_tnums(place)) {
      for (u8 n = 0; n < 64; ++n) {
        const auto best = [&](auto shift) { return brute_force(a, {}, [&](u64 x, u64) { return static_cast<u64>(shift(x)); }); };
        ASSERT_EQ(tnum_lshift(a, n), best([n](u64 x) { return x << n; }));
        ASSERT_EQ(tnum_rshift(a, n), best([n](u64 x) { return x >> n; }));
        ASSERT_EQ(tnum_arshift(a, n, 64), best([n](u64 x) { return static_cast<s64>(x) >> n; }));
        if (n < 32) {
          ASSERT_EQ(tnum_arshift(a, n, 32), best([n](u64 x) { return static_cast<u32>(static_cast<s32>(x) >> n); }));
        }
      }
    }
  }
}

TEST(Tnum, CastAndSubregAreOptimal) {
  const Tnum upper{u64{5} << 40, u64{2} << 50};
  for (const Tnum part : all_tnums(29)) {
    const Tnum a = tnum_or(part, upper);
    for (const u8 bytes : {u8{1}, u8{2}, u8{4}}) {
      const u64 low = (u64{1} << (bytes * 8)) - 1;
      ASSERT_EQ(tnum_cast(a, bytes), brute_force(a, {}, [low](u64 x, u64) { return x & low; }));
    }
    ASSERT_EQ(tnum_cast(a, 8), a);
    ASSERT_EQ(tnum_subreg(a), tnum_cast(a, 4));
    ASSERT_EQ(tnum_clear_subreg(a), brute_force(a, {}, [](u64 x, u64) { return x & ~u64{0xffffffff}; }));
    ASSERT_EQ(tnum_with_subreg(upper, a), brute_force(upper, a, [](u64 x, u64 y) { return x >> 32 << 32 | (y & 0xffffffff); }));
    ASSERT_EQ(tnum_const_subreg(a, 0x87654321), brute_force(a, {}, [](u64 x, u64) { return x >> 32 << 32 | 0x87654321; }));
    ASSERT_EQ(tnum_subreg_is_const(a), members(tnum_subreg(a)).size() == 1);
    ASSERT_EQ(tnum_is_const(a), members(a).size() == 1);
  }
}

TEST(Tnum, RangeIsTheSmallestAroundIt) {
  for (int place : {0, 30, 58}) {
    for (u64 min = 0; min < 64; ++min) {
      std::vector<u64> all;
      for (u64 max = min; max < 64; ++max) {
        const u64 low = (u64{1} << place) - 1;
        all.push_back(min << place);
        all.push_back(max << place | low);
        ASSERT_EQ(tnum_range(min << place, max << place | low).value, tightest_tnum(all).value);
        for (u64 v = min; v <= max; ++v) ASSERT_TRUE(tnum_in(tnum_range(min << place, max << place | low), tnum_const(v << place)));
      }
    }
  }
  EXPECT_EQ(tnum_range(5, 5), tnum_const(5));
  EXPECT_EQ(tnum_range(0, 2), (Tnum{0, 3}));
  EXPECT_EQ(tnum_range(0x1200, 0x12ff), (Tnum{0x1200, 0xff}));
  EXPECT_EQ(tnum_range(0, ~u64{0}), tnum_unknown);
  EXPECT_EQ(tnum_range(0x7fffffffffffffff, u64{1} << 63), tnum_unknown);
}

TEST(Tnum, SetRelationsMatchTheSets) {
  for (const Tnum a : all_tnums(0)) {
    for (const Tnum b : all_tnums(0)) {
      const std::vector<u64> in_a = members(a), in_b = members(b);
      const std::set<u64> set_a(in_a.begin(), in_a.end());
      std::vector<u64> both;
      for (u64 v : in_b)
        if (set_a.contains(v)) both.push_back(v);
      ASSERT_EQ(tnum_in(a, b), both.size() == in_b.size());
      ASSERT_EQ(tnum_overlap(a, b), !both.empty());
      if (both.empty()) continue;
      ASSERT_EQ(members(tnum_intersect(a, b)).size(), both.size());
      ASSERT_EQ(tnum_intersect(a, b), tightest_tnum(both));
    }
  }
  EXPECT_EQ(tnum_intersect(tnum_const(1), tnum_const(2)), tnum_const(3)) << "a contradiction is a known 1";
}

TEST(Tnum, Predicates) {
  for (const Tnum a : all_tnums(0))
    for (u64 size = 1; size <= 32; size *= 2)
      ASSERT_EQ(tnum_is_aligned(a, size), std::ranges::all_of(members(a), [size](u64 v) { return v % size == 0; }));
  EXPECT_TRUE(tnum_is_aligned({1, 0}, 0));
  EXPECT_TRUE(tnum_is_unknown(tnum_unknown));
  EXPECT_FALSE(tnum_is_unknown({0, ~u64{1}}));
  EXPECT_TRUE(tnum_equals_const(tnum_const(7), 7));
  EXPECT_FALSE(tnum_equals_const(tnum_const(7), 6));
  EXPECT_FALSE(tnum_equals_const({0, 1}, 0));
}

}  // namespace
}  // namespace skep::test
