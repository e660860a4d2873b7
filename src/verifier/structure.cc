#include "verifier/structure.h"

#include <algorithm>

#include "verifier/env.h"

namespace skep {

u32 StructureEnv::subprog_of(u32 insn) const {
  const auto& starts = report.subprog_starts;
  return static_cast<u32>(std::upper_bound(starts.begin(), starts.end(), insn) - starts.begin()) - 1;
}

u32 StructureEnv::subprog_end(u32 subprog) const {
  return subprog + 1 < report.subprog_starts.size() ? report.subprog_starts[subprog + 1] : insn_cnt();
}

namespace {

/// Linux: kernel/bpf/verifier.c:bpf_check()
Status judge(StructureEnv& env) {
  if (env.input.check_btf_early) TRY(env.input.check_btf_early(env.log));
  TRY(add_subprogs(env));
  TRY(check_subprogs(env));
  if (!env.input.has_func_info) TRY(check_abnormal_return(env));
  if (env.input.check_btf) TRY(env.input.check_btf(env.report.subprog_starts, env.log));
  TRY(resolve_pseudo_ldimm64(env));
  TRY(check_cfg(env));
  TRY(walk_insns(env));
  TRY(check_call_depth(env));
  // At level 1 the trace of a program that passes is taken back. Linux: verifier.c:do_check_common()
  if ((env.log.level() & BPF_LOG_LEVEL2) == 0) env.log.reset(0);
  return ok_status();
}

/// Linux: kernel/bpf/verifier.c:print_verification_stats(). States are the real verifier's.
void print_stats(StructureEnv& env) {
  if ((env.log.level() & BPF_LOG_STATS) != 0) {
    env.log.append("verification time 0 usec\n");
    env.log.append("stack depth ");
    const char* plus = "";
    for (u32 depth : env.report.stack_depth) {
      env.log.append("{}{}", plus, depth);
      plus = "+";
    }
    env.log.append("\n");
  }
  env.log.append("processed {} insns (limit {}) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0\n",
                 env.report.insn_processed, BPF_COMPLEXITY_LIMIT_INSNS);
}

}  // namespace

Result<CheckedProg> check_structure(const StructureInput& input, VerifierLog& log) {
  if (input.insns.empty() || input.insns.size() > BPF_COMPLEXITY_LIMIT_INSNS) return Errno(E2BIG);
  StructureEnv env{input, log};
  const Status verdict = judge(env);
  print_stats(env);
  if (!verdict.ok()) return verdict.error();
  return CheckedProg(input, std::move(env.report));
}

}  // namespace skep
