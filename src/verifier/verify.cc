// verifier: the judgement from end to end. Linux: verifier.c:bpf_check()
#include <algorithm>
#include <chrono>

#include "verifier/refusal_probe.h"
#include "verifier/verifier_env.h"

namespace skep {

VerifierEnv::VerifierEnv(const VerifierInput& in, VerifierLog& lg)
    : input(in), log(lg), prog(in.prog), insns(in.insns.begin(), in.insns.end()), aux(in.insns.size()) {
  for (u32 i = 0; i < insn_cnt(); ++i) aux[i].orig_idx = i;
  allow_ptr_leaks = allow_uninit_stack = prog.perfmon;
  bpf_capable = prog.bpf_capable;
  strict_alignment = (in.prog_flags & BPF_F_STRICT_ALIGNMENT) != 0 && (in.prog_flags & BPF_F_ANY_ALIGNMENT) == 0;
  test_state_freq = bpf_capable && (in.prog_flags & BPF_F_TEST_STATE_FREQ) != 0;
  test_reg_invariants = (in.prog_flags & BPF_F_TEST_REG_INVARIANTS) != 0;
  scratched_regs = 0;
  scratched_stack_slots = 0;
  explored.resize(insn_cnt());
}

VerifierEnv::~VerifierEnv() = default;  // states lie in the pool

namespace {

/// Everything that can refuse a program.
Status judge(VerifierEnv& env) {
  TRY(check_btf_info_early(env));
  TRY(add_subprogs_and_kfuncs(env));
  TRY(check_subprogs(env));
  TRY(check_btf_info(env));
  TRY(resolve_pseudo_ldimm64(env));
  TRY(check_cfg(env));
  TRY(check_attach_btf_id(env));
  mark_fastcall_patterns(env);
  TRY(do_check_main(env));
  TRY(do_check_subprogs(env));
  remove_fastcall_spills_fills(env);  // may need less stack afterwards
  return check_max_stack_depth(env);
}

/// Before instructions are rewritten: helper calls may be inlined then.
std::vector<u32> called_helpers(const VerifierEnv& env) {
  std::vector<u32> ids;
  for (u32 i = 0; i < env.insn_cnt(); ++i)
    if (env.aux[i].seen != 0 && is_helper_call(env.insns[i])) ids.push_back(static_cast<u32>(env.insns[i].imm));
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  return ids;
}

std::vector<MapRef> map_refs(const VerifierEnv& env) {
  std::vector<MapRef> refs;
  for (u32 i = 0; i < env.insn_cnt(); i += insn_slots(env.insns[i])) {
    const InsnAux& aux = env.aux[i];
    if (!is_ldimm64(env.insns[i])) continue;
    const u32 kind = env.insns[i].src_reg;
    const bool is_value = kind == BPF_PSEUDO_MAP_VALUE || kind == BPF_PSEUDO_MAP_IDX_VALUE;
    if (!is_value && kind != BPF_PSEUDO_MAP_FD && kind != BPF_PSEUDO_MAP_IDX) continue;
    refs.push_back({i, aux.map_number - 1, is_value, aux.map_off});
  }
  return refs;
}

void report_subprogs(VerifierEnv& env, VerifierReport& report) {
  for (u32 i = 0; i < env.subprog_cnt; ++i) {
    report.subprog_starts.push_back(env.subprogs[i].start);
    report.stack_depth.push_back(env.subprogs[i].stack_depth);
  }
  // Linux: verifier.c:adjust_btf_func()
  for (u32 i = 0; i < env.func_info.size() && i < env.subprog_cnt; ++i) env.func_info[i].insn_off = env.subprogs[i].start;
  report.reads_map_structs = env.reads_map_structs;
  report.tail_call_reachable = env.subprogs[0].tail_call_reachable;
}

VerifierReport make_report(VerifierEnv& env, std::vector<u32> helpers) {
  VerifierReport report;
  report_subprogs(env, report);
  report.orig_idx.resize(env.aux.size());
  for (std::size_t i = 0; i < env.aux.size(); ++i) report.orig_idx[i] = env.aux[i].orig_idx;
  report.helpers = std::move(helpers);
  report.map_refs = map_refs(env);
  report.used_maps = std::move(env.used_maps);
  report.line_info = std::move(env.line_info);
  report.func_info = std::move(env.func_info);
  report.insn_processed = env.insn_processed;
  report.max_ctx_offset = env.max_ctx_offset;
  report.max_tp_access = env.max_tp_access;
  report.max_rdonly_access = env.max_rdonly_access;
  report.max_rdwr_access = env.max_rdwr_access;
  report.enforce_expected_attach_type = env.enforce_expected_attach_type;
  report.changes_pkt_data = env.changes_pkt_data;
  return report;
}

}  // namespace

Result<VerifiedProg> verify(const VerifierInput& input, VerifierLog& log) {
  if (input.insns.empty() || input.insns.size() > BPF_COMPLEXITY_LIMIT_INSNS) return Errno(E2BIG);
  const auto start = std::chrono::steady_clock::now();
  VerifierEnv env(input, log);
  Status verdict = judge(env);
  std::vector<u32> helpers;
  if (verdict.ok()) {
    helpers = called_helpers(env);
    verdict = rewrite_program(env);
  }
  if (!verdict.ok() && input.refusal != nullptr) input.refusal->finish(env, verdict.error());
  env.verification_time_ns =
      static_cast<u64>(std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now() - start).count());
  print_verification_stats(env);
  if (!verdict.ok()) return verdict.error();
  VerifierReport report = make_report(env, std::move(helpers));
  return VerifiedProg(std::move(env.insns), std::move(report), env.prog);
}

}  // namespace skep
