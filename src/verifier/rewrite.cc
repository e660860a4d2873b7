// verifier: what happens to a program after it was judged good. Linux: bpf_check(), "instruction rewrites happen after this point"
//
// DIFFERS: calls of helpers stay calls by id; lookups, per-CPU reads and the like are inlined by our executors, not here. The program
// that runs and the program that dumps show are the same.
#include <algorithm>
#include <bit>

#include "verifier/emit.h"
#include "progtypes/func_ids.h"
#include "verifier/insn_rewriter.h"
#include "verifier/rewrite.h"

namespace skep {
namespace {

bool is_same(const bpf_insn& a, const bpf_insn& b) { return std::memcmp(&a, &b, sizeof a) == 0; }

bool is_cond_jump(u8 code) {
  const u8 op = bpf_op(code);
  if (bpf_class(code) == BPF_JMP32) return op != BPF_JA;
  return bpf_class(code) == BPF_JMP && op != BPF_JA && op != BPF_EXIT && op != BPF_CALL;
}

/// A branch of which only one side was ever taken becomes a plain jump. Linux: opt_hard_wire_dead_code_branches()
void hard_wire_branches(VerifierEnv& env) {
  for (u32 i = 0; i + 1 < env.insn_cnt(); ++i) {
    bpf_insn& insn = env.insns[i];
    if (!is_cond_jump(insn.code)) continue;
    const bool falls = env.aux[i + 1].seen != 0;
    const bool jumps = env.aux[static_cast<u32>(s64{i} + 1 + insn.off)].seen != 0;
    if (falls && jumps) continue;
    insn = ja(falls ? s16{0} : insn.off);
  }
}

/// Linux: opt_remove_dead_code(), opt_remove_nops()
Status remove_insns(VerifierEnv& env, bool (*gone)(const VerifierEnv&, u32)) {
  InsnRewriter rw(env);
  for (u32 i = 0; i < env.insn_cnt(); ++i)
    if (gone(env, i)) rw.begin(i);
  return rw.finish();
}

bool is_dead(const VerifierEnv& env, u32 i) { return env.aux[i].seen == 0; }
bool is_nop(const VerifierEnv& env, u32 i) { return is_same(env.insns[i], ja(0)); }

/// Removing a nop may make a jump over it a nop as well; Linux's one pass from front to back finds those behind only.
Status remove_nops(VerifierEnv& env) { return remove_insns(env, is_nop); }

/// Programs of the unprivileged keep their dead code, as jumps to themselves. Linux: sanitize_dead_code()
void trap_dead_code(VerifierEnv& env) {
  for (u32 i = 0; i < env.insn_cnt(); ++i)
    if (is_dead(env, i)) env.insns[i] = ja(-1);
}

/// Linux: env->prog->aux->stack_depth and friends: what the pass that makes frames larger adds.
struct FrameGrowth {
  explicit FrameGrowth(VerifierEnv& e) : env(e) {}
  /// REQUIRES: called for instructions in order.
  void at(u32 i) {
    while (subprog + 1 < env.subprog_cnt && i >= env.subprogs[subprog + 1].start) {
      close();
      ++subprog;
    }
  }
  void close() {
    env.subprogs[subprog].stack_depth += extra;
    extra = 0;
  }
  VerifierEnv& env;
  u32 subprog = 0;
  u32 extra = 0;
};

/// bpf_loop() with one callback and no flags becomes a loop of ours. Its three variables lie in r6 to r8, whose values are kept in the
/// frame meanwhile. Linux: inline_bpf_loop()
void emit_loop(InsnRewriter& rw, s32 base, const std::function<void(const bpf_insn&)>& emit_call) {
  const s16 r6 = static_cast<s16>(base), r7 = static_cast<s16>(base + 8), r8 = static_cast<s16>(base + 16);
  rw.emit(jmp_imm(true, BPF_JLE, 1, static_cast<s32>(BPF_MAX_LOOPS), 2));
  rw.emit(mov32_imm(0, -E2BIG));
  rw.emit(ja(16));
  rw.emit(stx_dw(BPF_REG_FP, 6, r6));
  rw.emit(stx_dw(BPF_REG_FP, 7, r7));
  rw.emit(stx_dw(BPF_REG_FP, 8, r8));
  rw.emit(mov64_reg(6, 1));   // turns to make
  rw.emit(mov32_imm(7, 0));   // turns made
  rw.emit(mov64_reg(8, 3));   // the callback's context
  rw.emit(jmp_reg(BPF_JGE, 7, 6, 5));
  rw.emit(mov64_reg(1, 7));
  rw.emit(mov64_reg(2, 8));
  emit_call(make_insn(BPF_JMP | BPF_CALL, 0, BPF_PSEUDO_CALL, 0, 0));
  rw.emit(alu_imm(true, BPF_ADD, 7, 1));
  rw.emit(jmp_imm(true, BPF_JEQ, 0, 0, -6));
  rw.emit(mov64_reg(0, 7));
  rw.emit(ldx_dw(6, BPF_REG_FP, r6));
  rw.emit(ldx_dw(7, BPF_REG_FP, r7));
  rw.emit(ldx_dw(8, BPF_REG_FP, r8));
}

bool is_inlined_loop(const VerifierEnv& env, u32 i) {
  const bpf_insn& insn = env.insns[i];
  return is_helper_call(insn) && insn.imm == func::loop && env.aux[i].loop_inline_state.fit_for_inline;
}

/// Linux: optimize_bpf_loop()
Status inline_loops(VerifierEnv& env) {
  InsnRewriter rw(env);
  FrameGrowth growth(env);
  for (u32 i = 0; i < env.insn_cnt(); ++i) {
    if (!is_inlined_loop(env, i)) continue;
    growth.at(i);
    rw.begin(i);
    const u32 depth = env.subprogs[growth.subprog].stack_depth;
    growth.extra = 3 * BPF_REG_SIZE + (8 - depth % 8) % 8;
    const u32 callback = env.subprogs[env.aux[i].loop_inline_state.callback_subprogno].start;
    emit_loop(rw, -static_cast<s32>(depth + growth.extra), [&](const bpf_insn& call) { rw.emit_call(call, callback); });
  }
  growth.close();
  return rw.finish();
}

/// may_goto counts down in an extra slot of its frame, which is filled on entry. Linux: do_misc_fixups(), its last loop
Status init_may_goto_slots(VerifierEnv& env) {
  const auto needs = [](const SubprogInfo& s) { return s.stack_extra != 0; };
  if (std::none_of(env.subprogs.begin(), env.subprogs.begin() + env.subprog_cnt, needs)) return ok_status();
  InsnRewriter rw(env);
  for (u32 s = 0; s < env.subprog_cnt; ++s) {
    if (!needs(env.subprogs[s])) continue;
    const s16 off = static_cast<s16>(-static_cast<s32>(env.subprogs[s].stack_depth));
    rw.begin(env.subprogs[s].start);
    rw.emit(make_insn(BPF_ST | BPF_MEM | BPF_DW, BPF_REG_FP, 0, off, static_cast<s32>(BPF_MAX_LOOPS)));
    rw.end_prologue();
    rw.keep();
  }
  return rw.finish();
}

/// A function that is named but never called went with the dead code; what is left of its name must be that of another, or the only
/// function left has nobody to name. Linux: verifier.c:jit_subprogs(), which says no more about it
Status check_function_refs(VerifierEnv& env) {
  if (env.subprog_cnt <= 1) return ok_status();
  for (u32 i = 0; i < env.insn_cnt(); ++i) {
    if (!is_pseudo_func(env.insns[i]) && !is_pseudo_call(env.insns[i])) continue;
    if (find_subprog(env, static_cast<u32>(call_target(env.insns[i], i))) < 0) return Errno(EFAULT);
  }
  return ok_status();
}

}  // namespace

Status rewrite_program(VerifierEnv& env) {
  TRY(inline_loops(env));
  if (env.bpf_capable) {
    hard_wire_branches(env);
    TRY(remove_insns(env, is_dead));
    TRY(remove_nops(env));
  } else {
    trap_dead_code(env);
  }
  TRY(convert_ctx_accesses(env));
  TRY(do_misc_fixups(env));
  TRY(init_may_goto_slots(env));
  return check_function_refs(env);
}

}  // namespace skep
