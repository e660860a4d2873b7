// verifier: what a conditional jump between two scalars tells.
#include <algorithm>
#include <utility>

#include "verifier/bounds.h"

namespace skep {
namespace {

constexpr u8 NOT_JSET = BPF_JSET | BPF_X;

// One operand as a jump of the given width sees it, widened to 64 bits (which keeps both orders).
struct Operand {
  Tnum bits;
  u64 umin, umax;
  s64 smin, smax;
};
Operand operand(const ScalarBounds& b, bool is_jmp32) {
  if (!is_jmp32) return {b.var_off, b.umin_value, b.umax_value, b.smin_value, b.smax_value};
  return {tnum_subreg(b.var_off), b.u32_min_value, b.u32_max_value, b.s32_min_value, b.s32_max_value};
}

constexpr int UNKNOWN = -1;
constexpr int NEVER = 0;
constexpr int ALWAYS = 1;

// `less` for the smaller side against the larger one: a < b, or a <= b with or_equal.
template <typename T>
int less(T amin, T amax, T bmin, T bmax, bool or_equal) {
  if (or_equal ? amax <= bmin : amax < bmin) return ALWAYS;
  if (or_equal ? amin > bmax : amin >= bmax) return NEVER;
  return UNKNOWN;
}

// 1, 0, -1: surely equal, surely not, unknown. A 64-bit comparison also looks at the low halves, which may be known apart.
int equal(const ScalarBounds& a, const ScalarBounds& b, bool is_jmp32) {
  const Operand x = operand(a, is_jmp32), y = operand(b, is_jmp32);
  if (tnum_is_const(x.bits) && tnum_is_const(y.bits)) return x.bits.value == y.bits.value ? ALWAYS : NEVER;
  if (!tnum_overlap(x.bits, y.bits)) return NEVER;
  if (x.umin > y.umax || x.umax < y.umin || x.smin > y.smax || x.smax < y.smin) return NEVER;
  if (is_jmp32) return UNKNOWN;
  const bool apart = a.u32_min_value > b.u32_max_value || a.u32_max_value < b.u32_min_value || a.s32_min_value > b.s32_max_value ||
                     a.s32_max_value < b.s32_min_value;
  return apart ? NEVER : UNKNOWN;
}

int any_bit_set(Tnum x, Tnum y) {
  if (!tnum_is_const(y)) std::swap(x, y);
  if (!tnum_is_const(y)) return UNKNOWN;
  if ((x.value & ~x.mask & y.value) != 0) return ALWAYS;
  return ((x.value | x.mask) & y.value) == 0 ? NEVER : UNKNOWN;
}

// Neighbours of a bound. They wrap on dead branches, like the kernel's.
template <typename T>
T above(T v) {
  return static_cast<T>(static_cast<std::make_unsigned_t<T>>(v) + 1);
}
template <typename T>
T below(T v) {
  return static_cast<T>(static_cast<std::make_unsigned_t<T>>(v) - 1);
}

// Both ranges become their intersection.
template <typename T>
void refine_equal_range(T* amin, T* amax, T* bmin, T* bmax) {
  *bmin = *amin = std::max(*amin, *bmin);
  *bmax = *amax = std::min(*amax, *bmax);
}

void refine_equal(ScalarBounds* a, ScalarBounds* b, bool is_jmp32) {
  if (!is_jmp32) {
    refine_equal_range(&a->umin_value, &a->umax_value, &b->umin_value, &b->umax_value);
    refine_equal_range(&a->smin_value, &a->smax_value, &b->smin_value, &b->smax_value);
    b->var_off = a->var_off = tnum_intersect(a->var_off, b->var_off);
    return;
  }
  refine_equal_range(&a->u32_min_value, &a->u32_max_value, &b->u32_min_value, &b->u32_max_value);
  refine_equal_range(&a->s32_min_value, &a->s32_max_value, &b->s32_min_value, &b->s32_max_value);
  const Tnum low = tnum_intersect(tnum_subreg(a->var_off), tnum_subreg(b->var_off));
  a->var_off = tnum_with_subreg(a->var_off, low);
  b->var_off = tnum_with_subreg(b->var_off, low);
}

template <typename T>
void exclude_edge(T* min, T* max, T value) {
  if (*min == value) *min = above(*min);
  if (*max == value) *max = below(*max);
}

// A constant that is an edge of the range moves that edge. An edge cannot be both: then the jump would have been decided.
void refine_not_equal(ScalarBounds* b, u64 value, bool is_jmp32) {
  if (is_jmp32) {
    exclude_edge(&b->u32_min_value, &b->u32_max_value, static_cast<u32>(value));
    exclude_edge(&b->s32_min_value, &b->s32_max_value, static_cast<s32>(value));
  } else {
    exclude_edge(&b->umin_value, &b->umax_value, value);
    exclude_edge(&b->smin_value, &b->smax_value, static_cast<s64>(value));
  }
}

// Some bit of a mask is set: that names a bit only if the mask has a single one.
void refine_any_bit_set(ScalarBounds* b, u64 mask, bool is_jmp32) {
  if (!std::has_single_bit(mask)) return;
  b->var_off = is_jmp32 ? tnum_with_subreg(b->var_off, tnum_or(tnum_subreg(b->var_off), tnum_const(mask)))
                        : tnum_or(b->var_off, tnum_const(mask));
}

// No bit of a mask is set. 6.12.117 forgets the ranges here, so that a dead branch does not leave them at odds with the bits.
void refine_no_bit_set(ScalarBounds* b, u64 mask, bool is_jmp32) {
  mark_unbounded(b);
  b->var_off = is_jmp32 ? tnum_with_subreg(b->var_off, tnum_and(tnum_subreg(b->var_off), tnum_const(~mask)))
                        : tnum_and(b->var_off, tnum_const(~mask));
}

// The three that need one constant operand; the second is preferred.
void refine_against_const(ScalarBounds* a, ScalarBounds* b, u8 op, bool is_jmp32) {
  if (!is_const(*b, is_jmp32)) std::swap(a, b);
  if (!is_const(*b, is_jmp32)) return;
  const u64 value = const_value(*b, is_jmp32);
  switch (op) {
    case BPF_JNE:
      return refine_not_equal(a, value, is_jmp32);
    case BPF_JSET:
      return refine_any_bit_set(a, value, is_jmp32);
    default:
      return refine_no_bit_set(a, value, is_jmp32);
  }
}

// a <= b, or a < b. In this order: with both the same register the second step sees what the first did.
template <typename T>
void refine_less(T* amin, T* amax, T* bmin, T* bmax, bool or_equal) {
  *amax = std::min(*amax, or_equal ? *bmax : below(*bmax));
  *bmin = std::max(or_equal ? *amin : above(*amin), *bmin);
}

void refine_unsigned_less(ScalarBounds* a, ScalarBounds* b, bool or_equal, bool is_jmp32) {
  if (is_jmp32) {
    refine_less(&a->u32_min_value, &a->u32_max_value, &b->u32_min_value, &b->u32_max_value, or_equal);
  } else {
    refine_less(&a->umin_value, &a->umax_value, &b->umin_value, &b->umax_value, or_equal);
  }
}
void refine_signed_less(ScalarBounds* a, ScalarBounds* b, bool or_equal, bool is_jmp32) {
  if (is_jmp32) {
    refine_less(&a->s32_min_value, &a->s32_max_value, &b->s32_min_value, &b->s32_max_value, or_equal);
  } else {
    refine_less(&a->smin_value, &a->smax_value, &b->smin_value, &b->smax_value, or_equal);
  }
}

}  // namespace

int is_scalar_branch_taken(const ScalarBounds& a, const ScalarBounds& b, u8 op, bool is_jmp32) noexcept {
  const Operand x = operand(a, is_jmp32), y = operand(b, is_jmp32);
  switch (op) {
    case BPF_JEQ:
      return equal(a, b, is_jmp32);
    case BPF_JNE: {
      const int same = equal(a, b, is_jmp32);
      return same == UNKNOWN ? UNKNOWN : 1 - same;
    }
    case BPF_JSET:
      return any_bit_set(x.bits, y.bits);
    case BPF_JLT:
      return less(x.umin, x.umax, y.umin, y.umax, false);
    case BPF_JLE:
      return less(x.umin, x.umax, y.umin, y.umax, true);
    case BPF_JGT:
      return less(y.umin, y.umax, x.umin, x.umax, false);
    case BPF_JGE:
      return less(y.umin, y.umax, x.umin, x.umax, true);
    case BPF_JSLT:
      return less(x.smin, x.smax, y.smin, y.smax, false);
    case BPF_JSLE:
      return less(x.smin, x.smax, y.smin, y.smax, true);
    case BPF_JSGT:
      return less(y.smin, y.smax, x.smin, x.smax, false);
    case BPF_JSGE:
      return less(y.smin, y.smax, x.smin, x.smax, true);
    default:
      return UNKNOWN;
  }
}

u8 flip_opcode(u8 op) noexcept {
  switch (op) {
    case BPF_JEQ:
    case BPF_JNE:
    case BPF_JSET:
      return op;
    case BPF_JGE:
      return BPF_JLE;
    case BPF_JGT:
      return BPF_JLT;
    case BPF_JLE:
      return BPF_JGE;
    case BPF_JLT:
      return BPF_JGT;
    case BPF_JSGE:
      return BPF_JSLE;
    case BPF_JSGT:
      return BPF_JSLT;
    case BPF_JSLE:
      return BPF_JSGE;
    case BPF_JSLT:
      return BPF_JSGT;
    default:
      return 0;
  }
}

u8 rev_opcode(u8 op) noexcept {
  switch (op) {
    case BPF_JEQ:
      return BPF_JNE;
    case BPF_JNE:
      return BPF_JEQ;
    case BPF_JSET:
      return NOT_JSET;
    case NOT_JSET:
      return BPF_JSET;
    case BPF_JGE:
      return BPF_JLT;
    case BPF_JGT:
      return BPF_JLE;
    case BPF_JLE:
      return BPF_JGT;
    case BPF_JLT:
      return BPF_JGE;
    case BPF_JSGE:
      return BPF_JSLT;
    case BPF_JSGT:
      return BPF_JSLE;
    case BPF_JSLE:
      return BPF_JSGT;
    case BPF_JSLT:
      return BPF_JSGE;
    default:
      return 0;
  }
}

void regs_refine_cond_op(ScalarBounds* a, ScalarBounds* b, u8 op, bool is_jmp32) noexcept {
  switch (op) {
    case BPF_JEQ:
      return refine_equal(a, b, is_jmp32);
    case BPF_JNE:
    case BPF_JSET:
    case NOT_JSET:
      return refine_against_const(a, b, op, is_jmp32);
    case BPF_JLT:
      return refine_unsigned_less(a, b, false, is_jmp32);
    case BPF_JLE:
      return refine_unsigned_less(a, b, true, is_jmp32);
    case BPF_JGT:
      return refine_unsigned_less(b, a, false, is_jmp32);
    case BPF_JGE:
      return refine_unsigned_less(b, a, true, is_jmp32);
    case BPF_JSLT:
      return refine_signed_less(a, b, false, is_jmp32);
    case BPF_JSLE:
      return refine_signed_less(a, b, true, is_jmp32);
    case BPF_JSGT:
      return refine_signed_less(b, a, false, is_jmp32);
    case BPF_JSGE:
      return refine_signed_less(b, a, true, is_jmp32);
    default:
      return;
  }
}

}  // namespace skep
