// verifier: what is noted along a walk whose refusal is to be explained. Internal to the room.
#pragma once
#include <array>
#include <optional>
#include <string>
#include <vector>

#include "verifier/refusal.h"
#include "verifier/verifier_env.h"

namespace skep {

/// An instruction on the path that is walked, and the slot of the stack that it loads from or stores to.
struct PathStep {
  u32 insn;
  u8 frame;
  s8 slot_frame;  ///< -1: no stack, or not at a fixed place
  u8 slot;
  u32 changes;  ///< of RefusalProbe::changes(): the first that this step made
};

/// A register as a step left it.
struct RegChange {
  u8 frame, reg;
  RegState after;
};

/// Follows one judgement. Told of each instruction before it is judged, it keeps the path from the walk's start to there, and what
/// each instruction on it made of the registers: when a path ends, what belongs to it alone is dropped.
class RefusalProbe {
 public:
  RefusalProbe(u32 limit, Refusal& out) : limit_(limit), out_(out) {}

  // --- called by the walk
  /// False: the walk is longer than wanted.
  bool at_insn(VerifierEnv& env);
  /// The walk was refused at this instruction, before or while it was judged. env.cur_state is still there.
  void walk_failed(VerifierEnv& env, u32 insn);
  /// The judgement is over, env still there: fills the Refusal.
  void finish(VerifierEnv& env, Errno error);

  // --- asked by what explains
  const std::vector<PathStep>& path() const { return path_; }
  const std::vector<RegChange>& changes() const { return changes_; }
  /// One past the last change of a step.
  u32 changes_end(std::size_t step) const {
    return step + 1 < path_.size() ? path_[step + 1].changes : static_cast<u32>(changes_.size());
  }
  bool changed(std::size_t step, u32 frame, u32 reg) const;
  /// As it was behind a step; null: no value yet.
  const RegState* value_after(std::size_t step, u32 frame, u32 reg) const;
  /// The current frame just before the refusal; null: it was not in the walk.
  const FuncState* failed_frame() const { return frame_.has_value() ? &*frame_ : nullptr; }
  const RegState& failed_reg(u32 regno) const { return before_[regno]; }
  const Refusal& out() const { return out_; }

 private:
  using Regs = std::array<RegState, MAX_BPF_REG>;
  /// Where a path that waits branched off.
  struct Mark {
    std::size_t path, changes;
    Regs before;
  };
  void follow_pending(const VerifierEnv& env);
  void note_changes(VerifierEnv& env);
  PathStep step_at(VerifierEnv& env) const;

  const u32 limit_;
  Refusal& out_;
  u32 count_ = 0;
  u32 pass_ = 0;
  std::vector<PathStep> path_;
  std::vector<RegChange> changes_;
  std::vector<Mark> marks_;
  Regs before_{};  ///< registers of the current frame before the path's last instruction
  std::optional<FuncState> frame_;
  std::vector<StackSlot> stack_;
};

/// Line info's record for an instruction. Linux: log.c:find_linfo()
SourceLine source_line(const VerifierEnv& env, u32 insn);

/// Where the registers (and slots) that the sentence is about came from: fills known and steps. refusal_path.cc
void trace_refusal(VerifierEnv& env, const RefusalProbe& probe, Refusal& out);
/// What would satisfy the verifier; "" when there is nothing to say. refusal_hint.cc
std::string refusal_hint(const VerifierEnv& env, const RefusalProbe& probe, const Refusal& refusal);

/// Finds `pattern` in `text`, where each '*' stands for the shortest text up to what follows it (at the end: up to the line's end).
/// The texts go to *words.
bool match_words(std::string_view text, std::string_view pattern, std::vector<std::string>* words);
/// The register that a sentence names, from *at on, which moves behind it; -1: none.
s32 named_register(std::string_view sentence, std::size_t* at);
/// Registers that the refusal is about: those that the sentence names, else those that the instruction reads.
std::vector<u32> concerned_registers(const VerifierEnv& env, const Refusal& refusal);

}  // namespace skep
