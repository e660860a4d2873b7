// Counts primes by trial division: a division by a variable in each round.
#include "program.h"

struct work {
  u32 limit;
};

INLINE u32 primes(struct work* w) {
  const u32 limit = 600 + (w->limit & 3);
  u32 count = 1;
  for (u32 n = 3; n < 604; n += 2) {
    if (n >= limit) break;
    u32 prime = 1;
    for (u32 d = 3; d * d <= n; d += 2) {
      if (n % d == 0) {
        prime = 0;
        break;
      }
    }
    count += prime;
  }
  return count;
}

BENCH(primes)
