// maps: what the RAM of a HASH or PERCPU_HASH looks like, and the rules that keep it whole. (Maps that evict: lru_layout.h.)
//
//   desc->state    HtabState: live count, free list, one HtabSlot per run slot; behind it the summary, a bit for each bucket
//   desc->elems    pool of HtabNode: elements that found no place in their bucket
//   desc->buckets  n_buckets times: HtabBucket, then LOCAL_ELEMS elements
//
//      bucket                                                   pool
//    +------+------+-------+--------+--------+-----+--------+   +------+--------+     +----------+--------+
//    | lock | tags | chain | elem 0 | elem 1 | ... | elem 6 |   | next | elem 7 +---->| next = 0 | elem 3 |
//    +------+------+---+---+--------+--------+-----+--------+   +------+--------+     +----------+--------+
//                      +--------------------------------------->   a link is (index + 1) | gen << 32; index + 1 = 0 ends
//
// An element is its gen, its key at once behind it, and, 8-aligned, its value or values (per CPU, one after another). A key's hash
// names its bucket and a tag. Byte i of `tags` is the tag of local element i, or 0 where that is free: so a look at one line tells
// where the key can be, and the element stands within reach of the same page, mostly at an address that could be fetched beforehand.
// LOCAL_LIVE local elements may be live, so an update of a present one always finds a free place beside it. What is more goes into
// the bucket's chain. Elements above MAX_LOCAL_SIZE all do: there memory counts more than lines.
//
// A pool element is in exactly one of four places: a chain, the free list, a slot's spare, or in the hand of the one slot whose intent
// names it. The pool has max_entries + MAX_RUN_SLOTS elements: the free list begins with elements 0..max_entries-1, slot s's spare is
// element max_entries + s. The spare is what the slot puts in the place of a chained element that it replaces. PERCPU_HASH updates
// present keys in place, as Linux does, and has no spares. Never-used memory is never touched: a zero free link means "the element
// behind me"; iteration looks at buckets whose bit in the summary is set.
//
// Invariants
//  1. A bucket changes only under its lock, by one store: of `tags` (a local insert sets a byte, an erase clears one, a replacement
//     does both at once), or of a link (a new head, the replacement in the old element's place, past the erased one). So it is whole
//     at every instruction. A key that stays moves between local elements only, or not at all: its chain never changes its order.
//  2. An element's gen grows before anything else of it is written for reuse (fill) or for the free list (push). A link carries
//     the gen of the element it was made for.
//  3. Readers take no lock. Local elements: tags, then gen, then tags again, key, gen again. The gen has not moved, so it was the
//     element's when `tags` was read the second time and said that it was live: the key was read of a live element. Nothing
//     found: either no tag was the key's when `tags` was read, or all elements with that tag (each was live with its gen when `tags`
//     was read the second time: else the gen may be of a fill that had only begun) still have their gens after `tags` was seen to be
//     as at first: then at that instant the key was in none. Else the walk starts again.
//     Chains: read an element through a link, then look that its gen is still the link's. If so, all that was read was of that
//     incarnation, which was in this chain, and its `next` led, when it was unlinked at the latest, to everything behind it. If
//     not, the walk starts again. So a key that stays is never missed.
//  4. The live count and the free list are words that also say which slot made them and with which tag (TaggedWord). Who changes
//     one that another slot made first notes that tag in the maker's HtabSlot. So it can be told of a dead slot whether its last
//     change took place: its tag stands in the word or in its HtabSlot.
//  5. The count is raised before an element becomes live and lowered after it is no longer. From before the one to after the other
//     the slot's intent names the element and the operation. It also does while a pool element is in nobody's list. The intent is
//     cleared before the bucket lock is given back. A dead slot's bucket is locked until its recovery is over (see shm/slot.h), so
//     recovery finds it as the slot left it. A replacement among local elements needs no intent.
//  6. A bucket's summary bit is set before its first element is live, and stays.
//  7. Nothing read from RAM is used as an index unchecked, and every walk has a budget.
//
// Lock order: one bucket lock at a time; inside it at most one value lock (special_fields.h).
#pragma once
#include "base/atomic.h"
#include "maps/hash_key.h"
#include "maps/hash_layout.h"  // links
#include "maps/map_ops.h"

namespace skep {

/// The key stands at once behind it.
struct HtabElem {
  u32 gen;
};
/// An element of the pool.
struct HtabNode {
  u64 next;  ///< chain: link; free list: free link
  HtabElem elem;
};
static_assert(sizeof(HtabElem) == 4 && __builtin_offsetof(HtabNode, elem) == 8);

struct HtabBucket {
  RobustLock lock;
  u64 tags;
  u64 chain;
};
static_assert(sizeof(HtabBucket) == 24);

constexpr u32 LOCAL_ELEMS = 7, LOCAL_LIVE = LOCAL_ELEMS - 1;
constexpr u32 MAX_LOCAL_SIZE = 96;  ///< of an element
/// Nine elements for two buckets: then 7% of them are chained, and no more than that for long.
constexpr u64 LOCAL_LOAD_NUM = 9, LOCAL_LOAD_DEN = 2;

/// What belongs to one run slot in one map. Own cache line: only the noted tags are ever written by others.
struct alignas(64) HtabSlot {
  u32 spare;       ///< index + 1; 0 = the first spare, element max_entries + slot
  u32 free_tag;    ///< invariant 4: of free_head
  u32 live_tag;    ///< invariant 4: of live
};

struct HtabState {
  alignas(64) u64 live;       ///< TaggedWord
  alignas(64) u64 free_head;  ///< TaggedWord: index + 1 of the top, 0 = empty
  HtabSlot slots[MAX_RUN_SLOTS];
};
static_assert(sizeof(HtabState) % 64 == 0);

/// A number that slots change by compare-exchange: it, slot index + 1 of whoever stored it (0 = init), and a tag that grows by one with
/// every change, which makes the compare-exchange safe against reuse.
struct TaggedWord {
  static constexpr u32 VALUE_BITS = 28, SLOT_BITS = 10, TAG_BITS = 26;
  static constexpr u32 TAG_MASK = (1u << TAG_BITS) - 1;
  u32 value, slot1, tag;

  static constexpr TaggedWord unpack(u64 word) noexcept {
    return {static_cast<u32>(word) & ((1u << VALUE_BITS) - 1), static_cast<u32>(word >> VALUE_BITS) & ((1u << SLOT_BITS) - 1),
            static_cast<u32>(word >> (VALUE_BITS + SLOT_BITS))};
  }
  constexpr u64 pack() const noexcept {
    return value | static_cast<u64>(slot1) << VALUE_BITS | static_cast<u64>(tag & TAG_MASK) << (VALUE_BITS + SLOT_BITS);
  }
};
static_assert(TaggedWord::VALUE_BITS + TaggedWord::SLOT_BITS + TaggedWord::TAG_BITS == 64);
static_assert(MAX_RUN_SLOTS < (1u << TaggedWord::SLOT_BITS));

/// Bytes from bucket to bucket: whole lines where there are local elements.
constexpr u64 bucket_bytes(u32 elem_size) noexcept {
  return elem_size <= MAX_LOCAL_SIZE ? round_up<u64>(sizeof(HtabBucket) + u64{LOCAL_ELEMS} * elem_size, 64) : 32;
}
constexpr u64 node_bytes(u32 elem_size) noexcept { return u64{elem_size} + __builtin_offsetof(HtabNode, elem); }

/// A map's RAM through its descriptor: every access is made of ROM geometry and a checked index.
struct Htab {
  MapDesc* desc;

  HtabState* state() const noexcept { return static_cast<HtabState*>(desc->state); }
  bool has_local() const noexcept { return desc->elem_size <= MAX_LOCAL_SIZE; }
  /// REQUIRES: index < n_buckets.
  HtabBucket* bucket_at(u32 index) const noexcept {
    return reinterpret_cast<HtabBucket*>(static_cast<u8*>(desc->buckets) + index * bucket_bytes(desc->elem_size));
  }
  HtabBucket* bucket(KeyHash h) const noexcept { return bucket_at(h.bucket(desc->n_buckets)); }
  /// REQUIRES: i < LOCAL_ELEMS, has_local().
  HtabElem* local(HtabBucket* b, u32 i) const noexcept {
    return reinterpret_cast<HtabElem*>(reinterpret_cast<u8*>(b + 1) + u64{i} * desc->elem_size);
  }
  /// Null: no such element.
  HtabNode* node(u32 index1) const noexcept {
    if (index1 - 1 >= desc->n_elems) return nullptr;
    return reinterpret_cast<HtabNode*>(desc->elems + (index1 - 1) * node_bytes(desc->elem_size));
  }
  u64* summary_word(u32 bucket) const noexcept { return reinterpret_cast<u64*>(state() + 1) + bucket / 64; }
  static u64 summary_words(u64 n_buckets) noexcept { return (n_buckets + 63) / 64; }

  u8* key(HtabElem* e) const noexcept { return reinterpret_cast<u8*>(e) + sizeof(HtabElem); }
  const u8* key(const HtabElem* e) const noexcept { return reinterpret_cast<const u8*>(e) + sizeof(HtabElem); }
  u8* value(HtabElem* e) const noexcept { return reinterpret_cast<u8*>(e) + desc->elem_value_off; }
  bool per_cpu() const noexcept { return desc->type == BPF_MAP_TYPE_PERCPU_HASH; }
  template <u32 K = 0>
  KeyHash hash(const void* k) const noexcept { return key_hash<K>(k, desc->key_size, desc->hash_seed); }
  /// Steps that all walks of one operation may take together: twice every element, for chains, and some for restarts.
  u64 walk_budget() const noexcept { return 2 * static_cast<u64>(desc->n_elems) + 4096; }
};

constexpr u64 TAG_HIGH_BITS = 0x0080808080808080ULL;  ///< of LOCAL_ELEMS bytes
/// The high bit of each byte of `tags` that is `tag`.
constexpr u64 tags_equal(u64 tags, u32 tag) noexcept {
  constexpr u64 low7 = 0x7f7f7f7f7f7f7f7fULL;
  const u64 x = tags ^ tag * 0x0101010101010101ULL;
  return ~(((x & low7) + low7) | x) & TAG_HIGH_BITS;
}
constexpr u32 tag_index(u64 high_bits) noexcept { return static_cast<u32>(__builtin_ctzll(high_bits)) / 8; }
constexpr u64 tag_byte(u32 i) noexcept { return 0xffULL << (8 * i); }
constexpr u64 tags_free(u64 tags) noexcept { return tags_equal(tags, 0); }

}  // namespace skep
