// maps: the tables that map_ops() chooses from, and what their checks share. Adding a kind: a file, a line here, a line in
// map_ops.cc.
#pragma once
#include <cerrno>

#include "base/bytes.h"
#include "maps/map_ops.h"

namespace skep {

extern const MapOps HASH_OPS, PERCPU_HASH_OPS, ARRAY_MAP_OPS, PERCPU_ARRAY_OPS, PERF_EVENT_ARRAY_OPS, RINGBUF_OPS, PROG_ARRAY_OPS,
    ARRAY_OF_MAPS_OPS, HASH_OF_MAPS_OPS, QUEUE_OPS, STACK_OPS, LPM_TRIE_OPS, LRU_HASH_OPS,
    LRU_PERCPU_HASH_OPS, STACK_TRACE_OPS, CGROUP_ARRAY_OPS, BLOOM_FILTER_OPS;

/// The kinds whose maps are never anything but empty here: see judged.cc. Null: not one of them.
const MapOps* judged_map_ops(u32 type) noexcept;

/// Linux: hashtab.c:htab_map_alloc_check(). Judges spec.type too.
long hash_alloc_check(const MapSpec& spec) noexcept;
/// Linux: ringbuf.c:ringbuf_map_alloc()
long ringbuf_alloc_check(const MapSpec& spec) noexcept;
u64 ringbuf_mem_usage(const MapDesc& desc) noexcept;
/// With `live` elements. Linux: hashtab.c:htab_map_mem_usage()
u64 hash_mem_usage(const MapDesc& desc, u64 live) noexcept;

/// Linux: include/linux/bpf.h:BPF_F_ACCESS_MASK
constexpr u32 BPF_F_ACCESS_MASK = BPF_F_RDONLY | BPF_F_RDONLY_PROG | BPF_F_WRONLY | BPF_F_WRONLY_PROG;
/// Largest value of one CPU. Linux: include/linux/percpu.h:PCPU_MIN_UNIT_SIZE
constexpr u64 PCPU_MIN_UNIT_SIZE = 32768;
/// Linux: include/linux/slab.h, with MAX_PAGE_ORDER 10
constexpr u64 KMALLOC_MAX_SIZE = 4ULL << 20;

/// Sizes of Linux 6.12's own structures (x86-64, Debian's configuration), for map_mem_usage only.
constexpr u64 SIZEOF_BPF_MAP = 248, SIZEOF_BPF_HTAB = 896, SIZEOF_HTAB_ELEM = 48, SIZEOF_BUCKET = 16, SIZEOF_BPF_ARRAY = 264,
              SIZEOF_BPF_RINGBUF_MAP = 256;

/// Linux: include/linux/bpf.h:bpf_map_flags_access_ok()
constexpr bool map_flags_access_ok(u32 flags) noexcept {
  return (flags & (BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG)) != (BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG);
}
/// Linux: include/linux/bpf.h:bpf_map_attr_numa_node()
constexpr u32 map_numa_node(const MapSpec& spec) noexcept {
  return (spec.map_flags & BPF_F_NUMA_NODE) != 0 ? spec.numa_node : NUMA_NO_NODE;
}
/// What every kind's layout() copies.
inline void layout_common(const MapSpec& spec, u32 nr_cpus, MapDesc* out) noexcept {
  out->type = spec.type;
  out->key_size = spec.key_size;
  out->value_size = spec.value_size;
  out->max_entries = spec.max_entries;
  out->map_flags = spec.map_flags;
  out->nr_cpus = nr_cpus;
  out->value_stride = round_up(spec.value_size, 8);
}

}  // namespace skep
