// helpers: what a run may touch. Freestanding: also compiled into the agent.
#pragma once
#include "helpers/run_ctx.h"

namespace skep {

/// True when the run may read (write) all of [addr, addr + size): the stack of its frames so far (one frame at a time), its context
/// (no writes), values of its program's maps as BPF_F_RDONLY_PROG and BPF_F_WRONLY_PROG allow, ring buffer records it has reserved.
bool run_may_read(RunCtx& run, u64 addr, u64 size) noexcept;
bool run_may_write(RunCtx& run, u64 addr, u64 size) noexcept;

/// The map at `addr`, which must be one of the program's own. Null otherwise.
MapDesc* run_map(const RunCtx& run, u64 addr) noexcept;

/// Discards every reservation that is still open. Called at the end of a run.
void run_discard_reservations(RunCtx& run) noexcept;

/// The stretch of "kernel" memory that `addr` lies in: the session window, the run's extra range, context or stack. len 0: not
/// kernel memory.
AddrRange kernel_range(const RunCtx& run, u64 addr) noexcept;

}  // namespace skep
