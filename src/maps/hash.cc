// HASH and PERCPU_HASH. Linux: kernel/bpf/hashtab.c. BPF_F_NO_PREALLOC only changes the flags a client reads back and mem_usage:
// untouched memory of the window costs nothing anyway.
#include "maps/hash_next.h"
#include "maps/kinds.h"

namespace skep {
namespace {

/// Torn copies of a value that is replaced all the time: after this many, the bucket is locked.
constexpr u32 MAX_COPIES = 64;

bool percpu_type(u32 type) noexcept { return type == BPF_MAP_TYPE_PERCPU_HASH || type == BPF_MAP_TYPE_LRU_PERCPU_HASH; }
bool lru_type(u32 type) noexcept { return type == BPF_MAP_TYPE_LRU_HASH || type == BPF_MAP_TYPE_LRU_PERCPU_HASH; }

u32 bucket_count(u32 max_entries, u32 elem_size) noexcept {
  if (elem_size > MAX_LOCAL_SIZE) return static_cast<u32>(roundup_pow_of_two(max_entries));
  const u64 n = (max_entries * LOCAL_LOAD_DEN + LOCAL_LOAD_NUM - 1) / LOCAL_LOAD_NUM;
  const u64 least = max_entries < 4 ? max_entries : 4;
  return static_cast<u32>(n < least ? least : n);
}
u64 pool_offset(const MapDesc& d) noexcept { return round_up<u64>(sizeof(HtabState) + Htab::summary_words(d.n_buckets) * 8, 64); }
u64 buckets_offset(const MapDesc& d) noexcept { return round_up<u64>(pool_offset(d) + d.n_elems * node_bytes(d.elem_size), 64); }

/// Linux: hashtab.c:htab_map_alloc()
long hash_layout(const MapSpec& spec, u32 nr_cpus, MapDesc* out) noexcept {
  const bool percpu = percpu_type(spec.type);
  if (spec.max_entries > 1u << 31) return -E2BIG;
  if (roundup_pow_of_two(spec.max_entries) > 0xffffffffu / SIZEOF_BUCKET) return -E2BIG;
  static_assert((1ULL << 27) * SIZEOF_BUCKET <= 0xffffffffu && (1ULL << 28) * SIZEOF_BUCKET > 0xffffffffu);
  static_assert((1u << 27) + MAX_RUN_SLOTS < (1u << TaggedWord::VALUE_BITS));  // so n_elems + 1 fits a TaggedWord
  static_assert(8ULL << 27 < INTENT_POOL);                                     // so all local elements have a name
  layout_common(spec, nr_cpus, out);
  out->n_elems = spec.max_entries + (percpu ? 0 : MAX_RUN_SLOTS);
  out->elem_value_off = round_up(static_cast<u32>(sizeof(HtabElem)) + spec.key_size, 8);
  out->elem_size = out->elem_value_off + out->value_stride * (percpu ? nr_cpus : 1);
  out->n_buckets = bucket_count(spec.max_entries, out->elem_size);
  out->ram_bytes = round_up<u64>(buckets_offset(*out) + out->n_buckets * bucket_bytes(out->elem_size), PAGE_SIZE);
  return out->ram_bytes > RAM_SIZE ? -ENOMEM : 0;
}

void hash_init(const Window&, MapDesc* desc) noexcept {
  if ((desc->map_flags & BPF_F_ZERO_SEED) != 0) desc->hash_seed = 0;
  desc->state = desc->ram;
  desc->elems = desc->ram + pool_offset(*desc);
  desc->buckets = desc->ram + buckets_offset(*desc);
  store_release(&static_cast<HtabState*>(desc->state)->free_head, TaggedWord{1, 0, 0}.pack());
}

u64 hash_usage_now(const MapDesc& desc) noexcept { return hash_mem_usage(desc, hash_live(desc)); }

void* hash_lookup(const OpCtx& ctx, MapDesc* desc, const void* key) noexcept {
  u8* value;
  switch (desc->key_size) {
    case 4: value = hash_lookup_value<4>(desc, key); break;
    case 8: value = hash_lookup_value<8>(desc, key); break;
    case 16: value = hash_lookup_value<16>(desc, key); break;
    default: value = hash_lookup_value<0>(desc, key);
  }
  if (value == nullptr || !Htab{desc}.per_cpu()) return value;
  return value + static_cast<u64>(ctx.cpu) * desc->value_stride;
}

long hash_put_any(const OpCtx& ctx, MapDesc* desc, const void* key, const NewValue& value, u64 flags) noexcept {
  switch (desc->key_size) {
    case 4: return hash_put<4>(ctx, desc, key, value, flags);
    case 8: return hash_put<8>(ctx, desc, key, value, flags);
    case 16: return hash_put<16>(ctx, desc, key, value, flags);
    default: return hash_put<0>(ctx, desc, key, value, flags);
  }
}

long hash_update(const OpCtx& ctx, MapDesc* desc, const void* key, const void* value, u64 flags) noexcept {
  return hash_put_any(ctx, desc, key, {value, false, ctx.cpu}, flags);
}
long hash_write_value(const OpCtx& ctx, MapDesc* desc, const void* key, const void* value, u64 flags) noexcept {
  return hash_put_any(ctx, desc, key, {value, true, 0}, flags);
}

/// The element's value or values, as user space gets to see them.
void show_values(const Htab& t, HtabElem* e, void* to) noexcept {
  const MapDesc& d = *t.desc;
  if (!t.per_cpu()) return show_map_value(d, to, t.value(e), d.value_size);
  for (u64 at = 0; at < static_cast<u64>(d.value_stride) * d.nr_cpus; at += d.value_stride)
    show_map_value(d, static_cast<u8*>(to) + at, t.value(e) + at, d.value_stride);
}
/// -EBUSY when `flags` ask for the value's lock and it is not to be had.
long show_values_locked(const OpCtx& ctx, const Htab& t, HtabElem* e, void* to, u64 flags) noexcept {
  if (flags == 0) {
    show_values(t, e, to);
    return 0;
  }
  const LockedValue lock(ctx, *t.desc, t.value(e));
  if (!lock.held()) return -EBUSY;
  show_values(t, e, to);
  return 0;
}
bool read_flags_ok(const MapDesc& desc, u64 flags) noexcept { return flags == 0 || (flags == BPF_F_LOCK && has_spin_lock(desc)); }

long hash_erase_key(const OpCtx& ctx, MapDesc* desc, const void* key) noexcept {
  switch (desc->key_size) {
    case 4: return hash_delete<4>(ctx, desc, key);
    case 8: return hash_delete<8>(ctx, desc, key);
    case 16: return hash_delete<16>(ctx, desc, key);
    default: return hash_delete<0>(ctx, desc, key);
  }
}

/// Copies the value out and, where `erase` says so, erases. Under the bucket's lock.
long read_locked(const OpCtx& ctx, MapDesc* desc, const void* key, void* value, u64 flags, bool erase) noexcept {
  const Htab t{desc};
  const KeyHash h = t.hash(key);
  HtabBucket* b = t.bucket(h);
  const LockedBucket bucket(ctx, b);
  if (!bucket.held()) return -EBUSY;
  const FoundElem found = find_locked<0>(t, b, key, h.tag());
  if (found.elem == nullptr) return -ENOENT;
  if (const long err = show_values_locked(ctx, t, found.elem, value, flags); err != 0) return err;
  if (erase) hash_erase({ctx.window, desc, ctx.slot}, b, h.bucket(desc->n_buckets), found);
  return 0;
}

long hash_take_value(const OpCtx& ctx, MapDesc* desc, const void* key, void* value, u64 flags) noexcept {
  return read_flags_ok(*desc, flags) ? read_locked(ctx, desc, key, value, flags, true) : -EINVAL;
}

long hash_read_value(const OpCtx& ctx, MapDesc* desc, const void* key, void* value, u64 flags) noexcept {
  if (!read_flags_ok(*desc, flags)) return -EINVAL;
  const Htab t{desc};
  const KeyHash h = t.hash(key);
  u64 budget = t.walk_budget();
  // With BPF_F_LOCK the bucket is locked too, so that the lock that is taken is of an element that stays.
  for (u32 i = 0; i < MAX_COPIES && flags == 0; ++i) {
    SeenHtabElem seen;
    const Walk walk = find<0>(t, key, h, &seen, &budget);
    if (walk == Walk::Absent) return -ENOENT;
    if (walk == Walk::GaveUp) break;
    show_values(t, seen.elem, value);
    if (still_same(seen.elem, seen.gen)) return 0;
  }
  return read_locked(ctx, desc, key, value, flags, false);
}

/// Where in an element `addr` lies; elem_size or more: in none.
u64 offset_in_elem(const MapDesc* desc, u64 addr) noexcept {
  const u64 in_pool = addr - reinterpret_cast<u64>(desc->elems), node = node_bytes(desc->elem_size);
  if (in_pool < desc->n_elems * node) return in_pool % node - __builtin_offsetof(HtabNode, elem);
  const u64 in_buckets = addr - reinterpret_cast<u64>(desc->buckets), bucket = bucket_bytes(desc->elem_size);
  if (!Htab{const_cast<MapDesc*>(desc)}.has_local() || in_buckets >= desc->n_buckets * bucket) return ~0ULL;
  const u64 in_bucket = in_buckets % bucket - sizeof(HtabBucket);
  return in_bucket < u64{LOCAL_ELEMS} * desc->elem_size ? in_bucket % desc->elem_size : ~0ULL;
}

bool hash_holds_value(const MapDesc* desc, u64 addr, u64 size) noexcept {
  const u64 in_elem = offset_in_elem(desc, addr);
  if (in_elem < desc->elem_value_off || in_elem >= desc->elem_size) return false;
  const u64 within = (in_elem - desc->elem_value_off) % desc->value_stride;
  return within < desc->value_size && size <= desc->value_size - within;
}

}  // namespace

long hash_put_in_place(const OpCtx& ctx, const Htab& t, const FoundElem& old, const NewValue& value) noexcept {
  u8* to = t.value(old.elem);
  const LockedValue lock(ctx, *t.desc, to);
  if (!lock.held()) return -EBUSY;
  copy_map_value(*t.desc, to, value.bytes, t.desc->value_size);
  return 0;
}

long hash_alloc_check(const MapSpec& spec) noexcept {
  constexpr u32 known = BPF_F_NO_PREALLOC | BPF_F_NO_COMMON_LRU | BPF_F_NUMA_NODE | BPF_F_ACCESS_MASK | BPF_F_ZERO_SEED;
  const bool percpu = percpu_type(spec.type), lru = lru_type(spec.type);
  const bool percpu_lru = (spec.map_flags & BPF_F_NO_COMMON_LRU) != 0;
  if ((spec.map_flags & BPF_F_ZERO_SEED) != 0 && !spec.cap_sys_admin) return -EPERM;
  if ((spec.map_flags & ~known) != 0 || !map_flags_access_ok(spec.map_flags)) return -EINVAL;
  if (!lru && percpu_lru) return -EINVAL;
  if (lru && (spec.map_flags & BPF_F_NO_PREALLOC) != 0) return -MAP_ENOTSUPP;
  if (map_numa_node(spec) != NUMA_NO_NODE && (percpu || percpu_lru)) return -EINVAL;
  if (spec.max_entries == 0 || spec.key_size == 0 || spec.value_size == 0) return -EINVAL;
  if (static_cast<u64>(spec.key_size) + spec.value_size >= KMALLOC_MAX_SIZE - SIZEOF_HTAB_ELEM) return -E2BIG;
  if (percpu && round_up<u64>(spec.value_size, 8) > PCPU_MIN_UNIT_SIZE) return -E2BIG;
  return 0;
}

u64 hash_mem_usage(const MapDesc& desc, u64 live) noexcept {
  constexpr u64 lock_count = 8, llist_node = 8;  // HASHTAB_MAP_LOCK_COUNT, LLIST_NODE_SZ
  const bool percpu = percpu_type(desc.type), lru = lru_type(desc.type);
  const u64 cpus = desc.nr_cpus;
  const u64 elem = SIZEOF_HTAB_ELEM + round_up<u64>(desc.key_size, 8) + (percpu ? 8 : desc.value_stride);
  const u64 usage = SIZEOF_BPF_HTAB + SIZEOF_BUCKET * roundup_pow_of_two(desc.max_entries) + 4 * cpus * lock_count;
  if ((desc.map_flags & BPF_F_NO_PREALLOC) != 0) {
    const u64 each = elem + llist_node + (percpu ? llist_node + 8 + desc.value_stride * cpus : 0);
    return usage + each * live;
  }
  const u64 entries = desc.max_entries + (percpu || lru ? 0 : cpus);
  return usage + elem * entries + (percpu ? desc.value_stride * cpus * entries : lru ? 0 : 8 * cpus);
}

u64 hash_live(const MapDesc& desc) noexcept {
  // Where somebody has scribbled over it: never more than can be.
  const u32 live = TaggedWord::unpack(load_relaxed(&static_cast<const HtabState*>(desc.state)->live)).value;
  return live < desc.max_entries ? live : desc.max_entries;
}

const MapOps HASH_OPS = {
    .type = BPF_MAP_TYPE_HASH,
    .name = "hash",
    .per_cpu = false,
    .alloc_check = hash_alloc_check,
    .layout = hash_layout,
    .init = hash_init,
    .mem_usage = hash_usage_now,
    .lookup = hash_lookup,
    .update = hash_update,
    .erase = hash_erase_key,
    .get_next_key = hash_get_next_key,
    .read_value = hash_read_value,
    .write_value = hash_write_value,
    .take_value = hash_take_value,
    .holds_value = hash_holds_value,
    .mmap_size = nullptr,
    .direct_value_addr = nullptr,
    .recover = hash_recover,
};

const MapOps PERCPU_HASH_OPS = {
    .type = BPF_MAP_TYPE_PERCPU_HASH,
    .name = "percpu_hash",
    .per_cpu = true,
    .alloc_check = hash_alloc_check,
    .layout = hash_layout,
    .init = hash_init,
    .mem_usage = hash_usage_now,
    .lookup = hash_lookup,
    .update = hash_update,
    .erase = hash_erase_key,
    .get_next_key = hash_get_next_key,
    .read_value = hash_read_value,
    .write_value = hash_write_value,
    .take_value = hash_take_value,
    .holds_value = hash_holds_value,
    .mmap_size = nullptr,
    .direct_value_addr = nullptr,
    .recover = hash_recover,
};

}  // namespace skep
