// Calls of functions that are not inlined, two deep.
#include "program.h"

struct work {
  u64 in[256];
  u64 out[256];
};

static __attribute__((noinline)) u64 mix(u64 a, u64 b, u64 c) {
  a ^= b >> 7;
  a *= c | 1;
  return a ^ a >> 29;
}

static __attribute__((noinline)) u64 twice(u64 a, u64 b) {
  const u64 first = mix(a, b, 0x9e3779b97f4a7c15 + b);
  return first + mix(b, first, a);
}

INLINE u32 calls(struct work* w) {
  u64 sum = 1;
  for (u32 i = 0; i < 256; ++i) {
    sum = twice(sum, w->in[i]);
    w->out[i] = sum;
  }
  return (u32)(sum ^ sum >> 32);
}

BENCH(calls)
