// maps: what an LPM trie's RAM looks like, and the rules that keep it whole.
//
//   desc->state    LpmState: the writers' lock, the root, counts, the change in hand
//   desc->buckets  LpmEntry[n_buckets]: the top of the trie, for lookups: one entry for each value of a key's first bits
//   behind them    n_elems nodes (LpmNode and the prefix's bytes), then the queue of free nodes
//   desc->elems    n_elems values: the value of node i is value i
//
// A trie as Linux has it: each node stands for a prefix, its children for longer ones, chosen by the first bit behind it; nodes
// without a value ("im") stand where two prefixes part. A link says which node, of which incarnation, and how long its prefix is.
//
//      root --> 10.0.0.0/8 --0--> im 10.0.0.0/14 --0--> 10.1.0.0/16          entry of 10.*: exit = the first link on the way down
//                                               \--1--> 10.2.0.0/16                that is longer than `bits`; best = the longest
//                                                                                  node with a value that is shorter
//
// Invariants
//  1. What a node stands for, and its value's owner, stay as they are for a node's incarnation (gen). Only its children change, by one
//     store each, and `im` may be set (its value is gone). An update of a present key puts a new node into the old one's place, so that
//     who holds the old value keeps it.
//  2. A node that is put to use gets a new gen before anything else of it is written. A node that is taken out stays as it is until
//     then, and waits behind at least LPM_REST others: readers inside it go on, and are led to everything that stays.
//  3. Readers take no lock: they read a node through a link, then look that its gen is still the link's; if not, they start again.
//     Links grow longer at every step, so walks end.
//  4. `exit` and `best` are each other's alternatives: a change of a prefix of at least `bits` bits changes at most the exit of one
//     entry, a change of a shorter one only the best of a row of entries. Lookups read `best` first: what is found on the way down is
//     never older than it.
//  5. Writers hold the lock. All that a change does is written down in `change` first (new nodes are filled in while they still count
//     as free); then the slot's intent names the map: the change has happened. Then it is carried out: plain stores that may be done
//     again. A dead slot's recovery does them again; the lock stays locked until it is over (see shm/slot.h).
//  6. Nothing read from RAM is used as an index unchecked.
//
// Lock order: the trie's lock is a leaf.
#pragma once
#include "base/atomic.h"
#include "base/bytes.h"
#include "maps/map_ops.h"

namespace skep {

/// Nodes that rest before the oldest of them is used again.
constexpr u32 LPM_REST = 64;
/// Most first bits that have entries: /0 changes all of them.
constexpr u32 LPM_MAX_TOP_BITS = 16;
constexpr u32 LPM_PREFIX = 4;  ///< of a key: prefixlen, native byte order; then the data. Linux: struct bpf_lpm_trie_key_u8

struct LpmNode {
  u64 child[2];
  u64 tag;  ///< gen, and `im`
};
static_assert(sizeof(LpmNode) == 24);
constexpr u64 LPM_IM = 1ULL << 63;

struct LpmEntry {
  u64 exit, best;
};

/// A link: index + 1 (0: none), length of the prefix, gen.
constexpr u32 LPM_INDEX_BITS = 28, LPM_LEN_BITS = 12, LPM_GEN_BITS = 24;
constexpr u64 LPM_GEN_MASK = (1ULL << LPM_GEN_BITS) - 1;
static_assert(LPM_INDEX_BITS + LPM_LEN_BITS + LPM_GEN_BITS == 64);
constexpr u64 lpm_link(u32 index1, u32 len, u64 gen) noexcept {
  return index1 | static_cast<u64>(len) << LPM_INDEX_BITS | gen << (LPM_INDEX_BITS + LPM_LEN_BITS);
}
constexpr u32 lpm_index1(u64 link) noexcept { return static_cast<u32>(link) & ((1u << LPM_INDEX_BITS) - 1); }
constexpr u32 lpm_len(u64 link) noexcept { return static_cast<u32>(link >> LPM_INDEX_BITS) & ((1u << LPM_LEN_BITS) - 1); }
constexpr u64 lpm_gen(u64 link) noexcept { return link >> (LPM_INDEX_BITS + LPM_LEN_BITS); }

/// Where a link stands: index + 1 of the node and which child, or the root.
using LpmPlace = u32;
constexpr LpmPlace LPM_ROOT = 0, LPM_NOWHERE = 1;
constexpr LpmPlace lpm_child_place(u32 index1, u32 bit) noexcept { return index1 << 1 | bit; }

enum class LpmTop : u32 {
  Keep,     ///< no entry changes
  Exit,     ///< entry `first`: its exit becomes top_link
  Best,     ///< entries first..last: where the best is no longer than top_len, it becomes top_link
  Replace,  ///< entries first..last: where the best is as long as top_len, it becomes top_link
};

/// All that one change does (invariant 5).
struct LpmChange {
  u64 link;        ///< the new link at `place`
  u64 top_link;
  LpmPlace place;
  u32 mark;        ///< index + 1 of the node that becomes im; 0: none
  u32 freed[2];    ///< index + 1; 0: none
  LpmTop top;
  u32 top_len, first, last;
  u32 entries, free_at, free_count, fresh;  ///< LpmState's, after it
};
static_assert(sizeof(LpmChange) == 64);

struct LpmState {
  RobustLock lock;
  u64 root;
  u32 entries;     ///< prefixes with a value
  u32 free_at;     ///< queue of free nodes: where the oldest stands
  u32 free_count;
  u32 fresh;       ///< nodes from here on were never used
  u64 pad[4];
  LpmChange change;
};
static_assert(sizeof(LpmState) == 128);

inline u32 lpm_data_size(const MapDesc& d) noexcept { return d.key_size - LPM_PREFIX; }
/// No node of short data lies in two cache lines.
constexpr u32 lpm_node_size(u32 data_size) noexcept {
  const u32 bytes = static_cast<u32>(sizeof(LpmNode)) + data_size;
  return bytes <= 32 ? 32 : (bytes + 63) / 64 * 64;
}
/// Bytes from desc->ram to each part.
inline u64 lpm_nodes_at(u32 n_buckets) noexcept { return (sizeof(LpmState) + n_buckets * sizeof(LpmEntry) + 63) / 64 * 64; }

/// A trie's RAM through its descriptor: every access is made of ROM geometry and a checked index.
struct LpmTrie {
  MapDesc* desc;
  u8* nodes;
  u32 node_size;

  explicit LpmTrie(MapDesc* d, u32 size) noexcept : desc(d), nodes(d->ram + lpm_nodes_at(d->n_buckets)), node_size(size) {}
  explicit LpmTrie(MapDesc* d) noexcept : LpmTrie(d, lpm_node_size(lpm_data_size(*d))) {}

  LpmState* state() const noexcept { return static_cast<LpmState*>(desc->state); }
  LpmEntry* entry(u32 i) const noexcept { return static_cast<LpmEntry*>(desc->buckets) + (i & (desc->n_buckets - 1)); }
  u32 top_bits() const noexcept { return static_cast<u32>(__builtin_ctz(desc->n_buckets)); }
  u32 max_len() const noexcept { return lpm_data_size(*desc) * 8; }
  u32* queue() const noexcept { return reinterpret_cast<u32*>(nodes + static_cast<u64>(desc->n_elems) * node_size); }
  /// Null: no such node.
  LpmNode* node(u32 index1) const noexcept {
    if (index1 - 1 >= desc->n_elems) return nullptr;
    return reinterpret_cast<LpmNode*>(nodes + static_cast<u64>(index1 - 1) * node_size);
  }
  u8* data(LpmNode* n) const noexcept { return reinterpret_cast<u8*>(n) + sizeof(LpmNode); }
  const u8* data(const LpmNode* n) const noexcept { return reinterpret_cast<const u8*>(n) + sizeof(LpmNode); }
  /// REQUIRES: node(index1) is not null.
  u8* value(u32 index1) const noexcept { return desc->elems + static_cast<u64>(index1 - 1) * desc->elem_size; }
  u64* place(LpmPlace p) const noexcept {
    if (p == LPM_ROOT) return &state()->root;
    LpmNode* n = node(p >> 1);
    return n != nullptr ? &n->child[p & 1] : nullptr;
  }
};

/// The tag of a node as a reader saw it, after what it read of the node, says whether that was of the link's incarnation.
inline bool lpm_same(u64 tag, u64 link) noexcept { return (tag & LPM_GEN_MASK) == lpm_gen(link); }

inline u32 lpm_key_len(const void* key) noexcept {
  u32 len;
  __builtin_memcpy(&len, key, 4);
  return len;
}
inline const u8* lpm_key_data(const void* key) noexcept { return static_cast<const u8*>(key) + LPM_PREFIX; }

inline u64 lpm_load64(const u8* p) noexcept {
  u64 w;
  __builtin_memcpy(&w, p, 8);
  return __builtin_bswap64(w);
}
inline u32 lpm_load32(const u8* p) noexcept {
  u32 w;
  __builtin_memcpy(&w, p, 4);
  return __builtin_bswap32(w);
}
inline u32 lpm_bit(const u8* data, u32 i) noexcept { return data[i / 8] >> (7 - i % 8) & 1; }

}  // namespace skep
