// verifier: spills and fills around calls that clobber nothing but their result are not needed once such a call is inlined.
#include "verifier/verifier_env.h"

namespace skep {
namespace {

constexpr bpf_insn NOP = {BPF_JMP | BPF_JA, 0, 0, 0, 0};  // taken out by a later step

}  // namespace

/// Linux: verifier.c:remove_fastcall_spills_fills()
void remove_fastcall_spills_fills(VerifierEnv& env) {
  for (u32 s = 0; s < env.subprog_cnt; ++s) {
    SubprogInfo& subprog = env.subprogs[s];
    bool modified = false;
    for (u32 i = subprog.start; i < env.subprogs[s + 1].start; ++i) {
      const u32 spills = env.aux[i].fastcall_spills_num;
      for (u32 j = 1; j <= spills; ++j) env.insns[i - j] = env.insns[i + j] = NOP;
      modified |= spills != 0;
    }
    if (modified && !subprog.keep_fastcall_stack) subprog.stack_depth = static_cast<u32>(-subprog.fastcall_stack_off);
  }
}

}  // namespace skep
