// maps: where a key stands in a hash map, with and without the lock. See htab_layout.h. K: the key's size (4, 8, 16), or 0.
#pragma once
#include "maps/hash_chain.h"
#include "maps/htab_layout.h"
#include "maps/key_bytes.h"

namespace skep {

enum class Step : u8 { Found, Absent, Again };

/// An element as a reader without a lock saw it, in the incarnation `gen`.
struct SeenHtabElem {
  HtabElem* elem;
  u32 gen;
};
/// True when what was read of the element before this call was of that incarnation (invariant 3).
inline bool still_same(const HtabElem* e, u32 gen) noexcept {
  order_loads();
  return load_relaxed(&e->gen) == gen;
}

/// True when local element i still has its tag of `tags`: then a gen that was read of it before this call is a live element's.
inline bool still_tagged(HtabBucket* b, u64 tags, u32 i) noexcept {
  return ((load_acquire(&b->tags) ^ tags) & tag_byte(i)) == 0;
}

/// Nothing found among local elements whose tags are the key's: true when it was so at one instant (invariant 3). REQUIRES: each gen was
/// read of a live element (still_tagged()), and its key after that.
inline bool absent_for_sure(const Htab& t, HtabBucket* b, u64 tags, u64 hits, u32 gens) noexcept {
  order_loads();
  if (load_acquire(&b->tags) != tags) return false;
  for (; hits != 0; hits &= hits - 1) gens -= load_relaxed(&t.local(b, tag_index(hits))->gen);
  return gens == 0;  // gens only grow
}

template <u32 K>
inline Step find_local(const Htab& t, HtabBucket* b, const void* key, u32 tag, SeenHtabElem* out) noexcept {
  const u64 tags = load_acquire(&b->tags);
  const u64 hits = tags_equal(tags, tag);
  u32 gens = 0;
  for (u64 left = hits; left != 0; left &= left - 1) {
    HtabElem* e = t.local(b, tag_index(left));
    const u32 gen = load_acquire(&e->gen);
    // Not live any more: the gen may be of a fill that has only begun, and the key no one's.
    if (!still_tagged(b, tags, tag_index(left))) return Step::Again;
    if (!same_key_bytes<K>(t.key(e), key, t.desc->key_size)) {
      gens += gen;
      continue;
    }
    if (!still_same(e, gen)) return Step::Again;
    *out = {e, gen};
    return Step::Found;
  }
  return hits == 0 || absent_for_sure(t, b, tags, hits, gens) ? Step::Absent : Step::Again;
}

/// One walk of a chain, up to the first sign that an element was recycled under it.
Step find_chained(const Htab& t, const HtabBucket* b, const void* key, SeenHtabElem* out, u64* budget) noexcept;

/// Without a lock. Takes its steps from *budget; GaveUp when they are used up.
template <u32 K>
inline Walk find(const Htab& t, const void* key, KeyHash h, SeenHtabElem* out, u64* budget) noexcept {
  HtabBucket* b = t.bucket(h);
  for (; *budget > 0; --*budget) {
    Step step = t.has_local() ? find_local<K>(t, b, key, h.tag(), out) : Step::Absent;
    if (step == Step::Absent && load_acquire(&b->chain) != 0) step = find_chained(t, b, key, out, budget);
    if (step != Step::Again) return step == Step::Found ? Walk::Found : Walk::Absent;
    if (*budget == 0) break;
  }
  return Walk::GaveUp;
}

constexpr u32 CHAINED = LOCAL_ELEMS;  ///< FoundElem::local of an element in the chain

/// An element under its bucket's lock. `elem` null: there is none.
struct FoundElem {
  HtabElem* elem;
  u32 local;   ///< which local element, or CHAINED:
  u32 index1;  ///< of the pool
  u64* link;   ///< that leads to it
};
/// REQUIRES of all: the caller holds the bucket's lock, or recovers who does.
FoundElem find_chained_locked(const Htab& t, HtabBucket* b, const void* key) noexcept;
/// The pool element `index1` itself, in the chain of the bucket its key names.
FoundElem find_linked(const Htab& t, u32 index1) noexcept;

/// Calls f(FoundElem) for each element of a bucket. f may erase what it is given. A chain that does not end is scribbled over: it
/// goes on for as long as the map can have elements.
template <typename F>
inline void each_locked(const Htab& t, HtabBucket* b, F&& f) noexcept {
  const u64 tags = t.has_local() ? load_relaxed(&b->tags) : 0;
  for (u64 left = ~tags_free(tags) & TAG_HIGH_BITS; left != 0; left &= left - 1) {
    const u32 i = tag_index(left);
    f(FoundElem{t.local(b, i), i, 0, nullptr});
  }
  u64* link = &b->chain;
  for (u32 budget = t.desc->n_elems; budget != 0; --budget) {
    const u64 at = load_acquire(link);
    HtabNode* n = t.node(link_index1(at));
    if (n == nullptr) return;
    f(FoundElem{&n->elem, CHAINED, link_index1(at), link});
    if (load_acquire(link) == at) link = &n->next;
  }
}

template <u32 K>
inline FoundElem find_locked(const Htab& t, HtabBucket* b, const void* key, u32 tag) noexcept {
  u64 left = t.has_local() ? tags_equal(load_relaxed(&b->tags), tag) : 0;
  for (; left != 0; left &= left - 1) {
    const u32 i = tag_index(left);
    HtabElem* e = t.local(b, i);
    if (same_key_bytes<K>(t.key(e), key, t.desc->key_size)) return {e, i, 0, nullptr};
  }
  if (load_relaxed(&b->chain) == 0) return {nullptr, 0, 0, nullptr};
  return find_chained_locked(t, b, key);
}

/// All elements of one bucket, in pieces, without a lock, in no order. A key that stays, and is not updated meanwhile, is among them.
class BucketWalk {
 public:
  BucketWalk(const Htab& t, u32 bucket) noexcept : t_(t), b_(t.bucket_at(bucket)), local_(t.has_local()) {}
  /// Up to `room` (>= LOCAL_ELEMS) elements; 0 at the end. Takes steps from *budget.
  u32 next(SeenHtabElem* out, u32 room, u64* budget) noexcept;

 private:
  Htab t_;
  HtabBucket* b_;
  bool local_, begun_ = false;
  u64 link_ = 0;
};

}  // namespace skep
