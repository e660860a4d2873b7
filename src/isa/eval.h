// isa: what arithmetic and comparisons yield; one meaning for the interpreter and for constant branches in the verifier.
// Source: RFC 9669 sections 4.1 to 4.3. Freestanding: also compiled into the agent.
#pragma once
#include "isa/insn.h"

namespace skep {

/// The value with its low `bits` (8, 16, 32) sign-extended to 64; other widths leave it as it is.
constexpr u64 sign_extend(u64 value, s16 bits) noexcept {
  switch (bits) {
    case 8: return static_cast<u64>(static_cast<s64>(static_cast<s8>(value)));
    case 16: return static_cast<u64>(static_cast<s64>(static_cast<s16>(value)));
    case 32: return static_cast<u64>(static_cast<s64>(static_cast<s32>(value)));
    default: return value;
  }
}

/// The low `bits` (16, 32, 64) of value in reverse byte order, zero-extended.
constexpr u64 byte_swap(u64 value, s32 bits) noexcept {
  switch (bits) {
    case 16: return __builtin_bswap16(static_cast<u16>(value));
    case 32: return __builtin_bswap32(static_cast<u32>(value));
    default: return __builtin_bswap64(value);
  }
}

/// Division and remainder as BPF defines them: x / 0 = 0, x % 0 = x, INT_MIN / -1 = INT_MIN, INT_MIN % -1 = 0.
template <typename U, typename S>
constexpr U divide(U a, U b, bool is_signed) noexcept {
  if (b == 0) return 0;
  if (!is_signed) return a / b;
  if (b == static_cast<U>(-1)) return U{0} - a;
  return static_cast<U>(static_cast<S>(a) / static_cast<S>(b));
}
template <typename U, typename S>
constexpr U modulo(U a, U b, bool is_signed) noexcept {
  if (b == 0) return a;
  if (!is_signed) return a % b;
  if (b == static_cast<U>(-1)) return 0;
  return static_cast<U>(static_cast<S>(a) % static_cast<S>(b));
}

/// dst after `op` at one width. `off` selects the signed division (1) and the width of a sign-extending move. END is not among
/// them.
template <typename U, typename S>
constexpr U alu_op(u8 op, U dst, U src, s16 off) noexcept {
  constexpr U shift_mask = sizeof(U) * 8 - 1;
  switch (op) {
    case BPF_ADD: return dst + src;
    case BPF_SUB: return dst - src;
    case BPF_MUL: return dst * src;
    case BPF_DIV: return divide<U, S>(dst, src, off == 1);
    case BPF_MOD: return modulo<U, S>(dst, src, off == 1);
    case BPF_OR: return dst | src;
    case BPF_AND: return dst & src;
    case BPF_XOR: return dst ^ src;
    case BPF_LSH: return dst << (src & shift_mask);
    case BPF_RSH: return dst >> (src & shift_mask);
    case BPF_ARSH: return static_cast<U>(static_cast<S>(dst) >> (src & shift_mask));
    case BPF_NEG: return U{0} - dst;
    case BPF_MOV: return static_cast<U>(sign_extend(src, off));
    default: return dst;
  }
}

/// dst after the byte-order instruction `insn`. Source: RFC 9669 section 4.2. Little-endian machine.
constexpr u64 eval_end(const bpf_insn& insn, u64 dst) noexcept {
  if (bpf_class(insn.code) == BPF_ALU64 || bpf_src(insn.code) == BPF_TO_BE) return byte_swap(dst, insn.imm);
  if (insn.imm == 16) return static_cast<u16>(dst);
  if (insn.imm == 32) return static_cast<u32>(dst);
  return dst;
}

/// dst after the ALU or ALU64 instruction `insn`; `src` is the source register's value (unused for the K forms).
constexpr u64 eval_alu(const bpf_insn& insn, u64 dst, u64 src) noexcept {
  const u8 op = bpf_op(insn.code);
  if (op == BPF_END) return eval_end(insn, dst);
  if (bpf_src(insn.code) == BPF_K) src = static_cast<u64>(static_cast<s64>(insn.imm));
  if (bpf_class(insn.code) == BPF_ALU64) return alu_op<u64, s64>(op, dst, src, insn.off);
  return alu_op<u32, s32>(op, static_cast<u32>(dst), static_cast<u32>(src), insn.off);
}

template <typename U, typename S>
constexpr bool compare(u8 op, U a, U b) noexcept {
  switch (op) {
    case BPF_JEQ: return a == b;
    case BPF_JNE: return a != b;
    case BPF_JGT: return a > b;
    case BPF_JGE: return a >= b;
    case BPF_JLT: return a < b;
    case BPF_JLE: return a <= b;
    case BPF_JSET: return (a & b) != 0;
    case BPF_JSGT: return static_cast<S>(a) > static_cast<S>(b);
    case BPF_JSGE: return static_cast<S>(a) >= static_cast<S>(b);
    case BPF_JSLT: return static_cast<S>(a) < static_cast<S>(b);
    case BPF_JSLE: return static_cast<S>(a) <= static_cast<S>(b);
    default: return false;
  }
}

/// Whether the conditional jump `insn` is taken.
constexpr bool eval_jump(const bpf_insn& insn, u64 dst, u64 src) noexcept {
  if (bpf_src(insn.code) == BPF_K) src = static_cast<u64>(static_cast<s64>(insn.imm));
  if (bpf_class(insn.code) == BPF_JMP) return compare<u64, s64>(bpf_op(insn.code), dst, src);
  return compare<u32, s32>(bpf_op(insn.code), static_cast<u32>(dst), static_cast<u32>(src));
}

}  // namespace skep
