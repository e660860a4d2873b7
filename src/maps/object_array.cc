// PROG_ARRAY and ARRAY_OF_MAPS: arrays of pointers to objects (ProgImage, MapDesc), in ROM, which only the host writes: no RAM at all.
// CGROUP_ARRAY: the same, of ids.
// A pointer is taken out before its object is given up, and the object's memory goes after a grace period: a run that has read one may
// use it to its end. Linux: kernel/bpf/arraymap.c:prog_array_map_ops, array_of_maps_map_ops
#include "maps/object_maps.h"

#include "base/atomic.h"
#include "maps/array.h"

namespace skep {
namespace {

/// Linux: arraymap.c:fd_array_map_alloc_check()
long object_array_alloc_check(const MapSpec& spec) noexcept {
  if (spec.value_size != sizeof(u32)) return -EINVAL;
  if ((spec.map_flags & (BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG)) != 0) return -EINVAL;
  return array_alloc_check(spec);
}

long object_array_layout(const MapSpec& spec, u32 nr_cpus, MapDesc* out) noexcept {
  layout_common(spec, nr_cpus, out);
  out->n_elems = spec.max_entries;
  out->elem_size = sizeof(void*);
  out->elem_value_off = 0;
  out->ram_bytes = 0;
  return static_cast<u64>(spec.max_entries) * sizeof(void*) > ROM_SIZE ? -ENOMEM : 0;
}

void object_array_init(const Window&, MapDesc*) noexcept {}
u64 object_array_mem_usage(const MapDesc& desc) noexcept { return SIZEOF_BPF_ARRAY + static_cast<u64>(desc.max_entries) * 8; }
void* no_lookup(const OpCtx&, MapDesc*, const void*) noexcept { return nullptr; }
/// Linux: arraymap.c:array_of_map_lookup_elem(): the inner map itself.
void* inner_lookup(const OpCtx&, MapDesc* desc, const void* key) noexcept { return object_at(*desc, array_index(key)); }
bool holds_no_value(const MapDesc*, u64, u64) noexcept { return false; }

}  // namespace

u64 object_map_rom_bytes(const MapDesc& desc) noexcept {
  switch (desc.type) {
    case BPF_MAP_TYPE_PROG_ARRAY:
    case BPF_MAP_TYPE_CGROUP_ARRAY:
    case BPF_MAP_TYPE_ARRAY_OF_MAPS: return static_cast<u64>(desc.max_entries) * sizeof(void*);
    case BPF_MAP_TYPE_HASH_OF_MAPS: return static_cast<u64>(desc.n_buckets) * sizeof(void*);
    default: return 0;
  }
}

void* object_at(const MapDesc& desc, u32 index) noexcept {
  return index < desc.max_entries ? load_acquire(&reinterpret_cast<void**>(desc.elems)[index]) : nullptr;
}

void set_object_at(const MapDesc& desc, u32 index, void* object) noexcept {
  if (index < desc.max_entries) store_release(&reinterpret_cast<void**>(desc.elems)[index], object);
}

u64 cgroup_at(const MapDesc& desc, u32 index) noexcept {
  return index < desc.max_entries ? load_acquire(&reinterpret_cast<const u64*>(desc.elems)[index]) : 0;
}

void set_cgroup_at(const MapDesc& desc, u32 index, u64 id) noexcept {
  if (index < desc.max_entries) store_release(&reinterpret_cast<u64*>(desc.elems)[index], id);
}

const MapOps PROG_ARRAY_OPS = {
    .type = BPF_MAP_TYPE_PROG_ARRAY,
    .name = "prog_array",
    .per_cpu = false,
    .alloc_check = object_array_alloc_check,
    .layout = object_array_layout,
    .init = object_array_init,
    .mem_usage = object_array_mem_usage,
    .lookup = no_lookup,
    .update = nullptr,
    .erase = nullptr,
    .get_next_key = array_get_next_key,
    .read_value = nullptr,
    .write_value = nullptr,
    .take_value = nullptr,
    .holds_value = holds_no_value,
    .mmap_size = nullptr,
    .direct_value_addr = nullptr,
    .recover = nullptr,
    .inner = false,
};

const MapOps CGROUP_ARRAY_OPS = {
    .type = BPF_MAP_TYPE_CGROUP_ARRAY,
    .name = "cgroup_array",
    .per_cpu = false,
    .alloc_check = object_array_alloc_check,
    .layout = object_array_layout,
    .init = object_array_init,
    .mem_usage = object_array_mem_usage,
    .lookup = no_lookup,
    .update = nullptr,
    .erase = nullptr,
    .get_next_key = array_get_next_key,
    .read_value = nullptr,
    .write_value = nullptr,
    .take_value = nullptr,
    .holds_value = holds_no_value,
    .mmap_size = nullptr,
    .direct_value_addr = nullptr,
    .recover = nullptr,
};

const MapOps ARRAY_OF_MAPS_OPS = {
    .type = BPF_MAP_TYPE_ARRAY_OF_MAPS,
    .name = "array_of_maps",
    .per_cpu = false,
    .alloc_check = object_array_alloc_check,
    .layout = object_array_layout,
    .init = object_array_init,
    .mem_usage = object_array_mem_usage,
    .lookup = inner_lookup,
    .update = nullptr,
    .erase = nullptr,
    .get_next_key = array_get_next_key,
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
