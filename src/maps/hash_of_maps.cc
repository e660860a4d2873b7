// HASH_OF_MAPS: chains of nodes in ROM. One writer, the host; readers follow pointers without a lock, and a node that is taken out
// keeps its `next` for as long as a run may stand on it. Linux: kernel/bpf/hashtab.c:htab_of_maps_map_ops
#include "base/atomic.h"
#include "maps/hash_key.h"
#include "maps/kinds.h"
#include "maps/object_maps.h"

namespace skep {
namespace {

constexpr u32 MAX_BUCKETS = 4096;  ///< an outer map has few elements, and ROM is not sparse enough for what max_entries may say

/// Linux: hashtab.c:fd_htab_map_alloc_check()
long hash_of_maps_alloc_check(const MapSpec& spec) noexcept {
  if (spec.value_size != sizeof(u32)) return -EINVAL;
  return hash_alloc_check(spec);
}

long hash_of_maps_layout(const MapSpec& spec, u32 nr_cpus, MapDesc* out) noexcept {
  if (spec.max_entries > 1u << 31) return -E2BIG;
  const u64 n_buckets = roundup_pow_of_two(spec.max_entries);
  if (n_buckets > 0xffffffffu / SIZEOF_BUCKET) return -E2BIG;
  layout_common(spec, nr_cpus, out);
  out->n_buckets = n_buckets < MAX_BUCKETS ? static_cast<u32>(n_buckets) : MAX_BUCKETS;
  out->n_elems = 0;
  out->elem_size = 0;
  out->elem_value_off = 0;
  out->ram_bytes = 0;
  return 0;
}

void hash_of_maps_init(const Window&, MapDesc*) noexcept {}

u32 hash_of(const MapDesc& desc, const void* key) noexcept {
  return hash_key(key, desc.key_size, (desc.map_flags & BPF_F_ZERO_SEED) != 0 ? 0 : desc.hash_seed);
}
InnerMapNode** bucket_of(const MapDesc& desc, u32 hash) noexcept {
  return static_cast<InnerMapNode**>(desc.buckets) + (hash & (desc.n_buckets - 1));
}

u64 hash_of_maps_mem_usage(const MapDesc& desc) noexcept {
  u64 live = 0;
  for (u32 i = 0; i < desc.n_buckets; ++i)
    for (const InnerMapNode* n = *bucket_of(desc, i); n != nullptr; n = n->next) ++live;
  return hash_mem_usage(desc, live);
}

/// Linux: hashtab.c:htab_of_map_lookup_elem(): the inner map itself.
void* inner_lookup(const OpCtx&, MapDesc* desc, const void* key) noexcept {
  const InnerMapNode* node = inner_map_find(*desc, key);
  return node == nullptr ? nullptr : load_acquire(&node->inner);
}

/// For bpf(2), so in the host, where nothing changes meanwhile. Linux: hashtab.c:htab_map_get_next_key()
long hash_of_maps_get_next_key(const OpCtx&, MapDesc* desc, const void* key, void* next) noexcept {
  const InnerMapNode* at = key == nullptr ? nullptr : inner_map_find(*desc, key);
  const InnerMapNode* found = at == nullptr ? nullptr : at->next;
  for (u64 i = at == nullptr ? 0 : (at->hash & (desc->n_buckets - 1)) + 1ULL; found == nullptr && i < desc->n_buckets; ++i)
    found = *bucket_of(*desc, static_cast<u32>(i));
  if (found == nullptr) return -ENOENT;
  copy_bytes(next, found->key, desc->key_size);
  return 0;
}

bool holds_no_value(const MapDesc*, u64, u64) noexcept { return false; }

}  // namespace

InnerMapNode* inner_map_find(const MapDesc& desc, const void* key) noexcept {
  const u32 hash = hash_of(desc, key);
  InnerMapNode* node = load_acquire(bucket_of(desc, hash));
  while (node != nullptr && (node->hash != hash || !equal_bytes(node->key, key, desc.key_size))) node = load_acquire(&node->next);
  return node;
}

void inner_map_link(const MapDesc& desc, InnerMapNode* node, const void* key, MapDesc* inner) noexcept {
  node->hash = hash_of(desc, key);
  node->inner = inner;
  copy_bytes(node->key, key, desc.key_size);
  InnerMapNode** bucket = bucket_of(desc, node->hash);
  node->next = *bucket;
  store_release(bucket, node);  // pairs with the acquire loads of inner_map_find()
}

void inner_map_unlink(const MapDesc& desc, InnerMapNode* node) noexcept {
  InnerMapNode** link = bucket_of(desc, node->hash);
  while (*link != node) link = &(*link)->next;
  store_release(link, node->next);
}

const MapOps HASH_OF_MAPS_OPS = {
    .type = BPF_MAP_TYPE_HASH_OF_MAPS,
    .name = "hash_of_maps",
    .per_cpu = false,
    .alloc_check = hash_of_maps_alloc_check,
    .layout = hash_of_maps_layout,
    .init = hash_of_maps_init,
    .mem_usage = hash_of_maps_mem_usage,
    .lookup = inner_lookup,
    .update = nullptr,
    .erase = nullptr,
    .get_next_key = hash_of_maps_get_next_key,
    .read_value = nullptr,
    .write_value = nullptr,
    .take_value = nullptr,
    .holds_value = holds_no_value,
    .mmap_size = nullptr,
    .direct_value_addr = nullptr,
    .recover = nullptr,
    .inner = false,
};

}  // namespace skep
