// verifier: what a parameter of a kfunc takes, by its type and by the suffix of its name. Linux: verifier.c:get_kfunc_ptr_arg_type()
#include "verifier/call_args.h"
#include "verifier/ctx_arg.h"
#include "verifier/kfunc_meta.h"

namespace skep {
namespace {

bool is_scalar(const btf_type* t) { return btf_is_int(t) || btf_is_any_enum(t); }

bool param_is_mem_size(const Btf& btf, const btf_param& param, const RegState& reg) {
  return is_scalar(btf.skip_modifiers(param.type)) && reg.type == SCALAR_VALUE && param_has_suffix(btf, param, "__sz");
}

/// A pointer to a struct of the kernel's own kinds.
struct StructKind {
  std::string_view struct_name;
  KfuncArg kind;
};
constexpr StructKind GRAPH_KINDS[] = {{"bpf_list_head", KfuncArg::list_head},
                                      {"bpf_list_node", KfuncArg::list_node},
                                      {"bpf_rb_root", KfuncArg::rb_root},
                                      {"bpf_rb_node", KfuncArg::rb_node}};

bool points_to(const VerifierEnv& env, const KfuncParam& param, std::string_view struct_name) {
  return btf_is_struct(param.ref_type) && env.vmlinux()->name_is(param.ref_type->name_off, struct_name);
}

/// Linux: verifier.c:is_kfunc_arg_iter()
bool is_iter_param(const KfuncMeta& meta, const btf_param& param, u32 index) {
  if (meta.has(KF_ITER_NEW | KF_ITER_NEXT | KF_ITER_DESTROY)) return index == 0;
  return param_has_suffix(*meta.btf, param, "__iter");
}

Result<KfuncArg> mem_kind(VerifierEnv& env, const KfuncMeta& meta, const KfuncParam& param) {
  const btf_param* params = btf_params(meta.func_proto);
  const RegState* regs = env.cur_regs();
  bool sized = false;
  if (const u32 next = param.index + 1; next < btf_vlen(meta.func_proto))
    sized = param_is_mem_size(*meta.btf, params[next], regs[next + 1]) || param_is_const_mem_size(*meta.btf, params[next], regs[next + 1]);
  if (!is_scalar(param.ref_type) && !is_scalar_struct(env, *meta.btf, param.ref_type, 0) && !(sized && btf_is_void(param.ref_type)))
    return env.refuse(EINVAL, "arg#{} pointer type {} {} must point to {}scalar, or struct with scalar", param.index,
                      btf_kind_str(btf_kind_of(param.ref_type)), param.ref_name, sized ? "void, " : "");
  return sized ? KfuncArg::mem_size : KfuncArg::mem;
}

}  // namespace

/// Linux: verifier.c:btf_param_match_suffix()
bool param_has_suffix(const Btf& btf, const btf_param& param, std::string_view suffix) {
  const char* name = btf.name(param.name_off);
  return name != nullptr && std::string_view(name).ends_with(suffix);
}

bool param_is_const_mem_size(const Btf& btf, const btf_param& param, const RegState& reg) {
  return is_scalar(btf.skip_modifiers(param.type)) && reg.type == SCALAR_VALUE && param_has_suffix(btf, param, "__szk");
}

/// Nothing but numbers in it, structs nested at most four deep. Linux: verifier.c:__btf_type_is_scalar_struct()
bool is_scalar_struct(VerifierEnv& env, const Btf& btf, const btf_type* t, u32 depth) {
  if (!btf_is_composite(t)) return false;
  for (u32 i = 0; i < btf_vlen(t); ++i) {
    const btf_type* member = btf.skip_modifiers(btf_members(t)[i].type);
    if (btf_is_composite(member)) {
      if (depth >= 3) {
        env.verbose("max struct nesting depth exceeded\n");
        return false;
      }
      if (!is_scalar_struct(env, btf, member, depth + 1)) return false;
      continue;
    }
    if (btf_is_array(member)) {
      if (btf_array_of(member)->nelems == 0) return false;
      member = btf.skip_modifiers(btf_array_of(member)->type);
    }
    if (!is_scalar(member)) return false;
  }
  return true;
}

u32 reg_kernel_struct_id(const VerifierEnv& env, u32 reg_type) {
  switch (base_type(reg_type)) {
    case PTR_TO_SOCKET:
      return kernel_struct_id(env, "sock");
    case PTR_TO_SOCK_COMMON:
      return kernel_struct_id(env, "sock_common");
    case PTR_TO_TCP_SOCK:
      return kernel_struct_id(env, "tcp_sock");
    case CONST_PTR_TO_MAP:
      return kernel_struct_id(env, "bpf_map");
    default:
      return 0;
  }
}

Result<KfuncArg> kfunc_ptr_arg_kind(VerifierEnv& env, const KfuncMeta& meta, const KfuncParam& param) {
  const Btf& btf = *meta.btf;
  const btf_param& p = btf_params(meta.func_proto)[param.index];
  const RegState& reg = env.cur_regs()[param.regno()];
  if (meta.is(KfuncId::bpf_cast_to_kern_ctx)) return KfuncArg::ctx;
  if (btf_is_prog_ctx_type(btf, param.type, env.prog.type)) return KfuncArg::ctx;
  if (param_has_suffix(btf, p, "__nullable") && register_is_null(reg)) return KfuncArg::null;
  if (param_has_suffix(btf, p, "__alloc")) return KfuncArg::alloc_btf_id;
  if (param_has_suffix(btf, p, "__refcounted_kptr")) return KfuncArg::refcounted_kptr;
  if (points_to(env, param, "bpf_dynptr")) return KfuncArg::dynptr;
  if (is_iter_param(meta, p, param.index)) return KfuncArg::iter;
  for (const StructKind& k : GRAPH_KINDS)
    if (points_to(env, param, k.struct_name)) return k.kind;
  if (param_has_suffix(btf, p, "__str")) return KfuncArg::const_str;
  if (param_has_suffix(btf, p, "__map")) return KfuncArg::map;
  if (points_to(env, param, "bpf_wq")) return KfuncArg::workqueue;
  if (base_type(reg.type) == PTR_TO_BTF_ID || reg_kernel_struct_id(env, reg.type) != 0) {
    if (btf_is_composite(param.ref_type)) return KfuncArg::btf_id;
    return env.refuse(EINVAL, "kernel function {} args#{} pointer type {} {} is not supported", meta.func_name, param.index,
                      btf_kind_str(btf_kind_of(param.ref_type)), param.ref_name);
  }
  if (btf_is_func_proto(param.ref_type)) return KfuncArg::callback;
  return mem_kind(env, meta, param);
}

}  // namespace skep
