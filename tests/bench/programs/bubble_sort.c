// Bubble sort of 64 words in a map's value, as often as it takes when the numbers come in any order.
#include "program.h"

#define N 64
struct work {
  u32 in[N];
  u32 sorted[N];
};

INLINE u32 sort(struct work* w) {
  for (u32 i = 0; i < N; ++i) w->sorted[i] = w->in[i];
  for (u32 end = N - 1; end > 0; --end) {
    for (u32 i = 0; i < end; ++i) {
      const u32 x = w->sorted[i], y = w->sorted[i + 1];
      if (x > y) {
        w->sorted[i] = y;
        w->sorted[i + 1] = x;
      }
    }
  }
  return w->sorted[0] ^ w->sorted[N / 2];
}

BENCH_IN_MAP(sort)
