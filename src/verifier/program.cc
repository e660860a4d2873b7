// verifier: subprograms, and what BTF says of them. Linux: verifier.c:add_subprog_and_kfunc(), check_subprogs(), check_btf_info()
#include <algorithm>

#include "btf/func_info.h"
#include "verifier/verifier_env.h"

namespace skep {
namespace {

Status add_subprog(VerifierEnv& env, s64 off) {
  if (off < 0 || off >= env.insn_cnt()) return env.refuse(EINVAL, "call to invalid destination");
  if (find_subprog(env, static_cast<u32>(off)) >= 0) return ok_status();
  if (env.subprog_cnt >= BPF_MAX_SUBPROGS) return env.refuse(E2BIG, "too many subprograms");
  const auto at = std::upper_bound(env.subprogs.begin(), env.subprogs.end(), off, [](s64 o, const SubprogInfo& s) { return o < s.start; });
  SubprogInfo info;
  info.start = static_cast<u32>(off);
  env.subprogs.insert(at, info);
  ++env.subprog_cnt;
  return ok_status();
}

/// Where the exception callback that the main program names starts; 0: it names none. Linux: bpf_find_exception_callback_insn_off()
Result<u32> exception_callback_insn(VerifierEnv& env) {
  if (env.func_info.empty()) return u32{0};
  const Btf& btf = *env.btf();
  const btf_type* main_func = btf.type_by_id(env.func_info[0].type_id);
  const Result<std::string_view> name = btf.find_decl_tag_value(main_func, -1, "exception_callback:");
  if (!name.ok()) {
    if (name.error() == Errno(ENOENT)) return u32{0};
    if (name.error() == Errno(EEXIST)) env.verbose("multiple exception callback tags for main subprog\n");
    return name.error();
  }
  const Result<u32> id = btf.find_by_name_kind(*name, BTF_KIND_FUNC);
  if (!id.ok()) return env.refuse(id.error().value(), "exception callback '{}' could not be found in BTF", *name);
  if (btf_vlen(btf.type_by_id(*id)) != BTF_FUNC_GLOBAL)
    return env.refuse(EINVAL, "exception callback '{}' must have global linkage", *name);
  u32 off = 0;
  for (const bpf_func_info& info : env.func_info) {
    if (info.type_id != *id) continue;
    off = info.insn_off;
    if (off == 0) return env.refuse(EINVAL, "invalid exception callback insn_off in func_info: 0");
  }
  if (off == 0) return env.refuse(EINVAL, "exception callback type id not found in func_info");
  return off;
}

Status add_exception_callback(VerifierEnv& env) {
  const u32 insn = TRY(exception_callback_insn(env));
  if (insn == 0) return ok_status();
  TRY(add_subprog(env, insn));
  const s32 subprog = find_subprog(env, insn);
  if (subprog < 1) return ok_status();
  env.exception_callback_subprog = subprog;
  SubprogInfo& info = env.subprogs[static_cast<u32>(subprog)];
  info.is_cb = info.is_async_cb = info.is_exception_cb = true;
  return ok_status();
}

bool may_end_subprog(u8 code) { return code == (BPF_JMP | BPF_EXIT) || code == (BPF_JMP32 | BPF_JA) || code == (BPF_JMP | BPF_JA); }

void note_special_insn(SubprogInfo& subprog, const bpf_insn& insn) {
  if (is_helper_call(insn) && insn.imm == BPF_FUNC_tail_call) subprog.has_tail_call = subprog.tail_call_reachable = true;
  if (bpf_class(insn.code) == BPF_LD && (bpf_mode(insn.code) == BPF_ABS || bpf_mode(insn.code) == BPF_IND)) subprog.has_ld_abs = true;
}

/// Jumps stay inside of their subprogram.
Status check_jump(VerifierEnv& env, u32 i, u32 start, u32 end) {
  const bpf_insn& insn = env.insns[i];
  if (!is_jmp_class(insn.code) || bpf_op(insn.code) == BPF_EXIT || bpf_op(insn.code) == BPF_CALL) return ok_status();
  const s64 to = jump_target(insn, i);
  if (to < start || to >= end) return env.refuse(EINVAL, "jump out of range from insn {} to {}", i, to);
  return ok_status();
}

std::vector<u32> subprog_starts(const VerifierEnv& env) {
  std::vector<u32> starts;
  for (u32 i = 0; i < env.subprog_cnt; ++i) starts.push_back(env.subprogs[i].start);
  return starts;
}

/// Linux: check_btf_func()
Status check_btf_func(VerifierEnv& env) {
  if (env.func_info.empty()) return check_abnormal_return(env);
  const std::vector<u32> starts = subprog_starts(env);
  if (env.func_info.size() != starts.size())
    return env.refuse(EINVAL, "number of funcs in func_info doesn't match number of subprogs");
  for (u32 i = 0; i < starts.size(); ++i) {
    SubprogInfo& subprog = env.subprogs[i];
    if (subprog.start != env.func_info[i].insn_off)
      return env.refuse(EINVAL, "func_info BTF section doesn't match subprog layout in BPF program");
    subprog.is_global = btf_vlen(env.btf()->type_by_id(env.func_info[i].type_id)) == BTF_FUNC_GLOBAL;
    if (i == 0 || returns_scalar(*env.btf(), env.func_info[i])) continue;
    if (subprog.has_ld_abs) return env.refuse(EINVAL, "LD_ABS is only allowed in functions that return 'int'.");
    if (subprog.has_tail_call) return env.refuse(EINVAL, "tail_call is only allowed in functions that return 'int'.");
  }
  return ok_status();
}

Status check_btf_line(VerifierEnv& env) {
  u32 rec_size = env.input.line_info_rec_size;
  std::vector<u32> first_lines;
  Result<std::vector<bpf_line_info>> lines = check_line_info(*env.btf(), env.input.line_info, rec_size, env.input.line_info_cnt, env.insns,
                                                             subprog_starts(env), &env.log, &first_lines);
  if (!lines.ok()) return lines.error();
  env.line_info = std::move(*lines);
  for (u32 i = 0; i < first_lines.size() && i < env.subprog_cnt; ++i) env.subprogs[i].linfo_idx = first_lines[i];
  return ok_status();
}

}  // namespace

u32 find_containing_subprog(const VerifierEnv& env, u32 off) {
  const auto end = env.subprogs.begin() + env.subprog_cnt;
  const auto after = std::upper_bound(env.subprogs.begin(), end, off, [](u32 o, const SubprogInfo& s) { return o < s.start; });
  return static_cast<u32>(after - env.subprogs.begin()) - 1;
}

s32 find_subprog(const VerifierEnv& env, u32 off) {
  if (env.subprog_cnt == 0 || off >= env.insn_cnt() || off < env.subprogs[0].start) return -1;
  const u32 i = find_containing_subprog(env, off);
  return env.subprogs[i].start == off ? static_cast<s32>(i) : -1;
}

bool subprog_is_global(const VerifierEnv& env, u32 subprog) { return env.subprogs[subprog].is_global; }

const char* subprog_name(const VerifierEnv& env, u32 subprog) {
  if (subprog >= env.func_info.size()) return "";
  return env.btf()->name_or_word(env.btf()->type_by_id(env.func_info[subprog].type_id)->name_off);
}

std::string kfunc_call_name(const VerifierEnv& env, const bpf_insn& insn) {
  if (!is_kfunc_call(insn)) return {};
  const Btf* btf = env.vmlinux();
  const btf_type* func = btf != nullptr && insn.off == 0 ? btf->type_by_id(static_cast<u32>(insn.imm)) : nullptr;
  return func != nullptr ? btf->name_or_word(func->name_off) : "<error>";
}

Status add_subprogs_and_kfuncs(VerifierEnv& env) {
  TRY(add_subprog(env, 0));
  for (u32 i = 0; i < env.insn_cnt(); ++i) {
    const bpf_insn& insn = env.insns[i];
    const bool calls_subprog = is_pseudo_func(insn) || is_pseudo_call(insn);
    if (!calls_subprog && !is_kfunc_call(insn)) continue;
    if (!env.bpf_capable)
      return env.refuse(EPERM, "loading/calling other bpf or kernel functions are allowed for CAP_BPF and CAP_SYS_ADMIN");
    if (calls_subprog)
      TRY(add_subprog(env, call_target(insn, i)));
    else
      TRY(add_kfunc_call(env, static_cast<u32>(insn.imm), insn.off));
  }
  TRY(add_exception_callback(env));
  SubprogInfo sentinel;
  sentinel.start = env.insn_cnt();
  env.subprogs.push_back(sentinel);
  if ((env.log.level() & BPF_LOG_LEVEL2) != 0)
    for (u32 i = 0; i < env.subprog_cnt; ++i) env.verbose("func#{} @{}\n", i, env.subprogs[i].start);
  return ok_status();
}

Status check_subprogs(VerifierEnv& env) {
  for (u32 s = 0; s < env.subprog_cnt; ++s) {
    const u32 start = env.subprogs[s].start, end = env.subprogs[s + 1].start;
    for (u32 i = start; i < end; ++i) {
      note_special_insn(env.subprogs[s], env.insns[i]);
      TRY(check_jump(env, i, start, end));
    }
    if (!may_end_subprog(env.insns[end - 1].code)) return env.refuse(EINVAL, "last insn is not an exit or jmp");
  }
  return ok_status();
}

Status check_abnormal_return(VerifierEnv& env) {
  for (u32 i = 1; i < env.subprog_cnt; ++i) {
    if (env.subprogs[i].has_ld_abs) return env.refuse(EINVAL, "LD_ABS is not allowed in subprogs without BTF");
    if (env.subprogs[i].has_tail_call) return env.refuse(EINVAL, "tail_call is not allowed in subprogs without BTF");
  }
  return ok_status();
}

Status check_btf_info_early(VerifierEnv& env) {
  if (env.input.func_info_cnt == 0 && env.input.line_info_cnt == 0) return ok_status();
  if (env.input.btf == nullptr) return Errno(env.input.btf_errno != 0 ? env.input.btf_errno : EBADF);
  u32 rec_size = env.input.func_info_rec_size;
  Result<std::vector<bpf_func_info>> infos = check_func_info_early(*env.btf(), env.input.func_info, rec_size, env.input.func_info_cnt, &env.log);
  if (!infos.ok()) return infos.error();
  env.func_info = std::move(*infos);
  return ok_status();
}

Status check_btf_info(VerifierEnv& env) {
  if (env.input.func_info_cnt == 0 && env.input.line_info_cnt == 0) return check_abnormal_return(env);
  TRY(check_btf_func(env));
  if (env.input.line_info_cnt != 0) TRY(check_btf_line(env));
  if (env.input.core_relo_cnt != 0) return env.refuse(ENOTSUPP_, "CO-RE relocations at load are not supported");
  return ok_status();
}

}  // namespace skep
