// The product of two matrices of 16 x 16 words, in a map's value.
#include "program.h"

#define N 16
struct work {
  u32 a[N][N], b[N][N], c[N][N];
};

INLINE u32 multiply(struct work* w) {
  u32 sum = 0;
  for (u32 i = 0; i < N; ++i) {
    for (u32 j = 0; j < N; ++j) {
      u32 dot = 0;
      for (u32 k = 0; k < N; ++k) dot += w->a[i][k] * w->b[k][j];
      w->c[i][j] = dot;
      sum ^= dot;
    }
  }
  return sum;
}

BENCH_IN_MAP(multiply)
