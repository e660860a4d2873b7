// isa: decoding of single instructions. Freestanding: also compiled into the agent.
#pragma once
#include "uapi/bpf.h"

namespace skep {

// Names that Linux keeps outside include/uapi. Source: include/linux/bpf.h, include/linux/bpf_verifier.h, include/linux/filter.h
constexpr u32 MAX_BPF_REG = 11;
constexpr u8 BPF_REG_FP = 10;
constexpr u32 MAX_CALL_FRAMES = 8;
constexpr u32 BPF_MAX_SUBPROGS = 256;
constexpr u32 BPF_MAX_LOOPS = 8 * 1024 * 1024;
constexpr u32 BPF_MAX_VAR_OFF = 1u << 29;
constexpr u32 BPF_MAX_VAR_SIZ = 1u << 29;
constexpr u32 MAX_USED_MAPS = 64;
constexpr u8 BPF_MAY_GOTO = 0;          ///< src_reg of JCOND
constexpr s16 BPF_ADDR_SPACE_CAST = 1;  ///< off of a 64-bit register move
/// Modes of loads that the verifier makes of BPF_MEM and BPF_MEMSX: a fault reads zero. Linux: include/linux/filter.h
constexpr u8 BPF_PROBE_MEM = 0x20, BPF_PROBE_MEMSX = 0x40;
constexpr u8 BPF_TO_LE = 0x00, BPF_TO_BE = 0x08;
constexpr u8 LDIMM64_CODE = BPF_LD | BPF_IMM | BPF_DW;

/// True for the opcodes that a program may contain. Linux: kernel/bpf/core.c:bpf_opcode_in_insntable()
bool opcode_known(u8 code) noexcept;

constexpr bool is_ldimm64(const bpf_insn& insn) noexcept { return insn.code == LDIMM64_CODE; }
/// Instruction slots that `insn` takes.
constexpr u32 insn_slots(const bpf_insn& insn) noexcept { return is_ldimm64(insn) ? 2 : 1; }
/// REQUIRES: is_ldimm64(insn[0]) and insn[1] exists.
constexpr u64 ldimm64_value(const bpf_insn* insn) noexcept {
  return static_cast<u64>(static_cast<u32>(insn[1].imm)) << 32 | static_cast<u32>(insn[0].imm);
}
constexpr bool is_call(const bpf_insn& insn) noexcept { return insn.code == (BPF_JMP | BPF_CALL); }
constexpr bool is_helper_call(const bpf_insn& insn) noexcept { return is_call(insn) && insn.src_reg == 0; }
constexpr bool is_pseudo_call(const bpf_insn& insn) noexcept { return is_call(insn) && insn.src_reg == BPF_PSEUDO_CALL; }
constexpr bool is_kfunc_call(const bpf_insn& insn) noexcept { return is_call(insn) && insn.src_reg == BPF_PSEUDO_KFUNC_CALL; }
constexpr bool is_pseudo_func(const bpf_insn& insn) noexcept { return is_ldimm64(insn) && insn.src_reg == BPF_PSEUDO_FUNC; }
constexpr bool is_may_goto(const bpf_insn& insn) noexcept {
  return insn.code == (BPF_JMP | BPF_JCOND) && insn.src_reg == BPF_MAY_GOTO;
}
constexpr bool is_exit(const bpf_insn& insn) noexcept { return insn.code == (BPF_JMP | BPF_EXIT); }
constexpr bool is_jmp_class(u8 code) noexcept { return bpf_class(code) == BPF_JMP || bpf_class(code) == BPF_JMP32; }
constexpr bool is_alu_class(u8 code) noexcept { return bpf_class(code) == BPF_ALU || bpf_class(code) == BPF_ALU64; }
/// Where a jump (not a call, not an exit) at `pc` goes. gotol carries its distance in imm.
constexpr s64 jump_target(const bpf_insn& insn, u32 pc) noexcept {
  return static_cast<s64>(pc) + (insn.code == (BPF_JMP32 | BPF_JA) ? insn.imm : insn.off) + 1;
}
/// Where a bpf-to-bpf call or a function reference at `pc` goes.
constexpr s64 call_target(const bpf_insn& insn, u32 pc) noexcept { return static_cast<s64>(pc) + insn.imm + 1; }
/// Bytes that a load, store or atomic operation moves.
constexpr u32 access_bytes(u8 code) noexcept {
  constexpr u8 bytes[] = {4, 2, 1, 8};
  return bytes[bpf_size(code) >> 3];
}

}  // namespace skep
