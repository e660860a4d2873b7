// verifier: the parts of a conditional jump. Internal to jump.cc and its neighbours.
#pragma once
#include "verifier/verifier_env.h"

namespace skep {

/// 1: `a <op> b` always jumps; 0: never; -1: unknown. Pointers too. Linux: verifier.c:is_branch_taken()
int is_branch_taken(const VerifierEnv& env, const RegState& a, const RegState& b, u8 op, bool is_jmp32);

/// dst and src of a jump that compares a packet pointer with the packet's end (or its metadata with its start): each branch learns how
/// far the packet reaches. False: it is no such jump. Linux: verifier.c:try_match_pkt_pointers()
bool try_match_pkt_pointers(const bpf_insn& insn, const RegState& dst, const RegState& src, VerifierState& this_branch,
                            VerifierState& other_branch);

/// Adds every scalar that is linked by `id` to the set; those that find no room lose their link. Linux: verifier.c:collect_linked_regs()
void collect_linked_regs(VerifierState& vstate, u32 id, LinkedRegs& linked);

}  // namespace skep
