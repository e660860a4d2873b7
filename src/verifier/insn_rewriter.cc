#include "verifier/insn_rewriter.h"

#include <limits>

namespace skep {
namespace {

/// Where a jump, call or function reference leads; the end of the program for other instructions.
bool has_target(const bpf_insn& insn) {
  if (is_pseudo_call(insn) || is_pseudo_func(insn)) return true;
  if (!is_jmp_class(insn.code)) return false;
  return bpf_op(insn.code) != BPF_EXIT && bpf_op(insn.code) != BPF_CALL;
}

bool target_is_imm(const bpf_insn& insn) {
  return is_pseudo_call(insn) || is_pseudo_func(insn) || insn.code == (BPF_JMP32 | BPF_JA);
}

s64 target_of(const bpf_insn& insn, u32 at) { return s64{at} + 1 + (target_is_imm(insn) ? insn.imm : insn.off); }

}  // namespace

InsnRewriter::InsnRewriter(VerifierEnv& env) : env_(env), start_(env.insn_cnt() + 1), jump_start_(env.insn_cnt() + 1) {
  insns_.reserve(env.insn_cnt() + env.insn_cnt() / 4);
  origin_.reserve(insns_.capacity());
  target_.reserve(insns_.capacity());
}

void InsnRewriter::begin(u32 i) {
  at_ = i;
  start_[i] = jump_start_[i] = static_cast<u32>(insns_.size());
}

void InsnRewriter::emit(const bpf_insn& insn) {
  insns_.push_back(insn);
  origin_.push_back(at_);
  target_.push_back(NO_TARGET);
}

void InsnRewriter::emit_with_target(const bpf_insn& insn, u32 from) {
  emit(insn);
  const bpf_insn& old = env_.insns[from];
  if (!has_target(old)) return;
  const s64 to = target_of(old, from);
  if (to >= 0 && to <= env_.insn_cnt()) target_.back() = static_cast<u32>(to);
}

void InsnRewriter::emit_call(const bpf_insn& insn, u32 target) {
  emit(insn);
  target_.back() = target;
}

Status InsnRewriter::fix_target(u32 pos) {
  if (target_[pos] == NO_TARGET) return ok_status();
  bpf_insn& insn = insns_[pos];
  const bool call = is_pseudo_call(insn) || is_pseudo_func(insn);
  // Calls enter a subprogram at its very start.
  const s64 to = call ? start_[target_[pos]] : jump_start_[target_[pos]];
  const s64 distance = to - (s64{pos} + 1);
  if (target_is_imm(insn)) {
    insn.imm = static_cast<s32>(distance);
    return ok_status();
  }
  if (distance < std::numeric_limits<s16>::min() || distance > std::numeric_limits<s16>::max())
    return env_.refuse(ENOMEM, "insn {} cannot be patched due to 16-bit range", env_.aux[origin_[pos]].orig_idx);
  insn.off = static_cast<s16>(distance);
  return ok_status();
}

/// The last instruction of a patch inherits the facts of the old one.
void InsnRewriter::move_aux() {
  std::vector<InsnAux> aux(insns_.size());
  for (u32 i = 0; i < insns_.size(); ++i) {
    const InsnAux& old = env_.aux[origin_[i]];
    const bool last = i + 1 == insns_.size() || origin_[i + 1] != origin_[i];
    if (last) {
      aux[i] = old;
    } else {
      aux[i].seen = old.seen;
      aux[i].orig_idx = old.orig_idx;
    }
    aux[i].zext_dst = last && i == start_[origin_[i]] ? old.zext_dst : insn_has_def32(env_, insns_[i]);
  }
  env_.aux = std::move(aux);
}

/// A line whose instructions are gone goes too, unless the next instruction has no line of its own.
void InsnRewriter::move_lines() {
  std::vector<bpf_line_info> lines;
  for (const bpf_line_info& old : env_.line_info) {
    bpf_line_info line = old;
    line.insn_off = start_[old.insn_off];
    if (line.insn_off >= insns_.size()) break;
    if (!lines.empty() && lines.back().insn_off == line.insn_off) lines.pop_back();
    lines.push_back(line);
  }
  env_.line_info = std::move(lines);
}

/// A subprogram whose instructions are all gone goes, and its func info with it.
void InsnRewriter::move_subprogs() {
  const u32 hidden = env_.hidden_subprog_cnt;
  std::vector<SubprogInfo> subprogs;
  std::vector<bpf_func_info> infos;
  s32 exception_cb = 0;
  for (u32 s = 0; s < env_.subprog_cnt; ++s) {
    SubprogInfo info = env_.subprogs[s];
    info.start = start_[env_.subprogs[s].start];
    if (info.start == start_[env_.subprogs[s + 1].start]) continue;
    if (static_cast<s32>(s) == env_.exception_callback_subprog && s != 0) exception_cb = static_cast<s32>(subprogs.size());
    if (s < env_.func_info.size()) {
      infos.push_back(env_.func_info[s]);
      infos.back().insn_off = info.start;
    }
    subprogs.push_back(info);
  }
  env_.subprog_cnt = static_cast<u32>(subprogs.size());
  env_.hidden_subprog_cnt = hidden;
  env_.exception_callback_subprog = exception_cb;
  SubprogInfo sentinel = env_.subprogs.back();
  sentinel.start = static_cast<u32>(insns_.size());
  subprogs.push_back(sentinel);
  for (u32 s = 0, l = 0; s < env_.subprog_cnt; ++s) {
    while (l + 1 < env_.line_info.size() && env_.line_info[l].insn_off < subprogs[s].start) ++l;
    subprogs[s].linfo_idx = l;
  }
  env_.subprogs = std::move(subprogs);
  env_.func_info = std::move(infos);
}

Status InsnRewriter::finish() {
  start_.back() = jump_start_.back() = static_cast<u32>(insns_.size());
  for (u32 pos = 0; pos < insns_.size(); ++pos) TRY(fix_target(pos));
  move_aux();
  move_lines();
  move_subprogs();
  env_.insns = std::move(insns_);
  return ok_status();
}

}  // namespace skep
