// Fibonacci numbers modulo 2^64: additions, each on the one before.
#include "program.h"

struct work {
  u64 first[16];
  u64 out[16];
};

INLINE u32 fibonacci(struct work* w) {
  u64 sum = 0;
  for (u32 i = 0; i < 16; ++i) {
    u64 a = w->first[i], b = i;
    for (u32 k = 0; k < 200; ++k) {
      const u64 c = a + b;
      a = b;
      b = c;
    }
    w->out[i] = b;
    sum += b;
  }
  return (u32)(sum ^ sum >> 32);
}

BENCH(fibonacci)
