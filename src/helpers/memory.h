// helpers: what a run may touch. Freestanding: also compiled into the agent.
#pragma once
#include "helpers/run_ctx.h"

namespace skep {

/// True when the run may read (write) all of [addr, addr + size): the stack of its frames so far (one frame at a time), its context
/// (no writes), the kernel structures and the packet behind it, tasks and what is synthetic (no writes), values of its program's maps as BPF_F_RDONLY_PROG and
/// BPF_F_WRONLY_PROG allow, the key that a callback is shown (no writes), ring buffer records it has reserved. Stack bytes that may be
/// written count as written from then on.
bool run_may_read(RunCtx& run, u64 addr, u64 size) noexcept;
bool run_may_write(RunCtx& run, u64 addr, u64 size) noexcept;
/// With check_uninit: some of the bytes are the stack's and were never written. REQUIRES: run_may_read().
bool run_reads_uninit(const RunCtx& run, u64 addr, u64 size) noexcept;
/// Whether `addr` lies in the stack, or just behind it.
bool run_on_stack(const RunCtx& run, u64 addr) noexcept;

/// The packet bytes that the program may touch directly; len 0 without.
AddrRange run_packet(const RunCtx& run) noexcept;

/// The map at `addr`, which must be one of the program's own, or found by it in one of those. Null otherwise.
MapDesc* run_map(const RunCtx& run, u64 addr) noexcept;
/// A lookup has found this map in another.
void run_add_inner_map(RunCtx& run, MapDesc* map) noexcept;
/// The map that has one value around all of [addr, addr + size).
const MapDesc* run_value_map(RunCtx& run, u64 addr, u64 size) noexcept;
/// What the bpf_spin_lock at `addr` really is; null when there is none.
RobustLock* run_value_lock(RunCtx& run, u64 addr) noexcept;
/// The constant string at `addr`: its length without the NUL, or -1 when it is none (it must end in the value it begins in, and its
/// map be closed to programs' writes).
s64 run_const_string(RunCtx& run, u64 addr) noexcept;

/// Discards every reservation that is still open. Called at the end of a run.
void run_discard_reservations(RunCtx& run) noexcept;

/// The stretch of "kernel" memory that `addr` lies in: the session window, the run's extra range, context or stack (compiled code's: from
/// here up to where the run began). len 0: not kernel memory.
AddrRange kernel_range(const RunCtx& run, u64 addr) noexcept;

}  // namespace skep
