// Random numbers by xorshift, each from the one before.
#include "program.h"

struct work {
  u64 seed;
  u64 out[1024];
};

INLINE u32 xorshift(struct work* w) {
  u64 x = w->seed | 1, sum = 0;
  for (u32 i = 0; i < 1024; ++i) {
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    w->out[i] = x;
    sum += x;
  }
  return (u32)(sum ^ sum >> 32);
}

BENCH(xorshift)
