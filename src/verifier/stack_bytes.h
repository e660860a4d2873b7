// verifier: loads and stores of stack bytes, by the kinds of offsets they come with. Internal to the room.
#pragma once
#include "verifier/verifier_env.h"

namespace skep {

/// Index in a slot's slot_type[] of the byte at fp + off, off < 0: the byte next below fp is [0] of slot 0. Linux: slot %
/// BPF_REG_SIZE
inline u32 stack_byte(s32 off) noexcept { return static_cast<u32>(-off - 1) % BPF_REG_SIZE; }

/// A byte of a register that is no more: known to be written, nothing else. Linux: verifier.c:scrub_spilled_slot()
inline void scrub_spilled_byte(u8& type) noexcept {
  if (type != STACK_INVALID) type = STACK_MISC;
}

/// Linux: verifier.c:check_stack_read(). dst_regno -1: the bytes go to no register. REQUIRES: check_stack_access_within_bounds()
Status check_stack_read(VerifierEnv& env, u32 ptr_regno, s32 off, s32 size, s32 dst_regno);
/// Linux: verifier.c:check_stack_write(). value_regno -1: an immediate, or a helper writes. REQUIRES: as above
Status check_stack_write(VerifierEnv& env, u32 ptr_regno, s32 off, s32 size, s32 value_regno, u32 insn_idx);

}  // namespace skep
