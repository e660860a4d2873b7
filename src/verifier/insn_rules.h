// verifier: what one instruction must fulfil by itself. Internal to the room.
#pragma once
#include <optional>

#include "verifier/env.h"

namespace skep {

/// The stack access that an instruction makes through a register that holds the frame pointer plus a constant.
struct StackAccess {
  u8 reg;
  s64 reg_off;  ///< what the register adds to the frame pointer
  s64 off;      ///< reg_off plus the instruction's
  u32 size;
  bool write;
  bool both;  ///< atomic: read and written
};

/// Reserved fields, registers, constants, helper ids: everything but memory. Linux: verifier.c:do_check() and what it calls
Status check_insn(StructureEnv& env, u32 insn);
/// Linux: verifier.c:check_ptr_alignment(), check_stack_access_within_bounds()
Status check_stack_access(StructureEnv& env, const StackAccess& access);

}  // namespace skep
