// jit: runs a program, compiled where there is code for it, else interpreted. Freestanding: also compiled into the agent.
#pragma once
#include "helpers/run_ctx.h"

namespace skep {

/// Every compiled function, the entry too (r1 is the context, the others anything): the System V calling convention, general registers
/// only. So C++ calls programs, and programs call helpers (helpers/helper.h:HelperBody), with nothing between.
using JitFn = u64(RunCtx* run, u64 r1, u64 r2, u64 r3, u64 r4, u64 r5) noexcept;

/// Runs run.prog on run.ctx and returns r0. Afterwards nothing is held: no reservation, no lock. See interp/interp.h for what ends a run
/// early; of those a compiled run only knows FaultKind::LockStuck and BadCode, and counts no steps (run.steps stays 0).
/// REQUIRES: as interp_run().
u64 run_program(RunCtx& run) noexcept;

/// Cleared by a process that may not map CODE: it interprets.
extern bool code_is_mapped;

// What compiled code calls, see jit/gates.h.

/// Ends the run from the middle, as run.fault says.
[[noreturn]] void end_run(RunCtx* run) noexcept;
/// bpf_tail_call(): the program to go on with, or null. A program without code is interpreted from there on, with MAX_TAIL_CALL_CNT tail
/// calls of its own.
JitFn* tail_call(RunCtx* run, u64 map, u64 index) noexcept;

}  // namespace skep
