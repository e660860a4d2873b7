// interp: runs a program, checking every step. Freestanding: also compiled into the agent.
#pragma once
#include "helpers/run_ctx.h"

namespace skep {

/// Runs run.prog on run.ctx and returns r0.
///
/// The image is a program as the verifier has rewritten it (structurally judged ones run too, where they use no context that needs
/// converting), its 64-bit immediates resolved: an LD_IMM64 of any source but BPF_PSEUDO_FUNC loads its imm64 as it stands, so
/// BPF_PSEUDO_MAP_FD and _IDX hold the MapDesc's address, _MAP_VALUE and _IDX_VALUE the address in the map's value, _BTF_ID that of
/// the variable. The source field may be kept (dumps want it) or cleared. BPF_PSEUDO_FUNC holds the distance to the function.
///
/// Checked at run time: every load, store and atomic operation (helpers/memory.h), every helper call's id, program type and
/// arguments, call depth, program counter, registers. GPL rules and reserved fields are the verifier's. A violation, or more than
/// prog->step_limit instructions, ends the run: the answer is 0, run.fault says why, stats->faults of the program it happened in
/// counts. Tail calls go on in the program they name, in a fresh frame; when there is none, or after MAX_TAIL_CALL_CNT of them, the
/// program goes on. Reservations and a spin lock still held at the end, however it came, are given up. The stack is zeroed frame by
/// frame, so reading it uninitialised yields 0.
///
/// REQUIRES: the first part of `run` is filled (run_ctx.h); run.op.slot is held and has no open reservation. Programs that use per-CPU
/// maps, and those that may tail call such, run on a virtual CPU: ProgImage::per_cpu.
u64 interp_run(RunCtx& run) noexcept;
/// For a program that a function of a compiled one has gone on in: whoever called that function may hold reservations, and the caller of
/// this one gives up what is held if the run is over.
u64 interp_part(RunCtx& run) noexcept;

}  // namespace skep
