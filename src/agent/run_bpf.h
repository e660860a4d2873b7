// agent: what SYSCALL programs, which run on demand, ask of bpf(2) and the kernel: as if this process had made the call.
#pragma once
#include "base/types.h"

namespace skep::agent {

/// Never asks about elements by the agent's own way: all of it is the host's to answer.
s64 bpf_of_run(u32 cmd, u64 attr, u32 size);
/// The object is gone when this returns. -EBADF.
s64 close_of_run(s32 fd);
/// See RunEnv::find_symbol.
s64 find_symbol(const char* name, u32 kind, u64* address);

}  // namespace skep::agent
