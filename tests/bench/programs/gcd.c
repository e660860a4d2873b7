// Greatest common divisors by Euclid: 64-bit remainders of variables.
#include "program.h"

struct work {
  u32 in[128];
  u32 out[64];
};

INLINE u32 gcds(struct work* w) {
  u32 sum = 0;
  for (u32 i = 0; i < 64; ++i) {
    u64 a = w->in[2 * i] | 1, b = w->in[2 * i + 1];
    for (u32 k = 0; k < 48; ++k) {
      if (b == 0) break;
      const u64 rest = a % b;
      a = b;
      b = rest;
    }
    w->out[i] = (u32)a;
    sum += (u32)a;
  }
  return sum;
}

BENCH(gcds)
