// jit: shifts, rotations, extensions and swaps in their simplest form.
#include "jit/simplifier.h"

namespace skep::jit {

/// Of a count only the low five or six bits matter.
void Simplifier::strip_count(Value& v) {
  const u64 mask = v.width * 8u - 1;
  while (true) {
    const Value& n = at(v.arg[1]);
    const bool extends = n.op == Op::Zext || n.op == Op::Sext;
    const bool masks = n.op == Op::And && is_const(n.arg[1]) && (const_of(n.arg[1]) & mask) == mask;
    if (!extends && !masks) return;
    v.arg[1] = n.arg[0];
  }
}

ValueId Simplifier::shift(Value& v, ValueId own) {
  strip_count(v);
  if (is_const(v.arg[0], 0)) return v.arg[0];
  if (!is_const(v.arg[1])) return NONE;
  const u32 n = static_cast<u32>(const_of(v.arg[1])) & (v.width * 8u - 1);
  if (n == 0) return at_width(v.width, v.arg[0]);
  v.arg[1] = constant(n);
  switch (v.op) {
    case Op::Shl:
      return shift_left(v, own, n);
    case Op::Rotl: {
      const Value a = at(v.arg[0]);
      if (a.op == Op::Rotl && a.width == v.width && is_const(a.arg[1]))
        return with_const(Op::Rotl, v.width, a.arg[0], (const_of(a.arg[1]) + n) % (v.width * 8u));
      return NONE;
    }
    default:
      return shift_right(v, own, n);
  }
}

ValueId Simplifier::shift_left(Value& v, ValueId own, u32 n) {
  const u32 bits = v.width * 8u;
  if ((ones(v.arg[0]) << n & low_bytes(v.width)) == 0) return constant(0);
  if (v.width == 8 && n >= 32) {
    const ValueId bare = strip(v.arg[0], n >= 56 ? 1 : n >= 48 ? 2 : 4);
    if (bare != v.arg[0]) {
      v.arg[0] = bare;
      return put(v, own);
    }
  }
  const Value a = at(v.arg[0]);
  if (a.arg[1] == NONE || a.width < v.width || !is_const(a.arg[1])) return NONE;
  const u32 k = static_cast<u32>(const_of(a.arg[1])) & (a.width * 8u - 1);
  if (a.op == Op::Shl) return k + n >= bits ? constant(0) : with_const(Op::Shl, v.width, a.arg[0], k + n);
  if ((a.op == Op::Shr || a.op == Op::Sar) && k == n && a.width == v.width)
    return with_const(Op::And, v.width, a.arg[0], ~u64{0} << n);
  return NONE;
}

ValueId Simplifier::shift_right(Value& v, ValueId own, u32 n) {
  const u32 bits = v.width * 8u;
  const u64 all = low_bytes(v.width), may = ones(v.arg[0]) & all;
  const bool arithmetic = v.op == Op::Sar;
  if (arithmetic && (may >> (bits - 1)) == 0) {
    v.op = Op::Shr;
    return put(v, own);
  }
  if (!arithmetic && may >> n == 0) return constant(0);
  if (!arithmetic && v.width == 8 && may <= 0xffffffff) {
    v.width = 4;
    return put(v, own);
  }
  const Value a = at(v.arg[0]);
  if (a.op == Op::Bswap && !arithmetic && a.size == v.width && n == bits / 2) {
    return unary(Op::Bswap, static_cast<u8>(a.size / 2), a.arg[0]);
  }
  if (a.arg[1] == NONE || a.width != v.width || !is_const(a.arg[1])) return NONE;
  const u32 k = static_cast<u32>(const_of(a.arg[1])) & (bits - 1);
  if (a.op == v.op) {
    if (k + n < bits) return with_const(v.op, v.width, a.arg[0], k + n);
    return arithmetic ? with_const(Op::Sar, v.width, a.arg[0], bits - 1) : constant(0);
  }
  if (a.op != Op::Shl) return NONE;
  // (x << k) >> n
  ValueId whole = NONE;  // x, as far as bits of it are not lost
  const u64 x_may = ones(a.arg[0]) & all;
  const u32 left = bits - k;
  if (left == 32 || left == 16 || left == 8)
    whole = unary(arithmetic ? Op::Sext : Op::Zext, static_cast<u8>(left / 8), a.arg[0], arithmetic ? v.width : 8);
  else if (!arithmetic && (x_may << k & all) >> k == x_may)
    whole = at_width(v.width, a.arg[0]);
  else if (!arithmetic && k == n)
    return with_const(Op::And, v.width, a.arg[0], all >> n);
  if (whole == NONE) return NONE;
  if (k == n) return whole;
  return n > k ? with_const(v.op, v.width, whole, n - k) : with_const(Op::Shl, v.width, whole, k - n);
}

/// x << n | x >> (width - n), by a constant or not.
ValueId Simplifier::rotation(const Value& v) {
  Value l = at(v.arg[0]), r = at(v.arg[1]);
  if (l.op == Op::Shr) std::swap(l, r);
  if (l.op != Op::Shl || r.op != Op::Shr || r.width != v.width || l.width < v.width) return NONE;
  if (strip(l.arg[0], v.width) != strip(r.arg[0], v.width)) return NONE;
  const u64 bits = v.width * 8u;
  const Value n = at(l.arg[1]), m = at(r.arg[1]);
  if (n.op == Op::Const && m.op == Op::Const) {
    if (n.imm <= 0 || m.imm <= 0 || static_cast<u64>(n.imm) + static_cast<u64>(m.imm) != bits) return NONE;
    return with_const(Op::Rotl, v.width, r.arg[0], static_cast<u64>(n.imm));
  }
  // By nothing at all the two halves are the same: only `|` does not mind.
  if (v.op != Op::Or || l.width != v.width) return NONE;
  const auto complements = [&](const Value& a, ValueId b) {
    if (a.op == Op::Neg) return strip(a.arg[0], 1) == strip(b, 1);
    return a.op == Op::Sub && is_const(a.arg[0]) && const_of(a.arg[0]) % bits == 0 && strip(a.arg[1], 1) == strip(b, 1);
  };
  if (complements(m, l.arg[1]) || complements(n, r.arg[1])) return binary(Op::Rotl, v.width, r.arg[0], l.arg[1]);
  return NONE;
}

namespace {

/// Operations whose low half comes from the low halves of their operands.
bool works_from_below(Op op) noexcept {
  return op == Op::Add || op == Op::Sub || op == Op::Mul || op == Op::And || op == Op::Or || op == Op::Xor || op == Op::Neg ||
         op == Op::Not;
}

}  // namespace

ValueId Simplifier::zero_extend(Value& v, ValueId own) {
  if ((ones(v.arg[0]) & ~low_bytes(v.size)) == 0) return v.arg[0];
  const ValueId bare = strip(v.arg[0], v.size);
  if (bare != v.arg[0]) {
    v.arg[0] = bare;
    return put(v, own);
  }
  Value a = at(bare);
  if (a.op == Op::And && is_const(a.arg[1]) && a.uses <= 1)
    return with_const(Op::And, 4, a.arg[0], const_of(a.arg[1]) & low_bytes(v.size));
  if (v.size != 4 || a.width != 8) return NONE;
  if (a.op == Op::Sext) return unary(Op::Sext, a.size, a.arg[0], 4);
  if (a.uses > 1) return NONE;
  const bool shifts = a.op == Op::Shl && is_const(a.arg[1]) && const_of(a.arg[1]) < 32;
  if (!shifts && !works_from_below(a.op)) return NONE;
  a.width = 4;
  a.nonzero = false;  // the low half of an address may be zero
  a.insn = v.insn;
  return put(a, own);
}

ValueId Simplifier::sign_extend_(Value& v, ValueId own) {
  if (v.size >= v.width) return at_width(v.width, v.arg[0]);
  const ValueId bare = strip(v.arg[0], v.size);
  if (bare != v.arg[0]) {
    v.arg[0] = bare;
    return put(v, own);
  }
  if ((ones(bare) >> (v.size * 8 - 1) & 1) == 0) return zext(v.size, bare);
  const Value a = at(bare);
  if (a.op == Op::Sext && a.size < v.size) return unary(Op::Sext, a.size, a.arg[0], v.width);
  return NONE;
}

ValueId Simplifier::swap_bytes(Value& v, ValueId own) {
  const ValueId bare = strip(v.arg[0], v.size);
  if (bare != v.arg[0]) {
    v.arg[0] = bare;
    return put(v, own);
  }
  const Value a = at(bare);
  return a.op == Op::Bswap && a.size == v.size ? zext(v.size, a.arg[0]) : NONE;
}

}  // namespace skep::jit
