// verifier: one pass over a program that replaces instructions by others. Jumps, calls, subprogram starts, line info and the facts
// about each instruction move along. Internal to the room.
// Linux: verifier.c:bpf_patch_insn_data(), verifier_remove_insns() do the same one patch at a time
#pragma once
#include <vector>

#include "verifier/verifier_env.h"

namespace skep {

/// For each old instruction in turn: begin(), then any number of emit()s, or keep(), or nothing (it is removed). Then finish().
class InsnRewriter {
 public:
  explicit InsnRewriter(VerifierEnv& env);

  /// The instruction `i` of the old program is next. Its second half, if it has one, is a turn of its own.
  void begin(u32 i);
  /// A new instruction. Jumps in it are relative and stay as they are: they may only lead to others of this patch, or right behind it.
  void emit(const bpf_insn& insn);
  /// The old instruction itself; a jump or call keeps its target.
  void keep() { emit_with_target(env_.insns[at_], at_); }
  /// `insn` is a jump or a call that leads where the old instruction `from` does.
  void emit_with_target(const bpf_insn& insn, u32 from);
  /// `insn` is a call of the subprogram that starts at the old instruction `target`.
  void emit_call(const bpf_insn& insn, u32 target);
  /// What was emitted so far in this turn stands before the program or subprogram: jumps to the old instruction come behind it.
  void end_prologue() { jump_start_[at_] = static_cast<u32>(insns_.size()); }

  /// Puts the new program in place. Removed instructions: jumps to them lead to what follows. A jump that has become too far is ENOMEM
  /// with Linux's words.
  Status finish();

 private:
  Status fix_target(u32 pos);
  void move_aux();
  void move_lines();
  void move_subprogs();

  static constexpr u32 NO_TARGET = ~0u;
  VerifierEnv& env_;
  u32 at_ = 0;
  std::vector<bpf_insn> insns_;
  std::vector<u32> origin_;      ///< per new instruction: the old one whose turn it was
  std::vector<u32> target_;      ///< per new instruction: the old instruction that it leads to, or NO_TARGET
  std::vector<u32> start_;       ///< per old instruction, and the end: the first new one of its turn
  std::vector<u32> jump_start_;  ///< the same for jumps
};

}  // namespace skep
