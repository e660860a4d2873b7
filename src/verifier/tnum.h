// verifier: tristate numbers. Each bit of a tracked value is 0, 1 or unknown: a set bit of `mask` is unknown, else `value` has it.
// Invariant: value & mask == 0. A Tnum stands for the set { x : (x & ~mask) == value }. Everything here is pure and as precise as
// Linux, no more and no less: pruning and instruction counts hang on it. Linux: kernel/bpf/tnum.c, include/linux/tnum.h
#pragma once
#include <bit>

#include "base/types.h"

namespace skep {

struct Tnum {
  u64 value = 0, mask = 0;
  bool operator==(const Tnum&) const = default;
};

inline constexpr Tnum tnum_unknown{0, ~u64{0}};

constexpr Tnum tnum_const(u64 value) noexcept { return {value, 0}; }

/// Smallest Tnum that holds all of min..max (unsigned, min <= max): the common leading bits, the rest unknown.
constexpr Tnum tnum_range(u64 min, u64 max) noexcept {
  const auto bits = static_cast<u32>(std::bit_width(min ^ max));
  if (bits > 63) return tnum_unknown;
  const u64 low = (u64{1} << bits) - 1;
  return {min & ~low, low};
}

// Shifts. REQUIRES: shift < 64, for the 32-bit arithmetic shift shift < 32.
constexpr Tnum tnum_lshift(Tnum a, u8 shift) noexcept { return {a.value << shift, a.mask << shift}; }
constexpr Tnum tnum_rshift(Tnum a, u8 shift) noexcept { return {a.value >> shift, a.mask >> shift}; }
/// insn_bitness is 32 (sign bit 31, result zero-extended) or 64.
constexpr Tnum tnum_arshift(Tnum a, u8 shift, u8 insn_bitness) noexcept {
  if (insn_bitness == 32) {
    return {static_cast<u32>(static_cast<s32>(a.value) >> shift), static_cast<u32>(static_cast<s32>(a.mask) >> shift)};
  }
  return {static_cast<u64>(static_cast<s64>(a.value) >> shift), static_cast<u64>(static_cast<s64>(a.mask) >> shift)};
}

/// A result bit is unknown where an operand's is, or where the carries into it differ between the smallest and the largest sum.
constexpr Tnum tnum_add(Tnum a, Tnum b) noexcept {
  const u64 least = a.value + b.value;
  const u64 most = least + a.mask + b.mask;
  const u64 unknown = (most ^ least) | a.mask | b.mask;
  return {least & ~unknown, unknown};
}
constexpr Tnum tnum_sub(Tnum a, Tnum b) noexcept {
  const u64 base = a.value - b.value;
  const u64 unknown = ((base + a.mask) ^ (base - b.mask)) | a.mask | b.mask;
  return {base & ~unknown, unknown};
}
constexpr Tnum tnum_and(Tnum a, Tnum b) noexcept {
  const u64 ones = a.value & b.value;
  return {ones, (a.value | a.mask) & (b.value | b.mask) & ~ones};
}
constexpr Tnum tnum_or(Tnum a, Tnum b) noexcept {
  const u64 ones = a.value | b.value;
  return {ones, (a.mask | b.mask) & ~ones};
}
constexpr Tnum tnum_xor(Tnum a, Tnum b) noexcept {
  const u64 unknown = a.mask | b.mask;
  return {(a.value ^ b.value) & ~unknown, unknown};
}
/// Not symmetric: a is the multiplier (Linux passes dst), and the other order may give another, equally sound answer.
Tnum tnum_mul(Tnum a, Tnum b) noexcept;

/// False when no value is in both. Linux: tnum.c:tnum_overlap()
constexpr bool tnum_overlap(Tnum a, Tnum b) noexcept { return ((a.value ^ b.value) & ~a.mask & ~b.mask) == 0; }
/// The values in both. Where the two contradict each other in a bit, that bit becomes a known 1.
constexpr Tnum tnum_intersect(Tnum a, Tnum b) noexcept {
  const u64 unknown = a.mask & b.mask;
  return {(a.value | b.value) & ~unknown, unknown};
}
/// True when every value of b is in a.
constexpr bool tnum_in(Tnum a, Tnum b) noexcept { return (b.mask & ~a.mask) == 0 && (b.value & ~a.mask) == a.value; }

/// The lowest `size` bytes (1..8), zero above.
constexpr Tnum tnum_cast(Tnum a, u8 size) noexcept {
  if (size >= 8) return a;
  const u64 low = (u64{1} << (size * 8)) - 1;
  return {a.value & low, a.mask & low};
}
constexpr bool tnum_is_const(Tnum a) noexcept { return a.mask == 0; }
constexpr bool tnum_equals_const(Tnum a, u64 value) noexcept { return a.mask == 0 && a.value == value; }
constexpr bool tnum_is_unknown(Tnum a) noexcept { return a.mask == ~u64{0}; }
/// True when every value is a multiple of size, a power of two (0 counts as yes).
constexpr bool tnum_is_aligned(Tnum a, u64 size) noexcept { return size == 0 || ((a.value | a.mask) & (size - 1)) == 0; }

// The low 32 bits (the "subreg") of a 64-bit register.
constexpr Tnum tnum_subreg(Tnum a) noexcept { return {static_cast<u32>(a.value), static_cast<u32>(a.mask)}; }
constexpr Tnum tnum_clear_subreg(Tnum a) noexcept { return {a.value >> 32 << 32, a.mask >> 32 << 32}; }
constexpr Tnum tnum_with_subreg(Tnum reg, Tnum subreg) noexcept { return tnum_or(tnum_clear_subreg(reg), tnum_subreg(subreg)); }
constexpr Tnum tnum_const_subreg(Tnum a, u32 value) noexcept { return tnum_with_subreg(a, tnum_const(value)); }
constexpr bool tnum_subreg_is_const(Tnum a) noexcept { return static_cast<u32>(a.mask) == 0; }

}  // namespace skep
