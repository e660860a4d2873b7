// jit: whether a function is well formed.
#include <fmt/format.h>

#include "jit/dom.h"
#include "jit/operands.h"

namespace skep::jit {
namespace {

struct Shape {
  u32 needs, may;  ///< operands, a bit each
};

Shape shape(Op op) {
  switch (op) {
    case Op::Const:
    case Op::FrameAddr:
    case Op::FuncAddr:
    case Op::Param:
    case Op::Phi:
    case Op::Jump:
    case Op::Trap:
      return {0, 0};
    case Op::Select:
      return {15, 0};
    case Op::Lea:
    case Op::Load:
      return {0, 3};
    case Op::Store:
    case Op::Update:
    case Op::Atomic:
      return {4, 3};
    case Op::Cmpxchg:
      return {12, 3};
    case Op::CallHelper:
    case Op::CallFunc:
    case Op::CallGate:
      return {0, 31};
    case Op::TailCall:
      return {7, 0};
    case Op::Branch:
      return {3, 0};
    case Op::Ret:
      return {1, 0};
    default:
      return is_binary(op) ? Shape{3, 0} : Shape{1, 0};
  }
}

class Checker {
 public:
  explicit Checker(const Function& f) : f_(f), place_(f.values.size(), NONE), dom_(f) {}

  std::string run() {
    std::string s = places();
    edges_to_.assign(f_.blocks.size(), 0);
    seen_from_.assign(f_.blocks.size(), NONE);
    for (const Block& b : f_.blocks)
      for (const BlockId t : b.succs)
        if (t < f_.blocks.size()) ++edges_to_[t];
    for (BlockId b = 0; b < f_.blocks.size() && s.empty(); ++b) s = block(b);
    return s;
  }

 private:
  std::string places() {
    for (BlockId b = 0; b < f_.blocks.size(); ++b) {
      const auto& values = f_.blocks[b].values;
      for (u32 i = 0; i < values.size(); ++i) {
        if (values[i] >= f_.values.size()) return fmt::format("b{}: no value {}", b, values[i]);
        if (place_[values[i]] != NONE) return fmt::format("v{} stands twice", values[i]);
        if (f_.values[values[i]].block != b)
          return fmt::format("v{} stands in b{}, names b{}", values[i], b, f_.values[values[i]].block);
        place_[values[i]] = i;
        const Value& v = f_.values[values[i]];
        if (v.op == Op::Phi && (v.imm < 0 || static_cast<u64>(v.imm) + f_.blocks[b].preds.size() > f_.phi_args.size()))
          return fmt::format("v{}: operands of the phi", values[i]);
        std::string error;
        each_operand(f_, f_.values[values[i]], [&](ValueId a) {
          if (a >= f_.values.size()) {
            error = fmt::format("v{}: no value {}", values[i], a);
            return;
          }
          ++users_[a];
          last_user_[a] = values[i];
        });
        if (!error.empty()) return error;
      }
    }
    return "";
  }

  std::string edges(BlockId id) {
    const Block& b = f_.blocks[id];
    if (id == 0 && !b.preds.empty()) return "the entry has predecessors";
    if (id != 0 && b.preds.empty()) return fmt::format("b{} is not reached", id);
    if (b.succs[0] == b.succs[1] && b.succs[0] != NONE) return fmt::format("b{} branches to one place", id);
    for (const BlockId s : b.succs)
      if (s != NONE && s >= f_.blocks.size()) return fmt::format("b{}: no block {}", id, s);
    if (b.preds.size() != edges_to_[id]) return fmt::format("b{} has {} predecessors, not {}", id, edges_to_[id], b.preds.size());
    for (const BlockId p : b.preds) {
      if (f_.blocks[p].succs[0] != id && f_.blocks[p].succs[1] != id) return fmt::format("b{} is no successor of b{}", id, p);
      if (seen_from_[p] == id) return fmt::format("b{} is a predecessor of b{} twice", p, id);
      seen_from_[p] = id;
    }
    return "";
  }

  std::string block(BlockId id) {
    const Block& b = f_.blocks[id];
    if (std::string s = edges(id); !s.empty()) return s;
    if (b.values.empty() || !is_terminator(f_.values[b.values.back()].op)) return fmt::format("b{} has no end", id);
    const Op end = f_.values[b.values.back()].op;
    if (f_.n_succs(b) != (end == Op::Jump ? 1u : end == Op::Branch ? 2u : 0u))
      return fmt::format("b{} ends with wrong successors", id);
    bool phis = true;
    for (u32 i = 0; i < b.values.size(); ++i) {
      const Value& v = f_.values[b.values[i]];
      if (is_terminator(v.op) != (i + 1 == b.values.size())) return fmt::format("b{} ends in its middle", id);
      if (v.op == Op::Phi && !phis) return fmt::format("v{}: a phi behind others", b.values[i]);
      phis &= v.op == Op::Phi;
      if (std::string s = value(b.values[i], v, i); !s.empty()) return fmt::format("v{}: {}", b.values[i], s);
    }
    return "";
  }

  std::string value(ValueId id, const Value& v, u32 at) const {
    if (v.width != 4 && v.width != 8) return "width";
    if (v.size != 1 && v.size != 2 && v.size != 4 && v.size != 8) return "size";
    if (v.op == Op::Param && v.imm > 5) return "which parameter";
    if (v.scale > 3) return "scale";
    if (v.op == Op::Phi) return phi(v);
    const Shape s = shape(v.op);
    for (u32 i = 0; i < 5; ++i) {
      if ((s.needs >> i & 1) != 0 && v.arg[i] == NONE) return fmt::format("operand {} is missing", i);
      if (((s.needs | s.may) >> i & 1) == 0 && v.arg[i] != NONE) return fmt::format("operand {} is too many", i);
      if (v.arg[i] == NONE) continue;
      if (std::string e = operand(v.arg[i], v.block, at); !e.empty()) return e;
    }
    return v.folded ? folded(id, v, at) : "";
  }

  /// `a` must be there at place `at` of block b.
  std::string operand(ValueId a, BlockId b, u32 at) const {
    if (a >= f_.values.size() || place_[a] == NONE) return fmt::format("v{} stands nowhere", a);
    const Value& v = f_.values[a];
    if (!has_result(v.op)) return fmt::format("v{} has no value", a);
    const bool before = v.block == b ? place_[a] < at : dom_.dominates(v.block, b);
    return before ? "" : fmt::format("v{} is not there yet", a);
  }

  std::string phi(const Value& v) const {
    const auto& preds = f_.blocks[v.block].preds;
    for (u32 i = 0; i < preds.size(); ++i)
      if (std::string e = operand(f_.phi_args[static_cast<u64>(v.imm) + i], preds[i], ~0u); !e.empty()) return e;
    return "";
  }

  std::string folded(ValueId id, const Value& v, u32 at) const {
    if (v.op != Op::Load || v.sign || v.probe) return "folded, and no plain load";
    if (users_[id] != 1) return "folded, with other than one user";
    const ValueId u = last_user_[id];
    if (f_.values[u].block != v.block || !may_take(f_.values[u], id)) return fmt::format("folded into v{}", u);
    for (u32 i = at + 1; i < place_[u]; ++i)
      if (writes_memory(f_.values[f_.blocks[v.block].values[i]])) return "folded over a write";
    return "";
  }

  bool may_take(const Value& user, ValueId id) const {
    const Value& v = f_.values[id];
    const bool compares = user.op == Op::Branch || user.op == Op::Select;
    if (compares) {
      if (user.arg[0] != id && user.arg[1] != id) return false;
      const Value& other = f_.values[user.arg[user.arg[0] == id ? 1 : 0]];
      if (other.folded) return false;
      return v.size == user.width || (v.size < 4 && user.arg[0] == id && other.op == Op::Const);
    }
    const bool takes = user.op == Op::Add || user.op == Op::Sub || user.op == Op::And || user.op == Op::Or || user.op == Op::Xor ||
                       user.op == Op::Mul;
    return takes && user.arg[1] == id && user.arg[0] != id && v.size == user.width;
  }

  const Function& f_;
  std::vector<u32> place_, edges_to_;
  std::vector<BlockId> seen_from_;  ///< of a block: which one's predecessor it was last
  std::vector<u32> users_ = std::vector<u32>(f_.values.size(), 0);
  std::vector<ValueId> last_user_ = std::vector<ValueId>(f_.values.size(), NONE);
  Dominators dom_;
};

}  // namespace

std::string check(const Function& f) {
  if (f.blocks.empty()) return "no blocks";
  // The dominator tree needs predecessors that exist.
  for (const Block& b : f.blocks)
    for (const BlockId p : b.preds)
      if (p >= f.blocks.size()) return "no such predecessor";
  return Checker(f).run();
}

}  // namespace skep::jit
