// verifier: how deep calls go, and how much stack they take together. Linux: verifier.c:check_max_stack_depth()
#include <algorithm>

#include "verifier/verifier_env.h"

namespace skep {
namespace {

constexpr u32 PRIV_STACK_MIN_SIZE = 64;  // Linux: verifier.c:BPF_PRIV_STACK_MIN_SIZE

enum class PrivStack : u8 { UNKNOWN, NONE, ADAPTIVE };

/// Program types whose larger frames come from a private stack. Linux: verifier.c:bpf_enable_priv_stack(), bpf_prog_check_recur()
PrivStack priv_stack_of(const VerifierEnv& env) {
  switch (env.prog.type) {
    case BPF_PROG_TYPE_KPROBE:
    case BPF_PROG_TYPE_TRACEPOINT:
    case BPF_PROG_TYPE_PERF_EVENT:
    case BPF_PROG_TYPE_RAW_TRACEPOINT: return PrivStack::ADAPTIVE;
    case BPF_PROG_TYPE_TRACING: return env.prog.expected_attach_type != BPF_TRACE_ITER ? PrivStack::ADAPTIVE : PrivStack::NONE;
    case BPF_PROG_TYPE_LSM: return PrivStack::NONE;
    default: return PrivStack::NONE;
  }
}

/// Walks the call graph from one root, each chain of calls. A subprogram that was good in a worse place (deeper, more stack above it) is
/// not walked again: without that the time would be exponential.
class DepthWalk {
 public:
  DepthWalk(VerifierEnv& env, std::vector<PrivStack>& modes) : env_(env), modes_(modes), good_(env.subprog_cnt) {}

  Status run(u32 root, bool priv_supported) {
    priv_supported_ = priv_supported;
    tail_call_seen_ = false;
    frames_ = 0;
    std::fill(good_.begin(), good_.end(), std::vector<Place>{});
    return enter(root, 0, false);
  }

 private:
  struct Place {
    u32 frame, depth;
    bool in_cb;
  };

  bool known_good(u32 subprog, Place at) const {
    return std::any_of(good_[subprog].begin(), good_[subprog].end(),
                       [&](const Place& p) { return p.frame >= at.frame && p.depth >= at.depth && p.in_cb == at.in_cb; });
  }

  u32 own_depth(u32 subprog) const { return (env_.subprogs[subprog].stack_depth + 15) / 16 * 16; }

  /// *depth: bytes on the common stack, this frame included.
  Status add_frame(u32 subprog, u32 above, u32* depth) {
    const SubprogInfo& info = env_.subprogs[subprog];
    if (subprog != 0 && info.has_tail_call && above >= 256)
      return env_.refuse(EACCES, "tail_calls are not allowed when call stack of previous frames is {} bytes. Too large", above);
    const u32 own = own_depth(subprog);
    if (!priv_supported_)
      modes_[subprog] = PrivStack::NONE;
    else if (modes_[subprog] == PrivStack::UNKNOWN && own >= PRIV_STACK_MIN_SIZE)
      modes_[subprog] = PrivStack::ADAPTIVE;
    *depth = above;
    if (modes_[subprog] == PrivStack::ADAPTIVE) {
      if (own > MAX_BPF_STACK) return env_.refuse(EACCES, "stack size of subprog {} is {}. Too large", subprog, own);
      return ok_status();
    }
    *depth += own;
    if (*depth > MAX_BPF_STACK)
      return env_.refuse(EACCES, "combined stack size of {} calls is {}. Too large", frames_ + 1, *depth);
    return ok_status();
  }

  Status enter(u32 subprog, u32 above, bool caller_in_cb) {
    const SubprogInfo& info = env_.subprogs[subprog];
    const bool in_cb = caller_in_cb || info.is_cb;
    if (info.has_ld_abs && in_cb) return env_.refuse(EINVAL, "cannot use BPF_LD_[ABS|IND] within callback");
    u32 depth = 0;
    TRY(add_frame(subprog, above, &depth));
    const Place place{frames_, above, in_cb};
    if (!known_good(subprog, place)) {
      TRY(walk_calls(subprog, depth, in_cb));
      good_[subprog].push_back(place);
    }
    return leave();
  }

  Status walk_calls(u32 subprog, u32 depth, bool in_cb) {
    for (u32 i = env_.subprogs[subprog].start; i < env_.subprogs[subprog + 1].start; ++i) {
      const bpf_insn& insn = env_.insns[i];
      if (is_kfunc_call(insn) && insn.off == 0) {
        if (in_cb && kfunc_call_name(env_, insn) == "bpf_throw")
          return env_.refuse(EINVAL, "bpf_throw kfunc (insn {}) cannot be called from callback subprog {}", i, subprog);
        continue;
      }
      if (is_pseudo_call(insn) || is_pseudo_func(insn)) TRY(follow(subprog, i, insn, depth, in_cb));
    }
    return ok_status();
  }

  Status follow(u32 subprog, u32 i, const bpf_insn& insn, u32 depth, bool in_cb) {
    const s32 callee = find_subprog(env_, static_cast<u32>(call_target(insn, i)));
    if (callee < 0) return env_.bug("no program starts at insn {}", call_target(insn, i));
    const SubprogInfo& info = env_.subprogs[static_cast<u32>(callee)];
    if (info.is_async_cb) {
      if (info.has_tail_call) return env_.bug("subprog has tail_call and async cb");
      // Async callbacks run on a stack of their own, unless they are called as functions.
      if (!is_pseudo_call(insn)) return ok_status();
      if (info.is_exception_cb) return env_.refuse(EINVAL, "insn {} cannot call exception cb directly", i);
    }
    if (info.has_tail_call) tail_call_seen_ = true;
    callers_[frames_++] = subprog;
    if (frames_ >= MAX_CALL_FRAMES) return env_.refuse(E2BIG, "the call stack of {} frames is too deep !", frames_);
    TRY(enter(static_cast<u32>(callee), depth, in_cb));
    --frames_;
    return ok_status();
  }

  /// Marks those above a tail call: executors carry the count of tail calls through them.
  Status leave() {
    if (tail_call_seen_)
      for (u32 j = 0; j < frames_; ++j) {
        SubprogInfo& caller = env_.subprogs[callers_[j]];
        if (caller.is_exception_cb) return env_.refuse(EINVAL, "cannot tail call within exception cb");
        caller.tail_call_reachable = true;
      }
    return ok_status();
  }

  VerifierEnv& env_;
  std::vector<PrivStack>& modes_;
  std::vector<std::vector<Place>> good_;
  std::array<u32, MAX_CALL_FRAMES> callers_{};
  u32 frames_ = 0;
  bool priv_supported_ = false, tail_call_seen_ = false;
};

}  // namespace

Status check_max_stack_depth(VerifierEnv& env) {
  const bool any_tail_call = std::any_of(env.subprogs.begin(), env.subprogs.begin() + env.subprog_cnt,
                                         [](const SubprogInfo& s) { return s.has_tail_call; });
  const PrivStack mode = any_tail_call ? PrivStack::NONE : priv_stack_of(env);
  std::vector<PrivStack> modes(env.subprog_cnt, PrivStack::UNKNOWN);
  DepthWalk walk(env, modes);
  // Backwards: what async callbacks reach is known to be on the common stack when the main program's turn comes.
  for (u32 i = env.subprog_cnt; i-- > 0;)
    if (i == 0 || env.subprogs[i].is_async_cb) TRY(walk.run(i, i == 0 && mode == PrivStack::ADAPTIVE));
  return ok_status();
}

}  // namespace skep
