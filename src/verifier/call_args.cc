// verifier: one argument of a helper call, by the kind that the helper's proto names. Linux: verifier.c:check_func_arg()
#include "verifier/call_args.h"

#include "verifier/const_str.h"

namespace skep {
namespace {

/// What a map's value is depends on the map: sockets for SOCKMAP, SOCKHASH; read, not written, for peeking into a bloom filter. Linux:
/// verifier.c:resolve_map_arg_type()
Status resolve_map_arg_type(VerifierEnv& env, const CallArgMeta& meta, u32& arg_type) {
  if (meta.map_ptr == nullptr) return env.refuse(EACCES, "invalid map_ptr to access map->type");
  switch (meta.map_ptr->type) {
    case BPF_MAP_TYPE_SOCKMAP:
    case BPF_MAP_TYPE_SOCKHASH:
      if (arg_type != ARG_PTR_TO_MAP_VALUE) return env.refuse(EINVAL, "invalid arg_type for sockmap/sockhash");
      arg_type = ARG_PTR_TO_BTF_ID_SOCK_COMMON;
      break;
    case BPF_MAP_TYPE_BLOOM_FILTER:
      if (meta.func_id == func::map_peek_elem) arg_type = ARG_PTR_TO_MAP_VALUE;
      break;
    default:
      break;
  }
  return ok_status();
}

/// The register gives its reference away by this call: it must have one.
Status note_release(VerifierEnv& env, u32 regno, u32 arg_type, CallArgMeta& meta) {
  const RegState& reg = env.cur_regs()[regno];
  if (arg_type_is_dynptr(arg_type)) {
    if (reg.type != PTR_TO_STACK) return env.refuse(EINVAL, "cannot release unowned const bpf_dynptr");
    const s32 spi = dynptr_get_spi(env, reg);
    if (spi < 0 || env.func(reg).stack[spi].spilled_ptr.ref_obj_id == 0)
      return env.refuse(EINVAL, "arg {} is an unacquired reference", regno);
  } else if (reg.ref_obj_id == 0 && !register_is_null(reg)) {
    return env.refuse(EINVAL, "R{} must be referenced when passed to release function", regno);
  }
  if (meta.release_regno != 0) return env.refuse(EFAULT, "verifier internal error: more than one release argument");
  meta.release_regno = static_cast<u8>(regno);
  return ok_status();
}

Status note_reference(VerifierEnv& env, u32 regno, u32 arg_type, CallArgMeta& meta) {
  const RegState& reg = env.cur_regs()[regno];
  if (reg.ref_obj_id == 0 || base_type(arg_type) == ARG_KPTR_XCHG_DEST) return ok_status();
  if (meta.ref_obj_id != 0)
    return env.refuse(EFAULT, "verifier internal error: more than one arg with ref_obj_id R{} {} {}", regno, reg.ref_obj_id,
                      meta.ref_obj_id);
  meta.ref_obj_id = reg.ref_obj_id;
  return ok_status();
}

/// A second map argument must be the map that a timer lies in; inner maps of one outer map are told apart by map_uid.
Status note_map(VerifierEnv& env, const RegState& reg, CallArgMeta& meta) {
  if (meta.map_ptr != nullptr && (meta.map_ptr != reg.map_ptr || meta.map_uid != reg.map_uid))
    return env.refuse(EINVAL, "timer pointer in R1 map_uid={} doesn't match map pointer in R2 map_uid={}", static_cast<s32>(meta.map_uid),
                      static_cast<s32>(reg.map_uid));
  meta.map_ptr = reg.map_ptr;
  meta.map_uid = reg.map_uid;
  return ok_status();
}

AccessType access_of(u32 arg_type) { return (arg_type & MEM_WRITE) != 0 ? BPF_WRITE : BPF_READ; }

Status check_map_value_arg(VerifierEnv& env, u32 regno, u32 arg_type, CallArgMeta& meta) {
  if (type_may_be_null(arg_type) && register_is_null(env.cur_regs()[regno])) return ok_status();
  if (meta.map_ptr == nullptr) return env.refuse(EACCES, "invalid map_ptr to access map->value");
  meta.raw_mode = (arg_type & MEM_UNINIT) != 0;
  return check_helper_mem_access(env, regno, static_cast<s32>(meta.map_ptr->value_size), access_of(arg_type), false, &meta);
}

Status check_spin_lock_arg(VerifierEnv& env, u32 regno, const CallArgMeta& meta) {
  if (in_rbtree_lock_required_cb(env)) return env.refuse(EACCES, "can't spin_{{lock,unlock}} in rbtree cb");
  if (meta.func_id == func::spin_lock) return process_spin_lock(env, regno, true);
  if (meta.func_id == func::spin_unlock) return process_spin_lock(env, regno, false);
  return env.refuse(EFAULT, "verifier internal error");
}

/// Memory whose size comes with the next argument is judged there.
Status check_mem_arg(VerifierEnv& env, u32 regno, u32 arg_type, u32 fixed_size, CallArgMeta& meta) {
  meta.raw_mode = (arg_type & MEM_UNINIT) != 0;
  if ((arg_type & MEM_FIXED_SIZE) == 0) return ok_status();
  TRY(check_helper_mem_access(env, regno, static_cast<s32>(fixed_size), access_of(arg_type), false, &meta));
  if ((arg_type & MEM_ALIGNED) == 0) return ok_status();
  return check_ptr_alignment(env, env.cur_regs()[regno], 0, fixed_size, true);
}

Status check_alloc_size_arg(VerifierEnv& env, u32 regno, CallArgMeta& meta) {
  const RegState& reg = env.cur_regs()[regno];
  if (!tnum_is_const(reg.var_off)) return env.refuse(EACCES, "R{} is not a known constant'", regno);
  meta.mem_size = static_cast<u32>(reg.var_off.value);
  return mark_chain_precision(env, static_cast<s32>(regno));
}

/// What the kind of argument asks for beyond the type of the register.
Status check_arg_kind(VerifierEnv& env, u32 arg, u32 arg_type, CallArgMeta& meta, const FuncProto& fn, u32 insn_idx) {
  const u32 regno = R1 + arg;
  RegState& reg = env.cur_regs()[regno];
  switch (base_type(arg_type)) {
    case ARG_CONST_MAP_PTR:
      return note_map(env, reg, meta);
    case ARG_PTR_TO_MAP_KEY:
      if (meta.map_ptr == nullptr) return env.refuse(EACCES, "invalid map_ptr to access map->key");
      return check_helper_mem_access(env, regno, static_cast<s32>(meta.map_ptr->key_size), BPF_READ, false, nullptr);
    case ARG_PTR_TO_MAP_VALUE:
      return check_map_value_arg(env, regno, arg_type, meta);
    case ARG_PTR_TO_PERCPU_BTF_ID:
      if (reg.btf_id == 0) return env.refuse(EACCES, "Helper has invalid btf_id in R{}", regno);
      meta.ret_btf = reg.btf;
      meta.ret_btf_id = reg.btf_id;
      return ok_status();
    case ARG_PTR_TO_SPIN_LOCK:
      return check_spin_lock_arg(env, regno, meta);
    case ARG_PTR_TO_TIMER:
      return process_timer_func(env, regno, meta);
    case ARG_PTR_TO_FUNC:
      meta.subprogno = reg.subprogno;
      return ok_status();
    case ARG_PTR_TO_MEM:
      return check_mem_arg(env, regno, arg_type, fn.arg_size[arg], meta);
    case ARG_CONST_SIZE:
    case ARG_CONST_SIZE_OR_ZERO:  // check_func_proto(): never the first argument
      return check_mem_size_reg(env, reg, regno, access_of(fn.args[arg - 1]), base_type(arg_type) == ARG_CONST_SIZE_OR_ZERO, &meta);
    case ARG_PTR_TO_DYNPTR:
      return process_dynptr_func(env, regno, insn_idx, arg_type, 0);
    case ARG_CONST_ALLOC_SIZE_OR_ZERO:
      return check_alloc_size_arg(env, regno, meta);
    case ARG_PTR_TO_CONST_STR:
      return check_reg_const_str(env, reg, regno);
    case ARG_KPTR_XCHG_DEST:
      return process_kptr_func(env, regno, meta);
    default:
      return ok_status();
  }
}

Status check_arg_reg_type(VerifierEnv& env, u32 arg, u32 arg_type, const FuncProto& fn, CallArgMeta& meta) {
  const u32 regno = R1 + arg;
  u32 want = 0;
  const u32* arg_btf_id = nullptr;
  if (base_type(arg_type) == ARG_PTR_TO_BTF_ID && fn.arg_btf[arg] != nullptr) {
    want = kernel_struct_id(env, fn.arg_btf[arg]);
    arg_btf_id = &want;
  }
  TRY(check_reg_type(env, regno, arg_type, arg_btf_id, meta));
  return check_func_arg_reg_off(env, env.cur_regs()[regno], regno, arg_type);
}

}  // namespace

Status check_func_arg(VerifierEnv& env, u32 arg, CallArgMeta& meta, const FuncProto& fn, u32 insn_idx) {
  const u32 regno = R1 + arg;
  u32 arg_type = fn.args[arg];
  if (arg_type == ARG_DONTCARE) return ok_status();
  TRY(check_reg_arg(env, regno, SRC_OP));
  if (arg_type == ARG_ANYTHING) {
    if (is_pointer_value(env, regno)) return env.refuse(EACCES, "R{} leaks addr into helper function", regno);
    return ok_status();
  }
  const RegState& reg = env.cur_regs()[regno];
  if (type_is_pkt_pointer(reg.type) && !may_access_direct_pkt_data(env.prog, meta.pkt_access, BPF_READ))
    return env.refuse(EACCES, "helper access to the packet is not allowed");
  if (base_type(arg_type) == ARG_PTR_TO_MAP_VALUE) TRY(resolve_map_arg_type(env, meta, arg_type));

  if (register_is_null(reg) && type_may_be_null(arg_type)) {
    TRY(mark_chain_precision(env, static_cast<s32>(regno)));  // NULL is a number: there is no type to look at
  } else {
    TRY(check_arg_reg_type(env, arg, arg_type, fn, meta));
  }
  if ((arg_type & OBJ_RELEASE) != 0) TRY(note_release(env, regno, arg_type, meta));
  TRY(note_reference(env, regno, arg_type, meta));
  return check_arg_kind(env, arg, arg_type, meta, fn, insn_idx);
}

}  // namespace skep
