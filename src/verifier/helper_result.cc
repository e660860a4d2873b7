// verifier: r0 after a helper call, by the proto's return type.
#include "isa/func_names.h"
#include "verifier/helper_call.h"

namespace skep {
namespace {

constexpr s32 MAX_ERRNO = 4095;

/// Linux: the map kinds' record asked with btf_record_has_field()
bool has_spin_lock(const VerifierMap& map) { return map.record != nullptr && map.record->has_field(BPF_SPIN_LOCK); }

Status set_map_value(VerifierEnv& env, RegState& r0, const HelperCall& call, u32 ret_flag) {
  const VerifierMap* map = call.meta.map_ptr;
  if (map == nullptr) return env.refuse(EINVAL, "kernel subsystem misconfigured verifier");
  r0.map_ptr = map;
  r0.map_uid = call.meta.map_uid;
  r0.type = PTR_TO_MAP_VALUE | ret_flag;
  if (!type_may_be_null(call.fn.ret) && has_spin_lock(*map)) r0.id = env.new_id();
  return ok_status();
}

/// A per-CPU variable of the kernel or of the program: a struct, or memory of its type's size.
Status set_mem_or_btf_id(VerifierEnv& env, RegState& r0, const HelperCall& call, u32 ret_flag) {
  const Btf& btf = *call.meta.ret_btf;
  const btf_type* t = btf.skip_modifiers(call.meta.ret_btf_id);
  if (!btf_is_composite(t)) {
    const Result<u32> size = btf_sized_type(btf, t);
    if (!size.ok())
      return env.refuse(EINVAL, "unable to resolve the size of type '{}': {}", btf.name(t->name_off), -size.error().value());
    r0.type = PTR_TO_MEM | ret_flag;
    r0.mem_size = *size;
    return ok_status();
  }
  // MEM_RDONLY says nothing about a struct of the kernel: check_mem_access() judges by BTF.
  r0.type = call.returns_cpu_specific_alloc_ptr ? PTR_TO_BTF_ID | MEM_ALLOC | MEM_RCU
                                                : PTR_TO_BTF_ID | (ret_flag & ~static_cast<u32>(MEM_RDONLY));
  r0.btf = &btf;
  r0.btf_id = call.meta.ret_btf_id;
  return ok_status();
}

Status set_btf_id(VerifierEnv& env, RegState& r0, const HelperCall& call, u32 ret_flag) {
  r0.type = PTR_TO_BTF_ID | ret_flag;
  const Btf* btf = env.vmlinux();
  u32 btf_id = 0;
  if (call.func_id == func::kptr_xchg) {
    btf = call.meta.kptr_field->btf;
    btf_id = call.meta.kptr_field->btf_id;
    if (btf != env.vmlinux()) {
      r0.type |= MEM_ALLOC;
      if (call.meta.kptr_field->type == BPF_KPTR_PERCPU) r0.type |= MEM_PERCPU;
    }
  } else if (call.fn.ret_btf != nullptr) {
    btf_id = kernel_struct_id(env, call.fn.ret_btf);
  }
  if (btf_id == 0)
    return env.refuse(EINVAL, "invalid return type {} of func {}#{}", base_type(call.fn.ret), func_id_name(call.func_id), call.func_id);
  r0.btf = btf;
  r0.btf_id = btf_id;
  return ok_status();
}

Status set_r0(VerifierEnv& env, const HelperCall& call) {
  RegState* regs = env.cur_regs();
  RegState& r0 = regs[R0];
  const u32 ret_flag = type_flag(call.fn.ret);
  const u32 ret = base_type(call.fn.ret);
  if (ret == RET_INTEGER) {
    mark_reg_unknown(env, regs, R0);
    return ok_status();
  }
  if (ret == RET_VOID) {
    r0.type = NOT_INIT;
    return ok_status();
  }
  if (ret > RET_PTR_TO_BTF_ID)
    return env.refuse(EINVAL, "unknown return type {} of func {}#{}", ret, func_id_name(call.func_id), call.func_id);
  mark_reg_known_zero(env, regs, R0);
  switch (ret) {
    case RET_PTR_TO_MAP_VALUE:
      return set_map_value(env, r0, call, ret_flag);
    case RET_PTR_TO_SOCKET:
      r0.type = PTR_TO_SOCKET | ret_flag;
      return ok_status();
    case RET_PTR_TO_SOCK_COMMON:
      r0.type = PTR_TO_SOCK_COMMON | ret_flag;
      return ok_status();
    case RET_PTR_TO_TCP_SOCK:
      r0.type = PTR_TO_TCP_SOCK | ret_flag;
      return ok_status();
    case RET_PTR_TO_MEM:
      r0.type = PTR_TO_MEM | ret_flag;
      r0.mem_size = call.meta.mem_size;
      return ok_status();
    case RET_PTR_TO_MEM_OR_BTF_ID:
      return set_mem_or_btf_id(env, r0, call, ret_flag);
    default:
      return set_btf_id(env, r0, call, ret_flag);
  }
}

/// The id that r0 is released, invalidated or found not NULL by.
Status set_r0_ids(VerifierEnv& env, const HelperCall& call) {
  RegState& r0 = env.cur_regs()[R0];
  if (type_may_be_null(r0.type)) r0.id = env.new_id();
  const bool is_cast = is_ptr_cast_function(call.func_id);
  const bool is_slice = is_dynptr_ref_function(call.func_id);
  const bool acquires = is_acquire_function(call.func_id, call.meta.map_ptr);
  if (is_cast + is_slice + acquires > 1)
    return env.refuse(EFAULT, "verifier internal error: func {}#{} sets ref_obj_id more than once", func_id_name(call.func_id),
                      call.func_id);
  if (is_slice) r0.dynptr_id = call.meta.dynptr_id;
  if (is_cast || is_slice) {
    r0.ref_obj_id = call.meta.ref_obj_id;
  } else if (acquires) {
    const u32 id = acquire_reference_state(env, call.insn_idx);
    r0.id = id;
    r0.ref_obj_id = id;
  }
  return ok_status();
}

/// Helpers that return how much they copied, or an errno; the number of a processor. Linux: verifier.c:do_refine_retval_range()
Status refine_retval_range(VerifierEnv& env, const HelperCall& call) {
  if (call.fn.ret != RET_INTEGER) return ok_status();
  RegState& r0 = env.cur_regs()[R0];
  switch (call.func_id) {
    case func::get_stack:
    case func::get_task_stack:
    case func::probe_read_str:
    case func::probe_read_kernel_str:
    case func::probe_read_user_str:
      r0.smax_value = static_cast<s64>(call.meta.msize_max_value);
      r0.s32_max_value = static_cast<s32>(call.meta.msize_max_value);
      r0.smin_value = -MAX_ERRNO;
      r0.s32_min_value = -MAX_ERRNO;
      reg_bounds_sync(&r0);
      break;
    case func::get_smp_processor_id:
      if (const u32 cpus = env.input.nr_cpu_ids; cpus != 0) {
        r0.umax_value = r0.u32_max_value = cpus - 1;
        r0.smax_value = r0.s32_max_value = static_cast<s32>(cpus - 1);
        r0.umin_value = r0.u32_min_value = 0;
        r0.smin_value = r0.s32_min_value = 0;
        reg_bounds_sync(&r0);
      }
      break;
    default:
      break;
  }
  return reg_bounds_sanity_check(env, r0, "retval");
}

}  // namespace

Status set_helper_result(VerifierEnv& env, const HelperCall& call) {
  clear_caller_saved_regs(env, env.cur_regs());
  env.cur_regs()[R0].subreg_def = DEF_NOT_SUBREG;  // all of r0 is the result
  TRY(set_r0(env, call));
  TRY(set_r0_ids(env, call));
  return refine_retval_range(env, call);
}

}  // namespace skep
