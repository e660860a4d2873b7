// isa tests: instructions by name.
#pragma once
#include <vector>

#include "isa/insn.h"

namespace skep::test {

using Prog = std::vector<bpf_insn>;

// Bit fields of bpf_insn: four bits a register.
constexpr bpf_insn raw(u8 code, u32 dst = 0, u32 src = 0, s32 off = 0, s32 imm = 0) {
  bpf_insn insn{};
  insn.code = code;
  insn.dst_reg = static_cast<u8>(dst & 15);
  insn.src_reg = static_cast<u8>(src & 15);
  insn.off = static_cast<s16>(off);
  insn.imm = imm;
  return insn;
}
constexpr bpf_insn alu64k(u8 op, u32 dst, s32 imm, s32 off = 0) { return raw(BPF_ALU64 | op | BPF_K, dst, 0, off, imm); }
constexpr bpf_insn alu64x(u8 op, u32 dst, u32 src, s32 off = 0) { return raw(BPF_ALU64 | op | BPF_X, dst, src, off); }
constexpr bpf_insn alu32k(u8 op, u32 dst, s32 imm, s32 off = 0) { return raw(BPF_ALU | op | BPF_K, dst, 0, off, imm); }
constexpr bpf_insn alu32x(u8 op, u32 dst, u32 src, s32 off = 0) { return raw(BPF_ALU | op | BPF_X, dst, src, off); }
constexpr bpf_insn mov(u32 dst, s32 imm) { return alu64k(BPF_MOV, dst, imm); }
constexpr bpf_insn movr(u32 dst, u32 src) { return alu64x(BPF_MOV, dst, src); }
constexpr bpf_insn jk(u8 op, u32 dst, s32 imm, s32 off) { return raw(BPF_JMP | op | BPF_K, dst, 0, off, imm); }
constexpr bpf_insn jx(u8 op, u32 dst, u32 src, s32 off) { return raw(BPF_JMP | op | BPF_X, dst, src, off); }
constexpr bpf_insn j32k(u8 op, u32 dst, s32 imm, s32 off) { return raw(BPF_JMP32 | op | BPF_K, dst, 0, off, imm); }
constexpr bpf_insn j32x(u8 op, u32 dst, u32 src, s32 off) { return raw(BPF_JMP32 | op | BPF_X, dst, src, off); }
constexpr bpf_insn ja(s32 off) { return raw(BPF_JMP | BPF_JA, 0, 0, off); }
constexpr bpf_insn gotol(s32 imm) { return raw(BPF_JMP32 | BPF_JA, 0, 0, 0, imm); }
constexpr bpf_insn may_goto(s32 off) { return raw(BPF_JMP | BPF_JCOND, 0, 0, off); }
constexpr bpf_insn call(s32 id) { return raw(BPF_JMP | BPF_CALL, 0, 0, 0, id); }
constexpr bpf_insn call_pc(s32 imm) { return raw(BPF_JMP | BPF_CALL, 0, BPF_PSEUDO_CALL, 0, imm); }
constexpr bpf_insn exit_() { return raw(BPF_JMP | BPF_EXIT); }
constexpr bpf_insn ldx(u8 size, u32 dst, u32 src, s32 off) { return raw(BPF_LDX | BPF_MEM | size, dst, src, off); }
constexpr bpf_insn ldsx(u8 size, u32 dst, u32 src, s32 off) { return raw(BPF_LDX | BPF_MEMSX | size, dst, src, off); }
constexpr bpf_insn stx(u8 size, u32 dst, s32 off, u32 src) { return raw(BPF_STX | BPF_MEM | size, dst, src, off); }
constexpr bpf_insn st(u8 size, u32 dst, s32 off, s32 imm) { return raw(BPF_ST | BPF_MEM | size, dst, 0, off, imm); }
constexpr bpf_insn atomic(u8 size, s32 op, u32 dst, s32 off, u32 src) {
  return raw(BPF_STX | BPF_ATOMIC | size, dst, src, off, op);
}

/// A program from instructions and pieces of programs.
inline Prog operator+(Prog a, const Prog& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}
inline Prog ldimm64(u32 dst, u64 value, u32 src = 0) {
  return {raw(LDIMM64_CODE, dst, src, 0, static_cast<s32>(value)), raw(0, 0, 0, 0, static_cast<s32>(value >> 32))};
}
inline Prog ldptr(u32 dst, const void* p, u32 src = BPF_PSEUDO_MAP_FD) { return ldimm64(dst, reinterpret_cast<u64>(p), src); }

}  // namespace skep::test
