#include "isa/disasm.h"

#include <fmt/format.h>

#include "isa/func_names.h"

namespace skep {
namespace {

constexpr const char* ALU_TEXT[16] = {
    "+=", "-=", "*=", "/=", "|=", "&=", "<<=", ">>=", "neg", "%=", "^=", "=", "s>>=", "endian", "", ""};
constexpr const char* ATOMIC_TEXT[16] = {"add", "", "", "", "or", "and", "", "", "", "", "xor", "", "", "", "", ""};
constexpr const char* JMP_TEXT[16] = {
    "jmp", "==", ">", ">=", "&", "!=", "s>", "s>=", "call", "exit", "<", "<=", "s<", "s<=", "", ""};
constexpr const char* SIZE_TEXT[4] = {"u32", "u16", "u8", "u64"};
constexpr const char* SIGNED_SIZE_TEXT[4] = {"s32", "s16", "s8", ""};

// Bit fields do not bind to references, which fmt takes.
int dst(const bpf_insn& insn) { return insn.dst_reg; }
int src(const bpf_insn& insn) { return insn.src_reg; }
const char* size_text(const bpf_insn& insn) { return SIZE_TEXT[bpf_size(insn.code) >> 3]; }

const char* alu_text(const bpf_insn& insn) {
  const u8 op = bpf_op(insn.code);
  if (insn.off == 1 && op == BPF_DIV) return "s/=";
  if (insn.off == 1 && op == BPF_MOD) return "s%=";
  return ALU_TEXT[op >> 4];
}

const char* movsx_text(const bpf_insn& insn) {
  if (bpf_op(insn.code) != BPF_MOV) return "";
  switch (insn.off) {
    case 8: return "(s8)";
    case 16: return "(s16)";
    case 32: return "(s32)";
    default: return "";
  }
}

std::string alu(const bpf_insn& insn) {
  const bool is64 = bpf_class(insn.code) == BPF_ALU64;
  const char r = is64 ? 'r' : 'w';
  const u8 op = bpf_op(insn.code);
  if (op == BPF_END) {
    const char* name = is64 ? "bswap" : bpf_src(insn.code) == BPF_TO_BE ? "be" : "le";
    return fmt::format("({:02x}) r{} = {}{} r{}", insn.code, dst(insn), name, insn.imm, dst(insn));
  }
  if (op == BPF_NEG) return fmt::format("({:02x}) {}{} = -{}{}", insn.code, r, dst(insn), r, dst(insn));
  if (insn.code == (BPF_ALU64 | BPF_MOV | BPF_X) && insn.off == BPF_ADDR_SPACE_CAST)
    return fmt::format("({:02x}) r{} = addr_space_cast(r{}, {}, {})", insn.code, dst(insn), src(insn),
                       static_cast<u32>(insn.imm) >> 16, static_cast<u16>(insn.imm));
  if (insn.code == (BPF_ALU64 | BPF_MOV | BPF_X) && insn.off == -1)
    return fmt::format("({:02x}) r{} = &(void __percpu *)(r{})", insn.code, dst(insn), src(insn));
  if (bpf_src(insn.code) == BPF_X)
    return fmt::format("({:02x}) {}{} {} {}{}{}", insn.code, r, dst(insn), alu_text(insn), movsx_text(insn), r, src(insn));
  return fmt::format("({:02x}) {}{} {} {}", insn.code, r, dst(insn), alu_text(insn), insn.imm);
}

std::string atomic(const bpf_insn& insn) {
  const char* wide = bpf_size(insn.code) == BPF_DW ? "64" : "";
  switch (insn.imm) {
    case BPF_ADD:
    case BPF_AND:
    case BPF_OR:
    case BPF_XOR:
      return fmt::format("({:02x}) lock *({} *)(r{} {:+}) {} r{}", insn.code, size_text(insn), dst(insn), insn.off,
                         ALU_TEXT[insn.imm >> 4], src(insn));
    case BPF_ADD | BPF_FETCH:
    case BPF_AND | BPF_FETCH:
    case BPF_OR | BPF_FETCH:
    case BPF_XOR | BPF_FETCH:
      return fmt::format("({:02x}) r{} = atomic{}_fetch_{}(({} *)(r{} {:+}), r{})", insn.code, src(insn), wide,
                         ATOMIC_TEXT[insn.imm >> 4], size_text(insn), dst(insn), insn.off, src(insn));
    case BPF_CMPXCHG:
      return fmt::format("({:02x}) r0 = atomic{}_cmpxchg(({} *)(r{} {:+}), r0, r{})", insn.code, wide, size_text(insn), dst(insn),
                         insn.off, src(insn));
    case BPF_XCHG:
      return fmt::format("({:02x}) r{} = atomic{}_xchg(({} *)(r{} {:+}), r{})", insn.code, src(insn), wide, size_text(insn),
                         dst(insn), insn.off, src(insn));
    default: return fmt::format("BUG_{:02x}", insn.code);
  }
}

std::string stx(const bpf_insn& insn) {
  if (bpf_mode(insn.code) == BPF_ATOMIC) return atomic(insn);
  if (bpf_mode(insn.code) != BPF_MEM) return fmt::format("BUG_{:02x}", insn.code);
  return fmt::format("({:02x}) *({} *)(r{} {:+}) = r{}", insn.code, size_text(insn), dst(insn), insn.off, src(insn));
}

std::string st(const bpf_insn& insn) {
  if (bpf_mode(insn.code) == 0xc0) return fmt::format("({:02x}) nospec", insn.code);
  if (bpf_mode(insn.code) != BPF_MEM) return fmt::format("BUG_st_{:02x}", insn.code);
  return fmt::format("({:02x}) *({} *)(r{} {:+}) = {}", insn.code, size_text(insn), dst(insn), insn.off, insn.imm);
}

std::string ldx(const bpf_insn& insn) {
  const u8 mode = bpf_mode(insn.code);
  if (mode != BPF_MEM && mode != BPF_MEMSX) return fmt::format("BUG_ldx_{:02x}", insn.code);
  const char* type = mode == BPF_MEM ? size_text(insn) : SIGNED_SIZE_TEXT[bpf_size(insn.code) >> 3];
  return fmt::format("({:02x}) r{} = *({} *)(r{} {:+})", insn.code, dst(insn), type, src(insn), insn.off);
}

std::string ldimm64(const bpf_insn* insn, const DisasmOptions& options) {
  const u8 pseudo = insn->src_reg;
  const bool is_pointer = pseudo >= BPF_PSEUDO_MAP_FD && pseudo <= BPF_PSEUDO_MAP_IDX_VALUE && pseudo != BPF_PSEUDO_FUNC;
  const u64 value = is_pointer && !options.show_pointers ? 0 : ldimm64_value(insn);
  std::string text = options.imm_name ? options.imm_name(*insn, value) : "";
  if (text.empty()) text = fmt::format("0x{:x}", value);
  return fmt::format("({:02x}) r{} = {}", insn->code, dst(*insn), text);
}

std::string ld(const bpf_insn* insn, const DisasmOptions& options) {
  switch (bpf_mode(insn->code)) {
    case BPF_ABS: return fmt::format("({:02x}) r0 = *({} *)skb[{}]", insn->code, size_text(*insn), insn->imm);
    case BPF_IND: return fmt::format("({:02x}) r0 = *({} *)skb[r{} + {}]", insn->code, size_text(*insn), src(*insn), insn->imm);
    default: break;
  }
  if (is_ldimm64(*insn)) return ldimm64(insn, options);
  return fmt::format("BUG_ld_{:02x}", insn->code);
}

std::string call(const bpf_insn& insn, const DisasmOptions& options) {
  std::string name = options.call_name && src(insn) != 0 ? options.call_name(insn) : "";
  if (insn.src_reg == BPF_PSEUDO_CALL) {
    if (name.empty()) name = fmt::format("{:+}", insn.imm);
    return fmt::format("({:02x}) call pc{}", insn.code, name);
  }
  if (insn.src_reg == 0)
    name = func_id_name(insn.imm);
  else if (name.empty())
    name = insn.src_reg == BPF_PSEUDO_KFUNC_CALL ? "kernel-function" : "unknown";
  return fmt::format("({:02x}) call {}#{}", insn.code, name, insn.imm);
}

std::string jmp(const bpf_insn& insn, const DisasmOptions& options) {
  const u8 op = bpf_op(insn.code);
  const char r = bpf_class(insn.code) == BPF_JMP32 ? 'w' : 'r';
  if (op == BPF_CALL) return call(insn, options);
  if (insn.code == (BPF_JMP | BPF_JA)) return fmt::format("({:02x}) goto pc{:+}", insn.code, insn.off);
  if (is_may_goto(insn)) return fmt::format("({:02x}) may_goto pc{:+}", insn.code, insn.off);
  if (insn.code == (BPF_JMP32 | BPF_JA)) return fmt::format("({:02x}) gotol pc{:+}", insn.code, insn.imm);
  if (is_exit(insn)) return fmt::format("({:02x}) exit", insn.code);
  const std::string operand =
      bpf_src(insn.code) == BPF_X ? fmt::format("{}{}", r, src(insn)) : fmt::format("0x{:x}", static_cast<u32>(insn.imm));
  return fmt::format("({:02x}) if {}{} {} {} goto pc{:+}", insn.code, r, dst(insn), JMP_TEXT[op >> 4], operand, insn.off);
}

}  // namespace

std::string disasm(const bpf_insn* insn, const DisasmOptions& options) {
  switch (bpf_class(insn->code)) {
    case BPF_ALU:
    case BPF_ALU64: return alu(*insn);
    case BPF_STX: return stx(*insn);
    case BPF_ST: return st(*insn);
    case BPF_LDX: return ldx(*insn);
    case BPF_LD: return ld(insn, options);
    default: return jmp(*insn, options);
  }
}

}  // namespace skep
