// jit: branches around one or two cheap instructions become Selects.
//
//        P                P + T's values + Selects
//       / \                       |
//      T   |      ->              J
//       \ /
//        J
#include <algorithm>

#include "jit/consts.h"
#include "jit/operands.h"
#include "jit/passes.h"

namespace skep::jit {
namespace {

constexpr u32 MAX_PREDS = 16;  ///< of J: beyond it looking for an edge takes too long
constexpr u32 MAX_SELECTS = 2;
constexpr u32 MAX_SPECULATED = 2;  ///< values done for nothing, of both sides
constexpr u32 GUESS = 4;           ///< cycles that a guess is worth: a fraction of what a wrong one costs

bool is_cheap(const Value& v) {
  switch (v.op) {
    case Op::Add:
    case Op::Sub:
    case Op::And:
    case Op::Or:
    case Op::Xor:
    case Op::Shl:
    case Op::Shr:
    case Op::Sar:
    case Op::Rotl:
    case Op::Neg:
    case Op::Not:
    case Op::Zext:
    case Op::Sext:
    case Op::Lea:
      return true;
    default:
      return is_free(v.op);
  }
}

class IfConverter {
 public:
  explicit IfConverter(Function& f) : f_(f) {}

  /// From the back: what is inside a branch is done before it.
  bool run() {
    bool any = false;
    for (BlockId b = static_cast<BlockId>(f_.blocks.size()); b-- > 0;) any |= convert(b);
    return any;
  }

 private:
  /// A side that may be taken into P: only P leads to it, and it leads to one place.
  bool is_side(BlockId t, BlockId p) const {
    const Block& b = f_.blocks[t];
    return b.preds.size() == 1 && f_.n_succs(b) == 1 && b.succs[0] != t && b.loop_depth == f_.blocks[p].loop_depth &&
           b.values.size() <= MAX_SPECULATED + 1;
  }

  bool convert(BlockId p) {
    Block& b = f_.blocks[p];
    if (f_.n_succs(b) != 2) return false;
    const BlockId s0 = b.succs[0], s1 = b.succs[1];
    const bool side0 = is_side(s0, p), side1 = is_side(s1, p);
    BlockId j = NONE;
    if (side0 && f_.blocks[s0].succs[0] == s1)
      j = s1;
    else if (side1 && f_.blocks[s1].succs[0] == s0)
      j = s0;
    else if (side0 && side1 && f_.blocks[s0].succs[0] == f_.blocks[s1].succs[0])
      j = f_.blocks[s0].succs[0];
    if (j == NONE || j == p || f_.blocks[j].preds.size() > MAX_PREDS || f_.blocks[j].loop_depth > b.loop_depth) return false;
    return join(p, s0 == j ? p : s0, s1 == j ? p : s1, j);
  }

  /// `yes`, `no`: from where J is reached when the condition holds and when not: a side, or P itself.
  bool join(BlockId p, BlockId yes, BlockId no, BlockId j) {
    u32 work = 0;
    for (const BlockId side : {yes, no})
      if (side != p && !speculate(side, &work)) return false;
    if (work > MAX_SPECULATED) return false;
    Block& to = f_.blocks[j];
    const std::size_t at_yes = pred_index(to, yes), at_no = pred_index(to, no);
    u32 selects = 0;
    for (const ValueId v : to.values) {
      if (f_.values[v].op != Op::Phi) break;
      selects += arg(v, at_yes) != arg(v, at_no);
    }
    if (selects > MAX_SELECTS || is_late(p, to, at_yes, at_no)) return false;
    const ValueId end = f_.blocks[p].values.back();
    f_.blocks[p].values.pop_back();
    for (const BlockId side : {yes, no})
      if (side != p) take_over(p, side);
    choose(p, f_.values[end], to, at_yes, at_no);
    Value& jump = f_.values[end];
    jump.op = Op::Jump;
    jump.arg[0] = jump.arg[1] = NONE;
    f_.blocks[p].values.push_back(end);
    f_.blocks[p].succs[0] = j;
    f_.blocks[p].succs[1] = NONE;
    // One of the two ways stays, and is P's.
    to.preds[at_yes] = p;
    drop_pred(to, at_no);
    return true;
  }

  /// In a loop a condition that is known long after what it chooses from is better guessed: the next turn need not wait for it.
  bool is_late(BlockId p, const Block& to, std::size_t at_yes, std::size_t at_no) {
    const Block& b = f_.blocks[p];
    if (b.loop_depth == 0) return false;
    depth_.resize(f_.values.size(), 0);
    for (const ValueId v : b.values) depth_[v] = depth(p, f_.values[v]);
    const u32 known = depth_[b.values.back()];
    for (const ValueId phi : to.values) {
      if (f_.values[phi].op != Op::Phi) break;
      const ValueId yes = arg(phi, at_yes), no = arg(phi, at_no);
      // A bit is made, not chosen; and of x + y or x only the sum waits for x.
      if (yes == no || (is_bit(yes) && is_bit(no)) || is_sum_of(yes, no) || is_sum_of(no, yes)) continue;
      if (known >= std::max(depth_of(p, yes), depth_of(p, no)) + GUESS) return true;
    }
    return false;
  }
  bool is_sum_of(ValueId v, ValueId of) const {
    const Value& s = f_.values[v];
    return (s.op == Op::Add && (s.arg[0] == of || s.arg[1] == of)) || (s.op == Op::Sub && s.arg[0] == of);
  }
  bool is_bit(ValueId v) const { return f_.values[v].op == Op::Const && (f_.values[v].imm & ~s64{1}) == 0; }

  /// Cycles from the beginning of block p, about.
  u32 depth(BlockId p, const Value& v) const {
    if (v.op == Op::Phi || is_free(v.op)) return 0;
    u32 d = 0;
    for (const ValueId a : v.arg)
      if (a != NONE && f_.values[a].block == p) d = std::max(d, depth_[a]);
    switch (v.op) {
      case Op::Load:
        return d + 5;
      case Op::Mul:
      case Op::MulHiU:
      case Op::MulHiS:
        return d + 3;
      case Op::UDiv:
      case Op::UMod:
      case Op::SDiv:
      case Op::SMod:
        return d + 20;
      default:
        return d + 1;
    }
  }
  u32 depth_of(BlockId p, ValueId v) const {
    const Value& value = f_.values[v];
    if (value.block == p) return depth_[v];
    return value.block > p ? depth(p, value) : 0;  // one of a side's; or from before
  }

  bool speculate(BlockId side, u32* work) const {
    const auto& values = f_.blocks[side].values;
    for (std::size_t i = 0; i + 1 < values.size(); ++i) {
      const Value& v = f_.values[values[i]];
      // The total division needs no branch before it: choose() in algebra.cc takes the Select out again.
      const bool guarded = (v.op == Op::UDiv || v.op == Op::UMod) && values.size() == 2;
      if (!guarded && !is_cheap(v)) return false;
      if (guarded && !asks_divisor(side, v)) return false;
      ++*work;
    }
    return true;
  }

  bool asks_divisor(BlockId side, const Value& division) const {
    const Value& end = f_.values[f_.blocks[f_.blocks[side].preds[0]].values.back()];
    if (end.cond != Cond::Eq && end.cond != Cond::Ne) return false;
    const Value& against = f_.values[end.arg[1]];
    return end.arg[0] == division.arg[1] && end.width >= division.width && against.op == Op::Const && against.imm == 0;
  }

  void take_over(BlockId p, BlockId side) {
    auto& values = f_.blocks[side].values;
    for (std::size_t i = 0; i + 1 < values.size(); ++i) {
      f_.values[values[i]].block = p;
      f_.blocks[p].values.push_back(values[i]);
    }
    values.erase(values.begin(), values.end() - 1);
    f_.blocks[side].succs[0] = NONE;  // not reached any more
  }

  void choose(BlockId p, const Value branch, Block& to, std::size_t at_yes, std::size_t at_no) {
    for (const ValueId phi : to.values) {
      if (f_.values[phi].op != Op::Phi) break;
      const ValueId a = arg(phi, at_yes), b = arg(phi, at_no);
      if (a == b) continue;
      Value v = branch;
      v.op = Op::Select;
      v.arg[2] = a, v.arg[3] = b;
      v.block = p;
      const ValueId id = static_cast<ValueId>(f_.values.size());
      f_.values.push_back(v);
      f_.blocks[p].values.push_back(id);
      arg(phi, at_yes) = id;
    }
  }

  void drop_pred(Block& to, std::size_t at) {
    for (const ValueId phi : to.values) {
      if (f_.values[phi].op != Op::Phi) break;
      for (std::size_t i = at; i + 1 < to.preds.size(); ++i) arg(phi, i) = arg(phi, i + 1);
    }
    to.preds.erase(to.preds.begin() + static_cast<std::ptrdiff_t>(at));
  }

  static std::size_t pred_index(const Block& b, BlockId p) {
    return static_cast<std::size_t>(std::find(b.preds.begin(), b.preds.end(), p) - b.preds.begin());
  }
  ValueId& arg(ValueId phi, std::size_t i) { return f_.phi_args[static_cast<std::size_t>(f_.values[phi].imm) + i]; }

  Function& f_;
  Vec<u32> depth_;
};

}  // namespace

bool if_convert(Function& f) {
  if (!IfConverter(f).run()) return false;
  clean_blocks(f);
  return true;
}

}  // namespace skep::jit
