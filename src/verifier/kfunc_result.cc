// verifier: r0 after a kfunc call, by the prototype in BTF, and by name where that says too little. Linux: verifier.c:check_kfunc_call(),
// from "Check return type" on
#include "verifier/call_args.h"
#include "verifier/kfunc_meta.h"

namespace skep {
namespace {

constexpr u32 BPF_GLOBAL_PERCPU_MA_MAX_SIZE = 512;

/// Liveness and the zero-extension state of a register whose width BTF tells. Linux: verifier.c:mark_btf_func_reg_size()
Status mark_btf_func_reg_size(VerifierEnv& env, u32 regno, u32 size) {
  RegState& reg = env.cur_regs()[regno];
  if (regno == R0) {
    reg.live |= REG_LIVE_WRITTEN;
    reg.subreg_def = size == sizeof(u64) ? DEF_NOT_SUBREG : static_cast<s32>(env.insn_idx + 1);
    return ok_status();
  }
  if (size == sizeof(u64)) mark_insn_zext(env, reg);
  return mark_reg_read(env, reg, reg.parent, size == sizeof(u64) ? REG_LIVE_READ64 : REG_LIVE_READ32);
}

bool returns_null(const KfuncMeta& meta) {
  // Holding a reference already, one more cannot fail.
  if (meta.is(KfuncId::bpf_refcount_acquire_impl) && meta.arg_owning_ref) return false;
  return meta.has(KF_RET_NULL);
}

void set_object(RegState& r0, u32 type, const Btf* btf, u32 btf_id) {
  mark_reg_known(r0, 0);
  r0.type = type;
  r0.btf = btf;
  r0.btf_id = btf_id;
}

/// bpf_obj_new(), bpf_percpu_obj_new(): the first argument is a type of the program's own BTF.
Status set_new_object(VerifierEnv& env, RegState& r0, const KfuncMeta& meta, u32 insn_idx) {
  const bool percpu = meta.is(KfuncId::bpf_percpu_obj_new_impl);
  if (meta.arg_constant.value > U32_MAX) return env.refuse(EINVAL, "local type ID argument must be in range [0, U32_MAX]");
  const Btf* btf = env.btf();
  if (btf == nullptr) return env.refuse(EINVAL, "bpf_obj_new/bpf_percpu_obj_new requires prog BTF");
  const u32 id = static_cast<u32>(meta.arg_constant.value);
  const btf_type* t = btf->type_by_id(id);
  if (t == nullptr || !btf_is_struct(t)) return env.refuse(EINVAL, "bpf_obj_new/bpf_percpu_obj_new type ID argument must be of a struct");
  if (percpu) {
    if (t->size > BPF_GLOBAL_PERCPU_MA_MAX_SIZE)
      return env.refuse(EINVAL, "bpf_percpu_obj_new type size ({}) is greater than {}", t->size, BPF_GLOBAL_PERCPU_MA_MAX_SIZE);
    if (!is_scalar_struct(env, *btf, t, 0))
      return env.refuse(EINVAL, "bpf_percpu_obj_new type ID argument must be of a struct of scalars");
    if (btf->struct_record(id) != nullptr)
      return env.refuse(EINVAL, "bpf_percpu_obj_new type ID argument must not contain special fields");
  }
  set_object(r0, PTR_TO_BTF_ID | MEM_ALLOC | (percpu ? u32{MEM_PERCPU} : 0u), btf, id);
  env.aux[insn_idx].obj_new_size = t->size;
  return ok_status();
}

/// bpf_dynptr_slice(): memory that lives as long as its dynptr.
Status set_slice(VerifierEnv& env, RegState& r0, const KfuncMeta& meta) {
  mark_reg_known(r0, 0);
  if (!meta.arg_constant.found) return env.refuse(EFAULT, "verifier internal error: bpf_dynptr_slice(_rdwr) no constant size");
  r0.mem_size = static_cast<u32>(meta.arg_constant.value);
  r0.type = PTR_TO_MEM | dynptr_type_flag(meta.initialized_dynptr.type);
  if (meta.is(KfuncId::bpf_dynptr_slice)) {
    r0.type |= MEM_RDONLY;
  } else {
    if (!may_access_direct_pkt_data(env, nullptr, BPF_WRITE)) return env.refuse(EINVAL, "the prog does not allow writes to packet data");
    env.seen_direct_write = true;
  }
  if (meta.initialized_dynptr.id == 0) return env.refuse(EFAULT, "verifier internal error: no dynptr id");
  r0.dynptr_id = meta.initialized_dynptr.id;
  return ok_status();
}

Status set_rdonly_cast(VerifierEnv& env, RegState& r0, const KfuncMeta& meta) {
  const u64 id = meta.arg_constant.value;
  const btf_type* t = id <= U32_MAX ? meta.btf->type_by_id(static_cast<u32>(id)) : nullptr;
  if (t == nullptr || !btf_is_composite(t)) return env.refuse(EINVAL, "kfunc bpf_rdonly_cast type ID argument must be of a struct");
  set_object(r0, PTR_TO_BTF_ID | PTR_UNTRUSTED, meta.btf, static_cast<u32>(id));
  return ok_status();
}

/// Kfuncs whose prototype hides what they return. False: this is none. Linux: the special_kfunc_set part
Result<bool> set_special(VerifierEnv& env, RegState& r0, const KfuncMeta& meta, u32 insn_idx) {
  switch (meta.kfunc->id) {
    case KfuncId::bpf_obj_new_impl:
    case KfuncId::bpf_percpu_obj_new_impl:
      TRY(set_new_object(env, r0, meta, insn_idx));
      return true;
    case KfuncId::bpf_refcount_acquire_impl:
      set_object(r0, PTR_TO_BTF_ID | MEM_ALLOC, meta.arg_btf, meta.arg_btf_id);
      return true;
    case KfuncId::bpf_list_pop_front:
    case KfuncId::bpf_list_pop_back:
      mark_reg_graph_node(r0, *meta.list_head);
      return true;
    case KfuncId::bpf_rbtree_remove:
    case KfuncId::bpf_rbtree_first:
      mark_reg_graph_node(r0, *meta.rbtree_root);
      return true;
    case KfuncId::bpf_cast_to_kern_ctx:
      set_object(r0, PTR_TO_BTF_ID | PTR_TRUSTED, meta.btf, meta.ret_btf_id);
      return true;
    case KfuncId::bpf_rdonly_cast:
      TRY(set_rdonly_cast(env, r0, meta));
      return true;
    case KfuncId::bpf_dynptr_slice:
    case KfuncId::bpf_dynptr_slice_rdwr:
      TRY(set_slice(env, r0, meta));
      return true;
    default:
      return false;
  }
}

Status set_memory(VerifierEnv& env, RegState& r0, const btf_type* pointee, KfuncMeta& meta) {
  if (meta.r0_size == 0) {
    if (const Result<u32> size = btf_sized_type(*meta.btf, pointee); size.ok()) {
      meta.r0_size = *size;
      meta.r0_rdonly = true;
    }
  }
  if (meta.r0_size == 0)
    return env.refuse(EINVAL, "kernel function {} returns pointer type {} {} is not supported", meta.func_name,
                      btf_kind_str(btf_kind_of(pointee)), meta.btf->name(pointee->name_off));
  mark_reg_known(r0, 0);
  r0.type = PTR_TO_MEM | (meta.r0_rdonly ? u32{MEM_RDONLY} : 0u);
  r0.mem_size = static_cast<u32>(meta.r0_size);
  if (meta.ref_obj_id != 0) r0.ref_obj_id = meta.ref_obj_id;  // it ends with the reference
  return ok_status();
}

void set_struct(VerifierEnv& env, RegState& r0, u32 btf_id, const KfuncMeta& meta) {
  set_object(r0, PTR_TO_BTF_ID, meta.btf, btf_id);
  if (!meta.has(KF_ITER_NEXT)) return;
  const RegState& iter = env.cur_state->frame[meta.iter.frameno]->stack[meta.iter.spi].spilled_ptr;
  r0.type |= (iter.type & MEM_RCU) != 0 ? u32{MEM_RCU} : u32{PTR_TRUSTED};
}

Status set_pointer(VerifierEnv& env, const btf_type* ret, KfuncMeta& meta, u32 insn_idx) {
  RegState* regs = env.cur_regs();
  RegState& r0 = regs[R0];
  const u32 pointee_id = meta.btf->resolve_modifiers(ret->type);
  const btf_type* pointee = meta.btf->type_by_id(pointee_id);
  if (!TRY(set_special(env, r0, meta, insn_idx))) {
    if (btf_is_void(pointee))
      mark_reg_unknown(env, regs, R0);
    else if (btf_is_struct(pointee))
      set_struct(env, r0, pointee_id, meta);
    else
      TRY(set_memory(env, r0, pointee, meta));
  }
  if (returns_null(meta)) {
    r0.type |= PTR_MAYBE_NULL;
    r0.id = env.new_id();
  }
  TRY(mark_btf_func_reg_size(env, R0, sizeof(u64)));
  if (meta.has(KF_ACQUIRE)) {
    const u32 id = acquire_reference_state(env, insn_idx);
    if (returns_null(meta)) r0.id = id;
    r0.ref_obj_id = id;
  } else if (meta.is(KfuncId::bpf_rbtree_first)) {
    (void)ref_set_non_owning(env, r0);
  }
  if (reg_may_point_to_spin_lock(r0) && r0.id == 0) r0.id = env.new_id();
  return ok_status();
}

/// Linux: btf.c:btf_type_is_struct_ptr()
bool is_struct_ptr(const Btf& btf, const btf_type* t) { return btf_is_ptr(t) && btf_is_composite(btf.skip_modifiers(t->type)); }

bool acquires_untyped(const KfuncMeta& meta) {
  return meta.is(KfuncId::bpf_obj_new_impl) || meta.is(KfuncId::bpf_percpu_obj_new_impl) || meta.is(KfuncId::bpf_refcount_acquire_impl);
}

}  // namespace

Status set_kfunc_result(VerifierEnv& env, KfuncMeta& meta, u32 insn_idx) {
  RegState* regs = env.cur_regs();
  for (u32 r = R0; r < CALLER_SAVED_REGS; ++r) mark_reg_not_init(env, regs, r);
  const btf_type* ret = meta.btf->skip_modifiers(meta.func_proto->type);
  if (meta.has(KF_ACQUIRE) && !is_struct_ptr(*meta.btf, ret) && !acquires_untyped(meta))
    return env.refuse(EINVAL, "acquire kernel function does not return PTR_TO_BTF_ID");
  if (btf_is_int(ret) || btf_is_any_enum(ret)) {
    mark_reg_unknown(env, regs, R0);
    TRY(mark_btf_func_reg_size(env, R0, ret->size));
  } else if (btf_is_ptr(ret)) {
    TRY(set_pointer(env, ret, meta, insn_idx));
  }
  for (u32 i = 0; i < btf_vlen(meta.func_proto); ++i) {
    const btf_type* t = meta.btf->skip_modifiers(btf_params(meta.func_proto)[i].type);
    TRY(mark_btf_func_reg_size(env, i + 1, btf_is_ptr(t) ? u32{sizeof(u64)} : t->size));
  }
  return ok_status();
}

}  // namespace skep
