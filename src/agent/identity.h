// agent: who the calling thread is, without a system call each time.
#pragma once
#include "base/types.h"

namespace skep::agent {

/// tgid << 32 | pid, as getpid() and gettid() say.
u64 current_pid_tgid();
/// They are this thread's for certain, and what else it keeps in its TLS is its own.
bool identity_is_certain();
/// To be called before a call whose child runs on this very thread's TLS (vfork, CLONE_VM without CLONE_SETTLS): until this thread is
/// known to be alone again, it asks.
void identity_before_vfork();

}  // namespace skep::agent
