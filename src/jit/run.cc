#include "jit/run.h"

#include "interp/interp.h"

namespace skep {

u64 run_program(RunCtx& run) noexcept { return interp_run(run); }

}  // namespace skep
