// verifier: how deep calls go, and how much stack they take together. Linux: kernel/bpf/verifier.c
#include "helpers/proto.h"
#include "verifier/env.h"

namespace skep {
namespace {

constexpr u32 PRIV_STACK_MIN_SIZE = 64;  // Linux: verifier.c:BPF_PRIV_STACK_MIN_SIZE
/// Program types whose larger frames come from a private stack. Linux: verifier.c:bpf_enable_priv_stack()
constexpr u64 PRIV_STACK_TYPES =
    prog_types(BPF_PROG_TYPE_KPROBE, BPF_PROG_TYPE_TRACEPOINT, BPF_PROG_TYPE_PERF_EVENT, BPF_PROG_TYPE_RAW_TRACEPOINT);

class DepthCheck {
 public:
  explicit DepthCheck(StructureEnv& env)
      : env_(env), callees_(env.report.subprog_starts.size()), done_(callees_.size()), stack_done_(callees_.size(), -1) {
    for (u32 i = 0; i < env.insn_cnt(); ++i)
      if (env.report.live[i] && is_pseudo_call(env.insns()[i]))
        callees_[env.subprog_of(i)].push_back(env.subprog_of(static_cast<u32>(call_target(env.insns()[i], i))));
  }

  Status run() {
    TRY(check_frames(0, 1));
    return check_stack(0, 1, 0);
  }

 private:
  /// A chain through a recursion grows until it is too deep. done_[s]: chains from s were good when s stood at that depth or
  /// deeper. Linux: verifier.c:setup_func_entry()
  Status check_frames(u32 subprog, u32 frames) {
    if (frames > MAX_CALL_FRAMES) return env_.refuse(E2BIG, "the call stack of {} frames is too deep", frames);
    if (done_[subprog] >= frames) return ok_status();
    for (u32 callee : callees_[subprog]) TRY(check_frames(callee, frames + 1));
    done_[subprog] = frames;
    return ok_status();
  }

  u32 on_common_stack(u32 subprog) const {
    const u32 depth = round_up(env_.report.stack_depth[subprog], 16u);
    const bool priv = (PRIV_STACK_TYPES & prog_type_bit(env_.input.prog_type)) != 0 && depth >= PRIV_STACK_MIN_SIZE;
    return priv ? 0 : depth;
  }

  /// Linux: verifier.c:check_max_stack_depth_subprog(). REQUIRES: check_frames() found no recursion.
  Status check_stack(u32 subprog, u32 frames, u32 above) {
    const u32 depth = above + on_common_stack(subprog);
    if (stack_done_[subprog] >= static_cast<s64>(above)) return ok_status();
    if (depth > MAX_BPF_STACK) return env_.refuse(EACCES, "combined stack size of {} calls is {}. Too large", frames, depth);
    for (u32 callee : callees_[subprog]) TRY(check_stack(callee, frames + 1, depth));
    stack_done_[subprog] = above;
    return ok_status();
  }

  StructureEnv& env_;
  std::vector<std::vector<u32>> callees_;
  std::vector<u32> done_;
  std::vector<s64> stack_done_;  ///< chains from here were good with that much stack above, or -1
};

}  // namespace

Status check_call_depth(StructureEnv& env) { return DepthCheck(env).run(); }

}  // namespace skep
