// verifier: the walk over all paths, instruction by instruction. Linux: verifier.c:do_check()
#include "verifier/do_check.h"

#include <string_view>

#include "progtypes/func_ids.h"
#include "verifier/refusal_probe.h"

namespace skep {
namespace {

/// What the walk does after one instruction.
enum class Step : u8 {
  NEXT,       ///< goes on with the instruction behind env.insn_idx
  JUMPED,     ///< env.insn_idx is where it goes on
  RETURNED,   ///< likewise, in the caller's frame
  PATH_DONE,  ///< this path has ended well
};

/// An instruction index as logs show it: -1 is "before the first".
s32 shown(u32 insn_idx) { return static_cast<s32>(insn_idx); }

/// Linux: verifier.c:is_bpf_throw_kfunc()
bool is_bpf_throw(const VerifierEnv& env, const bpf_insn& insn) {
  return is_kfunc_call(insn) && insn.off == 0 && kfunc_call_name(env, insn) == "bpf_throw";
}

/// Kfuncs on lists and trees, whose lock is held around them. Linux: verifier.c:is_bpf_graph_api_kfunc()
bool is_graph_api_kfunc(const VerifierEnv& env, const bpf_insn& insn) {
  constexpr std::string_view NAMES[] = {"bpf_list_push_front_impl", "bpf_list_push_back_impl", "bpf_list_pop_front",
                                        "bpf_list_pop_back",        "bpf_rbtree_add_impl",     "bpf_rbtree_remove",
                                        "bpf_rbtree_first",         "bpf_refcount_acquire_impl"};
  const std::string name = kfunc_call_name(env, insn);
  for (const std::string_view graph : NAMES)
    if (name == graph) return true;
  return false;
}

/// Linux: verifier.c:sanitize_mark_insn_seen()
void mark_insn_seen(VerifierEnv& env) {
  if (!env.cur_state->speculative) env.cur_aux().seen = env.pass_cnt;
}

// --- one instruction --------------------------------------------------------------------------------------------------------------

Status check_stx(VerifierEnv& env, const bpf_insn& insn) {
  if (bpf_mode(insn.code) == BPF_ATOMIC) return check_atomic(env, env.insn_idx, insn);
  if (bpf_mode(insn.code) != BPF_MEM || insn.imm != 0) return env.refuse(EINVAL, "BPF_STX uses reserved fields");
  return check_store_reg(env, insn, false);
}

Status check_st(VerifierEnv& env, const bpf_insn& insn) {
  if (bpf_mode(insn.code) != BPF_MEM || insn.src_reg != 0) return env.refuse(EINVAL, "BPF_ST uses reserved fields");
  const u32 dst = insn.dst_reg;
  TRY(check_reg_arg(env, dst, SRC_OP));
  const u32 dst_type = env.cur_regs()[dst].type;
  TRY(check_mem_access(env, env.insn_idx, dst, insn.off, bpf_size(insn.code), BPF_WRITE, -1, false, false));
  return save_aux_ptr_type(env, dst_type, false);
}

Status check_ld(VerifierEnv& env, const bpf_insn& insn) {
  switch (bpf_mode(insn.code)) {
    case BPF_ABS:
    case BPF_IND: return check_ld_abs(env, insn);
    case BPF_IMM:
      TRY(check_ld_imm(env, &insn));
      ++env.insn_idx;  // the second half
      mark_insn_seen(env);
      return ok_status();
    default: return env.refuse(EINVAL, "invalid BPF_LD mode");
  }
}

Result<Step> check_ja(VerifierEnv& env, const bpf_insn& insn) {
  const bool wide = bpf_class(insn.code) == BPF_JMP32;
  if (bpf_src(insn.code) != BPF_K || insn.src_reg != 0 || insn.dst_reg != 0 || (wide ? insn.off != 0 : insn.imm != 0))
    return env.refuse(EINVAL, "BPF_JA uses reserved fields");
  env.insn_idx += static_cast<u32>((wide ? insn.imm : insn.off) + 1);
  return Step::JUMPED;
}

/// A call that may be made while a lock is held must be known not to take long. Linux: the middle of do_check()
Status check_call_under_lock(VerifierEnv& env, const bpf_insn& insn) {
  if (env.cur_state->active_lock.ptr == nullptr) return ok_status();
  const bool helper = insn.src_reg == 0 && insn.imm != s32{func::spin_unlock};
  const bool kfunc = insn.src_reg == BPF_PSEUDO_KFUNC_CALL && (insn.off != 0 || !is_graph_api_kfunc(env, insn));
  if (helper || kfunc) return env.refuse(EINVAL, "function calls are not allowed while holding a lock");
  return ok_status();
}

// --- the end of a path ------------------------------------------------------------------------------------------------------------

/// Locks and critical sections must be left before the program, and are never left by an exception.
Status check_nothing_held(VerifierEnv& env, bool exception) {
  const VerifierState& state = *env.cur_state;
  if (!exception && state.curframe != 0) return ok_status();
  if (state.active_lock.ptr != nullptr)
    return env.refuse(EINVAL, "{}", exception ? "bpf_throw cannot be used inside bpf_spin_lock-ed region" : "bpf_spin_unlock is missing");
  if (state.active_rcu_lock)
    return env.refuse(EINVAL, "{}",
                      exception ? "bpf_throw cannot be used inside bpf_rcu_read_lock-ed region" : "bpf_rcu_read_unlock is missing");
  if (state.active_preempt_lock == 0) return ok_status();
  if (exception) return env.refuse(EINVAL, "bpf_throw cannot be used inside bpf_preempt_disable-ed region");
  return env.refuse(EINVAL, "{} bpf_preempt_enable{} missing", state.active_preempt_lock, state.active_preempt_lock == 1 ? " is" : "(s) are");
}

/// The frame is left, by its exit or by an exception that leaves all of them. Linux: do_check(), process_bpf_exit_full
Result<Step> leave_frame(VerifierEnv& env, bool exception) {
  TRY(check_nothing_held(env, exception));
  // Also in nested frames: a callback must give back what it took.
  TRY(check_reference_leak(env, exception));
  if (exception) return Step::PATH_DONE;
  if (env.cur_state->curframe != 0) {
    TRY(prepare_func_exit(env, &env.insn_idx));
    return Step::RETURNED;
  }
  TRY(check_return_code(env, 0, "R0"));
  return Step::PATH_DONE;
}

Result<Step> check_exit(VerifierEnv& env, const bpf_insn& insn) {
  if (bpf_src(insn.code) != BPF_K || insn.imm != 0 || insn.src_reg != 0 || insn.dst_reg != 0 || bpf_class(insn.code) == BPF_JMP32)
    return env.refuse(EINVAL, "BPF_EXIT uses reserved fields");
  return leave_frame(env, false);
}

Result<Step> check_call(VerifierEnv& env, const bpf_insn& insn) {
  const bool kind_known = insn.src_reg == 0 || insn.src_reg == BPF_PSEUDO_CALL || insn.src_reg == BPF_PSEUDO_KFUNC_CALL;
  if (bpf_src(insn.code) != BPF_K || (insn.src_reg != BPF_PSEUDO_KFUNC_CALL && insn.off != 0) || !kind_known || insn.dst_reg != 0 ||
      bpf_class(insn.code) == BPF_JMP32)
    return env.refuse(EINVAL, "BPF_CALL uses reserved fields");
  TRY(check_call_under_lock(env, insn));
  if (insn.src_reg == BPF_PSEUDO_CALL) {
    TRY(check_func_call(env, insn, &env.insn_idx));
  } else if (insn.src_reg == BPF_PSEUDO_KFUNC_CALL) {
    TRY(check_kfunc_call(env, insn, &env.insn_idx));
    if (is_bpf_throw(env, insn)) return leave_frame(env, true);
  } else {
    TRY(check_helper_call(env, insn, &env.insn_idx));
  }
  env.mark_reg_scratched(0);
  return Step::NEXT;
}

Result<Step> check_jmp(VerifierEnv& env, const bpf_insn& insn) {
  ++env.jmps_processed;
  switch (bpf_op(insn.code)) {
    case BPF_CALL: return check_call(env, insn);
    case BPF_JA: return check_ja(env, insn);
    case BPF_EXIT: return check_exit(env, insn);
    default: TRY(check_cond_jmp_op(env, insn, &env.insn_idx)); return Step::NEXT;
  }
}

Result<Step> check_insn(VerifierEnv& env, const bpf_insn& insn) {
  switch (bpf_class(insn.code)) {
    case BPF_ALU:
    case BPF_ALU64: TRY(check_alu_op(env, insn)); return Step::NEXT;
    // Reserved fields were looked at by resolve_pseudo_ldimm64().
    case BPF_LDX: TRY(check_load_mem(env, insn, false, bpf_mode(insn.code) == BPF_MEMSX, true, "ldx")); return Step::NEXT;
    case BPF_STX: TRY(check_stx(env, insn)); return Step::NEXT;
    case BPF_ST: TRY(check_st(env, insn)); return Step::NEXT;
    case BPF_LD: TRY(check_ld(env, insn)); return Step::NEXT;
    default: return check_jmp(env, insn);  // JMP, JMP32
  }
}

// --- the walk ---------------------------------------------------------------------------------------------------------------------

class Walk {
 public:
  explicit Walk(VerifierEnv& env) : env_(env), pop_log_((env.log.level() & BPF_LOG_LEVEL2) == 0) {}

  Status run() {
    for (;;) {
      const u32 insn = env_.insn_idx;
      const Result<Step> done = step();
      if (!done.ok()) {
        if (env_.input.refusal != nullptr) env_.input.refusal->walk_failed(env_, insn);
        return done.error();
      }
      switch (*done) {
        case Step::NEXT: ++env_.insn_idx; break;
        case Step::JUMPED: break;
        case Step::RETURNED: print_state_ = true; break;
        case Step::PATH_DONE:
          if (!TRY(next_path())) return ok_status();
          break;
      }
    }
  }

 private:
  Result<Step> step() {
    env_.cur_hist_ent = nullptr;
    env_.prev_insn_idx = prev_insn_idx_;
    if (env_.insn_idx >= env_.insn_cnt())
      return env_.refuse(EFAULT, "invalid insn idx {} insn_cnt {}", shown(env_.insn_idx), env_.insn_cnt());
    if (env_.input.refusal != nullptr && !env_.input.refusal->at_insn(env_)) return Errno(E2BIG);
    if (++env_.insn_processed > BPF_COMPLEXITY_LIMIT_INSNS)
      return env_.refuse(E2BIG, "BPF program is too large. Processed {} insn", env_.insn_processed);
    env_.cur_state->last_insn_idx = env_.prev_insn_idx;

    if (env_.cur_aux().prune_point && TRY(is_state_visited(env_, env_.insn_idx)) == 1) {
      log_safe();
      return Step::PATH_DONE;
    }
    if (is_jmp_point(env_, env_.insn_idx)) TRY(push_insn_history(env_, *env_.cur_state, 0, 0));
    if (env_.log.prints_insns()) log_insn();
    mark_insn_seen(env_);
    if (env_.input.observe && !env_.input.observe(env_.insn_idx, *env_.cur_state)) return Errno(E2BIG);
    prev_insn_idx_ = env_.insn_idx;
    return check_insn(env_, env_.insns[env_.insn_idx]);
  }

  /// The path is over: counts it as explored and takes up another one. False: that was the last.
  Result<bool> next_path() {
    env_.scratched_regs = ~0u;
    env_.scratched_stack_slots = ~0ull;
    update_branch_counts(env_, env_.cur_state);
    if (!pop_stack(env_, &prev_insn_idx_, pop_log_)) return false;
    if (env_.cur_state->loop_entry != nullptr) return env_.refuse(EFAULT, "verifier bug: env->cur_state->loop_entry != NULL");
    print_state_ = true;
    return true;
  }

  const char* path_note() const { return env_.cur_state->speculative ? " (speculative execution)" : ""; }

  /// A state that covers this one was found safe before.
  void log_safe() {
    if (!env_.log.prints_insns()) return;
    if (print_state_)
      env_.verbose("\nfrom {} to {}{}: safe\n", shown(env_.prev_insn_idx), shown(env_.insn_idx), path_note());
    else
      env_.verbose("{}: safe\n", shown(env_.insn_idx));
  }

  void log_insn() {
    const u32 frame = env_.cur_state->curframe;
    if ((env_.log.level() & BPF_LOG_LEVEL2) != 0 && print_state_) {
      env_.verbose("\nfrom {} to {}{}:", shown(env_.prev_insn_idx), shown(env_.insn_idx), path_note());
      print_verifier_state(env_, *env_.cur_state, frame, true);
      print_state_ = false;
    }
    if (env_.scratched_regs != 0 || env_.scratched_stack_slots != 0) print_insn_state(env_, *env_.cur_state, frame);
    verbose_linfo(env_, env_.insn_idx, "; ");
    env_.prev_log_pos = env_.log.position();
    env_.verbose("{}: {}\n", env_.insn_idx, disasm_for_log(env_, env_.insn_idx));
    env_.prev_insn_print_pos = env_.log.position() - env_.prev_log_pos;
    env_.prev_log_pos = env_.log.position();
  }

  VerifierEnv& env_;
  const bool pop_log_;        ///< level 1: the log keeps only the path that failed
  bool print_state_ = false;  ///< the next instruction begins with a whole picture of the state
  u32 prev_insn_idx_ = ~0u;
};

}  // namespace

Status do_check(VerifierEnv& env) { return Walk(env).run(); }

}  // namespace skep
