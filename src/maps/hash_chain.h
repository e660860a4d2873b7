// maps: walks over hash chains. See hash_layout.h.
#pragma once
#include "maps/hash_layout.h"

namespace skep {

enum class Walk : u8 { Found, Absent, GaveUp };

/// An element as a reader without a lock saw it, in the incarnation `gen`.
struct SeenElem {
  HashElem* elem;
  u32 gen;
  u64 next;
};
/// True when what was read of the element before this call was of that incarnation (invariant 3).
inline bool still_same(const HashElem* e, u32 gen) noexcept {
  order_loads();
  return load_relaxed(&e->gen) == gen;
}

/// Without a lock. Takes its steps from *budget; GaveUp when they are used up.
Walk find(const HashTable& t, const void* key, u32 hash, SeenElem* out, u64* budget) noexcept;

/// An element and the link that leads to it. The link is null when there is none.
struct LinkedElem {
  u64* link;
  HashElem* elem;
  u32 index1;
};
/// REQUIRES: the caller holds the bucket's lock, or recovers who does.
LinkedElem find_locked(const HashTable& t, const void* key, u32 hash) noexcept;
/// The element `index1` itself, in the chain of the bucket its hash names. REQUIRES: as above.
LinkedElem find_linked(const HashTable& t, u32 index1) noexcept;

}  // namespace skep
