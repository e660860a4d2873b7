// jit: moves that are made at once, put into an order. Internal to the room.
#pragma once
#include <span>

#include "jit/alloc.h"

namespace skep::jit {

/// One step of what a set of moves becomes.
struct Step {
  enum Kind : u8 {
    Copy,      ///< dst = src
    Exchange,  ///< two registers
    Push,      ///< src onto the stack
    Pop,       ///< the stack's top into dst
  } kind;
  Loc dst, src;
};

class MoveOrder {
 public:
  explicit MoveOrder(u32 n_slots) : readers_(NR_REGS + n_slots), into_(NR_REGS + n_slots, NONE) {}
  /// No two moves have the same dst. The steps do what all moves do at once. Copies between two slots, and circles through slots
  /// (Push, Pop), need the stack. Linear. The result lives until the next call.
  std::span<const Step> order(std::span<const Move> moves);

 private:
  void drain();
  void copy(u32 move);
  void break_circle(u32 move);

  std::span<const Move> moves_;
  Vec<u32> readers_, into_;  ///< by place: moves yet to be made that read it; the one that writes it
  Vec<u32> ready_;
  Vec<Step> steps_;
};

}  // namespace skep::jit
