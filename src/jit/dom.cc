#include "jit/dom.h"

namespace skep::jit {

Dominators::Dominators(const Function& f) {
  const u32 n = static_cast<u32>(f.blocks.size());
  parent_.assign(n, NONE);
  jump_.assign(n, 0);
  depth_.assign(n, 0);
  parent_[0] = 0;
  bool backwards = false;  // is there a way back to a block from one that it does not dominate?
  pass(f, false);
  for (BlockId b = 0; b < n && !backwards; ++b)
    for (const BlockId p : f.blocks[b].preds) backwards |= p >= b && common(p, b) != b;
  if (backwards) {
    u32 turns = 0;
    while (turns < 4 && pass(f, true)) ++turns;
    if (turns == 4)
      for (BlockId b = 1; b < n; ++b) hang(b, 0);
  }
  number(n);
}

void Dominators::hang(BlockId b, BlockId parent) noexcept {
  parent_[b] = parent;
  depth_[b] = depth_[parent] + 1;
  const BlockId j = jump_[parent];
  jump_[b] = depth_[parent] - depth_[j] == depth_[j] - depth_[jump_[j]] ? jump_[j] : parent;
}

BlockId Dominators::common(BlockId a, BlockId b) const noexcept {
  if (depth_[a] < depth_[b]) std::swap(a, b);
  while (depth_[a] > depth_[b]) a = depth_[jump_[a]] >= depth_[b] ? jump_[a] : parent_[a];
  while (a != b) {
    const bool far = jump_[a] != jump_[b];
    a = far ? jump_[a] : parent_[a];
    b = far ? jump_[b] : parent_[b];
  }
  return a;
}

bool Dominators::pass(const Function& f, bool all_preds) {
  bool changed = false;
  for (BlockId b = 1; b < f.blocks.size(); ++b) {
    BlockId above = NONE;
    for (const BlockId p : f.blocks[b].preds)
      if (p < b || all_preds) above = above == NONE ? p : common(above, p);
    if (above == NONE || above >= b) above = 0;
    changed |= parent_[b] != above;
    hang(b, above);
  }
  return changed;
}

void Dominators::number(u32 n) {
  Vec<u32> size(n, 1);
  for (BlockId b = n; b-- > 1;) size[parent_[b]] += size[b];
  pre_.assign(n, 0);
  last_.assign(n, 0);
  Vec<u32> next(n, 1);  // preorder number of the next child
  for (BlockId b = 0; b < n; ++b) {
    if (b != 0) {
      pre_[b] = next[parent_[b]];
      next[parent_[b]] += size[b];
    }
    next[b] = pre_[b] + 1;
    last_[b] = pre_[b] + size[b] - 1;
  }
}

}  // namespace skep::jit
