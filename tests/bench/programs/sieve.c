// The sieve of Eratosthenes over bytes in a map's value.
#include "program.h"

#define N 2048
struct work {
  u8 composite[N];
};

INLINE u32 sieve(struct work* w) {
  u32 count = 0;
  for (u32 i = 0; i < N; ++i) w->composite[i] = 0;
  for (u32 i = 2; i * i < N; ++i) {
    if (w->composite[i] != 0) continue;
    for (u32 j = i * i; j < N; j += i) w->composite[j] = 1;
  }
  for (u32 i = 2; i < N; ++i) count += w->composite[i] == 0;
  return count;
}

BENCH_IN_MAP(sieve)
