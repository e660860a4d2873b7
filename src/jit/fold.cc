#include "jit/fold.h"

#include "isa/eval.h"

namespace skep::jit {
namespace {

template <typename U, typename S>
U rotl(U a, U n) noexcept {
  constexpr U bits = sizeof(U) * 8;
  n %= bits;
  return n == 0 ? a : static_cast<U>(a << n | a >> (bits - n));
}

__extension__ typedef __int128 Wide;
__extension__ typedef unsigned __int128 UWide;

template <typename U, typename S>
U binary(Op op, U a, U b) noexcept {
  constexpr int bits = sizeof(U) * 8;
  switch (op) {
    case Op::Add:
      return alu_op<U, S>(BPF_ADD, a, b, 0);
    case Op::Sub:
      return alu_op<U, S>(BPF_SUB, a, b, 0);
    case Op::Mul:
      return alu_op<U, S>(BPF_MUL, a, b, 0);
    case Op::And:
      return a & b;
    case Op::Or:
      return a | b;
    case Op::Xor:
      return a ^ b;
    case Op::Shl:
      return alu_op<U, S>(BPF_LSH, a, b, 0);
    case Op::Shr:
      return alu_op<U, S>(BPF_RSH, a, b, 0);
    case Op::Sar:
      return alu_op<U, S>(BPF_ARSH, a, b, 0);
    case Op::Rotl:
      return rotl<U, S>(a, b);
    case Op::UDiv:
      return divide<U, S>(a, b, false);
    case Op::UMod:
      return modulo<U, S>(a, b, false);
    case Op::SDiv:
      return divide<U, S>(a, b, true);
    case Op::SMod:
      return modulo<U, S>(a, b, true);
    case Op::MulHiU:
      return static_cast<U>(static_cast<UWide>(a) * b >> bits);
    default:
      return static_cast<U>(static_cast<Wide>(static_cast<S>(a)) * static_cast<S>(b) >> bits);
  }
}

template <typename U, typename S>
bool cond_holds(Cond cond, U a, U b) noexcept {
  switch (cond) {
    case Cond::Eq:
      return a == b;
    case Cond::Ne:
      return a != b;
    case Cond::Ult:
      return a < b;
    case Cond::Ule:
      return a <= b;
    case Cond::Ugt:
      return a > b;
    case Cond::Uge:
      return a >= b;
    case Cond::Slt:
      return static_cast<S>(a) < static_cast<S>(b);
    case Cond::Sle:
      return static_cast<S>(a) <= static_cast<S>(b);
    case Cond::Sgt:
      return static_cast<S>(a) > static_cast<S>(b);
    case Cond::Sge:
      return static_cast<S>(a) >= static_cast<S>(b);
    case Cond::Test:
      return (a & b) != 0;
    default:
      return (a & b) == 0;
  }
}

}  // namespace

u64 fold_binary(Op op, u8 width, u64 a, u64 b) noexcept {
  if (width == 8) return binary<u64, s64>(op, a, b);
  return binary<u32, s32>(op, static_cast<u32>(a), static_cast<u32>(b));
}

u64 fold_unary(const Value& v, u64 a) noexcept {
  switch (v.op) {
    case Op::Neg:
      return (0 - a) & low_bytes(v.width);
    case Op::Not:
      return ~a & low_bytes(v.width);
    case Op::Bswap:
      return byte_swap(a, v.size * 8);
    case Op::Zext:
      return a & low_bytes(v.size);
    default:
      return sign_extend(a, static_cast<s16>(v.size * 8)) & low_bytes(v.width);
  }
}

bool fold_cond(Cond cond, u8 width, u64 a, u64 b) noexcept {
  if (width == 8) return cond_holds<u64, s64>(cond, a, b);
  return cond_holds<u32, s32>(cond, static_cast<u32>(a), static_cast<u32>(b));
}

}  // namespace skep::jit
