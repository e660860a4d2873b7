// LPM_TRIE. Linux: kernel/bpf/lpm_trie.c. See lpm_layout.h.
#include "maps/kinds.h"
#include "maps/lpm_find.h"
#include "maps/lpm_write.h"

namespace skep {
namespace {

constexpr u64 SIZEOF_LPM_NODE = 40;  // Linux: sizeof(struct lpm_trie_node)
constexpr u32 DATA_MAX = 256;
/// Memory is taken as it is used, so max_entries may be anything: past this many bytes there are no more nodes, which is -ENOMEM.
constexpr u64 MOST_BYTES = 8ULL << 30;
/// Torn copies of values that are replaced all the time.
constexpr u32 MAX_COPIES = 1000;

/// Linux: lpm_trie.c:trie_alloc()
long lpm_alloc_check(const MapSpec& s) noexcept {
  constexpr u32 known = BPF_F_NO_PREALLOC | BPF_F_NUMA_NODE | BPF_F_ACCESS_MASK;
  const bool ok = s.max_entries != 0 && (s.map_flags & BPF_F_NO_PREALLOC) != 0 && (s.map_flags & ~known) == 0 &&
                  map_flags_access_ok(s.map_flags) && s.key_size >= LPM_PREFIX + 1 && s.key_size <= LPM_PREFIX + DATA_MAX &&
                  s.value_size >= 1 && s.value_size <= KMALLOC_MAX_SIZE - DATA_MAX - SIZEOF_LPM_NODE;
  return ok ? 0 : -EINVAL;
}

u32 floor_log2(u32 n) noexcept { return 31 - static_cast<u32>(__builtin_clz(n)); }
u32 least(u32 a, u32 b) noexcept { return a < b ? a : b; }

/// Each prefix brings at most one im node with it.
long lpm_layout(const MapSpec& spec, u32 nr_cpus, MapDesc* out) noexcept {
  layout_common(spec, nr_cpus, out);
  const u32 data_size = spec.key_size - LPM_PREFIX;
  out->n_buckets = 1u << least(least(floor_log2(spec.max_entries), data_size * 8), LPM_MAX_TOP_BITS);
  out->elem_size = out->value_stride;
  out->elem_value_off = 0;
  const u64 each = lpm_node_size(data_size) + sizeof(u32) + out->value_stride;
  const u64 wanted = 2 * static_cast<u64>(spec.max_entries) + LPM_REST, most = MOST_BYTES / each;
  const u64 cap = most < (1u << LPM_INDEX_BITS) - 1 ? most : (1u << LPM_INDEX_BITS) - 2;
  out->n_elems = static_cast<u32>(wanted < cap ? wanted : cap);
  const u64 bytes = lpm_nodes_at(out->n_buckets) + each * out->n_elems + PAGE_SIZE;
  out->ram_bytes = round_up<u64>(bytes, PAGE_SIZE);
  return 0;
}

void lpm_init(const Window&, MapDesc* desc) noexcept {
  desc->state = desc->ram;
  desc->buckets = desc->ram + sizeof(LpmState);
  const LpmTrie t(desc);
  const u64 end = reinterpret_cast<u64>(t.queue() + desc->n_elems);
  desc->elems = desc->ram + (round_up<u64>(end, 64) - reinterpret_cast<u64>(desc->ram));
}

/// Linux: lpm_trie.c:trie_mem_usage()
u64 lpm_mem_usage(const MapDesc& d) noexcept {
  return (SIZEOF_LPM_NODE + d.key_size - LPM_PREFIX + d.value_size) * load_relaxed(&static_cast<const LpmState*>(d.state)->entries);
}

void* lookup(const OpCtx&, MapDesc* desc, const void* key) noexcept { return lpm_lookup(desc, key); }

long next_key(const OpCtx&, MapDesc* desc, const void* key, void* next) noexcept { return lpm_next_key(desc, key, next); }

long read_value(const OpCtx&, MapDesc* desc, const void* key, void* value, u64 flags) noexcept {
  if (flags != 0) return -EINVAL;
  const LpmTrie t(desc);
  for (u32 i = 0; i < MAX_COPIES; ++i) {
    const LpmFound found = lpm_find(desc, key);
    if (found.index1 == 0) return -ENOENT;
    copy_bytes(value, t.value(found.index1), desc->value_size);
    if (lpm_still_same(t.node(found.index1), found.link)) return 0;
  }
  return -EBUSY;
}

bool holds_value(const MapDesc* desc, u64 addr, u64 size) noexcept {
  const u64 off = addr - reinterpret_cast<u64>(desc->elems);
  if (off >= static_cast<u64>(desc->n_elems) * desc->elem_size) return false;
  const u64 within = off % desc->elem_size;
  return within < desc->value_size && size <= desc->value_size - within;
}

}  // namespace

const MapOps LPM_TRIE_OPS = {
    .type = BPF_MAP_TYPE_LPM_TRIE,
    .name = "lpm_trie",
    .per_cpu = false,
    .alloc_check = lpm_alloc_check,
    .layout = lpm_layout,
    .init = lpm_init,
    .mem_usage = lpm_mem_usage,
    .lookup = lookup,
    .update = lpm_update,
    .erase = lpm_erase,
    .get_next_key = next_key,
    .read_value = read_value,
    .write_value = lpm_update,
    .take_value = nullptr,
    .holds_value = holds_value,
    .mmap_size = nullptr,
    .direct_value_addr = nullptr,
    .recover = lpm_recover,
};

}  // namespace skep
