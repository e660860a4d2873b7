// Bob Jenkins's lookup3 over keys of twelve bytes, as hash tables use it: 32-bit rotations.
#include "program.h"

struct work {
  u32 in[3 * 256];
  u32 out[256];
};

#define ROTATE(x, n) ((x) << (n) | (x) >> (32 - (n)))

INLINE u32 hash_of(u32 a, u32 b, u32 c) {
  a += 0xdeadbeef + 12, b += 0xdeadbeef + 12, c += 0xdeadbeef + 12;
  c ^= b, c -= ROTATE(b, 14);
  a ^= c, a -= ROTATE(c, 11);
  b ^= a, b -= ROTATE(a, 25);
  c ^= b, c -= ROTATE(b, 16);
  a ^= c, a -= ROTATE(c, 4);
  b ^= a, b -= ROTATE(a, 14);
  c ^= b, c -= ROTATE(b, 24);
  return c;
}

INLINE u32 jhash(struct work* w) {
  u32 sum = 0;
  for (u32 i = 0; i < 256; ++i) {
    const u32 hash = hash_of(w->in[3 * i], w->in[3 * i + 1], w->in[3 * i + 2]);
    w->out[i] = hash;
    sum ^= hash;
  }
  return sum;
}

BENCH(jhash)
