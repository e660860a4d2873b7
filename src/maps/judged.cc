// The kinds that are there for programs to name and for the verifier to judge. Their maps are made by Linux's rules and are honest,
// for ever empty maps: reads answer what an empty one answers, and what would put an element in (or look for one to take out) answers
// -EOPNOTSUPP, where Linux has no errno of its own that it always gives. Nothing succeeds without having been done.
#include "base/bytes.h"
#include "maps/array.h"
#include "maps/kinds.h"

namespace skep {
namespace {

constexpr u32 RDONLY_WRONLY = BPF_F_RDONLY | BPF_F_WRONLY;
constexpr u64 MAX_STACK = 512;           // Linux: include/linux/filter.h:MAX_BPF_STACK
constexpr u32 MAX_NR_CPUS = 8192;        // Linux: NR_CPUS of Debian's configuration
constexpr u32 SIZEOF_STORAGE_ELEM = 128; // Linux: sizeof(struct bpf_local_storage_elem)
constexpr u32 STORAGE_MAX_VALUE = 0xffff - SIZEOF_STORAGE_ELEM;
constexpr u32 SIZEOF_CGROUP_STORAGE_KEY = 16;

long einval_unless(bool ok) noexcept { return ok ? 0 : -EINVAL; }
bool only_flags(const MapSpec& s, u32 known) noexcept { return (s.map_flags & ~known) == 0; }

// ---- who may be made

/// Linux: devmap.c:dev_map_alloc_check()
long devmap_check(const MapSpec& s) noexcept {
  if (s.max_entries == 0 || s.key_size != 4 || (s.value_size != 4 && s.value_size != 8)) return -EINVAL;
  if (!only_flags(s, BPF_F_NUMA_NODE | RDONLY_WRONLY)) return -EINVAL;
  return einval_unless(s.type != BPF_MAP_TYPE_DEVMAP_HASH || s.max_entries <= 1u << 31);
}

/// Linux: cpumap.c:cpu_map_alloc()
long cpumap_check(const MapSpec& s) noexcept {
  if (s.max_entries == 0 || s.key_size != 4 || (s.value_size != 4 && s.value_size != 8) || !only_flags(s, BPF_F_NUMA_NODE))
    return -EINVAL;
  return s.max_entries > MAX_NR_CPUS ? -E2BIG : 0;
}

/// Linux: net/xdp/xskmap.c:xsk_map_alloc()
long xskmap_check(const MapSpec& s) noexcept {
  return einval_unless(s.max_entries != 0 && s.key_size == 4 && s.value_size == 4 && only_flags(s, BPF_F_NUMA_NODE | RDONLY_WRONLY));
}

/// Linux: net/core/sock_map.c:sock_map_alloc()
long sockmap_check(const MapSpec& s) noexcept {
  return einval_unless(s.max_entries != 0 && s.max_entries <= 0x7fffffff && s.key_size == 4 && (s.value_size == 4 || s.value_size == 8) &&
                       only_flags(s, BPF_F_NUMA_NODE | RDONLY_WRONLY));
}

/// Linux: net/core/sock_map.c:sock_hash_alloc()
long sockhash_check(const MapSpec& s) noexcept {
  if (s.max_entries == 0 || s.key_size == 0 || (s.value_size != 4 && s.value_size != 8)) return -EINVAL;
  if (!only_flags(s, BPF_F_NUMA_NODE | RDONLY_WRONLY)) return -EINVAL;
  if (s.key_size > MAX_STACK) return -E2BIG;
  return einval_unless(roundup_pow_of_two(s.max_entries) <= 0xffffffffu / 16);
}

/// Linux: reuseport_array.c:reuseport_array_alloc_check()
long reuseport_check(const MapSpec& s) noexcept {
  return s.value_size != 4 && s.value_size != 8 ? -EINVAL : array_alloc_check(s);
}

/// Linux: local_storage.c:cgroup_storage_map_alloc()
long cgroup_storage_check(const MapSpec& s) noexcept {
  const u32 most = s.type == BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE ? static_cast<u32>(PCPU_MIN_UNIT_SIZE) : STORAGE_MAX_VALUE;
  if ((s.key_size != SIZEOF_CGROUP_STORAGE_KEY && s.key_size != 8) || s.value_size == 0) return -EINVAL;
  if (s.value_size > most) return -E2BIG;
  return einval_unless(only_flags(s, BPF_F_NUMA_NODE | BPF_F_ACCESS_MASK) && map_flags_access_ok(s.map_flags) && s.max_entries == 0);
}

/// Linux: bpf_local_storage.c:bpf_local_storage_map_alloc_check()
long local_storage_check(const MapSpec& s) noexcept {
  if (!only_flags(s, BPF_F_NO_PREALLOC | BPF_F_CLONE) || (s.map_flags & BPF_F_NO_PREALLOC) == 0 || s.max_entries != 0) return -EINVAL;
  if (s.key_size != 4 || s.value_size == 0 || !s.key_btf || !s.value_btf) return -EINVAL;
  return s.value_size > STORAGE_MAX_VALUE ? -E2BIG : 0;
}

// ---- what they look like

long empty_layout(const MapSpec& spec, u32 nr_cpus, MapDesc* out) noexcept {
  layout_common(spec, nr_cpus, out);
  out->ram_bytes = 0;
  // Linux: devmap.c:dev_map_init_map(): programs read ifindex in place.
  if (spec.type == BPF_MAP_TYPE_DEVMAP || spec.type == BPF_MAP_TYPE_DEVMAP_HASH) out->map_flags |= BPF_F_RDONLY_PROG;
  return 0;
}
void empty_init(const Window&, MapDesc*) noexcept {}

/// Linux: the map_mem_usage of each, with no elements.
u64 empty_mem_usage(const MapDesc& d) noexcept {
  const u64 pointers = static_cast<u64>(d.max_entries) * 8, map = SIZEOF_BPF_MAP;
  switch (d.type) {
    case BPF_MAP_TYPE_DEVMAP: return map + 48 + pointers;
    case BPF_MAP_TYPE_DEVMAP_HASH: return map + 48 + roundup_pow_of_two(d.max_entries) * 8;
    case BPF_MAP_TYPE_CPUMAP:
    case BPF_MAP_TYPE_XSKMAP: return map + 8 + pointers;
    case BPF_MAP_TYPE_SOCKMAP: return map + 80 + pointers;
    case BPF_MAP_TYPE_SOCKHASH: return map + 88 + roundup_pow_of_two(d.max_entries) * 16;
    case BPF_MAP_TYPE_REUSEPORT_SOCKARRAY: return map + pointers;
    case BPF_MAP_TYPE_CGROUP_STORAGE:
    case BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE: return map + 32;
    case BPF_MAP_TYPE_USER_RINGBUF: return ringbuf_mem_usage(d);
    default: return map + 88 + 16 * (d.nr_cpus < 2 ? 2 : roundup_pow_of_two(d.nr_cpus));  // local storages
  }
}

// ---- what they answer

void* no_lookup(const OpCtx&, MapDesc*, const void*) noexcept { return nullptr; }
bool holds_no_value(const MapDesc*, u64, u64) noexcept { return false; }

template <int ERRNO>
long refuse_update(const OpCtx&, MapDesc*, const void*, const void*, u64) noexcept {
  return -ERRNO;
}
template <int ERRNO>
long refuse_erase(const OpCtx&, MapDesc*, const void*) noexcept {
  return -ERRNO;
}
template <int ERRNO>
long refuse_next_key(const OpCtx&, MapDesc*, const void*, void*) noexcept {
  return -ERRNO;
}
template <int ERRNO>
long refuse_read(const OpCtx&, MapDesc*, const void*, void*, u64) noexcept {
  return -ERRNO;
}
/// Linux: sock_map.c:sock_map_lookup_sys(): user space sees cookies, where they fit.
long read_no_cookie(const OpCtx&, MapDesc* desc, const void*, void*, u64) noexcept { return desc->value_size != 8 ? -ENOSPC : -ENOENT; }

using Check = long (*)(const MapSpec&) noexcept;
using Read = long (*)(const OpCtx&, MapDesc*, const void*, void*, u64) noexcept;
using NextKey = long (*)(const OpCtx&, MapDesc*, const void*, void*) noexcept;
using Update = long (*)(const OpCtx&, MapDesc*, const void*, const void*, u64) noexcept;
using Erase = long (*)(const OpCtx&, MapDesc*, const void*) noexcept;

struct Kind {
  u32 type;
  const char* name;
  Check check;
  NextKey next_key = refuse_next_key<ENOENT>;
  Read read = refuse_read<ENOENT>;
  Update update = refuse_update<EOPNOTSUPP>;
  Erase erase = refuse_erase<EOPNOTSUPP>;
  bool per_cpu = false, inner = true, inner_same_size = false;
};

constexpr NextKey NO_NEXT_KEY = refuse_next_key<static_cast<int>(MAP_ENOTSUPP)>;
constexpr Read NO_READ = refuse_read<static_cast<int>(MAP_ENOTSUPP)>;

constexpr Kind KINDS[] = {
    {.type = BPF_MAP_TYPE_DEVMAP, .name = "devmap", .check = devmap_check, .next_key = array_get_next_key},
    {.type = BPF_MAP_TYPE_DEVMAP_HASH, .name = "devmap_hash", .check = devmap_check},
    {.type = BPF_MAP_TYPE_CPUMAP, .name = "cpumap", .check = cpumap_check, .next_key = array_get_next_key},
    {.type = BPF_MAP_TYPE_XSKMAP,
     .name = "xskmap",
     .check = xskmap_check,
     .next_key = array_get_next_key,
     .read = refuse_read<EOPNOTSUPP>,
     .inner_same_size = true},
    {.type = BPF_MAP_TYPE_SOCKMAP, .name = "sockmap", .check = sockmap_check, .next_key = array_get_next_key, .read = read_no_cookie},
    {.type = BPF_MAP_TYPE_SOCKHASH, .name = "sockhash", .check = sockhash_check, .read = read_no_cookie},
    {.type = BPF_MAP_TYPE_REUSEPORT_SOCKARRAY,
     .name = "reuseport_sockarray",
     .check = reuseport_check,
     .next_key = array_get_next_key,
     .read = read_no_cookie},
    {.type = BPF_MAP_TYPE_CGROUP_STORAGE, .name = "cgroup_storage", .check = cgroup_storage_check, .inner = false},
    {.type = BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE,
     .name = "percpu_cgroup_storage",
     .check = cgroup_storage_check,
     .per_cpu = true,
     .inner = false},
    {.type = BPF_MAP_TYPE_SK_STORAGE, .name = "sk_storage", .check = local_storage_check, .next_key = NO_NEXT_KEY},
    {.type = BPF_MAP_TYPE_INODE_STORAGE, .name = "inode_storage", .check = local_storage_check, .next_key = NO_NEXT_KEY},
    {.type = BPF_MAP_TYPE_TASK_STORAGE, .name = "task_storage", .check = local_storage_check, .next_key = NO_NEXT_KEY},
    {.type = BPF_MAP_TYPE_CGRP_STORAGE, .name = "cgrp_storage", .check = local_storage_check, .next_key = NO_NEXT_KEY},
    {.type = BPF_MAP_TYPE_USER_RINGBUF,
     .name = "user_ringbuf",
     .check = ringbuf_alloc_check,
     .next_key = NO_NEXT_KEY,
     .read = NO_READ,
     .update = refuse_update<static_cast<int>(MAP_ENOTSUPP)>,
     .erase = refuse_erase<static_cast<int>(MAP_ENOTSUPP)>},
};
constexpr u32 NR_KINDS = sizeof(KINDS) / sizeof(KINDS[0]);

constexpr MapOps ops_of(const Kind& k) noexcept {
  return {
      .type = k.type,
      .name = k.name,
      .per_cpu = k.per_cpu,
      .alloc_check = k.check,
      .layout = empty_layout,
      .init = empty_init,
      .mem_usage = empty_mem_usage,
      .lookup = no_lookup,
      .update = k.update,
      .erase = k.erase,
      .get_next_key = k.next_key,
      .read_value = k.read,
      .write_value = k.update,
      .take_value = nullptr,
      .holds_value = holds_no_value,
      .mmap_size = nullptr,
      .direct_value_addr = nullptr,
      .recover = nullptr,
      .judge_only = true,
      .inner = k.inner,
      .inner_same_size = k.inner_same_size,
  };
}

struct Table {
  MapOps ops[NR_KINDS];
};
constexpr Table make_table() noexcept {
  Table t{};
  for (u32 i = 0; i < NR_KINDS; ++i) t.ops[i] = ops_of(KINDS[i]);
  return t;
}
constinit const Table TABLE = make_table();

}  // namespace

const MapOps* judged_map_ops(u32 type) noexcept {
  for (const MapOps& ops : TABLE.ops)
    if (ops.type == type) return &ops;
  return nullptr;
}

}  // namespace skep
