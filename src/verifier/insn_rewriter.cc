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

InsnRewriter::InsnRewriter(VerifierEnv& env) : env_(env) {}

void InsnRewriter::begin(u32 i) {
  end_turn();
  at_ = i;
  turn_ = Turn::EMPTY;
  if (in_place_) return;
  take_over(i);
  start_[i] = static_cast<u32>(insns_.size());
  next_ = i + 1;
}

/// A turn that made one instruction of one puts that in the old one's place.
void InsnRewriter::end_turn() {
  if (!in_place_ || at_ == NO_TARGET) return;
  if (turn_ == Turn::EMPTY) return leave_in_place();
  if (turn_ == Turn::REPLACED) env_.insns[at_] = replacement_;
}

/// Everything before this turn becomes the beginning of a new program.
void InsnRewriter::leave_in_place() {
  in_place_ = false;
  const u32 cnt = env_.insn_cnt();
  insns_.reserve(cnt + cnt / 4 + 16);
  start_.resize(cnt + 1);
  take_over(at_);
  start_[at_] = at_;
  next_ = at_ + 1;
  if (turn_ == Turn::KEPT) emit_with_target(env_.insns[at_], at_);
  if (turn_ == Turn::REPLACED) write(replacement_, NO_TARGET);
}

/// Old instructions up to `end`, as they are.
void InsnRewriter::take_over(u32 end) {
  const u32 moved = static_cast<u32>(insns_.size()) - next_;
  insns_.insert(insns_.end(), env_.insns.begin() + next_, env_.insns.begin() + end);
  for (; next_ < end; ++next_) {
    start_[next_] = next_ + moved;
    if (const u32 to = old_target(next_); to != NO_TARGET) fixups_.push_back({next_ + moved, to, next_});
  }
}

u32 InsnRewriter::old_target(u32 old) const {
  if (!has_target(env_.insns[old])) return NO_TARGET;
  const s64 to = target_of(env_.insns[old], old);
  return to >= 0 && to <= env_.insn_cnt() ? static_cast<u32>(to) : NO_TARGET;
}

void InsnRewriter::write(const bpf_insn& insn, u32 target) {
  if (target != NO_TARGET) fixups_.push_back({static_cast<u32>(insns_.size()), target, at_});
  insns_.push_back(insn);
}

void InsnRewriter::emit_call(const bpf_insn& insn, u32 target) {
  if (in_place_ && turn_ == Turn::EMPTY && target == NO_TARGET) {
    turn_ = Turn::REPLACED;
    replacement_ = insn;
    return;
  }
  if (in_place_) leave_in_place();
  write(insn, target);
}

void InsnRewriter::emit(const bpf_insn& insn) { emit_call(insn, NO_TARGET); }

void InsnRewriter::emit_with_target(const bpf_insn& insn, u32 from) { emit_call(insn, old_target(from)); }

void InsnRewriter::keep() {
  if (in_place_ && turn_ == Turn::EMPTY)
    turn_ = Turn::KEPT;
  else
    emit_with_target(env_.insns[at_], at_);
}

void InsnRewriter::end_prologue() {
  if (in_place_) leave_in_place();
  prologues_.push_back({at_, static_cast<u32>(insns_.size())});
}

u32 InsnRewriter::jump_start(u32 old) const {
  for (const Prologue& p : prologues_)
    if (p.old == old) return p.end;
  return start_[old];
}

Status InsnRewriter::fix_target(const Fixup& fixup) {
  bpf_insn& insn = insns_[fixup.pos];
  const bool call = is_pseudo_call(insn) || is_pseudo_func(insn);
  // Calls enter a subprogram at its very start.
  const s64 to = call ? start_[fixup.target] : jump_start(fixup.target);
  const s64 distance = to - (s64{fixup.pos} + 1);
  if (target_is_imm(insn)) {
    insn.imm = static_cast<s32>(distance);
    return ok_status();
  }
  if (distance < std::numeric_limits<s16>::min() || distance > std::numeric_limits<s16>::max())
    return env_.refuse(ENOMEM, "insn {} cannot be patched due to 16-bit range", env_.aux[fixup.origin].orig_idx);
  insn.off = static_cast<s16>(distance);
  return ok_status();
}

/// The last instruction of a patch inherits the facts of the old one.
void InsnRewriter::put_aux(std::vector<InsnAux>& aux, u32 old, const InsnAux& facts) const {
  const u32 first = start_[old], last = start_[old + 1] - 1;
  for (u32 pos = first; pos < last; ++pos) {
    aux[pos] = InsnAux{};
    aux[pos].seen = facts.seen;
    aux[pos].orig_idx = facts.orig_idx;
    aux[pos].zext_dst = insn_has_def32(env_, insns_[pos]);
  }
  aux[last] = facts;
  if (last != first) aux[last].zext_dst = insn_has_def32(env_, insns_[last]);
}

/// From the end, into the same array, if nothing was removed: then no place that is written is still to be read.
void InsnRewriter::move_aux() {
  const u32 cnt = env_.insn_cnt();
  bool removes = false;
  for (u32 i = 0; i < cnt && !removes; ++i) removes = start_[i] == start_[i + 1];
  std::vector<InsnAux>& aux = env_.aux;
  if (!removes) {
    aux.resize(insns_.size());
    for (u32 i = cnt; i-- > 0;) {
      const InsnAux facts = aux[i];
      put_aux(aux, i, facts);
    }
    return;
  }
  std::vector<InsnAux> moved(insns_.size());
  for (u32 i = 0; i < cnt; ++i)
    if (start_[i] != start_[i + 1]) put_aux(moved, i, aux[i]);
  aux = std::move(moved);
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
  end_turn();
  if (in_place_) return ok_status();
  take_over(env_.insn_cnt());
  start_.back() = static_cast<u32>(insns_.size());
  for (const Fixup& fixup : fixups_) TRY(fix_target(fixup));
  move_aux();
  move_lines();
  move_subprogs();
  env_.insns = std::move(insns_);
  return ok_status();
}

}  // namespace skep
