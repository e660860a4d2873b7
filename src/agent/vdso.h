// agent: the kernel's clock without a system call.
#pragma once
#include "base/types.h"

namespace skep::agent {

/// Looks for the vDSO in the auxiliary vector, which lies behind the environment that a process starts with.
void find_vdso(const char* const* envp);

/// The vDSO's, or a system call where there is none. 0, or not.
using ClockGettime = s32(s32 clock, s64 (*ts)[2]);
extern ClockGettime* clock_gettime_fn;

/// By system call.
u64 ask_clock_ns(s32 clock);

constexpr u64 ns_of(const s64 (&ts)[2]) { return static_cast<u64>(ts[0]) * 1'000'000'000 + static_cast<u64>(ts[1]); }

/// One of CLOCK_*, in ns. Here, so that programs' calls of it are one frame above the vDSO.
inline u64 clock_ns(s32 clock) {
  s64 ts[2];
  if (clock_gettime_fn(clock, &ts) != 0) [[unlikely]] return ask_clock_ns(clock);
  return ns_of(ts);
}

}  // namespace skep::agent
