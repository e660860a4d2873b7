// RINGBUF as a map: creation, and elements that do not exist. Records are buffers/'.
// RAM: consumer page, producer page, data (which every process maps a second time behind itself, see RingMapping).
// Linux: kernel/bpf/ringbuf.c
#include "maps/kinds.h"

namespace skep {
namespace {

constexpr u64 POS_PAGES = 2, META_PAGES = 3;  // Linux: ringbuf.c:RINGBUF_POS_PAGES, RINGBUF_NR_META_PAGES

long ringbuf_layout(const MapSpec& spec, u32 nr_cpus, MapDesc* out) noexcept {
  layout_common(spec, nr_cpus, out);
  out->n_elems = 0;
  out->elem_size = 0;
  out->elem_value_off = 0;
  out->ram_bytes = POS_PAGES * PAGE_SIZE + spec.max_entries;
  return 0;
}

void ringbuf_init(const Window&, MapDesc*) noexcept {}

void* no_lookup(const OpCtx&, MapDesc*, const void*) noexcept { return nullptr; }
long no_update(const OpCtx&, MapDesc*, const void*, const void*, u64) noexcept { return -MAP_ENOTSUPP; }
long no_erase(const OpCtx&, MapDesc*, const void*) noexcept { return -MAP_ENOTSUPP; }
long no_next_key(const OpCtx&, MapDesc*, const void*, void*) noexcept { return -MAP_ENOTSUPP; }
long no_read(const OpCtx&, MapDesc*, const void*, void*, u64 flags) noexcept { return flags != 0 ? -EINVAL : -MAP_ENOTSUPP; }
bool no_value(const MapDesc*, u64, u64) noexcept { return false; }

}  // namespace

// Its -E2BIG needs more than 32 bits of max_entries.
long ringbuf_alloc_check(const MapSpec& spec) noexcept {
  if ((spec.map_flags & ~BPF_F_NUMA_NODE) != 0) return -EINVAL;
  const bool power_of_two = spec.max_entries != 0 && (spec.max_entries & (spec.max_entries - 1)) == 0;
  if (spec.key_size != 0 || spec.value_size != 0 || !power_of_two || spec.max_entries % PAGE_SIZE != 0) return -EINVAL;
  return 0;
}

/// Linux: ringbuf.c:ringbuf_map_mem_usage()
u64 ringbuf_mem_usage(const MapDesc& desc) noexcept {
  const u64 data_pages = desc.max_entries / PAGE_SIZE;
  return SIZEOF_BPF_RINGBUF_MAP + (META_PAGES + data_pages) * PAGE_SIZE + (META_PAGES + 2 * data_pages) * 8;
}

const MapOps RINGBUF_OPS = {
    .type = BPF_MAP_TYPE_RINGBUF,
    .name = "ringbuf",
    .per_cpu = false,
    .alloc_check = ringbuf_alloc_check,
    .layout = ringbuf_layout,
    .init = ringbuf_init,
    .mem_usage = ringbuf_mem_usage,
    .lookup = no_lookup,
    .update = no_update,
    .erase = no_erase,
    .get_next_key = no_next_key,
    .read_value = no_read,
    .write_value = no_update,
    .take_value = nullptr,
    .holds_value = no_value,
    .mmap_size = nullptr,
    .direct_value_addr = nullptr,
    .recover = nullptr,
};

}  // namespace skep
