// Map operations in a program, on keys in random order. Built once for each kind of key: KEY_WORDS 64-bit words, or KEY_LPM,
// KEY_INDEX. The client gives the map its type and size, and says by skb->mark which thread it is.
#include <linux/bpf.h>
// The one above first: it has the types of this one.
#include <bpf/bpf_helpers.h>

#include "map_state.h"

typedef unsigned int u32;
typedef unsigned long long u64;

#define INLINE static inline __attribute__((always_inline))

char LICENSE[] SEC("license") = "GPL";

struct map_work work;

#if defined(KEY_LPM)
struct key {
  u32 length, address;
};
INLINE void set_key(struct key* key, u32 index) {
  key->length = 32;
  key->address = index * 0x9e3779b1;
}
#elif defined(KEY_INDEX)
struct key {
  u32 index;
};
INLINE void set_key(struct key* key, u32 index) { key->index = index; }
#else
struct key {
  u64 words[KEY_WORDS];
};
INLINE void set_key(struct key* key, u32 index) {
  const u64 mixed = (index + 1) * 0x9e3779b97f4a7c15;
#pragma clang loop unroll(full)
  for (u32 i = 0; i < KEY_WORDS; ++i) key->words[i] = mixed ^ i * 0x0123456789abcdef;
}
#endif

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __uint(key_size, sizeof(struct key));
  __uint(value_size, sizeof(u64));
} map SEC(".maps");

INLINE u64 next_random(u64 x) {
  x ^= x << 13;
  x ^= x >> 7;
  x ^= x << 17;
  return x;
}

INLINE u32 index_of(u64 random, u64 present) { return (u32)((random >> 32) * present >> 32); }

/// What an operation answered, counted: errors in the low half, -EBUSY in the high half.
INLINE u64 counted(long answer) {
  const long BUSY = -16;
  return answer == 0 ? 0 : answer == BUSY ? 1ull << 32 : 1;
}

INLINE void add_errors(struct thread_state* s, u64 errors) {
  s->errors += (u32)errors;
  s->busy += errors >> 32;
}

INLINE struct thread_state* state_of(struct __sk_buff* skb) { return &work.thread[skb->mark & 1]; }

/// What the others cost without their map: the random keys.
SEC("tc") int keys(struct __sk_buff* skb) {
  struct thread_state* s = state_of(skb);
  const u64 present = work.present;
  u64 random = s->rng, sum = 0;
  for (u32 i = 0; i < OPS_A_RUN; ++i) {
    struct key key;
    random = next_random(random);
    set_key(&key, index_of(random, present));
    asm volatile("" : : "r"(&key) : "memory");
    sum += random;
  }
  s->rng = random;
  s->sum += sum;
  return 0;
}

SEC("tc") int lookup(struct __sk_buff* skb) {
  struct thread_state* s = state_of(skb);
  const u64 present = work.present;
  u64 random = s->rng, sum = 0, hits = 0;
  for (u32 i = 0; i < OPS_A_RUN; ++i) {
    struct key key;
    random = next_random(random);
    set_key(&key, index_of(random, present));
    const u64* value = bpf_map_lookup_elem(&map, &key);
    if (value == 0) continue;
    sum += *value;
    ++hits;
  }
  s->rng = random;
  s->sum += sum;
  s->hits += hits;
  return 0;
}

/// The low 24 bits of each value are its key's index.
SEC("tc") int update(struct __sk_buff* skb) {
  struct thread_state* s = state_of(skb);
  const u64 present = work.present;
  u64 random = s->rng, errors = 0;
  for (u32 i = 0; i < OPS_A_RUN; ++i) {
    struct key key;
    random = next_random(random);
    const u32 index = index_of(random, present);
    const u64 value = random << 24 | index;
    set_key(&key, index);
    errors += counted(bpf_map_update_elem(&map, &key, &value, BPF_ANY));
  }
  s->rng = random;
  add_errors(s, errors);
  return 0;
}

/// A new key and away with it: two operations each.
SEC("tc") int pair(struct __sk_buff* skb) {
  struct thread_state* s = state_of(skb);
  const u32 first = NEW_KEYS << (skb->mark & 1);
  u64 random = s->rng, errors = 0;
  for (u32 i = 0; i < OPS_A_RUN / 2; ++i) {
    struct key key;
    random = next_random(random);
    const u32 index = first + (random >> 32 & (NEW_KEYS - 1));
    const u64 value = index;
    set_key(&key, index);
    const u64 failed = counted(bpf_map_update_elem(&map, &key, &value, BPF_NOEXIST));
    errors += failed;
    if (failed == 0) errors += counted(bpf_map_delete_elem(&map, &key));
  }
  s->rng = random;
  add_errors(s, errors);
  return 0;
}

/// New keys, more than there is room for: for the kinds that throw out old ones.
SEC("tc") int evict(struct __sk_buff* skb) {
  struct thread_state* s = state_of(skb);
  const u32 first = NEW_KEYS << (skb->mark & 1);
  u64 random = s->rng, errors = 0;
  for (u32 i = 0; i < OPS_A_RUN; ++i) {
    struct key key;
    random = next_random(random);
    const u32 index = first + (random >> 32 & (NEW_KEYS - 1));
    const u64 value = index;
    set_key(&key, index);
    errors += counted(bpf_map_update_elem(&map, &key, &value, BPF_ANY));
  }
  s->rng = random;
  add_errors(s, errors);
  return 0;
}

SEC("tc") int fill(struct __sk_buff* skb) {
  struct thread_state* s = state_of(skb);
  const u64 present = work.present;
  u64 next = s->next, errors = 0;
  for (u32 i = 0; i < OPS_A_RUN; ++i) {
    if (next >= present) break;
    struct key key;
    const u64 value = next;
    set_key(&key, (u32)next);
    errors += counted(bpf_map_update_elem(&map, &key, &value, BPF_ANY));
    ++next;
  }
  s->next = next;
  add_errors(s, errors);
  return 0;
}
