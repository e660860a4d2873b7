// verifier: atomic operations on memory. Linux: kernel/bpf/verifier.c:check_atomic(), check_atomic_rmw()
#include "verifier/mem_access.h"

namespace skep {
namespace {

/// Whether code can be made for an atomic operation on arena memory. The operations without an x86 instruction become loops, and a
/// fault in these cannot be recovered from. Linux: arch/x86/net/bpf_jit_comp.c:bpf_jit_supports_insn()
bool arena_supports(const bpf_insn& insn) {
  return insn.imm != (BPF_AND | BPF_FETCH) && insn.imm != (BPF_OR | BPF_FETCH) && insn.imm != (BPF_XOR | BPF_FETCH);
}

/// Memory that is not written through plain addresses, or that others may see half done. Linux: atomic_ptr_type_ok()
bool pointer_ok(const RegState& reg, const bpf_insn& insn) {
  if (reg.type == PTR_TO_CTX || reg.type == PTR_TO_FLOW_KEYS || type_is_pkt_pointer(reg.type) || type_is_sk_pointer(reg.type))
    return false;
  return reg.type != PTR_TO_ARENA || arena_supports(insn);
}

Status check_rmw_operands(VerifierEnv& env, const bpf_insn& insn) {
  TRY(check_reg_arg(env, insn.src_reg, SRC_OP));
  TRY(check_reg_arg(env, insn.dst_reg, SRC_OP));
  if (insn.imm == BPF_CMPXCHG) {
    // R0 is compared with what lies in memory.
    TRY(check_reg_arg(env, 0, SRC_OP));
    if (is_pointer_value(env, 0)) return env.refuse(EACCES, "R0 leaks addr into mem");
  }
  if (is_pointer_value(env, insn.src_reg)) return env.refuse(EACCES, "R{} leaks addr into mem", u32{insn.src_reg});
  const RegState& dst = env.cur_regs()[insn.dst_reg];
  if (!pointer_ok(dst, insn))
    return env.refuse(EACCES, "BPF_ATOMIC stores into R{} {} is not allowed", u32{insn.dst_reg}, reg_type_str(env, dst.type));
  return ok_status();
}

Status check_rmw(VerifierEnv& env, u32 insn_idx, const bpf_insn& insn) {
  const u8 size = bpf_size(insn.code);
  if (size != BPF_W && size != BPF_DW) return env.refuse(EINVAL, "invalid atomic operand size");
  TRY(check_rmw_operands(env, insn));
  s32 load_reg = -1;
  if ((insn.imm & BPF_FETCH) != 0) {
    load_reg = insn.imm == BPF_CMPXCHG ? 0 : insn.src_reg;
    TRY(check_reg_arg(env, static_cast<u32>(load_reg), DST_OP));
  }
  // The bytes are read as a number first, so that no pointer comes out of them; then again as the register gets them.
  TRY(check_mem_access(env, insn_idx, insn.dst_reg, insn.off, size, BPF_READ, -1, true, false));
  if (load_reg >= 0) TRY(check_mem_access(env, insn_idx, insn.dst_reg, insn.off, size, BPF_READ, load_reg, true, false));
  TRY(save_aux_ptr_type(env, env.cur_regs()[insn.dst_reg].type, false));
  TRY(check_mem_access(env, insn_idx, insn.dst_reg, insn.off, size, BPF_WRITE, -1, true, false));
  return ok_status();
}

}  // namespace

Status check_atomic(VerifierEnv& env, u32 insn_idx, const bpf_insn& insn) {
  switch (insn.imm) {
    case BPF_ADD:
    case BPF_ADD | BPF_FETCH:
    case BPF_AND:
    case BPF_AND | BPF_FETCH:
    case BPF_OR:
    case BPF_OR | BPF_FETCH:
    case BPF_XOR:
    case BPF_XOR | BPF_FETCH:
    case BPF_XCHG:
    case BPF_CMPXCHG:
      return check_rmw(env, insn_idx, insn);
    default:
      return env.refuse(EINVAL, "BPF_ATOMIC uses invalid atomic opcode {:02x}", static_cast<u32>(insn.imm));
  }
}

}  // namespace skep
