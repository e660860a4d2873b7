// verifier: entering the frame of a subprogram or callback. Internal to the room.
#pragma once
#include "verifier/verifier_env.h"

namespace skep {

/// Fills the registers with which a callee begins. Linux: verifier.c:set_callee_state_fn
using SetCalleeState = Status (*)(VerifierEnv& env, FuncState& caller, FuncState& callee, u32 insn_idx);

/// Adds a frame for `subprog` on top of `state` and makes it the current one. Linux: verifier.c:setup_func_entry()
Status setup_func_entry(VerifierEnv& env, u32 subprog, u32 callsite, SetCalleeState set_callee_state, VerifierState& state);

/// dst's references become those of src. Linux: verifier.c:copy_reference_state()
void copy_reference_state(VerifierEnv& env, FuncState& dst, const FuncState& src);

/// Queues the callback's walk; the current path goes on behind the call. Linux: verifier.c:push_callback_call()
Status push_callback_call(VerifierEnv& env, const bpf_insn& insn, u32 insn_idx, u32 subprog, SetCalleeState set_callee_state);

}  // namespace skep
