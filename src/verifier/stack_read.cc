// verifier: loads from a program's stack: what was spilled comes back, other bytes become a number.
// Linux: kernel/bpf/verifier.c, the functions named below
#include "verifier/stack_bytes.h"

namespace skep {
namespace {

constexpr s32 REG_BYTES = BPF_REG_SIZE;

void mark_slot_read(VerifierEnv& env, RegState& spilled) {
  static_cast<void>(mark_reg_read(env, spilled, spilled.parent, REG_LIVE_READ64));
}

/// The register gets the bytes [min_off, max_off): zero if all of them are, else some number. Linux: mark_reg_stack_read()
void mark_reg_stack_read(VerifierEnv& env, const FuncState& ptr_func, s32 min_off, s32 max_off, u32 dst_regno) {
  bool all_zero = true;
  for (s32 i = min_off; i < max_off && all_zero; ++i) {
    const auto spi = static_cast<u32>(get_spi(i));
    env.mark_stack_slot_scratched(spi);
    all_zero = ptr_func.stack[spi].slot_type[stack_byte(i)] == STACK_ZERO;
  }
  RegState* const regs = env.cur_regs();
  if (all_zero) {
    // Loads zero-extend, so it is the whole register.
    mark_reg_const_zero(env, regs[dst_regno]);
  } else {
    mark_reg_unknown(env, regs, dst_regno);
  }
  regs[dst_regno].live |= REG_LIVE_WRITTEN;
}

struct ByteCounts {
  s32 spilled = 0, zero = 0;
};

/// What kinds of bytes [off, off + size) of a slot are; EACCES if one may not be read. `spill_ok`: bytes of a spilled scalar may.
Result<ByteCounts> count_bytes(VerifierEnv& env, const StackSlot& slot, s32 off, s32 size, bool spill_ok) {
  ByteCounts counts;
  for (s32 i = 0; i < size; ++i) {
    const u8 type = slot.slot_type[stack_byte(off + i)];
    if (type == STACK_SPILL && spill_ok) {
      ++counts.spilled;
    } else if (type == STACK_ZERO) {
      ++counts.zero;
    } else if (type != STACK_MISC && !(type == STACK_INVALID && env.allow_uninit_stack)) {
      return env.refuse(EACCES, "invalid read from stack off {}+{} size {}", off, i, size);
    }
  }
  return counts;
}

/// Bytes of a slot that holds a spilled scalar, but not from its start or more than was spilled. The answer: is the register a copy
/// of the spilled one (a zero, that is)?
Result<bool> fill_mixed(VerifierEnv& env, const StackSlot& slot, s32 off, s32 size, u32 dst_regno) {
  RegState* const regs = env.cur_regs();
  const ByteCounts counts = TRY(count_bytes(env, slot, off, size, true));
  if (counts.spilled == size && tnum_equals_const(slot.spilled_ptr.var_off, 0)) {
    mark_reg_const_zero(env, regs[dst_regno]);
    return true;
  }
  if (counts.zero == size) {
    mark_reg_const_zero(env, regs[dst_regno]);
  } else {
    mark_reg_unknown(env, regs, dst_regno);
  }
  return false;
}

/// The low bytes of a spilled scalar, no more than were spilled. The caller cuts the register to size.
void fill_low_part(RegState& dst, const RegState& spilled, s32 size) {
  // Which half of dst is defined was settled by check_reg_arg() for this instruction.
  const s32 subreg_def = dst.subreg_def;
  copy_register_state(dst, spilled);
  dst.subreg_def = subreg_def;
  if (reg_width(spilled) > 8 * static_cast<u32>(size)) {
    // Another number than the spilled one.
    dst.id = 0;
    dst.off = 0;
  }
}

u8 spilled_bytes(const StackSlot& slot) {
  u8 n = 1;
  for (s32 i = REG_BYTES - 1; i > 0 && slot.slot_type[i - 1] == STACK_SPILL; --i) ++n;
  return n;
}

/// A slot with a spilled register, of which not all of eight bytes are read or were spilled. True: the instruction goes into the
/// history as a fill.
Result<bool> read_part_of_spill(VerifierEnv& env, StackSlot& slot, s32 off, s32 size, s32 dst_regno, u8 spill_size) {
  RegState& spilled = slot.spilled_ptr;
  if (spilled.type != SCALAR_VALUE) {
    verbose_linfo(env, env.insn_idx, "; ");
    return env.refuse(EACCES, "invalid size of register fill");
  }
  mark_slot_read(env, spilled);
  if (dst_regno < 0) return false;
  RegState& dst = env.cur_regs()[dst_regno];
  bool is_fill = true;
  if (size <= spill_size && off % REG_BYTES == 0) {
    fill_low_part(dst, spilled, size);
  } else {
    is_fill = TRY(fill_mixed(env, slot, off, size, static_cast<u32>(dst_regno)));
  }
  dst.live |= REG_LIVE_WRITTEN;
  mark_slot_read(env, spilled);
  return is_fill;
}

/// All eight bytes of a spilled register.
Status read_whole_spill(VerifierEnv& env, StackSlot& slot, s32 off, s32 dst_regno) {
  RegState& spilled = slot.spilled_ptr;
  if (dst_regno >= 0) {
    RegState& dst = env.cur_regs()[dst_regno];
    copy_register_state(dst, spilled);
    dst.live |= REG_LIVE_WRITTEN;
  } else if (!env.allow_ptr_leaks && spilled.type != SCALAR_VALUE) {
    // Going to no register means that the bytes are used as a number (atomic operations).
    return env.refuse(EACCES, "leaking pointer from stack off {}", off);
  }
  mark_slot_read(env, spilled);
  return ok_status();
}

/// Linux: check_stack_read_fixed_off()
Status read_fixed_off(VerifierEnv& env, FuncState& ptr_func, s32 off, s32 size, s32 dst_regno) {
  const auto spi = static_cast<u32>(get_spi(off));
  StackSlot& slot = ptr_func.stack[spi];
  env.mark_stack_slot_scratched(spi);
  check_fastcall_stack_contract(env, env.cur_func(), env.insn_idx, off);

  if (!is_spilled_reg(slot)) {
    TRY(count_bytes(env, slot, off, size, false));
    mark_slot_read(env, slot.spilled_ptr);
    if (dst_regno >= 0) mark_reg_stack_read(env, ptr_func, off, off + size, static_cast<u32>(dst_regno));
    return ok_status();
  }
  const u8 spill_size = spilled_bytes(slot);
  if (size != REG_BYTES || spill_size != REG_BYTES) {
    if (!TRY(read_part_of_spill(env, slot, off, size, dst_regno, spill_size))) return ok_status();
  } else {
    TRY(read_whole_spill(env, slot, off, dst_regno));
  }
  return push_insn_history(env, *env.cur_state, insn_stack_access_flags(ptr_func.frameno, spi), 0);
}

/// Linux: check_stack_read_var_off(). No fills: which slot is read is not known.
Status read_var_off(VerifierEnv& env, u32 ptr_regno, s32 off, s32 size, u32 dst_regno) {
  const RegState& reg = env.cur_regs()[ptr_regno];
  FuncState& ptr_func = env.func(reg);
  TRY(check_stack_range_initialized(env, ptr_regno, off, static_cast<u32>(size), false, false, nullptr));
  const auto min_off = static_cast<s32>(reg.smin_value + off);
  const auto max_off = static_cast<s32>(reg.smax_value + off);
  mark_reg_stack_read(env, ptr_func, min_off, max_off + size, dst_regno);
  check_fastcall_stack_contract(env, ptr_func, env.insn_idx, min_off);
  return ok_status();
}

}  // namespace

Status check_stack_read(VerifierEnv& env, u32 ptr_regno, s32 off, s32 size, s32 dst_regno) {
  const RegState& reg = env.cur_regs()[ptr_regno];
  FuncState& ptr_func = env.func(reg);
  const bool var_off = !tnum_is_const(reg.var_off);
  // Bytes that go to no register must not be a pointer's, so it must be known which they are.
  if (dst_regno < 0 && var_off)
    return env.refuse(EACCES, "variable offset stack pointer cannot be passed into helper function; var_off={} off={} size={}",
                      tnum_strn(reg.var_off), off, size);
  if (!var_off) return read_fixed_off(env, ptr_func, off + static_cast<s32>(reg.var_off.value), size, dst_regno);
  return read_var_off(env, ptr_regno, off, size, static_cast<u32>(dst_regno));
}

}  // namespace skep
