// maps: chains of elements, as the buckets of maps that evict have them, and the rules that keep them whole. (HASH and PERCPU_HASH:
// htab_layout.h. Their chains are like these.)
//
//   desc->buckets  HashBucket[n_buckets]: lock, head of the chain
//   desc->elems    n_elems elements of elem_size: HashElem, key padded to 8, value (per CPU: one after another)
//
//        bucket          element 7             element 3
//      +------+        +---------------+     +---------------+
//      | lock |   +--->| next ---------+---->| next = 0      |       a link is (index + 1) | generation << 32; index + 1 = 0 ends
//      | head-+---+    | hash, gen     |     | hash, gen     |
//      +------+        | key, values   |     | key, values   |
//                      +---------------+     +---------------+
//
// Invariants
//  1. A chain changes only under its bucket's lock, by one store: a new head (insert), a link to the replacement in the old
//     element's place (replace), a link past the element (erase). So positions in a chain never change, and it is whole at every
//     instruction.
//  2. An element's gen grows before anything else of it is written for reuse. A link carries the gen of the element it was made for.
//  3. Readers take no lock: they read an element through a link, then look that its gen is still the link's. If so, all they
//     read was of that incarnation, which was in this bucket's chain, and its `next` led, when it was unlinked at the latest, to
//     everything behind it. If not, the element was recycled under the walk, and the walk starts again. So a key that stays is
//     never missed.
//  4. Nothing read from RAM is used as an index unchecked, and every walk has a budget.
#pragma once
#include "base/atomic.h"
#include "maps/map_ops.h"

namespace skep {

struct HashElem {
  u64 next;  ///< chain: link; free list: free link
  u32 hash;
  u32 gen;
};
static_assert(sizeof(HashElem) == 16);

struct HashBucket {
  RobustLock lock;
  u64 head;
};

constexpr u64 link_make(u32 index1, u32 gen) noexcept { return index1 | static_cast<u64>(gen) << 32; }
constexpr u32 link_index1(u64 link) noexcept { return static_cast<u32>(link); }
constexpr u32 link_gen(u64 link) noexcept { return static_cast<u32>(link >> 32); }

/// A map's RAM through its descriptor: every access is made of ROM geometry and a checked index.
struct HashTable {
  MapDesc* desc;

  HashBucket* bucket(u32 hash) const noexcept { return static_cast<HashBucket*>(desc->buckets) + (hash & (desc->n_buckets - 1)); }
  /// Null: no such element.
  HashElem* elem(u32 index1) const noexcept {
    if (index1 - 1 >= desc->n_elems) return nullptr;
    return reinterpret_cast<HashElem*>(desc->elems + static_cast<u64>(index1 - 1) * desc->elem_size);
  }
  u8* key(HashElem* e) const noexcept { return reinterpret_cast<u8*>(e) + sizeof(HashElem); }
  const u8* key(const HashElem* e) const noexcept { return reinterpret_cast<const u8*>(e) + sizeof(HashElem); }
  u8* value(HashElem* e) const noexcept { return reinterpret_cast<u8*>(e) + desc->elem_value_off; }
  bool per_cpu() const noexcept { return desc->type == BPF_MAP_TYPE_PERCPU_HASH || desc->type == BPF_MAP_TYPE_LRU_PERCPU_HASH; }
  /// Steps that all walks of one operation may take together: twice every element, for chains, and some for restarts.
  u64 walk_budget() const noexcept { return 2 * static_cast<u64>(desc->n_elems) + 4096; }
};

/// Keeps the loads above it before the loads below it (invariant 3: contents before gen). Pairs with order_stores().
inline void order_loads() noexcept { __atomic_thread_fence(__ATOMIC_ACQUIRE); }
/// Keeps the stores above it before the stores below it (invariant 2: gen before contents). Pairs with order_loads().
inline void order_stores() noexcept { __atomic_thread_fence(__ATOMIC_RELEASE); }

}  // namespace skep
