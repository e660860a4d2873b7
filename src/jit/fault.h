// jit: a fault in compiled code. Freestanding: also compiled into the agent.
#pragma once
#include "base/types.h"

namespace skep {

/// Where a thread goes on after a fault; rip 0: the fault is none of ours.
struct Resume {
  u64 rip, rsp;
};

/// For handlers of SIGSEGV and SIGBUS, with the registers of the fault. In a run of this thread, in compiled code: a load that may fault
/// (CodeFault) goes on at its fixup; any other ends the run with FaultKind::BadCode, and run_program() returns. Async-signal-safe.
Resume code_fault(u64 rip, u64 rsp) noexcept;

}  // namespace skep
