// jit: which bits of a value may be set.
#include <bit>

#include "jit/operands.h"
#include "jit/simplifier.h"

namespace skep::jit {
namespace {

/// All bits below the n-th.
u64 below(u32 n) noexcept { return n >= 64 ? ~u64{0} : (u64{1} << n) - 1; }
u32 width_of(u64 mask) noexcept { return static_cast<u32>(std::bit_width(mask)); }

}  // namespace

/// Without a look at the operands, which may not be known yet.
u64 Simplifier::shallow_ones(const Value& v) const noexcept {
  switch (v.op) {
    case Op::Const:
      return static_cast<u64>(v.imm);
    case Op::Load:
      if (v.sign) return low_bytes(v.width);
      return low_bytes(v.size);
    case Op::Cmpxchg:
    case Op::Atomic:
    case Op::Bswap:
    case Op::Zext:
      return low_bytes(v.size);
    case Op::Phi:
    case Op::Select:
      return ~u64{0};
    default:
      return is_binary(v.op) || is_unary(v.op) || v.op == Op::Lea ? low_bytes(v.width) : ~u64{0};
  }
}

u64 Simplifier::ones_of(const Value& v) const noexcept {
  const u64 all = low_bytes(v.width);
  const u64 a = v.arg[0] != NONE ? ones(v.arg[0]) & all : 0, b = v.arg[1] != NONE ? ones(v.arg[1]) & all : 0;
  const bool by_const = v.arg[1] != NONE && is_const(v.arg[1]);
  const u32 n = by_const ? static_cast<u32>(const_of(v.arg[1])) & (v.width * 8u - 1) : 0;
  switch (v.op) {
    case Op::Add:
      return below(std::max(width_of(a), width_of(b)) + 1) & all;
    case Op::Mul:
      return below(width_of(a) + width_of(b)) & all;
    case Op::And:
      return a & b;
    case Op::Or:
    case Op::Xor:
      return a | b;
    case Op::Shl:
      return by_const ? a << n & all : all;
    case Op::Shr:
      return by_const ? a >> n : below(width_of(a));
    case Op::Sar:
      return (a >> (v.width * 8 - 1) & 1) != 0 ? all : by_const ? a >> n : below(width_of(a));
    case Op::UDiv:
      return below(width_of(a));
    case Op::UMod:
      return by_const && const_of(v.arg[1]) != 0 ? below(std::min(width_of(const_of(v.arg[1]) - 1), width_of(a)))
                                                 : below(width_of(a));
    case Op::Zext:
      return ones(v.arg[0]) & low_bytes(v.size);
    case Op::Sext: {
      const u64 low = ones(v.arg[0]) & low_bytes(v.size);
      return (low >> (v.size * 8 - 1) & 1) != 0 ? (low | ~low_bytes(v.size)) & all : low;
    }
    case Op::Bswap:
      return fold_unary(v, ones(v.arg[0]) & low_bytes(v.size));
    case Op::Select:
      return ones(v.arg[2]) | ones(v.arg[3]);
    default:
      return shallow_ones(v);
  }
}

}  // namespace skep::jit
