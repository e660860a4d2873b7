// verifier: what makes loops of open-coded iterators, callbacks and may_goto end. Internal to the room.
#pragma once
#include "verifier/verifier_env.h"

namespace skep {

/// The latest explored state at insn_idx that the path to `cur` itself went through; null: none. Linux: verifier.c:find_prev_entry()
VerifierState* find_prev_entry(VerifierEnv& env, const VerifierState& cur, u32 insn_idx);

/// Forgets the values of scalars in `cur` that changed since `old` and that nothing has needed exactly so far: the next round then
/// finds its state equal to this one. Linux: verifier.c:widen_imprecise_scalars()
void widen_imprecise_scalars(VerifierEnv& env, const VerifierState& old, VerifierState& cur);

}  // namespace skep
