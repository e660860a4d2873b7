// jit: division and remainder by constants, as multiplications and shifts. After Granlund and Montgomery, "Division by invariant
// integers using multiplication", PLDI 1994.
#include <bit>

#include "jit/simplifier.h"

namespace skep::jit {
namespace {

__extension__ typedef unsigned __int128 Wide;

}  // namespace

ValueId Simplifier::divide(Value& v, ValueId own) {
  const bool is_signed = v.op == Op::SDiv || v.op == Op::SMod, is_div = v.op == Op::UDiv || v.op == Op::SDiv;
  if (is_const(v.arg[0], 0)) return v.arg[0];
  if (!is_signed && v.width == 8 && ones(v.arg[0]) <= 0xffffffff && ones(v.arg[1]) <= 0xffffffff) {
    v.width = 4;
    return put(v, own);
  }
  if (!is_const(v.arg[1])) return NONE;
  const u64 c = const_of(v.arg[1]) & low_bytes(v.width);
  if (c == 0) return is_div ? constant(0) : at_width(v.width, v.arg[0]);
  if (c == 1) return is_div ? at_width(v.width, v.arg[0]) : constant(0);
  const u64 sign = u64{1} << (v.width * 8 - 1);
  if (is_signed && c == low_bytes(v.width)) return is_div ? unary(Op::Neg, v.width, v.arg[0], v.width) : constant(0);
  if (is_signed && c == sign) return NONE;
  if (is_signed && (ones(v.arg[0]) & sign) == 0 && (c & sign) == 0) {
    v.op = is_div ? Op::UDiv : Op::UMod;
    return put(v, own);
  }
  if (!is_signed && std::has_single_bit(c))
    return is_div ? with_const(Op::Shr, v.width, v.arg[0], static_cast<u64>(std::countr_zero(c)))
                  : with_const(Op::And, v.width, v.arg[0], c - 1);
  const s64 by = v.width == 8 ? static_cast<s64>(c) : static_cast<s32>(c);
  const Value whole = v;
  const ValueId quotient = is_signed ? divide_signed(whole, by) : divide_unsigned(whole, c);
  if (is_div) return quotient;
  return binary(Op::Sub, v.width, whole.arg[0], with_const(Op::Mul, v.width, quotient, c));
}

/// REQUIRES: `by` is no power of two.
ValueId Simplifier::divide_unsigned(const Value& v, u64 by) {
  ValueId x = at_width(v.width, v.arg[0]);
  if (v.width == 4) {
    for (u32 s = 0; s < 32; ++s) {
      const u64 power = u64{1} << (32 + s), m = power / by + 1;
      if (m > 0xffffffff) break;
      if (m * by - power <= u64{1} << s) return with_const(Op::Shr, 8, with_const(Op::Mul, 8, x, m), 32 + s);
    }
    return with_const(Op::MulHiU, 8, x, ~u64{0} / by + 1);
  }
  const u32 bits = static_cast<u32>(std::bit_width(by));  // of a number of 64 bits the quotient by `by` is below 2^(65 - bits)
  if (bits == 64) return select(Cond::Uge, 8, x, constant(by), constant(1), constant(0));
  const auto multiplier = [&](u32 s, u64 d, u32 slack, u64* m) {
    const Wide power = static_cast<Wide>(1) << (64 + s), wide = power / d + 1;
    *m = static_cast<u64>(wide);
    return wide <= ~u64{0} && wide * d - power <= static_cast<Wide>(1) << (s + slack);
  };
  u64 m;
  for (u32 s = 0; s < bits; ++s)
    if (multiplier(s, by, 0, &m)) return with_const(Op::Shr, 8, with_const(Op::MulHiU, 8, x, m), s);
  if (const u32 even = static_cast<u32>(std::countr_zero(by)); even != 0) {
    for (u32 s = 0; s < bits; ++s)
      if (multiplier(s, by >> even, even, &m))
        return with_const(Op::Shr, 8, with_const(Op::MulHiU, 8, with_const(Op::Shr, 8, x, even), m), s);
  }
  // A multiplier of 65 bits, of which `m` are the low ones.
  multiplier(bits, by, 0, &m);
  const ValueId high = with_const(Op::MulHiU, 8, x, m);
  const ValueId half = with_const(Op::Shr, 8, binary(Op::Sub, 8, x, high), 1);
  return with_const(Op::Shr, 8, binary(Op::Add, 8, half, high), bits - 1);
}

/// REQUIRES: `by` is not 0, 1, -1 or the most negative number.
ValueId Simplifier::divide_signed(const Value& v, s64 by) {
  const u64 d = by < 0 ? 0 - static_cast<u64>(by) : static_cast<u64>(by);
  const u32 bits = v.width * 8u;
  ValueId q;
  if (std::has_single_bit(d)) {
    // Rounds towards zero: negative numbers get d - 1 added.
    const u32 k = static_cast<u32>(std::countr_zero(d));
    const ValueId minus = with_const(Op::Sar, v.width, v.arg[0], bits - 1);
    const ValueId bias = with_const(Op::Shr, v.width, minus, bits - k);
    q = with_const(Op::Sar, v.width, binary(Op::Add, v.width, v.arg[0], bias), k);
  } else if (v.width == 4) {
    const u32 s = static_cast<u32>(std::bit_width(d)) - 1;
    const u64 m = (u64{1} << (32 + s)) / d + 1;
    const ValueId x = unary(Op::Sext, 4, v.arg[0]);
    const ValueId down = with_const(Op::Sar, 8, with_const(Op::Mul, 8, x, m), 32 + s);
    q = binary(Op::Add, 4, down, with_const(Op::Shr, 4, v.arg[0], 31));
  } else {
    const u32 s = static_cast<u32>(std::bit_width(d)) - 1;
    const u64 m = static_cast<u64>((static_cast<Wide>(1) << (64 + s)) / d + 1);
    const ValueId high = binary(Op::Add, 8, with_const(Op::MulHiS, 8, v.arg[0], m), v.arg[0]);
    q = binary(Op::Add, 8, with_const(Op::Sar, 8, high, s), with_const(Op::Shr, 8, v.arg[0], 63));
  }
  return by < 0 ? unary(Op::Neg, v.width, q, v.width) : q;
}

}  // namespace skep::jit
