#include "jit/moves.h"

namespace skep::jit {

/// Makes a move whose dst nobody reads any more.
void MoveOrder::copy(u32 i) {
  const Move& m = moves_[i];
  steps_.push_back({Step::Copy, m.dst, m.src});
  into_[m.dst.code] = NONE;
  if (!m.src.is_remat() && --readers_[m.src.code] == 0 && into_[m.src.code] != NONE) ready_.push_back(into_[m.src.code]);
}

void MoveOrder::drain() {
  while (!ready_.empty()) {
    const u32 i = ready_.back();
    ready_.pop_back();
    copy(i);
  }
}

/// What is left now is circles: every place has one reader and one writer.
void MoveOrder::break_circle(u32 first) {
  bool registers = true;
  for (u32 i = first;;) {
    registers = registers && moves_[i].dst.is_reg();
    i = into_[moves_[i].src.code];
    if (i == first) break;
  }
  if (registers) {
    // Each exchange puts one value right; what was there goes one on.
    for (u32 i = first; moves_[i].src != moves_[first].dst;) {
      const Move& m = moves_[i];
      steps_.push_back({Step::Exchange, m.dst, m.src});
      i = into_[m.src.code];
    }
    for (u32 i = first; into_[moves_[i].dst.code] != NONE;) {
      const u32 next = into_[moves_[i].src.code];
      into_[moves_[i].dst.code] = NONE;
      readers_[moves_[i].dst.code] = 0;
      if (next == NONE) break;
      i = next;
    }
    return;
  }
  const Move& m = moves_[first];
  steps_.push_back({Step::Push, {}, m.dst});
  // The last of the circle reads what was in m.dst: from the stack.
  for (u32 i = first; i != NONE;) {
    const Move& x = moves_[i];
    const u32 next = into_[x.src.code];
    const bool last = x.src == m.dst;
    steps_.push_back({last ? Step::Pop : Step::Copy, x.dst, x.src});
    readers_[x.src.code] = 0;
    into_[x.dst.code] = NONE;
    i = last ? NONE : next;
  }
}

std::span<const Step> MoveOrder::order(std::span<const Move> moves) {
  moves_ = moves;
  steps_.clear();
  if (moves.size() == 1) {
    if (moves[0].dst != moves[0].src) steps_.push_back({Step::Copy, moves[0].dst, moves[0].src});
    return steps_;
  }
  for (u32 i = 0; i < moves.size(); ++i) {
    if (moves[i].dst == moves[i].src) continue;
    into_[moves[i].dst.code] = i;
    if (!moves[i].src.is_remat()) ++readers_[moves[i].src.code];
  }
  for (u32 i = 0; i < moves.size(); ++i)
    if (moves[i].dst != moves[i].src && readers_[moves[i].dst.code] == 0 && !moves[i].src.is_remat()) ready_.push_back(i);
  drain();
  for (u32 i = 0; i < moves.size(); ++i) {
    if (moves[i].dst == moves[i].src || moves[i].src.is_remat() || into_[moves[i].dst.code] != i) continue;
    if (readers_[moves[i].dst.code] != 0) break_circle(i);
  }
  // What is made from nothing reads nothing and comes last; so may what it overwrites.
  for (u32 i = 0; i < moves.size(); ++i)
    if (moves[i].src.is_remat() && into_[moves[i].dst.code] == i) {
      steps_.push_back({Step::Copy, moves[i].dst, moves[i].src});
      into_[moves[i].dst.code] = NONE;
    }
  return steps_;
}

}  // namespace skep::jit
