// Steps of the Collatz sequence: short rounds, a branch that is hard to foresee.
#include "program.h"

struct work {
  u32 start[32];
  u32 steps[32];
};

INLINE u32 collatz(struct work* w) {
  const u64 zero = unknown_zero(w->start[0], ~0ull);
  u32 sum = 0;
  for (u32 i = 0; i < 32; ++i) {
    u64 n = (w->start[i] & 0xfff) + 1;
    u32 steps = 0;
    for (u32 k = 0; k < 64; ++k) {
      if (n == 1) break;
      n = ((n & 1) != 0 ? 3 * n + 1 : n >> 1) ^ zero;
      ++steps;
    }
    w->steps[i] = steps;
    sum += steps;
  }
  return sum;
}

BENCH(collatz)
