#include "verifier/insn_rules.h"

#include "helpers/proto.h"
#include "isa/func_names.h"

namespace skep {
namespace {

/// Linux: verifier.c:__check_reg_arg(). Whether a source holds anything is the real verifier's.
Status check_src(StructureEnv& env, u8 reg) {
  if (reg >= MAX_BPF_REG) return env.refuse(EINVAL, "R{} is invalid", reg);
  return ok_status();
}
Status check_dst(StructureEnv& env, u8 reg) {
  TRY(check_src(env, reg));
  if (reg == BPF_REG_FP) return env.refuse(EACCES, "frame pointer is read only");
  return ok_status();
}

Status check_neg_end(StructureEnv& env, const bpf_insn& insn) {
  if (bpf_op(insn.code) == BPF_NEG) {
    if (bpf_src(insn.code) != BPF_K || insn.src_reg != 0 || insn.off != 0 || insn.imm != 0)
      return env.refuse(EINVAL, "BPF_NEG uses reserved fields");
  } else if (insn.src_reg != 0 || insn.off != 0 || (insn.imm != 16 && insn.imm != 32 && insn.imm != 64) ||
             (bpf_class(insn.code) == BPF_ALU64 && bpf_src(insn.code) != BPF_TO_LE)) {
    return env.refuse(EINVAL, "BPF_END uses reserved fields");
  }
  return check_dst(env, insn.dst_reg);
}

Status check_mov_x(StructureEnv& env, const bpf_insn& insn) {
  const bool is64 = bpf_class(insn.code) == BPF_ALU64;
  if (is64 && insn.off == BPF_ADDR_SPACE_CAST) {
    if (insn.imm != 1 && insn.imm != 1 << 16)
      return env.refuse(EINVAL, "addr_space_cast insn can only convert between address space 1 and 0");
    return env.refuse(EINVAL, "addr_space_cast insn can only be used in a program that has an associated arena");
  }
  const bool off_ok = insn.off == 0 || insn.off == 8 || insn.off == 16 || (is64 && insn.off == 32);
  if (!off_ok || insn.imm != 0) return env.refuse(EINVAL, "BPF_MOV uses reserved fields");
  TRY(check_src(env, insn.src_reg));
  return check_dst(env, insn.dst_reg);
}

Status check_mov(StructureEnv& env, const bpf_insn& insn) {
  if (bpf_src(insn.code) == BPF_X) return check_mov_x(env, insn);
  if (insn.src_reg != 0 || insn.off != 0) return env.refuse(EINVAL, "BPF_MOV uses reserved fields");
  return check_dst(env, insn.dst_reg);
}

/// Linux: verifier.c:check_alu_op(), its last branch
Status check_arithmetic(StructureEnv& env, const bpf_insn& insn) {
  const u8 op = bpf_op(insn.code);
  const bool is_x = bpf_src(insn.code) == BPF_X;
  const bool divides = op == BPF_DIV || op == BPF_MOD;
  if ((is_x ? insn.imm != 0 : insn.src_reg != 0) || (insn.off != 0 && insn.off != 1) || (insn.off == 1 && !divides))
    return env.refuse(EINVAL, "BPF_ALU uses reserved fields");
  if (is_x) TRY(check_src(env, insn.src_reg));
  TRY(check_src(env, insn.dst_reg));
  if (divides && !is_x && insn.imm == 0) return env.refuse(EINVAL, "div by zero");
  if ((op == BPF_LSH || op == BPF_RSH || op == BPF_ARSH) && !is_x) {
    const s32 bits = bpf_class(insn.code) == BPF_ALU64 ? 64 : 32;
    if (insn.imm < 0 || insn.imm >= bits) return env.refuse(EINVAL, "invalid shift {}", insn.imm);
  }
  return check_dst(env, insn.dst_reg);
}

Status check_alu_op(StructureEnv& env, const bpf_insn& insn) {
  switch (bpf_op(insn.code)) {
    case BPF_END:
    case BPF_NEG: return check_neg_end(env, insn);
    case BPF_MOV: return check_mov(env, insn);
    default: return check_arithmetic(env, insn);
  }
}

/// Linux: verifier.c:check_atomic(), check_atomic_rmw()
Status check_atomic(StructureEnv& env, const bpf_insn& insn) {
  switch (insn.imm) {
    case BPF_ADD:
    case BPF_AND:
    case BPF_OR:
    case BPF_XOR:
    case BPF_ADD | BPF_FETCH:
    case BPF_AND | BPF_FETCH:
    case BPF_OR | BPF_FETCH:
    case BPF_XOR | BPF_FETCH:
    case BPF_XCHG:
    case BPF_CMPXCHG: break;
    default: return env.refuse(EINVAL, "BPF_ATOMIC uses invalid atomic opcode {:02x}", static_cast<u32>(insn.imm));
  }
  TRY(check_src(env, insn.src_reg));
  TRY(check_src(env, insn.dst_reg));
  if ((insn.imm & BPF_FETCH) == 0) return ok_status();
  return check_dst(env, insn.imm == BPF_CMPXCHG ? u8{0} : insn.src_reg);
}

Status check_stx(StructureEnv& env, const bpf_insn& insn) {
  if (bpf_mode(insn.code) == BPF_ATOMIC) return check_atomic(env, insn);
  if (bpf_mode(insn.code) != BPF_MEM || insn.imm != 0) return env.refuse(EINVAL, "BPF_STX uses reserved fields");
  TRY(check_src(env, insn.src_reg));
  return check_src(env, insn.dst_reg);
}

Status check_st(StructureEnv& env, const bpf_insn& insn) {
  if (bpf_mode(insn.code) != BPF_MEM || insn.src_reg != 0) return env.refuse(EINVAL, "BPF_ST uses reserved fields");
  return check_src(env, insn.dst_reg);
}

Status check_ldx(StructureEnv& env, const bpf_insn& insn) {
  TRY(check_src(env, insn.src_reg));
  return check_dst(env, insn.dst_reg);
}

/// Linux: verifier.c:check_ld_imm(), check_ld_abs()
Status check_ld(StructureEnv& env, const bpf_insn& insn) {
  // DIFFERS: refused for the program types of packets too: nothing here reads them.
  if (!is_ldimm64(insn)) return env.refuse(EINVAL, "BPF_LD_[ABS|IND] instructions not allowed for this program type");
  if (insn.off != 0) return env.refuse(EINVAL, "BPF_LD_IMM64 uses reserved fields");
  TRY(check_dst(env, insn.dst_reg));
  if (!is_pseudo_func(insn)) return ok_status();
  if (!env.input.has_func_info) return env.refuse(EINVAL, "missing btf func_info");
  // DIFFERS: no helper of ours takes a callback.
  return env.refuse(EINVAL, "callback functions are not supported");
}

/// Linux: verifier.c:check_helper_call(), as far as the proto goes
Status check_helper_call(StructureEnv& env, s32 id) {
  if (id < 0 || id >= static_cast<s32>(MAX_BPF_FUNC_ID_)) return env.refuse(EINVAL, "invalid func {}#{}", func_id_name(id), id);
  const FuncProto* proto = func_proto_for(static_cast<u32>(id), env.input.prog_type);
  if (proto == nullptr) return env.refuse(EINVAL, "program of this type cannot use helper {}#{}", func_id_name(id), id);
  if (proto->gpl_only && !env.input.gpl_compatible)
    return env.refuse(EINVAL, "cannot call GPL-restricted function from non-GPL compatible program");
  return ok_status();
}

Status check_call(StructureEnv& env, const bpf_insn& insn) {
  if (bpf_class(insn.code) == BPF_JMP32 || bpf_src(insn.code) != BPF_K ||
      (insn.src_reg != BPF_PSEUDO_KFUNC_CALL && insn.off != 0) || insn.src_reg > BPF_PSEUDO_KFUNC_CALL || insn.dst_reg != 0)
    return env.refuse(EINVAL, "BPF_CALL uses reserved fields");
  if (insn.src_reg == 0) return check_helper_call(env, insn.imm);
  if (insn.src_reg == BPF_PSEUDO_CALL) return ok_status();
  return env.refuse(EINVAL, "invalid kernel function call not eliminated in verifier pass");
}

Status check_may_goto(StructureEnv& env, const bpf_insn& insn) {
  if (!is_may_goto(insn) || insn.dst_reg != 0 || insn.imm != 0 || insn.off == 0)
    return env.refuse(EINVAL, "invalid may_goto off {} imm {}", insn.off, insn.imm);
  return ok_status();
}

/// Linux: verifier.c:check_cond_jmp_op()
Status check_cond_jmp(StructureEnv& env, const bpf_insn& insn) {
  TRY(check_src(env, insn.dst_reg));
  const bool is_x = bpf_src(insn.code) == BPF_X;
  if (is_x ? insn.imm != 0 : insn.src_reg != 0) return env.refuse(EINVAL, "BPF_JMP/JMP32 uses reserved fields");
  return is_x ? check_src(env, insn.src_reg) : ok_status();
}

Status check_jmp(StructureEnv& env, const bpf_insn& insn) {
  const bool is32 = bpf_class(insn.code) == BPF_JMP32;
  switch (bpf_op(insn.code)) {
    case BPF_CALL: return check_call(env, insn);
    case BPF_JA:
      if (insn.src_reg != 0 || insn.dst_reg != 0 || (is32 ? insn.off != 0 : insn.imm != 0))
        return env.refuse(EINVAL, "BPF_JA uses reserved fields");
      return ok_status();
    case BPF_EXIT:
      if (insn.imm != 0 || insn.src_reg != 0 || insn.dst_reg != 0) return env.refuse(EINVAL, "BPF_EXIT uses reserved fields");
      return ok_status();
    case BPF_JCOND: return check_may_goto(env, insn);
    default: return check_cond_jmp(env, insn);
  }
}

}  // namespace

Status check_insn(StructureEnv& env, u32 i) {
  const bpf_insn& insn = env.insns()[i];
  switch (bpf_class(insn.code)) {
    case BPF_ALU:
    case BPF_ALU64: return check_alu_op(env, insn);
    case BPF_LD: return check_ld(env, insn);
    case BPF_LDX: return check_ldx(env, insn);
    case BPF_ST: return check_st(env, insn);
    case BPF_STX: return check_stx(env, insn);
    default: return check_jmp(env, insn);
  }
}

Status check_stack_access(StructureEnv& env, const StackAccess& a) {
  if (a.size > 1 && a.off % a.size != 0)
    return env.refuse(EACCES, "misaligned stack access off (0x0; 0x0)+{}+{} size {}", a.reg_off, a.off - a.reg_off, a.size);
  int err = 0;
  if (a.off < -s64{MAX_BPF_STACK} || a.off > -1)
    err = EACCES;
  else if (a.off + a.size > 0)
    err = EINVAL;
  if (err == 0) return ok_status();
  return env.refuse(err, "invalid {} stack R{} off={} size={}", a.write && !a.both ? "write to" : "read from", a.reg, a.off,
                    a.size);
}

}  // namespace skep
