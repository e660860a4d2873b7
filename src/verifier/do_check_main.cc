// verifier: what a walk starts with, for the main program and for each global function. Linux: verifier.c:do_check_common()
#include "verifier/do_check.h"

namespace skep {
namespace {

/// Gives the argument register what the function's prototype promises. Linux: do_check_common(), the loop over arguments
Status set_arg(VerifierEnv& env, const SubprogArg& arg, u32 regno) {
  RegState* const regs = env.cur_regs();
  RegState& reg = regs[regno];
  const u32 nullable = arg.arg_type & PTR_MAYBE_NULL;
  if (arg.arg_type == ARG_PTR_TO_CTX) {
    reg.type = PTR_TO_CTX;
    mark_reg_known_zero(env, regs, regno);
  } else if (arg.arg_type == ARG_ANYTHING) {
    mark_reg_unknown(env, regs, regno);
  } else if (arg.arg_type == (ARG_PTR_TO_DYNPTR | u32{MEM_RDONLY})) {
    mark_dynptr_reg(reg, BPF_DYNPTR_TYPE_LOCAL, true, env.new_id());
  } else if (base_type(arg.arg_type) == ARG_PTR_TO_MEM) {
    reg.type = PTR_TO_MEM | nullable;
    mark_reg_known_zero(env, regs, regno);
    reg.mem_size = arg.mem_size;
    reg.id = env.new_id();
  } else if (base_type(arg.arg_type) == ARG_PTR_TO_BTF_ID) {
    reg.type = PTR_TO_BTF_ID | (arg.arg_type & (PTR_MAYBE_NULL | PTR_UNTRUSTED | PTR_TRUSTED));
    mark_reg_known_zero(env, regs, regno);
    reg.btf = env.vmlinux();
    reg.btf_id = arg.btf_id;
    reg.id = env.new_id();
  } else if (base_type(arg.arg_type) == ARG_PTR_TO_ARENA) {
    mark_reg_unknown(env, regs, regno);  // the caller may pass a number as well
  } else {
    return Errno(EFAULT);
  }
  return ok_status();
}

/// A function that is judged for all arguments that its prototype allows.
Status set_global_args(VerifierEnv& env, u32 subprog) {
  env.verbose("Validating {}() func#{}...\n", subprog_name(env, subprog), subprog);
  TRY(btf_prepare_func_args(env, subprog));
  const SubprogInfo& sub = env.subprogs[subprog];
  if (sub.is_exception_cb) {
    env.cur_func().in_exception_callback_fn = true;
    // That it returns an integer was seen already: all global functions do.
    if (sub.arg_cnt != 1 || sub.args[0].arg_type != ARG_ANYTHING)
      return env.refuse(EINVAL, "exception cb only supports single integer argument");
  }
  for (u32 i = 0; i < sub.arg_cnt; ++i) TRY(set_arg(env, sub.args[i], i + 1));
  return ok_status();
}

void set_main_args(VerifierEnv& env) {
  // A signature that does not fit is no error, but it is not relied upon either.
  if (!env.func_info.empty()) {
    SubprogInfo& sub = env.subprogs[0];
    const bool known = btf_prepare_func_args(env, 0).ok();
    if (!known || sub.arg_cnt != 1 || sub.args[0].arg_type != ARG_PTR_TO_CTX) sub.unreliable = true;
  }
  env.cur_regs()[1].type = PTR_TO_CTX;
  mark_reg_known_zero(env, env.cur_regs(), 1);
}

void start_state(VerifierEnv& env, u32 subprog) {
  VerifierState* const state = env.pool.new_state();
  state->branches = 1;
  state->frame[0] = env.pool.new_func();
  env.cur_state = state;
  init_func_state(env, *state->frame[0], BPF_MAIN_FUNC, 0, subprog);
  state->first_insn_idx = env.subprogs[subprog].start;
  state->last_insn_idx = ~0u;
}

/// Linux: verifier.c:free_states()
void free_explored_list(VerifierEnv& env, ExploredState*& list) {
  while (list != nullptr) {
    ExploredState* const next = list->next;
    env.pool.free_explored(list);
    list = next;
  }
}

void free_walk(VerifierEnv& env) {
  if (env.cur_state != nullptr) env.pool.free_state(env.cur_state);
  env.cur_state = nullptr;
  for (const PendingPath& path : env.pending) env.pool.free_state(path.state);
  env.pending.clear();
  free_explored_list(env, env.free_list);
  for (ExploredState*& list : env.explored) free_explored_list(env, list);
}

Status do_check_common(VerifierEnv& env, u32 subprog) {
  env.prev_linfo = nullptr;
  ++env.pass_cnt;
  start_state(env, subprog);
  Status verdict = ok_status();
  if (subprog != 0 || env.prog.is_ext)
    verdict = set_global_args(env, subprog);
  else
    set_main_args(env);
  if (verdict.ok()) verdict = do_check(env);
  // At level 1 the trace of what passed is taken back.
  if (verdict.ok() && (env.log.level() & BPF_LOG_LEVEL2) == 0) env.log.reset(0);
  free_walk(env);
  return verdict;
}

}  // namespace

Status do_check_main(VerifierEnv& env) {
  env.insn_idx = 0;
  return do_check_common(env, 0);
}

Status do_check_subprogs(VerifierEnv& env) {
  if (env.func_info.empty()) return ok_status();
  if (env.exception_callback_subprog != 0) env.subprogs[static_cast<u32>(env.exception_callback_subprog)].called = true;
  // Each function that passes may have called others that nobody called before.
  for (bool again = true; again;) {
    again = false;
    for (u32 i = 1; i < env.subprog_cnt; ++i) {
      if (!subprog_is_global(env, i) || !env.subprogs[i].called || env.subprogs[i].verified) continue;
      env.insn_idx = env.subprogs[i].start;
      TRY(do_check_common(env, i));
      if (env.log.prints_insns())
        env.verbose("Func#{} ('{}') is safe for any args that match its prototype\n", i, subprog_name(env, i));
      env.subprogs[i].verified = true;
      again = true;
    }
  }
  return ok_status();
}

}  // namespace skep
