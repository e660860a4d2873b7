// maps: the operations of programs on a hash map, for each size of key. See htab_layout.h. K: the key's size (4, 8, 16), or 0.
#pragma once
#include <cerrno>

#include "maps/hash_write.h"

namespace skep {

/// A bucket's lock for as long as this lives. REQUIRES before the end of it: the intent is cleared.
class LockedBucket {
 public:
  LockedBucket(const OpCtx& ctx, HtabBucket* b) noexcept : lock_(&b->lock), held_(take(ctx, &b->lock)) {}
  ~LockedBucket() {
    if (held_) robust_unlock(lock_);
  }
  LockedBucket(const LockedBucket&) = delete;
  LockedBucket& operator=(const LockedBucket&) = delete;
  /// False: another live run holds it. Linux: hashtab.c:htab_lock_bucket() answers -EBUSY for that.
  bool held() const noexcept { return held_; }

 private:
  /// At the first try, mostly.
  static bool take(const OpCtx& ctx, RobustLock* lock) noexcept {
    u64 expected = 0;
    return compare_exchange(&lock->word, expected, slot_lock_word(ctx.window, ctx.slot)) || robust_trylock(ctx.window, lock, ctx.slot);
  }

  RobustLock* lock_;
  bool held_;
};

/// Fetches what lies behind a bucket's first line, while that is on its way. (__builtin_prefetch() is nothing where a compiler may use
/// general registers only.)
inline void fetch_locals(const Htab& t, const HtabBucket* b) noexcept {
  if (!t.has_local()) return;
  const u8* p = reinterpret_cast<const u8*>(b);
  asm volatile("prefetcht0 %0\n\tprefetcht0 %1" : : "m"(p[64]), "m"(p[128]));
}

/// What is neither a hit nor a miss at first sight.
template <u32 K>
[[gnu::noinline]] u8* hash_lookup_slow(MapDesc* desc, const void* key) noexcept {
  const Htab t{desc};
  SeenHtabElem seen;
  u64 budget = t.walk_budget();
  return find<K>(t, key, t.hash<K>(key), &seen, &budget) == Walk::Found ? t.value(seen.elem) : nullptr;
}

/// Address of the value (per CPU: of the first CPU's), or null. As find(), where the first local element that may be it is it.
template <u32 K>
inline u8* hash_lookup_value(MapDesc* desc, const void* key) noexcept {
  const Htab t{desc};
  if (!t.has_local()) return hash_lookup_slow<K>(desc, key);
  const KeyHash h = t.hash<K>(key);
  HtabBucket* b = t.bucket(h);
  fetch_locals(t, b);
  const u64 hits = tags_equal(load_acquire(&b->tags), h.tag());
  if (hits == 0) return load_acquire(&b->chain) == 0 ? nullptr : hash_lookup_slow<K>(desc, key);
  const u32 i = tag_index(hits);
  HtabElem* e = t.local(b, i);
  const u32 gen = load_acquire(&e->gen);
  const bool live = load_acquire(reinterpret_cast<const u8*>(&b->tags) + i) == h.tag();
  if (live && same_key_bytes<K>(t.key(e), key, desc->key_size) && still_same(e, gen)) [[likely]] return t.value(e);
  return hash_lookup_slow<K>(desc, key);
}

/// BPF_F_LOCK on a present key: into the element, under the value's lock.
long hash_put_in_place(const OpCtx& ctx, const Htab& t, const FoundElem& old, const NewValue& value) noexcept;

/// Linux: hashtab.c:htab_map_update_elem(), __htab_percpu_map_update_elem(): flags, bucket, check_flags(), space.
template <u32 K>
long hash_put(const OpCtx& ctx, MapDesc* desc, const void* key, const NewValue& value, u64 flags) noexcept {
  const u64 plain = flags & ~BPF_F_LOCK;
  if (plain > BPF_EXIST || (plain != flags && !has_spin_lock(*desc))) return -EINVAL;
  const Htab t{desc};
  const KeyHash h = t.hash<K>(key);
  HtabBucket* b = t.bucket(h);
  fetch_locals(t, b);
  const LockedBucket bucket(ctx, b);
  if (!bucket.held()) return -EBUSY;
  const FoundElem old = find_locked<K>(t, b, key, h.tag());
  if (old.elem == nullptr) return plain == BPF_EXIST ? -ENOENT : hash_insert<K>({ctx.window, desc, ctx.slot}, b, key, h, value);
  if (plain == BPF_NOEXIST) return -EEXIST;
  if (plain != flags) return hash_put_in_place(ctx, t, old, value);
  if (t.per_cpu()) {
    write_value(t, old.elem, value, false);
  } else if (old.local != CHAINED) {
    hash_replace_local<K>(t, b, old, key, h.tag(), value);
  } else {
    hash_replace_chained({ctx.window, desc, ctx.slot}, old, key, value);
  }
  return 0;
}

template <u32 K>
long hash_delete(const OpCtx& ctx, MapDesc* desc, const void* key) noexcept {
  const Htab t{desc};
  const KeyHash h = t.hash<K>(key);
  HtabBucket* b = t.bucket(h);
  fetch_locals(t, b);
  const LockedBucket bucket(ctx, b);
  if (!bucket.held()) return -EBUSY;
  const FoundElem old = find_locked<K>(t, b, key, h.tag());
  if (old.elem == nullptr) return -ENOENT;
  hash_erase({ctx.window, desc, ctx.slot}, b, h.bucket(desc->n_buckets), old);
  return 0;
}

}  // namespace skep
