// Counted bits, reversed bits, the lowest and the highest, with masks and shifts of 64 bits.
#include "program.h"

struct work {
  u64 in[256];
  u64 out[256];
};

INLINE u64 count(u64 v) {
  v = v - (v >> 1 & 0x5555555555555555);
  v = (v & 0x3333333333333333) + (v >> 2 & 0x3333333333333333);
  v = (v + (v >> 4)) & 0x0f0f0f0f0f0f0f0f;
  return v * 0x0101010101010101 >> 56;
}

INLINE u64 reverse(u64 v) {
  v = (v >> 1 & 0x5555555555555555) | (v & 0x5555555555555555) << 1;
  v = (v >> 2 & 0x3333333333333333) | (v & 0x3333333333333333) << 2;
  v = (v >> 4 & 0x0f0f0f0f0f0f0f0f) | (v & 0x0f0f0f0f0f0f0f0f) << 4;
  return __builtin_bswap64(v);
}

INLINE u32 bits(struct work* w) {
  u64 sum = 0;
  for (u32 i = 0; i < 256; ++i) {
    const u64 v = w->in[i];
    w->out[i] = reverse(v) ^ (v & -v);
    sum += count(v);
  }
  return (u32)sum;
}

BENCH(bits)
