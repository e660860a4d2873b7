// verifier: every instruction can be reached, none by jumping between the halves of another. Loops are legal here: the real
// verifier bounds them, and until then the interpreter's limit on steps. Linux: kernel/bpf/verifier.c:check_cfg()
#include "verifier/env.h"

namespace skep {
namespace {

class Explorer {
 public:
  explicit Explorer(StructureEnv& env) : env_(env), seen_(env.insn_cnt()) {}

  Status run() {
    TRY(push(0, 0));
    while (!pending_.empty()) {
      const u32 at = pending_.back();
      pending_.pop_back();
      TRY(visit(at));
    }
    return check_all_seen();
  }

 private:
  Status push(u32 from, s64 to) {
    if (to < 0 || to >= env_.insn_cnt())
      return env_.refuse(EINVAL, "jump out of range from insn {} to {}", from, static_cast<s32>(to));
    if (!seen_[static_cast<u32>(to)]) {
      seen_[static_cast<u32>(to)] = true;
      pending_.push_back(static_cast<u32>(to));
    }
    return ok_status();
  }

  /// Linux: verifier.c:visit_insn()
  Status visit(u32 at) {
    const bpf_insn& insn = env_.insns()[at];
    if (is_exit(insn)) return ok_status();
    if (is_jmp_class(insn.code) && bpf_op(insn.code) == BPF_JA) return push(at, jump_target(insn, at));
    TRY(push(at, s64{at} + insn_slots(insn)));
    if (is_pseudo_func(insn) || is_pseudo_call(insn)) return push(at, call_target(insn, at));
    if (is_jmp_class(insn.code) && !is_call(insn)) return push(at, jump_target(insn, at));
    return ok_status();
  }

  Status check_all_seen() {
    for (u32 i = 0; i < env_.insn_cnt(); ++i) {
      if (!seen_[i]) return env_.refuse(EINVAL, "unreachable insn {}", i);
      if (!is_ldimm64(env_.insns()[i])) continue;
      if (seen_[i + 1]) return env_.refuse(EINVAL, "jump into the middle of ldimm64 insn {}", i);
      ++i;
    }
    return ok_status();
  }

  StructureEnv& env_;
  std::vector<bool> seen_;
  std::vector<u32> pending_;
};

}  // namespace

Status check_cfg(StructureEnv& env) { return Explorer(env).run(); }

}  // namespace skep
