// agent: the kernel's clock without a system call.
#pragma once
#include "base/types.h"

namespace skep::agent {

/// Looks for the vDSO in the auxiliary vector, which lies behind the environment that a process starts with.
void find_vdso(const char* const* envp);
/// One of CLOCK_*, in ns.
u64 clock_ns(s32 clock);

}  // namespace skep::agent
