#include "btf/field_find.h"

#include <algorithm>
#include <utility>

#include "btf/btf.h"

namespace skep {

namespace {

/// One search. Linux passes these along in arguments: btf.c:btf_find_field_one() and those around it.
class FieldFinder {
 public:
  FieldFinder(const Btf& btf, u32 field_mask, FieldCache& cache) : btf_(btf), mask_(field_mask), cache_(cache) {}
  Result<u32> in_struct(const btf_type* t, std::span<FieldInfo> out, u32 level);
  Result<u32> in_datasec(const btf_type* t, std::span<FieldInfo> out);

 private:
  struct Place {
    const btf_type* owner;  // where a "contains:" tag is looked for
    s32 component_idx;
    u32 off;
    u32 expected_size;  // 0: any
  };
  Result<u32> one(const Place& at, const btf_type* type, std::span<FieldInfo> out, u32 level);
  Result<u32> nested(const btf_type* t, u32 off, u32 nelems, std::span<FieldInfo> out, u32 level);
  Result<u32> in_known_struct(const FieldCache::Found& known, std::span<FieldInfo> out, u32 level);
  Result<u32> walk_struct(const btf_type* t, std::span<FieldInfo> out, u32 level);
  Result<u32> field_type_of(const btf_type* t);
  Result<bool> find_plain(const btf_type* t, btf_field_type type, u32 off, FieldInfo& out) const;
  Result<bool> find_root(const Place& at, const btf_type* t, btf_field_type type, FieldInfo& out) const;

  const Btf& btf_;
  u32 mask_;
  FieldCache& cache_;
  u32 seen_ = 0;     // kinds met so far that may be there once
  u32 deepest_ = 0;  // greatest level reached
};

/// Copies the first `count` fields for each further element of an array. Linux: btf.c:btf_repeat_fields()
Status repeat_fields(std::span<FieldInfo> out, u32 count, u32 nelems, u32 elem_size) {
  constexpr u32 REPEATABLE = BPF_KPTR | BPF_GRAPH_ROOT;
  for (u32 i = 0; i < count; ++i)
    if ((out[i].type & REPEATABLE) == 0) return Errno(EINVAL);
  if (u64{count} * nelems > out.size()) return Errno(E2BIG);
  for (u32 e = 1; e < nelems; ++e) {
    for (u32 i = 0; i < count; ++i) {
      out[e * count + i] = out[i];
      out[e * count + i].off += e * elem_size;
    }
  }
  return ok_status();
}

struct NamedField {
  btf_field_type type;
  bool once;  // at most one in a type
};
constexpr NamedField NAMED_FIELDS[] = {{BPF_SPIN_LOCK, true},  {BPF_TIMER, true},    {BPF_WORKQUEUE, true}, {BPF_LIST_HEAD, false},
                                       {BPF_LIST_NODE, false}, {BPF_RB_ROOT, false}, {BPF_RB_NODE, false},  {BPF_REFCOUNT, true}};

/// Which field the type makes, 0 for none. Linux: btf.c:btf_get_field_type()
Result<u32> FieldFinder::field_type_of(const btf_type* t) {
  for (const NamedField& f : NAMED_FIELDS) {
    if ((mask_ & f.type) == 0 || !btf_.name_is(t->name_off, btf_field_type_name(f.type))) continue;
    if (f.once && (seen_ & f.type) != 0) return Errno(E2BIG);
    if (f.once) seen_ |= f.type;
    return static_cast<u32>(f.type);
  }
  if ((mask_ & BPF_KPTR) != 0 && !btf_is_struct(t)) return static_cast<u32>(BPF_KPTR_REF);
  return 0u;
}

// Linux: btf.c:btf_find_struct()
Result<bool> FieldFinder::find_plain(const btf_type* t, btf_field_type type, u32 off, FieldInfo& out) const {
  if (!btf_is_struct(t) || t->size != btf_field_type_size(type)) return false;
  out = FieldInfo{type, off, 0, {}};
  return true;
}

// Linux: btf.c:btf_find_graph_root()
Result<bool> FieldFinder::find_root(const Place& at, const btf_type* t, btf_field_type type, FieldInfo& out) const {
  if (!btf_is_struct(t) || t->size != btf_field_type_size(type)) return false;
  const auto value = btf_.find_decl_tag_value(at.owner, at.component_idx, "contains:");
  if (!value.ok()) return Errno(EINVAL);
  const std::size_t colon = value->find(':');
  if (colon == std::string_view::npos) return Errno(EINVAL);
  const u32 id = TRY(btf_.find_by_name_kind(value->substr(0, colon), BTF_KIND_STRUCT));
  const std::string_view node = value->substr(colon + 1);
  if (node.empty()) return Errno(EINVAL);
  out = FieldInfo{type, at.off, id, node};
  return true;
}

// Linux: btf.c:btf_find_nested_struct()
Result<u32> FieldFinder::nested(const btf_type* t, u32 off, u32 nelems, std::span<FieldInfo> out, u32 level) {
  if (++level >= MAX_RESOLVE_DEPTH) return Errno(E2BIG);
  const u32 found = TRY(in_struct(t, out, level));
  if (found == 0) return 0u;
  for (u32 i = 0; i < found; ++i) out[i].off += off;
  if (nelems == 1) return found;
  TRY(repeat_fields(out, found, nelems, t->size));
  return found * nelems;
}

// Linux: btf.c:btf_find_field_one()
Result<u32> FieldFinder::one(const Place& at, const btf_type* type, std::span<FieldInfo> out, u32 level) {
  u32 nelems = 1, depth = 0;
  for (; depth < MAX_RESOLVE_DEPTH && btf_is_array(type); ++depth) {
    nelems *= btf_array_of(type)->nelems;
    type = btf_.type_by_id(btf_array_of(type)->type);
  }
  if (depth == MAX_RESOLVE_DEPTH) return Errno(E2BIG);
  if (nelems == 0) return 0u;

  const auto field = static_cast<btf_field_type>(TRY(field_type_of(type)));
  if (field == 0) {
    if (!btf_is_struct(type) || (at.expected_size != 0 && at.expected_size != type->size * nelems)) return 0u;
    return nested(type, at.off, nelems, out, level);
  }
  const u32 size = btf_field_type_size(field);
  if (at.expected_size != 0 && at.expected_size != size * nelems) return 0u;
  if (at.off % btf_field_type_align(field) != 0) return 0u;

  FieldInfo found;
  bool is_one;
  if ((field & BPF_KPTR) != 0)
    is_one = TRY(find_kptr(btf_, type, at.off, found));
  else if ((field & BPF_GRAPH_ROOT) != 0)
    is_one = TRY(find_root(at, type, field, found));
  else
    is_one = TRY(find_plain(type, field, at.off, found));
  if (!is_one) return 0u;
  if (out.empty()) return Errno(E2BIG);
  out[0] = found;
  if (nelems > 1) TRY(repeat_fields(out, 1, nelems, size));
  return nelems;
}

// Linux: btf.c:btf_find_struct_field()
Result<u32> FieldFinder::walk_struct(const btf_type* t, std::span<FieldInfo> out, u32 level) {
  u32 count = 0;
  for (u32 i = 0; i < btf_vlen(t); ++i) {
    const btf_member* m = &btf_members(t)[i];
    const u32 bits = btf_member_bit_offset(t, m);
    if (bits % 8 != 0) return Errno(EINVAL);
    count += TRY(one({t, static_cast<s32>(i), bits / 8, 0}, btf_.type_by_id(m->type), out.subspan(count), level));
  }
  return count;
}

/// A walk that went well once can only fail for want of room, a second of a kind or depth, all of which are E2BIG.
Result<u32> FieldFinder::in_known_struct(const FieldCache::Found& known, std::span<FieldInfo> out, u32 level) {
  if ((seen_ & known.once) != 0 || level + known.height >= MAX_RESOLVE_DEPTH || known.fields.size() > out.size())
    return Errno(E2BIG);
  seen_ |= known.once;
  deepest_ = std::max(deepest_, level + known.height);
  std::copy(known.fields.begin(), known.fields.end(), out.begin());
  return static_cast<u32>(known.fields.size());
}

/// DIFFERS: Linux walks a struct anew wherever it is contained, and so can be kept busy for hours by a blob of a few kilobytes.
Result<u32> FieldFinder::in_struct(const btf_type* t, std::span<FieldInfo> out, u32 level) {
  if (const auto known = cache_.structs.find(t); known != cache_.structs.end()) return in_known_struct(known->second, out, level);
  const u32 seen_before = seen_, deepest_before = std::exchange(deepest_, level);
  const u32 count = TRY(walk_struct(t, out, level));
  cache_.structs[t] = {{out.begin(), out.begin() + count}, seen_ & ~seen_before, deepest_ - level};
  deepest_ = std::max(deepest_, deepest_before);
  return count;
}

// Linux: btf.c:btf_find_datasec_var()
Result<u32> FieldFinder::in_datasec(const btf_type* t, std::span<FieldInfo> out) {
  u32 count = 0;
  for (u32 i = 0; i < btf_vlen(t); ++i) {
    const btf_var_secinfo& vsi = btf_var_secinfos(t)[i];
    const btf_type* var = btf_.type_by_id(vsi.type);
    count += TRY(one({var, -1, vsi.offset, vsi.size}, btf_.type_by_id(var->type), out.subspan(count), 0));
  }
  return count;
}

}  // namespace

Result<u32> find_fields(const Btf& btf, const btf_type* t, u32 field_mask, std::span<FieldInfo> out, FieldCache& cache) {
  FieldFinder finder(btf, field_mask, cache);
  if (btf_is_struct(t)) return finder.in_struct(t, out, 0);
  if (btf_is_datasec(t)) return finder.in_datasec(t, out);
  return Errno(EINVAL);
}

Result<bool> find_kptr(const Btf& btf, const btf_type* t, u32 off, FieldInfo& out) {
  if (btf_is_volatile(t)) t = btf.type_by_id(t->type);
  if (!btf_is_ptr(t)) return false;
  t = btf.type_by_id(t->type);
  if (!btf_is_type_tag(t)) return false;
  if (btf_is_type_tag(btf.type_by_id(t->type))) return Errno(EINVAL);
  btf_field_type type;
  if (btf.name_is(t->name_off, "kptr_untrusted"))
    type = BPF_KPTR_UNREF;
  else if (btf.name_is(t->name_off, "kptr"))
    type = BPF_KPTR_REF;
  else if (btf.name_is(t->name_off, "percpu_kptr"))
    type = BPF_KPTR_PERCPU;
  else
    return Errno(EINVAL);
  const u32 id = btf.resolve_modifiers(t->type);
  if (!btf_is_struct(btf.type_by_id(id))) return Errno(EINVAL);
  out = FieldInfo{type, off, id, {}};
  return true;
}

}  // namespace skep
