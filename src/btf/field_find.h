// btf: where special fields lie in a type; seen by the room's own files only.
#pragma once
#include <span>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "btf/fields.h"

namespace skep {

/// A field that was found and not looked into yet.
struct FieldInfo {
  btf_field_type type{};
  u32 off = 0;
  u32 type_id = 0;             // KPTR: the struct pointed to. Graph root: the struct held.
  std::string_view node_name;  // graph root: the member of that struct that links it
};

/// What was found in the structs that others contain, for one field_mask: a struct used by many is searched once.
struct FieldCache {
  struct Found {
    std::vector<FieldInfo> fields;  // offsets within the struct
    u32 once = 0;                   // kinds met that a type may have once
    u32 height = 0;                 // how deep structs lie in it
  };
  std::unordered_map<const btf_type*, Found> structs;
};

/// Finds the fields of `field_mask` in a struct or datasec, into `out`; returns how many. Linux: btf.c:btf_find_field()
Result<u32> find_fields(const Btf& btf, const btf_type* t, u32 field_mask, std::span<FieldInfo> out, FieldCache& cache);

/// parse_fields() with a cache that may be shared by calls for the same btf and field_mask.
Result<BtfRecord> parse_fields_cached(const Btf& btf, const btf_type* t, u32 field_mask, u32 value_size, const KernelTypes* kernel,
                                      FieldCache& cache);

/// Is `t` a pointer with a kptr tag? Nothing if it is not; EINVAL for a tag that is not known. Linux: btf.c:btf_find_kptr()
Result<bool> find_kptr(const Btf& btf, const btf_type* t, u32 off, FieldInfo& out);

}  // namespace skep
