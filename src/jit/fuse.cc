// jit: instructions that the machine does in one: loads as operands, memory changed in place, loads that extend the sign.
#include "jit/operands.h"
#include "jit/passes.h"

namespace skep::jit {
namespace {

class Fuser {
 public:
  explicit Fuser(Function& f) : f_(f), place_(f.values.size(), 0) {}

  void run() {
    for (Block& b : f_.blocks) {
      // Places count what a load may not move down over: writes, and loads of memory that others write. Whoever reads a flag and
      // then what it stands for relies on that order, as the machine keeps it.
      u32 barriers = 0;
      for (const ValueId id : b.values) {
        Value& v = f_.values[id];
        if (v.op == Op::Load && is_shared(v)) ++barriers;
        place_[id] = barriers;
        block_ = v.block;
        visit(id, v, barriers);
        if (writes_memory(v)) ++barriers;
      }
    }
  }

 private:
  /// Not the function's frame, nor the run's own fields.
  bool is_shared(const Value& v) const {
    if (v.arg[0] == NONE) return true;
    const Value& base = f_.values[v.arg[0]];
    return base.op != Op::FrameAddr && (base.op != Op::Param || base.imm != 0);
  }

  /// A load nobody else looks at that may be done here instead.
  bool is_movable_load(ValueId id, u32 barriers) const {
    if (id == NONE) return false;
    const Value& v = f_.values[id];
    return v.op == Op::Load && v.uses == 1 && v.block == block_ && !v.sign && !v.probe && !v.folded && place_[id] == barriers;
  }

  void visit(ValueId, Value& v, u32 barriers) {
    switch (v.op) {
      case Op::Add:
      case Op::Mul:
      case Op::And:
      case Op::Or:
      case Op::Xor:
        if (v.arg[0] != v.arg[1] && !may_fold(v.arg[1], v.width, barriers) && may_fold(v.arg[0], v.width, barriers) &&
            !is_const(v.arg[1]))
          std::swap(v.arg[0], v.arg[1]);
        [[fallthrough]];
      case Op::Sub:
        if (v.arg[0] != v.arg[1] && may_fold(v.arg[1], v.width, barriers)) f_.values[v.arg[1]].folded = true;
        return;
      case Op::Branch:
      case Op::Select:
        compare(v, barriers);
        return;
      case Op::Store:
        update(v, barriers);
        return;
      case Op::Sext:
        sign_extend(v);
        return;
      default:
        return;
    }
  }

  bool is_const(ValueId v) const { return f_.values[v].op == Op::Const; }
  bool may_fold(ValueId v, u8 width, u32 barriers) const { return is_movable_load(v, barriers) && f_.values[v].size == width; }

  void compare(Value& v, u32 barriers) {
    if (v.arg[0] == v.arg[1]) return;
    if (may_fold(v.arg[0], v.width, barriers)) {
      f_.values[v.arg[0]].folded = true;
    } else if (may_fold(v.arg[1], v.width, barriers)) {
      f_.values[v.arg[1]].folded = true;
    } else if (is_movable_load(v.arg[0], barriers) && f_.values[v.arg[0]].size < 4 && is_const(v.arg[1]) &&
               fits(v.cond, f_.values[v.arg[1]].imm, f_.values[v.arg[0]].size)) {
      f_.values[v.arg[0]].folded = true;
    }
  }

  /// The narrow comparison asks the same: neither side has more bits, and none is a sign.
  static bool fits(Cond c, s64 imm, u8 size) { return (c < Cond::Slt || c > Cond::Sge) && imm >= 0 && imm < s64{1} << size * 8; }

  /// memory = memory op x
  void update(Value& store, u32 barriers) {
    const ValueId changed = store.arg[2];
    const Value& op = f_.values[changed];
    const bool fits_op = op.op == Op::Add || op.op == Op::Sub || op.op == Op::And || op.op == Op::Or || op.op == Op::Xor;
    // A narrower operation makes the upper bytes zero: the same only for a mask that has none there.
    const bool whole = op.width >= store.size || (op.op == Op::And && is_const(op.arg[1]));
    if (!fits_op || !whole || op.uses != 1 || op.block != block_) return;
    if (store.arg[2] == store.arg[0] || store.arg[2] == store.arg[1]) return;
    for (u32 i = 0; i < (op.op == Op::Sub ? 1u : 2u); ++i) {
      const ValueId from = op.arg[i], other = op.arg[1 - i];
      if (from == other || !reads_same(from, store, barriers)) continue;
      // The other operand may have been meant to be read in place.
      f_.values[from].folded = false;
      f_.values[other].folded = false;
      store.op = Op::Update;
      store.sub = op.op;
      store.arg[2] = other;
      dropped_ = true;
      return;
    }
  }

  bool reads_same(ValueId id, const Value& store, u32 barriers) const {
    if (id == NONE) return false;
    const Value& v = f_.values[id];
    return v.op == Op::Load && v.uses == 1 && v.block == block_ && !v.probe && v.size == store.size && place_[id] == barriers &&
           v.arg[0] == store.arg[0] && v.arg[1] == store.arg[1] && v.scale == store.scale && v.disp == store.disp;
  }

  /// The load stays where it is: only its kind changes.
  void sign_extend(Value& v) {
    Value& load = f_.values[v.arg[0]];
    if (load.op != Op::Load || load.uses != 1 || load.folded || load.sign || load.probe || load.size != v.size) return;
    load.sign = true;
    load.width = v.width;
    // The extension is none any more.
    v.op = Op::Zext;
    v.size = 8;
    extended_ = true;
  }

 public:
  bool extended_ = false;  ///< there are copies
  bool dropped_ = false;   ///< a load and an operation have become part of a store

 private:
  Function& f_;
  Vec<u32> place_;
  BlockId block_ = 0;
};

/// Zext of all eight bytes: what the sign extensions above have become.
void drop_copies(Function& f) {
  const auto resolve = [&](ValueId& a) {
    while (f.values[a].op == Op::Zext && f.values[a].size == 8) a = f.values[a].arg[0];
  };
  for (Block& b : f.blocks)
    for (const ValueId v : b.values) each_operand(f, f.values[v], resolve);
}

}  // namespace

bool fuse(Function& f) {
  Fuser fuser(f);
  fuser.run();
  if (fuser.extended_) drop_copies(f);
  return fuser.extended_ || fuser.dropped_;
}

}  // namespace skep::jit
