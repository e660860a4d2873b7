// maps: the three changes of a hash map, and what puts them right when their maker has died. See hash_layout.h.
#pragma once
#include "maps/hash_chain.h"
#include "maps/hash_free.h"

namespace skep {

/// A value to store. PERCPU_HASH: one value for `cpu`, or, all_cpus, nr_cpus of them at value_stride.
struct NewValue {
  const void* bytes;
  bool all_cpus;
  u32 cpu;
};

/// REQUIRES of all three: the bucket that `hash` names is locked by w.slot.

/// The key is absent. -E2BIG when max_entries are live.
long hash_insert(const HashWriter& w, const void* key, u32 hash, const NewValue& value) noexcept;
/// HASH: puts the slot's spare in the place of `old`. PERCPU_HASH: writes into `old`.
void hash_replace(const HashWriter& w, const LinkedElem& old, const void* key, u32 hash, const NewValue& value) noexcept;
void hash_erase(const HashWriter& w, const LinkedElem& old) noexcept;

/// MapOps::recover.
void hash_recover(const Window& w, MapDesc* desc, RunSlot* slot) noexcept;

}  // namespace skep
