#include "maps/hash_batch.h"

#include <cerrno>

#include "maps/hash_op.h"

namespace skep {
namespace {

/// Elements of a chain under its lock. A chain that does not end is scribbled over: it counts as far as the map can have elements.
u32 chain_length(const HashTable& t, const HashBucket& bucket) noexcept {
  u32 n = 0;
  for (u64 link = load_acquire(&bucket.head); link_index1(link) != 0 && n < t.desc->n_elems; ++n) {
    const HashElem* e = t.elem(link_index1(link));
    if (e == nullptr) break;
    link = load_acquire(&e->next);
  }
  return n;
}

/// Of any hash map. -EBUSY when `flags` ask for the value's lock and it is not to be had.
template <typename Table, typename Elem>
long copy_value_out(const OpCtx& ctx, const Table& t, Elem* e, u8* to, u64 flags) noexcept {
  const MapDesc& d = *t.desc;
  if (t.per_cpu()) {
    for (u64 at = 0; at < u64{d.value_stride} * d.nr_cpus; at += d.value_stride) show_map_value(d, to + at, t.value(e) + at, d.value_stride);
    return 0;
  }
  if ((flags & BPF_F_LOCK) == 0) {
    show_map_value(d, to, t.value(e), d.value_size);
    return 0;
  }
  const LockedValue lock(ctx, d, t.value(e));
  if (!lock.held()) return -EBUSY;
  show_map_value(d, to, t.value(e), d.value_size);
  return 0;
}

long copy_chain(const OpCtx& ctx, const HashTable& t, const HashBucket& bucket, u64 flags, const BucketCopy& out) noexcept {
  const u64 key_size = t.desc->key_size, value_size = t.per_cpu() ? u64{t.desc->value_stride} * t.desc->nr_cpus : t.desc->value_size;
  u64 link = load_acquire(&bucket.head);
  for (u32 i = 0; i < out.count; ++i) {
    HashElem* e = t.elem(link_index1(link));
    if (e == nullptr) return -EBUSY;  // scribbled over since it was counted
    copy_bytes(out.keys + i * key_size, t.key(e), key_size);
    if (const long err = copy_value_out(ctx, t, e, out.values + i * value_size, flags); err != 0) return err;
    link = load_acquire(&e->next);
  }
  return 0;
}

/// A kind that cannot erase many under one lock: the elements that were copied are taken one by one. One that has gone meanwhile is left
/// out, and one that has changed is taken as it is then.
long take_each(const OpCtx& ctx, MapDesc* desc, BucketCopy* out) noexcept {
  const MapOps* ops = map_ops(desc->type);
  const u64 key_size = desc->key_size, value_size = map_syscall_value_size(*desc);
  const u32 n = out->count;
  out->count = 0;
  for (u32 i = 0; i < n; ++i) {
    u8* key = out->keys + out->count * key_size;
    if (i != out->count) copy_bytes(key, out->keys + i * key_size, key_size);
    const long err = ops->take_value(ctx, desc, key, out->values + out->count * value_size, 0);
    if (err != 0 && err != -ENOENT) return out->count != 0 ? 0 : err;
    if (err == 0) ++out->count;
  }
  return 0;
}

long copy_elems(const OpCtx& ctx, const Htab& t, HtabBucket* bucket, u64 flags, BucketCopy* out) noexcept {
  const u64 key_size = t.desc->key_size, value_size = t.per_cpu() ? u64{t.desc->value_stride} * t.desc->nr_cpus : t.desc->value_size;
  u32 copied = 0;
  long err = 0;
  each_locked(t, bucket, [&](const FoundElem& e) {
    if (err != 0 || copied == out->count) return;  // the latter: scribbled over since they were counted
    copy_bytes(out->keys + copied * key_size, t.key(e.elem), key_size);
    err = copy_value_out(ctx, t, e.elem, out->values + copied * value_size, flags);
    ++copied;
  });
  return err != 0 ? err : copied == out->count ? 0 : -EBUSY;
}

/// HASH and PERCPU_HASH.
long copy_bucket(const OpCtx& ctx, MapDesc* desc, u32 position, u64 flags, bool erase, BucketCopy* out) noexcept {
  const Htab t{desc};
  HtabBucket* b = t.bucket_at(position);
  // Linux: __htab_map_lookup_and_delete_batch(): an empty bucket is not locked. One that was never used is not even looked at.
  if ((load_acquire(t.summary_word(position)) >> position % 64 & 1) == 0) return 0;
  if (load_acquire(&b->tags) == 0 && load_acquire(&b->chain) == 0) return 0;
  const LockedBucket bucket(ctx, b);
  if (!bucket.held()) return -EBUSY;
  each_locked(t, b, [&](const FoundElem&) { ++out->count; });
  if (out->count > out->room) return 0;
  if (const long err = copy_elems(ctx, t, b, flags, out); err != 0) return err;
  if (!erase) return 0;
  const HtabWriter w(ctx.window, desc, ctx.slot);
  each_locked(t, b, [&](const FoundElem& e) { hash_erase(w, b, position, e); });
  return 0;
}

/// Maps that evict.
long copy_chained_bucket(const OpCtx& ctx, MapDesc* desc, u32 position, u64 flags, bool erase, BucketCopy* out) noexcept {
  const HashTable t{desc};
  HashBucket* bucket = t.bucket(position);
  if (link_index1(load_acquire(&bucket->head)) == 0) return 0;
  if (!robust_trylock(ctx.window, &bucket->lock, ctx.slot)) return -EBUSY;
  out->count = chain_length(t, *bucket);
  const long err = out->count <= out->room ? copy_chain(ctx, t, *bucket, flags, *out) : 0;
  robust_unlock(&bucket->lock);
  return err == 0 && erase && out->count <= out->room ? take_each(ctx, desc, out) : err;
}

}  // namespace

u32 hash_batch_positions(const MapDesc& desc) noexcept {
  switch (desc.type) {
    case BPF_MAP_TYPE_HASH:
    case BPF_MAP_TYPE_PERCPU_HASH:
    case BPF_MAP_TYPE_LRU_HASH:
    case BPF_MAP_TYPE_LRU_PERCPU_HASH: return desc.n_buckets;
    default: return 0;
  }
}

long hash_copy_bucket(const OpCtx& ctx, MapDesc* desc, u32 position, u64 flags, bool erase, BucketCopy* out) noexcept {
  out->count = 0;
  const bool evicts = desc->type == BPF_MAP_TYPE_LRU_HASH || desc->type == BPF_MAP_TYPE_LRU_PERCPU_HASH;
  return evicts ? copy_chained_bucket(ctx, desc, position, flags, erase, out) : copy_bucket(ctx, desc, position, flags, erase, out);
}

}  // namespace skep
