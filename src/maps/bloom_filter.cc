// BLOOM_FILTER: values are put in and asked for, and leave nothing but bits: what was put in is always found, other values
// sometimes. Bits are only ever set, each by itself: nothing to lock or to recover. Linux: kernel/bpf/bloom_filter.c
#include "base/atomic.h"
#include "maps/hash_key.h"
#include "maps/kinds.h"

namespace skep {
namespace {

constexpr u32 DEFAULT_HASHES = 5;
constexpr u64 MOST_BITS = 1ULL << 32;

/// Linux: bloom_filter.c:bloom_map_alloc_check(), bloom_map_alloc()
long bloom_check(const MapSpec& s) noexcept {
  constexpr u32 KNOWN = BPF_F_NUMA_NODE | BPF_F_ZERO_SEED | BPF_F_ACCESS_MASK;
  if (s.value_size > KMALLOC_MAX_SIZE) return -E2BIG;
  if (s.key_size != 0 || s.value_size == 0 || s.max_entries == 0) return -EINVAL;
  return (s.map_flags & ~KNOWN) != 0 || !map_flags_access_ok(s.map_flags) || (s.map_extra & ~0xfULL) != 0 ? -EINVAL : 0;
}

/// Linux: bloom_filter.c:bloom_map_alloc(): as many as make the fewest mistakes for this many entries and hashes.
u64 bits_for(u64 entries, u64 hashes) noexcept {
  const u64 product = entries * hashes, bits = product / 5 * 7;
  if (product > 0xffffffffu || bits > 1ULL << 31) return MOST_BITS;
  return bits <= 64 ? 64 : roundup_pow_of_two(bits);
}

// Of a MapDesc: n_elems is the number of hashes, n_buckets the mask that makes a hash a bit's number.
long bloom_layout(const MapSpec& spec, u32 nr_cpus, MapDesc* out) noexcept {
  layout_common(spec, nr_cpus, out);
  out->n_elems = spec.map_extra != 0 ? static_cast<u32>(spec.map_extra) : DEFAULT_HASHES;
  const u64 bits = bits_for(spec.max_entries, out->n_elems);
  out->n_buckets = static_cast<u32>(bits - 1);
  out->ram_bytes = round_up<u64>(bits / 8, PAGE_SIZE);
  return 0;
}
void bloom_init(const Window&, MapDesc* desc) noexcept { desc->buckets = desc->ram; }
/// Linux: bloom_filter.c:bloom_map_mem_usage()
u64 bloom_mem_usage(const MapDesc& d) noexcept { return SIZEOF_BPF_MAP + 16 + (u64{d.n_buckets} + 1) / 8; }

struct Bit {
  u64* word;
  u64 mask;
};
Bit bit_of(const MapDesc& d, const void* value, u32 which) noexcept {
  const u32 hash = static_cast<u32>(key_hash<0>(value, d.value_size, d.hash_seed + which).bits >> 32) & d.n_buckets;
  return {static_cast<u64*>(d.buckets) + hash / 64, 1ULL << hash % 64};
}

long bloom_push(const OpCtx&, MapDesc* desc, const void* value, u64 flags) noexcept {
  if (flags != BPF_ANY) return -EINVAL;
  for (u32 i = 0; i < desc->n_elems; ++i) {
    const Bit bit = bit_of(*desc, value, i);
    if ((load_relaxed(bit.word) & bit.mask) == 0) fetch_or(bit.word, bit.mask);
  }
  return 0;
}
long bloom_peek(const OpCtx&, MapDesc* desc, void* value) noexcept {
  for (u32 i = 0; i < desc->n_elems; ++i) {
    const Bit bit = bit_of(*desc, value, i);
    if ((load_acquire(bit.word) & bit.mask) == 0) return -ENOENT;
  }
  return 0;
}
long bloom_pop(const OpCtx&, MapDesc*, void*) noexcept { return -EOPNOTSUPP; }

void* no_lookup(const OpCtx&, MapDesc*, const void*) noexcept { return nullptr; }
long no_update(const OpCtx&, MapDesc*, const void*, const void*, u64) noexcept { return -EINVAL; }
long no_erase(const OpCtx&, MapDesc*, const void*) noexcept { return -EOPNOTSUPP; }
long no_next_key(const OpCtx&, MapDesc*, const void*, void*) noexcept { return -EOPNOTSUPP; }
/// Linux: syscall.c:bpf_map_copy_value(): the caller's value is looked for.
long bloom_read_value(const OpCtx& ctx, MapDesc* desc, const void*, void* value, u64) noexcept {
  return bloom_peek(ctx, desc, value);
}
long bloom_write_value(const OpCtx& ctx, MapDesc* desc, const void*, const void* value, u64 flags) noexcept {
  return bloom_push(ctx, desc, value, flags);
}
bool holds_no_value(const MapDesc*, u64, u64) noexcept { return false; }

}  // namespace

const MapOps BLOOM_FILTER_OPS = {
    .type = BPF_MAP_TYPE_BLOOM_FILTER,
    .name = "bloom_filter",
    .per_cpu = false,
    .alloc_check = bloom_check,
    .layout = bloom_layout,
    .init = bloom_init,
    .mem_usage = bloom_mem_usage,
    .lookup = no_lookup,
    .update = no_update,
    .erase = no_erase,
    .get_next_key = no_next_key,
    .read_value = bloom_read_value,
    .write_value = bloom_write_value,
    .take_value = nullptr,
    .holds_value = holds_no_value,
    .mmap_size = nullptr,
    .direct_value_addr = nullptr,
    .recover = nullptr,
    .push = bloom_push,
    .pop = bloom_pop,
    .peek = bloom_peek,
};

}  // namespace skep
