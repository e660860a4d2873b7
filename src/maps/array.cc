// ARRAY and PERCPU_ARRAY: values behind one another, [index] or [index][cpu]. No structure, so nothing to lock or to recover.
// Linux: kernel/bpf/arraymap.c
#include "maps/array.h"

#include "maps/special_fields.h"

namespace skep {

long array_alloc_check(const MapSpec& spec) noexcept {
  constexpr u32 known = BPF_F_NUMA_NODE | BPF_F_MMAPABLE | BPF_F_ACCESS_MASK | BPF_F_PRESERVE_ELEMS | BPF_F_INNER_MAP;
  const bool percpu = spec.type == BPF_MAP_TYPE_PERCPU_ARRAY;
  if (spec.max_entries == 0 || spec.key_size != 4 || spec.value_size == 0 || (spec.map_flags & ~known) != 0 ||
      !map_flags_access_ok(spec.map_flags) || (percpu && map_numa_node(spec) != NUMA_NO_NODE))
    return -EINVAL;
  if (spec.type != BPF_MAP_TYPE_ARRAY && (spec.map_flags & (BPF_F_MMAPABLE | BPF_F_INNER_MAP)) != 0) return -EINVAL;
  if (spec.type != BPF_MAP_TYPE_PERF_EVENT_ARRAY && (spec.map_flags & BPF_F_PRESERVE_ELEMS) != 0) return -EINVAL;
  if (spec.value_size > 0x7fffffffu) return -E2BIG;
  if (percpu && round_up<u64>(spec.value_size, 8) > PCPU_MIN_UNIT_SIZE) return -E2BIG;
  return 0;
}

u32 array_index(const void* key) noexcept {
  u32 index;
  __builtin_memcpy(&index, key, sizeof(index));
  return index;
}

long array_get_next_key(const OpCtx&, MapDesc* desc, const void* key, void* next) noexcept {
  const u32 index = key != nullptr ? array_index(key) : ~0u;
  if (index == desc->max_entries - 1) return -ENOENT;
  const u32 following = index >= desc->max_entries ? 0 : index + 1;
  __builtin_memcpy(next, &following, sizeof(following));
  return 0;
}

namespace {

bool is_percpu(const MapDesc& desc) noexcept { return desc.type == BPF_MAP_TYPE_PERCPU_ARRAY; }

long array_layout(const MapSpec& spec, u32 nr_cpus, MapDesc* out) noexcept {
  layout_common(spec, nr_cpus, out);
  out->n_elems = spec.max_entries;
  out->elem_size = out->value_stride * (is_percpu(*out) ? nr_cpus : 1);
  out->elem_value_off = 0;
  // Whole pages for all, not only for BPF_F_MMAPABLE: a client that maps its array sees no other map's bytes.
  out->ram_bytes = round_up<u64>(static_cast<u64>(out->n_elems) * out->elem_size, PAGE_SIZE);
  return out->ram_bytes > RAM_SIZE ? -ENOMEM : 0;
}

void array_init(const Window&, MapDesc* desc) noexcept { desc->elems = desc->ram; }

u64 array_mmap_size(const MapDesc& desc) noexcept {
  // Linux: syscall.c:bpf_map_mmap(): special fields are not to be had as plain memory.
  if ((desc.map_flags & BPF_F_MMAPABLE) == 0 || desc.fields != nullptr) return 0;
  return round_up<u64>(static_cast<u64>(desc.max_entries) * desc.elem_size, PAGE_SIZE);
}

/// Linux: arraymap.c:array_map_mem_usage()
u64 array_mem_usage(const MapDesc& desc) noexcept {
  const u64 entries = desc.max_entries;
  if (is_percpu(desc)) return SIZEOF_BPF_ARRAY + entries * 8 + entries * desc.value_stride * desc.nr_cpus;
  if ((desc.map_flags & BPF_F_MMAPABLE) != 0) return round_up<u64>(SIZEOF_BPF_ARRAY, PAGE_SIZE) + round_up<u64>(entries * desc.elem_size, PAGE_SIZE);
  return SIZEOF_BPF_ARRAY + entries * desc.elem_size;
}

u8* elem_at(const MapDesc* desc, u32 index) noexcept { return desc->elems + static_cast<u64>(index) * desc->elem_size; }

u8* value_of_run(const OpCtx& ctx, const MapDesc* desc, u32 index) noexcept {
  return elem_at(desc, index) + (is_percpu(*desc) ? static_cast<u64>(ctx.cpu) * desc->value_stride : 0);
}

void* array_lookup(const OpCtx& ctx, MapDesc* desc, const void* key) noexcept {
  const u32 index = array_index(key);
  return index < desc->max_entries ? value_of_run(ctx, desc, index) : nullptr;
}

/// Linux: arraymap.c:array_map_update_elem()
long check_update(const MapDesc* desc, u32 index, u64 flags) noexcept {
  if ((flags & ~BPF_F_LOCK) > BPF_EXIST) return -EINVAL;
  if (index >= desc->max_entries) return -E2BIG;
  if ((flags & BPF_NOEXIST) != 0) return -EEXIST;
  if ((flags & BPF_F_LOCK) != 0 && !has_spin_lock(*desc)) return -EINVAL;
  return 0;
}

long store(const OpCtx& ctx, const MapDesc* desc, void* to, const void* value, u64 flags) noexcept {
  if ((flags & BPF_F_LOCK) == 0) {
    copy_map_value(*desc, to, value, desc->value_size);
    return 0;
  }
  const LockedValue lock(ctx, *desc, to);
  if (!lock.held()) return -EBUSY;
  copy_map_value(*desc, to, value, desc->value_size);
  return 0;
}

long array_update(const OpCtx& ctx, MapDesc* desc, const void* key, const void* value, u64 flags) noexcept {
  const u32 index = array_index(key);
  if (const long err = check_update(desc, index, flags); err != 0) return err;
  return store(ctx, desc, value_of_run(ctx, desc, index), value, flags);
}

long array_erase(const OpCtx&, MapDesc*, const void*) noexcept { return -EINVAL; }

/// Linux: arraymap.c:bpf_percpu_array_copy(), syscall.c:bpf_map_copy_value()
long array_read_value(const OpCtx& ctx, MapDesc* desc, const void* key, void* value, u64 flags) noexcept {
  if ((flags & ~BPF_F_LOCK) != 0 || (flags != 0 && !has_spin_lock(*desc))) return -EINVAL;
  const u32 index = array_index(key);
  if (index >= desc->max_entries) return -ENOENT;
  const u8* from = elem_at(desc, index);
  if (is_percpu(*desc)) {
    for (u64 at = 0; at < desc->elem_size; at += desc->value_stride)
      show_map_value(*desc, static_cast<u8*>(value) + at, from + at, desc->value_stride);
    return 0;
  }
  if (flags == 0) {
    show_map_value(*desc, value, from, desc->value_size);
    return 0;
  }
  const LockedValue lock(ctx, *desc, from);
  if (!lock.held()) return -EBUSY;
  show_map_value(*desc, value, from, desc->value_size);
  return 0;
}

/// Linux: arraymap.c:bpf_percpu_array_update(), array_map_update_elem()
long array_write_value(const OpCtx& ctx, MapDesc* desc, const void* key, const void* value, u64 flags) noexcept {
  // Linux: syscall.c:map_update_elem() refuses a lock that is not there before it asks the kind.
  if ((flags & BPF_F_LOCK) != 0 && !has_spin_lock(*desc)) return -EINVAL;
  const u32 index = array_index(key);
  if (const long err = check_update(desc, index, flags); err != 0) return err;
  u8* to = elem_at(desc, index);
  if (!is_percpu(*desc)) return store(ctx, desc, to, value, flags);
  for (u64 at = 0; at < desc->elem_size; at += desc->value_stride)
    copy_map_value(*desc, to + at, static_cast<const u8*>(value) + at, desc->value_stride);
  return 0;
}

bool array_holds_value(const MapDesc* desc, u64 addr, u64 size) noexcept {
  const u64 off = addr - reinterpret_cast<u64>(desc->elems);
  if (off >= static_cast<u64>(desc->n_elems) * desc->elem_size) return false;
  const u64 within = off % desc->value_stride;
  return within < desc->value_size && size <= desc->value_size - within;
}

/// Linux: arraymap.c:array_map_direct_value_addr()
long array_direct_value_addr(const MapDesc& desc, u64* imm, u32 off) noexcept {
  if (desc.max_entries != 1) return -MAP_ENOTSUPP;
  if (off >= desc.value_size) return -EINVAL;
  *imm = reinterpret_cast<u64>(desc.elems);
  return 0;
}

}  // namespace

const MapOps ARRAY_MAP_OPS = {
    .type = BPF_MAP_TYPE_ARRAY,
    .name = "array",
    .per_cpu = false,
    .alloc_check = array_alloc_check,
    .layout = array_layout,
    .init = array_init,
    .mem_usage = array_mem_usage,
    .lookup = array_lookup,
    .update = array_update,
    .erase = array_erase,
    .get_next_key = array_get_next_key,
    .read_value = array_read_value,
    .write_value = array_write_value,
    .take_value = nullptr,
    .holds_value = array_holds_value,
    .mmap_size = array_mmap_size,
    .direct_value_addr = array_direct_value_addr,
    .recover = nullptr,
    .inner_same_size = true,
};

const MapOps PERCPU_ARRAY_OPS = {
    .type = BPF_MAP_TYPE_PERCPU_ARRAY,
    .name = "percpu_array",
    .per_cpu = true,
    .alloc_check = array_alloc_check,
    .layout = array_layout,
    .init = array_init,
    .mem_usage = array_mem_usage,
    .lookup = array_lookup,
    .update = array_update,
    .erase = array_erase,
    .get_next_key = array_get_next_key,
    .read_value = array_read_value,
    .write_value = array_write_value,
    .take_value = nullptr,
    .holds_value = array_holds_value,
    .mmap_size = nullptr,
    .direct_value_addr = nullptr,
    .recover = nullptr,
};

}  // namespace skep
