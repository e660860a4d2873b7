// verifier tests: concrete numbers as the oracle of the scalar domain. A state is a ScalarBounds together with numbers that it must
// allow; whatever is done to both, the result must allow what the numbers become.
#pragma once
#include <algorithm>
#include <string>
#include <vector>

#include "verifier/bounds.h"

namespace skep::test {

/// Deterministic and the same everywhere (splitmix64).
class Rng {
 public:
  explicit Rng(u64 seed) : state_(seed) {}
  u64 next() {
    u64 z = state_ += 0x9e3779b97f4a7c15ULL;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
  }
  u64 below(u64 n) { return next() % n; }
  bool one_in(u64 n) { return below(n) == 0; }
  template <typename T>
  const T& pick(const std::vector<T>& from) {
    return from[below(from.size())];
  }

 private:
  u64 state_;
};

/// Where signedness and width change.
inline const std::vector<u64>& edges() {
  static const std::vector<u64> all = {0,
                                       1,
                                       2,
                                       31,
                                       32,
                                       63,
                                       64,
                                       0x7f,
                                       0x80,
                                       0xff,
                                       0x100,
                                       0x7fff,
                                       0x8000,
                                       0xffff,
                                       0x10000,
                                       0x7ffffffe,
                                       0x7fffffff,
                                       0x80000000,
                                       0x80000001,
                                       0xffff0000,
                                       0xfffffffe,
                                       0xffffffff,
                                       0x100000000,
                                       0x100000001,
                                       0x17fffffff,
                                       0x180000000,
                                       0x1ffffffff,
                                       0x200000000,
                                       S64_MAX - 1,
                                       u64{1} << 63,
                                       S64_MAX,
                                       U64_MAX - 127,
                                       U64_MAX - 128,
                                       U64_MAX - 1,
                                       U64_MAX,
                                       0x7fffffff80000000,
                                       0xffffffff00000000,
                                       0xffffffff7fffffff,
                                       0xffffffff80000000,
                                       0xffffffffffff7fff,
                                       0xffffffffffff8000};
  return all;
}
inline u64 number(Rng& rng) {
  switch (rng.below(4)) {
    case 0:
      return rng.next() >> rng.below(64);
    case 1:
      return rng.pick(edges()) + rng.below(5) - 2;
    case 2:
      return rng.below(80);
    default:
      return rng.pick(edges());
  }
}

inline bool contains(const ScalarBounds& b, u64 v) {
  const s64 s = static_cast<s64>(v);
  const u32 low = static_cast<u32>(v);
  const s32 slow = static_cast<s32>(low);
  return (v & ~b.var_off.mask) == b.var_off.value && b.umin_value <= v && v <= b.umax_value && b.smin_value <= s &&
         s <= b.smax_value && b.u32_min_value <= low && low <= b.u32_max_value && b.s32_min_value <= slow &&
         slow <= b.s32_max_value;
}

inline Tnum tightest_tnum(const std::vector<u64>& values) {
  u64 differ = 0;
  for (u64 v : values) differ |= v ^ values[0];
  return {values[0] & ~differ, differ};
}
/// The smallest ScalarBounds that allows all of `values` (at least one), each domain for itself.
inline ScalarBounds hull(const std::vector<u64>& values) {
  ScalarBounds b;
  mark_known(&b, values[0]);
  for (u64 v : values) {
    b.umin_value = std::min(b.umin_value, v);
    b.umax_value = std::max(b.umax_value, v);
    b.smin_value = std::min(b.smin_value, static_cast<s64>(v));
    b.smax_value = std::max(b.smax_value, static_cast<s64>(v));
    b.u32_min_value = std::min(b.u32_min_value, static_cast<u32>(v));
    b.u32_max_value = std::max(b.u32_max_value, static_cast<u32>(v));
    b.s32_min_value = std::min(b.s32_min_value, static_cast<s32>(v));
    b.s32_max_value = std::max(b.s32_max_value, static_cast<s32>(v));
  }
  b.var_off = tightest_tnum(values);
  return b;
}

struct State {
  ScalarBounds bounds;
  std::vector<u64> members;  ///< some of the numbers that bounds allows
};

/// `known` in a random choice of the five domains, nothing in the others.
inline ScalarBounds forget_some_domains(Rng& rng, const ScalarBounds& known) {
  ScalarBounds b;
  mark_unknown(&b);
  const u64 keep = rng.next();
  if (keep & 1) b.var_off = known.var_off;
  if (keep & 2) b.umin_value = known.umin_value, b.umax_value = known.umax_value;
  if (keep & 4) b.smin_value = known.smin_value, b.smax_value = known.smax_value;
  if (keep & 8) b.u32_min_value = known.u32_min_value, b.u32_max_value = known.u32_max_value;
  if (keep & 16) b.s32_min_value = known.s32_min_value, b.s32_max_value = known.s32_max_value;
  return b;
}

/// A consistent state around one to four numbers; synced half of the time.
inline State random_state(Rng& rng) {
  State s;
  const u64 first = number(rng);
  s.members.push_back(first);
  for (u64 n = rng.below(4); n > 0; --n) s.members.push_back(rng.one_in(2) ? number(rng) : first + (rng.next() >> rng.below(64)));
  s.bounds = hull(s.members);
  if (!rng.one_in(4)) s.bounds = forget_some_domains(rng, s.bounds);
  if (rng.one_in(2)) reg_bounds_sync(&s.bounds);
  // More numbers that the bounds happen to allow: edges, and the ends of the ranges.
  const ScalarBounds& b = s.bounds;
  for (u64 v :
       {b.umin_value, b.umax_value, static_cast<u64>(b.smin_value), static_cast<u64>(b.smax_value), number(rng), number(rng)})
    if (contains(b, v)) s.members.push_back(v);
  return s;
}

inline std::string show(const ScalarBounds& b) {
  const auto hex = [](u64 v) {
    constexpr char digits[] = "0123456789abcdef";
    std::string text;
    do text.insert(text.begin(), digits[v & 15]);
    while ((v >>= 4) != 0);
    return text;
  };
  return "u64=" + hex(b.umin_value) + ".." + hex(b.umax_value) + " s64=" + std::to_string(b.smin_value) + ".." +
         std::to_string(b.smax_value) + " u32=" + hex(b.u32_min_value) + ".." + hex(b.u32_max_value) +
         " s32=" + std::to_string(b.s32_min_value) + ".." + std::to_string(b.s32_max_value) + " var_off=" + hex(b.var_off.value) +
         ";" + hex(b.var_off.mask);
}

}  // namespace skep::test
