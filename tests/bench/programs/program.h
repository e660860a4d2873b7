// A benchmark program is one source, compiled for BPF and for this machine. It ends with one of
//
//   BENCH(f)          u32 f(struct work*): the work lies in the program's .bss
//   BENCH_IN_MAP(f)   u32 f(struct work*): the work is the value of an array map
//   BENCH_PACKET(f)   u32 f(u8* data, u8* end): the packet
//
// Whoever runs it fills the work (or the packet) with the same bytes on each side; f works on it and answers a number. Number and
// work must be the same on all sides afterwards. f does the same however often it is run: what it changes it makes from what it
// leaves alone.
#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef signed char s8;
typedef int s32;
typedef long long s64;

#define INLINE static inline __attribute__((always_inline))

/// Zero in truth; any value within `mask` to a verifier. To exclusive-or it in makes a number unknown that would otherwise keep the
/// verifier's paths apart: then they come together again, and the program is judged in milliseconds. One instruction, on each side.
INLINE u64 unknown_zero(u64 any, u64 mask) { return (any * (any + 1) & 1) * mask; }

#ifdef __bpf__

#include <linux/bpf.h>
// The one above first: it has the types of this one.
#include <bpf/bpf_helpers.h>

/// A function that is not inlined and that BPF's verifier judges by itself.
#define GLOBAL __attribute__((noinline))

char LICENSE[] SEC("license") = "GPL";

#define BENCH(f)                               \
  struct work work;                            \
  SEC("tc") int bench(struct __sk_buff* skb) { \
    (void)skb;                                 \
    return (int)f(&work);                      \
  }

#define BENCH_IN_MAP(f)                                 \
  struct {                                              \
    __uint(type, BPF_MAP_TYPE_ARRAY);                   \
    __uint(max_entries, 1);                             \
    __type(key, u32);                                   \
    __type(value, struct work);                         \
  } work SEC(".maps");                                  \
  SEC("tc") int bench(struct __sk_buff* skb) {          \
    (void)skb;                                          \
    const u32 zero = 0;                                 \
    struct work* w = bpf_map_lookup_elem(&work, &zero); \
    return w == 0 ? 0 : (int)f(w);                      \
  }

#define BENCH_PACKET(f) \
  SEC("tc") int bench(struct __sk_buff* skb) { return (int)f((u8*)(long)skb->data, (u8*)(long)skb->data_end); }

#else

#include "native.h"

#define GLOBAL static __attribute__((noinline))

#define BENCH(f)                      \
  static struct work work;            \
  static u32 run(u8* data, u8* end) { \
    (void)data, (void)end;            \
    return f(&work);                  \
  }                                   \
  NATIVE_PROGRAM(run, &work, sizeof work)

#define BENCH_IN_MAP(f) BENCH(f)
#define BENCH_PACKET(f) NATIVE_PROGRAM(f, 0, 0)

#endif
