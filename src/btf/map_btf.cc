#include "btf/map_btf.h"

namespace skep {

namespace {

constexpr u32 VALUE_FIELDS = BPF_SPIN_LOCK | BPF_TIMER | BPF_KPTR | BPF_LIST_HEAD | BPF_RB_ROOT | BPF_REFCOUNT | BPF_WORKQUEUE;

/// A set of map types, one bit each.
template <typename... Types>
constexpr u64 types(Types... t) {
  return ((u64{1} << t) | ...);
}
constexpr bool has(u64 set, bpf_map_type t) { return t < MAX_BPF_MAP_TYPE_ && (set >> t & 1) != 0; }

constexpr u64 LOCAL_STORAGE =
    types(BPF_MAP_TYPE_SK_STORAGE, BPF_MAP_TYPE_INODE_STORAGE, BPF_MAP_TYPE_TASK_STORAGE, BPF_MAP_TYPE_CGRP_STORAGE);
constexpr u64 TIMER_MAPS = types(BPF_MAP_TYPE_HASH, BPF_MAP_TYPE_LRU_HASH, BPF_MAP_TYPE_ARRAY);
constexpr u64 LOCK_MAPS = types(BPF_MAP_TYPE_HASH, BPF_MAP_TYPE_ARRAY, BPF_MAP_TYPE_CGROUP_STORAGE) | LOCAL_STORAGE;
constexpr u64 KPTR_MAPS =
    TIMER_MAPS | LOCAL_STORAGE | types(BPF_MAP_TYPE_PERCPU_HASH, BPF_MAP_TYPE_LRU_PERCPU_HASH, BPF_MAP_TYPE_PERCPU_ARRAY);

struct FieldRule {
  u32 fields;
  u64 map_types;
};
constexpr FieldRule FIELD_RULES[] = {
    {BPF_SPIN_LOCK, LOCK_MAPS}, {BPF_TIMER | BPF_WORKQUEUE | BPF_GRAPH_ROOT, TIMER_MAPS}, {BPF_KPTR | BPF_REFCOUNT, KPTR_MAPS}};

Status check_special_fields(const BtfRecord& record, const MapShape& map) {
  if (!map.cap_bpf) return Errno(EPERM);
  if ((map.map_flags & (BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG)) != 0) return Errno(EACCES);
  for (const FieldRule& rule : FIELD_RULES)
    if (record.has_field(rule.fields) && !has(rule.map_types, map.map_type)) return Errno(EOPNOTSUPP);
  return ok_status();
}

bool is_whole_int(const btf_type* t, u32 bits) {
  return btf_is_int(t) && BTF_INT_BITS(btf_int_data(t)) == bits && BTF_INT_OFFSET(btf_int_data(t)) == 0;
}

// What a map type's key may be. `key` is void where the caller named none.
struct Types {
  const Btf& btf;
  const btf_type *key, *value;
  const MapShape& map;
};
Status einval_unless(bool ok) { return ok ? ok_status() : Status(Errno(EINVAL)); }

// Linux: arraymap.c:array_map_check_btf(). The maps of global data (.bss, .rodata) have no key type.
Status array_check(const Types& t) {
  if (btf_is_void(t.key))
    return einval_unless(t.map.map_type == BPF_MAP_TYPE_ARRAY && t.map.max_entries == 1 && btf_is_datasec(t.value));
  return einval_unless(is_whole_int(t.key, 32));
}
Status keyed_check(const Types& t) { return einval_unless(!btf_is_void(t.key)); }
Status keyless_check(const Types& t) { return einval_unless(btf_is_void(t.key)); }  // Linux: bloom_filter.c:bloom_map_check_btf()
Status struct_key_check(const Types& t) { return einval_unless(btf_is_struct(t.key)); }  // Linux: lpm_trie.c:trie_check_btf()
// Linux: bpf_local_storage.c:bpf_local_storage_map_check_btf()
Status storage_check(const Types& t) { return einval_unless(is_whole_int(t.key, 32)); }
Status any_check(const Types&) { return ok_status(); }    // Linux: arena.c:arena_map_check_btf()
Status no_btf(const Types&) { return Errno(ENOTSUPP_); }  // Linux: syscall.c:map_check_no_btf()

/// A whole int of `size` bytes, `offset` bytes into the struct. Linux: btf.c:btf_member_is_reg_int()
bool member_is_reg_int(const Btf& btf, const btf_type* s, const btf_member* m, u32 offset, u32 size) {
  u32 id = m->type;
  const btf_type* t = btf.type_id_size(&id, nullptr);
  if (t == nullptr || !btf_is_int(t)) return false;
  const u32 data = btf_int_data(t), bits = BTF_INT_BITS(data), at = btf_member_bit_offset(s, m);
  const bool fits = bits_roundup_bytes(at) == offset && bits_roundup_bytes(bits) == size;
  if (btf_kflag(s)) return btf_member_bitfield_size(s, m) == 0 && fits;
  return BTF_INT_OFFSET(data) == 0 && bits_per_byte_masked(at) == 0 && bits_per_byte_masked(bits) == 0 && fits;
}

// Linux: local_storage.c:cgroup_storage_check_btf(). The key is struct bpf_cgroup_storage_key or the cgroup's id alone.
Status cgroup_storage_check(const Types& t) {
  constexpr u32 STORAGE_KEY_SIZE = 16;
  if (t.map.key_size != STORAGE_KEY_SIZE) return einval_unless(is_whole_int(t.key, 64));
  if (!btf_is_struct(t.key) || btf_vlen(t.key) != 2) return Errno(EINVAL);
  const btf_member* m = btf_members(t.key);
  return einval_unless(member_is_reg_int(t.btf, t.key, &m[0], 0, 8) && member_is_reg_int(t.btf, t.key, &m[1], 8, 4));
}

struct TypeRule {
  u64 map_types;
  Status (*check)(const Types&);
};
// A map type in no line has no rule of its own, and must be given a key type.
constexpr TypeRule TYPE_RULES[] = {
    {types(BPF_MAP_TYPE_ARRAY, BPF_MAP_TYPE_PERCPU_ARRAY), array_check},
    {types(BPF_MAP_TYPE_HASH, BPF_MAP_TYPE_PERCPU_HASH, BPF_MAP_TYPE_LRU_HASH, BPF_MAP_TYPE_LRU_PERCPU_HASH), keyed_check},
    {types(BPF_MAP_TYPE_LPM_TRIE), struct_key_check},
    {types(BPF_MAP_TYPE_BLOOM_FILTER), keyless_check},
    {types(BPF_MAP_TYPE_CGROUP_STORAGE, BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE), cgroup_storage_check},
    {LOCAL_STORAGE, storage_check},
    {types(BPF_MAP_TYPE_ARENA), any_check},
    {types(BPF_MAP_TYPE_PERF_EVENT_ARRAY, BPF_MAP_TYPE_CGROUP_ARRAY, BPF_MAP_TYPE_ARRAY_OF_MAPS, BPF_MAP_TYPE_HASH_OF_MAPS,
           BPF_MAP_TYPE_STACK_TRACE, BPF_MAP_TYPE_DEVMAP, BPF_MAP_TYPE_DEVMAP_HASH, BPF_MAP_TYPE_CPUMAP, BPF_MAP_TYPE_XSKMAP,
           BPF_MAP_TYPE_SOCKMAP, BPF_MAP_TYPE_SOCKHASH),
     no_btf}};

const TypeRule* rule_of(bpf_map_type type) {
  for (const TypeRule& rule : TYPE_RULES)
    if (has(rule.map_types, type)) return &rule;
  return nullptr;
}

}  // namespace

Result<BtfRecord> map_check_btf(const Btf& btf, u32 btf_key_id, u32 btf_value_id, const MapShape& map, const KernelTypes* kernel) {
  const TypeRule* rule = rule_of(map.map_type);
  const btf_type* key = btf.type_by_id(0);
  if (btf_key_id != 0) {
    u32 key_size = 0;
    key = btf.type_id_size(&btf_key_id, &key_size);
    if (key == nullptr || key_size != map.key_size) return Errno(EINVAL);
  } else if (rule == nullptr) {
    return Errno(EINVAL);
  }
  u32 value_size = 0;
  const btf_type* value = btf.type_id_size(&btf_value_id, &value_size);
  if (value == nullptr || value_size != map.value_size) return Errno(EINVAL);

  auto parsed = parse_fields(btf, value, VALUE_FIELDS, map.value_size, kernel);
  BtfRecord record = parsed.ok() ? std::move(*parsed) : BtfRecord{};
  if (!record.fields.empty()) TRY(check_special_fields(record, map));
  TRY(check_graph_roots(btf, record));
  if (rule != nullptr) TRY(rule->check({btf, key, value, map}));
  return record;
}

}  // namespace skep
