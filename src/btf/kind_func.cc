// btf: FUNC and FUNC_PROTO.
#include "btf/env.h"

namespace skep {

namespace {

// Linux: btf.c:btf_func_check_meta()
Result<u32> func_check_meta(BtfEnv& env, const btf_type* t, u32) {
  if (t->name_off == 0 || !env.valid_identifier(t->name_off)) return env.fail(t, "Invalid name");
  if (btf_vlen(t) > BTF_FUNC_GLOBAL) return env.fail(t, "Invalid func linkage");
  TRY(env.need_no_kflag(t));
  env.log_type(t);
  return 0u;
}

Errno bad_arg(BtfEnv& env, const btf_type* t, u32 number) { return env.fail(t, fmt::format("Invalid arg#{}", number)); }

/// A function has a prototype all of whose parameters have names. Linux: btf.c:btf_func_resolve(), btf_func_check()
Status func_resolve(BtfEnv& env, const ResolveVertex& v) {
  const btf_type* proto = env.btf.type_by_id(v.t->type);
  if (proto == nullptr || !btf_is_func_proto(proto)) return env.fail(v.t, "Invalid type_id");
  for (u32 i = 0; i < btf_vlen(proto); ++i) {
    const btf_param& p = btf_params(proto)[i];
    if (p.name_off == 0 && p.type != 0) return bad_arg(env, v.t, i + 1);
  }
  env.pop_resolved(v.t->type, 0);
  return ok_status();
}

// Linux: btf.c:btf_func_proto_check_meta()
Result<u32> func_proto_check_meta(BtfEnv& env, const btf_type* t, u32 meta_left) {
  const u32 needed = btf_vlen(t) * static_cast<u32>(sizeof(btf_param));
  TRY(env.need_meta(t, meta_left, needed));
  if (t->name_off != 0) return env.fail(t, "Invalid name");
  TRY(env.need_no_kflag(t));
  env.log_type(t);
  return needed;
}

void log_param(BtfEnv& env, const btf_param& p, const char* before) {
  env.log("{}{} {}", before, p.type, env.log_name(p.name_off));
}

// Linux: btf.c:btf_func_proto_log()
void func_proto_log(BtfEnv& env, const btf_type* t) {
  const u32 n = btf_vlen(t);
  const btf_param* args = btf_params(t);
  env.log("return={} args=(", t->type);
  if (n == 0) {
    env.log("void");
  } else if (n == 1 && args[0].type == 0) {
    env.log("vararg");
  } else {
    log_param(env, args[0], "");
    for (u32 i = 1; i + 1 < n; ++i) log_param(env, args[i], ", ");
    if (n > 1 && args[n - 1].type != 0) log_param(env, args[n - 1], ", ");
    if (n > 1 && args[n - 1].type == 0) env.log(", vararg");
  }
  env.log(")");
}

/// The return type or a parameter: something with a size. Returns whether it is; an error is one of resolving it.
Result<bool> has_sized_type(BtfEnv& env, u32 id) {
  const btf_type* t = env.btf.type_by_id(id);
  if (btf_needs_resolve(t) && !env.is_resolved(id)) TRY(env.resolve(t, id));
  return env.btf.type_id_size(&id, nullptr) != nullptr;
}

Status check_arg(BtfEnv& env, const btf_type* t, u32 i) {
  const btf_param& p = btf_params(t)[i];
  const btf_type* arg = env.btf.type_by_id(p.type);
  if (arg == nullptr || btf_is_source_only(arg)) return bad_arg(env, t, i + 1);
  if (p.name_off != 0 && (!env.name_offset_valid(p.name_off) || !env.valid_identifier(p.name_off))) return bad_arg(env, t, i + 1);
  if (!TRY(has_sized_type(env, p.type))) return bad_arg(env, t, i + 1);
  return ok_status();
}

}  // namespace

// Linux: btf.c:btf_func_proto_check()
Status check_func_proto(BtfEnv& env, const btf_type* t) {
  if (t->type != 0) {
    const btf_type* ret = env.btf.type_by_id(t->type);
    if (ret == nullptr || btf_is_source_only(ret)) return env.fail(t, "Invalid return type");
    if (!TRY(has_sized_type(env, t->type))) return env.fail(t, "Invalid return type");
  }
  u32 n = btf_vlen(t);
  if (n == 0) return ok_status();
  if (btf_params(t)[n - 1].type == 0) {  // variable arguments
    if (btf_params(t)[n - 1].name_off != 0) return bad_arg(env, t, n);
    --n;
  }
  for (u32 i = 0; i < n; ++i) TRY(check_arg(env, t, i));
  return ok_status();
}

const KindOps FUNC_OPS = {func_check_meta, func_resolve, no_member, no_kflag_member, log_ref};
const KindOps FUNC_PROTO_OPS = {func_proto_check_meta, no_resolve, no_member, no_kflag_member, func_proto_log};

}  // namespace skep
