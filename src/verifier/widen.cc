#include "verifier/widen.h"

#include <algorithm>

namespace skep {
namespace {

/// Ids of two states match when they are paired one to one. Linux: verifier.c:check_ids()
bool ids_match(u32 old_id, u32 cur_id, IdMap& map) {
  if ((old_id != 0) != (cur_id != 0)) return false;
  if (old_id == 0) return true;
  for (u32 i = 0; i < map.count; ++i) {
    if (map.map[i].old == old_id) return map.map[i].cur == cur_id;
    if (map.map[i].cur == cur_id) return false;
  }
  if (map.count == BPF_ID_MAP_SIZE) return false;
  map.map[map.count++] = {old_id, cur_id};
  return true;
}

/// Linux: verifier.c:regs_exact()
bool exactly_same(const RegState& old, const RegState& cur, IdMap& map) {
  return regs_same_prefix(old, cur) && ids_match(old.id, cur.id, map) && ids_match(old.ref_obj_id, cur.ref_obj_id, map);
}

/// Linux: verifier.c:maybe_widen_reg()
void maybe_widen_reg(VerifierEnv& env, const RegState& old, RegState& cur) {
  if (old.type != SCALAR_VALUE || cur.type != SCALAR_VALUE) return;
  if (old.precise || cur.precise || exactly_same(old, cur, env.idmap_scratch)) return;
  mark_reg_unknown_reg(env, cur);
}

}  // namespace

VerifierState* find_prev_entry(VerifierEnv& env, const VerifierState& cur, u32 insn_idx) {
  // The most recent come first. One with open branches is still being walked: it lies on this very path.
  for (ExploredState* e = *explored_state(env, insn_idx); e != nullptr; e = e->next) {
    VerifierState& st = e->state;
    if (st.insn_idx == insn_idx && st.branches != 0 && same_callsites(st, cur) && st.dfs_depth < cur.dfs_depth) return &st;
  }
  return nullptr;
}

void widen_imprecise_scalars(VerifierEnv& env, const VerifierState& old, VerifierState& cur) {
  env.idmap_scratch.tmp_id_gen = env.id_gen;
  env.idmap_scratch.count = 0;
  for (u32 fr = old.curframe + 1; fr-- > 0;) {
    const FuncState& fold = *old.frame[fr];
    FuncState& fcur = *cur.frame[fr];
    for (u32 i = 0; i < MAX_BPF_REG; ++i) maybe_widen_reg(env, fold.regs[i], fcur.regs[i]);
    const u32 slots = std::min(fold.stack_slots(), fcur.stack_slots());
    for (u32 i = 0; i < slots; ++i) {
      if (!is_spilled_reg(fold.stack[i]) || !is_spilled_reg(fcur.stack[i])) continue;
      maybe_widen_reg(env, fold.stack[i].spilled_ptr, fcur.stack[i].spilled_ptr);
    }
  }
}

}  // namespace skep
