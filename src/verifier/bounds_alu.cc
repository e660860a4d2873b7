// verifier: what an ALU instruction does to the bounds of its operands.
#include <algorithm>

#include "verifier/bounds.h"

namespace skep {
namespace {

// The ranges of one width, by reference, so that a rule that is the same in 32 and 64 bits is written once.
template <typename Signed, typename Unsigned>
struct Ranges {
  using S = Signed;
  using U = Unsigned;
  static constexpr S s_max = std::numeric_limits<S>::max(), s_min = std::numeric_limits<S>::min();
  static constexpr U u_max = std::numeric_limits<U>::max();
  S &smin, &smax;
  U &umin, &umax;

  void forget_signed() const {
    smin = s_min;
    smax = s_max;
  }
  void forget_unsigned() const {
    umin = 0;
    umax = u_max;
  }
  void forget() const {
    forget_signed();
    forget_unsigned();
  }
  // The signed range is the unsigned one where that does not cross the sign boundary.
  void signed_from_unsigned() const {
    if (static_cast<S>(umin) > static_cast<S>(umax)) return forget_signed();
    smin = static_cast<S>(umin);
    smax = static_cast<S>(umax);
  }
};
using Ranges64 = Ranges<s64, u64>;
using Ranges32 = Ranges<s32, u32>;
Ranges64 ranges64(ScalarBounds* b) { return {b->smin_value, b->smax_value, b->umin_value, b->umax_value}; }
Ranges32 ranges32(ScalarBounds* b) { return {b->s32_min_value, b->s32_max_value, b->u32_min_value, b->u32_max_value}; }

// Linux: scalar_min_max_add(), scalar32_min_max_add(). If either end overflows, that reading is lost.
template <typename R>
void add(R dst, R src) {
  const bool slo = __builtin_add_overflow(dst.smin, src.smin, &dst.smin),
             shi = __builtin_add_overflow(dst.smax, src.smax, &dst.smax);
  if (slo || shi) dst.forget_signed();
  const bool ulo = __builtin_add_overflow(dst.umin, src.umin, &dst.umin),
             uhi = __builtin_add_overflow(dst.umax, src.umax, &dst.umax);
  if (ulo || uhi) dst.forget_unsigned();
}

// Linux: scalar_min_max_sub(), scalar32_min_max_sub()
template <typename R>
void sub(R dst, R src) {
  const bool slo = __builtin_sub_overflow(dst.smin, src.smax, &dst.smin),
             shi = __builtin_sub_overflow(dst.smax, src.smin, &dst.smax);
  if (slo || shi) dst.forget_signed();
  if (dst.umin < src.umax) return dst.forget_unsigned();
  dst.umin -= src.umax;
  dst.umax -= src.umin;
}

// Only for factors that are not negative and whose product cannot overflow. Linux: scalar_min_max_mul(), scalar32_min_max_mul()
template <typename R>
void mul(R dst, R src) {
  constexpr auto half_max = static_cast<typename R::U>(R::u_max >> (sizeof(typename R::U) * 4));
  if (src.smin < 0 || dst.smin < 0 || src.umax > half_max || dst.umax > half_max) return dst.forget();
  dst.umin *= src.umin;
  dst.umax *= src.umax;
  if (dst.umax > static_cast<typename R::U>(R::s_max)) return dst.forget_signed();
  dst.smin = static_cast<typename R::S>(dst.umin);
  dst.smax = static_cast<typename R::S>(dst.umax);
}

// The unsigned range of a bitwise result; `bits` is the result's Tnum in this width. Linux: scalar_min_max_and(), _or(), _xor()
template <typename R>
void bitwise(u8 op, R dst, R src, Tnum bits) {
  const auto least = static_cast<typename R::U>(bits.value), most = static_cast<typename R::U>(bits.value | bits.mask);
  dst.umin = op == BPF_OR ? std::max(dst.umin, src.umin) : least;
  dst.umax = op == BPF_AND ? std::min(dst.umax, src.umax) : most;
  dst.signed_from_unsigned();
}

// dst->var_off has the result already. A result known in a width is taken from there, but, as in Linux, only if src is known too.
void scalar_bitwise(u8 op, ScalarBounds* dst, ScalarBounds* src) {
  if (tnum_subreg_is_const(src->var_off) && tnum_subreg_is_const(dst->var_off)) {
    mark32_known(dst, static_cast<u32>(dst->var_off.value));
  } else {
    bitwise(op, ranges32(dst), ranges32(src), tnum_subreg(dst->var_off));
  }
  if (tnum_is_const(src->var_off) && tnum_is_const(dst->var_off)) return mark_known(dst, dst->var_off.value);
  bitwise(op, ranges64(dst), ranges64(src), dst->var_off);
  update_bounds(dst);
}

// Shift counts below are known: min == max. Linux: __scalar32_min_max_lsh(), __scalar64_min_max_lsh()
template <typename R>
void shift_left_unsigned(R dst, u32 shift) {
  constexpr u32 top = sizeof(typename R::U) * 8 - 1;
  // Linux's limit: about half of what would still fit.
  if (shift > top || dst.umax > typename R::U{1} << (top - shift)) return dst.forget_unsigned();
  dst.umin <<= shift;
  dst.umax <<= shift;
}

// Linux: scalar32_min_max_lsh(), scalar_min_max_lsh()
void shift_left(bool is64, ScalarBounds* dst, u8 shift) {
  const Ranges32 low = ranges32(dst);
  if (!is64) {
    low.forget_signed();
    shift_left_unsigned(low, shift);
    dst->var_off = tnum_subreg(tnum_lshift(tnum_subreg(dst->var_off), shift));
    mark64_unbounded(dst);
    return update32_bounds(dst);
  }
  const Ranges64 wide = ranges64(dst);
  wide.forget_signed();
  if (shift == 32) {  // the first half of a sign extension by <<= 32, s>>= 32: the low half's sign becomes the whole's
    wide.smin = static_cast<s64>(static_cast<u64>(s64{low.smin}) << 32);
    wide.smax = static_cast<s64>(static_cast<u64>(s64{low.smax}) << 32);
  }
  shift_left_unsigned(wide, shift);
  low.forget_signed();
  shift_left_unsigned(low, shift);
  dst->var_off = tnum_lshift(dst->var_off, shift);
  update_bounds(dst);
}

// A logical shift right. The signed range is found anew from the unsigned one and var_off; after a 64-bit shift the low half's too,
// because bits came in from above. Linux: scalar32_min_max_rsh(), scalar_min_max_rsh()
void shift_right(bool is64, ScalarBounds* dst, u8 shift) {
  if (!is64) {
    dst->var_off = tnum_rshift(tnum_subreg(dst->var_off), shift);
    dst->u32_min_value >>= shift;
    dst->u32_max_value >>= shift;
    ranges32(dst).forget_signed();
    mark64_unbounded(dst);
    return update32_bounds(dst);
  }
  dst->var_off = tnum_rshift(dst->var_off, shift);
  dst->umin_value >>= shift;
  dst->umax_value >>= shift;
  ranges64(dst).forget_signed();
  mark32_unbounded(dst);
  update_bounds(dst);
}

// Linux: scalar32_min_max_arsh(), scalar_min_max_arsh()
void shift_right_arithmetic(bool is64, ScalarBounds* dst, u8 shift) {
  if (!is64) {
    dst->s32_min_value >>= shift;
    dst->s32_max_value >>= shift;
    dst->var_off = tnum_arshift(tnum_subreg(dst->var_off), shift, 32);
    ranges32(dst).forget_unsigned();
    mark64_unbounded(dst);
    return update32_bounds(dst);
  }
  dst->smin_value >>= shift;
  dst->smax_value >>= shift;
  dst->var_off = tnum_arshift(dst->var_off, shift, 64);
  ranges64(dst).forget_unsigned();
  mark32_unbounded(dst);
  update_bounds(dst);
}

// A shift count must be known, in tnum and ranges alike, and below the width. The width test looks at all 64 bits even for a 32-bit
// shift. Linux: is_safe_to_compute_dst_reg_range(). DIFFERS: u32 < 32 is tested too. It follows from the rest unless the domains
// contradict each other, which the sanity check does not let through; then Linux's own shift would be undefined.
bool shift_count_known(bool is64, const ScalarBounds& src) {
  if (is64) {
    return tnum_is_const(src.var_off) && src.smin_value == src.smax_value && src.umin_value == src.umax_value &&
           src.umax_value < 64;
  }
  return tnum_subreg_is_const(src.var_off) && src.s32_min_value == src.s32_max_value && src.u32_min_value == src.u32_max_value &&
         src.umax_value < 32 && src.u32_max_value < 32;
}

bool can_compute(u8 op, bool is64, const ScalarBounds& src) {
  switch (op) {
    case BPF_ADD:
    case BPF_SUB:
    case BPF_MUL:
    case BPF_AND:
    case BPF_OR:
    case BPF_XOR:
      return true;
    case BPF_LSH:
    case BPF_RSH:
    case BPF_ARSH:
      return shift_count_known(is64, src);
    default:
      return false;
  }
}

// ADD to XOR work on both widths, whichever the instruction has; the zero extension of a 32-bit one comes at the end.
void compute(u8 op, bool is64, ScalarBounds* dst, ScalarBounds* src) {
  const u8 shift = static_cast<u8>(is64 ? src->umin_value : src->u32_min_value);  // shift_count_known(), so below the width
  switch (op) {
    case BPF_ADD:
      add(ranges32(dst), ranges32(src));
      add(ranges64(dst), ranges64(src));
      dst->var_off = tnum_add(dst->var_off, src->var_off);
      return;
    case BPF_SUB:
      sub(ranges32(dst), ranges32(src));
      sub(ranges64(dst), ranges64(src));
      dst->var_off = tnum_sub(dst->var_off, src->var_off);
      return;
    case BPF_MUL:
      dst->var_off = tnum_mul(dst->var_off, src->var_off);
      mul(ranges32(dst), ranges32(src));
      mul(ranges64(dst), ranges64(src));
      return;
    case BPF_AND:
      dst->var_off = tnum_and(dst->var_off, src->var_off);
      return scalar_bitwise(op, dst, src);
    case BPF_OR:
      dst->var_off = tnum_or(dst->var_off, src->var_off);
      return scalar_bitwise(op, dst, src);
    case BPF_XOR:
      dst->var_off = tnum_xor(dst->var_off, src->var_off);
      return scalar_bitwise(op, dst, src);
    case BPF_LSH:
      return shift_left(is64, dst, shift);
    case BPF_RSH:
      return shift_right(is64, dst, shift);
    case BPF_ARSH:
      return shift_right_arithmetic(is64, dst, shift);
  }
}

}  // namespace

bool scalar_alu(u8 op, bool is64, ScalarBounds* dst, ScalarBounds src) noexcept {
  if (!can_compute(op, is64, src)) {
    mark_unknown(dst);
    return false;
  }
  compute(op, is64, dst, &src);
  if (!is64) zext_32_to_64(dst);
  reg_bounds_sync(dst);
  return true;
}

ScalarFork scalar_fork(u8 op, const ScalarBounds& dst, const ScalarBounds& src) noexcept {
  if ((op != BPF_AND && op != BPF_OR) || !tnum_is_const(src.var_off)) return ScalarFork::NONE;
  if (dst.smin_value == -1 && dst.smax_value == 0) return ScalarFork::WIDE;
  return dst.s32_min_value == -1 && dst.s32_max_value == 0 ? ScalarFork::SUBREG : ScalarFork::NONE;
}

void scalar_min_max_add(ScalarBounds* dst, const ScalarBounds& src) noexcept {
  ScalarBounds copy = src;
  add(ranges64(dst), ranges64(&copy));
}

void scalar_min_max_sub(ScalarBounds* dst, const ScalarBounds& src) noexcept {
  ScalarBounds copy = src;
  sub(ranges64(dst), ranges64(&copy));
}

}  // namespace skep
