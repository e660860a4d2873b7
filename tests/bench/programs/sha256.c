// SHA-256 over eight blocks, its schedule in the program's .bss.
#include "program.h"

struct work {
  u32 in[8][16];
  u32 schedule[64];
  u32 digest[8];
};

static const u32 K[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01,
    0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc,
    0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147,
    0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08,
    0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208,
    0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

#define ROTATE(x, n) ((x) >> (n) | (x) << (32 - (n)))

INLINE void block(struct work* w, const u32* in) {
  for (u32 i = 0; i < 16; ++i) w->schedule[i] = __builtin_bswap32(in[i]);
  for (u32 i = 16; i < 64; ++i) {
    const u32 x = w->schedule[i - 15], y = w->schedule[i - 2];
    const u32 s0 = ROTATE(x, 7) ^ ROTATE(x, 18) ^ x >> 3, s1 = ROTATE(y, 17) ^ ROTATE(y, 19) ^ y >> 10;
    w->schedule[i] = w->schedule[i - 16] + s0 + w->schedule[i - 7] + s1;
  }
  u32 a = w->digest[0], b = w->digest[1], c = w->digest[2], d = w->digest[3];
  u32 e = w->digest[4], f = w->digest[5], g = w->digest[6], h = w->digest[7];
  for (u32 i = 0; i < 64; ++i) {
    const u32 s1 = ROTATE(e, 6) ^ ROTATE(e, 11) ^ ROTATE(e, 25), s0 = ROTATE(a, 2) ^ ROTATE(a, 13) ^ ROTATE(a, 22);
    const u32 t1 = h + s1 + ((e & f) ^ (~e & g)) + K[i] + w->schedule[i], t2 = s0 + ((a & b) ^ (a & c) ^ (b & c));
    h = g, g = f, f = e, e = d + t1, d = c, c = b, b = a, a = t1 + t2;
  }
  w->digest[0] += a, w->digest[1] += b, w->digest[2] += c, w->digest[3] += d;
  w->digest[4] += e, w->digest[5] += f, w->digest[6] += g, w->digest[7] += h;
}

INLINE u32 sha256(struct work* w) {
  w->digest[0] = 0x6a09e667, w->digest[1] = 0xbb67ae85, w->digest[2] = 0x3c6ef372, w->digest[3] = 0xa54ff53a;
  w->digest[4] = 0x510e527f, w->digest[5] = 0x9b05688c, w->digest[6] = 0x1f83d9ab, w->digest[7] = 0x5be0cd19;
  for (u32 i = 0; i < 8; ++i) block(w, w->in[i]);
  return w->digest[0] ^ w->digest[7];
}

BENCH(sha256)
