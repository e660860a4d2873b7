// verifier: the paths that wait, and the counts of paths that are still open below each explored state.
#include <algorithm>

#include "verifier/do_check.h"

namespace skep {
namespace {

/// Takes `state` as a path that waits. The log is told where it stood.
void put_aside(VerifierEnv& env, VerifierState* state, u32 insn_idx, u32 prev_insn_idx) {
  env.pending.push_back({state, insn_idx, prev_insn_idx, env.log.position()});
}

}  // namespace

VerifierState* push_stack(VerifierEnv& env, u32 insn_idx, u32 prev_insn_idx, bool speculative) {
  VerifierState* const state = env.pool.new_state();
  env.pool.copy_state(*state, *env.cur_state);
  if (speculative) state->speculative = true;
  put_aside(env, state, insn_idx, prev_insn_idx);
  if (env.pending.size() > BPF_COMPLEXITY_LIMIT_JMP_SEQ) {
    env.verbose("The sequence of {} jumps is too complex.\n", env.pending.size());
    return nullptr;
  }
  if (state->parent != nullptr) ++state->parent->branches;
  return state;
}

VerifierState* push_async_cb(VerifierEnv& env, u32 insn_idx, u32 prev_insn_idx, u32 subprog, bool is_sleepable) {
  VerifierState* const state = env.pool.new_state();
  put_aside(env, state, insn_idx, prev_insn_idx);
  if (env.pending.size() > BPF_COMPLEXITY_LIMIT_JMP_SEQ) {
    env.verbose("The sequence of {} jumps is too complex for async cb.\n", env.pending.size());
    return nullptr;
  }
  // The callback runs some time later, on a stack of its own: nothing of the caller's state holds for it. Only the instruction
  // history is shared, and there it goes on behind the caller's part.
  state->branches = 1;
  state->in_sleepable = is_sleepable;
  state->insn_hist_start = state->insn_hist_end = env.cur_state->insn_hist_end;
  state->frame[0] = env.pool.new_func();
  init_func_state(env, *state->frame[0], BPF_MAIN_FUNC, 0, subprog);
  return state;
}

bool pop_stack(VerifierEnv& env, u32* prev_insn_idx, bool pop_log) {
  if (env.pending.empty()) return false;
  const PendingPath path = env.pending.back();
  env.pending.pop_back();
  // Linux copies the waiting state over the current one; nothing points to either of them, so it takes its place here.
  if (env.cur_state != nullptr) env.pool.free_state(env.cur_state);
  env.cur_state = path.state;
  if (pop_log) env.log.reset(path.log_pos);
  env.insn_idx = path.insn_idx;
  *prev_insn_idx = path.prev_insn_idx;
  return true;
}

void update_branch_counts(VerifierEnv&, VerifierState* state) {
  for (; state != nullptr; state = state->parent) {
    // The last path below this state has ended: if it was part of a loop, so is its parent.
    if (--state->branches == 0 && state->parent != nullptr && state->loop_entry != nullptr)
      update_loop_entry(state->parent, state->loop_entry);
    if (state->branches != 0) return;
  }
}

}  // namespace skep
