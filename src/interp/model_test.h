// interp tests: what arithmetic and comparisons mean, told a second time and differently: wide integers instead of casts and masks.
// Source: RFC 9669 section 4.
#pragma once
#include <algorithm>

#include "isa/insn.h"

namespace skep::test {

__extension__ typedef __int128 Wide;
__extension__ typedef unsigned __int128 UWide;

/// v modulo 2^bits, as an unsigned number.
constexpr u64 wrap(Wide v, int bits) { return static_cast<u64>(static_cast<UWide>(v) % (static_cast<UWide>(1) << bits)); }
/// v modulo 2^bits, as a two's complement number.
constexpr Wide as_signed(u64 v, int bits) {
  const Wide u = static_cast<Wide>(wrap(static_cast<Wide>(v), bits));
  return u >= static_cast<Wide>(1) << (bits - 1) ? u - (static_cast<Wide>(1) << bits) : u;
}
constexpr Wide as_unsigned(u64 v, int bits) { return static_cast<Wide>(wrap(static_cast<Wide>(v), bits)); }

constexpr Wide pow2(u64 n) { return static_cast<Wide>(static_cast<UWide>(1) << n); }
constexpr Wide floor_div(Wide a, Wide b) { return a >= 0 ? a / b : -((-a + b - 1) / b); }

constexpr u64 model_shift(u8 op, u64 dst, u64 src, int bits) {
  const u64 n = src % static_cast<u64>(bits);
  if (op == BPF_LSH)
    return wrap(static_cast<Wide>(static_cast<UWide>(wrap(static_cast<Wide>(dst), bits)) * static_cast<UWide>(pow2(n)) %
                                  (static_cast<UWide>(1) << bits)),
                bits);
  if (op == BPF_RSH) return wrap(as_unsigned(dst, bits) / pow2(n), bits);
  return wrap(floor_div(as_signed(dst, bits), pow2(n)), bits);
}

constexpr u64 model_div(u8 op, u64 dst, u64 src, int bits, bool is_signed) {
  const Wide a = is_signed ? as_signed(dst, bits) : as_unsigned(dst, bits);
  const Wide b = is_signed ? as_signed(src, bits) : as_unsigned(src, bits);
  if (op == BPF_DIV) return b == 0 ? 0 : wrap(a / b, bits);
  return b == 0 ? wrap(a, bits) : wrap(a % b, bits);
}

constexpr u64 model_bits(u8 op, u64 dst, u64 src, int bits) {
  u64 out = 0;
  for (int i = 0; i < bits; ++i) {
    const bool a = (dst >> i & 1) != 0, b = (src >> i & 1) != 0;
    const bool r = op == BPF_AND ? a && b : op == BPF_OR ? a || b : a != b;
    if (r) out |= 1ULL << i;
  }
  return out;
}

constexpr u64 model_swap(u64 v, int bits) {
  u64 out = 0;
  for (int i = 0; i < bits / 8; ++i) out = out << 8 | (v >> (8 * i) & 0xff);
  return out;
}

/// dst after the ALU instruction; src is the source register's value.
constexpr u64 model_alu(const bpf_insn& insn, u64 dst, u64 src) {
  const u8 op = bpf_op(insn.code);
  const bool is64 = bpf_class(insn.code) == BPF_ALU64;
  const int bits = is64 ? 64 : 32;
  if (op == BPF_END) {
    if (is64 || bpf_src(insn.code) == BPF_TO_BE) return model_swap(dst, insn.imm);
    return wrap(static_cast<Wide>(dst), insn.imm);
  }
  const u64 s = bpf_src(insn.code) == BPF_X ? src : wrap(insn.imm, 64);
  switch (op) {
    case BPF_ADD: return wrap(as_unsigned(dst, bits) + as_unsigned(s, bits), bits);
    case BPF_SUB: return wrap(as_unsigned(dst, bits) - as_unsigned(s, bits), bits);
    case BPF_MUL:
      return static_cast<u64>(static_cast<UWide>(as_unsigned(dst, bits)) * static_cast<UWide>(as_unsigned(s, bits)) %
                              (static_cast<UWide>(1) << bits));
    case BPF_DIV:
    case BPF_MOD: return model_div(op, dst, s, bits, insn.off == 1);
    case BPF_LSH:
    case BPF_RSH:
    case BPF_ARSH: return model_shift(op, dst, s, bits);
    case BPF_NEG: return wrap(-as_signed(dst, bits), bits);
    case BPF_MOV: return wrap(insn.off == 0 ? as_unsigned(s, bits) : as_signed(s, std::min<int>(insn.off, bits)), bits);
    default: return model_bits(op, dst, s, bits);
  }
}

constexpr bool model_jump(const bpf_insn& insn, u64 dst, u64 src) {
  const int bits = bpf_class(insn.code) == BPF_JMP ? 64 : 32;
  const u64 s = bpf_src(insn.code) == BPF_X ? src : wrap(insn.imm, 64);
  const Wide ua = as_unsigned(dst, bits), ub = as_unsigned(s, bits), sa = as_signed(dst, bits), sb = as_signed(s, bits);
  switch (bpf_op(insn.code)) {
    case BPF_JEQ: return ua == ub;
    case BPF_JNE: return ua != ub;
    case BPF_JGT: return ua > ub;
    case BPF_JGE: return ua >= ub;
    case BPF_JLT: return ua < ub;
    case BPF_JLE: return ua <= ub;
    case BPF_JSGT: return sa > sb;
    case BPF_JSGE: return sa >= sb;
    case BPF_JSLT: return sa < sb;
    case BPF_JSLE: return sa <= sb;
    default: return model_bits(BPF_AND, dst, s, bits) != 0;
  }
}

}  // namespace skep::test
