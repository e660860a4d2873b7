// jit: BPF instructions to IR. Internal to the room.
#pragma once
#include "jit/cfg.h"
#include "jit/program.h"

namespace skep::jit {

struct Built {
  Function function;
  Loops loops;
  bool calls_helpers = false;
};

/// One function as its instructions stand, registers in single assignment, the stack all memory.
/// REQUIRES: params() of the functions it calls are known.
Built build_function(const Program& program, u32 index);

/// Fills params() of every function.
void find_params(Program& program);

/// Bytes of stack that the function still uses. `depth`: what its author said.
u32 stack_needed(const Function& f, u32 depth);

}  // namespace skep::jit
