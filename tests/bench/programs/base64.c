// Base64 of 768 bytes, its letters from a constant table.
#include "program.h"

struct work {
  u8 in[768];
  u8 out[1024];
};

static const char LETTERS[64] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

INLINE u32 base64(struct work* w) {
  u32 sum = 0;
  for (u32 i = 0; i < 256; ++i) {
    const u32 bits = (u32)w->in[3 * i] << 16 | (u32)w->in[3 * i + 1] << 8 | w->in[3 * i + 2];
    w->out[4 * i] = LETTERS[bits >> 18];
    w->out[4 * i + 1] = LETTERS[bits >> 12 & 63];
    w->out[4 * i + 2] = LETTERS[bits >> 6 & 63];
    w->out[4 * i + 3] = LETTERS[bits & 63];
    sum += bits;
  }
  return sum;
}

BENCH(base64)
