// verifier: is every instruction reached, does every jump land, and where must states be compared? Linux: verifier.c:check_cfg()
#include "verifier/verifier_env.h"

namespace skep {
namespace {

constexpr u8 UNSEEN = 0, DISCOVERED = 0x10, EXPLORED = 0x20;
using Edge = u8;
constexpr Edge FALLTHROUGH = 1, BRANCH = 2;
enum class Visit { DONE_EXPLORING, KEEP_EXPLORING };

/// A depth-first walk without recursion: the instruction on top of the stack is visited until all its edges are labelled.
class CfgWalk {
 public:
  explicit CfgWalk(VerifierEnv& env) : env_(env), state_(env.insn_cnt(), UNSEEN) { stack_.reserve(env.insn_cnt()); }

  Status run() {
    TRY(explore_from(0));
    if (env_.exception_callback_subprog != 0)
      TRY(explore_from(env_.subprogs[static_cast<u32>(env_.exception_callback_subprog)].start));
    return check_all_explored();
  }

 private:
  Status explore_from(u32 insn) {
    state_[insn] = DISCOVERED;
    stack_.assign(1, insn);
    while (!stack_.empty()) {
      const u32 t = stack_.back();
      if (falls_through(t)) continue;
      if (TRY(visit(t)) == Visit::KEEP_EXPLORING) continue;
      state_[t] = EXPLORED;
      stack_.pop_back();
    }
    return ok_status();
  }

  /// The common case of both visits, for most instructions have one edge, and it leads to something new.
  bool falls_through(u32 t) {
    const bpf_insn& insn = env_.insns[t];
    if (is_jmp_class(insn.code) || is_pseudo_func(insn)) return false;
    if (state_[t] == (DISCOVERED | FALLTHROUGH)) {
      state_[t] = EXPLORED;
      stack_.pop_back();
      return true;
    }
    const u32 next = t + insn_slots(insn);
    if (state_[t] != DISCOVERED || next >= env_.insn_cnt() || state_[next] != UNSEEN) return false;
    state_[t] = DISCOVERED | FALLTHROUGH;
    state_[next] = DISCOVERED;
    stack_.push_back(next);
    return true;
  }

  Status check_all_explored() {
    for (u32 i = 0; i < env_.insn_cnt(); ++i) {
      if (state_[i] != EXPLORED) return env_.refuse(EINVAL, "unreachable insn {}", i);
      if (!is_ldimm64(env_.insns[i])) continue;
      if (state_[i + 1] != UNSEEN) return env_.refuse(EINVAL, "jump into the middle of ldimm64 insn {}", i);
      ++i;
    }
    env_.changes_pkt_data = env_.subprogs[0].changes_pkt_data;
    return ok_status();
  }

  void show_line(u32 insn) { verbose_linfo(env_, insn, fmt::format("{}: ", insn).c_str()); }

  /// Labels the edge e from t to w. Linux: push_insn()
  Result<Visit> push(u32 t, s64 w, Edge e) {
    if (state_[t] >= (DISCOVERED | e)) return Visit::DONE_EXPLORING;
    if (w < 0 || w >= env_.insn_cnt()) {
      show_line(t);
      return env_.refuse(EINVAL, "jump out of range from insn {} to {}", t, w);
    }
    const u32 to = static_cast<u32>(w);
    if (e == BRANCH) mark_target(to);
    if (state_[to] == UNSEEN) {
      state_[t] = static_cast<u8>(DISCOVERED | e);
      state_[to] = DISCOVERED;
      if (stack_.size() >= env_.insn_cnt()) return Errno(E2BIG);
      stack_.push_back(to);
      return Visit::KEEP_EXPLORING;
    }
    if ((state_[to] & 0xf0) == DISCOVERED) {
      if (env_.bpf_capable) return Visit::DONE_EXPLORING;
      show_line(t);
      show_line(to);
      return env_.refuse(EINVAL, "back-edge from insn {} to {}", t, to);
    }
    state_[t] = static_cast<u8>(DISCOVERED | e);
    return Visit::DONE_EXPLORING;
  }

  void mark_target(u32 insn) {
    InsnAux& aux = env_.aux[insn];
    aux.prune_point = aux.jmp_point = aux.jump_target = true;
  }

  /// Linux: visit_func_call_insn()
  Result<Visit> visit_call(u32 t, const bpf_insn& insn, bool visit_callee) {
    const u32 next = t + insn_slots(insn);
    if (TRY(push(t, next, FALLTHROUGH)) == Visit::KEEP_EXPLORING) return Visit::KEEP_EXPLORING;
    // Behind a call: the way back from the callee is no linear history.
    if (next < env_.insn_cnt()) env_.aux[next].prune_point = env_.aux[next].jmp_point = true;
    if (!visit_callee) return Visit::DONE_EXPLORING;
    env_.aux[t].prune_point = true;
    const s64 callee = call_target(insn, t);
    // No recursion passes later checks, so when the last visit comes here the callee's mark is final.
    SubprogInfo& caller = env_.subprogs[find_containing_subprog(env_, t)];
    caller.changes_pkt_data |= env_.subprogs[find_containing_subprog(env_, static_cast<u32>(callee))].changes_pkt_data;
    return push(t, callee, BRANCH);
  }

  void mark_helper_or_kfunc_call(u32 t, const bpf_insn& insn) {
    InsnAux& aux = env_.aux[t];
    // A checkpoint before the call, or each visit would push the async callback anew.
    if (is_async_callback_calling_insn(env_, insn)) aux.prune_point = true;
    // A callback's body is walked again and again until a state comes back; it is looked for at the call.
    if (is_sync_callback_calling_insn(env_, insn)) aux.calls_callback = aux.force_checkpoint = aux.prune_point = aux.jmp_point = true;
    if (is_helper_call(insn) && helper_changes_pkt_data(static_cast<u32>(insn.imm)))
      env_.subprogs[find_containing_subprog(env_, t)].changes_pkt_data = true;
    // Iterator loops converge only by checkpoints here.
    if (is_kfunc_call(insn) && is_iter_next_kfunc_call(env_, insn)) aux.prune_point = aux.force_checkpoint = true;
  }

  Result<Visit> visit_goto(u32 t, const bpf_insn& insn) {
    if (bpf_src(insn.code) != BPF_K) return Errno(EINVAL);
    const s64 target = jump_target(insn, t);
    if (TRY(push(t, target, FALLTHROUGH)) == Visit::KEEP_EXPLORING) return Visit::KEEP_EXPLORING;
    mark_target(static_cast<u32>(target));
    return Visit::DONE_EXPLORING;
  }

  /// Linux: visit_insn()
  Result<Visit> visit(u32 t) {
    const bpf_insn& insn = env_.insns[t];
    if (is_pseudo_func(insn)) return visit_call(t, insn, true);
    if (!is_jmp_class(insn.code)) return push(t, t + insn_slots(insn), FALLTHROUGH);
    switch (bpf_op(insn.code)) {
      case BPF_EXIT: return Visit::DONE_EXPLORING;
      case BPF_CALL:
        mark_helper_or_kfunc_call(t, insn);
        return visit_call(t, insn, insn.src_reg == BPF_PSEUDO_CALL);
      case BPF_JA: return visit_goto(t, insn);
      default: break;
    }
    env_.aux[t].prune_point = true;
    if (is_may_goto(insn)) env_.aux[t].force_checkpoint = true;
    if (TRY(push(t, t + 1, FALLTHROUGH)) == Visit::KEEP_EXPLORING) return Visit::KEEP_EXPLORING;
    return push(t, s64{t} + insn.off + 1, BRANCH);
  }

  VerifierEnv& env_;
  std::vector<u8> state_;
  std::vector<u32> stack_;
};

}  // namespace

Status check_cfg(VerifierEnv& env) { return CfgWalk(env).run(); }

}  // namespace skep
