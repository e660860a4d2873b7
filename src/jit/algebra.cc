// jit: sums, products and bitwise operations in their simplest form.
//
// Values are copied before anything is put down: that moves them.
#include <bit>

#include "jit/simplifier.h"

namespace skep::jit {

ValueId Simplifier::add(Value& v, ValueId own) {
  const Value a = at(v.arg[0]), b = at(v.arg[1]);
  const bool inner_fits = a.width >= v.width;
  if (b.op == Op::Const) {
    const u64 c = static_cast<u64>(b.imm);
    if (c == 0) return at_width(v.width, v.arg[0]);
    if (a.op == Op::FrameAddr && v.width == 8) return free_value(Op::FrameAddr, static_cast<s64>(static_cast<u64>(a.imm) + c));
    if (a.op == Op::Add && inner_fits && is_const(a.arg[1])) return with_const(Op::Add, v.width, a.arg[0], const_of(a.arg[1]) + c);
    if (a.op == Op::Sub && inner_fits && is_const(a.arg[0]))
      return binary(Op::Sub, v.width, constant(fold_binary(Op::Add, v.width, const_of(a.arg[0]), c)), a.arg[1]);
    return NONE;
  }
  if (v.arg[0] == v.arg[1]) return with_const(Op::Shl, v.width, v.arg[0], 1);
  if (b.op == Op::Neg && b.width >= v.width) return binary(Op::Sub, v.width, v.arg[0], b.arg[0]);
  if (a.op == Op::Neg && inner_fits) return binary(Op::Sub, v.width, v.arg[1], a.arg[0]);
  if (const ValueId r = rotation(v); r != NONE) return r;
  // Constants to the outside, where addresses take them up.
  if (a.op == Op::Add && inner_fits && a.uses <= 1 && is_const(a.arg[1])) {
    const ValueId sum = binary(Op::Add, v.width, a.arg[0], v.arg[1]);
    v.arg[0] = sum, v.arg[1] = constant(const_of(a.arg[1]) & low_bytes(v.width));
    return put(v, own);
  }
  if (b.op == Op::Add && b.width >= v.width && b.uses <= 1 && is_const(b.arg[1])) {
    const ValueId sum = binary(Op::Add, v.width, v.arg[0], b.arg[0]);
    v.arg[0] = sum, v.arg[1] = constant(const_of(b.arg[1]) & low_bytes(v.width));
    return put(v, own);
  }
  return NONE;
}

ValueId Simplifier::sub(Value& v, ValueId own) {
  const Value a = at(v.arg[0]), b = at(v.arg[1]);
  if (b.op == Op::Const) {
    v.op = Op::Add;
    v.arg[1] = constant((0 - static_cast<u64>(b.imm)) & low_bytes(v.width));
    return put(v, own);
  }
  if (v.arg[0] == v.arg[1]) return constant(0);
  if (is_const(v.arg[0], 0)) {
    v.op = Op::Neg;
    v.arg[0] = v.arg[1], v.arg[1] = NONE;
    return put(v, own);
  }
  if (b.op == Op::Neg && b.width >= v.width) return binary(Op::Add, v.width, v.arg[0], b.arg[0]);
  // x - x / y * y, with nothing else to do with the quotient
  if (b.op == Op::Mul && b.width == v.width) {
    const Value& d = at(b.arg[0]);
    if ((d.op == Op::UDiv || d.op == Op::SDiv) && d.width == v.width && d.uses <= 1 && d.arg[0] == v.arg[0] && d.arg[1] == b.arg[1])
      return binary(d.op == Op::UDiv ? Op::UMod : Op::SMod, v.width, v.arg[0], b.arg[1]);
  }
  if (a.op != Op::Add || a.width < v.width) return NONE;
  if (a.arg[0] == v.arg[1]) return at_width(v.width, a.arg[1]);
  if (a.arg[1] == v.arg[1]) return at_width(v.width, a.arg[0]);
  if (a.uses > 1 || !is_const(a.arg[1])) return NONE;
  const ValueId difference = binary(Op::Sub, v.width, a.arg[0], v.arg[1]);
  return with_const(Op::Add, v.width, difference, const_of(a.arg[1]));
}

ValueId Simplifier::mul(Value& v, ValueId) {
  if (!is_const(v.arg[1])) return NONE;
  const u64 c = const_of(v.arg[1]), all = low_bytes(v.width);
  if (c == 0) return constant(0);
  if (c == 1) return at_width(v.width, v.arg[0]);
  if (c == all) return unary(Op::Neg, v.width, v.arg[0], v.width);
  if (std::has_single_bit(c)) return with_const(Op::Shl, v.width, v.arg[0], static_cast<u64>(std::countr_zero(c)));
  const Value a = at(v.arg[0]);
  if (a.width < v.width || a.arg[1] == NONE || !is_const(a.arg[1])) return NONE;
  if (a.op == Op::Mul) return with_const(Op::Mul, v.width, a.arg[0], const_of(a.arg[1]) * c);
  if (a.op == Op::Shl && a.width == v.width)
    return with_const(Op::Mul, v.width, a.arg[0], c << (const_of(a.arg[1]) & (v.width * 8u - 1)));
  return NONE;
}

ValueId Simplifier::bit_and(Value& v, ValueId own) {
  if (v.arg[0] == v.arg[1]) return at_width(v.width, v.arg[0]);
  if (!is_const(v.arg[1])) return NONE;
  const u64 all = low_bytes(v.width), c = const_of(v.arg[1]) & all, may = ones(v.arg[0]) & all;
  if ((may & c) == 0) return constant(0);
  if ((may & ~c) == 0) return at_width(v.width, v.arg[0]);
  if (c == 0xff || c == 0xffff || c == 0xffffffff) return zext(c == 0xff ? 1 : c == 0xffff ? 2 : 4, v.arg[0]);
  if (v.width == 8 && c <= 0xffffffff) {
    v.width = 4;
    return put(v, own);
  }
  const Value a = at(v.arg[0]);
  if (a.op == Op::And && is_const(a.arg[1]))
    return with_const(Op::And, std::min(a.width, v.width), a.arg[0], const_of(a.arg[1]) & c);
  if (a.op == Op::Zext && (c & ~low_bytes(a.size)) == 0) return with_const(Op::And, v.width, a.arg[0], c);
  return NONE;
}

ValueId Simplifier::bit_or(Value& v, ValueId) {
  if (v.arg[0] == v.arg[1]) return at_width(v.width, v.arg[0]);
  if (!is_const(v.arg[1])) return rotation(v);
  const u64 c = const_of(v.arg[1]);
  if (c == 0) return at_width(v.width, v.arg[0]);
  if (c == low_bytes(v.width)) return constant(c);
  const Value a = at(v.arg[0]);
  if (a.op == Op::Or && a.width == v.width && is_const(a.arg[1]))
    return with_const(Op::Or, v.width, a.arg[0], const_of(a.arg[1]) | c);
  return NONE;
}

ValueId Simplifier::bit_xor(Value& v, ValueId) {
  if (v.arg[0] == v.arg[1]) return constant(0);
  const Value a = at(v.arg[0]);
  if (!is_const(v.arg[1])) {
    if (a.op == Op::Xor && a.width == v.width && a.arg[1] == v.arg[1]) return at_width(v.width, a.arg[0]);
    return rotation(v);
  }
  const u64 c = const_of(v.arg[1]);
  if (c == 0) return at_width(v.width, v.arg[0]);
  if (c == low_bytes(v.width)) return unary(Op::Not, v.width, v.arg[0], v.width);
  if (a.op == Op::Xor && a.width == v.width && is_const(a.arg[1]))
    return with_const(Op::Xor, v.width, a.arg[0], const_of(a.arg[1]) ^ c);
  return NONE;
}

/// c ? x + y : x is x + (c ? y : 0).
ValueId Simplifier::add_chosen(const Value& v, ValueId sum, ValueId bare, bool negated) {
  const Value s = at(sum);
  if (s.uses > 1 || (s.op != Op::Add && s.op != Op::Sub && s.op != Op::Or && s.op != Op::Xor)) return NONE;
  if (s.width == 4 && ones(bare) > 0xffffffff) return NONE;
  const bool right = s.arg[1] == bare && s.op != Op::Sub;
  if (s.arg[0] != bare && !right) return NONE;
  const ValueId what = s.arg[right ? 0 : 1], none = constant(0);
  if (what == bare) return NONE;
  return binary(s.op, s.width, bare, select(v.cond, v.width, v.arg[0], v.arg[1], negated ? none : what, negated ? what : none));
}

ValueId Simplifier::choose(Value& v, ValueId own) {
  const Value before = v;
  if (const int known = simplify_condition(v); known >= 0) return v.arg[known == 1 ? 2 : 3];
  const ValueId yes = v.arg[2], no = v.arg[3];
  if (yes == no) return yes;
  const bool equal = v.cond == Cond::Eq, unequal = v.cond == Cond::Ne;
  if ((equal || unequal) && v.width == 8) {
    // x == y ? y : x
    const ValueId if_equal = equal ? yes : no, otherwise = equal ? no : yes;
    if ((if_equal == v.arg[1] && otherwise == v.arg[0]) || (if_equal == v.arg[0] && otherwise == v.arg[1])) return otherwise;
  }
  // c ? x + y : x: the longer way is the sum's then
  if (const ValueId r = add_chosen(v, yes, no, false); r != NONE) return r;
  if (const ValueId r = add_chosen(v, no, yes, true); r != NONE) return r;
  // What the total division does by itself: y != 0 ? x / y : 0.
  if ((equal || unequal) && is_const(v.arg[1], 0)) {
    const ValueId divided = equal ? no : yes, instead = equal ? yes : no;
    const Value& d = at(divided);
    const bool is_div = d.op == Op::UDiv || d.op == Op::SDiv, is_mod = d.op == Op::UMod || d.op == Op::SMod;
    if ((is_div || is_mod) && d.width <= v.width && strip(d.arg[1], d.width) == strip(v.arg[0], d.width)) {
      if (is_div && is_const(instead, 0)) return divided;
      if (is_mod && strip(instead, d.width) == strip(d.arg[0], d.width) && (ones(instead) & ~low_bytes(d.width)) == 0)
        return divided;
    }
  }
  const bool changed = before.cond != v.cond || before.width != v.width || before.arg[0] != v.arg[0] || before.arg[1] != v.arg[1];
  return changed ? put(v, own) : NONE;
}

}  // namespace skep::jit
