// jit: single assignment for up to 64 variables of a function. Internal to the room.
#pragma once

#include "jit/cfg.h"

namespace skep::jit {

/// How to use: note what each block reads and writes, then solve(); then, block by block in their order, begin(), read and write
/// `now`, end(); then finish(). Phis stand only where variables are live and may differ.
class SsaVars {
 public:
  static constexpr u32 MAX = 64;

  SsaVars(Function& f, const Loops& loops);

  /// In the order of the block's instructions.
  void note_reads(BlockId b, u64 vars) noexcept { read_first_[b] |= vars & ~written_[b]; }
  void note_writes(BlockId b, u64 vars) noexcept { written_[b] |= vars; }
  void solve();
  /// What the function reads before it writes it: to be set in `now` before begin() of block 0.
  u64 live_on_entry() const noexcept { return live_in_[0]; }

  /// Makes the block's phis.
  void begin(BlockId b);
  void end(BlockId b);
  /// Completes the phis of loops, and takes out those that turn out to be of one value. `moved` (one a value, or empty) is what
  /// values have been replaced by; uses of phis that went are replaced in all blocks.
  void finish(Vec<ValueId>& moved);

  ValueId now[MAX];

 private:
  struct Phi {
    ValueId id;
    u32 var;
  };
  ValueId out(BlockId b, u32 var) const noexcept;
  ValueId add_phi(BlockId b);
  void begin_var(BlockId b, u32 var, u64 changed);
  void written_in_loops(const Loops& loops);

  Function& f_;
  const Loops& loops_;
  Vec<u64> read_first_, written_, live_in_, live_out_;
  Vec<u64> changed_;  ///< of a loop's head: what its loop writes
  Vec<u32> outs_at_;
  Vec<ValueId> outs_;  ///< of each block, the values of what is live at its end
  Vec<Phi> open_;
  Vec<ValueId> phis_;
};

/// The end of a chain of replacements.
inline ValueId resolve(const Vec<ValueId>& moved, ValueId v) noexcept {
  while (v < moved.size() && moved[v] != v) v = moved[v];
  return v;
}

}  // namespace skep::jit
