// jit: which register or stack slot holds each value, and what is moved where and when. Internal to the room.
//
// Linear scan over the ranges of values in SSA form. A value may be split into pieces, each in one register or in memory: around
// calls, and where registers are short. A value is written once, so what its stack slot holds, once stored, stays true.
#pragma once
#include <span>

#include "jit/live.h"

namespace skep::jit {

/// Where a value is: a register, a stack slot of 8 bytes, or nowhere, since it is made anew where it is needed.
struct Loc {
  u32 code = 0;
  static constexpr u32 REMAT = 1u << 31;
  static constexpr Loc in(u32 reg) noexcept { return {reg}; }
  static constexpr Loc slot(u32 n) noexcept { return {NR_REGS + n}; }
  static constexpr Loc remat(ValueId v) noexcept { return {REMAT | v}; }
  constexpr bool is_reg() const noexcept { return code < NR_REGS; }
  constexpr bool is_remat() const noexcept { return (code & REMAT) != 0; }
  constexpr bool is_slot() const noexcept { return !is_reg() && !is_remat(); }
  constexpr u32 slot_index() const noexcept { return code - NR_REGS; }
  constexpr ValueId value() const noexcept { return code & ~REMAT; }
  friend constexpr bool operator==(Loc, Loc) = default;
};

/// One of several that are made at once.
struct Move {
  Loc dst, src;
};

/// A stretch of a value's life, [from, to), in one place.
struct Piece {
  ValueId value;
  u32 from, to;
  u32 cursor;  ///< while allocating: the range at or behind the current position
  u32 next;    ///< the same value's next piece; NONE
  Reg reg;     ///< NO_REG: in memory, or made anew
};

class Allocation {
 public:
  /// `ok` afterwards unless the function is not one.
  Allocation(const Machine& machine, const Live& live);

  bool ok = true;
  u32 n_slots = 0;
  RegMask used = 0;               ///< registers written
  Vec<RegMask> live_out;  ///< by index of the layout: registers that hold something when the block is left
  /// Where a value is at a position that one of its ranges has. What has none there is made anew: not asked for.
  Loc loc(ValueId v, u32 pos) const noexcept;
  /// Moves to be made at once before the instruction at base position `pos`. Quick when asked for in ascending order.
  std::span<const Move> moves_before(u32 pos) noexcept;
  /// Moves on the way from the i-th predecessor into a block.
  std::span<const Move> edge_moves(BlockId block, u32 i) const noexcept;

 private:
  friend class Resolver;
  struct Placed {
    u32 from;
    Loc loc;
  };
  Vec<Placed> placed_;  ///< pieces, value by value
  Vec<u32> placed_start_;
  Vec<Move> moves_, edge_moves_;
  Vec<u32> move_pos_;  ///< of each of moves_, ascending
  std::size_t next_move_ = 0;
  Vec<u32> edge_base_;   ///< of a block: its first edge's number
  Vec<u32> edge_start_;  ///< of an edge: into edge_moves_
};

/// The scan itself: pieces and their registers.
struct Scan {
  Vec<Piece> pieces;
  Vec<u32> first_piece;  ///< of each value; NONE: has none
  Vec<u32> phi_class;    ///< of each value: one for all that phis join
  Vec<RegMask> live_out;
  RegMask used = 0;
  bool ok = true;
};
Scan scan_registers(const Machine& machine, const Live& live);

}  // namespace skep::jit
