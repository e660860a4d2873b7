#include "jit/cfg.h"

#include <algorithm>

namespace skep::jit {
namespace {

/// A depth-first walk, the later successor first, so that blocks finish in about the reverse of the order they stand in.
struct Walk {
  Vec<BlockId> preorder;  ///< block of a preorder number
  Vec<u32> pre, last;     ///< of a block: its number, and the highest below it in the tree. NONE: not reached
  Vec<BlockId> reverse_postorder;
  bool has_loops = false;
};

Walk walk(const Function& f) {
  const u32 n = static_cast<u32>(f.blocks.size());
  Walk w;
  w.pre.assign(n, NONE);
  w.last.assign(n, 0);
  Vec<u8> left(n, false);
  struct Step {
    BlockId block;
    u32 done;
  };
  Vec<Step> stack{{0, 0}};
  w.pre[0] = 0;
  w.preorder.push_back(0);
  while (!stack.empty()) {
    Step& step = stack.back();
    const Block& b = f.blocks[step.block];
    if (step.done == 2) {
      left[step.block] = true;
      w.last[step.block] = static_cast<u32>(w.preorder.size()) - 1;
      w.reverse_postorder.push_back(step.block);
      stack.pop_back();
      continue;
    }
    const bool swap = b.succs[1] != NONE && b.succs[0] < b.succs[1];
    const BlockId s = b.succs[(step.done++ != 0) != swap ? 1 : 0];
    if (s == NONE) continue;
    if (w.pre[s] != NONE) {
      w.has_loops |= !left[s];
      continue;
    }
    w.pre[s] = static_cast<u32>(w.preorder.size());
    w.preorder.push_back(s);
    stack.push_back({s, 0});
  }
  std::reverse(w.reverse_postorder.begin(), w.reverse_postorder.end());
  return w;
}

/// Loops after Havlak: heads from the innermost out; what is known to belong to a loop is taken for its head from then on.
class LoopFinder {
 public:
  LoopFinder(const Function& f, const Walk& w) : f_(f), w_(w), stands_for_(f.blocks.size()), mark_(f.blocks.size(), NONE) {
    for (BlockId b = 0; b < f.blocks.size(); ++b) stands_for_[b] = b;
    loops_.head.assign(f.blocks.size(), NONE);
    loops_.outer.assign(f.blocks.size(), NONE);
  }

  Loops run() {
    for (std::size_t i = w_.preorder.size(); i-- > 0;) find(w_.preorder[i]);
    return std::move(loops_);
  }

 private:
  bool above(BlockId a, BlockId b) const { return w_.pre[a] <= w_.pre[b] && w_.pre[b] <= w_.last[a]; }

  BlockId representative(BlockId b) {
    while (stands_for_[b] != b) {
      stands_for_[b] = stands_for_[stands_for_[b]];
      b = stands_for_[b];
    }
    return b;
  }

  void find(BlockId head) {
    body_.clear();
    bool is_head = false;
    mark_[head] = head;
    for (const BlockId p : f_.blocks[head].preds) {
      if (!above(head, p)) continue;
      is_head = true;
      add(head, representative(p));
    }
    if (!is_head) return;
    for (std::size_t i = 0; i < body_.size(); ++i)
      for (const BlockId p : f_.blocks[body_[i]].preds) {
        if (above(body_[i], p)) continue;  // the end of an inner loop, which is in the body already
        const BlockId r = representative(p);
        if (above(head, r))
          add(head, r);
        else
          loops_.irreducible = true;
      }
    loops_.head[head] = head;
    for (const BlockId b : body_) {
      stands_for_[b] = head;
      if (loops_.head[b] == b)
        loops_.outer[b] = head;
      else
        loops_.head[b] = head;
    }
  }

  void add(BlockId head, BlockId b) {
    if (mark_[b] == head) return;
    mark_[b] = head;
    body_.push_back(b);
  }

  const Function& f_;
  const Walk& w_;
  Vec<BlockId> stands_for_, mark_, body_;
  Loops loops_;
};

/// Reverse postorder with each loop drawn together at its head.
class Layout {
 public:
  Layout(const Walk& w, const Loops& loops) : w_(w), loops_(loops), first_(w.pre.size(), NONE), next_(w.pre.size(), NONE) {}

  Vec<BlockId> run() {
    if (loops_.irreducible) return w_.reverse_postorder;
    // Lists of each loop's blocks and inner heads, from the back.
    for (std::size_t i = w_.reverse_postorder.size(); i-- > 0;) {
      const BlockId b = w_.reverse_postorder[i];
      const BlockId in = loops_.head[b] == b ? loops_.outer[b] : loops_.head[b];
      BlockId& list = in == NONE ? top_ : first_[in];
      next_[b] = list;
      list = b;
    }
    Vec<BlockId> order, stack;
    for (BlockId b = top_; b != NONE || !stack.empty();) {
      if (b == NONE) {
        b = next_[stack.back()];
        stack.pop_back();
        continue;
      }
      order.push_back(b);
      if (loops_.head[b] == b && first_[b] != NONE) {
        stack.push_back(b);
        b = first_[b];
      } else {
        b = next_[b];
      }
    }
    return order;
  }

 private:
  const Walk& w_;
  const Loops& loops_;
  Vec<BlockId> first_, next_;
  BlockId top_ = NONE;
};

void set_depths(Function& f, const Loops& loops) {
  // Heads stand before their loops' blocks and the heads in them.
  for (BlockId b = 0; b < f.blocks.size(); ++b) {
    const BlockId head = loops.head[b];
    if (head == NONE) continue;
    if (head != b)
      f.blocks[b].loop_depth = f.blocks[head].loop_depth;
    else
      f.blocks[b].loop_depth = loops.outer[b] == NONE ? 1 : f.blocks[loops.outer[b]].loop_depth + 1;
  }
}

}  // namespace

void fill_preds(Function& f) {
  for (Block& b : f.blocks) b.preds.clear();
  for (BlockId b = 0; b < f.blocks.size(); ++b)
    for (const BlockId s : f.blocks[b].succs)
      if (s != NONE) f.blocks[s].preds.push_back(b);
}

Loops order_blocks(Function& f, Vec<BlockId>* old_index) {
  const Walk w = walk(f);
  for (BlockId b = 0; b < f.blocks.size(); ++b)
    if (w.pre[b] == NONE) f.blocks[b].succs[0] = f.blocks[b].succs[1] = NONE;
  fill_preds(f);
  Loops found;
  if (w.has_loops) {
    found = LoopFinder(f, w).run();
  } else {
    found.head.assign(f.blocks.size(), NONE);
    found.outer.assign(f.blocks.size(), NONE);
  }
  const Vec<BlockId> order = w.has_loops ? Layout(w, found).run() : w.reverse_postorder;

  Vec<BlockId> new_index(f.blocks.size(), NONE);
  for (BlockId i = 0; i < order.size(); ++i) new_index[order[i]] = i;
  const auto moved = [&](BlockId b) { return b == NONE ? NONE : new_index[b]; };
  std::vector<Block> blocks(order.size());
  Loops loops;
  loops.irreducible = found.irreducible;
  for (BlockId i = 0; i < order.size(); ++i) {
    blocks[i] = std::move(f.blocks[order[i]]);
    for (BlockId& s : blocks[i].succs) s = moved(s);
    for (const ValueId v : blocks[i].values) f.values[v].block = i;
    blocks[i].loop_depth = 0;
    loops.head.push_back(moved(found.head[order[i]]));
    loops.outer.push_back(moved(found.outer[order[i]]));
  }
  f.blocks = std::move(blocks);
  fill_preds(f);
  set_depths(f, loops);
  if (old_index != nullptr) *old_index = order;
  return loops;
}

}  // namespace skep::jit
