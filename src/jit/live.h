// jit: when each value is needed: the order of blocks, positions, ranges, uses. Internal to the room.
#pragma once
#include <span>

#include "jit/machine.h"

namespace skep::jit {

/// [from, to). A value's lie where it is needed after it was written. What can be made anew has them where a register is wanted for
/// it: around the use, or where that is in a loop, all of the loop; on entry of one it is made.
struct Range {
  u32 from, to;
};

/// One place that looks at a value, or writes it (Need::Reg then, at DEF_PHASE).
struct Use {
  u32 pos;
  Need need;
  Reg hint;
  ValueId user;
};

/// Blocks `first` to `last` of the layout, and the loop around it.
struct Loop {
  u32 first, last, parent;
};

/// A block in the order of the layout. `from` is the position of its phis and of what comes in; instructions follow at from + 4, +
/// 8 ...
struct LaidBlock {
  BlockId id;
  u32 from, to;
  u32 loop;    ///< innermost; NONE
  float freq;  ///< how often it is run, against the entry
};

class Live {
 public:
  explicit Live(const Machine& machine);

  Vec<LaidBlock> blocks;  ///< in the order of the layout: unlikely ones last
  Vec<u32> index_of;      ///< of a BlockId: its place in `blocks`
  Vec<u32> position_of;  ///< of a value: its base position; where there is no instruction, its block's; NONE: it is nowhere
  Vec<Loop> loops;

  std::span<const Range> ranges(ValueId v) const noexcept {
    return {ranges_.data() + range_start_[v], range_start_[v + 1] - range_start_[v]};
  }
  std::span<const Use> uses(ValueId v) const noexcept { return {uses_.data() + use_start_[v], use_start_[v + 1] - use_start_[v]}; }
  /// Positions at which a register is lost, beside calls (which lose all of CALLER_SAVED).
  const Vec<Range>& lost(u32 reg) const noexcept { return lost_[reg]; }
  const Vec<Range>& calls() const noexcept { return calls_; }
  /// Whether one of its ranges has the position.
  bool covers(ValueId v, u32 pos) const noexcept;
  /// Index in `blocks` of the block at a position.
  u32 block_at(u32 pos) const noexcept;
  float freq_at(u32 pos) const noexcept { return blocks[block_at(pos)].freq; }

 private:
  void lay_out();
  void find_loops();
  void number();
  template <typename F>
  void each_use_in_order(F&& add);
  void collect_uses();
  void build_ranges();
  void build_ranges_of(ValueId v);
  void build_remat_ranges(ValueId v);
  void visit(u32 block, u32 to);
  u32 def_pos(ValueId v) const noexcept;

  const Machine& m_;
  Vec<Range> ranges_;
  Vec<Use> uses_;
  Vec<u32> range_start_, use_start_;
  Vec<Range> calls_, lost_[NR_REGS];
  Vec<u32> block_hint_;                 ///< by position / 64: the block there
  Vec<u32> seen_, end_, found_, work_;  ///< of the walk
};

}  // namespace skep::jit
