// verifier: calls of the program's own functions, and the way back. A static function is walked in its caller's path; a global one is
// judged once by itself and believed here. Linux: verifier.c:check_func_call(), prepare_func_exit()
#include "verifier/call_args.h"
#include "verifier/frames.h"
#include "verifier/widen.h"

namespace skep {
namespace {

/// The callee sees r1 to r5 as they are, parents included: its reads go on along the caller's liveness chain. Linux: set_callee_state()
Status set_callee_state(VerifierEnv&, FuncState& caller, FuncState& callee, u32) {
  for (u32 r = R1; r <= R5; ++r) callee.regs[r] = caller.regs[r];
  return ok_status();
}

/// The callee relies on what its arguments were found to be, so another path may end here only if they are that again: they count as
/// read, and a number that stands for NULL counts as that number. DIFFERS: Linux 6.12 takes registers that hold anything on the second
/// path.
Status note_args_used(VerifierEnv& env, const SubprogInfo& sub) {
  for (u32 i = 0; i < sub.arg_cnt; ++i) {
    const u32 regno = R1 + i;
    RegState& reg = env.cur_regs()[regno];
    mark_insn_zext(env, reg);
    TRY(mark_reg_read(env, reg, reg.parent, REG_LIVE_READ64));
    if (sub.args[i].arg_type != ARG_ANYTHING && register_is_null(reg)) TRY(mark_chain_precision(env, static_cast<s32>(regno)));
  }
  return ok_status();
}

/// Linux: the global part of verifier.c:check_func_call()
Status check_global_call(VerifierEnv& env, u32 subprog, const Status& args) {
  const VerifierState& state = *env.cur_state;
  if (state.active_lock.ptr != nullptr)
    return env.refuse(EINVAL, "global function calls are not allowed while holding a lock,\nuse static function instead");
  if (state.active_preempt_lock != 0)
    return env.refuse(EINVAL, "global function calls are not allowed with preemption disabled,\nuse static function instead");
  const char* name = subprog_name(env, subprog);
  if (!args.ok()) return env.refuse(args.error().value(), "Caller passes invalid args into func#{} ('{}')", subprog, name);

  env.verbose("Func#{} ('{}') is global and assumed valid.\n", subprog, name);
  SubprogInfo& sub = env.subprogs[subprog];
  TRY(note_args_used(env, sub));
  if (sub.changes_pkt_data) clear_all_pkt_pointers(env);
  sub.called = true;  // so it is judged too
  RegState* regs = env.cur_regs();
  clear_caller_saved_regs(env, regs);
  mark_reg_unknown(env, regs, R0);
  regs[R0].subreg_def = DEF_NOT_SUBREG;
  return ok_status();
}

bool retval_range_within(RetRange range, const RegState& reg) { return range.minval <= reg.smin_value && reg.smax_value <= range.maxval; }

/// A callback's result goes to the helper, which only knows some numbers. Linux: prepare_func_exit(), its in_callback_fn part
Status check_callback_return(VerifierEnv& env, const FuncState& callee, u32 insn_idx) {
  const RegState& r0 = callee.regs[R0];
  if (r0.type != SCALAR_VALUE) return env.refuse(EACCES, "R0 not a scalar value");
  TRY(mark_reg_read(env, r0, r0.parent, REG_LIVE_READ64));
  TRY(mark_chain_precision(env, R0));
  if (!retval_range_within(callee.callback_ret_range, r0)) {
    verbose_invalid_scalar(env, r0, callee.callback_ret_range, "At callback return", "R0");
    return Errno(EINVAL);
  }
  if (!calls_callback(env, callee.callsite))
    return env.refuse(EFAULT, "BUG: in callback at {}, callsite {} !calls_callback", insn_idx, callee.callsite);
  return ok_status();
}

void print_return(VerifierEnv& env, u32 insn_idx) {
  const VerifierState& state = *env.cur_state;
  env.verbose("returning from callee:\n");
  print_verifier_state(env, state, state.curframe, true);
  env.verbose("to caller at {}:\n", insn_idx);
  print_verifier_state(env, state, state.curframe - 1, true);
}

}  // namespace

void copy_reference_state(VerifierEnv& env, FuncState& dst, const FuncState& src) {
  dst.acquired_refs = 0;
  for (u32 i = 0; i < src.acquired_refs; ++i) env.pool.push_ref(dst, src.refs[i]);
}

Status setup_func_entry(VerifierEnv& env, u32 subprog, u32 callsite, SetCalleeState set_callee, VerifierState& state) {
  const u32 frameno = state.curframe + 1;
  if (frameno >= MAX_CALL_FRAMES) return env.refuse(E2BIG, "the call stack of {} frames is too deep", frameno + 1);
  if (state.frame[frameno] != nullptr) return env.refuse(EFAULT, "verifier bug. Frame {} already allocated", frameno);

  FuncState& caller = *state.frame[state.curframe];
  FuncState* callee = env.pool.new_func();
  state.frame[frameno] = callee;
  init_func_state(env, *callee, callsite, frameno, subprog);
  copy_reference_state(env, *callee, caller);
  if (Status status = set_callee(env, caller, *callee, callsite); !status.ok()) {
    env.pool.free_func(callee);
    state.frame[frameno] = nullptr;
    return status;
  }
  state.curframe = frameno;
  return ok_status();
}

void clear_caller_saved_regs(VerifierEnv& env, RegState* regs) {
  for (u32 r = R0; r < CALLER_SAVED_REGS; ++r) {
    mark_reg_not_init(env, regs, r);
    (void)check_reg_arg_of(env, regs, r, DST_OP_NO_MARK);
  }
}

Status check_func_call(VerifierEnv& env, const bpf_insn& insn, u32* insn_idx) {
  const s64 target = call_target(insn, *insn_idx);
  const s32 subprog = find_subprog(env, static_cast<u32>(target));
  if (subprog < 0) return env.refuse(EFAULT, "verifier bug. No program starts at insn {}", target);
  const u32 callee = static_cast<u32>(subprog);

  const Status args = btf_check_subprog_call(env, callee);
  if (!args.ok() && args.error().value() == EFAULT) return args;
  if (subprog_is_global(env, callee)) return check_global_call(env, callee, args);

  VerifierState& state = *env.cur_state;
  RegState* caller_regs = env.cur_regs();
  TRY(setup_func_entry(env, callee, *insn_idx, set_callee_state, state));
  clear_caller_saved_regs(env, caller_regs);
  *insn_idx = env.subprogs[callee].start - 1;
  if (env.log.prints_insns()) {
    env.verbose("caller:\n");
    print_verifier_state(env, state, state.curframe - 1, true);
    env.verbose("callee:\n");
    print_verifier_state(env, state, state.curframe, true);
  }
  return ok_status();
}

/// BPF_EXIT in a frame above the first. A callback goes back to the call itself, which then decides on another round: the walk ends
/// when a round brings nothing new. Linux: verifier.c:prepare_func_exit()
Status prepare_func_exit(VerifierEnv& env, u32* insn_idx) {
  VerifierState& state = *env.cur_state;
  FuncState& callee = state.cur_func();
  FuncState& caller = *state.frame[state.curframe - 1];
  const RegState& r0 = callee.regs[R0];
  // A pointer into the frame that ends would dangle; the callers' frames are refused with it, to be simple.
  if (r0.type == PTR_TO_STACK) return env.refuse(EINVAL, "cannot return stack pointer to the caller");

  const bool in_callback_fn = callee.in_callback_fn;
  if (in_callback_fn) {
    // What a callback took it gave back (check_reference_leak()), so the caller's references stand.
    TRY(check_callback_return(env, callee, *insn_idx));
    *insn_idx = callee.callsite;
  } else {
    caller.regs[R0] = r0;
    copy_reference_state(env, caller, callee);
    *insn_idx = callee.callsite + 1;
  }
  if (env.log.prints_insns()) print_return(env, *insn_idx);
  env.pool.free_func(&callee);
  state.frame[state.curframe--] = nullptr;

  if (!in_callback_fn) return ok_status();
  if (const VerifierState* prev = find_prev_entry(env, state, *insn_idx); prev != nullptr) widen_imprecise_scalars(env, *prev, state);
  return ok_status();
}

/// At the outermost exit, at a callback's, and where an exception leaves all frames. Linux: verifier.c:check_reference_leak()
Status check_reference_leak(VerifierEnv& env, bool exception_exit) {
  const FuncState& func = env.cur_func();
  if (!exception_exit && func.frameno != 0 && !func.in_callback_fn) return ok_status();
  bool lingering = false;
  for (u32 i = 0; i < func.acquired_refs; ++i) {
    const RefState& ref = func.refs[i];
    if (!exception_exit && func.in_callback_fn && ref.callback_ref != func.frameno) continue;
    env.verbose("Unreleased reference id={} alloc_insn={}\n", ref.id, ref.insn_idx);
    lingering = true;
  }
  return lingering ? Status(Errno(EINVAL)) : ok_status();
}

}  // namespace skep
