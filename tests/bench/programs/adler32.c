// Adler-32: two sums, and remainders by a constant.
#include "program.h"

struct work {
  u8 in[4096];
  u32 sum;
};

INLINE u32 adler32(struct work* w) {
  u32 a = 1, b = 0;
  for (u32 block = 0; block < 16; ++block) {
    for (u32 i = 0; i < 256; ++i) {
      a += w->in[256 * block + i];
      b += a;
    }
    a %= 65521;
    b %= 65521;
  }
  w->sum = b << 16 | a;
  return w->sum;
}

BENCH_IN_MAP(adler32)
