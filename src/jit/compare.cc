// jit: comparisons in their simplest form.
#include <utility>

#include "jit/simplifier.h"

namespace skep::jit {
namespace {

bool is_equality(Cond c) noexcept { return c == Cond::Eq || c == Cond::Ne; }
bool is_test(Cond c) noexcept { return c == Cond::Test || c == Cond::TestZ; }
bool is_signed(Cond c) noexcept { return c >= Cond::Slt && c <= Cond::Sge; }
Cond as_unsigned(Cond c) noexcept {
  return is_signed(c) ? static_cast<Cond>(static_cast<u8>(c) - static_cast<u8>(Cond::Slt) + static_cast<u8>(Cond::Ult)) : c;
}
bool fits_s32(u64 v) noexcept { return static_cast<u64>(static_cast<s64>(static_cast<s32>(v))) == v; }

}  // namespace

int Simplifier::simplify_condition(Value& v) {
  for (u32 turn = 0; turn < 8; ++turn) {
    const Value before = v;
    if (v.width == 4)
      for (u32 i = 0; i < 2; ++i) {
        v.arg[i] = strip(v.arg[i], 4);
        if (is_const(v.arg[i])) v.arg[i] = constant(static_cast<u32>(const_of(v.arg[i])));
      }
    if (is_const(v.arg[0]) && !is_const(v.arg[1])) {
      std::swap(v.arg[0], v.arg[1]);
      v.cond = swap_operands(v.cond);
    }
    if (const int known = known_condition(v); known >= 0) return known;
    narrow_condition(v);
    shift_condition(v);
    if (condition_of_select(v)) continue;
    if (v.cond == before.cond && v.width == before.width && v.arg[0] == before.arg[0] && v.arg[1] == before.arg[1]) break;
  }
  return known_condition(v);
}

/// Half the width, where that asks the same.
void Simplifier::narrow_condition(Value& v) {
  if (v.width != 8) return;
  const u64 a_may = ones(v.arg[0]), b_may = ones(v.arg[1]);
  if (is_test(v.cond)) {
    if ((a_may & b_may) <= 0xffffffff && (a_may <= 0xffffffff || b_may <= 0xffffffff)) v.width = 4;
    return;
  }
  if (a_may <= 0xffffffff && b_may <= 0xffffffff) {
    v.width = 4;
    v.cond = as_unsigned(v.cond);
    return;
  }
  // Sign extension keeps every order.
  const Value& a = at(v.arg[0]);
  if (a.op != Op::Sext || a.size != 4) return;
  const Value& b = at(v.arg[1]);
  const ValueId x = a.arg[0];
  if (b.op == Op::Sext && b.size == 4) {
    v.arg[0] = x;
    v.arg[1] = b.arg[0];
    v.width = 4;
  } else if (b.op == Op::Const && fits_s32(static_cast<u64>(b.imm))) {
    v.arg[0] = x;
    v.arg[1] = constant(static_cast<u32>(b.imm));
    v.width = 4;
  }
}

/// Comparisons with constants.
void Simplifier::shift_condition(Value& v) {
  if (is_test(v.cond) && v.arg[0] == v.arg[1]) {
    v.cond = v.cond == Cond::Test ? Cond::Ne : Cond::Eq;
    v.arg[1] = constant(0);
  }
  if (!is_const(v.arg[1])) return;
  const u64 all = low_bytes(v.width), c = const_of(v.arg[1]) & all;
  const Value a = at(v.arg[0]);
  if (is_test(v.cond)) {
    if (a.op == Op::And && is_const(a.arg[1])) {
      v.arg[0] = a.arg[0];
      v.arg[1] = constant(const_of(a.arg[1]) & c);
    } else if ((ones(v.arg[0]) & all & ~c) == 0) {
      v.cond = v.cond == Cond::Test ? Cond::Ne : Cond::Eq;
      v.arg[1] = constant(0);
    }
    return;
  }
  if (c == 1 && (v.cond == Cond::Ult || v.cond == Cond::Uge)) {
    v.cond = v.cond == Cond::Ult ? Cond::Eq : Cond::Ne;
    v.arg[1] = constant(0);
    return;
  }
  if (c == 0 && (v.cond == Cond::Ugt || v.cond == Cond::Ule)) v.cond = v.cond == Cond::Ugt ? Cond::Ne : Cond::Eq;
  if (!is_equality(v.cond)) return;
  // A sum that is needed anyway is better compared itself: what it was made from may end with it.
  if (a.op == Op::Add && a.width == v.width && a.uses <= 1 && is_const(a.arg[1])) {
    v.arg[0] = a.arg[0];
    v.arg[1] = constant((c - const_of(a.arg[1])) & all);
    return;
  }
  if (c != 0) return;
  if ((a.op == Op::Sub || a.op == Op::Xor) && a.width == v.width && a.uses <= 1) {
    v.arg[0] = a.arg[0];
    v.arg[1] = a.arg[1];
  } else if (a.op == Op::And && a.width <= v.width && (a.uses <= 1 || is_const(a.arg[1]))) {
    v.cond = v.cond == Cond::Eq ? Cond::TestZ : Cond::Test;
    v.width = a.width;
    v.arg[0] = a.arg[0];
    v.arg[1] = a.arg[1];
  } else if (a.op == Op::Zext && a.size <= v.width) {
    v.cond = v.cond == Cond::Eq ? Cond::TestZ : Cond::Test;
    v.width = 4;
    v.arg[0] = a.arg[0];
    v.arg[1] = constant(low_bytes(a.size));
  } else if (a.op == Op::Shl && a.width == 8 && v.width == 8 && is_const(a.arg[1], 32)) {
    v.width = 4;
    v.arg[0] = a.arg[0];
  }
}

int Simplifier::known_condition(const Value& v) const {
  const u64 all = low_bytes(v.width);
  if (is_const(v.arg[0]) && is_const(v.arg[1])) return fold_cond(v.cond, v.width, const_of(v.arg[0]), const_of(v.arg[1])) ? 1 : 0;
  if (v.arg[0] == v.arg[1] && !is_test(v.cond)) return fold_cond(v.cond, v.width, 0, 0) ? 1 : 0;
  if (is_test(v.cond)) return (ones(v.arg[0]) & ones(v.arg[1]) & all) == 0 ? (v.cond == Cond::TestZ ? 1 : 0) : -1;
  if (!is_const(v.arg[1])) return -1;
  const u64 c = const_of(v.arg[1]) & all, may = ones(v.arg[0]) & all;
  switch (v.cond) {
    case Cond::Eq:
    case Cond::Ne:
      if (is_nonzero(v.arg[0]) && c == 0 && v.width == 8) return v.cond == Cond::Ne ? 1 : 0;
      return (c & ~may) != 0 ? (v.cond == Cond::Ne ? 1 : 0) : -1;
    case Cond::Ult:
      return may < c ? 1 : c == 0 ? 0 : -1;
    case Cond::Ule:
      return may <= c ? 1 : -1;
    case Cond::Ugt:
      return may <= c ? 0 : -1;
    case Cond::Uge:
      return may < c ? 0 : c == 0 ? 1 : -1;
    default:
      return -1;
  }
}

/// A question about a Select whose answer is that of its own condition becomes that.
bool Simplifier::condition_of_select(Value& v) {
  if (!is_const(v.arg[1]) || is_test(v.cond)) return false;
  const Value s = at(v.arg[0]);
  if (s.op != Op::Select) return false;
  const auto answer = [&](ValueId arm) {
    Value asked = v;
    asked.arg[0] = arm;
    return known_condition(asked);
  };
  const int yes = answer(s.arg[2]), no = answer(s.arg[3]);
  if (yes < 0 || no < 0) return false;
  if (yes == no) {
    v.arg[0] = v.arg[1];
    v.cond = yes == 1 ? Cond::Eq : Cond::Ne;
    return true;
  }
  v.cond = yes == 1 ? s.cond : negate(s.cond);
  v.width = s.width;
  v.arg[0] = s.arg[0];
  v.arg[1] = s.arg[1];
  return true;
}

}  // namespace skep::jit
