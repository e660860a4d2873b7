// bpf_loop() with a callback; natively a function that calls through a pointer.
#include "program.h"

struct work {
  u64 in[512];
  u64 sum;
};

struct so_far {
  u64 sum;
  struct work* work;
};

#ifndef __bpf__
static __attribute__((noinline)) long bpf_loop(u32 nr_loops, void* callback, void* ctx, u64 flags) {
  (void)flags;
  long (*const call)(u32, void*) = (long (*)(u32, void*))callback;
  u32 i = 0;
  while (i < nr_loops)
    if (call(i++, ctx) != 0) break;
  return i;
}
#endif

static long add(u32 i, void* ctx) {
  struct so_far* s = ctx;
  s->sum = (s->sum ^ s->work->in[i & 511]) * 0x100000001b3;
  return 0;
}

INLINE u32 loop(struct work* w) {
  struct so_far s = {0xcbf29ce484222325, w};
  const long rounds = bpf_loop(512, (void*)add, &s, 0);
  w->sum = s.sum;
  return (u32)(s.sum ^ s.sum >> 32) + (u32)rounds;
}

BENCH_IN_MAP(loop)
