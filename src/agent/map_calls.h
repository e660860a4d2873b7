// agent: bpf(2) commands on a map's elements, done here, in shared memory, without a call to the host.
#pragma once
#include "agent/trap.h"

namespace skep::agent {

/// True when it was done and f holds the answer; false: the host is to be asked. On an agent stack.
bool map_call(TrapFrame* f) noexcept;
/// The calling thread is about to make a task that may share its thread state: vfork and its kin.
void map_calls_before_vfork() noexcept;
/// In a fork child.
void map_calls_after_fork() noexcept;

}  // namespace skep::agent

extern "C" {
struct SkepAnswer {
  long result;
  long answered;  ///< 0: not done, to be trapped as any other call
};
/// The short way, from trap.S: on the program's own stack, which it uses sparingly. `sp` is the lowest address of the trap's frame.
__attribute__((visibility("hidden"))) SkepAnswer skep_short_bpf(skep::u64 cmd, skep::u64 attr, skep::u64 size, skep::u64 sp);
}
