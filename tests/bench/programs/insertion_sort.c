// Insertion sort of 48 words on the stack.
#include "program.h"

#define N 48
#define ROOM 64
struct work {
  u32 in[N];
  u32 sorted[N];
};

INLINE u32 sort(struct work* w) {
  const u32 zero = (u32)unknown_zero(w->in[0], ROOM - 1);
  u32 at[ROOM] = {};
  for (u32 i = 0; i < N; ++i) {
    const u32 v = w->in[i];
    u32 j = i ^ zero;
    for (u32 k = 0; k < N; ++k) {
      if (j == 0) break;
      const u32 before = at[(j - 1) & (ROOM - 1)];
      if (before <= v) break;
      at[j] = before;
      j = ((j - 1) & (ROOM - 1)) ^ zero;
    }
    at[j ^ zero] = v;
  }
  for (u32 i = 0; i < N; ++i) w->sorted[i] = at[i];
  return at[0] ^ at[N / 2];
}

BENCH(sort)
