// verifier: what is known about the number in a register (or about the variable part of a pointer): known bits, and ranges of its
// 64 and of its low 32 bits, each read signed and unsigned. A value is possible when all five agree. Pure arithmetic on trivially
// copyable structs; register types, ids, precision marks and the log belong to the callers. As precise as Linux 6.12.117, no more
// and no less: verdicts and instruction counts hang on it. Linux: kernel/bpf/verifier.c (the function is named at each of ours)
#pragma once
#include <bit>
#include <limits>
#include <type_traits>

#include "base/types.h"
#include "uapi/bpf.h"
#include "verifier/tnum.h"

namespace skep {

constexpr s64 S64_MIN = std::numeric_limits<s64>::min(), S64_MAX = std::numeric_limits<s64>::max();
constexpr s32 S32_MIN = std::numeric_limits<s32>::min(), S32_MAX = std::numeric_limits<s32>::max();
constexpr u64 U64_MAX = std::numeric_limits<u64>::max();
constexpr u32 U32_MAX = std::numeric_limits<u32>::max();

/// The zero state is the known number 0.
struct ScalarBounds {
  Tnum var_off;
  s64 smin_value = 0, smax_value = 0;
  u64 umin_value = 0, umax_value = 0;
  s32 s32_min_value = 0, s32_max_value = 0;
  u32 u32_min_value = 0, u32_max_value = 0;
  bool operator==(const ScalarBounds&) const = default;
};
static_assert(sizeof(ScalarBounds) == 64 && std::is_trivially_copyable_v<ScalarBounds>);

// ---- setting ----------------------------------------------------------------------------------------------------------------

/// The low 32 bits are imm; the rest of var_off and the 64-bit ranges stay. Linux: __mark_reg32_known()
inline void mark32_known(ScalarBounds* b, u32 imm) noexcept {
  b->var_off = tnum_const_subreg(b->var_off, imm);
  b->s32_min_value = b->s32_max_value = static_cast<s32>(imm);
  b->u32_min_value = b->u32_max_value = imm;
}
/// Linux: ___mark_reg_known(). Linux's __mark_reg_known() also clears id, off and the like: the caller's part.
inline void mark_known(ScalarBounds* b, u64 imm) noexcept {
  b->var_off = tnum_const(imm);
  b->smin_value = b->smax_value = static_cast<s64>(imm);
  b->umin_value = b->umax_value = imm;
  b->s32_min_value = b->s32_max_value = static_cast<s32>(imm);
  b->u32_min_value = b->u32_max_value = static_cast<u32>(imm);
}
inline void mark_known_zero(ScalarBounds* b) noexcept { mark_known(b, 0); }

// Ranges only, var_off stays. Linux: __mark_reg{,64,32}_unbounded()
inline void mark64_unbounded(ScalarBounds* b) noexcept {
  b->smin_value = S64_MIN;
  b->smax_value = S64_MAX;
  b->umin_value = 0;
  b->umax_value = U64_MAX;
}
inline void mark32_unbounded(ScalarBounds* b) noexcept {
  b->s32_min_value = S32_MIN;
  b->s32_max_value = S32_MAX;
  b->u32_min_value = 0;
  b->u32_max_value = U32_MAX;
}
inline void mark_unbounded(ScalarBounds* b) noexcept {
  mark64_unbounded(b);
  mark32_unbounded(b);
}
/// Any number at all. Linux: the arithmetic of __mark_reg_unknown()
inline void mark_unknown(ScalarBounds* b) noexcept {
  b->var_off = tnum_unknown;
  mark_unbounded(b);
}

// ---- asking -----------------------------------------------------------------------------------------------------------------

/// The number (its low half if subreg32) is known. The caller knows it is a scalar. Linux: is_reg_const()
inline bool is_const(const ScalarBounds& b, bool subreg32) noexcept {
  return subreg32 ? tnum_subreg_is_const(b.var_off) : tnum_is_const(b.var_off);
}
/// REQUIRES: is_const(b, subreg32). Linux: reg_const_value()
inline u64 const_value(const ScalarBounds& b, bool subreg32) noexcept {
  return subreg32 ? static_cast<u32>(b.var_off.value) : b.var_off.value;
}
/// Bits that the largest possible value needs (0..64). Linux: get_reg_width()
inline u32 reg_width(const ScalarBounds& b) noexcept { return static_cast<u32>(std::bit_width(b.umax_value)); }

/// cur's ranges lie in old's; var_off is not looked at. Linux: range_within()
inline bool range_within(const ScalarBounds& old, const ScalarBounds& cur) noexcept {
  return old.umin_value <= cur.umin_value && old.umax_value >= cur.umax_value && old.smin_value <= cur.smin_value &&
         old.smax_value >= cur.smax_value && old.u32_min_value <= cur.u32_min_value && old.u32_max_value >= cur.u32_max_value &&
         old.s32_min_value <= cur.s32_min_value && old.s32_max_value >= cur.s32_max_value;
}

/// nullptr, or Linux's words for what is wrong with b (possible on dead branches). The caller prints
///   "REG INVARIANTS VIOLATION (%s): %s u64=[%#llx, %#llx] s64=[%#llx, %#llx] u32=[%#x, %#x] s32=[%#x, %#x] var_off=(%#llx,
///   %#llx)\n"
/// (context, these words, the ranges, value and mask) and then fails with EFAULT under BPF_F_TEST_REG_INVARIANTS, else calls
/// mark_unbounded(). Linux: reg_bounds_sanity_check()
const char* bounds_sanity_check(const ScalarBounds& b) noexcept;
/// bounds_sanity_check(b) == nullptr, without the words.
inline bool bounds_are_sane(const ScalarBounds& b) noexcept {
  if (b.umin_value > b.umax_value || b.smin_value > b.smax_value) return false;
  if (b.u32_min_value > b.u32_max_value || b.s32_min_value > b.s32_max_value) return false;
  if (!tnum_subreg_is_const(b.var_off)) return true;
  const u32 low = static_cast<u32>(b.var_off.value);
  if (b.u32_min_value != low || b.u32_max_value != low) return false;
  if (static_cast<u32>(b.s32_min_value) != low || static_cast<u32>(b.s32_max_value) != low) return false;
  const u64 value = b.var_off.value;
  return !tnum_is_const(b.var_off) || (b.umin_value == value && b.umax_value == value && static_cast<u64>(b.smin_value) == value &&
                                       static_cast<u64>(b.smax_value) == value);
}

// ---- relating the five domains ----------------------------------------------------------------------------------------------

/// Narrows each domain by what the others know. Keeps every possible value. Linux: reg_bounds_sync()
void reg_bounds_sync(ScalarBounds* b) noexcept;
/// Intersects the ranges (not the low 32 bits of var_off) with var_off. Linux: __update_reg_bounds(), __update_reg32_bounds()
void update_bounds(ScalarBounds* b) noexcept;
void update32_bounds(ScalarBounds* b) noexcept;
/// 64-bit ranges := those of the zero-extended low half; var_off stays. Linux: __reg_assign_32_into_64()
void assign_32_into_64(ScalarBounds* b) noexcept;
/// The upper half becomes 0. No sync. Linux: zext_32_to_64()
void zext_32_to_64(ScalarBounds* b) noexcept;
/// Keeps the low `bytes` (1, 2, 4), zero above; synced. Linux: coerce_reg_to_size()
void coerce_reg_to_size(ScalarBounds* b, u32 bytes) noexcept;
/// Sign-extends the low `bytes` (1, 2, 4) to 64 bits. Not synced, as in Linux. Linux: coerce_reg_to_size_sx()
void coerce_reg_to_size_sx(ScalarBounds* b, u32 bytes) noexcept;
/// Sign-extends the low `bytes` (1, 2) to 32 bits. Leaves the upper half meaningless: the caller goes on with zext_32_to_64() and
/// reg_bounds_sync(). Linux: coerce_subreg_to_size_sx()
void coerce_subreg_to_size_sx(ScalarBounds* b, u32 bytes) noexcept;
/// Learns that the value lies in min..max, read as s32 and as s64; synced. The caller goes on with bounds_sanity_check(), context
/// "s32_range". Linux: __mark_reg_s32_range()
void narrow_to_s32_range(ScalarBounds* b, s32 min, s32 max) noexcept;

// ---- ALU (bounds_alu.cc) ----------------------------------------------------------------------------------------------------

/// dst := dst <op> src for ADD SUB MUL AND OR XOR LSH RSH ARSH, 64 or 32 bits wide (the latter zero-extended), synced. For DIV, MOD
/// and shifts by an unknown or too large count dst becomes unknown and the answer is false: Linux then resets the whole register
/// (id, off, precise), so the caller does too. NEG, END and MOV are no business of this function: in 6.12 the first two make the
/// register unknown and MOV copies. src is a copy because `r1 += r1` is a program. Linux: adjust_scalar_min_max_vals()
bool scalar_alu(u8 op, bool is64, ScalarBounds* dst, ScalarBounds src) noexcept;

/// 6.12.117 explores `x & K` and `x | K` twice when x is known to be 0 or -1. The caller asks before scalar_alu(). If the answer is
/// not NONE it pushes a branch to the *same* instruction in which dst is 0, and goes on with dst -1: WIDE by mark_known() plus
/// what Linux's __mark_reg_known() clears (id, ref_obj_id, off), SUBREG by mark32_known(). op64 and op32 forms are treated alike.
/// Linux: maybe_fork_scalars()
enum class ScalarFork : u8 { NONE, WIDE, SUBREG };
ScalarFork scalar_fork(u8 op, const ScalarBounds& dst, const ScalarBounds& src) noexcept;

/// 64-bit ranges of dst += src and dst -= src; var_off and the 32-bit ranges stay, no sync. Pointer arithmetic uses them too: there
/// dst is the pointer's variable part. Linux: scalar_min_max_add(), scalar_min_max_sub(), and adjust_ptr_min_max_vals()
void scalar_min_max_add(ScalarBounds* dst, const ScalarBounds& src) noexcept;
void scalar_min_max_sub(ScalarBounds* dst, const ScalarBounds& src) noexcept;

// ---- conditional jumps (bounds_jump.cc) -------------------------------------------------------------------------------------

/// 1: `a <op> b` always jumps; 0: never; -1: unknown. Both are scalars. Linux: is_scalar_branch_taken()
int is_scalar_branch_taken(const ScalarBounds& a, const ScalarBounds& b, u8 op, bool is_jmp32) noexcept;
/// The op with `a <op> b` equal to `b <flipped> a`. Linux: flip_opcode()
u8 flip_opcode(u8 op) noexcept;
/// The op of the fall-through branch. JSET's is JSET | BPF_X, which no program can contain. Linux: rev_opcode()
u8 rev_opcode(u8 op) noexcept;
/// Learns that `a <op> b` holds (op may be JSET | BPF_X). a and b may be the same object. No sync: the caller syncs both and
/// checks their sanity. Linux: regs_refine_cond_op()
void regs_refine_cond_op(ScalarBounds* a, ScalarBounds* b, u8 op, bool is_jmp32) noexcept;

}  // namespace skep
