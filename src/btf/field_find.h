// btf: where special fields lie in a type; seen by the room's own files only.
#pragma once
#include <span>
#include <string_view>

#include "btf/fields.h"

namespace skep {

/// A field that was found and not looked into yet.
struct FieldInfo {
  btf_field_type type{};
  u32 off = 0;
  u32 type_id = 0;             // KPTR: the struct pointed to. Graph root: the struct held.
  std::string_view node_name;  // graph root: the member of that struct that links it
};

/// Finds the fields of `field_mask` in a struct or datasec, into `out`; returns how many. Linux: btf.c:btf_find_field()
Result<u32> find_fields(const Btf& btf, const btf_type* t, u32 field_mask, std::span<FieldInfo> out);

/// Is `t` a pointer with a kptr tag? Nothing if it is not; EINVAL for a tag that is not known. Linux: btf.c:btf_find_kptr()
Result<bool> find_kptr(const Btf& btf, const btf_type* t, u32 off, FieldInfo& out);

}  // namespace skep
