// LRU_HASH and LRU_PERCPU_HASH. Linux: kernel/bpf/hashtab.c, bpf_lru_list.c. See lru_layout.h.
#include "maps/hash_write.h"
#include "maps/kinds.h"
#include "maps/lru_fast.h"
#include "maps/lru_read.h"
#include "maps/lru_room.h"
#include "maps/special_fields.h"

namespace skep {
namespace {

/// Linux: hashtab.c:htab_map_alloc()
long lru_alloc_check(const MapSpec& s) noexcept {
  if (const long err = hash_alloc_check(s); err != 0) return err;
  return s.max_entries > 1u << 27 ? -E2BIG : 0;  // past that the buckets' size no longer fits 32 bits
}

u32 round_to(u32 entries, u32 cpus) noexcept { return static_cast<u32>((static_cast<u64>(entries) + cpus - 1) / cpus * cpus); }

long lru_layout(const MapSpec& spec, u32 nr_cpus, MapDesc* out) noexcept {
  layout_common(spec, nr_cpus, out);
  // Linux: hashtab.c:htab_map_alloc(): each CPU's own list gets the same share.
  if ((spec.map_flags & BPF_F_NO_COMMON_LRU) != 0) out->max_entries = round_to(spec.max_entries, nr_cpus);
  const bool per_cpu = spec.type == BPF_MAP_TYPE_LRU_PERCPU_HASH;
  out->n_buckets = static_cast<u32>(roundup_pow_of_two(out->max_entries));
  out->n_elems = out->max_entries;
  out->elem_value_off = static_cast<u32>(sizeof(HashElem) + sizeof(LruMark)) + round_up(spec.key_size, 8);
  out->elem_size = out->elem_value_off + out->value_stride * (per_cpu ? nr_cpus : 1);
  const u64 bytes = lru_state_bytes(spec.map_flags, nr_cpus, out->n_elems) + out->n_buckets * sizeof(HashBucket) +
                    static_cast<u64>(out->n_elems) * out->elem_size;
  out->ram_bytes = round_up<u64>(bytes, PAGE_SIZE);
  return out->ram_bytes > RAM_SIZE ? -ENOMEM : 0;
}

void lru_init(const Window&, MapDesc* desc) noexcept {
  if ((desc->map_flags & BPF_F_ZERO_SEED) != 0) desc->hash_seed = 0;
  desc->state = desc->ram;
  u8* buckets = desc->ram + lru_state_bytes(desc->map_flags, desc->nr_cpus, desc->n_elems);
  desc->buckets = buckets;
  desc->elems = buckets + static_cast<u64>(desc->n_buckets) * sizeof(HashBucket);
}

u64 lru_mem_usage(const MapDesc& desc) noexcept { return hash_mem_usage(desc, 0); }

// ---- writing

void put_value(const LruTable& t, u8* to, const NewValue& v) noexcept {
  const MapDesc& d = *t.desc;
  if (!t.per_cpu()) return copy_map_value(d, to, v.bytes, d.value_size);
  if (!v.all_cpus) return copy_map_value(d, to + static_cast<u64>(v.cpu) * d.value_stride, v.bytes, d.value_size);
  for (u64 at = 0; at < static_cast<u64>(d.value_stride) * d.nr_cpus; at += d.value_stride)
    copy_map_value(d, to + at, static_cast<const u8*>(v.bytes) + at, d.value_stride);
}

/// Nobody's values yet. Linux: hashtab.c:pcpu_init_value()
void clear_values(const LruTable& t, u8* values, const NewValue& v) noexcept {
  const MapDesc& d = *t.desc;
  const u64 bytes = static_cast<u64>(d.value_stride) * (t.per_cpu() ? d.nr_cpus : 1);
  if (t.per_cpu() && !v.all_cpus) zero_bytes(values, bytes);
  if (d.fields == nullptr) return;
  for (u64 at = 0; at < bytes; at += d.value_stride) init_special_fields(d, values + at);
}

/// Fills in the pool's front (which still counts as free); returns the link to it. Its `next` is left for when the chain is locked.
u64 fill_front(const LruTable& t, u32 index1, const void* key, u32 hash, const NewValue& v) noexcept {
  HashElem* e = t.elem(index1);
  const u32 gen = load_relaxed(&e->gen) + 1;
  store_relaxed(&e->gen, gen);
  order_stores();  // hash_layout.h, invariant 2
  store_relaxed(&e->hash, hash);
  store_relaxed(&t.mark(e)->used, 0);
  store_relaxed(&t.mark(e)->live, 1);
  copy_bytes(t.key(e), key, t.desc->key_size);
  clear_values(t, t.value(e), v);
  put_value(t, t.value(e), v);
  return link_make(index1, gen);
}

/// Linux: hashtab.c:check_flags()
long check_flags(bool there, u64 flags) noexcept {
  if (there && flags == BPF_NOEXIST) return -EEXIST;
  return !there && flags == BPF_EXIST ? -ENOENT : 0;
}

/// An element is made ready before the bucket is locked, since making room locks others; so a full map makes room even where the key is
/// present. Linux: hashtab.c:htab_lru_map_update_elem(), __htab_lru_percpu_map_update_elem()
long lru_put(const OpCtx& ctx, MapDesc* desc, const void* key, const NewValue& value, u64 flags) noexcept {
  if (flags > BPF_EXIST) return -EINVAL;
  const LruTable t(desc);
  const u32 hash = lru_hash_of(desc, key);
  HashBucket* b = t.bucket(hash);
  asm volatile("prefetcht0 %0" : : "m"(*b));  // needed late, and far away
  const LruHeldPool pool(ctx, t);
  if (!pool.held()) return -EBUSY;
  const LruWriter w(desc, ctx.slot, pool.index());
  const bool in_place = t.per_cpu();
  u32 front = 0;
  if (!in_place || flags != BPF_EXIST)
    if (const long err = lru_fill_pool(ctx, w, &front); err != 0) return err;
  u64 link = in_place ? 0 : fill_front(t, front, key, hash, value);
  const LruLocked bucket(ctx, &b->lock);
  if (!bucket.held()) return -EBUSY;
  const LinkedElem old = find_locked(t, key, hash);
  if (const long err = check_flags(old.link != nullptr, flags); err != 0) return err;
  if (old.link == nullptr) {
    if (in_place) link = fill_front(t, front, key, hash, value);
    store_relaxed(&t.elem(link_index1(link))->next, load_relaxed(&b->head));
    w.insert(&b->head, link);
    return 0;
  }
  if (in_place) {
    store_relaxed(&t.mark(old.elem)->used, 1);
    put_value(t, t.value(old.elem), value);
    return 0;
  }
  HashElem* e = t.elem(link_index1(link));
  store_relaxed(&t.mark(e)->used, 1);
  store_relaxed(&e->next, load_relaxed(&old.elem->next));
  w.replace(old, link);
  store_relaxed(&t.mark(old.elem)->live, 0);
  return 0;
}

/// Erases; copies the value out first when `value` is not null.
long lru_remove(const OpCtx& ctx, MapDesc* desc, const void* key, void* value) noexcept {
  const LruTable t(desc);
  const LruHeldPool pool(ctx, t);
  if (!pool.held()) return -EBUSY;
  const LruWriter w(desc, ctx.slot, pool.index());
  if (const long err = lru_make_room(ctx, w); err != 0) return err;
  const u32 hash = lru_hash_of(desc, key);
  const LruLocked bucket(ctx, &t.bucket(hash)->lock);
  if (!bucket.held()) return -EBUSY;
  const LinkedElem old = find_locked(t, key, hash);
  if (old.link == nullptr) return -ENOENT;
  if (value != nullptr) lru_show_values(t, old.elem, value);
  w.erase(LruMove::Erase, old);
  store_relaxed(&t.mark(old.elem)->live, 0);
  return 0;
}

void* lookup_op(const OpCtx& ctx, MapDesc* desc, const void* key) noexcept {
  u8* values = static_cast<u8*>(lru_lookup(desc, key));
  if (values == nullptr || desc->type != BPF_MAP_TYPE_LRU_PERCPU_HASH) return values;
  return values + static_cast<u64>(ctx.cpu) * desc->value_stride;
}
long write_all_cpus(const OpCtx& ctx, MapDesc* desc, const void* key, const void* value, u64 flags) noexcept {
  return lru_put(ctx, desc, key, {value, true, 0}, flags);
}
long take_value(const OpCtx& ctx, MapDesc* desc, const void* key, void* value, u64 flags) noexcept {
  return flags == 0 ? lru_remove(ctx, desc, key, value) : -EINVAL;
}

}  // namespace

void* lru_lookup(MapDesc* desc, const void* key) noexcept {
  const LruTable t(desc);
  SeenElem seen;
  u64 budget = t.walk_budget();
  if (find(t, key, lru_hash_of(desc, key), &seen, &budget) != Walk::Found) return nullptr;
  u8* used = &t.mark(seen.elem)->used;
  if (load_relaxed(used) == 0) store_relaxed(used, 1);
  return t.value(seen.elem);
}
long lru_update(const OpCtx& ctx, MapDesc* desc, const void* key, const void* value, u64 flags) noexcept {
  return lru_put(ctx, desc, key, {value, false, ctx.cpu}, flags);
}
long lru_erase(const OpCtx& ctx, MapDesc* desc, const void* key) noexcept { return lru_remove(ctx, desc, key, nullptr); }

constexpr MapOps lru_ops(u32 type, const char* name, bool per_cpu) noexcept {
  return {
      .type = type,
      .name = name,
      .per_cpu = per_cpu,
      .alloc_check = lru_alloc_check,
      .layout = lru_layout,
      .init = lru_init,
      .mem_usage = lru_mem_usage,
      .lookup = lookup_op,
      .update = lru_update,
      .erase = lru_erase,
      .get_next_key = lru_next_key,
      .read_value = lru_read_value,
      .write_value = write_all_cpus,
      .take_value = take_value,
      .holds_value = lru_holds_value,
      .mmap_size = nullptr,
      .direct_value_addr = nullptr,
      .recover = lru_recover,
  };
}
constinit const MapOps LRU_HASH_OPS = lru_ops(BPF_MAP_TYPE_LRU_HASH, "lru_hash", false);
constinit const MapOps LRU_PERCPU_HASH_OPS = lru_ops(BPF_MAP_TYPE_LRU_PERCPU_HASH, "lru_percpu_hash", true);

}  // namespace skep
