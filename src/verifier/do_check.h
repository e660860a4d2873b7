// verifier: the walk's own parts. Internal to do_check.cc and its neighbours.
#pragma once
#include "verifier/verifier_env.h"

namespace skep {

/// Walks all paths from env.insn_idx in env.cur_state on. Linux: verifier.c:do_check()
Status do_check(VerifierEnv& env);

/// Goes on with the path that was put aside last: env.cur_state, env.insn_idx and *prev_insn_idx are set. False: there is none.
/// pop_log: the log forgets what was written since it was put aside. Linux: verifier.c:pop_stack()
bool pop_stack(VerifierEnv& env, u32* prev_insn_idx, bool pop_log);

}  // namespace skep
