// MurmurHash3, 32 bits, over 4 KiB.
#include "program.h"

struct work {
  u32 in[1024];
  u32 hash;
};

#define ROTATE(x, n) ((x) << (n) | (x) >> (32 - (n)))

INLINE u32 murmur3(struct work* w) {
  u32 h = 0x9747b28c;
  for (u32 i = 0; i < 1024; ++i) {
    u32 k = w->in[i] * 0xcc9e2d51;
    k = ROTATE(k, 15) * 0x1b873593;
    h ^= k;
    h = ROTATE(h, 13) * 5 + 0xe6546b64;
  }
  h ^= sizeof w->in;
  h = (h ^ h >> 16) * 0x85ebca6b;
  h = (h ^ h >> 13) * 0xc2b2ae35;
  w->hash = h ^ h >> 16;
  return w->hash;
}

BENCH_IN_MAP(murmur3)
