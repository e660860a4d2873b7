// btf: questions to an accepted BTF.
#include "btf/btf.h"

#include <algorithm>
#include <cstring>

namespace skep {

const char* Btf::name_or_word(u32 off) const noexcept {
  if (off == 0) return "(anon)";
  const char* s = name(off);
  return s != nullptr ? s : "(invalid-name-offset)";
}

std::string_view Btf::type_name(u32 id) const noexcept {
  const btf_type* t = type_by_id(id);
  const char* s = t != nullptr ? name(t->name_off) : nullptr;
  return s != nullptr ? std::string_view(s) : std::string_view();
}

const btf_type* Btf::type_id_size(u32* id, u32* size) const noexcept {
  u32 size_id = *id;
  const btf_type* t = type_by_id(size_id);
  if (btf_no_size_or_null(t)) return nullptr;
  if (btf_is_modifier(t) || btf_is_var(t)) {
    size_id = resolved_ids_[size_id];
    t = type_by_id(size_id);
    if (btf_no_size_or_null(t)) return nullptr;
  }
  u32 bytes;
  if (btf_has_size(t))
    bytes = t->size;
  else if (btf_is_array(t))
    bytes = resolved_sizes_[size_id];
  else if (btf_is_ptr(t))
    bytes = sizeof(void*);
  else
    return nullptr;
  *id = size_id;
  if (size != nullptr) *size = bytes;
  return t;
}

Result<u32> Btf::type_size(u32 id) const {
  u32 size = 0;
  if (type_id_size(&id, &size) == nullptr) return Errno(EINVAL);
  return size;
}

u32 Btf::resolve_modifiers(u32 id) const noexcept {
  for (const btf_type* t = type_by_id(id); t != nullptr && btf_is_modifier(t); t = type_by_id(id)) id = t->type;
  return id;
}

bool Btf::name_is(u32 off, std::string_view text) const noexcept {
  const char* s = name_or_word(off);
  return std::strncmp(s, text.data(), text.size()) == 0 && s[text.size()] == 0;
}

void Btf::build_indexes() {
  for (u32 id = 1; id < nr_types(); ++id) {
    const btf_type* t = types_[id];
    if (btf_is_decl_tag(t)) decl_tags_.emplace_back(type_by_id(t->type), id);
    if (btf_is_struct(t) && t->name_off != 0) structs_by_name_.push_back(id);
  }
  std::sort(decl_tags_.begin(), decl_tags_.end());
  std::sort(structs_by_name_.begin(), structs_by_name_.end(), [this](u32 a, u32 b) {
    const int order = std::strcmp(name(types_[a]->name_off), name(types_[b]->name_off));
    return order != 0 ? order < 0 : a < b;  // of two with a name the first is found
  });
}

Result<u32> Btf::find_by_name_kind(std::string_view wanted, u32 kind) const {
  if (kind == BTF_KIND_STRUCT && !wanted.empty()) {
    const auto at = std::lower_bound(structs_by_name_.begin(), structs_by_name_.end(), wanted,
                                     [this](u32 id, std::string_view w) { return name(types_[id]->name_off) < w; });
    if (at == structs_by_name_.end() || name(types_[*at]->name_off) != wanted) return Errno(ENOENT);
    return *at;
  }
  for (u32 id = 1; id < nr_types(); ++id) {
    const btf_type* t = types_[id];
    if (btf_kind_of(t) == kind && (t->name_off == 0 ? wanted.empty() : name_is(t->name_off, wanted))) return id;
  }
  return Errno(ENOENT);
}

Result<u32> Btf::find_next_decl_tag(const btf_type* target, s32 component_idx, std::string_view prefix, u32 last_id) const {
  auto at = std::upper_bound(decl_tags_.begin(), decl_tags_.end(), std::pair(target, last_id));
  for (; at != decl_tags_.end() && at->first == target; ++at) {
    const btf_type* t = types_[at->second];
    if (btf_component_idx(t) == component_idx && std::strncmp(name(t->name_off), prefix.data(), prefix.size()) == 0)
      return at->second;
  }
  return Errno(ENOENT);
}

Result<std::string_view> Btf::find_decl_tag_value(const btf_type* target, s32 component_idx, std::string_view prefix) const {
  const u32 id = TRY(find_next_decl_tag(target, component_idx, prefix, 0));
  if (find_next_decl_tag(target, component_idx, prefix, id).ok()) return Errno(EEXIST);
  return std::string_view(name(types_[id]->name_off)).substr(prefix.size());
}

Result<std::size_t> Btf::struct_meta_index(u32 id) const noexcept {
  const auto it = std::lower_bound(struct_metas_.begin(), struct_metas_.end(), id,
                                   [](const BtfStructMeta& meta, u32 wanted) { return meta.btf_id < wanted; });
  if (it == struct_metas_.end() || it->btf_id != id) return Errno(ENOENT);
  return static_cast<std::size_t>(it - struct_metas_.begin());
}

const BtfRecord* Btf::struct_record(u32 id) const noexcept {
  const auto index = struct_meta_index(id);
  return index.ok() ? &struct_metas_[*index].record : nullptr;
}

}  // namespace skep
