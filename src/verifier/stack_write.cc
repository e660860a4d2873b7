// verifier: stores to a program's stack: which of its bytes hold a spilled register, zeros, or anything.
// Linux: kernel/bpf/verifier.c, the functions named below
#include "verifier/stack_bytes.h"

namespace skep {
namespace {

constexpr s32 REG_BYTES = BPF_REG_SIZE;

bool is_bpf_st_mem(const bpf_insn& insn) { return bpf_class(insn.code) == BPF_ST && bpf_mode(insn.code) == BPF_MEM; }

/// What is stored, as far as both kinds of stores want to know it.
struct StoredValue {
  RegState* reg;  ///< null: an immediate, or bytes that a helper makes up
  s32 regno;      ///< -1 with a null reg
  const bpf_insn& insn;

  bool is_immediate() const { return reg == nullptr && is_bpf_st_mem(insn); }
  bool is_zero() const { return reg != nullptr ? register_is_null(*reg) : is_immediate() && insn.imm == 0; }
};

StoredValue stored_value(VerifierEnv& env, s32 regno, u32 insn_idx) {
  return {regno >= 0 ? env.cur_regs() + regno : nullptr, regno, env.insns[insn_idx]};
}

/// A scalar that is copied gets an id, so that what is learned of one copy goes for the other. Linux: assign_scalar_id_before_mov()
void assign_scalar_id(VerifierEnv& env, RegState& src) {
  if (src.type != SCALAR_VALUE) return;
  if ((src.id & BPF_ADD_CONST) != 0) {
    src.id = 0;
    src.off = 0;
  }
  if (src.id == 0 && !tnum_is_const(src.var_off)) src.id = env.new_id();
}

/// Linux: save_register_state(). The bytes of the slot beside a narrow spill keep zeros, and what was never written.
void save_register_state(StackSlot& slot, const RegState& reg, s32 size) {
  copy_register_state(slot.spilled_ptr, reg);
  if (size == REG_BYTES) slot.spilled_ptr.live |= REG_LIVE_WRITTEN;
  s32 i = REG_BYTES;
  for (; i > REG_BYTES - size; --i) slot.slot_type[i - 1] = STACK_SPILL;
  for (; i > 0; --i) {
    u8& type = slot.slot_type[i - 1];
    if (type != STACK_ZERO && type != STACK_INVALID) type = STACK_MISC;
  }
}

/// Plain data over a register, dynptr or iterator: that is gone. Linux: scrub_special_slot()
void scrub_special_slot(StackSlot& slot) {
  slot.spilled_ptr.type = NOT_INIT;
  if (!is_stack_slot_special(slot)) return;
  for (u8& type : slot.slot_type) scrub_spilled_byte(type);
}

void spill_scalar(VerifierEnv& env, StackSlot& slot, RegState& reg, s32 size) {
  const bool fits = reg_width(reg) <= 8 * static_cast<u32>(size);
  if (fits) assign_scalar_id(env, reg);
  save_register_state(slot, reg, size);
  // What a narrowing store keeps is another number than the register's.
  if (!fits) slot.spilled_ptr.id = 0;
}

void spill_immediate(VerifierEnv& env, StackSlot& slot, s32 imm, s32 size) {
  RegState& tmp = env.fake_reg[0];
  std::memset(static_cast<void*>(&tmp), 0, sizeof(tmp));
  mark_reg_known(tmp, static_cast<u64>(s64{imm}));
  tmp.type = SCALAR_VALUE;
  save_register_state(slot, tmp, size);
}

Status spill_pointer(VerifierEnv& env, FuncState& func, StackSlot& slot, const RegState& reg, s32 size, u32 insn_idx) {
  if (size != REG_BYTES) {
    verbose_linfo(env, insn_idx, "; ");
    return env.refuse(EACCES, "invalid size of register spill");
  }
  // The caller's frame outlives the callee's.
  if (&func != &env.cur_func() && reg.type == PTR_TO_STACK)
    return env.refuse(EINVAL, "cannot spill pointers to stack into stack frame of the caller");
  save_register_state(slot, reg, size);
  return ok_status();
}

Status write_bytes(VerifierEnv& env, StackSlot& slot, s32 off, s32 size, const StoredValue& value) {
  scrub_special_slot(slot);
  // A partly written slot must go on asking its parents: reads of its other bytes are theirs.
  if (size == REG_BYTES) slot.spilled_ptr.live |= REG_LIVE_WRITTEN;
  u8 type = STACK_MISC;
  if (value.is_zero()) {
    // Zero bytes are not backtracked through, so the register that they come from is made precise here.
    TRY(mark_chain_precision(env, value.regno));
    type = STACK_ZERO;
  }
  for (s32 i = 0; i < size; ++i) slot.slot_type[stack_byte(off + i)] = type;
  return ok_status();
}

/// Linux: check_stack_write_fixed_off(). off lies in the stack and is aligned to size, so one slot is touched.
Status write_fixed_off(VerifierEnv& env, FuncState& func, s32 off, s32 size, s32 value_regno, u32 insn_idx) {
  const auto spi = static_cast<u32>(get_spi(off));
  StackSlot& slot = func.stack[spi];
  if (!env.allow_ptr_leaks && is_spilled_reg(slot) && !is_spilled_scalar_reg(slot) && size != REG_BYTES)
    return env.refuse(EACCES, "attempt to corrupt spilled pointer on stack");
  const StoredValue value = stored_value(env, value_regno, insn_idx);
  TRY(destroy_if_dynptr_stack_slot(env, func, spi));
  check_fastcall_stack_contract(env, func, insn_idx, off);
  env.mark_stack_slot_scratched(spi);

  const bool fills_from_start = off % REG_BYTES == 0;
  if (value.reg != nullptr && fills_from_start && value.reg->type == SCALAR_VALUE && env.bpf_capable) {
    spill_scalar(env, slot, *value.reg, size);
  } else if (value.is_immediate() && fills_from_start && env.bpf_capable) {
    spill_immediate(env, slot, value.insn.imm, size);
  } else if (value.reg != nullptr && is_spillable_regtype(value.reg->type)) {
    TRY(spill_pointer(env, func, slot, *value.reg, size, insn_idx));
  } else {
    return write_bytes(env, slot, off, size, value);
  }
  return push_insn_history(env, *env.cur_state, insn_stack_access_flags(func.frameno, spi), 0);
}

/// One byte that a store at a variable offset may or may not touch. `zero_used`: it stays known to be zero, because zero is stored.
Status write_uncertain_byte(VerifierEnv& env, FuncState& func, s32 i, bool writing_zero, u32 insn_idx, bool* zero_used) {
  const auto spi = static_cast<u32>(get_spi(i));
  StackSlot& slot = func.stack[spi];
  u8& type = slot.slot_type[stack_byte(i)];
  env.mark_stack_slot_scratched(spi);

  if (!env.allow_ptr_leaks && type != STACK_MISC && type != STACK_ZERO) {
    // A pointer here might survive the store, but what is known of it would not.
    env.verbose("spilled ptr in range of var-offset stack write; insn {}, ptr off: {}", insn_idx, i);
    return Errno(EINVAL);
  }
  if (writing_zero && type == STACK_SPILL && is_spilled_scalar_reg(slot) && tnum_equals_const(slot.spilled_ptr.var_off, 0)) {
    *zero_used = true;
    return ok_status();
  }
  scrub_special_slot(slot);
  if (type == STACK_INVALID && !env.allow_uninit_stack) {
    return env.refuse(EINVAL, "uninit stack in range of var-offset write prohibited for !root; insn {}, off: {}", insn_idx, i);
  }
  if (writing_zero && type == STACK_ZERO) {
    *zero_used = true;
  } else {
    type = STACK_MISC;
  }
  return ok_status();
}

/// Linux: check_stack_write_var_off(). Nothing is marked as written: readers may still get what was there before.
Status write_var_off(VerifierEnv& env, FuncState& func, u32 ptr_regno, s32 off, s32 size, s32 value_regno, u32 insn_idx) {
  const RegState& ptr_reg = env.cur_regs()[ptr_regno];
  const auto min_off = static_cast<s32>(ptr_reg.smin_value + off);
  const auto max_off = static_cast<s32>(ptr_reg.smax_value + off + size);
  const bool writing_zero = stored_value(env, value_regno, insn_idx).is_zero();

  for (s32 i = min_off; i < max_off; ++i) TRY(destroy_if_dynptr_stack_slot(env, func, static_cast<u32>(get_spi(i))));
  check_fastcall_stack_contract(env, func, insn_idx, min_off);
  bool zero_used = false;
  for (s32 i = min_off; i < max_off; ++i) TRY(write_uncertain_byte(env, func, i, writing_zero, insn_idx, &zero_used));
  if (zero_used) TRY(mark_chain_precision(env, value_regno));
  return ok_status();
}

}  // namespace

Status check_stack_write(VerifierEnv& env, u32 ptr_regno, s32 off, s32 size, s32 value_regno, u32 insn_idx) {
  const RegState& reg = env.cur_regs()[ptr_regno];
  FuncState& func = env.func(reg);
  if (tnum_is_const(reg.var_off))
    return write_fixed_off(env, func, off + static_cast<s32>(reg.var_off.value), size, value_regno, insn_idx);
  return write_var_off(env, func, ptr_regno, off, size, value_regno, insn_idx);
}

}  // namespace skep
