// btf: one accepted BTF object: its types, names, sizes and the special fields of its structs.
#pragma once
#include <memory>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/types.h"
#include "btf/fields.h"
#include "btf/log.h"
#include "btf/type.h"
#include "uapi/btf.h"

namespace skep {

struct BtfEnv;

/// Greatest BTF accepted, in bytes. Linux: btf.c:BTF_MAX_SIZE
constexpr std::size_t BTF_MAX_SIZE = 16u << 20;
/// Greatest number of types on the way from one type to those it needs. Linux: btf.c:MAX_RESOLVE_DEPTH
constexpr u32 MAX_RESOLVE_DEPTH = 32;

/// What a kptr may point to besides the program's own types. Linux finds these in vmlinux's BTF and its table of destructors.
struct KernelTypes {
  const class Btf* vmlinux = nullptr;
  /// Names of structs that have a destructor and so may be held by a "kptr" (referenced) field.
  std::span<const std::string_view> with_dtor;
};

/// Immutable once parsed; may be read by many threads. Owns a copy of its bytes; every pointer it hands out points into that copy.
class Btf {
 public:
  /// Parses and checks as BPF_BTF_LOAD does. `log` may be null; it gets what the kernel writes at log level 1 and above.
  /// Errors, in the order they are checked: E2BIG (over BTF_MAX_SIZE), header: EINVAL, E2BIG (unknown header bytes not zero),
  /// ENOTSUPP (version, flags); strings, each type in turn, references: EINVAL, ENOTSUPP (int encoding), E2BIG (references too
  /// deep), EEXIST (loop of references); type tags: EINVAL, ELOOP; special fields: the errors of parse_fields(), ELOOP (ownership
  /// too deep). `kernel` is asked for targets of kptr fields; without it a struct with such a field is refused with EINVAL. Linux:
  /// kernel/bpf/btf.c:btf_parse()
  static Result<std::unique_ptr<Btf>> parse(std::span<const u8> data, BtfLog* log, const KernelTypes* kernel = nullptr);

  std::span<const u8> data() const noexcept { return {bytes_, size_}; }
  const btf_header& header() const noexcept { return hdr_; }
  /// Void, which is id 0, included. Linux: btf.c:btf_nr_types()
  u32 nr_types() const noexcept { return static_cast<u32>(types_.size()); }
  /// Null when there is no such type.
  const btf_type* type_by_id(u32 id) const noexcept { return id < types_.size() ? types_[id] : nullptr; }
  /// The string at an offset, null outside of the section. Linux: btf.c:btf_name_by_offset()
  const char* name(u32 off) const noexcept { return off < hdr_.str_len ? strings_ + off : nullptr; }
  /// As name(), in words for people: "(anon)" at 0, "(invalid-name-offset)" outside. Linux: btf.c:__btf_name_by_offset()
  const char* name_or_word(u32 off) const noexcept;
  /// name_or_word(off) == text, without walking a name that is longer (a tag's may be megabytes).
  bool name_is(u32 off, std::string_view text) const noexcept;
  /// Empty for an anonymous type and for an id that is not there.
  std::string_view type_name(u32 id) const noexcept;

  /// Size in bytes of a value of the type, through modifiers, arrays and variables; EINVAL for a type that has none (void, fwd,
  /// func, func_proto, decl_tag) and for an id that is not there.
  Result<u32> type_size(u32 id) const;
  /// As type_size(), and the id of the type that has that size; null where type_size() fails. Linux: btf.c:btf_type_id_size()
  const btf_type* type_id_size(u32* id, u32* size) const noexcept;
  /// The first type on the way from `id` that is no modifier (typedef, qualifier, type tag). Linux: btf.c:btf_type_skip_modifiers()
  u32 resolve_modifiers(u32 id) const noexcept;
  const btf_type* skip_modifiers(u32 id) const noexcept { return type_by_id(resolve_modifiers(id)); }

  /// ENOENT when there is none. Linux: btf.c:btf_find_by_name_kind()
  Result<u32> find_by_name_kind(std::string_view name, u32 kind) const;
  /// Id of the next decl tag after `last_id` on a type (or on its member or parameter, with component_idx >= 0) that begins with
  /// `prefix`; ENOENT when there is none. Linux: btf.c:btf_find_next_decl_tag()
  Result<u32> find_next_decl_tag(const btf_type* target, s32 component_idx, std::string_view prefix, u32 last_id) const;
  /// What follows `prefix` in the only such tag; ENOENT, or EEXIST for two. Linux: btf.c:btf_find_decl_tag_value()
  Result<std::string_view> find_decl_tag_value(const btf_type* target, s32 component_idx, std::string_view prefix) const;

  /// The special fields of a struct, null if it has none. Linux: btf.c:btf_find_struct_meta()
  const BtfRecord* struct_record(u32 id) const noexcept;

 private:
  friend struct BtfEnv;
  Btf() = default;
  Result<std::size_t> struct_meta_index(u32 id) const noexcept;  // into struct_metas_; ENOENT

  std::vector<u8> storage_;    // the bytes, placed so that what follows the header is aligned to 4 whatever hdr_len says
  const u8* bytes_ = nullptr;  // first byte, inside storage_
  std::size_t size_ = 0;
  const char* strings_ = nullptr;
  btf_header hdr_{};
  std::vector<const btf_type*> types_;
  std::vector<u32> resolved_ids_, resolved_sizes_;
  std::vector<BtfStructMeta> struct_metas_;  // ascending by id
  // Indexes over types_, so that no blob makes a search quadratic: decl tags by target and id; named structs by name and id.
  std::vector<std::pair<const btf_type*, u32>> decl_tags_;
  std::vector<u32> structs_by_name_;
  void build_indexes();
};

}  // namespace skep
