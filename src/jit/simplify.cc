// jit: the walk that makes all values simpler, once from front to back.
#include <algorithm>

#include "jit/facts.h"
#include "jit/frame_memory.h"
#include "jit/operands.h"
#include "jit/passes.h"

namespace skep::jit {
namespace {

class Walk {
 public:
  explicit Walk(Function& f) : f_(f), s_(f), facts_(s_) {}

  void run() {
    reached_.assign(f_.blocks.size(), false);
    reached_[0] = true;
    irreducible_ = has_second_ways_in();
    for (BlockId b = 0; b < f_.blocks.size(); ++b) {
      if (!reached_[b]) {
        cut(b);
        continue;
      }
      block(b);
    }
    finish();
  }

 private:
  /// Into a loop other than by its head: what is behind a branch that goes away may be reached yet from further down.
  bool has_second_ways_in() const {
    for (BlockId b = 0; b < f_.blocks.size(); ++b)
      for (const BlockId p : f_.blocks[b].preds)
        if (p >= b && !s_.dominators().dominates(b, p)) return true;
    return false;
  }

  void cut(BlockId b) {
    f_.blocks[b].values.clear();
    f_.blocks[b].succs[0] = f_.blocks[b].succs[1] = NONE;
  }

  void block(BlockId b) {
    Vec<ValueId>& out = f_.blocks[b].values;
    before_.assign(out.begin(), out.end());
    out.clear();
    s_.enter(b, &out);
    memory_.forget();
    for (const ValueId id : before_) visit(b, id, out);
    for (const BlockId t : f_.blocks[b].succs)
      if (t != NONE) reached_[t] = true;
  }

  void visit(BlockId b, ValueId id, Vec<ValueId>& out) {
    const Op op = f_.values[id].op;
    if (op == Op::Phi) return phi(b, id, out);
    Value v = f_.values[id];
    for (ValueId& a : v.arg)
      if (a != NONE) a = facts_.in_block(b, s_.moved(a));
    if (is_free(op)) {
      out.push_back(id);
      s_.set_ones(id, op == Op::Const ? static_cast<u64>(v.imm) : ~u64{0});
    } else if (op == Op::Load) {
      load(id, v);
    } else if (op == Op::Branch) {
      branch(b, id, v);
    } else if (has_effect(v)) {
      effect(v);
      s_.keep(v, id);
    } else {
      put(id, v);
    }
  }

  void put(ValueId id, const Value& v) {
    const std::size_t known = f_.values.size();
    const ValueId is = s_.put(v, id);
    if (is == id) return;
    s_.move(id, is);
    f_.values[is].uses = is >= known ? v.uses : f_.values[is].uses + v.uses;
  }

  /// Of the predecessors that are known to lead here; all that come later may.
  void phi(BlockId b, ValueId id, Vec<ValueId>& out) {
    const auto& preds = f_.blocks[b].preds;
    ValueId* args = &f_.phi_args[static_cast<std::size_t>(f_.values[id].imm)];
    ValueId one = NONE;
    bool differ = false;
    u64 mask = 0;
    for (std::size_t i = 0; i < preds.size(); ++i) {
      const BlockId p = preds[i];
      if (p < b && !leads_to(p, b)) continue;
      args[i] = facts_.at_edge(p, b, s_.moved(args[i]));
      if (args[i] == id) continue;
      differ |= one != NONE && one != args[i];
      one = args[i];
      mask |= s_.ones(args[i]);
    }
    if (!differ && one != NONE) {
      s_.move(id, one);
      return;
    }
    out.push_back(id);
    s_.set_ones(id, mask);
  }

  bool leads_to(BlockId p, BlockId b) const { return reached_[p] && (f_.blocks[p].succs[0] == b || f_.blocks[p].succs[1] == b); }

  bool frame_slot(const Value& v, s64* off) const {
    if (v.arg[0] == NONE || v.arg[1] != NONE || s_.at(v.arg[0]).op != Op::FrameAddr) return false;
    *off = s_.at(v.arg[0]).imm + v.disp;
    return true;
  }

  void load(ValueId id, const Value& v) {
    s64 off = 0;
    if (!frame_slot(v, &off)) {
      s_.keep(v, id);
      return;
    }
    if (const ValueId known = memory_.load(off, v.size); known != NONE) {
      s_.move(id, v.sign ? s_.unary(Op::Sext, v.size, known, v.width) : s_.zext(v.size, known));
      return;
    }
    s_.keep(v, id);
    memory_.loaded(off, v.size, id);
  }

  /// What it does to the memory of the frame.
  void effect(Value& v) {
    if (v.op == Op::Store) {
      v.arg[2] = s_.strip(v.arg[2], v.size);
      s64 off = 0;
      if (frame_slot(v, &off))
        memory_.stored(off, v.size, v.arg[2]);
      else if (!surely_elsewhere(v))
        memory_.forget();
    } else if (writes_memory(v)) {
      memory_.forget();
    }
  }

  /// Constants are addresses of maps' memory; they and what is reckoned from them never reach a frame.
  bool surely_elsewhere(const Value& v) const { return v.arg[0] != NONE && s_.is_const(v.arg[0]) && v.arg[1] == NONE; }

  void branch(BlockId b, ValueId id, Value& v) {
    const Value asked = v;
    const int known = s_.simplify_condition(v);
    auto& succs = f_.blocks[b].succs;
    if (known >= 0 && !irreducible_) {
      succs[0] = succs[known == 1 ? 0 : 1];
      succs[1] = NONE;
      Value jump;
      jump.op = Op::Jump;
      jump.insn = v.insn;
      s_.keep(jump, id);
      return;
    }
    s_.keep(v, id);
    learn(b, asked, v);
  }

  void learn(BlockId b, const Value& asked, const Value& became) {
    if (s_.at(asked.arg[0]).op == Op::Select && s_.is_const(asked.arg[1])) {
      const Value select = s_.at(asked.arg[0]);
      if (same_question(became, select, false))
        learn_arms(b, asked.arg[0], select.arg[2], select.arg[3]);
      else if (same_question(became, select, true))
        learn_arms(b, asked.arg[0], select.arg[3], select.arg[2]);
    }
    if ((became.cond != Cond::Eq && became.cond != Cond::Ne) || !s_.is_const(became.arg[1])) return;
    // A value of 32 bits that is equal in its low 32 bits is equal.
    if (became.width == 4 && s_.ones(became.arg[0]) > 0xffffffff) return;
    const bool equal = became.cond == Cond::Eq;
    side(b, equal ? 0 : 1, became.arg[0], became.arg[1]);
    const Value select = s_.at(became.arg[0]);
    if (select.op != Op::Select) return;
    if (select.arg[2] == became.arg[1]) side(b, equal ? 1 : 0, became.arg[0], select.arg[3]);
    if (select.arg[3] == became.arg[1]) side(b, equal ? 1 : 0, became.arg[0], select.arg[2]);
  }

  bool same_question(const Value& a, Value select, bool negated) {
    if (s_.simplify_condition(select) >= 0) return false;
    return a.cond == (negated ? negate(select.cond) : select.cond) && a.width == select.width && a.arg[0] == select.arg[0] &&
           a.arg[1] == select.arg[1];
  }

  void learn_arms(BlockId b, ValueId select, ValueId yes, ValueId no) {
    side(b, 0, select, yes);
    side(b, 1, select, no);
  }

  void side(BlockId b, u32 which, ValueId value, ValueId is) {
    const BlockId to = f_.blocks[b].succs[which];
    if (f_.blocks[to].preds.size() == 1)
      facts_.below(to, value, is);
    else
      facts_.on_edge(b, to, value, is);
  }

  void finish() {
    for (BlockId b = 0; b < f_.blocks.size(); ++b)
      for (const ValueId id : f_.blocks[b].values) {
        if (f_.values[id].op != Op::Phi) break;
        for (std::size_t i = 0; i < f_.blocks[b].preds.size(); ++i) {
          ValueId& a = f_.phi_args[static_cast<std::size_t>(f_.values[id].imm) + i];
          if (reached_[f_.blocks[b].preds[i]]) a = facts_.at_edge(f_.blocks[b].preds[i], b, s_.moved(a));
        }
      }
    s_.place_constants();
    clean_blocks(f_);
  }

  Function& f_;
  Simplifier s_;
  Facts facts_;
  FrameMemory memory_;
  Vec<ValueId> before_;  ///< the values of the block at hand as they were
  Vec<bool> reached_;
  bool irreducible_ = false;
};

}  // namespace

void simplify(Function& f) { Walk(f).run(); }

}  // namespace skep::jit
