// FNV-1a over a buffer: a byte, an exclusive or, a multiplication.
#include "program.h"

struct work {
  u8 in[4096];
  u64 hash;
};

INLINE u32 fnv1a(struct work* w) {
  u64 hash = 0xcbf29ce484222325;
  for (u32 i = 0; i < sizeof w->in; ++i) hash = (hash ^ w->in[i]) * 0x100000001b3;
  w->hash = hash;
  return (u32)(hash ^ hash >> 32);
}

BENCH(fnv1a)
