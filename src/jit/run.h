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

}  // namespace skep
