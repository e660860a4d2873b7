// HASH and PERCPU_HASH. Linux: kernel/bpf/hashtab.c. BPF_F_NO_PREALLOC only changes the flags a client reads back and mem_usage:
// untouched memory of the window costs nothing anyway.
#include "maps/hash_key.h"
#include "maps/hash_write.h"
#include "maps/kinds.h"
#include "maps/special_fields.h"

namespace skep {
namespace {

/// Torn copies of a value that is replaced all the time: after this many, the bucket is locked.
constexpr u32 MAX_COPIES = 64;

bool percpu_type(u32 type) noexcept { return type == BPF_MAP_TYPE_PERCPU_HASH || type == BPF_MAP_TYPE_LRU_PERCPU_HASH; }
bool lru_type(u32 type) noexcept { return type == BPF_MAP_TYPE_LRU_HASH || type == BPF_MAP_TYPE_LRU_PERCPU_HASH; }

/// Linux: hashtab.c:htab_map_alloc()
long hash_layout(const MapSpec& spec, u32 nr_cpus, MapDesc* out) noexcept {
  const bool percpu = percpu_type(spec.type);
  if (spec.max_entries > 1u << 31) return -E2BIG;
  const u64 n_buckets = roundup_pow_of_two(spec.max_entries);
  if (n_buckets > 0xffffffffu / SIZEOF_BUCKET) return -E2BIG;
  static_assert((1ULL << 27) * SIZEOF_BUCKET <= 0xffffffffu && (1ULL << 28) * SIZEOF_BUCKET > 0xffffffffu);
  static_assert((1u << 27) + MAX_RUN_SLOTS < (1u << FreeHead::INDEX_BITS));  // so n_elems + 1 fits a FreeHead
  layout_common(spec, nr_cpus, out);
  out->n_buckets = static_cast<u32>(n_buckets);
  out->n_elems = spec.max_entries + (percpu ? 0 : MAX_RUN_SLOTS);
  out->elem_value_off = static_cast<u32>(sizeof(HashElem)) + round_up(spec.key_size, 8);
  out->elem_size = out->elem_value_off + out->value_stride * (percpu ? nr_cpus : 1);
  const u64 bytes = sizeof(HashState) + n_buckets * sizeof(HashBucket) + static_cast<u64>(out->n_elems) * out->elem_size;
  out->ram_bytes = round_up<u64>(bytes, PAGE_SIZE);
  return out->ram_bytes > RAM_SIZE ? -ENOMEM : 0;
}

void hash_init(const Window&, MapDesc* desc) noexcept {
  desc->state = desc->ram;
  desc->buckets = desc->ram + sizeof(HashState);
  desc->elems = desc->ram + sizeof(HashState) + static_cast<u64>(desc->n_buckets) * sizeof(HashBucket);
  store_release(&static_cast<HashState*>(desc->state)->free_head, FreeHead{1, 0, 0}.pack());
}

u64 hash_usage_now(const MapDesc& desc) noexcept { return hash_mem_usage(desc, hash_live(desc)); }

u32 hash_of(const MapDesc* desc, const void* key) noexcept {
  return hash_key(key, desc->key_size, (desc->map_flags & BPF_F_ZERO_SEED) != 0 ? 0 : desc->hash_seed);
}

/// A bucket's lock for as long as this lives. REQUIRES before the end of it: the intent is cleared.
class LockedBucket {
 public:
  LockedBucket(const OpCtx& ctx, const HashTable& t, u32 hash) noexcept
      : lock_(&t.bucket(hash)->lock), held_(robust_trylock(ctx.window, lock_, ctx.slot)) {}
  ~LockedBucket() {
    if (held_) robust_unlock(lock_);
  }
  LockedBucket(const LockedBucket&) = delete;
  LockedBucket& operator=(const LockedBucket&) = delete;
  /// False: another live run holds it. Linux: hashtab.c:htab_lock_bucket() answers -EBUSY for that.
  bool held() const noexcept { return held_; }

 private:
  RobustLock* lock_;
  bool held_;
};

void* hash_lookup(const OpCtx& ctx, MapDesc* desc, const void* key) noexcept {
  const HashTable t{desc};
  SeenElem seen;
  u64 budget = t.walk_budget();
  if (find(t, key, hash_of(desc, key), &seen, &budget) != Walk::Found) return nullptr;
  return t.value(seen.elem) + (t.per_cpu() ? static_cast<u64>(ctx.cpu) * desc->value_stride : 0);
}

/// BPF_F_LOCK on a present key: into the element, under the value's lock.
long hash_put_in_place(const OpCtx& ctx, const HashTable& t, const LinkedElem& old, const NewValue& value) noexcept {
  u8* to = t.value(old.elem);
  const LockedValue lock(ctx, *t.desc, to);
  if (!lock.held()) return -EBUSY;
  copy_map_value(*t.desc, to, value.bytes, t.desc->value_size);
  return 0;
}

/// Linux: hashtab.c:htab_map_update_elem(), __htab_percpu_map_update_elem(): flags, bucket, check_flags(), space.
long hash_put(const OpCtx& ctx, MapDesc* desc, const void* key, const NewValue& value, u64 flags) noexcept {
  const u64 plain = flags & ~BPF_F_LOCK;
  if (plain > BPF_EXIST || (plain != flags && !has_spin_lock(*desc))) return -EINVAL;
  const HashWriter w(ctx.window, desc, ctx.slot);
  const u32 hash = hash_of(desc, key);
  const LockedBucket bucket(ctx, w.table, hash);
  if (!bucket.held()) return -EBUSY;
  const LinkedElem old = find_locked(w.table, key, hash);
  if (old.link != nullptr && plain == BPF_NOEXIST) return -EEXIST;
  if (old.link == nullptr && plain == BPF_EXIST) return -ENOENT;
  if (old.link == nullptr) return hash_insert(w, key, hash, value);
  if (plain != flags) return hash_put_in_place(ctx, w.table, old, value);
  hash_replace(w, old, key, hash, value);
  return 0;
}

long hash_update(const OpCtx& ctx, MapDesc* desc, const void* key, const void* value, u64 flags) noexcept {
  return hash_put(ctx, desc, key, {value, false, ctx.cpu}, flags);
}
long hash_write_value(const OpCtx& ctx, MapDesc* desc, const void* key, const void* value, u64 flags) noexcept {
  return hash_put(ctx, desc, key, {value, true, 0}, flags);
}

/// The element's value or values, as user space gets to see them.
void show_values(const HashTable& t, HashElem* e, void* to) noexcept {
  const MapDesc& d = *t.desc;
  if (!t.per_cpu()) return show_map_value(d, to, t.value(e), d.value_size);
  for (u64 at = 0; at < static_cast<u64>(d.value_stride) * d.nr_cpus; at += d.value_stride)
    show_map_value(d, static_cast<u8*>(to) + at, t.value(e) + at, d.value_stride);
}
/// -EBUSY when `flags` ask for the value's lock and it is not to be had.
long show_values_locked(const OpCtx& ctx, const HashTable& t, HashElem* e, void* to, u64 flags) noexcept {
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

/// Erases; copies the value out first when `value` is not null.
long hash_remove(const OpCtx& ctx, MapDesc* desc, const void* key, void* value, u64 flags) noexcept {
  const HashWriter w(ctx.window, desc, ctx.slot);
  const u32 hash = hash_of(desc, key);
  const LockedBucket bucket(ctx, w.table, hash);
  if (!bucket.held()) return -EBUSY;
  const LinkedElem old = find_locked(w.table, key, hash);
  if (old.link == nullptr) return -ENOENT;
  if (value != nullptr)
    if (const long err = show_values_locked(ctx, w.table, old.elem, value, flags); err != 0) return err;
  hash_erase(w, old);
  return 0;
}

long hash_delete(const OpCtx& ctx, MapDesc* desc, const void* key) noexcept { return hash_remove(ctx, desc, key, nullptr, 0); }
long hash_take_value(const OpCtx& ctx, MapDesc* desc, const void* key, void* value, u64 flags) noexcept {
  return read_flags_ok(*desc, flags) ? hash_remove(ctx, desc, key, value, flags) : -EINVAL;
}

long read_locked(const OpCtx& ctx, const HashTable& t, const void* key, u32 hash, void* value, u64 flags) noexcept {
  const LockedBucket bucket(ctx, t, hash);
  if (!bucket.held()) return -EBUSY;
  const LinkedElem found = find_locked(t, key, hash);
  if (found.link == nullptr) return -ENOENT;
  return show_values_locked(ctx, t, found.elem, value, flags);
}

long hash_read_value(const OpCtx& ctx, MapDesc* desc, const void* key, void* value, u64 flags) noexcept {
  if (!read_flags_ok(*desc, flags)) return -EINVAL;
  const HashTable t{desc};
  const u32 hash = hash_of(desc, key);
  u64 budget = t.walk_budget();
  // With BPF_F_LOCK the bucket is locked too, so that the lock that is taken is of an element that stays.
  for (u32 i = 0; i < MAX_COPIES && flags == 0; ++i) {
    SeenElem seen;
    const Walk walk = find(t, key, hash, &seen, &budget);
    if (walk == Walk::Absent) return -ENOENT;
    if (walk == Walk::GaveUp) break;
    show_values(t, seen.elem, value);
    if (still_same(seen.elem, seen.gen)) return 0;
  }
  return read_locked(ctx, t, key, hash, value, flags);
}

/// Copies the key that `link` leads to. False: recycled meanwhile.
bool copy_key(const HashTable& t, u64 link, void* next) noexcept {
  const HashElem* e = t.elem(link_index1(link));
  if (e == nullptr) return false;
  copy_bytes(next, t.key(e), t.desc->key_size);
  return still_same(e, link_gen(link));
}

/// First key of the buckets from `first` on.
long first_key_from(const HashTable& t, u64 first, void* next, u64* budget) noexcept {
  const HashBucket* buckets = static_cast<const HashBucket*>(t.desc->buckets);
  for (u64 i = first; i < t.desc->n_buckets; ++i) {
    for (u64 link = load_acquire(&buckets[i].head); link_index1(link) != 0; link = load_acquire(&buckets[i].head)) {
      if (copy_key(t, link, next)) return 0;
      if (*budget == 0) return -EBUSY;
      --*budget;
    }
  }
  return -ENOENT;
}

/// Linux: hashtab.c:htab_map_get_next_key(). Order: buckets, and chains from their heads. As positions in a chain never change, a
/// walk from key to key meets every key that stays.
long hash_get_next_key(const OpCtx&, MapDesc* desc, const void* key, void* next) noexcept {
  const HashTable t{desc};
  u64 budget = t.walk_budget();
  if (key == nullptr) return first_key_from(t, 0, next, &budget);
  const u32 hash = hash_of(desc, key);
  for (;;) {
    SeenElem seen;
    const Walk walk = find(t, key, hash, &seen, &budget);
    if (walk == Walk::GaveUp) return -EBUSY;
    if (walk == Walk::Absent) return first_key_from(t, 0, next, &budget);
    if (link_index1(seen.next) == 0) return first_key_from(t, (hash & (desc->n_buckets - 1)) + 1ULL, next, &budget);
    if (copy_key(t, seen.next, next)) return 0;
  }
}

bool hash_holds_value(const MapDesc* desc, u64 addr, u64 size) noexcept {
  const u64 off = addr - reinterpret_cast<u64>(desc->elems);
  if (off >= static_cast<u64>(desc->n_elems) * desc->elem_size) return false;
  const u64 in_elem = off % desc->elem_size;
  if (in_elem < desc->elem_value_off) return false;
  const u64 within = (in_elem - desc->elem_value_off) % desc->value_stride;
  return within < desc->value_size && size <= desc->value_size - within;
}

}  // namespace

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
  const auto* state = static_cast<const HashState*>(desc.state);
  u64 sum = 0;
  for (const HashSlot& s : state->slots) sum += load_relaxed(&s.live);
  // Summed while others work, or scribbled over: never more than can be.
  if (static_cast<s64>(sum) < 0) return 0;
  return sum < desc.max_entries ? sum : desc.max_entries;
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
    .erase = hash_delete,
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
    .erase = hash_delete,
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
