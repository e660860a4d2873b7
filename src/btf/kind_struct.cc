// btf: STRUCT and UNION.
#include "btf/env.h"

namespace skep {

namespace {

/// One member, looked at alone. `last_offset` is the bit offset of the member before it, and becomes this one's.
Status check_one_member(BtfEnv& env, const btf_type* t, const btf_member& m, u32& last_offset) {
  if (!env.name_offset_valid(m.name_off)) return env.fail_member(t, m, fmt::format("Invalid member name_offset:{}", m.name_off));
  if (m.name_off != 0 && !env.valid_identifier(m.name_off)) return env.fail_member(t, m, "Invalid name");
  if (m.type == 0 || m.type > BTF_MAX_TYPE) return env.fail_member(t, m, "Invalid type_id");
  const u32 offset = btf_member_bit_offset(t, &m);
  if (!btf_is_struct(t) && offset != 0) return env.fail_member(t, m, "Invalid member bits_offset");
  if (last_offset > offset) return env.fail_member(t, m, "Invalid member bits_offset");
  if (bits_roundup_bytes(offset) > t->size) return env.fail_member(t, m, "Member bits_offset exceeds its struct size");
  env.log_member(t, m);
  last_offset = offset;
  return ok_status();
}

// Linux: btf.c:btf_struct_check_meta()
Result<u32> struct_check_meta(BtfEnv& env, const btf_type* t, u32 meta_left) {
  const u32 needed = btf_vlen(t) * static_cast<u32>(sizeof(btf_member));
  TRY(env.need_meta(t, meta_left, needed));
  if (t->name_off != 0 && !env.valid_identifier(t->name_off)) return env.fail(t, "Invalid name");
  env.log_type(t);
  u32 last_offset = 0;
  for (u32 i = 0; i < btf_vlen(t); ++i) TRY(check_one_member(env, t, btf_members(t)[i], last_offset));
  return needed;
}

Status check_member_type(BtfEnv& env, const btf_type* parent, const btf_member& m, const btf_type* t) {
  const KindOps& ops = kind_ops(t);
  return btf_kflag(parent) ? ops.check_kflag_member(env, parent, m, t) : ops.check_member(env, parent, m, t);
}

// Linux: btf.c:btf_struct_resolve()
Status struct_resolve(BtfEnv& env, const ResolveVertex& v) {
  if (v.next_member != 0) {  // back from resolving the type of the member before
    const btf_member& last = btf_members(v.t)[v.next_member - 1];
    if (!env.is_resolved(last.type)) return Errno(EINVAL);
    TRY(check_member_type(env, v.t, last, env.btf.type_by_id(last.type)));
  }
  for (u32 i = v.next_member; i < btf_vlen(v.t); ++i) {
    const btf_member& m = btf_members(v.t)[i];
    const btf_type* t = env.btf.type_by_id(m.type);
    if (btf_no_size_or_null(t) || btf_is_source_only(t)) return env.fail_member(v.t, m, "Invalid member");
    if (env.must_push(t, m.type)) {
      env.stack[env.top - 1].next_member = i + 1;
      return env.push(t, m.type);
    }
    TRY(check_member_type(env, v.t, m, t));
  }
  env.pop_resolved(0, 0);
  return ok_status();
}

// Linux: btf.c:btf_struct_check_member()
Status struct_check_member(BtfEnv& env, const btf_type* parent, const btf_member& m, const btf_type* t) {
  if (bits_per_byte_masked(m.offset) != 0) return env.fail_member(parent, m, "Member is not byte aligned");
  if (parent->size - bits_rounddown_bytes(m.offset) < t->size) return env.fail_member(parent, m, "Member exceeds struct_size");
  return ok_status();
}

}  // namespace

const KindOps STRUCT_OPS = {struct_check_meta, struct_resolve, struct_check_member, generic_kflag_member, log_size_vlen};

}  // namespace skep
