// verifier: instructions that rewriting puts in. Internal to the room. Linux: include/linux/filter.h
#pragma once
#include "progtypes/ctx_access.h"

namespace skep {

constexpr bpf_insn make_insn(u8 code, u8 dst, u8 src, s16 off, s32 imm) noexcept {
  bpf_insn insn{};
  insn.code = code;
  insn.dst_reg = dst & 0xf;
  insn.src_reg = src & 0xf;
  insn.off = off;
  insn.imm = imm;
  return insn;
}
constexpr bpf_insn mov64_reg(u8 dst, u8 src) noexcept { return make_insn(BPF_ALU64 | BPF_MOV | BPF_X, dst, src, 0, 0); }
constexpr bpf_insn mov32_reg(u8 dst, u8 src) noexcept { return make_insn(BPF_ALU | BPF_MOV | BPF_X, dst, src, 0, 0); }
constexpr bpf_insn mov64_imm(u8 dst, s32 imm) noexcept { return make_insn(BPF_ALU64 | BPF_MOV | BPF_K, dst, 0, 0, imm); }
constexpr bpf_insn mov32_imm(u8 dst, s32 imm) noexcept { return make_insn(BPF_ALU | BPF_MOV | BPF_K, dst, 0, 0, imm); }
constexpr bpf_insn alu_imm(bool is64, u8 op, u8 dst, s32 imm) noexcept {
  return make_insn(static_cast<u8>((is64 ? BPF_ALU64 : BPF_ALU) | op | BPF_K), dst, 0, 0, imm);
}
constexpr bpf_insn jmp_imm(bool is64, u8 op, u8 dst, s32 imm, s16 off) noexcept {
  return make_insn(static_cast<u8>((is64 ? BPF_JMP : BPF_JMP32) | op | BPF_K), dst, 0, off, imm);
}
constexpr bpf_insn jmp_reg(u8 op, u8 dst, u8 src, s16 off) noexcept {
  return make_insn(static_cast<u8>(BPF_JMP | op | BPF_X), dst, src, off, 0);
}
constexpr bpf_insn ja(s16 off) noexcept { return make_insn(BPF_JMP | BPF_JA, 0, 0, off, 0); }
constexpr bpf_insn ldx_dw(u8 dst, u8 src, s16 off) noexcept { return make_insn(BPF_LDX | BPF_MEM | BPF_DW, dst, src, off, 0); }
constexpr bpf_insn stx_dw(u8 dst, u8 src, s16 off) noexcept { return make_insn(BPF_STX | BPF_MEM | BPF_DW, dst, src, off, 0); }

}  // namespace skep
