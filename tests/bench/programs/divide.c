// Divisions: by constants, by variables, of 32 and 64 bits; with signs by hand, as BPF has only unsigned ones here.
#include "program.h"

struct work {
  u64 in[128];
  u64 out[128];
};

INLINE s64 divide_signed(s64 a, s64 b) {
  const u64 x = a < 0 ? 0 - (u64)a : (u64)a, y = b < 0 ? 0 - (u64)b : (u64)b;
  const u64 q = x / y;
  return (a < 0) != (b < 0) ? (s64)(0 - q) : (s64)q;
}

INLINE u32 divide(struct work* w) {
  u64 sum = 0;
  for (u32 i = 0; i < 128; ++i) {
    const u64 v = w->in[i], by = (v >> 40) | 1;
    u64 r = v / 10 + v % 1000 + (u32)v / 7 + (u32)v % 60;
    r += v / by + v % by + (u32)v / ((u32)by >> 8 | 1);
    r += (u64)divide_signed((s64)v, (s64)(s32)(v >> 16) | 1);
    w->out[i] = r;
    sum += r;
  }
  return (u32)(sum ^ sum >> 32);
}

BENCH(divide)
