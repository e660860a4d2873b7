// jit: where compiled code finds what each process has elsewhere. Freestanding: also compiled into the agent.
//
// The first GATES_SIZE bytes of CODE are each process's own memory, read-only once filled: an array of addresses. Compiled code calls
// through them: call [rip + displacement].
#pragma once
#include "maps/fast.h"
#include "shm/layout.h"

namespace skep {

enum Gate : u32 {
  GATE_HELPER = 0,           ///< + id: helpers/helper.h:helper_fn(), and 0 where there is none
  GATE_SKB_LOAD = 256,       ///< + id - SKB_LOAD_HELPERS
  GATE_END_RUN = 264,        ///< void(RunCtx*): ends the run from the middle. Never returns
  GATE_TAIL_CALL = 265,      ///< JitFn*(RunCtx*, u64 map, u64 index): the program to go on with, or null. Counts
  GATE_MAP = 272,            ///< + MapGate: maps/fast.h
  NR_GATES = GATE_MAP + NR_MAP_GATES,
};
static_assert(NR_GATES * sizeof(u64) <= GATES_SIZE);

/// Fills the array at `gates`, which has GATES_SIZE bytes of writable memory, with this process's addresses.
void fill_gates(u64* gates) noexcept;

}  // namespace skep
