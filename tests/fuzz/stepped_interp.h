// tests/fuzz: the interpreter with a look at every step.
#pragma once
#include "helpers/run_ctx.h"

namespace skep::fuzz {

/// As interp_run(); on_step (may be null) is called before each instruction with the registers r0 to r10. New frames are filled with
/// `frame_byte`.
u64 stepped_run(RunCtx& run, void (*on_step)(void* who, RunCtx& run, u32 pc, const u64* regs), void* who, u8 frame_byte = 0);

}  // namespace skep::fuzz
