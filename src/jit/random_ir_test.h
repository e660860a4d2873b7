// jit tests: functions in IR made at random: every operation, many values alive at once, loops, seldom taken ways, calls.
#pragma once
#include <random>

#include "jit/emit_fixture_test.h"

namespace skep::jit::test {

/// Param 1 points to MEMORY bytes, which loads and stores may touch; the others are scalars. Functions may call those behind them.
class RandomIr {
 public:
  static constexpr s32 MEMORY = 256, STACK = 64;
  struct Shape {
    u32 variables = 8, statements = 12, depth = 3, index = 0, functions = 1;
    bool calls = true;
  };

  RandomIr(u32 seed, const Shape& shape) : rng_(seed), shape_(shape) {}

  Function make() {
    b_.f.stack_bytes = STACK;
    base_ = b_.param(1);
    for (s64 i = 2; i <= 5; ++i) env_.push_back(b_.param(i));
    if (shape_.calls) b_.param(0);
    frame_ = b_.frame(-STACK);
    for (s32 i = 0; i < STACK; i += 8) b_.store(8, pick_value(), frame_, i);
    while (env_.size() < shape_.variables) env_.push_back(pick(3) == 0 ? constant() : b_.op(Op::Mul, pick_value(), constant()));
    sequence(shape_.statements, shape_.depth);
    ValueId sum = env_[0];
    for (std::size_t i = 1; i < env_.size(); ++i) sum = b_.op(Op::Add, b_.op(Op::Mul, sum, b_.constant(s64{31})), env_[i]);
    for (s32 i = 0; i < STACK; i += 8) sum = b_.op(Op::Xor, b_.op(Op::Rotl, sum, b_.constant(s64{7})), b_.load(8, frame_, i));
    b_.ret(sum);
    return b_.take();
  }

 private:
  u32 pick(u32 n) { return static_cast<u32>(rng_() % n); }
  s64 edge() {
    static constexpr s64 edges[] = {0,          1,           -1,        2,         3,         5,           7,          8,
                                    9,          16,          31,        32,        63,        64,          127,        128,
                                    -128,       -129,        255,       256,       0xffff,    0x10000,     0x7fffffff, 0x80000000,
                                    0xffffffff, 0x100000000, INT32_MIN, INT64_MIN, INT64_MAX, s64{1} << 40};
    if (pick(4) == 0) return static_cast<s64>(rng_());
    if (pick(4) == 0) return static_cast<s32>(rng_());
    return edges[pick(std::size(edges))];
  }
  ValueId constant() { return b_.constant(edge()); }
  ValueId pick_value() { return env_[pick(static_cast<u32>(env_.size()))]; }
  ValueId pick_any() { return pick(4) == 0 ? constant() : pick_value(); }
  u8 width() { return pick(2) ? 8 : 4; }
  u8 size() { return static_cast<u8>(1u << pick(4)); }
  Cond cond() { return static_cast<Cond>(pick(12)); }
  void set(ValueId v) { env_[pick(static_cast<u32>(env_.size()))] = v; }

  void sequence(u32 n, u32 depth) {
    for (u32 i = 0; i < n; ++i) statement(depth);
  }
  void statement(u32 depth) {
    const u32 kind = pick(20);
    if (kind < 9) return set(alu());
    if (kind < 11) return set(unary());
    if (kind < 12) return set(b_.select(cond(), pick_value(), pick_any(), pick_any(), pick_any(), width()));
    if (kind < 16) return access();
    if (kind == 16 && shape_.calls) return call();
    if (depth == 0) return set(alu());
    if (kind < 19) return choice(depth - 1);
    loop(depth - 1);
  }
  ValueId alu() {
    const Op op = static_cast<Op>(static_cast<u32>(Op::Add) + pick(static_cast<u32>(Op::MulHiS) - static_cast<u32>(Op::Add) + 1));
    const ValueId a = pick_any(), b = pick(3) == 0 ? constant() : pick_any();
    return b_.op(op, a, b, width());
  }
  ValueId unary() {
    switch (pick(5)) {
      case 0:
        return b_.op(Op::Neg, pick_any(), NONE, width());
      case 1:
        return b_.op(Op::Not, pick_any(), NONE, width());
      case 2:
        return b_.op(Op::Bswap, pick_any(), NONE, 8, static_cast<u8>(2u << pick(3)));
      case 3:
        return b_.op(Op::Zext, pick_any(), NONE, 8, static_cast<u8>(1u << pick(3)));
      default:
        return b_.op(Op::Sext, pick_any(), NONE, width(), static_cast<u8>(1u << pick(3)));
    }
  }
  /// A place in the memory or in the frame, for accesses of `bytes`.
  Value place(u8 bytes) {
    Value v;
    v.size = bytes;
    const bool stack = pick(3) == 0;
    v.arg[0] = stack ? frame_ : base_;
    const s32 room = stack ? STACK : MEMORY;
    if (pick(2)) {
      v.disp = static_cast<s32>(pick(static_cast<u32>(room / 8))) * 8;
    } else {
      v.scale = static_cast<u8>(pick(4));
      v.disp = static_cast<s32>(pick(static_cast<u32>(room / 2 / 8))) * 8;
      const s64 mask = (room / 2 - 1) >> v.scale & ~(s64{7} >> v.scale);
      v.arg[1] = b_.op(Op::And, pick_value(), b_.constant(mask));
    }
    return v;
  }
  void access() {
    const u32 kind = pick(10);
    Value v = place(kind >= 8 ? static_cast<u8>(pick(2) ? 8 : 4) : size());
    if (kind < 3) {
      v.op = Op::Load;
      v.sign = pick(2);
      v.width = width();
      if (v.size == 8) v.sign = false, v.width = 8;
      return set(b_.add(v));
    }
    if (kind == 3) return folded(v);
    v.arg[2] = pick_any();
    if (kind < 6)
      v.op = Op::Store;
    else if (kind < 8)
      v.op = Op::Update, v.sub = std::array{Op::Add, Op::Sub, Op::And, Op::Or, Op::Xor}[pick(5)];
    else if (kind == 8)
      v.op = Op::Atomic, v.imm = std::array{0, 1, 0x40, 0x41, 0x50, 0x51, 0xa0, 0xa1, 0xe1}[pick(9)];
    else
      v.op = Op::Cmpxchg, v.arg[3] = pick_any();
    const ValueId id = b_.add(v);
    if (v.op == Op::Cmpxchg || (v.op == Op::Atomic && (v.imm & BPF_FETCH) && pick(4) != 0)) set(id);
  }
  void folded(Value v) {
    v.op = Op::Load;
    if (v.size < 4) v.size = 4;
    const u8 bytes = v.size;
    v.folded = true;
    const ValueId a = pick_value(), m = b_.add(v);
    if (pick(2)) {
      const bool first = pick(2);
      const ValueId yes = pick_any(), no = pick_any();
      return set(b_.select(cond(), first ? m : a, first ? a : m, yes, no, bytes));
    }
    set(b_.op(std::array{Op::Add, Op::Sub, Op::And, Op::Or, Op::Xor, Op::Mul}[pick(6)], a, m, bytes));
  }
  void call() {
    if (shape_.index + 1 >= shape_.functions) return set(alu());
    const s64 to = shape_.index + 1 + pick(shape_.functions - shape_.index - 1);
    set(b_.call(Op::CallFunc, to, {base_, pick_any(), pick_any(), pick_any(), pick_any()}));
  }
  void choice(u32 depth) {
    const bool rare = pick(3) == 0;
    const u32 d = b_.f.blocks[b_.here].loop_depth;
    const BlockId yes = b_.block(d, rare), no = pick(2) ? b_.block(d) : NONE;
    const BlockId head = b_.here;
    const Cond c = cond();
    const ValueId x = pick_value(), y = pick_any();
    const u8 w = width();
    const std::vector<ValueId> before = env_;
    // Blocks stand in the order of the layout, so the one behind is made last.
    std::vector<std::pair<BlockId, std::vector<ValueId>>> ends;
    b_.at(yes);
    sequence(1 + pick(5), depth);
    ends.emplace_back(b_.here, env_);
    env_ = before;
    if (no != NONE) {
      b_.at(no);
      sequence(1 + pick(5), depth);
      ends.emplace_back(b_.here, env_);
    } else {
      ends.emplace_back(head, env_);
    }
    const BlockId join = b_.block(d);
    for (const auto& end : ends) {
      if (end.first == head) continue;
      b_.at(end.first);
      b_.jump(join);
    }
    b_.at(head);
    b_.branch(c, x, y, yes, no == NONE ? join : no, w);
    b_.at(join);
    for (std::size_t i = 0; i < env_.size(); ++i) {
      if (ends[0].second[i] == ends[1].second[i]) {
        env_[i] = ends[0].second[i];
        continue;
      }
      const ValueId phi = b_.phi();
      for (const auto& end : ends) b_.phi_arg(phi, end.first, end.second[i]);
      env_[i] = phi;
    }
  }
  void loop(u32 depth) {
    const BlockId before = b_.here;
    const u32 d = b_.f.blocks[before].loop_depth + 1;
    const ValueId zero = b_.constant(s64{0});
    const BlockId head = b_.block(d);
    b_.jump(head);
    b_.at(head);
    const ValueId i = b_.phi();
    b_.phi_arg(i, before, zero);
    std::vector<std::pair<ValueId, std::size_t>> phis;
    for (std::size_t k = 0; k < env_.size(); ++k) {
      if (pick(3) == 0) continue;  // stays as it is
      const ValueId phi = b_.phi();
      b_.phi_arg(phi, before, env_[k]);
      env_[k] = phi;
      phis.emplace_back(phi, k);
    }
    const std::vector<ValueId> at_head = env_;
    sequence(1 + pick(6), depth);
    const ValueId next = b_.op(Op::Add, i, b_.constant(s64{1}), width());
    const BlockId latch = b_.here;
    b_.phi_arg(i, latch, next);
    std::vector<ValueId> out = env_;
    for (const auto& [phi, k] : phis) b_.phi_arg(phi, latch, env_[k]);
    const BlockId after = b_.block(d - 1);
    if (pick(2))
      b_.branch(Cond::Ult, next, b_.constant(s64{1 + pick(5)}), head, after);
    else
      b_.branch(Cond::Uge, next, b_.constant(s64{1 + pick(5)}), after, head);
    b_.at(after);
    env_ = out;
  }

  std::mt19937_64 rng_;
  Shape shape_;
  IrBuilder b_;
  std::vector<ValueId> env_;
  ValueId base_ = NONE, frame_ = NONE;
};

}  // namespace skep::jit::test
