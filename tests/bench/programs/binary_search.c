// Binary search in 1024 words: loads at an index that is data.
#include "program.h"

#define N 1024
struct work {
  u32 sorted[N];
  u32 wanted[128];
  u32 found[128];
};

INLINE u32 search(struct work* w) {
  const u32 zero = (u32)unknown_zero(w->wanted[0], N - 1);
  u32 sum = 0;
  for (u32 i = 0; i < N; ++i) w->sorted[i] = i * 0x3fffff;
  for (u32 i = 0; i < 128; ++i) {
    const u32 wanted = w->wanted[i];
    u32 at = 0;
    for (u32 step = N / 2; step > 0; step >>= 1) {
      const u32 next = (at + step) & (N - 1);
      if (w->sorted[next] <= wanted) at = next;
      at ^= zero;
    }
    w->found[i] = at;
    sum += at;
  }
  return sum;
}

BENCH_IN_MAP(search)
