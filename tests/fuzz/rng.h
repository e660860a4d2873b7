// tests/fuzz: pseudo-random numbers that are the same everywhere for the same seed.
#pragma once
#include <span>

#include "base/types.h"

namespace skep::fuzz {

/// splitmix64. Good enough to choose by, and any two seeds are far apart.
class Rng {
 public:
  explicit Rng(u64 seed) : state_(seed * 0xd1342543de82ef95ULL + 0x2545f4914f6cdd1dULL) {}

  u64 next() {
    u64 x = state_ += 0x9e3779b97f4a7c15ULL;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ULL;
    x = (x ^ x >> 27) * 0x94d049bb133111ebULL;
    return x ^ x >> 31;
  }
  /// 0 to n - 1. REQUIRES: n > 0.
  u32 below(u32 n) { return static_cast<u32>(next() % n); }
  bool chance(u32 percent) { return below(100) < percent; }
  bool coin() { return below(2) != 0; }
  template <typename T, std::size_t N>
  const T& of(const T (&choices)[N]) {
    return choices[below(N)];
  }
  /// Small numbers, powers of two, and the ends of every range that the verifier keeps, give or take one.
  u64 edge() {
    static constexpr u64 ENDS[] = {0,
                                   1,
                                   7,
                                   8,
                                   16,
                                   63,
                                   255,
                                   0x7f,
                                   0x80,
                                   0x7fff,
                                   0x8000,
                                   0xffff,
                                   0x7fffffff,
                                   0x80000000,
                                   0xffffffff,
                                   0x100000000,
                                   0x7fffffffffffffff,
                                   0x8000000000000000,
                                   0xffffffffffffffff,
                                   0xffffffff80000000};
    switch (below(4)) {
      case 0:
        return below(64);
      case 1:
        return of(ENDS) + below(3) - 1;
      case 2:
        return next() >> below(64);
      default:
        return u64{0} - below(40);
    }
  }

 private:
  u64 state_;
};

}  // namespace skep::fuzz
