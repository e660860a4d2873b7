// verifier: instructions that stand for several. Linux: verifier.c:do_misc_fixups()
#include "verifier/emit.h"
#include "verifier/insn_rewriter.h"
#include "progtypes/func_ids.h"
#include "verifier/rewrite.h"

namespace skep {
namespace {

bool is_div_or_mod(const bpf_insn& insn, u8 src) {
  return is_alu_class(insn.code) && bpf_src(insn.code) == src && (bpf_op(insn.code) == BPF_DIV || bpf_op(insn.code) == BPF_MOD);
}

/// By the constant -1: no machine divides the smallest number by it.
void emit_by_minus_one(InsnRewriter& rw, const bpf_insn& insn, bool is64, bool is_div) {
  if (is_div)
    rw.emit(alu_imm(is64, BPF_NEG, insn.dst_reg, 0));
  else
    rw.emit(mov32_imm(insn.dst_reg, 0));
}

/// x / 0 is 0, x % 0 is x.
void emit_unsigned(InsnRewriter& rw, const bpf_insn& insn, bool is64, bool is_div) {
  if (is_div) {
    rw.emit(jmp_imm(is64, BPF_JNE, insn.src_reg, 0, 2));
    rw.emit(make_insn(BPF_ALU | BPF_XOR | BPF_X, insn.dst_reg, insn.dst_reg, 0, 0));
    rw.emit(ja(1));
    rw.emit(insn);
    return;
  }
  rw.emit(jmp_imm(is64, BPF_JEQ, insn.src_reg, 0, is64 ? 1 : 2));
  rw.emit(insn);
  if (is64) return;
  rw.emit(ja(1));
  rw.emit(mov32_reg(insn.dst_reg, insn.dst_reg));
}

/// The same, and by -1: divisor plus one is at most one then.
void emit_signed(InsnRewriter& rw, const bpf_insn& insn, bool is64, bool is_div) {
  rw.emit(mov64_reg(BPF_REG_AX, insn.src_reg));
  rw.emit(alu_imm(is64, BPF_ADD, BPF_REG_AX, 1));
  if (is_div) {
    rw.emit(jmp_imm(is64, BPF_JGT, BPF_REG_AX, 1, 4));
    rw.emit(jmp_imm(is64, BPF_JEQ, BPF_REG_AX, 0, 1));
    rw.emit(alu_imm(is64, BPF_MOV, insn.dst_reg, 0));
    rw.emit(alu_imm(is64, BPF_NEG, insn.dst_reg, 0));
    rw.emit(ja(1));
    rw.emit(insn);
    return;
  }
  rw.emit(jmp_imm(is64, BPF_JGT, BPF_REG_AX, 1, 3));
  rw.emit(jmp_imm(is64, BPF_JEQ, BPF_REG_AX, 1, is64 ? 3 : 4));
  rw.emit(mov32_imm(insn.dst_reg, 0));
  rw.emit(ja(1));
  rw.emit(insn);
  if (is64) return;
  rw.emit(ja(1));
  rw.emit(mov32_reg(insn.dst_reg, insn.dst_reg));
}

void emit_division(InsnRewriter& rw, const bpf_insn& insn) {
  const bool is64 = bpf_class(insn.code) == BPF_ALU64, is_div = bpf_op(insn.code) == BPF_DIV;
  if (bpf_src(insn.code) == BPF_K)
    emit_by_minus_one(rw, insn, is64, is_div);
  else if (insn.off == 1)
    emit_signed(rw, insn, is64, is_div);
  else
    emit_unsigned(rw, insn, is64, is_div);
}

bool needs_division_patch(const bpf_insn& insn) {
  return is_div_or_mod(insn, BPF_X) || (is_div_or_mod(insn, BPF_K) && insn.off == 1 && insn.imm == -1);
}

bool is_ld_abs(const bpf_insn& insn) {
  return bpf_class(insn.code) == BPF_LD && (bpf_mode(insn.code) == BPF_ABS || bpf_mode(insn.code) == BPF_IND);
}

/// The helpers of TRACING programs that are reads of what lies before the context. Linux: do_misc_fixups(), bpf_get_func_arg() and after
bool is_tracing_helper(const VerifierEnv& env, s32 id) {
  return env.prog.type == BPF_PROG_TYPE_TRACING &&
         (id == func::get_func_arg || id == func::get_func_ret || id == func::get_func_arg_cnt || id == func::get_func_ip);
}

void emit_tracing_helper(const VerifierEnv& env, InsnRewriter& rw, s32 id) {
  switch (id) {
    case func::get_func_arg:
      rw.emit(ldx_dw(0, 1, -8));
      rw.emit(make_insn(BPF_JMP32 | BPF_JGE | BPF_X, 2, 0, 6, 0));
      rw.emit(alu_imm(true, BPF_LSH, 2, 3));
      rw.emit(make_insn(BPF_ALU64 | BPF_ADD | BPF_X, 2, 1, 0, 0));
      rw.emit(ldx_dw(0, 2, 0));
      rw.emit(stx_dw(3, 0, 0));
      rw.emit(mov64_imm(0, 0));
      rw.emit(ja(1));
      rw.emit(mov64_imm(0, -EINVAL));
      return;
    case func::get_func_ret:
      if (env.prog.expected_attach_type != BPF_TRACE_FEXIT && env.prog.expected_attach_type != BPF_MODIFY_RETURN) {
        rw.emit(mov64_imm(0, -EOPNOTSUPP));
        return;
      }
      rw.emit(ldx_dw(0, 1, -8));
      rw.emit(alu_imm(true, BPF_LSH, 0, 3));
      rw.emit(make_insn(BPF_ALU64 | BPF_ADD | BPF_X, 0, 1, 0, 0));
      rw.emit(ldx_dw(3, 0, 0));
      rw.emit(stx_dw(2, 3, 0));
      rw.emit(mov64_imm(0, 0));
      return;
    case func::get_func_arg_cnt: rw.emit(ldx_dw(0, 1, -8)); return;
    case func::get_func_ip: rw.emit(ldx_dw(0, 1, -16)); return;
    default: return;
  }
}

/// One turn less each time it is passed; at zero it jumps.
void emit_may_goto(InsnRewriter& rw, u32 i, s16 slot) {
  rw.emit(ldx_dw(BPF_REG_AX, BPF_REG_FP, slot));
  rw.emit_with_target(jmp_imm(true, BPF_JEQ, BPF_REG_AX, 0, 0), i);
  rw.emit(alu_imm(true, BPF_SUB, BPF_REG_AX, 1));
  rw.emit(stx_dw(BPF_REG_FP, BPF_REG_AX, slot));
}

class MiscFixups {
 public:
  explicit MiscFixups(VerifierEnv& env) : env_(env), rw_(env) {}

  Status run() {
    for (u32 i = 0; i < env_.insn_cnt(); ++i) {
      if (is_plain(env_.insns[i])) continue;
      enter(i);
      TRY(fix(i));
    }
    close();
    return rw_.finish();
  }

 private:
  void enter(u32 i) {
    while (subprog_ + 1 < env_.subprog_cnt && i >= env_.subprogs[subprog_ + 1].start) {
      close();
      ++subprog_;
    }
  }
  void close() {
    SubprogInfo& info = env_.subprogs[subprog_];
    info.stack_depth += extra_;
    info.stack_extra = extra_;
    extra_ = 0;
  }

  bool stands_for_several(const bpf_insn& insn) const {
    return needs_division_patch(insn) || is_ld_abs(insn) || is_may_goto(insn) ||
           (is_helper_call(insn) && is_tracing_helper(env_, insn.imm));
  }

  /// Surely nothing to fix().
  static bool is_plain(const bpf_insn& insn) {
    switch (bpf_class(insn.code)) {
      case BPF_ALU:
      case BPF_ALU64: return bpf_op(insn.code) != BPF_DIV && bpf_op(insn.code) != BPF_MOD;
      case BPF_JMP: return bpf_op(insn.code) != BPF_CALL && bpf_op(insn.code) != BPF_JCOND;
      case BPF_LD: return bpf_mode(insn.code) == BPF_IMM;
      default: return true;
    }
  }

  Status fix(u32 i) {
    const bpf_insn insn = env_.insns[i];
    if (is_kfunc_call(insn)) return check_kfunc(insn);
    if (!stands_for_several(insn)) return ok_status();
    rw_.begin(i);
    if (needs_division_patch(insn)) {
      emit_division(rw_, insn);
    } else if (is_ld_abs(insn)) {
      std::vector<bpf_insn> patch;
      gen_ld_abs(insn, &patch);
      if (patch.empty()) return env_.refuse(EINVAL, "bpf verifier is misconfigured");
      for (const bpf_insn& p : patch) rw_.emit(p);
    } else if (is_may_goto(insn)) {
      extra_ = BPF_REG_SIZE;
      emit_may_goto(rw_, i, static_cast<s16>(-static_cast<s32>(env_.subprogs[subprog_].stack_depth) - 8));
    } else {
      emit_tracing_helper(env_, rw_, insn.imm);
    }
    return ok_status();
  }

  /// Linux: fixup_kfunc_call()
  Status check_kfunc(const bpf_insn& insn) {
    if (insn.imm == 0) return env_.refuse(EINVAL, "invalid kernel function call not eliminated in verifier pass");
    return ok_status();
  }

  VerifierEnv& env_;
  InsnRewriter rw_;
  u32 subprog_ = 0, extra_ = 0;
};

/// A program that throws and names no callback gets one: it returns what was thrown. Linux: add_hidden_subprog()
void add_exception_callback(VerifierEnv& env) {
  if (!env.seen_exception || env.exception_callback_subprog != 0) return;
  SubprogInfo info;
  info.start = env.insn_cnt();
  info.is_cb = info.is_async_cb = info.is_exception_cb = true;
  for (const bpf_insn& insn : {mov64_reg(0, 1), make_insn(BPF_JMP | BPF_EXIT, 0, 0, 0, 0)}) {
    env.insns.push_back(insn);
    env.aux.push_back(InsnAux{});
    env.aux.back().seen = env.pass_cnt;
  }
  env.subprogs.insert(env.subprogs.begin() + env.subprog_cnt, info);
  env.exception_callback_subprog = static_cast<s32>(env.subprog_cnt++);
  env.hidden_subprog_cnt = 1;
  env.subprogs[env.subprog_cnt].start = env.insn_cnt();
}

}  // namespace

Status do_misc_fixups(VerifierEnv& env) {
  add_exception_callback(env);
  return MiscFixups(env).run();
}

}  // namespace skep
