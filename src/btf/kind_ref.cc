// btf: types that name one other type and add nothing to it: modifiers (typedef, qualifiers, type tags) and pointers; and FWD.
#include "btf/env.h"

namespace skep {

namespace {

/// A modifier needs no name, a typedef an identifier, a type tag any text.
bool ref_name_ok(const BtfEnv& env, const btf_type* t) {
  if (btf_is_typedef(t)) return t->name_off != 0 && env.valid_identifier(t->name_off);
  if (btf_is_type_tag(t)) {
    const char* value = env.btf.name(t->name_off);
    return value != nullptr && value[0] != 0;
  }
  return t->name_off == 0;
}

// Linux: btf.c:btf_ref_type_check_meta()
Result<u32> ref_check_meta(BtfEnv& env, const btf_type* t, u32) {
  TRY(env.need_no_vlen(t));
  TRY(env.need_no_kflag(t));
  if (t->type > BTF_MAX_TYPE) return env.fail(t, "Invalid type_id");
  if (!ref_name_ok(env, t)) return env.fail(t, "Invalid name");
  env.log_type(t);
  return 0u;
}

/// Ends the resolution of a modifier or pointer. A target without a size is good only if it is, or leads to, void, a forward
/// declaration or a prototype. Linux: the common ends of btf.c:btf_modifier_resolve() and btf_ptr_resolve()
Status finish_ref(BtfEnv& env, const ResolveVertex& v, const btf_type* next, u32 next_id) {
  if (env.btf.type_id_size(&next_id, nullptr) == nullptr) {
    if (env.is_resolved(next_id)) {
      next_id = env.resolved_id(next_id);
      next = env.btf.type_by_id(next_id);
    }
    if (!btf_is_void(next) && !btf_is_fwd(next) && !btf_is_func_proto(next)) return env.fail(v.t, "Invalid type_id");
  }
  env.pop_resolved(next_id, 0);
  return ok_status();
}

// Linux: btf.c:btf_modifier_resolve()
Status modifier_resolve(BtfEnv& env, const ResolveVertex& v) {
  const u32 next_id = v.t->type;
  const btf_type* next = env.btf.type_by_id(next_id);
  if (next == nullptr || btf_is_source_only(next)) return env.fail(v.t, "Invalid type_id");
  if (env.must_push(next, next_id)) return env.push(next, next_id);
  return finish_ref(env, v, next, next_id);
}

// Linux: btf.c:btf_ptr_resolve()
Status ptr_resolve(BtfEnv& env, const ResolveVertex& v) {
  const u32 next_id = v.t->type;
  const btf_type* next = env.btf.type_by_id(next_id);
  if (next == nullptr || btf_is_source_only(next)) return env.fail(v.t, "Invalid type_id");
  if (env.must_push(next, next_id)) return env.push(next, next_id);
  // A modifier resolved on behalf of a struct stopped at the first pointer; that pointer might lead back here, so go on from it.
  if (btf_is_modifier(next)) {
    const u32 target_id = env.resolved_id(next_id);
    const btf_type* target = env.btf.type_by_id(target_id);
    if (btf_is_ptr(target) && env.must_push(target, target_id)) return env.push(target, target_id);
  }
  return finish_ref(env, v, next, next_id);
}

/// Asks the type behind the modifier. Linux: btf.c:btf_modifier_check_member(), btf_modifier_check_kflag_member()
template <Status (*KindOps::*CHECK)(BtfEnv&, const btf_type*, const btf_member&, const btf_type*)>
Status modifier_member(BtfEnv& env, const btf_type* parent, const btf_member& m, const btf_type*) {
  btf_member resolved = m;
  const btf_type* t = env.btf.type_id_size(&resolved.type, nullptr);
  if (t == nullptr) return env.fail_member(parent, m, "Invalid member");
  return (kind_ops(t).*CHECK)(env, parent, resolved, t);
}

// Linux: btf.c:btf_ptr_check_member()
Status ptr_check_member(BtfEnv& env, const btf_type* parent, const btf_member& m, const btf_type*) {
  if (bits_per_byte_masked(m.offset) != 0) return env.fail_member(parent, m, "Member is not byte aligned");
  if (parent->size - bits_rounddown_bytes(m.offset) < sizeof(void*))
    return env.fail_member(parent, m, "Member exceeds struct_size");
  return ok_status();
}

// Linux: btf.c:btf_fwd_check_meta()
Result<u32> fwd_check_meta(BtfEnv& env, const btf_type* t, u32) {
  TRY(env.need_no_vlen(t));
  if (t->type != 0) return env.fail(t, "type != 0");
  if (t->name_off == 0 || !env.valid_identifier(t->name_off)) return env.fail(t, "Invalid name");
  env.log_type(t);
  return 0u;
}

void fwd_log(BtfEnv& env, const btf_type* t) { env.log("{}", btf_kflag(t) ? "union" : "struct"); }

}  // namespace

const KindOps MODIFIER_OPS = {ref_check_meta, modifier_resolve, modifier_member<&KindOps::check_member>,
                              modifier_member<&KindOps::check_kflag_member>, log_ref};
const KindOps PTR_OPS = {ref_check_meta, ptr_resolve, ptr_check_member, generic_kflag_member, log_ref};
const KindOps FWD_OPS = {fwd_check_meta, no_resolve, no_member, no_kflag_member, fwd_log};

}  // namespace skep
