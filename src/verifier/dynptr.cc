// verifier: dynptrs. One lives in two neighbouring stack slots that programs cannot touch as bytes (or behind CONST_PTR_TO_DYNPTR);
// helpers make it, read through it, give it back. Slices of its memory carry its id and die with it.
//
//   fp-16 [spi]      first_slot = true    id, ref_obj_id, type
//   fp-8  [spi - 1]  first_slot = false   the same id
#include "verifier/kfunc_meta.h"
#include "verifier/stack_objects.h"
#include "verifier/verifier_env.h"

namespace skep {
namespace {

constexpr u32 BPF_DYNPTR_SIZE = BPF_DYNPTR_NR_SLOTS * BPF_REG_SIZE;

/// Linux: verifier.c:arg_to_dynptr_type()
DynptrType arg_to_dynptr_type(u32 arg_type) {
  switch (arg_type & DYNPTR_TYPE_FLAG_MASK) {
    case DYNPTR_TYPE_LOCAL:
      return BPF_DYNPTR_TYPE_LOCAL;
    case DYNPTR_TYPE_RINGBUF:
      return BPF_DYNPTR_TYPE_RINGBUF;
    case DYNPTR_TYPE_SKB:
      return BPF_DYNPTR_TYPE_SKB;
    case DYNPTR_TYPE_XDP:
      return BPF_DYNPTR_TYPE_XDP;
    default:
      return BPF_DYNPTR_TYPE_INVALID;
  }
}

bool dynptr_type_refcounted(DynptrType type) { return type == BPF_DYNPTR_TYPE_RINGBUF; }

RegState& slot_reg(FuncState& func, s32 spi) { return func.stack[spi].spilled_ptr; }

void set_slot_types(FuncState& func, s32 spi, StackSlotType type) {
  std::memset(func.stack[spi].slot_type, type, BPF_REG_SIZE);
  std::memset(func.stack[spi - 1].slot_type, type, BPF_REG_SIZE);
}

/// Both slots become empty. REG_LIVE_WRITTEN although nothing can read them whole: bytes written there later may be read, and those
/// reads must not be carried to parent states through the old liveness chain. Linux: verifier.c:invalidate_dynptr()
void forget_slots(VerifierEnv& env, FuncState& func, s32 spi) {
  for (const s32 i : {spi, spi - 1}) {
    mark_reg_not_init_reg(env, slot_reg(func, i));
    slot_reg(func, i).live |= REG_LIVE_WRITTEN;
  }
}

void invalidate_dynptr(VerifierEnv& env, FuncState& func, s32 spi) {
  set_slot_types(func, spi, STACK_INVALID);
  forget_slots(env, func, spi);
}

/// Linux: verifier.c:mark_stack_slots_dynptr()
Status mark_stack_slots_dynptr(VerifierEnv& env, RegState& reg, u32 arg_type, u32 insn_idx, u32 clone_ref_obj_id) {
  FuncState& func = env.func(reg);
  const s32 spi = dynptr_get_spi(env, reg);
  if (spi < 0) return Errno(-spi);
  // The two slots may belong to two older dynptrs, each lying half outside.
  TRY(destroy_if_dynptr_stack_slot(env, func, static_cast<u32>(spi)));
  TRY(destroy_if_dynptr_stack_slot(env, func, static_cast<u32>(spi - 1)));
  set_slot_types(func, spi, STACK_DYNPTR);

  const DynptrType type = arg_to_dynptr_type(arg_type);
  if (type == BPF_DYNPTR_TYPE_INVALID) return Errno(EINVAL);
  mark_dynptr_stack_regs(env, slot_reg(func, spi), slot_reg(func, spi - 1), type);
  if (dynptr_type_refcounted(type)) {
    const u32 id = clone_ref_obj_id != 0 ? clone_ref_obj_id : acquire_reference_state(env, insn_idx);
    slot_reg(func, spi).ref_obj_id = id;
    slot_reg(func, spi - 1).ref_obj_id = id;
  }
  slot_reg(func, spi).live |= REG_LIVE_WRITTEN;
  slot_reg(func, spi - 1).live |= REG_LIVE_WRITTEN;
  return ok_status();
}

/// A stack that is not grown that far yet is fine: the writes that follow grow it. Older unreferenced dynptrs there are overwritten.
/// Linux: verifier.c:is_dynptr_reg_valid_uninit()
bool is_dynptr_reg_valid_uninit(VerifierEnv& env, const RegState& reg) {
  if (reg.type == CONST_PTR_TO_DYNPTR) return false;
  const s32 spi = dynptr_get_spi(env, reg);
  return spi >= 0 || spi == -ERANGE;
}

/// Linux: verifier.c:is_dynptr_reg_valid_init()
bool is_dynptr_reg_valid_init(VerifierEnv& env, const RegState& reg) {
  if (reg.type == CONST_PTR_TO_DYNPTR) return true;
  const s32 spi = dynptr_get_spi(env, reg);
  if (spi < 0) return false;
  const FuncState& func = env.func(reg);
  if (!func.stack[spi].spilled_ptr.dynptr.first_slot) return false;
  for (u32 i = 0; i < BPF_REG_SIZE; ++i)
    if (func.stack[spi].slot_type[i] != STACK_DYNPTR || func.stack[spi - 1].slot_type[i] != STACK_DYNPTR) return false;
  return true;
}

/// Linux: verifier.c:is_dynptr_type_expected()
bool is_dynptr_type_expected(VerifierEnv& env, const RegState& reg, u32 arg_type) {
  if (arg_type == ARG_PTR_TO_DYNPTR) return true;
  const DynptrType wanted = arg_to_dynptr_type(arg_type);
  if (reg.type == CONST_PTR_TO_DYNPTR) return reg.dynptr.type == wanted;
  const s32 spi = dynptr_get_spi(env, reg);
  return spi >= 0 && env.func(reg).stack[spi].spilled_ptr.dynptr.type == wanted;
}

Status make_dynptr(VerifierEnv& env, u32 regno, u32 insn_idx, u32 arg_type, u32 clone_ref_obj_id) {
  RegState& reg = env.cur_regs()[regno];
  if (!is_dynptr_reg_valid_uninit(env, reg)) return env.refuse(EINVAL, "Dynptr has to be an uninitialized dynptr");
  for (s32 off = 0; off < static_cast<s32>(BPF_DYNPTR_SIZE); off += 8)
    TRY(check_mem_access(env, insn_idx, regno, off, BPF_DW, BPF_WRITE, -1, false, false));
  return mark_stack_slots_dynptr(env, reg, arg_type, insn_idx, clone_ref_obj_id);
}

Status use_dynptr(VerifierEnv& env, u32 regno, u32 arg_type) {
  RegState& reg = env.cur_regs()[regno];
  if (reg.type == CONST_PTR_TO_DYNPTR && (arg_type & MEM_RDONLY) == 0)
    return env.refuse(EINVAL, "cannot pass pointer to const bpf_dynptr, the helper mutates it");
  if (!is_dynptr_reg_valid_init(env, reg)) return env.refuse(EINVAL, "Expected an initialized dynptr as arg #{}", regno - 1);
  if (!is_dynptr_type_expected(env, reg, arg_type & ~MEM_RDONLY))
    return env.refuse(EINVAL, "Expected a dynptr of type {} as arg #{}", dynptr_type_str(arg_to_dynptr_type(arg_type)), regno - 1);
  return mark_dynptr_read(env, reg);
}

}  // namespace

u32 dynptr_type_flag(DynptrType type) {
  switch (type) {
    case BPF_DYNPTR_TYPE_LOCAL:
      return DYNPTR_TYPE_LOCAL;
    case BPF_DYNPTR_TYPE_RINGBUF:
      return DYNPTR_TYPE_RINGBUF;
    case BPF_DYNPTR_TYPE_SKB:
      return DYNPTR_TYPE_SKB;
    case BPF_DYNPTR_TYPE_XDP:
      return DYNPTR_TYPE_XDP;
    default:
      return 0;
  }
}

s32 stack_slot_obj_get_spi(VerifierEnv& env, const RegState& reg, const char* obj_kind, u32 nr_slots) {
  if (!tnum_is_const(reg.var_off)) {
    env.verbose("{} has to be at a constant offset\n", obj_kind);
    return -EINVAL;
  }
  const s32 off = static_cast<s32>(static_cast<u64>(static_cast<s64>(reg.off)) + reg.var_off.value);
  // Linux: off % BPF_REG_SIZE with an int and an int constant; only whether it is 0 matters.
  if (off % static_cast<s32>(BPF_REG_SIZE) != 0) {
    env.verbose("cannot pass in {} at an offset={}\n", obj_kind, off);
    return -EINVAL;
  }
  const s32 spi = get_spi(off);
  if (spi + 1 < static_cast<s32>(nr_slots)) {
    env.verbose("cannot pass in {} at an offset={}\n", obj_kind, off);
    return -EINVAL;
  }
  return is_spi_bounds_valid(env.func(reg), spi, nr_slots) ? spi : -ERANGE;
}

s32 dynptr_get_spi(VerifierEnv& env, const RegState& reg) { return stack_slot_obj_get_spi(env, reg, "dynptr", BPF_DYNPTR_NR_SLOTS); }

/// Linux: verifier.c:unmark_stack_slots_dynptr()
Status unmark_stack_slots_dynptr(VerifierEnv& env, RegState& reg) {
  FuncState& func = env.func(reg);
  const s32 spi = dynptr_get_spi(env, reg);
  if (spi < 0) return Errno(-spi);
  if (!dynptr_type_refcounted(slot_reg(func, spi).dynptr.type)) {
    invalidate_dynptr(env, func, spi);
    return ok_status();
  }

  // Slices of its memory end with the reference, clones of the dynptr in this frame with them.
  const u32 ref_obj_id = slot_reg(func, spi).ref_obj_id;
  (void)release_reference(env, ref_obj_id);
  for (u32 i = 1; i < func.stack_slots(); ++i) {
    if (func.stack[i].spilled_ptr.ref_obj_id != ref_obj_id) continue;
    if (func.stack[i].slot_type[0] != STACK_DYNPTR) return env.refuse(EFAULT, "verifier internal error: misconfigured ref_obj_id");
    if (func.stack[i].spilled_ptr.dynptr.first_slot) invalidate_dynptr(env, func, static_cast<s32>(i));
  }
  return ok_status();
}

/// A write into a part of a dynptr ends all of it; one that holds a reference may not be lost so. STACK_DYNPTR never covers a slot
/// partly, so its first byte tells. Linux: verifier.c:destroy_if_dynptr_stack_slot()
Status destroy_if_dynptr_stack_slot(VerifierEnv& env, FuncState& func, u32 at) {
  if (func.stack[at].slot_type[0] != STACK_DYNPTR) return ok_status();
  const s32 spi = static_cast<s32>(func.stack[at].spilled_ptr.dynptr.first_slot ? at : at + 1);
  if (dynptr_type_refcounted(slot_reg(func, spi).dynptr.type)) return env.refuse(EINVAL, "cannot overwrite referenced dynptr");

  env.mark_stack_slot_scratched(static_cast<u32>(spi));
  env.mark_stack_slot_scratched(static_cast<u32>(spi - 1));
  set_slot_types(func, spi, STACK_INVALID);
  const u32 id = slot_reg(func, spi).id;
  for_each_reg(*env.cur_state, [&](FuncState&, RegState& r) {
    if (r.type != (PTR_TO_MEM | PTR_MAYBE_NULL) && r.type != PTR_TO_MEM) return;
    if (r.dynptr_id == id) mark_reg_invalid(env, r);
  });
  forget_slots(env, func, spi);
  return ok_status();
}

/// One dynptr argument. MEM_UNINIT: the call makes it. MEM_RDONLY: the dynptr itself is not changed, whatever happens to its memory.
/// Neither: it may be changed and given back. Linux: verifier.c:process_dynptr_func()
Status process_dynptr_func(VerifierEnv& env, u32 regno, u32 insn_idx, u32 arg_type, u32 clone_ref_obj_id) {
  const RegState& reg = env.cur_regs()[regno];
  if (reg.type != PTR_TO_STACK && reg.type != CONST_PTR_TO_DYNPTR)
    return env.refuse(EINVAL, "arg#{} expected pointer to stack or const struct bpf_dynptr", regno - 1);
  if ((arg_type & (MEM_UNINIT | MEM_RDONLY)) == (MEM_UNINIT | MEM_RDONLY))
    return env.refuse(EFAULT, "verifier internal error: misconfigured dynptr helper type flags");
  return (arg_type & MEM_UNINIT) != 0 ? make_dynptr(env, regno, insn_idx, arg_type, clone_ref_obj_id) : use_dynptr(env, regno, arg_type);
}

/// Linux: verifier.c:dynptr_id()
Result<u32> dynptr_id(VerifierEnv& env, const RegState& reg) {
  if (reg.type == CONST_PTR_TO_DYNPTR) return reg.id;
  const s32 spi = dynptr_get_spi(env, reg);
  if (spi < 0) return Errno(-spi);
  return env.func(reg).stack[spi].spilled_ptr.id;
}

/// Linux: verifier.c:dynptr_ref_obj_id()
Result<u32> dynptr_ref_obj_id(VerifierEnv& env, const RegState& reg) {
  if (reg.type == CONST_PTR_TO_DYNPTR) return reg.ref_obj_id;
  const s32 spi = dynptr_get_spi(env, reg);
  if (spi < 0) return Errno(-spi);
  return env.func(reg).stack[spi].spilled_ptr.ref_obj_id;
}

/// reg.off alone names the slot: pointer arithmetic folds constants into it. Linux: verifier.c:dynptr_get_type()
DynptrType dynptr_get_type(VerifierEnv& env, const RegState& reg) {
  if (reg.type == CONST_PTR_TO_DYNPTR) return reg.dynptr.type;
  const s32 spi = get_spi(reg.off);
  if (spi < 0 || spi >= static_cast<s32>(env.func(reg).stack_slots())) {
    env.verbose("verifier internal error: invalid spi when querying dynptr type\n");
    return BPF_DYNPTR_TYPE_INVALID;
  }
  return env.func(reg).stack[spi].spilled_ptr.dynptr.type;
}

}  // namespace skep
