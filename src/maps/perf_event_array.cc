// PERF_EVENT_ARRAY: its elements are perf events, pointers in ROM that only the host writes (MapDesc::perf_events): no RAM at all.
// Linux: kernel/bpf/arraymap.c:perf_event_array_map_ops
#include "maps/array.h"

namespace skep {
namespace {

/// Linux: arraymap.c:fd_array_map_alloc_check()
long perf_alloc_check(const MapSpec& spec) noexcept {
  if (spec.value_size != sizeof(u32)) return -EINVAL;
  if ((spec.map_flags & (BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG)) != 0) return -EINVAL;
  return array_alloc_check(spec);
}

long perf_layout(const MapSpec& spec, u32 nr_cpus, MapDesc* out) noexcept {
  layout_common(spec, nr_cpus, out);
  out->n_elems = spec.max_entries;
  out->elem_size = sizeof(RingDesc*);
  out->elem_value_off = 0;
  out->ram_bytes = 0;
  // The pointers stand in ROM.
  return static_cast<u64>(spec.max_entries) * sizeof(RingDesc*) > ROM_SIZE ? -ENOMEM : 0;
}

void perf_init(const Window&, MapDesc*) noexcept {}
u64 perf_mem_usage(const MapDesc& desc) noexcept { return SIZEOF_BPF_ARRAY + static_cast<u64>(desc.max_entries) * desc.elem_size; }
void* perf_lookup(const OpCtx&, MapDesc*, const void*) noexcept { return nullptr; }
/// Linux: arraymap.c:bpf_fd_array_map_lookup_elem(): this kind has no map_fd_sys_lookup_elem.
long perf_read_value(const OpCtx&, MapDesc*, const void*, void*, u64 flags) noexcept {
  return flags != 0 ? -EINVAL : -MAP_ENOTSUPP;
}
bool perf_holds_value(const MapDesc*, u64, u64) noexcept { return false; }

}  // namespace

const MapOps PERF_EVENT_ARRAY_OPS = {
    .type = BPF_MAP_TYPE_PERF_EVENT_ARRAY,
    .name = "perf_event_array",
    .per_cpu = false,
    .alloc_check = perf_alloc_check,
    .layout = perf_layout,
    .init = perf_init,
    .mem_usage = perf_mem_usage,
    .lookup = perf_lookup,
    .update = nullptr,
    .erase = nullptr,
    .get_next_key = array_get_next_key,
    .read_value = perf_read_value,
    .write_value = nullptr,
    .take_value = nullptr,
    .holds_value = perf_holds_value,
    .mmap_size = nullptr,
    .direct_value_addr = nullptr,
    .recover = nullptr,
};

}  // namespace skep
