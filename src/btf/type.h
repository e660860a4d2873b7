// btf: what one btf_type says of itself. Pure functions over bytes that parse() has already found complete.
#pragma once
#include "uapi/btf.h"

namespace skep {

inline u32 btf_kind_of(const btf_type* t) noexcept { return BTF_INFO_KIND(t->info); }
inline u32 btf_vlen(const btf_type* t) noexcept { return BTF_INFO_VLEN(t->info); }
inline bool btf_kflag(const btf_type* t) noexcept { return BTF_INFO_KFLAG(t->info); }

inline bool btf_is_void(const btf_type* t) noexcept { return btf_kind_of(t) == BTF_KIND_UNKN; }
inline bool btf_is_int(const btf_type* t) noexcept { return btf_kind_of(t) == BTF_KIND_INT; }
inline bool btf_is_ptr(const btf_type* t) noexcept { return btf_kind_of(t) == BTF_KIND_PTR; }
inline bool btf_is_array(const btf_type* t) noexcept { return btf_kind_of(t) == BTF_KIND_ARRAY; }
inline bool btf_is_struct(const btf_type* t) noexcept { return btf_kind_of(t) == BTF_KIND_STRUCT; }
inline bool btf_is_composite(const btf_type* t) noexcept { return btf_is_struct(t) || btf_kind_of(t) == BTF_KIND_UNION; }
inline bool btf_is_any_enum(const btf_type* t) noexcept {
  return btf_kind_of(t) == BTF_KIND_ENUM || btf_kind_of(t) == BTF_KIND_ENUM64;
}
inline bool btf_is_fwd(const btf_type* t) noexcept { return btf_kind_of(t) == BTF_KIND_FWD; }
inline bool btf_is_typedef(const btf_type* t) noexcept { return btf_kind_of(t) == BTF_KIND_TYPEDEF; }
inline bool btf_is_volatile(const btf_type* t) noexcept { return btf_kind_of(t) == BTF_KIND_VOLATILE; }
inline bool btf_is_type_tag(const btf_type* t) noexcept { return btf_kind_of(t) == BTF_KIND_TYPE_TAG; }
inline bool btf_is_func(const btf_type* t) noexcept { return btf_kind_of(t) == BTF_KIND_FUNC; }
inline bool btf_is_func_proto(const btf_type* t) noexcept { return btf_kind_of(t) == BTF_KIND_FUNC_PROTO; }
inline bool btf_is_var(const btf_type* t) noexcept { return btf_kind_of(t) == BTF_KIND_VAR; }
inline bool btf_is_datasec(const btf_type* t) noexcept { return btf_kind_of(t) == BTF_KIND_DATASEC; }
inline bool btf_is_decl_tag(const btf_type* t) noexcept { return btf_kind_of(t) == BTF_KIND_DECL_TAG; }

/// A type whose size is that of the type it names: qualifiers, typedefs and type tags. Linux: btf.c:btf_type_is_modifier()
inline bool btf_is_modifier(const btf_type* t) noexcept {
  switch (btf_kind_of(t)) {
    case BTF_KIND_TYPEDEF:
    case BTF_KIND_VOLATILE:
    case BTF_KIND_CONST:
    case BTF_KIND_RESTRICT:
    case BTF_KIND_TYPE_TAG:
      return true;
    default:
      return false;
  }
}
/// t->size is its size. Linux: btf.c:btf_type_has_size()
inline bool btf_has_size(const btf_type* t) noexcept {
  return btf_is_int(t) || btf_is_composite(t) || btf_is_any_enum(t) || btf_is_datasec(t) || btf_kind_of(t) == BTF_KIND_FLOAT;
}
/// Linux: btf.c:btf_type_nosize()
inline bool btf_no_size(const btf_type* t) noexcept {
  return btf_is_void(t) || btf_is_fwd(t) || btf_is_func(t) || btf_is_func_proto(t) || btf_is_decl_tag(t);
}
inline bool btf_no_size_or_null(const btf_type* t) noexcept { return t == nullptr || btf_no_size(t); }
/// May refer to others but nothing that is resolved may refer to it. Linux: btf.c:btf_type_is_resolve_source_only()
inline bool btf_is_source_only(const btf_type* t) noexcept { return btf_is_var(t) || btf_is_decl_tag(t) || btf_is_datasec(t); }
/// Linux: btf.c:btf_type_needs_resolve()
inline bool btf_needs_resolve(const btf_type* t) noexcept {
  return btf_is_modifier(t) || btf_is_ptr(t) || btf_is_composite(t) || btf_is_array(t) || btf_is_func(t) || btf_is_source_only(t);
}

/// The data behind a type. REQUIRES: t is of the kind named and was accepted by parse().
template <typename T>
inline const T* btf_tail(const btf_type* t) noexcept {
  return reinterpret_cast<const T*>(t + 1);
}
inline u32 btf_int_data(const btf_type* t) noexcept { return *btf_tail<u32>(t); }
inline const btf_array* btf_array_of(const btf_type* t) noexcept { return btf_tail<btf_array>(t); }
inline const btf_member* btf_members(const btf_type* t) noexcept { return btf_tail<btf_member>(t); }
inline const btf_param* btf_params(const btf_type* t) noexcept { return btf_tail<btf_param>(t); }
inline const btf_enum* btf_enums(const btf_type* t) noexcept { return btf_tail<btf_enum>(t); }
inline const btf_enum64* btf_enums64(const btf_type* t) noexcept { return btf_tail<btf_enum64>(t); }
inline const btf_var_secinfo* btf_var_secinfos(const btf_type* t) noexcept { return btf_tail<btf_var_secinfo>(t); }
inline s32 btf_component_idx(const btf_type* t) noexcept { return btf_tail<btf_decl_tag>(t)->component_idx; }

/// Offset of a member in bits. Linux: include/linux/btf.h:__btf_member_bit_offset()
inline u32 btf_member_bit_offset(const btf_type* t, const btf_member* m) noexcept {
  return btf_kflag(t) ? BTF_MEMBER_BIT_OFFSET(m->offset) : m->offset;
}
/// Width of a bit field, 0 for a member that is none.
inline u32 btf_member_bitfield_size(const btf_type* t, const btf_member* m) noexcept {
  return btf_kflag(t) ? BTF_MEMBER_BITFIELD_SIZE(m->offset) : 0;
}

constexpr u32 bits_rounddown_bytes(u32 bits) noexcept { return bits >> 3; }
constexpr u32 bits_per_byte_masked(u32 bits) noexcept { return bits & 7; }
constexpr u32 bits_roundup_bytes(u32 bits) noexcept { return (bits >> 3) + ((bits & 7) != 0 ? 1 : 0); }
constexpr u32 BITS_PER_U128 = 128;

/// A whole number of 1, 2, 4, 8 or 16 bytes at offset 0. Linux: btf.c:btf_type_int_is_regular()
bool btf_int_is_regular(const btf_type* t) noexcept;
/// The kernel's word for a kind, as its log prints it.
const char* btf_kind_str(u32 kind) noexcept;

}  // namespace skep
