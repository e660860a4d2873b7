// verifier: arithmetic. What the instruction must look like, what it does to the registers. Linux: verifier.c:check_alu_op()
#include "verifier/alu.h"

#include <algorithm>

namespace skep {
namespace {

bool is64(const bpf_insn& insn) { return bpf_class(insn.code) == BPF_ALU64; }
bool is_x(const bpf_insn& insn) { return bpf_src(insn.code) == BPF_X; }

// --- BPF_NEG, BPF_END ---------------------------------------------------------------------------------------------------------------

Status check_unary(VerifierEnv& env, const bpf_insn& insn) {
  if (bpf_op(insn.code) == BPF_NEG) {
    if (is_x(insn) || insn.src_reg != 0 || insn.off != 0 || insn.imm != 0) return env.refuse(EINVAL, "BPF_NEG uses reserved fields");
  } else {
    const bool width = insn.imm == 16 || insn.imm == 32 || insn.imm == 64;
    if (insn.src_reg != 0 || insn.off != 0 || !width || (is64(insn) && bpf_src(insn.code) != BPF_TO_LE))
      return env.refuse(EINVAL, "BPF_END uses reserved fields");
  }
  const u32 dst = insn.dst_reg;
  TRY(check_reg_arg(env, dst, SRC_OP));
  if (is_pointer_value(env, dst)) return env.refuse(EACCES, "R{} pointer arithmetic prohibited", dst);
  return check_reg_arg(env, dst, DST_OP);  // the result is an unknown number
}

// --- BPF_MOV ------------------------------------------------------------------------------------------------------------------------

bool uses_arena(const VerifierEnv& env) {
  return std::any_of(env.used_maps.begin(), env.used_maps.end(), [](const VerifierMap* m) { return m->type == BPF_MAP_TYPE_ARENA; });
}

Status check_mov_fields(VerifierEnv& env, const bpf_insn& insn) {
  const s32 off = insn.off;
  if (!is_x(insn)) {
    if (insn.src_reg != 0 || off != 0) return env.refuse(EINVAL, "BPF_MOV uses reserved fields");
    return ok_status();
  }
  if (is64(insn) && off == BPF_ADDR_SPACE_CAST) {
    if (insn.imm != 1 && insn.imm != 1 << 16)
      return env.refuse(EINVAL, "addr_space_cast insn can only convert between address space 1 and 0");
    if (!uses_arena(env))
      return env.refuse(EINVAL, "addr_space_cast insn can only be used in a program that has an associated arena");
    return ok_status();
  }
  const bool width = off == 0 || off == 8 || off == 16 || (off == 32 && is64(insn));
  if (!width || insn.imm != 0) return env.refuse(EINVAL, "BPF_MOV uses reserved fields");
  return ok_status();
}

/// dst becomes a copy of src. keep_link: the two stay the same number, so what is learnt of one holds for the other.
void copy_scalar(VerifierEnv& env, RegState& dst, RegState& src, bool keep_link, s32 subreg_def) {
  if (keep_link) assign_scalar_id_before_mov(env, src);
  copy_register_state(dst, src);
  if (!keep_link) clear_scalar_id(dst);
  dst.live |= REG_LIVE_WRITTEN;
  dst.subreg_def = subreg_def;
}

/// The sign bit of a value of `bits` bits is known to be 0.
bool no_sign_extension(const RegState& src, s32 bits) { return src.umax_value < u64{1} << (bits - 1); }

Status mov64_reg(VerifierEnv& env, const bpf_insn& insn) {
  RegState* const regs = env.cur_regs();
  const u32 srcno = insn.src_reg, dstno = insn.dst_reg;
  RegState &src = regs[srcno], &dst = regs[dstno];
  if (insn.imm != 0) {  // BPF_ADDR_SPACE_CAST
    mark_reg_unknown(env, regs, dstno);
    if (insn.imm == 1) {
      dst.type = PTR_TO_ARENA;  // 32 bits wide
      dst.subreg_def = static_cast<s32>(env.insn_idx + 1);
    }
  } else if (insn.off == 0) {
    copy_scalar(env, dst, src, true, DEF_NOT_SUBREG);  // pointers too
  } else if (is_pointer_value(env, srcno)) {
    return env.refuse(EACCES, "R{} sign-extension part of pointer", srcno);
  } else if (src.type == SCALAR_VALUE) {
    copy_scalar(env, dst, src, no_sign_extension(src, insn.off), DEF_NOT_SUBREG);
    coerce_reg_to_size_sx(&dst, static_cast<u32>(insn.off) / 8);
  } else {
    mark_reg_unknown(env, regs, dstno);
  }
  return ok_status();
}

Status mov32_reg(VerifierEnv& env, const bpf_insn& insn) {
  RegState* const regs = env.cur_regs();
  const u32 srcno = insn.src_reg, dstno = insn.dst_reg;
  RegState &src = regs[srcno], &dst = regs[dstno];
  const s32 def = static_cast<s32>(env.insn_idx + 1);
  if (is_pointer_value(env, srcno)) return env.refuse(EACCES, "R{} partial copy of pointer", srcno);
  if (src.type != SCALAR_VALUE) {
    mark_reg_unknown(env, regs, dstno);
  } else if (insn.off == 0) {
    copy_scalar(env, dst, src, reg_width(src) <= 32, def);
  } else {
    copy_scalar(env, dst, src, no_sign_extension(src, insn.off), def);
    coerce_subreg_to_size_sx(&dst, static_cast<u32>(insn.off) / 8);
  }
  zext_32_to_64(&dst);
  reg_bounds_sync(&dst);
  return ok_status();
}

Status check_mov(VerifierEnv& env, const bpf_insn& insn) {
  TRY(check_mov_fields(env, insn));
  const u32 dst = insn.dst_reg;
  if (is_x(insn)) TRY(check_reg_arg(env, insn.src_reg, SRC_OP));
  TRY(check_reg_arg(env, dst, DST_OP_NO_MARK));
  if (is_x(insn)) return is64(insn) ? mov64_reg(env, insn) : mov32_reg(env, insn);
  mark_reg_unknown(env, env.cur_regs(), dst);
  mark_reg_known(env.cur_regs()[dst], is64(insn) ? static_cast<u64>(s64{insn.imm}) : static_cast<u32>(insn.imm));
  return ok_status();
}

// --- two operands -------------------------------------------------------------------------------------------------------------------

/// `x &= K` and `x |= K` with x known to be 0 or -1, as compilers write conditions: the two are walked apart. The path with 0 waits,
/// this one goes on with -1. Linux: verifier.c:maybe_fork_scalars()
Status maybe_fork_scalars(VerifierEnv& env, const bpf_insn& insn, RegState& dst, const ScalarBounds& src) {
  const ScalarFork fork = scalar_fork(bpf_op(insn.code), dst, src);
  if (fork == ScalarFork::NONE) return ok_status();
  VerifierState* const branch = push_stack(env, env.insn_idx, env.insn_idx, false);
  if (branch == nullptr) return Errno(E2BIG);
  RegState& zero = branch->cur_func().regs[insn.dst_reg];
  if (fork == ScalarFork::SUBREG) {
    mark32_known(&zero, 0);
    mark32_known(&dst, ~0u);
  } else {
    mark_reg_known(zero, 0);
    mark_reg_known(dst, ~u64{0});
  }
  return ok_status();
}

/// REQUIRES: src is not dst's own. Linux: verifier.c:adjust_scalar_min_max_vals()
Status adjust_scalar_min_max_vals(VerifierEnv& env, const bpf_insn& insn, RegState& dst, const ScalarBounds& src) {
  TRY(maybe_fork_scalars(env, insn, dst, src));
  if (!scalar_alu(bpf_op(insn.code), is64(insn), &dst, src)) mark_reg_unknown_reg(env, dst);
  return ok_status();
}

/// After `r1 = r2; r1 += K` the two stay linked, at the distance K: what a jump teaches about one holds for the other. Once only, and
/// for a K that cannot overflow there. Linux: the end of adjust_reg_min_max_vals()
void link_at_distance(VerifierEnv& env, const bpf_insn& insn, RegState& dst, const ScalarBounds& src) {
  const bool same_reg = is_x(insn) && insn.src_reg == insn.dst_reg;
  const bool adds_const = bpf_op(insn.code) == BPF_ADD && is64(insn) && is_const(src, false) && !same_reg;
  if (!env.bpf_capable || !adds_const || dst.id == 0) return clear_scalar_id(dst);
  const u64 val = const_value(src, false);
  if ((dst.id & BPF_ADD_CONST) != 0 || val > static_cast<u32>(S32_MAX)) return clear_scalar_id(dst);
  dst.id |= BPF_ADD_CONST;
  dst.off = static_cast<s32>(val);
}

/// Arena pointers are numbers within a window of 4 GiB: any arithmetic on them is allowed, in 32 bits.
void adjust_arena_ptr(VerifierEnv& env, const bpf_insn& insn, RegState& dst, const RegState* src) {
  if (dst.type != PTR_TO_ARENA) dst = *src;
  dst.subreg_def = static_cast<s32>(env.insn_idx + 1);
  if (is64(insn)) env.cur_aux().needs_zext = true;
}

Status adjust_with_reg(VerifierEnv& env, const bpf_insn& insn) {
  RegState* const regs = env.cur_regs();
  const u32 dstno = insn.dst_reg, srcno = insn.src_reg;
  RegState &dst = regs[dstno], &src = regs[srcno];
  const bool dst_is_ptr = dst.type != SCALAR_VALUE, src_is_ptr = src.type != SCALAR_VALUE;
  if (src_is_ptr && dst_is_ptr) {
    // Only the distance of two pointers is a meaningful number.
    if (bpf_op(insn.code) != BPF_SUB || !env.allow_ptr_leaks)
      return env.refuse(EACCES, "R{} pointer {} pointer prohibited", dstno, alu_op_text(bpf_op(insn.code)));
    mark_reg_unknown(env, regs, dstno);
    return ok_status();
  }
  if (src_is_ptr) {  // number += pointer: the roles are turned around
    TRY(mark_chain_precision(env, static_cast<s32>(dstno)));
    const RegState off_reg = dst;
    return adjust_ptr_min_max_vals(env, insn, src, off_reg);
  }
  if (dst_is_ptr) {
    TRY(mark_chain_precision(env, static_cast<s32>(srcno)));
    return adjust_ptr_min_max_vals(env, insn, dst, src);
  }
  // What goes into a number that is needed exactly is needed exactly.
  if (dst.precise) TRY(mark_chain_precision(env, static_cast<s32>(srcno)));
  const ScalarBounds operand = src;  // it may be dst
  TRY(adjust_scalar_min_max_vals(env, insn, dst, operand));
  link_at_distance(env, insn, dst, src);
  return ok_status();
}

Status adjust_with_imm(VerifierEnv& env, const bpf_insn& insn) {
  RegState& dst = env.cur_regs()[insn.dst_reg];
  const u64 imm = static_cast<u64>(s64{insn.imm});
  if (dst.type != SCALAR_VALUE) {
    RegState off_reg{};
    off_reg.type = SCALAR_VALUE;
    mark_reg_known(off_reg, imm);
    return adjust_ptr_min_max_vals(env, insn, dst, off_reg);
  }
  ScalarBounds operand;
  mark_known(&operand, imm);
  TRY(adjust_scalar_min_max_vals(env, insn, dst, operand));
  link_at_distance(env, insn, dst, operand);
  return ok_status();
}

/// Linux: verifier.c:adjust_reg_min_max_vals()
Status adjust_reg_min_max_vals(VerifierEnv& env, const bpf_insn& insn) {
  RegState& dst = env.cur_regs()[insn.dst_reg];
  const RegState* const src = is_x(insn) ? &env.cur_regs()[insn.src_reg] : nullptr;
  if (dst.type == PTR_TO_ARENA || (src != nullptr && src->type == PTR_TO_ARENA)) {
    adjust_arena_ptr(env, insn, dst, src);
    return ok_status();
  }
  return is_x(insn) ? adjust_with_reg(env, insn) : adjust_with_imm(env, insn);
}

Status check_binary_fields(VerifierEnv& env, const bpf_insn& insn) {
  const u8 op = bpf_op(insn.code);
  const bool divides = op == BPF_DIV || op == BPF_MOD;
  const bool off_ok = insn.off == 0 || (insn.off == 1 && divides);
  if (!off_ok || (is_x(insn) ? insn.imm != 0 : insn.src_reg != 0)) return env.refuse(EINVAL, "BPF_ALU uses reserved fields");
  return ok_status();
}

/// Linux: check_alu_op(), its last part
Status check_binary(VerifierEnv& env, const bpf_insn& insn) {
  const u8 op = bpf_op(insn.code);
  TRY(check_binary_fields(env, insn));
  if (is_x(insn)) TRY(check_reg_arg(env, insn.src_reg, SRC_OP));
  TRY(check_reg_arg(env, insn.dst_reg, SRC_OP));
  if ((op == BPF_MOD || op == BPF_DIV) && !is_x(insn) && insn.imm == 0) return env.refuse(EINVAL, "div by zero");
  if ((op == BPF_LSH || op == BPF_RSH || op == BPF_ARSH) && !is_x(insn)) {
    const s32 imm = insn.imm;
    if (imm < 0 || imm >= (is64(insn) ? 64 : 32)) return env.refuse(EINVAL, "invalid shift {}", imm);
  }
  TRY(check_reg_arg(env, insn.dst_reg, DST_OP_NO_MARK));
  return adjust_reg_min_max_vals(env, insn);
}

}  // namespace

Status check_alu_op(VerifierEnv& env, const bpf_insn& insn) {
  const u8 op = bpf_op(insn.code);
  if (op == BPF_END || op == BPF_NEG) {
    TRY(check_unary(env, insn));
  } else if (op == BPF_MOV) {
    TRY(check_mov(env, insn));
  } else if (op > BPF_END) {
    return env.refuse(EINVAL, "invalid BPF_ALU opcode {:x}", op);
  } else {
    TRY(check_binary(env, insn));
  }
  return reg_bounds_sanity_check(env, env.cur_regs()[insn.dst_reg], "alu");
}

}  // namespace skep
