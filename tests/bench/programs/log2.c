// Integer logarithms by halving, without branches.
#include "program.h"

struct work {
  u32 in[512];
  u32 out[512];
};

INLINE u32 log2_of(u32 v) {
  u32 r = (v > 0xffff) << 4;
  v >>= r;
  u32 shift = (v > 0xff) << 3;
  v >>= shift;
  r |= shift;
  shift = (v > 0xf) << 2;
  v >>= shift;
  r |= shift;
  shift = (v > 3) << 1;
  v >>= shift;
  return r | shift | (v >> 1);
}

INLINE u32 log2s(struct work* w) {
  u32 sum = 0;
  for (u32 i = 0; i < 512; ++i) {
    w->out[i] = log2_of(w->in[i] >> (w->in[i] & 31));
    sum += w->out[i];
  }
  return sum;
}

BENCH(log2s)
