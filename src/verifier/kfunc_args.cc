// verifier: the arguments of one kfunc call. Linux: verifier.c:check_kfunc_args()
#include "verifier/call_args.h"
#include "verifier/kfunc_meta.h"

namespace skep {
namespace {

constexpr u32 MAX_BPF_FUNC_REG_ARGS = 5;

/// Linux: verifier.c:bpf_type_has_unsafe_modifiers()
constexpr u32 BPF_REG_TRUSTED_MODIFIERS = MEM_ALLOC | PTR_TRUSTED | NON_OWN_REF;
bool has_unsafe_modifiers(u32 type) { return (type_flag(type) & ~BPF_REG_TRUSTED_MODIFIERS) != 0; }

bool takes_trusted(const KfuncMeta& meta) { return meta.has(KF_TRUSTED_ARGS | KF_RELEASE); }

Status note_constant(VerifierEnv& env, const RegState& reg, u32 regno, KfuncMeta& meta) {
  if (meta.arg_constant.found) return env.refuse(EFAULT, "verifier internal error: only one constant argument permitted");
  if (!tnum_is_const(reg.var_off)) return env.refuse(EINVAL, "R{} must be a known constant", regno);
  meta.arg_constant.found = true;
  meta.arg_constant.value = reg.var_off.value;
  return ok_status();
}

Status check_scalar_arg(VerifierEnv& env, const btf_param& param, u32 regno, KfuncMeta& meta) {
  const RegState& reg = env.cur_regs()[regno];
  if (reg.type != SCALAR_VALUE) return env.refuse(EINVAL, "R{} is not a scalar", regno);
  if (param_has_suffix(*meta.btf, param, "__k")) {
    TRY(note_constant(env, reg, regno, meta));
    return mark_chain_precision(env, static_cast<s32>(regno));
  }
  const bool rdonly = meta.btf->name_is(param.name_off, "rdonly_buf_size");
  if (rdonly) meta.r0_rdonly = true;
  if (!rdonly && !meta.btf->name_is(param.name_off, "rdwr_buf_size")) return ok_status();
  if (meta.r0_size != 0) {
    env.verbose("2 or more rdonly/rdwr_buf_size parameters for kfunc");
    return Errno(EINVAL);
  }
  if (!tnum_is_const(reg.var_off)) return env.refuse(EINVAL, "R{} is not a const", regno);
  meta.r0_size = reg.var_off.value;
  if (meta.r0_size > U32_MAX) return env.refuse(EINVAL, "R{} rdonly/rdwr_buf_size exceeds u32 max", regno);
  return mark_chain_precision(env, static_cast<s32>(regno));
}

Status note_reference(VerifierEnv& env, u32 regno, KfuncMeta& meta) {
  const RegState& reg = env.cur_regs()[regno];
  if (reg.ref_obj_id == 0) return ok_status();
  if (meta.has(KF_RELEASE) && meta.ref_obj_id != 0)
    return env.refuse(EFAULT, "verifier internal error: more than one arg with ref_obj_id R{} {} {}", regno, reg.ref_obj_id,
                      meta.ref_obj_id);
  meta.ref_obj_id = reg.ref_obj_id;
  if (meta.has(KF_RELEASE)) meta.release_regno = static_cast<u8>(regno);
  return ok_status();
}

/// A map given by name; a second one must be the map that a workqueue lies in.
Status note_map(VerifierEnv& env, const RegState& reg, u32 regno, KfuncMeta& meta) {
  if (reg.raw.raw1 == 0) return env.refuse(EINVAL, "pointer in R{} isn't map pointer", regno);
  // Any pointer may come here, its type is judged later: what is not a map cannot be the workqueue's.
  if (meta.map.ptr != nullptr && (reg.type != CONST_PTR_TO_MAP || meta.map.ptr != reg.map_ptr || meta.map.uid != reg.map_uid))
    return env.refuse(EINVAL, "workqueue pointer in R1 map_uid={} doesn't match map pointer in R2 map_uid={}",
                      static_cast<s32>(meta.map.uid), reg.type == CONST_PTR_TO_MAP ? static_cast<s32>(reg.map_uid) : 0);
  if (reg.type == CONST_PTR_TO_MAP) {
    meta.map.ptr = reg.map_ptr;
    meta.map.uid = reg.map_uid;
  }
  return ok_status();
}

Status check_trust(VerifierEnv& env, const RegState& reg, u32 regno, const KfuncMeta& meta) {
  if ((!takes_trusted(meta) && !meta.has(KF_RCU)) || is_trusted_reg(env, reg)) return ok_status();
  if (!meta.has(KF_RCU)) return env.refuse(EINVAL, "R{} must be referenced or trusted", regno);
  if (!is_rcu_reg(reg)) return env.refuse(EINVAL, "R{} must be a rcu pointer", regno);
  return ok_status();
}

Status check_ctx_arg(VerifierEnv& env, const RegState& reg, u32 i, KfuncMeta& meta) {
  if (reg.type != PTR_TO_CTX) return env.refuse(EINVAL, "arg#{} expected pointer to ctx, but got {}", i, reg_type_str(env, reg.type));
  if (meta.is(KfuncId::bpf_cast_to_kern_ctx)) meta.ret_btf_id = TRY(kernel_ctx_btf_id(env));
  return ok_status();
}

Status check_alloc_obj_arg(VerifierEnv& env, const RegState& reg, u32 i, KfuncMeta& meta) {
  if (reg.type == (PTR_TO_BTF_ID | MEM_ALLOC)) {
    if (!meta.is(KfuncId::bpf_obj_drop_impl)) return env.refuse(EINVAL, "arg#{} expected for bpf_obj_drop_impl()", i);
  } else if (reg.type == (PTR_TO_BTF_ID | MEM_ALLOC | MEM_PERCPU)) {
    if (!meta.is(KfuncId::bpf_percpu_obj_drop_impl)) return env.refuse(EINVAL, "arg#{} expected for bpf_percpu_obj_drop_impl()", i);
  } else {
    return env.refuse(EINVAL, "arg#{} expected pointer to allocated object", i);
  }
  if (reg.ref_obj_id == 0) return env.refuse(EINVAL, "allocated object must be referenced");
  meta.arg_btf = reg.btf;
  meta.arg_btf_id = reg.btf_id;
  return ok_status();
}

/// What dynptr bpf_dynptr_clone() makes: one like its first argument, with the same reference.
Status clone_type(VerifierEnv& env, const KfuncMeta& meta, u32& arg_type, u32& clone_ref_obj_id) {
  const DynptrType parent = meta.initialized_dynptr.type;
  if (parent == BPF_DYNPTR_TYPE_INVALID) return env.refuse(EFAULT, "verifier internal error: no dynptr type for parent of clone");
  arg_type |= dynptr_type_flag(parent);
  clone_ref_obj_id = meta.initialized_dynptr.ref_obj_id;
  if (parent == BPF_DYNPTR_TYPE_RINGBUF && clone_ref_obj_id == 0)
    return env.refuse(EFAULT, "verifier internal error: missing ref obj id for parent of clone");
  return ok_status();
}

Status check_dynptr_arg(VerifierEnv& env, const btf_param& param, u32 regno, u32 insn_idx, KfuncMeta& meta) {
  const RegState& reg = env.cur_regs()[regno];
  u32 arg_type = ARG_PTR_TO_DYNPTR;
  u32 clone_ref_obj_id = 0;
  if (reg.type == CONST_PTR_TO_DYNPTR) arg_type |= MEM_RDONLY;
  if (param_has_suffix(*meta.btf, param, "__uninit")) arg_type |= MEM_UNINIT;
  if (meta.is(KfuncId::bpf_dynptr_from_skb))
    arg_type |= DYNPTR_TYPE_SKB;
  else if (meta.is(KfuncId::bpf_dynptr_from_xdp))
    arg_type |= DYNPTR_TYPE_XDP;
  else if (meta.is(KfuncId::bpf_dynptr_clone) && (arg_type & MEM_UNINIT) != 0)
    TRY(clone_type(env, meta, arg_type, clone_ref_obj_id));
  TRY(process_dynptr_func(env, regno, insn_idx, arg_type, clone_ref_obj_id));
  if ((arg_type & MEM_UNINIT) != 0) return ok_status();
  const Result<u32> id = dynptr_id(env, reg);
  if (!id.ok()) return env.refuse(id.error().value(), "verifier internal error: failed to obtain dynptr id");
  meta.initialized_dynptr.id = *id;
  meta.initialized_dynptr.type = dynptr_get_type(env, reg);
  meta.initialized_dynptr.ref_obj_id = TRY(dynptr_ref_obj_id(env, reg));
  return ok_status();
}

/// Linux: verifier.c:check_css_task_iter_allowlist()
bool css_task_iter_allowed(const VerifierEnv& env) {
  if (env.prog.type == BPF_PROG_TYPE_LSM) return true;
  if (env.prog.type == BPF_PROG_TYPE_TRACING && env.prog.expected_attach_type == BPF_TRACE_ITER) return true;
  return in_sleepable(env);
}

Status check_iter_arg(VerifierEnv& env, u32 regno, u32 insn_idx, KfuncMeta& meta) {
  if (meta.is(KfuncId::bpf_iter_css_task_new) && !css_task_iter_allowed(env))
    return env.refuse(EINVAL, "css_task_iter is only allowed in bpf_lsm, bpf_iter and sleepable progs");
  return process_iter_arg(env, regno, insn_idx, meta);
}

Status check_graph_root_arg(VerifierEnv& env, u32 i, KfuncMeta& meta, btf_field_type root_type) {
  const RegState& reg = env.cur_regs()[i + 1];
  if (reg.type != PTR_TO_MAP_VALUE && reg.type != (PTR_TO_BTF_ID | MEM_ALLOC))
    return env.refuse(EINVAL, "arg#{} expected pointer to map value or allocated object", i);
  if (reg.type == (PTR_TO_BTF_ID | MEM_ALLOC) && reg.ref_obj_id == 0) return env.refuse(EINVAL, "allocated object must be referenced");
  return process_graph_root(env, i + 1, meta, root_type);
}

Status check_graph_node_arg(VerifierEnv& env, u32 i, KfuncMeta& meta, btf_field_type node_type) {
  const RegState& reg = env.cur_regs()[i + 1];
  if (node_type == BPF_RB_NODE && meta.is(KfuncId::bpf_rbtree_remove)) {
    if (!type_is_non_owning_ref(reg.type) || reg.ref_obj_id != 0)
      return env.refuse(EINVAL, "rbtree_remove node input must be non-owning ref");
    if (in_rbtree_lock_required_cb(env)) return env.refuse(EINVAL, "rbtree_remove not allowed in rbtree cb");
  } else {
    if (reg.type != (PTR_TO_BTF_ID | MEM_ALLOC)) return env.refuse(EINVAL, "arg#{} expected pointer to allocated object", i);
    if (reg.ref_obj_id == 0) return env.refuse(EINVAL, "allocated object must be referenced");
  }
  return process_graph_node(env, i + 1, meta, node_type);
}

/// Two names of one type of which one says that it is not set up yet: never to be taken for each other. Linux:
/// btf.c:btf_type_ids_nocast_alias()
bool is_nocast_alias(std::string_view a, std::string_view b) {
  if (a.size() == b.size()) return false;
  const std::string_view longer = a.size() > b.size() ? a : b, shorter = a.size() > b.size() ? b : a;
  return longer.size() == shorter.size() + 7 && longer.ends_with("___init") && longer.starts_with(shorter);
}

/// Linux: verifier.c:process_kf_arg_ptr_to_btf_id()
Status check_struct_arg(VerifierEnv& env, const KfuncParam& param, const KfuncMeta& meta) {
  const RegState& reg = env.cur_regs()[param.regno()];
  const u32 kernel_id = reg_kernel_struct_id(env, reg.type);
  if ((base_type(reg.type) != PTR_TO_BTF_ID || (has_unsafe_modifiers(reg.type) && !is_rcu_reg(reg))) && kernel_id == 0) {
    if (env.log.needed()) {
      env.verbose("arg#{} is {} ", param.index, reg_type_str(env, reg.type));
      env.verbose("expected {} or socket\n",
                  reg_type_str(env, base_type(reg.type) | (type_flag(reg.type) & BPF_REG_TRUSTED_MODIFIERS)));
    }
    return Errno(EINVAL);
  }
  const bool is_btf_id = base_type(reg.type) == PTR_TO_BTF_ID;
  const Btf& btf = is_btf_id ? *reg.btf : *env.vmlinux();
  const u32 id = btf.resolve_modifiers(is_btf_id ? reg.btf_id : kernel_id);
  const std::string_view name = btf.type_name(id);
  const std::string_view want = param.ref_name;
  const bool strict = (meta.has(KF_RELEASE) && reg.ref_obj_id != 0) || is_nocast_alias(name, want);
  // A kfunc that names the uapi view of a struct takes the struct itself. Linux: btf.c:btf_is_projection_of()
  if ((want == "__sk_buff" && name == "sk_buff") || (want == "xdp_md" && name == "xdp_buff")) return ok_status();
  if (btf_struct_ids_match(env, btf, id, reg.off, *meta.btf, param.ref_id, strict, (reg.type & MEM_ALLOC) == 0)) return ok_status();
  return env.refuse(EINVAL, "kernel function {} args#{} expected pointer to {} {} but R{} has a pointer to {} {}", meta.func_name,
                    param.index, btf_kind_str(btf_kind_of(param.ref_type)), want, param.regno(),
                    btf_kind_str(btf_kind_of(btf.type_by_id(id))), name);
}

Status check_map_arg(VerifierEnv& env, KfuncParam param, const KfuncMeta& meta) {
  param.ref_id = kernel_struct_id(env, "bpf_map");
  param.ref_type = env.vmlinux()->type_by_id(param.ref_id);
  param.ref_name = "bpf_map";
  return check_struct_arg(env, param, meta);
}

Status check_mem_arg(VerifierEnv& env, const KfuncParam& param, const KfuncMeta& meta) {
  const Result<u32> size = btf_sized_type(*meta.btf, param.ref_type);
  if (!size.ok())
    return env.refuse(EINVAL, "arg#{} reference type('{} {}') size cannot be determined: {}", param.index,
                      btf_kind_str(btf_kind_of(param.ref_type)), param.ref_name, -size.error().value());
  return check_mem_reg(env, env.cur_regs()[param.regno()], param.regno(), *size);
}

Status check_mem_size_arg(VerifierEnv& env, u32 i, KfuncMeta& meta) {
  const btf_param* params = btf_params(meta.func_proto);
  const RegState& buffer = env.cur_regs()[i + 1];
  RegState& size = env.cur_regs()[i + 2];
  if (!register_is_null(buffer) || !param_has_suffix(*meta.btf, params[i], "__opt")) {
    if (const Status mem = check_kfunc_mem_size_reg(env, size, i + 2); !mem.ok())
      return env.refuse(mem.error().value(), "arg#{} arg#{} memory, len pair leads to invalid memory access", i, i + 1);
  }
  return param_is_const_mem_size(*meta.btf, params[i + 1], size) ? note_constant(env, size, i + 2, meta) : ok_status();
}

Status check_refcounted_arg(VerifierEnv& env, const RegState& reg, u32 i, KfuncMeta& meta) {
  if (!type_is_ptr_alloc_obj(reg.type)) return env.refuse(EINVAL, "arg#{} is neither owning or non-owning ref", i);
  if (!type_is_non_owning_ref(reg.type) && reg.ref_obj_id != 0) meta.arg_owning_ref = true;
  const BtfRecord* record = reg_btf_record(reg);
  if (record == nullptr) return env.refuse(EFAULT, "verifier internal error: Couldn't find btf_record");
  if (record->refcount_off < 0) return env.refuse(EINVAL, "arg#{} doesn't point to a type with bpf_refcount field", i);
  meta.arg_btf = reg.btf;
  meta.arg_btf_id = reg.btf_id;
  return ok_status();
}

Status check_arg_of_kind(VerifierEnv& env, KfuncArg kind, const KfuncParam& param, u32 insn_idx, KfuncMeta& meta) {
  const u32 i = param.index, regno = param.regno();
  const RegState& reg = env.cur_regs()[regno];
  switch (kind) {
    case KfuncArg::null:
      return ok_status();
    case KfuncArg::ctx:
      return check_ctx_arg(env, reg, i, meta);
    case KfuncArg::alloc_btf_id:
      return check_alloc_obj_arg(env, reg, i, meta);
    case KfuncArg::dynptr:
      return check_dynptr_arg(env, btf_params(meta.func_proto)[i], regno, insn_idx, meta);
    case KfuncArg::iter:
      return check_iter_arg(env, regno, insn_idx, meta);
    case KfuncArg::list_head:
      return check_graph_root_arg(env, i, meta, BPF_LIST_HEAD);
    case KfuncArg::rb_root:
      return check_graph_root_arg(env, i, meta, BPF_RB_ROOT);
    case KfuncArg::list_node:
      return check_graph_node_arg(env, i, meta, BPF_LIST_NODE);
    case KfuncArg::rb_node:
      return check_graph_node_arg(env, i, meta, BPF_RB_NODE);
    case KfuncArg::map:
      return check_map_arg(env, param, meta);
    case KfuncArg::btf_id:
      return check_struct_arg(env, param, meta);
    case KfuncArg::mem:
      return check_mem_arg(env, param, meta);
    case KfuncArg::mem_size:
      return check_mem_size_arg(env, i, meta);
    case KfuncArg::callback:
      if (reg.type != PTR_TO_FUNC) return env.refuse(EINVAL, "arg{} expected pointer to func", i);
      meta.subprogno = reg.subprogno;
      return ok_status();
    case KfuncArg::refcounted_kptr:
      return check_refcounted_arg(env, reg, i, meta);
    case KfuncArg::const_str:
      if (reg.type != PTR_TO_MAP_VALUE) return env.refuse(EINVAL, "arg#{} doesn't point to a const string", i);
      return check_reg_const_str(env, reg, regno);
    case KfuncArg::workqueue:
      if (reg.type != PTR_TO_MAP_VALUE) return env.refuse(EINVAL, "arg#{} doesn't point to a map value", i);
      return process_wq_func(env, regno, meta);
  }
  return Errno(EFAULT);
}

/// A pointer parameter; answers its kind.
Result<KfuncArg> check_pointer_arg(VerifierEnv& env, u32 i, const btf_type* t, u32 insn_idx, KfuncMeta& meta) {
  const Btf& btf = *meta.btf;
  const u32 regno = i + 1;
  const RegState& reg = env.cur_regs()[regno];
  const btf_param& p = btf_params(meta.func_proto)[i];
  if ((takes_trusted(meta) || meta.has(KF_RCU)) && (register_is_null(reg) || type_may_be_null(reg.type)) &&
      !param_has_suffix(btf, p, "__nullable"))
    return env.refuse(EACCES, "Possibly NULL pointer passed to trusted arg{}", i);
  TRY(note_reference(env, regno, meta));
  // Where a number passes for a pointer, it is because it is 0. DIFFERS: Linux 6.12 does not insist that it is on all paths.
  if (register_is_null(reg)) TRY(mark_chain_precision(env, static_cast<s32>(regno)));

  const u32 ref_id = btf.resolve_modifiers(t->type);
  const btf_type* ref = btf.type_by_id(ref_id);
  const KfuncParam param{.index = i, .type = t, .ref_type = ref, .ref_id = ref_id, .ref_name = btf.name_or_word(ref->name_off)};
  const KfuncArg kind = TRY(kfunc_ptr_arg_kind(env, meta, param));
  if (kind == KfuncArg::null) return kind;
  if (kind == KfuncArg::map) TRY(note_map(env, reg, regno, meta));
  if (kind == KfuncArg::map || kind == KfuncArg::alloc_btf_id || kind == KfuncArg::btf_id) TRY(check_trust(env, reg, regno, meta));
  const bool releases = meta.has(KF_RELEASE) && reg.ref_obj_id != 0;
  TRY(check_func_arg_reg_off(env, reg, regno, releases ? u32{OBJ_RELEASE} : u32{ARG_DONTCARE}));
  TRY(check_arg_of_kind(env, kind, param, insn_idx, meta));
  return kind;
}

}  // namespace

Status check_kfunc_args(VerifierEnv& env, KfuncMeta& meta, u32 insn_idx) {
  const u32 nargs = btf_vlen(meta.func_proto);
  if (nargs > MAX_BPF_FUNC_REG_ARGS)
    return env.refuse(EINVAL, "Function {} has {} > {} args", meta.func_name, nargs, MAX_BPF_FUNC_REG_ARGS);
  for (u32 i = 0; i < nargs; ++i) {
    const btf_param& param = btf_params(meta.func_proto)[i];
    const btf_type* t = meta.btf->skip_modifiers(param.type);
    if (param_has_suffix(*meta.btf, param, "__ign")) continue;
    if (btf_is_int(t) || btf_is_any_enum(t)) {
      TRY(check_scalar_arg(env, param, i + 1, meta));
      continue;
    }
    if (!btf_is_ptr(t)) return env.refuse(EINVAL, "Unrecognized arg#{} type {}", i, btf_kind_str(btf_kind_of(t)));
    if (TRY(check_pointer_arg(env, i, t, insn_idx, meta)) == KfuncArg::mem_size) ++i;  // its size was judged with it
  }
  if (meta.has(KF_RELEASE) && meta.release_regno == 0)
    return env.refuse(EINVAL, "release kernel function {} expects refcounted PTR_TO_BTF_ID", meta.func_name);
  return ok_status();
}

}  // namespace skep
