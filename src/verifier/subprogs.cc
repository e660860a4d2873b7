// verifier: where subprograms begin and end, and that jumps stay inside. Linux: kernel/bpf/verifier.c
#include <algorithm>

#include "verifier/env.h"

namespace skep {
namespace {

/// Linux: verifier.c:add_subprog()
Status add_subprog(StructureEnv& env, s64 start) {
  auto& starts = env.report.subprog_starts;
  if (start < 0 || start >= env.insn_cnt()) return env.refuse(EINVAL, "call to invalid destination");
  const auto at = std::lower_bound(starts.begin(), starts.end(), static_cast<u32>(start));
  if (at != starts.end() && *at == start) return ok_status();
  if (starts.size() >= BPF_MAX_SUBPROGS) return env.refuse(E2BIG, "too many subprograms");
  starts.insert(at, static_cast<u32>(start));
  return ok_status();
}

/// skep's kernel has no kfuncs: every id is one that its BTF does not know. Linux: verifier.c:add_kfunc_call()
Status add_kfunc_call(StructureEnv& env, const bpf_insn& insn) {
  if (!env.input.gpl_compatible) return env.refuse(EINVAL, "cannot call kernel function from non-GPL compatible program");
  if (insn.imm == 0 && insn.off == 0) return ok_status();  // only an error if it is reached
  if (insn.off != 0) {
    if (insn.off < 0)
      env.log.append("negative offset disallowed for kernel module function call\n");
    else
      env.log.append("kfunc offset > 0 without fd_array is invalid\n");
    return env.refuse(insn.off < 0 ? EINVAL : EPROTO, "failed to find BTF for kernel function");
  }
  return env.refuse(EINVAL, "kernel btf_id {} is not a function", static_cast<u32>(insn.imm));
}

bool is_cond_or_plain_jump(u8 code) { return is_jmp_class(code) && bpf_op(code) != BPF_EXIT && bpf_op(code) != BPF_CALL; }

bool may_end_subprog(u8 code) {
  return code == (BPF_JMP | BPF_EXIT) || code == (BPF_JMP32 | BPF_JA) || code == (BPF_JMP | BPF_JA);
}

}  // namespace

Status add_subprogs(StructureEnv& env) {
  TRY(add_subprog(env, 0));
  for (u32 i = 0; i < env.insn_cnt(); ++i) {
    const bpf_insn& insn = env.insns()[i];
    if (is_pseudo_func(insn) || is_pseudo_call(insn))
      TRY(add_subprog(env, call_target(insn, i)));
    else if (is_kfunc_call(insn))
      TRY(add_kfunc_call(env, insn));
  }
  const auto& starts = env.report.subprog_starts;
  if ((env.log.level() & BPF_LOG_LEVEL2) != 0)
    for (std::size_t i = 0; i < starts.size(); ++i) env.log.append("func#{} @{}\n", i, starts[i]);
  return ok_status();
}

Status check_subprogs(StructureEnv& env) {
  u32 subprog = 0;
  for (u32 i = 0; i < env.insn_cnt(); ++i) {
    const bpf_insn& insn = env.insns()[i];
    const u32 start = env.report.subprog_starts[subprog], end = env.subprog_end(subprog);
    if (is_cond_or_plain_jump(insn.code)) {
      const s64 target = jump_target(insn, i);
      if (target < start || target >= end)
        return env.refuse(EINVAL, "jump out of range from insn {} to {}", i, static_cast<s32>(target));
    }
    if (i != end - 1) continue;
    if (!may_end_subprog(insn.code)) return env.refuse(EINVAL, "last insn is not an exit or jmp");
    ++subprog;
  }
  return ok_status();
}

Status check_abnormal_return(StructureEnv& env) {
  const auto& starts = env.report.subprog_starts;
  for (u32 subprog = 1; subprog < starts.size(); ++subprog) {
    const auto body = env.insns().subspan(starts[subprog], env.subprog_end(subprog) - starts[subprog]);
    const auto is_ld_abs = [](const bpf_insn& insn) {
      return bpf_class(insn.code) == BPF_LD && (bpf_mode(insn.code) == BPF_ABS || bpf_mode(insn.code) == BPF_IND);
    };
    if (std::any_of(body.begin(), body.end(), is_ld_abs))
      return env.refuse(EINVAL, "LD_ABS is not allowed in subprogs without BTF");
    const auto is_tail_call = [](const bpf_insn& insn) { return is_helper_call(insn) && insn.imm == BPF_FUNC_tail_call; };
    if (std::any_of(body.begin(), body.end(), is_tail_call))
      return env.refuse(EINVAL, "tail_call is not allowed in subprogs without BTF");
  }
  return ok_status();
}

}  // namespace skep
