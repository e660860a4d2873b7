// verifier: one pass over a program that replaces instructions by others. Jumps, calls, subprogram starts, line info and the facts
// about each instruction move along. Internal to the room.
// Linux: verifier.c:bpf_patch_insn_data(), verifier_remove_insns() do the same one patch at a time
#pragma once
#include <vector>

#include "verifier/verifier_env.h"

namespace skep {

/// For each old instruction that is to change, in order: begin(), then any number of emit()s, or keep(), or nothing (it is removed).
/// The others stay. Then finish().
class InsnRewriter {
 public:
  explicit InsnRewriter(VerifierEnv& env);

  /// The instruction `i` of the old program is next. Its second half, if it has one, is a turn of its own.
  void begin(u32 i);
  /// A new instruction. Jumps in it are relative and stay as they are: they may only lead to others of this patch, or right behind it.
  void emit(const bpf_insn& insn);
  /// The old instruction itself; a jump or call keeps its target.
  void keep();
  /// `insn` is a jump or a call that leads where the old instruction `from` does.
  void emit_with_target(const bpf_insn& insn, u32 from);
  /// `insn` is a call of the subprogram that starts at the old instruction `target`.
  void emit_call(const bpf_insn& insn, u32 target);
  /// What was emitted so far in this turn stands before the program or subprogram: jumps to the old instruction come behind it.
  void end_prologue();

  /// Puts the new program in place. Removed instructions: jumps to them lead to what follows. A jump that has become too far is ENOMEM
  /// with Linux's words.
  Status finish();

 private:
  static constexpr u32 NO_TARGET = ~0u;
  /// A jump, call or function reference of the new program: its distance is found at the end.
  struct Fixup {
    u32 pos;     ///< of the new instruction
    u32 target;  ///< the old instruction that it leads to
    u32 origin;  ///< the old one whose turn it was
  };
  /// As long as each turn makes one instruction of one, without a target of its own, nothing moves.
  void write(const bpf_insn& insn, u32 target);
  void end_turn();
  void leave_in_place();
  void take_over(u32 end);
  u32 old_target(u32 old) const;
  Status fix_target(const Fixup& fixup);
  void move_aux();
  void put_aux(std::vector<InsnAux>& aux, u32 old, const InsnAux& facts) const;
  void move_lines();
  void move_subprogs();
  u32 jump_start(u32 old) const;

  VerifierEnv& env_;
  u32 at_ = NO_TARGET;        ///< whose turn it is; NO_TARGET: nobody's yet
  u32 next_ = 0;              ///< not in place: the first old instruction that is not in the new program yet, nor removed
  bool in_place_ = true;
  enum class Turn : u8 { EMPTY, KEPT, REPLACED } turn_ = Turn::EMPTY;  ///< in place: what this turn has made so far
  bpf_insn replacement_{};
  std::vector<bpf_insn> insns_;
  std::vector<Fixup> fixups_;
  std::vector<u32> start_;    ///< per old instruction, and the end: the first new one of its turn
  struct Prologue {
    u32 old, end;  ///< jumps to `old` lead to the new instruction `end`
  };
  std::vector<Prologue> prologues_;
};

}  // namespace skep
