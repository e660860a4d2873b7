// tests/fuzz: what the verifier said may be in registers and stack before each instruction, held against what is.
#pragma once
#include <string>
#include <vector>

#include "verifier/state.h"
#include "world.h"

namespace skep::fuzz {

/// States of one judgement. Only with VerifierInput::explore_all_paths do they cover every run: a path that ends at an equal state
/// goes on inside that one in the verifier's terms (what is not read later, or not precisely, may differ).
class Claims {
 public:
  explicit Claims(std::size_t insn_cnt) : at_(insn_cnt) {}

  /// False: too many states to keep.
  bool observe(u32 insn, const VerifierState& state);
  std::size_t count() const { return count_; }

  /// Empty when registers and stack lie within one of the states at `insn`; else in words how they miss the nearest.
  /// REQUIRES: run is about to execute what `insn` became; regs are r0 to r10.
  std::string miss(u32 insn, RunCtx& run, const u64* regs, const World& world, bool with_stack) const;

 private:
  static constexpr std::size_t LIMIT = 20000;
  struct Snapshot {
    u32 curframe;
    std::array<RegState, MAX_BPF_REG> regs;
    std::array<std::vector<StackSlot>, MAX_CALL_FRAMES> stack;
  };
  std::vector<std::vector<Snapshot>> at_;
  std::size_t count_ = 0;
};

}  // namespace skep::fuzz
