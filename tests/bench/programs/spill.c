// Twenty numbers that all live through each round, and take turns: most of them on the stack.
#include "program.h"

struct work {
  u64 in[20];
  u64 out[20];
};

INLINE u32 spill(struct work* w) {
  u64 a = w->in[0], b = w->in[1], c = w->in[2], d = w->in[3], e = w->in[4], f = w->in[5], g = w->in[6], h = w->in[7], i = w->in[8],
      j = w->in[9], k = w->in[10], l = w->in[11], m = w->in[12], n = w->in[13], o = w->in[14], p = w->in[15], q = w->in[16],
      r = w->in[17], s = w->in[18], t = w->in[19];
  for (u32 round = 0; round < 128; ++round) {
    a += b ^ t, b += c ^ a, c += d ^ b, d += e ^ c, e += f ^ d;
    f += g ^ e, g += h ^ f, h += i ^ g, i += j ^ h, j += k ^ i;
    k += l ^ j, l += m ^ k, m += n ^ l, n += o ^ m, o += p ^ n;
    p += q ^ o, q += r ^ p, r += s ^ q, s += t ^ r, t += a ^ s;
  }
  w->out[0] = a, w->out[1] = b, w->out[2] = c, w->out[3] = d, w->out[4] = e, w->out[5] = f, w->out[6] = g, w->out[7] = h;
  w->out[8] = i, w->out[9] = j, w->out[10] = k, w->out[11] = l, w->out[12] = m, w->out[13] = n, w->out[14] = o, w->out[15] = p;
  w->out[16] = q, w->out[17] = r, w->out[18] = s, w->out[19] = t;
  const u64 sum = a ^ b ^ c ^ d ^ e ^ f ^ g ^ h ^ i ^ j ^ k ^ l ^ m ^ n ^ o ^ p ^ q ^ r ^ s ^ t;
  return (u32)(sum ^ sum >> 32);
}

BENCH(spill)
