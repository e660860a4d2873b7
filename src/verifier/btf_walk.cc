// verifier: finding what lies at an offset of a struct, by BTF. Linux: kernel/bpf/btf.c:btf_struct_walk()
#include "verifier/btf_walk.h"

#include <string_view>

namespace skep {
namespace {

constexpr u32 PTR_BYTES = 8;

/// What a look at one member says.
enum class Member : u8 { NEXT, NONE, INSIDE, SCALAR, PTR, STRUCT };

/// A member that is looked into: for arrays the element that `off` lies in.
struct MemberType {
  const btf_type* type;
  u32 id;
  u32 off;       ///< of the member or element in its struct
  u32 size;      ///< of the member or element
  u32 true_end;  ///< end of the whole member, arrays as a whole: numbers may be read across elements
};

class StructWalk {
 public:
  StructWalk(VerifierEnv& env, const Btf& btf, u32 off, u32 size, BtfWalkResult* out)
      : env_(env), btf_(btf), off_(off), size_(size), out_(*out) {}

  Result<BtfWalk> run(const btf_type* t, bool walk_flex_arrays);

 private:
  Status enter(const btf_type* t);
  Result<bool> beyond_end(bool walk_flex_arrays);
  Result<Member> look_at(const btf_member& m);
  Result<Member> look_into(const MemberType& mt, const char* name);
  Result<bool> is_struct_ptr(const MemberType& mt, const char* name);
  bool whole_bitfield(const btf_member& m, u32 moff) const;

  Errno beyond_struct() { return env_.refuse(EACCES, "access beyond struct {} at off {} size {}", name_, off_, size_); }

  VerifierEnv& env_;
  const Btf& btf_;
  u32 off_, size_;
  BtfWalkResult& out_;
  const btf_type* t_ = nullptr;
  const char* name_ = "";
};

Status StructWalk::enter(const btf_type* t) {
  t_ = btf_is_modifier(t) ? btf_.skip_modifiers(t->type) : t;
  if (t_ == nullptr) return Errno(EINVAL);
  name_ = btf_.name_or_word(t_->name_off);
  if (!btf_is_composite(t_)) return env_.refuse(EINVAL, "Type '{}' is not a struct", name_);
  // Which member of a union is there is not known. One with a single member is only a way to give it a size.
  if (btf_kind_of(t_) == BTF_KIND_UNION && btf_vlen(t_) != 1) out_.flag |= PTR_UNTRUSTED;
  return ok_status();
}

/// Behind the struct there may be elements of a flexible array. True: they are numbers; false: t_ and off_ are those of an element.
Result<bool> StructWalk::beyond_end(bool walk_flex_arrays) {
  const u32 vlen = btf_vlen(t_);
  if (!walk_flex_arrays || vlen == 0) return beyond_struct();
  const btf_member& last = btf_members(t_)[vlen - 1];
  const btf_type* const array = btf_.skip_modifiers(last.type);
  if (array == nullptr || !btf_is_array(array) || btf_array_of(array)->nelems != 0) return beyond_struct();
  const u32 moff = btf_member_bit_offset(t_, &last) / 8;
  if (off_ < moff) return beyond_struct();
  const btf_type* const elem = btf_.skip_modifiers(btf_array_of(array)->type);
  if (elem != nullptr && btf_is_int(elem)) return true;
  if (elem == nullptr || !btf_is_composite(elem) || elem->size == 0) return beyond_struct();
  off_ = (off_ - moff) % elem->size;
  TRY(enter(elem));
  return false;
}

bool StructWalk::whole_bitfield(const btf_member& m, u32 moff) const {
  // The access may begin earlier: BTF has no member for the anonymous bit field before.
  const u32 end_bit = btf_member_bit_offset(t_, &m) + btf_member_bitfield_size(t_, &m);
  return off_ <= moff && bits_roundup_bytes(end_bit) <= off_ + size_;
}

/// Whether the member is a pointer to a struct, which must be read whole then.
Result<bool> StructWalk::is_struct_ptr(const MemberType& mt, const char* name) {
  if (mt.size != size_ || off_ != mt.off)
    return env_.refuse(EACCES, "cannot access ptr member {} with moff {} in struct {} with off {} size {}", name, mt.off, name_,
                       off_, size_);
  u32 flag = 0;
  if (const btf_type* tag = btf_.type_by_id(mt.type->type); tag != nullptr && btf_is_type_tag(tag)) {
    if (btf_.name_is(tag->name_off, "user")) flag = MEM_USER;
    if (btf_.name_is(tag->name_off, "percpu")) flag = MEM_PERCPU;
    if (btf_.name_is(tag->name_off, "rcu")) flag = MEM_RCU;
  }
  const u32 id = btf_.resolve_modifiers(mt.type->type);
  const btf_type* const target = btf_.type_by_id(id);
  if (target == nullptr || !btf_is_composite(target)) return false;
  out_.next_btf_id = id;
  out_.flag |= flag;
  out_.field_name = name;
  return true;
}

/// A member that off_ lies in.
Result<Member> StructWalk::look_into(const MemberType& mt, const char* name) {
  if (btf_is_composite(mt.type)) {
    if (off_ == mt.off) {
      out_.next_btf_id = mt.id;
      return Member::STRUCT;
    }
    off_ -= mt.off;
    TRY(enter(mt.type));
    return Member::INSIDE;
  }
  if (btf_is_ptr(mt.type) && TRY(is_struct_ptr(mt, name))) return Member::PTR;
  if (off_ + size_ > mt.true_end && (out_.flag & PTR_UNTRUSTED) == 0)
    return env_.refuse(EACCES, "access beyond the end of member {} (mend:{}) in struct {} with off {} size {}", name, mt.true_end,
                       name_, off_, size_);
  return Member::SCALAR;
}

Result<Member> StructWalk::look_at(const btf_member& m) {
  const u32 moff = btf_member_bit_offset(t_, &m) / 8;
  if (off_ + size_ <= moff) return Member::NONE;
  if (btf_member_bitfield_size(t_, &m) != 0) return whole_bitfield(m, moff) ? Member::SCALAR : Member::NEXT;
  if (off_ < moff) return Member::NONE;  // a hole

  const char* const name = btf_.name_or_word(m.name_off);
  const Result<BtfResolvedSize> resolved = btf_resolve_size(btf_, btf_.type_by_id(m.type));
  if (!resolved.ok()) return env_.refuse(EFAULT, "field {} doesn't have size", name);
  MemberType mt{resolved->type, resolved->type_id != 0 ? resolved->type_id : m.type, moff, resolved->size, moff + resolved->size};
  if (off_ >= mt.true_end) return Member::NEXT;
  if (btf_is_array(mt.type)) {
    // Arrays of arrays are laid out in one row; the element is looked into as if it were the member.
    mt.size /= resolved->nelems;
    mt.off += (off_ - moff) / mt.size * mt.size;
    mt.type = resolved->elem_type;
    mt.id = resolved->elem_id;
  }
  return look_into(mt, name);
}

Result<BtfWalk> StructWalk::run(const btf_type* t, bool walk_flex_arrays) {
  TRY(enter(t));
  for (;;) {
    if (off_ + size_ > t_->size) {
      if (TRY(beyond_end(walk_flex_arrays))) return BtfWalk::SCALAR;
      continue;
    }
    Member found = Member::NONE;
    const btf_type* const in = t_;
    for (u32 i = 0; i < btf_vlen(in); ++i) {
      found = TRY(look_at(btf_members(in)[i]));
      if (found != Member::NEXT) break;
    }
    switch (found) {
      case Member::SCALAR:
        return BtfWalk::SCALAR;
      case Member::PTR:
        return BtfWalk::PTR;
      case Member::STRUCT:
        return BtfWalk::STRUCT;
      case Member::INSIDE:
        break;
      case Member::NEXT:
      case Member::NONE:
        return env_.refuse(EINVAL, "struct {} doesn't have field at offset {}", name_, static_cast<s32>(off_));
    }
  }
}

}  // namespace

Result<BtfResolvedSize> btf_resolve_size(const Btf& btf, const btf_type* type) {
  BtfResolvedSize r{};
  r.nelems = 1;
  const btf_type* array_type = nullptr;
  for (u32 i = 0; i < MAX_RESOLVE_DEPTH && type != nullptr; ++i) {
    const u32 kind = btf_kind_of(type);
    if (btf_is_modifier(type)) {
      r.type_id = type->type;
      type = btf.type_by_id(type->type);
      continue;
    }
    if (kind == BTF_KIND_ARRAY) {
      if (array_type == nullptr) array_type = type;
      const btf_array& array = *btf_array_of(type);
      if (r.nelems != 0 && array.nelems > U32_MAX / r.nelems) return Errno(EINVAL);
      r.nelems *= array.nelems;
      r.elem_id = array.type;
      type = btf.type_by_id(array.type);
      continue;
    }
    const bool is_ptr = kind == BTF_KIND_PTR;
    if (!is_ptr && (!btf_has_size(type) || kind == BTF_KIND_DATASEC)) return Errno(EINVAL);
    const u32 size = is_ptr ? PTR_BYTES : type->size;
    if (r.nelems != 0 && size > U32_MAX / r.nelems) return Errno(EINVAL);
    r.size = r.nelems * size;
    r.elem_type = type;
    r.type = array_type != nullptr ? array_type : type;
    return r;
  }
  return Errno(EINVAL);
}

Result<BtfWalk> btf_struct_walk(VerifierEnv& env, const Btf& btf, const btf_type* t, u32 off, u32 size, bool walk_flex_arrays,
                                BtfWalkResult* out) {
  return StructWalk(env, btf, off, size, out).run(t, walk_flex_arrays);
}

}  // namespace skep
