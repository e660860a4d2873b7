// jit: small loops of one block whose number of turns is known are made several turns long.
//
// The last of the copies is the original: what follows the loop and its phis go on naming the same values. Only what the phis stood
// for at the beginning of the last turn has other names then.
#include <algorithm>

#include "jit/fold.h"
#include "jit/operands.h"
#include "jit/passes.h"
#include "jit/ssa.h"

namespace skep::jit {
namespace {

constexpr u32 MAX_BODY = 32;  ///< values in the loop afterwards
constexpr u32 MAX_FACTOR = 16;
constexpr u64 MAX_COUNTED = 4096;  ///< turns that are looked at one by one, of all loops of a function together that many times 16

class Unroller {
 public:
  explicit Unroller(Function& f) : f_(f) {}

  bool run() {
    for (BlockId b = 1; b < f_.blocks.size(); ++b) {
      const u32 factor = choose_factor(b);
      if (factor > 1) unroll(b, factor);
    }
    if (moved_.empty()) return false;
    rename_outside();
    return true;
  }

 private:
  struct Counter {
    u64 start, step, bound;
    u8 width;
    Cond goes_on;
    bool tests_next;  ///< the value of the next turn, not of this
  };

  u32 choose_factor(BlockId id) {
    const Block& b = f_.blocks[id];
    if (b.preds.size() != 2 || f_.n_succs(b) != 2 || (b.succs[0] != id && b.succs[1] != id)) return 1;
    const u32 body = body_size(b);
    if (body == 0 || body * 2 > MAX_BODY) return 1;
    Counter c;
    if (!find_counter(id, &c)) return 1;
    const u64 turns = count_turns(c);
    for (u32 factor = std::min(MAX_FACTOR, MAX_BODY / body); factor > 1; --factor)
      if (turns % factor == 0 && turns > factor) return factor;
    return 1;
  }

  /// Without phis and end; 0: it has something that is not to be copied.
  u32 body_size(const Block& b) const {
    u32 n = 0;
    for (const ValueId v : b.values) {
      if (is_call(f_.values[v].op)) return 0;
      n += f_.values[v].op != Op::Phi && !is_terminator(f_.values[v].op);
      if (n > MAX_BODY) return 0;
    }
    return n;
  }

  bool is_const(ValueId v) const { return f_.values[v].op == Op::Const; }
  u64 const_of(ValueId v) const { return static_cast<u64>(f_.values[v].imm); }
  ValueId phi_arg(ValueId phi, std::size_t i) const { return f_.phi_args[static_cast<std::size_t>(f_.values[phi].imm) + i]; }
  std::size_t back_edge(BlockId b) const { return f_.blocks[b].preds[0] == b ? 0 : 1; }

  bool find_counter(BlockId b, Counter* c) const {
    const Value& end = f_.values[f_.blocks[b].values.back()];
    if (!is_const(end.arg[1]) || end.cond == Cond::Test || end.cond == Cond::TestZ) return false;
    c->goes_on = f_.blocks[b].succs[0] == b ? end.cond : negate(end.cond);
    c->bound = const_of(end.arg[1]);
    c->width = end.width;
    ValueId phi = end.arg[0];
    c->tests_next = f_.values[phi].op == Op::Add;
    if (c->tests_next) phi = f_.values[phi].arg[0];
    if (f_.values[phi].op != Op::Phi || f_.values[phi].block != b) return false;
    const ValueId start = phi_arg(phi, 1 - back_edge(b)), next = phi_arg(phi, back_edge(b));
    const Value& sum = f_.values[next];
    if (!is_const(start) || sum.op != Op::Add || sum.width != end.width || sum.arg[0] != phi || !is_const(sum.arg[1])) return false;
    if (c->tests_next && end.arg[0] != next) return false;
    c->start = const_of(start);
    c->step = const_of(sum.arg[1]);
    return true;
  }

  /// How often the loop's body is run; 0: not known.
  u64 count_turns(const Counter& c) {
    const u64 mask = low_bytes(c.width);
    u64 now = c.start & mask;
    if (c.goes_on == Cond::Ne && c.tests_next) {
      const bool down = (c.step & mask) >> (c.width * 8 - 1) != 0;
      const u64 way = (down ? now - c.bound : c.bound - now) & mask, step = (down ? 0 - c.step : c.step) & mask;
      return step != 0 && way % step == 0 ? way / step : 0;
    }
    for (u64 turns = 1; turns <= MAX_COUNTED && counted_ < 16 * MAX_COUNTED; ++turns, ++counted_) {
      const u64 next = (now + c.step) & mask;
      if (!fold_cond(c.goes_on, c.width, c.tests_next ? next : now, c.bound)) return turns;
      now = next;
    }
    return 0;
  }

  void unroll(BlockId id, u32 factor) {
    if (moved_.empty()) {
      moved_.resize(f_.values.size());
      for (ValueId v = 0; v < moved_.size(); ++v) moved_[v] = v;
    }
    const Vec<ValueId> values = f_.blocks[id].values;
    Vec<ValueId> out;
    std::size_t n_phis = 0;
    while (f_.values[values[n_phis]].op == Op::Phi) out.push_back(values[n_phis++]);
    // What each value of the block is called in the turn under way.
    Vec<ValueId>& name = moved_;
    for (u32 turn = 1; turn < factor; ++turn) {
      for (std::size_t i = n_phis; i + 1 < values.size(); ++i) out.push_back(copy(values[i], name));
      next_turn(id, values, n_phis, name);
    }
    for (std::size_t i = n_phis; i < values.size(); ++i) {
      each_operand(f_, f_.values[values[i]], [&](ValueId& a) { a = name[a]; });
      name[values[i]] = values[i];
      out.push_back(values[i]);
    }
    for (std::size_t i = 0; i < n_phis; ++i) {
      ValueId& next = f_.phi_args[static_cast<std::size_t>(f_.values[values[i]].imm) + back_edge(id)];
      next = name[next];
    }
    f_.blocks[id].values = std::move(out);
    done_.push_back(id);
  }

  ValueId copy(ValueId of, Vec<ValueId>& name) {
    Value v = f_.values[of];
    for (ValueId& a : v.arg)
      if (a != NONE) a = name[a];
    const ValueId id = static_cast<ValueId>(f_.values.size());
    f_.values.push_back(v);
    name.push_back(id);
    name[of] = id;
    return id;
  }

  void next_turn(BlockId id, const Vec<ValueId>& values, std::size_t n_phis, Vec<ValueId>& name) {
    Vec<ValueId> begin(n_phis);
    for (std::size_t i = 0; i < n_phis; ++i) begin[i] = name[phi_arg(values[i], back_edge(id))];
    for (std::size_t i = 0; i < n_phis; ++i) name[values[i]] = begin[i];
  }

  /// Phis of the loops that are named behind them.
  void rename_outside() {
    Vec<bool> is_done(f_.blocks.size(), false);
    for (const BlockId b : done_) is_done[b] = true;
    for (BlockId b = 0; b < f_.blocks.size(); ++b)
      for (const ValueId v : f_.blocks[b].values) {
        Value& value = f_.values[v];
        if (value.op == Op::Phi)
          rename_phi(b, value, is_done[b]);
        else if (!is_done[b])  // those have been named anew as they were copied: a second time might be the turn before
          each_operand(f_, value, [&](ValueId& a) { rename(a, b); });
      }
  }
  void rename(ValueId& a, BlockId user) {
    if (a < moved_.size() && f_.values[a].block != user) a = moved_[a];
  }
  void rename_phi(BlockId b, const Value& phi, bool done) {
    for (std::size_t i = 0; i < f_.blocks[b].preds.size(); ++i)
      if (!done || f_.blocks[b].preds[i] != b) rename(f_.phi_args[static_cast<std::size_t>(phi.imm) + i], b);
  }

  Function& f_;
  Vec<ValueId> moved_;
  Vec<BlockId> done_;
  u64 counted_ = 0;
};

}  // namespace

bool unroll_loops(Function& f) { return Unroller(f).run(); }

}  // namespace skep::jit
