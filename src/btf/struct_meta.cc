// btf: which structs of the program carry special fields, so that bpf_obj_new() and friends know them.
#include <algorithm>

#include "btf/env.h"
#include "btf/field_find.h"

namespace skep {

namespace {

constexpr u32 OBJECT_FIELDS = BPF_SPIN_LOCK | BPF_LIST_HEAD | BPF_LIST_NODE | BPF_RB_ROOT | BPF_RB_NODE | BPF_REFCOUNT;

/// Ids of the types that make a member special: the named structs, and tagged pointers. Ascending.
std::vector<u32> special_types(const Btf& btf) {
  std::vector<u32> ids;
  for (u32 bit = 1; bit <= OBJECT_FIELDS; bit <<= 1) {
    if ((OBJECT_FIELDS & bit) == 0) continue;
    const auto id = btf.find_by_name_kind(btf_field_type_name(static_cast<btf_field_type>(bit)), BTF_KIND_STRUCT);
    if (id.ok()) ids.push_back(*id);
  }
  for (u32 id = 1; id < btf.nr_types(); ++id) {
    FieldInfo ignored;
    const auto kptr = find_kptr(btf, btf.type_by_id(id), 0, ignored);
    if (kptr.ok() && *kptr) ids.push_back(id);
  }
  std::sort(ids.begin(), ids.end());
  return ids;
}

bool has_member_of(const btf_type* t, const std::vector<u32>& ids) {
  for (u32 i = 0; i < btf_vlen(t); ++i)
    if (std::binary_search(ids.begin(), ids.end(), btf_members(t)[i].type)) return true;
  return false;
}

}  // namespace

// Linux: btf.c:btf_parse_struct_metas()
Status BtfEnv::parse_struct_metas() {
  const std::vector<u32> special = special_types(btf);
  if (special.empty()) return ok_status();
  FieldCache cache;
  for (u32 id = 1; id < btf.nr_types(); ++id) {
    const btf_type* t = btf.type_by_id(id);
    if (!btf_is_struct(t) || !has_member_of(t, special)) continue;
    BtfRecord record = TRY(parse_fields_cached(btf, t, OBJECT_FIELDS | BPF_KPTR, t->size, kernel, cache));
    if (record.fields.empty()) return Errno(EFAULT);  // a special member that is none: of the wrong size, or misaligned
    btf.struct_metas_.push_back({id, std::move(record)});
  }
  return ok_status();
}

/// Length of the longest chain of structs that own each other from this one on; at most depth_left, which bounds the recursion.
/// Linux: btf.c:btf_ownership_depth()
Result<s32> BtfEnv::ownership_depth(std::vector<u8>& depth, std::size_t index, u32 depth_left) const {
  if (depth_left == 0) return Errno(ELOOP);
  if (depth[index] == 0) {
    s32 deepest = 0;
    for (const BtfField& f : btf.struct_metas_[index].record.fields) {
      const bool root = (f.type & BPF_GRAPH_ROOT) != 0;
      const bool owner = f.type == BPF_KPTR_REF || f.type == BPF_KPTR_PERCPU;
      if (!root && (!owner || f.btf != &btf)) continue;  // a kernel object frees itself
      const auto held = btf.struct_meta_index(f.btf_id);
      if (!held.ok()) continue;  // nothing special inside; for roots check_graph_roots() has refused that
      deepest = std::max(deepest, TRY(ownership_depth(depth, *held, depth_left - 1)));
    }
    depth[index] = static_cast<u8>(deepest + 1);
  }
  if (depth[index] > depth_left) return Errno(ELOOP);
  return static_cast<s32>(depth[index]);
}

// Linux: btf.c:btf_check_ownership_depth()
Status BtfEnv::check_ownership_depth() {
  constexpr u32 MAX_OWNERSHIP_DEPTH = 8;
  std::vector<u8> depth(btf.struct_metas_.size(), 0);
  for (std::size_t i = 0; i < depth.size(); ++i) TRY(ownership_depth(depth, i, MAX_OWNERSHIP_DEPTH));
  return ok_status();
}

}  // namespace skep
