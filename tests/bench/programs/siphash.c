// SipHash-2-4 over 2 KiB: 64-bit rotations, four variables.
#include "program.h"

struct work {
  u64 key[2];
  u64 in[256];
  u64 hash;
};

#define ROTATE(x, n) ((x) << (n) | (x) >> (64 - (n)))
#define ROUND                                       \
  a += b, b = ROTATE(b, 13) ^ a, a = ROTATE(a, 32); \
  c += d, d = ROTATE(d, 16) ^ c;                    \
  a += d, d = ROTATE(d, 21) ^ a;                    \
  c += b, b = ROTATE(b, 17) ^ c, c = ROTATE(c, 32)

INLINE u32 siphash(struct work* w) {
  u64 a = w->key[0] ^ 0x736f6d6570736575, b = w->key[1] ^ 0x646f72616e646f6d;
  u64 c = w->key[0] ^ 0x6c7967656e657261, d = w->key[1] ^ 0x7465646279746573;
  for (u32 i = 0; i < 256; ++i) {
    const u64 m = w->in[i];
    d ^= m;
    ROUND;
    ROUND;
    a ^= m;
  }
  c ^= 0xff;
  for (u32 i = 0; i < 4; ++i) {
    ROUND;
  }
  w->hash = a ^ b ^ c ^ d;
  return (u32)(w->hash ^ w->hash >> 32);
}

BENCH(siphash)
