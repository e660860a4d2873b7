// Records into a ring buffer and a perf buffer. skb->mark says which thread it is, skb->priority has the flags.
#include <linux/bpf.h>
// The one above first: it has the types of this one.
#include <bpf/bpf_helpers.h>

#include "buffer_state.h"

typedef unsigned int u32;
typedef unsigned long long u64;

#define INLINE static inline __attribute__((always_inline))

char LICENSE[] SEC("license") = "GPL";

struct buffer_work work;

struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, RING_BYTES);
} ring SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
  __uint(key_size, sizeof(u32));
  __uint(value_size, sizeof(u32));
} perf SEC(".maps");

INLINE struct producer* producer_of(struct __sk_buff* skb) { return &work.producer[skb->mark & 1]; }

/// A record begins with its thread (the high byte) and its number; its last word is the number again.
INLINE u64 stamp(struct __sk_buff* skb, u64 number) { return (u64)(skb->mark & 1) << 56 | number; }

#define RESERVE(size)                                    \
  SEC("tc") int reserve_##size(struct __sk_buff* skb) {  \
    struct producer* p = producer_of(skb);               \
    const u64 flags = skb->priority;                     \
    u64 number = p->number, lost = 0;                    \
    for (u32 i = 0; i < RECORDS_A_RUN; ++i) {            \
      u64* record = bpf_ringbuf_reserve(&ring, size, 0); \
      if (record == 0) {                                 \
        ++lost;                                          \
        continue;                                        \
      }                                                  \
      record[size / 8 - 1] = number;                     \
      record[0] = stamp(skb, number++);                  \
      bpf_ringbuf_submit(record, flags);                 \
    }                                                    \
    p->number = number;                                  \
    p->lost += lost;                                     \
    return 0;                                            \
  }

#define OUTPUT(name, size, call)                       \
  SEC("tc") int name##_##size(struct __sk_buff* skb) { \
    struct producer* p = producer_of(skb);             \
    const u64 flags = skb->priority;                   \
    u64 number = p->number, lost = 0;                  \
    for (u32 i = 0; i < RECORDS_A_RUN; ++i) {          \
      p->record[size / 8 - 1] = number;                \
      p->record[0] = stamp(skb, number);               \
      if (call(skb, p->record, size, flags) != 0)      \
        ++lost;                                        \
      else                                             \
        ++number;                                      \
    }                                                  \
    p->number = number;                                \
    p->lost += lost;                                   \
    return 0;                                          \
  }

#define TO_RING(skb, data, size, flags) bpf_ringbuf_output(&ring, data, size, flags)
#define TO_PERF(skb, data, size, flags) ((void)flags, bpf_perf_event_output(skb, &perf, BPF_F_CURRENT_CPU, data, size))

RESERVE(8)
RESERVE(64)
RESERVE(512)
OUTPUT(output, 8, TO_RING)
OUTPUT(output, 64, TO_RING)
OUTPUT(output, 512, TO_RING)
OUTPUT(perf, 8, TO_PERF)
OUTPUT(perf, 64, TO_PERF)
OUTPUT(perf, 512, TO_PERF)
