// maps: what the RAM of a hash map that evicts looks like, and the rules that keep it whole. Read hash_layout.h first: buckets, chains,
// elements, gens and readers are the hash map's. What differs is where elements come from, and that a full map makes room.
//
//   desc->state    LruPart[n_parts], LruPool[nr_cpus], then the bits of free elements
//   desc->buckets  HashBucket[n_buckets]
//   desc->elems    n_elems = max_entries elements: HashElem, key padded to 8, LruMark, value (per CPU: one after another)
//
//      part:  elements  [ . . . . . . . . . . . . . . . | never used ]       the hand goes round: what was used since it came by
//                                 ^ hand                 ^ fresh             last is passed over, what was not is evicted
//
// An element is in a chain (live), or in a pool, or its free bit is set, or it was never used. One part, or with BPF_F_NO_COMMON_LRU
// one for each CPU. Elements get into pools in batches: never used ones, free ones, then evicted ones, and, when all fails, other pools'.
// As the hand puts new keys where the oldest were, the order of elements is the order of age: that is Linux's inactive list, and to be
// passed over is to go to the head of the active one. Batches and the bound on passing over are Linux's too.
// Linux: kernel/bpf/bpf_lru_list.c
//
// Invariants
//  1. Who changes the map holds a pool from beginning to end, usually that of its CPU. Then bucket locks (one at a time), and between the
//     two, to fill or empty the pool, the part's lock.
//  2. The new element of an update is the pool's front. It is filled in while it still counts as free, so that an update that fails changes
//     nothing. An update of a present key leaves the replaced element in the new one's place in the pool.
//  3. Before the first store that takes an element from one place to another, the slot's intent names the pool, the element and the
//     operation. It is cleared before any of the locks is given back. A dead slot's recovery looks which of the stores have happened,
//     and does the rest: see lru_move.cc.
//  4. LruMark.used is set by lookups of programs, only when it is not set; `live` is a hint for the hand.
//  5. Nothing read from RAM is used as an index unchecked, and every walk has a bound.
//
// Lock order: pool, part, bucket; then special_fields.h. Another pool is only tried, and only to take elements from it.
#pragma once
#include "maps/hash_chain.h"

namespace skep {

/// Linux: bpf_lru_list.c:LOCAL_FREE_TARGET, PERCPU_FREE_TARGET
constexpr u32 LRU_BATCH = 128, LRU_PERCPU_BATCH = 4;

struct LruMark {
  u8 used, live;
  u8 pad[6];
};
static_assert(sizeof(LruMark) == 8);

/// One row of elements: [first, first + size), see LruTable.
struct alignas(64) LruPart {
  RobustLock lock;
  u32 hand;       ///< elements from the row's first
  u32 fresh;      ///< the same: from here on never used
  u32 free_hint;  ///< 0: no free bits are set; else some may be
};

/// A deque: what was evicted first is used first, which keeps elements in the order of age; what was taken out by hand is used next.
struct alignas(64) LruPool {
  static constexpr u32 ROOM = 256;
  RobustLock lock;
  u32 ends;  ///< where the front is, and how many there are << 16: changed by one store
  u32 pad;
  u32 at[ROOM];  ///< index + 1
};
static_assert(sizeof(LruPool) == 1088 && LRU_BATCH < LruPool::ROOM);

inline u32 lru_n_parts(u32 flags, u32 nr_cpus) noexcept { return (flags & BPF_F_NO_COMMON_LRU) != 0 ? nr_cpus : 1; }
inline u64 lru_bits_at(u32 flags, u32 nr_cpus) noexcept {
  return lru_n_parts(flags, nr_cpus) * sizeof(LruPart) + nr_cpus * sizeof(LruPool);
}
inline u64 lru_state_bytes(u32 flags, u32 nr_cpus, u64 n_elems) noexcept {
  return lru_bits_at(flags, nr_cpus) + (n_elems + 511) / 512 * 64;
}

/// A map's RAM through its descriptor: every access is made of ROM geometry and a checked index.
struct LruTable : HashTable {
  explicit LruTable(MapDesc* d) noexcept : HashTable{d} {}
  bool common() const noexcept { return (desc->map_flags & BPF_F_NO_COMMON_LRU) == 0; }
  u32 n_parts() const noexcept { return lru_n_parts(desc->map_flags, desc->nr_cpus); }
  u32 part_size() const noexcept { return desc->n_elems / n_parts(); }
  u32 part_of_pool(u32 pool) const noexcept { return common() ? 0 : pool % n_parts(); }
  u32 part_of_elem(u32 index1) const noexcept { return common() ? 0 : (index1 - 1) / part_size() % n_parts(); }
  LruPart* part(u32 i) const noexcept { return static_cast<LruPart*>(desc->state) + i; }
  LruPool* pool(u32 i) const noexcept { return reinterpret_cast<LruPool*>(part(n_parts())) + i; }
  u64* free_word(u32 index) const noexcept {
    return reinterpret_cast<u64*>(static_cast<u8*>(desc->state) + lru_bits_at(desc->map_flags, desc->nr_cpus)) + index / 64;
  }
  LruMark* mark(HashElem* e) const noexcept { return reinterpret_cast<LruMark*>(value(e) - sizeof(LruMark)); }
};

}  // namespace skep
