// agent: the host's patched copies of libc and ld.so, mapped over this process's own. Called from the agent's constructor only, while
// there is one thread.
#pragma once
#include "base/types.h"
#include "wire/wire.h"

namespace skep::agent {

/// From its success on libc's system calls come through skep_trap_entry(). False: libc is as it was.
bool divert_libc(const WirePatched& copy, s32 image);
/// The same for ld.so at `base` (AT_BASE), for what it calls from now on: dlopen, dlclose. Otherwise it stays as it was, and doctor is told
/// why.
void divert_loader(u64 base, const WirePatched& copy, s32 image);

}  // namespace skep::agent
