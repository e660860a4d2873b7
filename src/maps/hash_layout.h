// maps: what a hash map's RAM looks like, and the rules that keep it whole.
//
//   desc->state    HashState: free list head, one HashSlot per run slot
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
// An element is in exactly one of four places: in the chain of the bucket its hash names (live), in the free list, a slot's spare,
// or in the hand of the one slot whose intent names it. HASH has max_entries + MAX_RUN_SLOTS elements: the free list begins with
// elements 0..max_entries-1, slot s's spare is element max_entries + s. So max_entries elements can be live and not one more, and
// an update of a present key never needs the free list: it swaps the slot's spare for the element it replaces. PERCPU_HASH updates
// present keys in place, as Linux does, and has no spares. Never-used elements are never touched: a zero free link means "the
// element behind me".
//
// Invariants
//  1. A chain changes only under its bucket's lock, by one store: a new head (insert), a link to the replacement in the old
//     element's place (replace), a link past the element (erase). So positions in a chain never change, and it is whole at every
//     instruction.
//  2. An element's gen grows before anything else of it is written for reuse (fill) or for the free list (push). A link carries
//     the gen of the element it was made for.
//  3. Readers take no lock: they read an element through a link, then look that its gen is still the link's. If so, all they
//     read was of that incarnation, which was in this bucket's chain, and its `next` led, when it was unlinked at the latest, to
//     everything behind it. If not, the element was recycled under the walk, and the walk starts again. So a key that stays is
//     never missed.
//  4. The free list is a stack whose head word also says which slot made it and with which tag (FreeHead). Who changes it again
//     first notes that tag in the maker's HashSlot::confirmed. So it can be told of a dead slot whether its last push or pop took
//     place: its tag stands in the head or in `confirmed`.
//  5. Before the first store that takes an element out of its place, the slot's intent names the element and the operation, and
//     live_next holds the slot's count of live elements after it. The intent is cleared before the bucket lock is given back. A
//     dead slot's bucket is locked until its recovery is over (see shm/slot.h), so recovery finds the chain as the slot left it.
//  6. Nothing read from RAM is used as an index unchecked, and every walk has a budget.
//
// Lock order: one bucket lock at a time; inside it at most one value lock (special_fields.h).
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

/// What belongs to one run slot in one map. Own cache line: only `confirmed` is ever written by others.
struct alignas(64) HashSlot {
  u32 spare;      ///< index + 1; 0 = the first spare, element max_entries + slot
  u32 confirmed;  ///< invariant 4
  u64 live;       ///< elements this slot inserted minus those it erased (may be "negative"): the sum over slots is the live count
  u64 live_next;
};

struct HashState {
  u64 free_head;
  u64 pad[7];
  HashSlot slots[MAX_RUN_SLOTS];
};
static_assert(sizeof(HashState) % 64 == 0);

constexpr u64 link_make(u32 index1, u32 gen) noexcept { return index1 | static_cast<u64>(gen) << 32; }
constexpr u32 link_index1(u64 link) noexcept { return static_cast<u32>(link); }
constexpr u32 link_gen(u64 link) noexcept { return static_cast<u32>(link >> 32); }

/// The free list's head: index + 1 of the top (0 = empty), slot index + 1 of whoever stored this (0 = init), and a tag that grows
/// by one with every change, which makes the compare-exchange safe against reuse.
struct FreeHead {
  static constexpr u32 INDEX_BITS = 28, SLOT_BITS = 10, TAG_BITS = 26;
  static constexpr u32 TAG_MASK = (1u << TAG_BITS) - 1;
  u32 index1, slot1, tag;

  static constexpr FreeHead unpack(u64 word) noexcept {
    return {static_cast<u32>(word) & ((1u << INDEX_BITS) - 1), static_cast<u32>(word >> INDEX_BITS) & ((1u << SLOT_BITS) - 1),
            static_cast<u32>(word >> (INDEX_BITS + SLOT_BITS))};
  }
  constexpr u64 pack() const noexcept {
    return index1 | static_cast<u64>(slot1) << INDEX_BITS | static_cast<u64>(tag & TAG_MASK) << (INDEX_BITS + SLOT_BITS);
  }
};
static_assert(FreeHead::INDEX_BITS + FreeHead::SLOT_BITS + FreeHead::TAG_BITS == 64);
static_assert(MAX_RUN_SLOTS < (1u << FreeHead::SLOT_BITS));

/// A map's RAM through its descriptor: every access is made of ROM geometry and a checked index.
struct HashTable {
  MapDesc* desc;

  HashState* state() const noexcept { return static_cast<HashState*>(desc->state); }
  HashBucket* bucket(u32 hash) const noexcept { return static_cast<HashBucket*>(desc->buckets) + (hash & (desc->n_buckets - 1)); }
  /// Null: no such element.
  HashElem* elem(u32 index1) const noexcept {
    if (index1 - 1 >= desc->n_elems) return nullptr;
    return reinterpret_cast<HashElem*>(desc->elems + static_cast<u64>(index1 - 1) * desc->elem_size);
  }
  u8* key(HashElem* e) const noexcept { return reinterpret_cast<u8*>(e) + sizeof(HashElem); }
  const u8* key(const HashElem* e) const noexcept { return reinterpret_cast<const u8*>(e) + sizeof(HashElem); }
  u8* value(HashElem* e) const noexcept { return reinterpret_cast<u8*>(e) + desc->elem_value_off; }
  bool per_cpu() const noexcept { return desc->type == BPF_MAP_TYPE_PERCPU_HASH; }
  /// Steps that all walks of one operation may take together: twice every element, for chains, and some for restarts.
  u64 walk_budget() const noexcept { return 2 * static_cast<u64>(desc->n_elems) + 4096; }
};

/// Keeps the loads above it before the loads below it (invariant 3: contents before gen). Pairs with order_stores().
inline void order_loads() noexcept { __atomic_thread_fence(__ATOMIC_ACQUIRE); }
/// Keeps the stores above it before the stores below it (invariant 2: gen before contents). Pairs with order_loads().
inline void order_stores() noexcept { __atomic_thread_fence(__ATOMIC_RELEASE); }

}  // namespace skep
