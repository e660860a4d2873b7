// jit: which block is passed on every way to another. Internal to the room.
#pragma once

#include "jit/ir.h"

namespace skep::jit {

/// The dominator tree of a function whose blocks stand in such an order that every block but the entry comes after one of its
/// predecessors, and after its dominators. Where ways into loops past their heads make that hard to say, a block may be taken to
/// dominate less than it does.
class Dominators {
 public:
  explicit Dominators(const Function& f);
  BlockId parent(BlockId b) const noexcept { return parent_[b]; }
  bool dominates(BlockId a, BlockId b) const noexcept { return pre_[a] <= pre_[b] && pre_[b] <= last_[a]; }
  /// Numbers of the tree in preorder: b's subtree is [first(b), last(b)].
  u32 first(BlockId b) const noexcept { return pre_[b]; }
  u32 last(BlockId b) const noexcept { return last_[b]; }

 private:
  bool pass(const Function& f, bool all_preds);
  BlockId common(BlockId a, BlockId b) const noexcept;
  void hang(BlockId b, BlockId parent) noexcept;
  void number(u32 n);

  Vec<BlockId> parent_, jump_;  ///< jump_: an ancestor further up, so that walks take logarithmic time
  Vec<u32> depth_, pre_, last_;
};

}  // namespace skep::jit
