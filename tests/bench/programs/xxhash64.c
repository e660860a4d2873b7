// xxHash64 over 4 KiB: four lanes of 64-bit multiplications.
#include "program.h"

struct work {
  u64 in[512];
  u64 hash;
};

#define P1 0x9e3779b185ebca87ull
#define P2 0xc2b2ae3d27d4eb4full
#define P3 0x165667b19e3779f9ull
#define P4 0x85ebca77c2b2ae63ull
#define ROTATE(x, n) ((x) << (n) | (x) >> (64 - (n)))

INLINE u64 lane(u64 acc, u64 in) {
  acc += in * P2;
  return ROTATE(acc, 31) * P1;
}

INLINE u64 merge(u64 hash, u64 acc) { return (hash ^ lane(0, acc)) * P1 + P4; }

INLINE u32 xxhash64(struct work* w) {
  u64 a = P1 + P2, b = P2, c = 0, d = 0 - P1;
  for (u32 i = 0; i < 512; i += 4) {
    a = lane(a, w->in[i]);
    b = lane(b, w->in[i + 1]);
    c = lane(c, w->in[i + 2]);
    d = lane(d, w->in[i + 3]);
  }
  u64 h = ROTATE(a, 1) + ROTATE(b, 7) + ROTATE(c, 12) + ROTATE(d, 18);
  h = merge(merge(merge(merge(h, a), b), c), d) + sizeof w->in;
  h = (h ^ h >> 33) * P2;
  h = (h ^ h >> 29) * P3;
  w->hash = h ^ h >> 32;
  return (u32)w->hash;
}

BENCH(xxhash64)
