// verifier: what a program may return. The ranges of types that do not depend on BTF are progtypes' table.
// Linux: verifier.c:check_return_code()
#include "verifier/verifier_env.h"

namespace skep {
namespace {

constexpr u32 BPF_LSM_CGROUP = 43;  // include/uapi/linux/bpf.h:bpf_attach_type

struct ReturnCheck {
  bool enforced = true;
  RetRange range = {0, 1};
  bool is_32bit = false;            ///< the range is one of ints: the upper half of r0 does not matter
  bool tracks_attach_type = false;
};

bool is_lsm_cgroup(const VerifierEnv& env) {
  return env.prog.type == BPF_PROG_TYPE_LSM && env.prog.expected_attach_type == BPF_LSM_CGROUP;
}

bool attached_to_void(const VerifierEnv& env) { return env.attach_func_proto != nullptr && env.attach_func_proto->type == 0; }

/// A hook or an operation that returns nothing: r0 need not even be set.
bool returns_nothing(const VerifierEnv& env) {
  const bool may_be_void = env.prog.type == BPF_PROG_TYPE_STRUCT_OPS || (env.prog.type == BPF_PROG_TYPE_LSM && !is_lsm_cgroup(env));
  return may_be_void && attached_to_void(env);
}

ReturnCheck lsm_check(const VerifierEnv& env) {
  ReturnCheck check;
  if (is_lsm_cgroup(env)) {
    if (attached_to_void(env)) check.range = {1, 1};
    return check;
  }
  check.is_32bit = true;
  check.enforced = get_func_retval_range(env, &check.range) && !(check.range.minval == S32_MIN && check.range.maxval == S32_MAX);
  return check;
}

/// What the outermost exit of this program must return.
Result<ReturnCheck> program_check(const VerifierEnv& env) {
  if (env.prog.type == BPF_PROG_TYPE_LSM) return lsm_check(env);
  const ReturnRule rule = return_rule(env.prog);
  if (rule.unsupported) return Errno(ENOTSUPP_);
  return ReturnCheck{rule.enforced, {rule.range.min, rule.range.max}, false, rule.tracks_attach_type};
}

/// Linux: verifier.c:retval_range_within()
bool retval_range_within(const ReturnCheck& check, const RegState& reg) {
  if (check.is_32bit) return check.range.minval <= reg.s32_min_value && reg.s32_max_value <= check.range.maxval;
  return check.range.minval <= reg.smin_value && reg.smax_value <= check.range.maxval;
}

Status enforce(VerifierEnv& env, const ReturnCheck& check, u32 regno, const char* reg_name, const char* exit_ctx) {
  const RegState& reg = env.cur_regs()[regno];
  if (reg.type != SCALAR_VALUE)
    return env.refuse(EINVAL, "{} the register R{} is not a known value ({})", exit_ctx, regno, reg_type_str(env, reg.type));
  TRY(mark_chain_precision(env, static_cast<s32>(regno)));
  if (!retval_range_within(check, reg)) {
    verbose_invalid_scalar(env, reg, check.range, exit_ctx, reg_name);
    const bool is_subprog = env.cur_state->frame[0]->subprogno != 0;
    if (!is_subprog && is_lsm_cgroup(env) && attached_to_void(env))
      env.verbose("Note, BPF_LSM_CGROUP that attach to void LSM hooks can't modify return value!\n");
    return Errno(EINVAL);
  }
  // Egress verdicts 2 and 3 mean something to one attach type only. Linux: enforce_attach_type_range
  if (check.tracks_attach_type && tnum_in(tnum_range(2, 3), reg.var_off)) env.enforce_expected_attach_type = true;
  return ok_status();
}

}  // namespace

Status check_return_code(VerifierEnv& env, u32 regno, const char* reg_name) {
  const FuncState& frame = *env.cur_state->frame[0];
  const bool is_subprog = frame.subprogno != 0;
  const bool ends_program = !is_subprog || frame.in_exception_callback_fn;
  if (ends_program && returns_nothing(env)) return ok_status();

  TRY(check_reg_arg(env, regno, SRC_OP));
  if (is_pointer_value(env, regno)) return env.refuse(EACCES, "R{} leaks addr as return value", regno);
  if (frame.in_async_callback_fn) return enforce(env, {true, {0, 0}, false, false}, regno, reg_name, "At async callback return");
  if (!ends_program) {
    const RegState& reg = env.cur_regs()[regno];
    if (reg.type == SCALAR_VALUE) return ok_status();
    return env.refuse(EINVAL, "At subprogram exit the register R{} is not a scalar value ({})", regno, reg_type_str(env, reg.type));
  }
  const ReturnCheck check = TRY(program_check(env));
  if (!check.enforced) return ok_status();
  return enforce(env, check, regno, reg_name, "At program exit");
}

}  // namespace skep
