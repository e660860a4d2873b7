// What user space reads of a hash map that evicts, without a lock and without a use mark. Linux: hashtab.c:htab_lru_map_lookup_elem_sys(),
// htab_map_get_next_key()
#include "maps/lru_read.h"

#include <cerrno>

#include "maps/lru_room.h"
#include "maps/special_fields.h"

namespace skep {
namespace {

/// Torn copies of a value that is replaced all the time: after this many, the bucket is locked.
constexpr u32 MAX_COPIES = 64;

/// Copies the key that `link` leads to. False: recycled meanwhile.
bool copy_key(const LruTable& t, u64 link, void* next) noexcept {
  const HashElem* e = t.elem(link_index1(link));
  if (e == nullptr) return false;
  copy_bytes(next, t.key(e), t.desc->key_size);
  return still_same(e, link_gen(link));
}

/// First key in the buckets from `bucket` on.
long first_key_from(const LruTable& t, u64 bucket, void* next, u64* budget) noexcept {
  for (; bucket < t.desc->n_buckets; ++bucket)
    for (;;) {
      const u64 link = load_acquire(&t.bucket(static_cast<u32>(bucket))->head);
      if (link_index1(link) == 0) break;
      if (*budget == 0) return -EBUSY;
      --*budget;
      if (copy_key(t, link, next)) return 0;
    }
  return -ENOENT;
}

}  // namespace

void lru_show_values(const LruTable& t, HashElem* e, void* to) noexcept {
  const MapDesc& d = *t.desc;
  if (!t.per_cpu()) return show_map_value(d, to, t.value(e), d.value_size);
  for (u64 at = 0; at < static_cast<u64>(d.value_stride) * d.nr_cpus; at += d.value_stride)
    show_map_value(d, static_cast<u8*>(to) + at, t.value(e) + at, d.value_stride);
}

long lru_read_value(const OpCtx& ctx, MapDesc* desc, const void* key, void* value, u64 flags) noexcept {
  if (flags != 0) return -EINVAL;
  const LruTable t(desc);
  const u32 hash = lru_hash_of(desc, key);
  u64 budget = t.walk_budget();
  for (u32 i = 0; i < MAX_COPIES; ++i) {
    SeenElem seen;
    const Walk walk = find(t, key, hash, &seen, &budget);
    if (walk == Walk::Absent) return -ENOENT;
    if (walk == Walk::GaveUp) break;
    lru_show_values(t, seen.elem, value);
    if (still_same(seen.elem, seen.gen)) return 0;
  }
  const LruLocked bucket(ctx, &t.bucket(hash)->lock);
  if (!bucket.held()) return -EBUSY;
  const LinkedElem found = find_locked(t, key, hash);
  if (found.link == nullptr) return -ENOENT;
  lru_show_values(t, found.elem, value);
  return 0;
}

long lru_next_key(const OpCtx&, MapDesc* desc, const void* key, void* next) noexcept {
  const LruTable t(desc);
  u64 budget = t.walk_budget();
  if (key == nullptr) return first_key_from(t, 0, next, &budget);
  const u32 hash = lru_hash_of(desc, key);
  for (;;) {
    SeenElem seen;
    const Walk walk = find(t, key, hash, &seen, &budget);
    if (walk == Walk::GaveUp) return -EBUSY;
    if (walk == Walk::Absent) return first_key_from(t, 0, next, &budget);
    if (link_index1(seen.next) == 0) return first_key_from(t, (hash & (desc->n_buckets - 1)) + 1ULL, next, &budget);
    if (copy_key(t, seen.next, next)) return 0;
    if (budget-- == 0) return -EBUSY;
  }
}

bool lru_holds_value(const MapDesc* desc, u64 addr, u64 size) noexcept {
  const u64 off = addr - reinterpret_cast<u64>(desc->elems);
  if (off >= static_cast<u64>(desc->n_elems) * desc->elem_size) return false;
  const u64 in_elem = off % desc->elem_size;
  if (in_elem < desc->elem_value_off) return false;
  const u64 within = (in_elem - desc->elem_value_off) % desc->value_stride;
  return within < desc->value_size && size <= desc->value_size - within;
}

}  // namespace skep
