// jit: order and loops of a function's blocks. Internal to the room.
#pragma once

#include "jit/ir.h"

namespace skep::jit {

struct Loops {
  Vec<BlockId> head;   ///< of the innermost loop around a block; a head's own loop is that. NONE: in no loop
  Vec<BlockId> outer;  ///< of a head: head of the loop around its loop, or NONE
  bool irreducible = false;    ///< a loop has a second way in: nothing above can be relied upon then
};

/// Drops blocks that are not reached, and brings the others into an order in which every block stands behind its dominators and,
/// but for the ends of loops, behind its predecessors; loops are contiguous, and where that leaves a choice the old order is kept.
/// Fills preds and loop_depth, renumbers succs and, of the values in the blocks, `block`. *old_index (may be null): where a block
/// stood before. REQUIRES: succs are right; no phis.
Loops order_blocks(Function& f, Vec<BlockId>* old_index);

/// Fills preds from succs. REQUIRES: no phis.
void fill_preds(Function& f);

}  // namespace skep::jit
