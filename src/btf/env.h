// btf: the state of one parse, seen by the room's own files only. Linux: btf.c:struct btf_verifier_env
#pragma once
#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "btf/btf.h"

namespace skep {

struct BtfEnv;

struct ResolveVertex {
  const btf_type* t;
  u32 type_id;
  u32 next_member;  // structs and datasecs: the first member not looked at yet
};

/// What a kind of type does at each step. Linux: btf.c:struct btf_kind_operations
struct KindOps {
  /// Looks at the type alone, before any other is known; `meta_left` bytes follow the btf_type. Returns how many of them it owns.
  Result<u32> (*check_meta)(BtfEnv&, const btf_type* t, u32 meta_left);
  /// Pushes the next type this one waits for, or pops itself as resolved.
  Status (*resolve)(BtfEnv&, const ResolveVertex& v);
  /// Is this type good as the type of `member` of `parent`? The second is for structs with kind_flag (bit fields).
  Status (*check_member)(BtfEnv&, const btf_type* parent, const btf_member& member, const btf_type* t);
  Status (*check_kflag_member)(BtfEnv&, const btf_type* parent, const btf_member& member, const btf_type* t);
  void (*log_details)(BtfEnv&, const btf_type* t);
};
const KindOps& kind_ops(const btf_type* t);
extern const KindOps INT_OPS, MODIFIER_OPS, PTR_OPS, FWD_OPS, ARRAY_OPS, STRUCT_OPS, ENUM_OPS, ENUM64_OPS, FUNC_OPS, FUNC_PROTO_OPS,
    VAR_OPS, DATASEC_OPS, FLOAT_OPS, DECL_TAG_OPS;

struct BtfEnv {
  enum class Phase { CHECK_META, CHECK_TYPE };
  enum class Visit : u8 { NOT_VISITED, VISITED, RESOLVED };
  /// Where the search for loops may stop: at pointers inside structs and arrays, at structs and arrays behind pointers.
  enum class Mode { TBD, PTR, STRUCT_OR_ARRAY };

  BtfEnv(Btf& of, BtfLog* sink, const KernelTypes* known) : btf(of), text(sink), kernel(known) {}

  Btf& btf;
  BtfLog* text;
  const KernelTypes* kernel;
  u32 log_type_id = 0;
  Phase phase = Phase::CHECK_META;
  Mode mode = Mode::TBD;
  std::vector<Visit> visit;
  std::array<ResolveVertex, MAX_RESOLVE_DEPTH> stack{};
  u32 top = 0;

  // parse.cc, check_meta.cc, resolve.cc, struct_meta.cc: the passes, in order
  Status place_bytes(std::span<const u8> data);
  Status parse_hdr(std::span<const u8> data);
  Status parse_str_sec();
  Status parse_type_sec();
  Status check_all_metas();
  Status check_all_types();
  Status check_type_tags();
  Status parse_struct_metas();
  Status check_ownership_depth();

  // resolve.cc
  Status resolve(const btf_type* t, u32 type_id);
  Status push(const btf_type* t, u32 type_id);
  void pop_resolved(u32 resolved_id, u32 resolved_size);
  bool is_sink(const btf_type* next) const;
  bool is_resolved(u32 type_id) const { return visit[type_id] == Visit::RESOLVED; }
  /// Must `next` be resolved before the one that refers to it?
  bool must_push(const btf_type* next, u32 id) const { return !is_sink(next) && !is_resolved(id); }
  u32 resolved_id(u32 id) const { return btf.resolved_ids_[id]; }
  u32 resolved_size(u32 id) const { return btf.resolved_sizes_[id]; }

  // names
  bool name_offset_valid(u32 off) const { return off <= BTF_MAX_NAME_OFFSET && off < btf.hdr_.str_len; }
  bool valid_identifier(u32 off) const;
  bool valid_section(u32 off) const;

  // log. Each function that names a type ends the line; an empty message dumps the type.
  template <typename... Args>
  void log(fmt::format_string<Args...> format, Args&&... args) {
    if (text != nullptr) text->append(format, std::forward<Args>(args)...);
  }
  /// A name for the log, no longer than a message can be.
  std::string_view log_name(u32 off) const;
  void log_type(const btf_type* t, std::string_view message = {});
  void log_basic(const btf_type* t, std::string_view message);
  void log_member(const btf_type* parent, const btf_member& m, std::string_view message = {});
  void log_vsi(const btf_type* datasec, const btf_var_secinfo& vsi, std::string_view message = {});
  void log_hdr();
  /// The failure to return: logs, and gives the errno back.
  Errno fail(const btf_type* t, std::string_view message, int error = EINVAL);
  Errno fail_member(const btf_type* parent, const btf_member& m, std::string_view message);
  Errno fail_vsi(const btf_type* datasec, const btf_var_secinfo& vsi, std::string_view message);
  /// EINVAL with the kernel's words when fewer than `needed` bytes follow the type.
  Status need_meta(const btf_type* t, u32 left, u32 needed);
  /// EINVAL unless vlen, or kind_flag, is 0.
  Status need_no_vlen(const btf_type* t);
  Status need_no_kflag(const btf_type* t);

 private:
  Status check_sec_info();
  Result<u32> check_meta(const btf_type* t, u32 meta_left);
  void add_type(const btf_type* t);
  bool resolve_valid(const btf_type* t, u32 type_id) const;
  void log_head(const btf_type* t, bool details, std::string_view message);
  Result<s32> ownership_depth(std::vector<u8>& depth, std::size_t index, u32 depth_left) const;
};

// Steps shared by several kinds (kind_ref.cc and env.cc).
Status no_resolve(BtfEnv&, const ResolveVertex&);
Status no_member(BtfEnv&, const btf_type*, const btf_member&, const btf_type*);
Status no_kflag_member(BtfEnv&, const btf_type*, const btf_member&, const btf_type*);
Status generic_kflag_member(BtfEnv&, const btf_type*, const btf_member&, const btf_type*);
void log_ref(BtfEnv&, const btf_type*);
void log_size_vlen(BtfEnv&, const btf_type*);
Status check_func_proto(BtfEnv&, const btf_type*);

}  // namespace skep
