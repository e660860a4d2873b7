// uapi: the bytes of BTF and of the program metadata that refers to it, pinned at Linux 6.12 (include/uapi/linux/btf.h, and
// bpf_func_info and bpf_line_info of bpf.h). Data only; names are the kernel's. Never included together with <linux/btf.h>.
#pragma once
#include "base/types.h"

namespace skep {

constexpr u16 BTF_MAGIC = 0xeB9F;
constexpr u8 BTF_VERSION = 1;
constexpr u32 BTF_MAX_TYPE = 0x000fffff;         // greatest type id
constexpr u32 BTF_MAX_NAME_OFFSET = 0x00ffffff;  // greatest offset into the string section
constexpr u32 BTF_MAX_VLEN = 0xffff;             // most members, enumerators, parameters or variables of one type

/// Both offsets count from the end of this header (from hdr_len, which may be greater than the struct).
struct btf_header {
  u16 magic;
  u8 version, flags;
  u32 hdr_len, type_off, type_len, str_off, str_len;
};

/// info: vlen in bits 0-15, kind in bits 24-28, kind_flag in bit 31, the others zero. Each kind's own data follows the struct.
struct btf_type {
  u32 name_off;
  u32 info;
  union {
    u32 size;  // INT ENUM STRUCT UNION DATASEC FLOAT ENUM64
    u32 type;  // PTR TYPEDEF VOLATILE CONST RESTRICT FUNC FUNC_PROTO VAR DECL_TAG TYPE_TAG
  };
};

constexpr u32 BTF_INFO_KIND(u32 info) noexcept { return (info >> 24) & 0x1f; }
constexpr u32 BTF_INFO_VLEN(u32 info) noexcept { return info & 0xffff; }
constexpr bool BTF_INFO_KFLAG(u32 info) noexcept { return (info >> 31) != 0; }

enum btf_kind : u32 {
  BTF_KIND_UNKN, BTF_KIND_INT, BTF_KIND_PTR, BTF_KIND_ARRAY, BTF_KIND_STRUCT, BTF_KIND_UNION, BTF_KIND_ENUM, BTF_KIND_FWD,
  BTF_KIND_TYPEDEF, BTF_KIND_VOLATILE, BTF_KIND_CONST, BTF_KIND_RESTRICT, BTF_KIND_FUNC, BTF_KIND_FUNC_PROTO, BTF_KIND_VAR,
  BTF_KIND_DATASEC, BTF_KIND_FLOAT, BTF_KIND_DECL_TAG, BTF_KIND_TYPE_TAG, BTF_KIND_ENUM64, NR_BTF_KINDS,
  BTF_KIND_MAX = NR_BTF_KINDS - 1,
};

// INT is followed by one u32: bits 0-7, offset 16-23, encoding 24-27.
constexpr u32 BTF_INT_ENCODING(u32 val) noexcept { return (val & 0x0f000000) >> 24; }
constexpr u32 BTF_INT_OFFSET(u32 val) noexcept { return (val & 0x00ff0000) >> 16; }
constexpr u32 BTF_INT_BITS(u32 val) noexcept { return val & 0x000000ff; }
constexpr u32 BTF_INT_SIGNED = 1 << 0, BTF_INT_CHAR = 1 << 1, BTF_INT_BOOL = 1 << 2;

struct btf_enum {
  u32 name_off;
  s32 val;
};

struct btf_array {
  u32 type, index_type, nelems;
};

/// offset is in bits; with kind_flag set on the struct, bits 24-31 are the width of a bit field.
struct btf_member {
  u32 name_off, type, offset;
};
constexpr u32 BTF_MEMBER_BITFIELD_SIZE(u32 val) noexcept { return val >> 24; }
constexpr u32 BTF_MEMBER_BIT_OFFSET(u32 val) noexcept { return val & 0xffffff; }

struct btf_param {
  u32 name_off, type;
};

enum : u32 { BTF_VAR_STATIC, BTF_VAR_GLOBAL_ALLOCATED, BTF_VAR_GLOBAL_EXTERN };
enum btf_func_linkage : u32 { BTF_FUNC_STATIC, BTF_FUNC_GLOBAL, BTF_FUNC_EXTERN };

struct btf_var {
  u32 linkage;
};

struct btf_var_secinfo {
  u32 type, offset, size;
};

/// component_idx: -1 for the whole declaration, else the index of a member or parameter.
struct btf_decl_tag {
  s32 component_idx;
};

struct btf_enum64 {
  u32 name_off, val_lo32, val_hi32;
};

struct bpf_func_info {
  u32 insn_off, type_id;
};

struct bpf_line_info {
  u32 insn_off, file_name_off, line_off, line_col;
};
constexpr u32 BPF_LINE_INFO_LINE_NUM(u32 line_col) noexcept { return line_col >> 10; }
constexpr u32 BPF_LINE_INFO_LINE_COL(u32 line_col) noexcept { return line_col & 0x3ff; }

static_assert(sizeof(btf_header) == 24 && sizeof(btf_type) == 12 && sizeof(btf_enum) == 8 && sizeof(btf_array) == 12);
static_assert(sizeof(btf_member) == 12 && sizeof(btf_param) == 8 && sizeof(btf_var) == 4 && sizeof(btf_var_secinfo) == 12);
static_assert(sizeof(btf_decl_tag) == 4 && sizeof(btf_enum64) == 12 && sizeof(bpf_func_info) == 8 && sizeof(bpf_line_info) == 16);

}  // namespace skep
