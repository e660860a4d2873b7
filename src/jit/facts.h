// jit: what branches say about values. Internal to the room.
#pragma once
#include "jit/simplifier.h"

namespace skep::jit {

/// In the blocks below one side of a branch a value may be known to be another: the constant it was compared with, the only arm of
/// a Select that can have led there.
class Facts {
 public:
  explicit Facts(const Simplifier& simplifier) : s_(simplifier) {}

  /// `value` is `is` in all blocks that `block` dominates.
  void below(BlockId block, ValueId value, ValueId is);
  /// ... on the way from one block to another.
  void on_edge(BlockId from, BlockId to, ValueId value, ValueId is);

  ValueId in_block(BlockId block, ValueId value) const noexcept;
  ValueId at_edge(BlockId from, BlockId to, ValueId value) const noexcept;

 private:
  struct Fact {
    ValueId value, is;
    u32 first, last;  ///< of the dominator tree's numbers; of edges: the two blocks
    u32 next;
  };
  void add(Vec<u32>& heads, u32 key, Fact fact);

  const Simplifier& s_;
  Vec<Fact> facts_;
  Vec<u32> of_value_, of_block_;  ///< newest first
};

}  // namespace skep::jit
