// ChaCha20's rounds: sixteen words that are alive at once, more than there are registers.
#include "program.h"

struct work {
  u32 in[16];
  u32 out[8][16];
};

#define ROTATE(x, n) ((x) << (n) | (x) >> (32 - (n)))
#define QUARTER(a, b, c, d)          \
  a += b, d ^= a, d = ROTATE(d, 16); \
  c += d, b ^= c, b = ROTATE(b, 12); \
  a += b, d ^= a, d = ROTATE(d, 8);  \
  c += d, b ^= c, b = ROTATE(b, 7)

INLINE u32 chacha20(struct work* w) {
  u32 sum = 0;
  for (u32 n = 0; n < 8; ++n) {
    u32 x[16];
#pragma clang loop unroll(full)
    for (u32 i = 0; i < 16; ++i) x[i] = w->in[i];
    x[12] += n;
    for (u32 i = 0; i < 10; ++i) {
      QUARTER(x[0], x[4], x[8], x[12]);
      QUARTER(x[1], x[5], x[9], x[13]);
      QUARTER(x[2], x[6], x[10], x[14]);
      QUARTER(x[3], x[7], x[11], x[15]);
      QUARTER(x[0], x[5], x[10], x[15]);
      QUARTER(x[1], x[6], x[11], x[12]);
      QUARTER(x[2], x[7], x[8], x[13]);
      QUARTER(x[3], x[4], x[9], x[14]);
    }
#pragma clang loop unroll(full)
    for (u32 i = 0; i < 16; ++i) w->out[n][i] = x[i] + w->in[i];
    sum ^= w->out[n][0] ^ w->out[n][15];
  }
  return sum;
}

BENCH(chacha20)
