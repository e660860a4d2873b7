// jit: linear scan. Internal to the register allocation.
#pragma once
#include <queue>

#include "jit/alloc.h"

namespace skep::jit {

class Scanner {
 public:
  Scanner(const Machine& machine, const Live& live);
  void run();
  Scan out;

 private:
  static constexpr u32 FOREVER = ~0u;
  static constexpr u32 base(u32 pos) noexcept { return pos & ~3u; }
  using Waiting = std::pair<u32, u32>;  ///< position, piece
  using Heap = std::priority_queue<Waiting, Vec<Waiting>, std::greater<Waiting>>;

  // The order of work.
  void make_pieces();
  u32 pop();
  void advance(u32 pos);
  void advance_reg(u32 reg, u32 pos);
  void leave_blocks(u32 pos);
  void allocate(u32 cur);

  // Pieces.
  u32 split(u32 piece, u32 pos);
  void assign(u32 piece, Reg reg);
  void spill_from(u32 piece, u32 pos);
  void cut_at(u32 piece, u32 conflict);
  u32 best_split(u32 min, u32 max) const noexcept;
  bool covers(const Piece& p, u32 pos) const noexcept;

  // Uses.
  const Use* next_use(ValueId v, u32 pos) const noexcept;
  const Use* next_reg_use(ValueId v, u32 pos) const noexcept;
  const Use* last_use_before(ValueId v, u32 pos) const noexcept;
  u32 need_end(const Piece& p) const noexcept;
  std::span<const Use> uses_now(const Piece& p) const noexcept;
  bool wants_reg_now(const Piece& p) const noexcept { return !uses_now(p).empty(); }
  bool must_have_reg(const Piece& p) const noexcept;

  // What stands in the way.
  u32 conflict_with(const Piece& cur, std::span<const Range> lost, u32 bound) const noexcept;
  u32 conflict_with_inactive(const Piece& cur, u32 reg, u32 bound);
  u32 intersection(const Piece& a, const Piece& b, u32 bound) const noexcept;
  void find_limits(u32 cur);

  // Choice.
  float lowest_freq(u32 min, u32 max) const noexcept;
  u32 next_use_in_loops(const Piece& p, u32 pos, float* freq) const noexcept;
  float spill_cost(const Piece& p, u32 pos) const noexcept;
  void gather_hints(const Piece& p);
  bool take_free(u32 cur);
  void take_partly_free(u32 cur, Reg reg);
  bool take_by_force(u32 cur, bool whole, float worth);
  bool may_evict(u32 reg, u32 pos) const noexcept;
  void evict(u32 reg, u32 pos);

  const Machine& m_;
  const Live& live_;
  Vec<u32> sorted_;  ///< pieces by start
  std::size_t next_sorted_ = 0;
  Heap children_;  ///< those that splits made
  u32 position_ = 0;
  u32 left_ = 0;  ///< blocks left behind
  u32 active_[NR_REGS], until_[NR_REGS], last_end_[NR_REGS];
  Heap inactive_[NR_REGS];  ///< pieces in a hole, by its end
  u32 limit_[NR_REGS];      ///< for the piece at hand: free until
  Reg hints_[16];
  u32 n_hints_ = 0;
  Vec<Use> reg_uses_;  ///< those of Live that are better, or must be, in a register
  Vec<u32> reg_use_start_;
  Vec<Reg> class_reg_, last_reg_;
  Vec<bool> stored_;  ///< has been spilled
};

}  // namespace skep::jit
