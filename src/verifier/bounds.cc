// verifier: how the five domains of a scalar inform each other, and changes of width.
#include "verifier/bounds.h"

#include <algorithm>

namespace skep {
namespace {

// reg_bounds_sync() is most of the time that arithmetic takes: its parts are meant to be one function.
#define INLINE [[gnu::always_inline]] inline

template <typename T>
void raise(T* min, T to) {
  *min = std::max(*min, to);
}
template <typename T>
void lower(T* max, T to) {
  *max = std::min(*max, to);
}
template <typename T>
void narrow(T* min, T* max, T lo, T hi) {
  raise(min, lo);
  lower(max, hi);
}

INLINE void narrow_u32(ScalarBounds* b, u32 lo, u32 hi) { narrow(&b->u32_min_value, &b->u32_max_value, lo, hi); }
INLINE void narrow_s32(ScalarBounds* b, s32 lo, s32 hi) { narrow(&b->s32_min_value, &b->s32_max_value, lo, hi); }
INLINE void narrow_u64(ScalarBounds* b, u64 lo, u64 hi) { narrow(&b->umin_value, &b->umax_value, lo, hi); }
INLINE void narrow_s64(ScalarBounds* b, u64 lo, u64 hi) {
  narrow(&b->smin_value, &b->smax_value, static_cast<s64>(lo), static_cast<s64>(hi));
}

INLINE void learn_ranges64(ScalarBounds* b) {
  const auto [value, mask] = b->var_off;
  constexpr u64 sign = u64{1} << 63;
  narrow_s64(b, value | (mask & sign), value | (mask & ~sign));
  narrow_u64(b, value, value | mask);
}

// What the 64-bit range lo..hi tells about the low half: if the upper half is the same throughout, the low halves are a range too,
// in each signedness in which they are in order. They are an s32 range as well when the upper half takes two neighbouring values
// and the low half goes from negative to non-negative meanwhile (say -1..1).
// In Linux a u64 range with one upper half narrows u32 without a look at the order; that only differs for empty ranges, but kept.
template <bool is_signed>
INLINE void learn32_from64(ScalarBounds* b, u64 lo, u64 hi) {
  const u32 top_lo = static_cast<u32>(lo >> 32), top_hi = static_cast<u32>(hi >> 32);
  const u32 ulo = static_cast<u32>(lo), uhi = static_cast<u32>(hi);
  const s32 slo = static_cast<s32>(ulo), shi = static_cast<s32>(uhi);
  if (top_lo == top_hi) {
    if (!is_signed || ulo <= uhi) narrow_u32(b, ulo, uhi);
    if (slo <= shi) narrow_s32(b, slo, shi);
  } else if (top_lo + 1 == top_hi && slo < 0 && shi >= 0) {
    narrow_s32(b, slo, shi);
  }
}

// The unsigned and the signed range of one width. A range that does not cross the other reading's edge is a range there too. A
// signed range that crosses zero is two pieces in the unsigned reading: its non-negative part 0..smax at the bottom and its
// negative part smin..-1 at the top. If the unsigned range touches only one of them, both ranges shrink to their common part.
template <typename S, typename U>
INLINE void combine_signs(S* smin, S* smax, U* umin, U* umax) {
  if (static_cast<S>(*umin) <= static_cast<S>(*umax)) narrow(smin, smax, static_cast<S>(*umin), static_cast<S>(*umax));
  const U lo = static_cast<U>(*smin), hi = static_cast<U>(*smax);
  if (lo <= hi) {
    narrow(umin, umax, lo, hi);
  } else if (*umax < lo) {
    *smin = static_cast<S>(*umin);
    lower(umax, hi);
  } else if (hi < *umin) {
    *smax = static_cast<S>(*umax);
    raise(umin, lo);
  }
}

INLINE void learn_ranges32(ScalarBounds* b) {
  const u32 value = static_cast<u32>(b->var_off.value), mask = static_cast<u32>(b->var_off.mask);
  constexpr u32 sign = u32{1} << 31;
  narrow_s32(b, static_cast<s32>(value | (mask & sign)), static_cast<s32>(value | (mask & ~sign)));
  narrow_u32(b, value, value | mask);
}

// Linux: __reg32_deduce_bounds()
INLINE void deduce32(ScalarBounds* b) {
  learn32_from64<false>(b, b->umin_value, b->umax_value);
  learn32_from64<true>(b, static_cast<u64>(b->smin_value), static_cast<u64>(b->smax_value));
  combine_signs(&b->s32_min_value, &b->s32_max_value, &b->u32_min_value, &b->u32_max_value);
}

// Puts lo and hi in place of the low halves of the 64-bit minima and maxima, where that narrows.
INLINE void learn64_from32(ScalarBounds* b, u32 lo, u32 hi) {
  const auto with_low = [](u64 wide, u32 low) { return (wide & ~u64{U32_MAX}) | low; };
  narrow_u64(b, with_low(b->umin_value, lo), with_low(b->umax_value, hi));
  narrow_s64(b, with_low(static_cast<u64>(b->smin_value), lo), with_low(static_cast<u64>(b->smax_value), hi));
}

// Linux: __reg_deduce_mixed_bounds()
INLINE void deduce_mixed(ScalarBounds* b) {
  learn64_from32(b, b->u32_min_value, b->u32_max_value);
  const u32 lo = static_cast<u32>(b->s32_min_value), hi = static_cast<u32>(b->s32_max_value);
  if (lo <= hi) learn64_from32(b, lo, hi);
  // A sign-extended s32 whose low half is not negative has an upper half of zeros.
  if (b->s32_min_value >= 0 && b->smin_value >= S32_MIN && b->smax_value <= S32_MAX) {
    b->smin_value = b->s32_min_value;
    b->smax_value = b->s32_max_value;
    b->umin_value = static_cast<u64>(b->smin_value);
    b->umax_value = static_cast<u64>(b->smax_value);
    b->var_off = tnum_intersect(b->var_off, tnum_range(b->umin_value, b->umax_value));
  }
}

// Linux: __reg_deduce_bounds()
INLINE void deduce(ScalarBounds* b) {
  deduce32(b);
  combine_signs(&b->smin_value, &b->smax_value, &b->umin_value, &b->umax_value);
  deduce_mixed(b);
}

// Linux: __reg_bound_offset()
INLINE void learn_bits_from_ranges(ScalarBounds* b) {
  const Tnum wide = tnum_intersect(b->var_off, tnum_range(b->umin_value, b->umax_value));
  const Tnum low = tnum_intersect(tnum_subreg(wide), tnum_range(b->u32_min_value, b->u32_max_value));
  b->var_off = tnum_or(tnum_clear_subreg(wide), low);
}

s64 sign_extend(u64 value, u32 bytes) {
  switch (bytes) {
    case 1:
      return static_cast<s8>(value);
    case 2:
      return static_cast<s16>(value);
    default:
      return static_cast<s32>(value);
  }
}

}  // namespace

void update32_bounds(ScalarBounds* b) noexcept { learn_ranges32(b); }

void update_bounds(ScalarBounds* b) noexcept {
  learn_ranges32(b);
  learn_ranges64(b);
}

void reg_bounds_sync(ScalarBounds* bounds) noexcept {
  if (tnum_is_const(bounds->var_off)) {  // the common case: a consistent constant, of which nothing can be learned
    ScalarBounds known;
    mark_known(&known, bounds->var_off.value);
    if (*bounds == known) return;
  }
  ScalarBounds copy = *bounds;  // of our own: held in registers
  ScalarBounds* const b = &copy;
  learn_ranges32(b);
  learn_ranges64(b);
  // Three rounds, as in Linux: more could narrow further, and then verdicts would differ. A round that changes nothing ends it.
  for (int round = 0; round < 3; ++round) {
    const ScalarBounds before = *b;
    deduce(b);
    if (*b == before) break;
  }
  learn_bits_from_ranges(b);
  learn_ranges32(b);
  learn_ranges64(b);
  *bounds = copy;
}

#undef INLINE

const char* bounds_sanity_check(const ScalarBounds& b) noexcept {
  if (b.umin_value > b.umax_value || b.smin_value > b.smax_value || b.u32_min_value > b.u32_max_value ||
      b.s32_min_value > b.s32_max_value) {
    return "range bounds violation";
  }
  if (tnum_is_const(b.var_off)) {
    const u64 value = b.var_off.value;
    if (b.umin_value != value || b.umax_value != value || static_cast<u64>(b.smin_value) != value ||
        static_cast<u64>(b.smax_value) != value) {
      return "const tnum out of sync with range bounds";
    }
  }
  if (tnum_subreg_is_const(b.var_off)) {
    const u32 value = static_cast<u32>(b.var_off.value);
    if (b.u32_min_value != value || b.u32_max_value != value || static_cast<u32>(b.s32_min_value) != value ||
        static_cast<u32>(b.s32_max_value) != value) {
      return "const subreg tnum out of sync with range bounds";
    }
  }
  return nullptr;
}

void assign_32_into_64(ScalarBounds* b) noexcept {
  b->umin_value = b->u32_min_value;
  b->umax_value = b->u32_max_value;
  // A possibly negative low half says nothing signed about the zero-extended whole, except that it fits 32 bits.
  const bool non_negative = b->s32_min_value >= 0 && b->s32_max_value >= 0;
  b->smin_value = non_negative ? b->s32_min_value : 0;
  b->smax_value = non_negative ? b->s32_max_value : s64{U32_MAX};
}

void zext_32_to_64(ScalarBounds* b) noexcept {
  b->var_off = tnum_subreg(b->var_off);
  assign_32_into_64(b);
}

void coerce_reg_to_size(ScalarBounds* b, u32 bytes) noexcept {
  b->var_off = tnum_cast(b->var_off, static_cast<u8>(bytes));
  const u64 low = (u64{1} << (bytes * 8)) - 1;
  const bool same_top = (b->umin_value & ~low) == (b->umax_value & ~low);
  b->umin_value = same_top ? b->umin_value & low : 0;
  b->umax_value = same_top ? b->umax_value & low : low;
  b->smin_value = static_cast<s64>(b->umin_value);
  b->smax_value = static_cast<s64>(b->umax_value);
  // With 4 bytes the 32-bit ranges still hold; with fewer they are about bits that are gone.
  if (bytes < 4) mark32_unbounded(b);
  reg_bounds_sync(b);
}

void coerce_reg_to_size_sx(ScalarBounds* b, u32 bytes) noexcept {
  if (tnum_is_const(b->var_off)) {
    mark_known(b, static_cast<u64>(sign_extend(b->var_off.value, bytes)));
    return;
  }
  const u32 bits = bytes * 8;
  const s64 lo = sign_extend(static_cast<u64>(b->smin_value), bytes), hi = sign_extend(static_cast<u64>(b->smax_value), bytes);
  const s64 min = std::min(lo, hi), max = std::max(lo, hi);
  if (b->smin_value >> bits == b->smax_value >> bits && (min >= 0) == (max >= 0)) {
    b->smin_value = min;
    b->smax_value = max;
    b->umin_value = static_cast<u64>(min);
    b->umax_value = static_cast<u64>(max);
    b->s32_min_value = static_cast<s32>(min);
    b->s32_max_value = static_cast<s32>(max);
    b->u32_min_value = static_cast<u32>(min);
    b->u32_max_value = static_cast<u32>(max);
    b->var_off = tnum_range(b->umin_value, b->umax_value);
    return;
  }
  mark_unknown(b);
  b->smin_value = -(s64{1} << (bits - 1));
  b->smax_value = (s64{1} << (bits - 1)) - 1;
  b->s32_min_value = static_cast<s32>(b->smin_value);
  b->s32_max_value = static_cast<s32>(b->smax_value);
}

void coerce_subreg_to_size_sx(ScalarBounds* b, u32 bytes) noexcept {
  if (tnum_is_const(b->var_off)) {
    const s64 value = sign_extend(b->var_off.value, bytes);
    b->var_off = tnum_const(static_cast<u64>(value));
    b->s32_min_value = b->s32_max_value = static_cast<s32>(value);
    b->u32_min_value = b->u32_max_value = static_cast<u32>(value);
    return;
  }
  const u32 bits = bytes * 8;
  const s32 lo = static_cast<s32>(sign_extend(static_cast<u64>(b->s32_min_value), bytes));
  const s32 hi = static_cast<s32>(sign_extend(static_cast<u64>(b->s32_max_value), bytes));
  const s32 min = std::min(lo, hi), max = std::max(lo, hi);
  if (b->s32_min_value >> bits == b->s32_max_value >> bits && (min >= 0) == (max >= 0)) {
    b->s32_min_value = min;
    b->s32_max_value = max;
    b->u32_min_value = static_cast<u32>(min);
    b->u32_max_value = static_cast<u32>(max);
    b->var_off = tnum_subreg(tnum_range(static_cast<u64>(s64{min}), static_cast<u64>(s64{max})));
    return;
  }
  b->s32_min_value = -(s32{1} << (bits - 1));
  b->s32_max_value = (s32{1} << (bits - 1)) - 1;
  b->u32_min_value = 0;
  b->u32_max_value = U32_MAX;
  b->var_off = tnum_subreg(tnum_unknown);
}

void narrow_to_s32_range(ScalarBounds* b, s32 min, s32 max) noexcept {
  narrow_s32(b, min, max);
  narrow(&b->smin_value, &b->smax_value, s64{min}, s64{max});
  reg_bounds_sync(b);
}

}  // namespace skep
