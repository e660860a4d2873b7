// btf: VAR, DATASEC and DECL_TAG: types that refer to others and that no type with a size refers to.
#include "btf/env.h"

namespace skep {

namespace {

// Linux: btf.c:btf_var_check_meta()
Result<u32> var_check_meta(BtfEnv& env, const btf_type* t, u32 meta_left) {
  constexpr u32 NEEDED = sizeof(btf_var);
  TRY(env.need_meta(t, meta_left, NEEDED));
  TRY(env.need_no_vlen(t));
  TRY(env.need_no_kflag(t));
  if (t->name_off == 0 || !env.valid_identifier(t->name_off)) return env.fail(t, "Invalid name");
  if (t->type == 0 || t->type > BTF_MAX_TYPE) return env.fail(t, "Invalid type_id");
  const u32 linkage = btf_tail<btf_var>(t)->linkage;
  if (linkage != BTF_VAR_STATIC && linkage != BTF_VAR_GLOBAL_ALLOCATED) return env.fail(t, "Linkage not supported");
  env.log_type(t);
  return NEEDED;
}

// Linux: btf.c:btf_var_resolve()
Status var_resolve(BtfEnv& env, const ResolveVertex& v) {
  u32 next_id = v.t->type;
  const btf_type* next = env.btf.type_by_id(next_id);
  if (next == nullptr || btf_is_source_only(next)) return env.fail(v.t, "Invalid type_id");
  if (env.must_push(next, next_id)) return env.push(next, next_id);
  if (btf_is_modifier(next)) {  // as for a pointer: it may have been resolved only as far as a pointer
    const u32 target_id = env.resolved_id(next_id);
    const btf_type* target = env.btf.type_by_id(target_id);
    if (btf_is_ptr(target) && env.must_push(target, target_id)) return env.push(target, target_id);
  }
  if (env.btf.type_id_size(&next_id, nullptr) == nullptr) return env.fail(v.t, "Invalid type_id");
  env.pop_resolved(next_id, 0);
  return ok_status();
}

void var_log(BtfEnv& env, const btf_type* t) { env.log("type_id={} linkage={}", t->type, btf_tail<btf_var>(t)->linkage); }

/// One variable's place, looked at alone. `end` is where the one before it ended, and becomes where this one does.
Status check_place(BtfEnv& env, const btf_type* t, const btf_var_secinfo& vsi, u64& end) {
  if (vsi.type == 0 || vsi.type > BTF_MAX_TYPE) return env.fail_vsi(t, vsi, "Invalid type_id");
  if (vsi.offset < end || vsi.offset >= t->size) return env.fail_vsi(t, vsi, "Invalid offset");
  if (vsi.size == 0 || vsi.size > t->size) return env.fail_vsi(t, vsi, "Invalid size");
  end = vsi.offset + vsi.size;  // wraps at 32 bits, as in the kernel
  if (end > t->size) return env.fail_vsi(t, vsi, "Invalid offset+size");
  env.log_vsi(t, vsi);
  return ok_status();
}

// Linux: btf.c:btf_datasec_check_meta()
Result<u32> datasec_check_meta(BtfEnv& env, const btf_type* t, u32 meta_left) {
  const u32 needed = btf_vlen(t) * static_cast<u32>(sizeof(btf_var_secinfo));
  TRY(env.need_meta(t, meta_left, needed));
  if (t->size == 0) return env.fail(t, "size == 0");
  TRY(env.need_no_kflag(t));
  if (t->name_off == 0 || !env.valid_section(t->name_off)) return env.fail(t, "Invalid name");
  env.log_type(t);
  u64 end = 0, sum = 0;
  for (u32 i = 0; i < btf_vlen(t); ++i) {
    const btf_var_secinfo& vsi = btf_var_secinfos(t)[i];
    TRY(check_place(env, t, vsi, end));
    sum += vsi.size;
  }
  if (t->size < sum) return env.fail(t, "Invalid btf_info size");
  return needed;
}

// Linux: btf.c:btf_datasec_resolve()
Status datasec_resolve(BtfEnv& env, const ResolveVertex& v) {
  env.mode = BtfEnv::Mode::TBD;
  for (u32 i = v.next_member; i < btf_vlen(v.t); ++i) {
    const btf_var_secinfo& vsi = btf_var_secinfos(v.t)[i];
    const btf_type* var = env.btf.type_by_id(vsi.type);
    if (var == nullptr || !btf_is_var(var)) return env.fail_vsi(v.t, vsi, "Not a VAR kind member");
    if (env.must_push(var, vsi.type)) {
      env.stack[env.top - 1].next_member = i + 1;
      return env.push(var, vsi.type);
    }
    u32 id = var->type, size = 0;
    if (env.btf.type_id_size(&id, &size) == nullptr) return env.fail_vsi(v.t, vsi, "Invalid type");
    if (vsi.size < size) return env.fail_vsi(v.t, vsi, "Invalid size");
  }
  env.pop_resolved(0, 0);
  return ok_status();
}

// Linux: btf.c:btf_decl_tag_check_meta()
Result<u32> decl_tag_check_meta(BtfEnv& env, const btf_type* t, u32 meta_left) {
  constexpr u32 NEEDED = sizeof(btf_decl_tag);
  TRY(env.need_meta(t, meta_left, NEEDED));
  const char* value = env.btf.name(t->name_off);
  if (value == nullptr || value[0] == 0) return env.fail(t, "Invalid value");
  TRY(env.need_no_vlen(t));
  TRY(env.need_no_kflag(t));
  if (btf_component_idx(t) < -1) return env.fail(t, "Invalid component_idx");
  env.log_type(t);
  return NEEDED;
}

/// How many components the target of a tag has: members, or parameters of a function.
u32 nr_components(const BtfEnv& env, const btf_type* target) {
  return btf_vlen(btf_is_composite(target) ? target : env.btf.type_by_id(target->type));
}

// Linux: btf.c:btf_decl_tag_resolve()
Status decl_tag_resolve(BtfEnv& env, const ResolveVertex& v) {
  const u32 next_id = v.t->type;
  const btf_type* next = env.btf.type_by_id(next_id);
  const bool alone = next != nullptr && (btf_is_var(next) || btf_is_typedef(next));  // has no components
  if (next == nullptr || !(alone || btf_is_func(next) || btf_is_composite(next))) return env.fail(v.t, "Invalid type_id");
  if (env.must_push(next, next_id)) return env.push(next, next_id);
  const s32 idx = btf_component_idx(v.t);
  if (idx != -1 && (alone || static_cast<u32>(idx) >= nr_components(env, next))) return env.fail(v.t, "Invalid component_idx");
  env.pop_resolved(next_id, 0);
  return ok_status();
}

void decl_tag_log(BtfEnv& env, const btf_type* t) { env.log("type={} component_idx={}", t->type, btf_component_idx(t)); }

}  // namespace

const KindOps VAR_OPS = {var_check_meta, var_resolve, no_member, no_kflag_member, var_log};
const KindOps DATASEC_OPS = {datasec_check_meta, datasec_resolve, no_member, no_kflag_member, log_size_vlen};
const KindOps DECL_TAG_OPS = {decl_tag_check_meta, decl_tag_resolve, no_member, no_kflag_member, decl_tag_log};

}  // namespace skep
