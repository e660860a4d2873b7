// verifier: has a state that covers this one been explored already? Linux: verifier.c:is_state_visited(), states_equal()
#include "verifier/verifier_env.h"

namespace skep {
namespace {

// --- ids ----------------------------------------------------------------------------------------------------------------------------

/// Ids that were equal in the old state must be equal in the current one; which ids they are does not matter.
bool check_ids(u32 old_id, u32 cur_id, IdMap& ids) {
  if ((old_id != 0) != (cur_id != 0)) return false;
  if (old_id == 0) return true;
  for (u32 i = 0; i < ids.count; ++i) {
    if (ids.map[i].old == old_id) return ids.map[i].cur == cur_id;
    if (ids.map[i].cur == cur_id) return false;
  }
  if (ids.count == BPF_ID_MAP_SIZE) return false;
  ids.map[ids.count++] = {old_id, cur_id};
  return true;
}

/// Scalars that were independent may be linked now: that only narrows them. Those that were linked must be so still, so that a scalar
/// without an id gets one of its own; with BPF_ADD_CONST the bases must agree as well.
bool check_scalar_ids(u32 old_id, u32 cur_id, IdMap& ids) {
  if (old_id == 0) return true;
  if (cur_id == 0) cur_id = ++ids.tmp_id_gen;
  if (!check_ids(old_id, cur_id, ids)) return false;
  return (old_id & BPF_ADD_CONST) == 0 || check_ids(old_id & ~BPF_ADD_CONST, cur_id & ~BPF_ADD_CONST, ids);
}

// --- registers ----------------------------------------------------------------------------------------------------------------------

/// Type, fixed offset and object, without the bounds.
bool same_object(const RegState& a, const RegState& b) {
  const auto* pa = reinterpret_cast<const std::byte*>(&a) + sizeof(ScalarBounds);
  const auto* pb = reinterpret_cast<const std::byte*>(&b) + sizeof(ScalarBounds);
  return same_words<REG_PREFIX_BYTES - sizeof(ScalarBounds)>(pa, pb);
}

bool covers(const RegState& old, const RegState& cur) { return range_within(old, cur) && tnum_in(old.var_off, cur.var_off); }

bool regs_exact(const RegState& old, const RegState& cur, IdMap& ids) {
  return regs_same_prefix(old, cur) && check_ids(old.id, cur.id, ids) && check_ids(old.ref_obj_id, cur.ref_obj_id, ids);
}

bool scalar_safe(const RegState& old, const RegState& cur, IdMap& ids, ExactLevel exact) {
  if (!old.precise && exact == NOT_EXACT) return true;
  const bool old_delta = (old.id & BPF_ADD_CONST) != 0, cur_delta = (cur.id & BPF_ADD_CONST) != 0;
  if (old.id != 0 && old_delta != cur_delta) return false;
  if (old_delta && old.off != cur.off) return false;
  return check_scalar_ids(old.id, cur.id, ids) && covers(old, cur);
}

/// At least as many bytes known to be there, at the same offset.
bool packet_safe(const RegState& old, const RegState& cur, IdMap& ids) {
  const bool special = old.range < 0 || cur.range < 0;
  if (special ? old.range != cur.range : old.range > cur.range) return false;
  return old.off == cur.off && check_ids(old.id, cur.id, ids) && covers(old, cur);
}

/// If the path was good with `old`, it is with `cur`.
bool regsafe(const RegState& old, const RegState& cur, IdMap& ids, ExactLevel exact) {
  if (exact == EXACT) return regs_exact(old, cur, ids);
  if (exact == NOT_EXACT && (old.live & REG_LIVE_READ) == 0) return true;
  if (old.type == NOT_INIT && (exact == NOT_EXACT || cur.type == NOT_INIT)) return true;
  // Types match with all their flags: a pointer that was tested for null since may have changed others with it.
  if (old.type != cur.type) return false;
  switch (base_type(old.type)) {
    case SCALAR_VALUE: return scalar_safe(old, cur, ids, exact);
    case PTR_TO_MAP_KEY:
    case PTR_TO_MAP_VALUE:
    case PTR_TO_MEM:
    case PTR_TO_BUF:
    case PTR_TO_TP_BUFFER:
      return same_object(old, cur) && covers(old, cur) && check_ids(old.id, cur.id, ids) &&
             check_ids(old.ref_obj_id, cur.ref_obj_id, ids);
    case PTR_TO_PACKET_META:
    case PTR_TO_PACKET: return packet_safe(old, cur, ids);
    case PTR_TO_STACK: return regs_exact(old, cur, ids) && old.frameno == cur.frameno;
    case PTR_TO_ARENA: return true;
    default: return regs_exact(old, cur, ids);
  }
}

// --- stack --------------------------------------------------------------------------------------------------------------------------

bool is_all_misc(const VerifierEnv& env, const StackSlot& slot) {
  for (u8 t : slot.slot_type)
    if (t != STACK_MISC && !(t == STACK_INVALID && env.allow_uninit_stack)) return false;
  return true;
}

/// What a load of the whole slot gives, if that is a scalar: bytes of any kind read as an unknown one.
const RegState* scalar_reg_for_stack(const VerifierEnv& env, const StackSlot& slot, const RegState& unknown) {
  if (is_spilled_scalar_reg64(slot)) return &slot.spilled_ptr;
  return is_all_misc(env, slot) ? &unknown : nullptr;
}

bool iter_slots_equal(const RegState& old, const RegState& cur, IdMap& ids) {
  // iter.depth only keeps iterations apart, see iter_active_depths_differ().
  return old.type == cur.type && old.iter.btf == cur.iter.btf && old.iter.btf_id == cur.iter.btf_id &&
         old.iter.state == cur.iter.state && check_ids(old.ref_obj_id, cur.ref_obj_id, ids);
}

bool is_whole_spill(const StackSlot& slot) {
  u64 types;
  std::memcpy(&types, slot.slot_type, sizeof types);
  return types == STACK_SPILL * 0x0101010101010101ull;
}

class StackCompare {
 public:
  StackCompare(VerifierEnv& env, const FuncState& old, const FuncState& cur, ExactLevel exact)
      : env_(env), ids_(env.idmap_scratch), old_(old), cur_(cur), exact_(exact) {
    mark_reg_unknown_imprecise(unknown_);
    unknown_.live = REG_LIVE_READ;
  }

  bool safe() {
    for (u32 spi = 0; spi < old_.stack_slots(); ++spi)
      if (!slot_safe(spi)) return false;
    return true;
  }

 private:
  bool slot_safe(u32 spi) {
    const StackSlot& old = old_.stack[spi];
    if (exact_ == NOT_EXACT && (old.spilled_ptr.live & REG_LIVE_READ) == 0) return true;
    const bool in_cur = spi < cur_.stack_slots();
    // What the bytes below come to when all are those of a register.
    if (in_cur && is_whole_spill(old) && is_whole_spill(cur_.stack[spi]))
      return regsafe(old.spilled_ptr, cur_.stack[spi].spilled_ptr, ids_, exact_);
    for (u32 b = 0; b < BPF_REG_SIZE; ++b) {
      const u8 type = old.slot_type[b];
      if (exact_ != NOT_EXACT && (!in_cur || type != cur_.stack[spi].slot_type[b])) return false;
      if (type == STACK_INVALID || (env_.allow_uninit_stack && type == STACK_MISC)) continue;
      if (!in_cur) return false;
      const StackSlot& cur = cur_.stack[spi];
      const RegState* old_reg = scalar_reg_for_stack(env_, old, unknown_);
      const RegState* cur_reg = old_reg != nullptr ? scalar_reg_for_stack(env_, cur, unknown_) : nullptr;
      if (cur_reg != nullptr) return regsafe(*old_reg, *cur_reg, ids_, exact_);
      if (type == STACK_MISC && cur.slot_type[b] == STACK_ZERO) continue;  // zero is one of the values it may have had
      if (type != cur.slot_type[b]) return false;
    }
    return !in_cur || object_safe(old, cur_.stack[spi]);
  }

  /// Once all bytes have the same types. A last byte that was passed over has nothing to compare.
  bool object_safe(const StackSlot& old, const StackSlot& cur) {
    const RegState& o = old.spilled_ptr;
    const RegState& c = cur.spilled_ptr;
    const u8 last = old.slot_type[BPF_REG_SIZE - 1];
    if (last != cur.slot_type[BPF_REG_SIZE - 1]) return true;
    switch (last) {
      case STACK_SPILL: return regsafe(o, c, ids_, exact_);
      case STACK_DYNPTR:
        return o.dynptr.type == c.dynptr.type && o.dynptr.first_slot == c.dynptr.first_slot &&
               check_ids(o.ref_obj_id, c.ref_obj_id, ids_);
      case STACK_ITER: return iter_slots_equal(o, c, ids_);
      default: return true;
    }
  }

  VerifierEnv& env_;
  IdMap& ids_;
  const FuncState& old_;
  const FuncState& cur_;
  const ExactLevel exact_;
  RegState unknown_{};
};

bool refs_equal(const FuncState& old, const FuncState& cur, IdMap& ids) {
  if (old.acquired_refs != cur.acquired_refs) return false;
  for (u32 i = 0; i < old.acquired_refs; ++i)
    if (!check_ids(old.refs[i].id, cur.refs[i].id, ids)) return false;
  return true;
}

bool func_states_equal(VerifierEnv& env, const FuncState& old, const FuncState& cur, ExactLevel exact) {
  if (old.callback_depth > cur.callback_depth) return false;
  for (u32 i = 0; i < MAX_BPF_REG; ++i)
    if (!regsafe(old.regs[i], cur.regs[i], env.idmap_scratch, exact)) return false;
  if (old.allocated_stack != 0 && !StackCompare(env, old, cur, exact).safe()) return false;
  return refs_equal(old, cur, env.idmap_scratch);
}

// --- states whose future is known ---------------------------------------------------------------------------------------------------

/// Nothing below this state is left to explore: what was never read is forgotten. Linux: clean_func_state()
void clean_func_state(VerifierEnv& env, FuncState& func) {
  for (u32 i = 0; i < BPF_REG_FP; ++i) {
    RegState& reg = func.regs[i];
    const u8 live = reg.live;
    reg.live |= REG_LIVE_DONE;
    if ((live & REG_LIVE_READ) == 0) mark_reg_not_init_reg(env, reg);
  }
  for (u32 i = 0; i < func.stack_slots(); ++i) {
    StackSlot& slot = func.stack[i];
    const u8 live = slot.spilled_ptr.live;
    slot.spilled_ptr.live |= REG_LIVE_DONE;
    if ((live & REG_LIVE_READ) != 0) continue;
    mark_reg_not_init_reg(env, slot.spilled_ptr);
    std::memset(slot.slot_type, STACK_INVALID, sizeof slot.slot_type);
  }
}

bool is_done(const VerifierState& state) { return (state.frame[0]->regs[0].live & REG_LIVE_DONE) != 0; }

void clean_live_states(VerifierEnv& env, u32 insn, const VerifierState& cur) {
  for (ExploredState* sl = *explored_state(env, insn); sl != nullptr; sl = sl->next) {
    if (sl->state.branches != 0) continue;
    const VerifierState* entry = get_loop_entry(&sl->state);
    if (entry != nullptr && entry->branches != 0) continue;
    if (sl->state.insn_idx != insn || !same_callsites(sl->state, cur) || is_done(sl->state)) continue;
    for (u32 i = 0; i <= sl->state.curframe; ++i) clean_func_state(env, *sl->state.frame[i]);
  }
}

bool same_reg(const RegState& a, const RegState& b) { return regs_same_prefix(a, b) && a.id == b.id && a.ref_obj_id == b.ref_obj_id; }

/// Cheap look before the expensive one. *differs: a register to begin with, such as the counter that told the last two states apart.
/// Linux: states_maybe_looping()
bool states_maybe_looping(const VerifierState& old, const VerifierState& cur, u32* differs) {
  if (old.curframe != cur.curframe) return false;
  const FuncState& fold = *old.frame[cur.curframe];
  const FuncState& fcur = *cur.frame[cur.curframe];
  if (!same_reg(fold.regs[*differs], fcur.regs[*differs])) return false;
  for (u32 i = 0; i < MAX_BPF_REG; ++i) {
    if (same_reg(fold.regs[i], fcur.regs[i])) continue;
    *differs = i;
    return false;
  }
  return true;
}

/// Two turns of an iterator's loop may look the same and are not an infinite loop. Linux: iter_active_depths_differ()
bool iter_active_depths_differ(const VerifierState& old, const VerifierState& cur) {
  for (u32 n = old.curframe + 1; n-- > 0;) {
    const FuncState& func = *old.frame[n];
    for (u32 i = 0; i < func.stack_slots(); ++i) {
      if (func.stack[i].slot_type[0] != STACK_ITER) continue;
      const RegState& slot = func.stack[i].spilled_ptr;
      if (slot.iter.state == BPF_ITER_STATE_ACTIVE && cur.frame[n]->stack[i].spilled_ptr.iter.depth != slot.iter.depth) return true;
    }
  }
  return false;
}

enum class Verdict { HIT, MISS };

/// One look through the explored states of an instruction. Linux: is_state_visited()
class Visit {
 public:
  Visit(VerifierEnv& env, u32 insn_idx) : env_(env), cur_(*env.cur_state), insn_idx_(insn_idx), aux_(env.aux[insn_idx]) {
    force_new_ = env.test_state_freq || aux_.force_checkpoint || cur_.insn_hist_end - cur_.insn_hist_start > 40;
    // A state every few instructions is enough, and cheaper than one at each pruning point.
    add_new_ = force_new_ || (jmps_since() >= 2 && insns_since() >= 8);
  }

  Result<int> run() {
    clean_live_states(env_, insn_idx_, cur_);
    u32 states_cnt = 0;
    ExploredState** link = explored_state(env_, insn_idx_);
    while (ExploredState* sl = *link) {
      ++states_cnt;
      if (sl->state.insn_idx == insn_idx_) {
        if (TRY(compare(*sl)) == Verdict::HIT) return end_path(*sl);
        if (miss(*sl)) {
          *link = sl->next;
          drop(sl);
          continue;
        }
      }
      link = &sl->next;
    }
    env_.max_states_per_insn = std::max(env_.max_states_per_insn, states_cnt);
    if (!env_.bpf_capable && states_cnt > BPF_COMPLEXITY_LIMIT_STATES) return 0;
    if (env_.pool.exhausted()) return Errno(ENOMEM);
    if (add_new_) add_state();
    return 0;
  }

 private:
  u32 jmps_since() const { return env_.jmps_processed - env_.prev_jmps_processed; }
  u32 insns_since() const { return env_.insn_processed - env_.prev_insn_processed; }

  Result<Verdict> compare(ExploredState& sl) {
    if (sl.state.branches != 0) return compare_with_ancestor(sl.state);
    if (env_.input.explore_all_paths) return Verdict::MISS;
    // A state of a loop whose entry is still being explored has no final marks: it must cover this one in everything.
    VerifierState* entry = get_loop_entry(&sl.state);
    const bool force_exact = entry != nullptr && entry->branches > 0;
    if (!states_equal(env_, sl.state, cur_, force_exact ? RANGE_WITHIN : NOT_EXACT)) return Verdict::MISS;
    if (force_exact) update_loop_entry(&cur_, entry);
    return Verdict::HIT;
  }

  /// `old` lies on the way to here: this is a loop. Only loops that something else bounds may end at an equal state.
  Result<Verdict> compare_with_ancestor(VerifierState& old) {
    const FuncState& frame = *old.frame[old.curframe];
    const bool other_async = frame.in_async_callback_fn && frame.async_entry_cnt != cur_.cur_func().async_entry_cnt;
    if (other_async) return in_loop();
    if (aux_.is_iter_next) return iter_converged(old) ? Verdict::HIT : in_loop();
    if (is_may_goto(env_.insns[insn_idx_]) && old.may_goto_depth != cur_.may_goto_depth &&
        states_equal(env_, old, cur_, RANGE_WITHIN)) {
      update_loop_entry(&cur_, &old);
      return Verdict::HIT;
    }
    if (aux_.calls_callback) return states_equal(env_, old, cur_, RANGE_WITHIN) ? Verdict::HIT : in_loop();
    if (is_infinite(old)) {
      verbose_linfo(env_, insn_idx_, "; ");
      env_.verbose("infinite loop detected at insn {}\n", insn_idx_);
      env_.verbose("cur state:");
      print_verifier_state(env_, cur_, cur_.curframe, true);
      env_.verbose("old state:");
      print_verifier_state(env_, old, cur_.curframe, true);
      return Errno(EINVAL);
    }
    return in_loop();
  }

  bool is_infinite(VerifierState& old) {
    return states_maybe_looping(old, cur_, &differs_) && states_equal(env_, old, cur_, EXACT) && !iter_active_depths_differ(old, cur_) &&
           old.may_goto_depth == cur_.may_goto_depth && old.callback_unroll_depth == cur_.callback_unroll_depth;
  }

  /// States in a loop are rarely met again: fewer of them.
  Verdict in_loop() {
    if (!force_new_ && jmps_since() < 20 && insns_since() < 100) add_new_ = false;
    return Verdict::MISS;
  }

  bool iter_converged(VerifierState& old) {
    if (!states_equal(env_, old, cur_, RANGE_WITHIN)) return false;
    // The iterator is the first argument, at a fixed place of the stack.
    const RegState& reg = cur_.cur_func().regs[1];
    const s32 spi = get_spi(static_cast<s32>(reg.off + static_cast<s64>(reg.var_off.value)));
    if (cur_.frame[reg.frameno]->stack[spi].spilled_ptr.iter.state != BPF_ITER_STATE_ACTIVE) return false;
    update_loop_entry(&cur_, &old);
    return true;
  }

  Result<int> end_path(ExploredState& sl) {
    ++sl.hit_cnt;
    TRY(propagate_liveness(env_, sl.state, cur_));
    if (is_jmp_point(env_, env_.insn_idx)) TRY(push_insn_history(env_, cur_, 0, 0));
    TRY(propagate_precision(env_, sl.state));
    return 1;
  }

  /// True: the state has helped so little that it goes.
  bool miss(ExploredState& sl) const {
    if (add_new_) ++sl.miss_cnt;
    const u32 n = aux_.force_checkpoint && sl.state.branches > 0 ? 64 : 3;
    return sl.miss_cnt > sl.hit_cnt * n + n;
  }

  void drop(ExploredState* sl) {
    if (is_done(sl->state) && !sl->state.used_as_loop_entry) {
      env_.pool.free_explored(sl);
      --env_.peak_states;
      return;
    }
    // Others' chains may still lead through it.
    sl->next = env_.free_list;
    env_.free_list = sl;
  }

  void add_state() {
    ++env_.total_states;
    ++env_.peak_states;
    env_.prev_jmps_processed = env_.jmps_processed;
    env_.prev_insn_processed = env_.insn_processed;
    if (env_.bpf_capable) mark_all_scalars_imprecise(env_, cur_);
    ExploredState* sl = env_.pool.new_explored();
    VerifierState& stored = sl->state;
    env_.pool.copy_state(stored, cur_);
    stored.insn_idx = insn_idx_;
    cur_.parent = &stored;
    cur_.first_insn_idx = insn_idx_;
    cur_.insn_hist_start = cur_.insn_hist_end;
    cur_.dfs_depth = stored.dfs_depth + 1;
    ExploredState** head = explored_state(env_, insn_idx_);
    sl->next = *head;
    *head = sl;
    start_chain(stored);
  }

  /// The current state becomes a child: its registers' parents are those of the stored state, and it has written nothing yet.
  /// Callers' r1 to r5 are gone, so their chain is not continued.
  void start_chain(VerifierState& stored) {
    for (u32 j = 0; j <= cur_.curframe; ++j) {
      FuncState& func = *cur_.frame[j];
      FuncState& parent = *stored.frame[j];
      for (u32 i = j < cur_.curframe ? 6 : 0; i < BPF_REG_FP; ++i) func.regs[i].parent = &parent.regs[i];
      for (u32 i = 0; i < BPF_REG_FP; ++i) func.regs[i].live = REG_LIVE_NONE;
      for (u32 i = 0; i < func.stack_slots(); ++i) {
        func.stack[i].spilled_ptr.live = REG_LIVE_NONE;
        func.stack[i].spilled_ptr.parent = &parent.stack[i].spilled_ptr;
      }
    }
  }

  VerifierEnv& env_;
  VerifierState& cur_;
  const u32 insn_idx_;
  const InsnAux& aux_;
  bool force_new_, add_new_;
  u32 differs_ = 0;
};

}  // namespace

ExploredState** explored_state(VerifierEnv& env, u32 idx) {
  return &env.explored[(idx ^ env.cur_func().callsite) % env.insn_cnt()];
}

bool same_callsites(const VerifierState& a, const VerifierState& b) {
  if (a.curframe != b.curframe) return false;
  for (u32 i = 0; i <= a.curframe; ++i)
    if (a.frame[i]->callsite != b.frame[i]->callsite) return false;
  return true;
}

/// The topmost state of the loop that `state` is in; null: in none. Shortens the way for the next time.
VerifierState* get_loop_entry(VerifierState* state) {
  VerifierState* topmost = state->loop_entry;
  while (topmost != nullptr && topmost->loop_entry != nullptr && topmost != topmost->loop_entry) topmost = topmost->loop_entry;
  while (state != nullptr && state->loop_entry != topmost) {
    VerifierState* const next = state->loop_entry;
    state->loop_entry = topmost;
    state = next;
  }
  return topmost;
}

/// There is an edge from cur to hdr: if hdr's loop is on the current path and higher up, cur belongs to it.
void update_loop_entry(VerifierState* cur, VerifierState* hdr) {
  VerifierState* cur_entry = get_loop_entry(cur);
  VerifierState* hdr_entry = get_loop_entry(hdr);
  if (cur_entry == nullptr) cur_entry = cur;
  if (hdr_entry == nullptr) hdr_entry = hdr;
  if (hdr_entry->branches == 0 || hdr_entry->dfs_depth > cur_entry->dfs_depth) return;
  cur->loop_entry = hdr;
  hdr->used_as_loop_entry = true;
}

bool states_equal(VerifierEnv& env, VerifierState& old, VerifierState& cur, ExactLevel exact) {
  if (old.curframe != cur.curframe) return false;
  IdMap& ids = env.idmap_scratch;
  ids.tmp_id_gen = env.id_gen;
  ids.count = 0;
  if (old.speculative && !cur.speculative) return false;
  if (old.active_lock.ptr != cur.active_lock.ptr || (old.active_lock.id != 0) != (cur.active_lock.id != 0)) return false;
  if (old.active_lock.id != 0 && !check_ids(old.active_lock.id, cur.active_lock.id, ids)) return false;
  if (old.active_rcu_lock != cur.active_rcu_lock || old.active_preempt_lock != cur.active_preempt_lock ||
      old.in_sleepable != cur.in_sleepable)
    return false;
  for (u32 i = 0; i <= old.curframe; ++i) {
    if (old.frame[i]->callsite != cur.frame[i]->callsite) return false;
    if (!func_states_equal(env, *old.frame[i], *cur.frame[i], exact)) return false;
  }
  return true;
}

Result<int> is_state_visited(VerifierEnv& env, u32 insn_idx) { return Visit(env, insn_idx).run(); }

}  // namespace skep
