// maps: the changes of a hash map, and what puts them right when their maker has died. See htab_layout.h.
#pragma once
#include "maps/hash_find.h"
#include "maps/hash_free.h"
#include "maps/special_fields.h"

namespace skep {

/// A value to store. PERCPU_HASH: one value for `cpu`, or, all_cpus, nr_cpus of them at value_stride.
struct NewValue {
  const void* bytes;
  bool all_cpus;
  u32 cpu;
};

/// Into an element that is live or about to be.
void write_special_value(const Htab& t, HtabElem* e, const NewValue& v, bool is_new) noexcept;
inline void write_value(const Htab& t, HtabElem* e, const NewValue& v, bool is_new) noexcept {
  if (t.desc->fields != nullptr || t.per_cpu()) return write_special_value(t, e, v, is_new);
  copy_value_bytes(t.value(e), v.bytes, t.desc->value_size);
}

/// Makes an element that is nowhere live ready to be; its new gen.
template <u32 K>
inline u32 fill(const Htab& t, HtabElem* e, const void* key, const NewValue& v) noexcept {
  const u32 gen = load_relaxed(&e->gen) + 1;
  store_relaxed(&e->gen, gen);
  order_stores();
  copy_key_bytes<K>(t.key(e), key, t.desc->key_size);
  write_value(t, e, v, true);
  return gen;
}

/// REQUIRES of all: the bucket is `h`'s, and locked by the slot.

/// The key is absent. -E2BIG when max_entries are live.
template <u32 K>
long hash_insert(const HtabWriter& w, HtabBucket* b, const void* key, KeyHash h, const NewValue& value) noexcept;
/// HASH, chained: puts the slot's spare in the place of `old`.
void hash_replace_chained(const HtabWriter& w, const FoundElem& old, const void* key, const NewValue& value) noexcept;
/// HASH, local: fills a free element beside `old` and, by one store, frees `old` and makes that live.
template <u32 K>
inline void hash_replace_local(const Htab& t, HtabBucket* b, const FoundElem& old, const void* key, u32 tag,
                               const NewValue& value) noexcept {
  const u64 tags = load_relaxed(&b->tags);
  const u64 free = tags_free(tags), above = free & ~0ULL << 8 * old.local;
  if (free == 0) return;  // scribbled
  // The next one round, so that an element that was replaced rests as long as can be.
  const u32 i = tag_index(above != 0 ? above : free);
  fill<K>(t, t.local(b, i), key, value);
  store_release(&b->tags, (tags & ~tag_byte(old.local)) | static_cast<u64>(tag) << 8 * i);  // pairs with find_local()
}
void hash_erase(const HtabWriter& w, HtabBucket* b, u32 bucket, const FoundElem& old) noexcept;

/// MapOps::recover.
void hash_recover(const Window& w, MapDesc* desc, RunSlot* slot) noexcept;

}  // namespace skep
