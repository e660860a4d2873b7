// verifier: which scalars must be known exactly.
//
// Scalars start as imprecise: two states may differ in them and still count as equal. When a value decides something (pointer
// arithmetic, a comparison, a size) the walk goes back along the recorded history, instruction by instruction and from state to parent
// state, and marks every register and stack slot that the value came from. Marks of the current state do not matter: only stored states
// are compared against. Linux: verifier.c:__mark_chain_precision()
//
// A loop's counter is compared in each turn, and each time the way back is the same but for its last steps. So each entry of the history
// remembers what was looked for when a walk came past it, and a walk that looks for nothing else ends there. That changes no mark:
// - What lies above an entry is the same for all paths that have this entry, for entries are only ever appended behind a path's end and
//   a state's parent stays its parent. Marks in parents are never taken back while a path below them is open.
// - What a walk does for several registers is what it would do for each of them alone.
// - A walk that gave up does more than that: it marks states below the entry too. Then all is forgotten.
#include <bit>

#include "verifier/verifier_env.h"

namespace skep {
namespace {

constexpr u32 LR_ENTRY_BITS = 10, LR_SIZE_BITS = 4;
constexpr u32 ARG_REGS = 0x3e;  ///< r1 to r5

u32 hist_spi(u32 flags) { return flags >> INSN_F_SPI_SHIFT & INSN_F_SPI_MASK; }
u32 hist_frameno(u32 flags) { return flags & INSN_F_FRAMENO_MASK; }

bool is_atomic_fetch(const bpf_insn& insn) {
  return bpf_class(insn.code) == BPF_STX && bpf_mode(insn.code) == BPF_ATOMIC && (insn.imm & BPF_FETCH) != 0;
}

// Questions to and changes of the wanted registers and slots of the frame that backtracking is in.
u32& regs_of(BacktrackState& bt) { return bt.reg_masks[bt.frame]; }
bool is_reg_set(const BacktrackState& bt, u32 reg) { return (bt.reg_masks[bt.frame] >> reg & 1) != 0; }
void set_reg(BacktrackState& bt, u32 reg) { bt.reg_masks[bt.frame] |= 1u << reg; }
void clear_reg(BacktrackState& bt, u32 reg) { bt.reg_masks[bt.frame] &= ~(1u << reg); }
bool is_slot_set(const BacktrackState& bt, u32 frame, u32 slot) { return (bt.stack_masks[frame] >> slot & 1) != 0; }

bool bt_empty(const BacktrackState& bt) {
  u64 any = bt.reg_masks[bt.frame] | bt.stack_masks[bt.frame];
  if (any != 0) return false;
  for (u32 i = 0; i < bt.frame; ++i) any |= bt.reg_masks[i] | bt.stack_masks[i];
  return any == 0;
}

std::string reg_mask_str(u32 mask) {
  std::string out;
  for (; mask != 0; mask &= mask - 1) out += fmt::format("{}r{}", out.empty() ? "" : ",", std::countr_zero(mask));
  return out;
}
std::string stack_mask_str(u64 mask) {
  std::string out;
  for (; mask != 0; mask &= mask - 1) out += fmt::format("{}{}", out.empty() ? "" : ",", -(std::countr_zero(mask) + 1) * 8);
  return out;
}

/// If one of the registers that gained their range together is wanted, all are. Linux: bt_sync_linked_regs()
void sync_linked(BacktrackState& bt, const InsnHistEntry* hist) {
  if (hist == nullptr || hist->linked_regs == 0) return;
  LinkedRegs linked;
  linked_regs_unpack(hist->linked_regs, linked);
  bool wanted = false;
  for (u32 i = 0; i < linked.cnt && !wanted; ++i) {
    const LinkedReg& e = linked.entries[i];
    wanted = e.is_reg ? (bt.reg_masks[e.frameno] >> e.spi_or_reg & 1) != 0 : is_slot_set(bt, e.frameno, e.spi_or_reg);
  }
  if (!wanted) return;
  for (u32 i = 0; i < linked.cnt; ++i) {
    const LinkedReg& e = linked.entries[i];
    if (e.is_reg)
      bt_set_frame_reg(bt, e.frameno, e.spi_or_reg);
    else
      bt_set_frame_slot(bt, e.frameno, e.spi_or_reg);
  }
}

/// One walk back. ENOTSUPP from a step: give up and mark everything.
class Backtrack {
 public:
  explicit Backtrack(VerifierEnv& env) : env_(env), bt_(env.bt), verbose_((env.log.level() & BPF_LOG_LEVEL2) != 0) {}

  Status run(s32 regno) {
    if (!env_.bpf_capable) return ok_status();
    VerifierState* st = env_.cur_state;
    bt_.frame = st->curframe;
    if (regno >= 0) {
      if (st->frame[bt_.frame]->regs[static_cast<u32>(regno)].type != SCALAR_VALUE) return env_.bug("backtracking misuse");
      set_reg(bt_, static_cast<u32>(regno));
    }
    if (bt_empty(bt_)) return ok_status();
    return walk(st);
  }

 private:
  enum class Step { DONE, GO_ON, ENTRY };

  void give_up() {
    mark_all_scalars_precise();
    bt_ = {};
    for (InsnHistEntry& entry : env_.insn_hist) entry.sought = {};
  }

  /// Whether walks that came past this entry looked for all that this one does; else they will have.
  bool sought_before(InsnHistEntry& entry) {
    for (u32 i = 0; i < bt_.frame; ++i)
      if ((bt_.reg_masks[i] | bt_.stack_masks[i]) != 0) return false;
    const u32 regs = bt_.reg_masks[bt_.frame];
    const u64 slots = bt_.stack_masks[bt_.frame];
    Sought& sought = entry.sought;
    if (sought.frame != bt_.frame) sought = {0, 0, bt_.frame};
    if ((regs & ~sought.regs) == 0 && (slots & ~sought.slots) == 0) return true;
    sought.regs |= regs;
    sought.slots |= slots;
    return false;
  }

  Step drop_sought() {
    bt_.reg_masks[bt_.frame] = 0;
    bt_.stack_masks[bt_.frame] = 0;
    return Step::DONE;
  }

  /// The instruction has no part in what is looked for, and shows nothing.
  bool is_passed_over(const bpf_insn& insn, const InsnHistEntry* hist) const {
    if (verbose_ || (hist != nullptr && hist->linked_regs != 0)) return false;
    switch (bpf_class(insn.code)) {
      case BPF_ALU:
      case BPF_ALU64:
      case BPF_LDX: return !is_reg_set(bt_, insn.dst_reg);
      case BPF_JMP:
      case BPF_JMP32: return bpf_src(insn.code) == BPF_K && bpf_op(insn.code) != BPF_CALL && bpf_op(insn.code) != BPF_EXIT;
      default: return false;
    }
  }

  Status walk(VerifierState* st) {
    s32 first_idx = static_cast<s32>(st->first_insn_idx), last_idx = static_cast<s32>(env_.insn_idx);
    subseq_idx_ = -1;
    while (st != nullptr) {
      if (verbose_)
        env_.verbose("mark_precise: frame{}: last_idx {} first_idx {} subseq_idx {} \n", bt_.frame, last_idx, first_idx, subseq_idx_);
      if (last_idx < 0) return at_func_entry(*st);
      const Result<Step> step = walk_state(*st, last_idx);
      if (!step.ok()) {
        if (step.error() != Errno(ENOTSUPP_)) return step.error();
        give_up();
        return ok_status();
      }
      if (*step == Step::DONE) return ok_status();
      st = st->parent;
      if (st == nullptr) break;
      TRY(mark_in_parent(*st));
      if (bt_empty(bt_)) return ok_status();
      subseq_idx_ = first_idx;
      last_idx = static_cast<s32>(st->last_insn_idx);
      first_idx = static_cast<s32>(st->first_insn_idx);
    }
    // Something was missed, such as a stack access through another register.
    if (!bt_empty(bt_)) give_up();
    return ok_status();
  }

  /// The beginning of a global function that is judged by itself: its arguments may be wanted, nothing else.
  Status at_func_entry(VerifierState& st) {
    FuncState& func = *st.frame[0];
    if (st.curframe == 0 && func.subprogno > 0 && func.callsite == BPF_MAIN_FUNC && bt_.stack_masks[bt_.frame] == 0 &&
        (regs_of(bt_) & ~ARG_REGS) == 0) {
      for (u32 mask = regs_of(bt_); mask != 0; mask &= mask - 1) {
        const u32 i = static_cast<u32>(std::countr_zero(mask));
        clear_reg(bt_, i);
        if (func.regs[i].type == SCALAR_VALUE) func.regs[i].precise = true;
      }
      return ok_status();
    }
    return env_.refuse(EFAULT, "BUG backtracking func entry subprog {} reg_mask {:x} stack_mask {:x}", func.subprogno, regs_of(bt_),
                       bt_.stack_masks[bt_.frame]);
  }

  /// From last_idx back to the first instruction of the state.
  Result<Step> walk_state(VerifierState& st, s32 last_idx) {
    const u32 start = st.insn_hist_start;
    u32 end = st.insn_hist_end;
    for (s32 i = last_idx;;) {
      // Straight code that tracks again and again is quadratic. DIFFERS: Linux goes on for hours, until the loader is killed.
      if (!goes_again_ && ++env_.backtrack_steps > MAX_STEPS) return env_.refuse(E2BIG, "BPF program is too large. Precision was tracked over {} steps", MAX_STEPS);
      if (skip_first_) {
        skip_first_ = false;
      } else {
        const bool on_top = end > start && env_.insn_hist[end - 1].idx == static_cast<u32>(i);
        const InsnHistEntry* const hist = on_top ? &env_.insn_hist[end - 1] : nullptr;
        if (!is_passed_over(env_.insns[static_cast<u32>(i)], hist)) TRY(backtrack_insn(static_cast<u32>(i), hist));
      }
      if (bt_empty(bt_)) return Step::DONE;
      subseq_idx_ = i;
      const u32 end_before = end;
      const s32 prev = prev_insn(st, static_cast<u32>(i), start, &end);
      if (prev == NO_PREV) return Step::GO_ON;
      if (end != end_before && !goes_again_ && sought_before(env_.insn_hist[end])) {
        if (!verbose_) return drop_sought();
        goes_again_ = true;
      }
      if (prev < 0 || static_cast<u32>(prev) >= env_.insn_cnt()) return env_.refuse(EFAULT, "BUG backtracking idx {}", prev);
      i = prev;
    }
  }

  static constexpr u64 MAX_STEPS = 200'000'000;  ///< some seconds
  static constexpr s32 NO_PREV = -2;
  /// Linux: get_prev_insn_idx()
  s32 prev_insn(const VerifierState& st, u32 insn, u32 start, u32* end) const {
    const u32 cnt = *end - start;
    if (insn == st.first_insn_idx && (cnt == 0 || (cnt == 1 && env_.insn_hist[start].idx == insn))) return NO_PREV;
    if (cnt != 0 && env_.insn_hist[*end - 1].idx == insn) return static_cast<s32>(env_.insn_hist[--*end].prev_idx);
    return static_cast<s32>(insn) - 1;
  }

  /// Marks in the parent what is still wanted; what is no scalar there or is marked already is not looked for any further.
  Status mark_in_parent(VerifierState& st) {
    for (s32 fr = static_cast<s32>(bt_.frame); fr >= 0; --fr) {
      const u32 frame = static_cast<u32>(fr);
      FuncState& func = *st.frame[frame];
      for (u32 mask = bt_.reg_masks[frame]; mask != 0; mask &= mask - 1) {
        const u32 i = static_cast<u32>(std::countr_zero(mask));
        if (!newly_precise(func.regs[i], func.regs[i].type == SCALAR_VALUE)) bt_.reg_masks[frame] &= ~(1u << i);
      }
      for (u64 mask = bt_.stack_masks[frame]; mask != 0; mask &= mask - 1) {
        const u32 i = static_cast<u32>(std::countr_zero(mask));
        if (i >= func.stack_slots())
          return env_.refuse(EFAULT, "BUG backtracking (stack slot {}, total slots {})", i, func.stack_slots());
        StackSlot& slot = func.stack[i];
        if (!newly_precise(slot.spilled_ptr, is_spilled_scalar_reg(slot))) bt_.stack_masks[frame] &= ~(1ull << i);
      }
      if (!verbose_) continue;
      env_.verbose("mark_precise: frame{}: parent state regs={} stack={}: ", fr, reg_mask_str(bt_.reg_masks[frame]),
                   stack_mask_str(bt_.stack_masks[frame]));
      print_verifier_state(env_, st, frame, true);
    }
    return ok_status();
  }

  static bool newly_precise(RegState& reg, bool is_scalar) {
    if (!is_scalar || reg.precise) return false;
    return reg.precise = true;
  }

  // --- one instruction back ---------------------------------------------------------------------------------------------------

  Status wrong_regs() { return env_.refuse(EFAULT, "BUG regs {:x}", regs_of(bt_)); }

  Status subprog_enter() {
    if (bt_.frame == MAX_CALL_FRAMES - 1) return env_.refuse(EFAULT, "BUG subprog enter from frame {}", bt_.frame);
    ++bt_.frame;
    return ok_status();
  }
  Status subprog_exit() {
    if (bt_.frame == 0) return env_.refuse(EFAULT, "BUG subprog exit from frame 0");
    --bt_.frame;
    return ok_status();
  }

  Status backtrack_insn(u32 idx, const InsnHistEntry* hist) {
    const bpf_insn& insn = env_.insns[idx];
    if (insn.code == 0) return ok_status();
    if (verbose_)
      env_.verbose("mark_precise: frame{}: regs={} stack={} before {}: {}\n", bt_.frame, reg_mask_str(regs_of(bt_)),
                   stack_mask_str(bt_.stack_masks[bt_.frame]), idx, disasm_for_log(env_, idx));
    sync_linked(bt_, hist);
    if (TRY(before_insn(idx, insn, hist)))
      sync_linked(bt_, hist);  // what this instruction made wanted has friends too
    return ok_status();
  }

  /// True: look at linked registers again. Linux: backtrack_insn()
  Result<bool> before_insn(u32 idx, const bpf_insn& insn, const InsnHistEntry* hist) {
    switch (bpf_class(insn.code)) {
      case BPF_ALU:
      case BPF_ALU64: return before_alu(insn);
      case BPF_LDX: return before_load(insn.dst_reg, hist);
      case BPF_STX:
        if (is_atomic_fetch(insn)) return before_load(insn.imm == BPF_CMPXCHG ? 0 : insn.src_reg, hist);
        return before_store(insn, hist);
      case BPF_ST: return before_store(insn, hist);
      case BPF_LD: return before_ld(idx, insn);
      default: return before_jmp(idx, insn, hist);
    }
  }

  Result<bool> before_alu(const bpf_insn& insn) {
    const u8 op = bpf_op(insn.code);
    if (!is_reg_set(bt_, insn.dst_reg) || op == BPF_END || op == BPF_NEG) return false;
    if (op == BPF_MOV) clear_reg(bt_, insn.dst_reg);
    if (bpf_src(insn.code) == BPF_X && insn.src_reg != BPF_REG_FP) set_reg(bt_, insn.src_reg);
    return true;
  }

  /// Values from elsewhere than the stack have no history.
  Result<bool> before_load(u32 load_reg, const InsnHistEntry* hist) {
    if (!is_reg_set(bt_, load_reg)) return false;
    clear_reg(bt_, load_reg);
    if (hist == nullptr || (hist->flags & INSN_F_STACK_ACCESS) == 0) return false;
    bt_set_frame_slot(bt_, hist_frameno(hist->flags), hist_spi(hist->flags));
    return true;
  }

  Result<bool> before_store(const bpf_insn& insn, const InsnHistEntry* hist) {
    // A scalar as the address: a subtraction of pointers was met.
    if (is_reg_set(bt_, insn.dst_reg)) return Errno(ENOTSUPP_);
    if (hist == nullptr || (hist->flags & INSN_F_STACK_ACCESS) == 0) return false;
    const u32 spi = hist_spi(hist->flags), frame = hist_frameno(hist->flags);
    if (!is_slot_set(bt_, frame, spi)) return false;
    bt_.stack_masks[frame] &= ~(1ull << spi);
    if (bpf_class(insn.code) == BPF_STX) set_reg(bt_, insn.src_reg);
    return true;
  }

  Result<bool> before_ld(u32 idx, const bpf_insn& insn) {
    if (bpf_mode(insn.code) == BPF_IMM) {
      clear_reg(bt_, insn.dst_reg);
      return false;
    }
    if (bpf_mode(insn.code) != BPF_IND && bpf_mode(insn.code) != BPF_ABS) return true;
    if (is_reg_set(bt_, insn.dst_reg)) return Errno(ENOTSUPP_);
    // LD_ABS and LD_IND may also leave the subprogram.
    if (subseq_idx_ != static_cast<s32>(idx) + 1) TRY(subprog_enter());
    return false;
  }

  Result<bool> before_jmp(u32 idx, const bpf_insn& insn, const InsnHistEntry* hist) {
    if (is_pseudo_call(insn)) return before_subprog_call(idx, insn);
    if (is_sync_callback_calling_insn(env_, insn) && static_cast<s32>(idx) != subseq_idx_ - 1) return out_of_callback();
    switch (bpf_op(insn.code)) {
      case BPF_CALL:
        if (is_kfunc_call(insn) && insn.imm == 0) return Errno(ENOTSUPP_);
        clear_reg(bt_, 0);
        if ((regs_of(bt_) & ARG_REGS) != 0) return wrong_regs().error();
        // A tail call that succeeded left the subprogram.
        if (is_helper_call(insn) && insn.imm == BPF_FUNC_tail_call && subseq_idx_ != static_cast<s32>(idx) + 1) TRY(subprog_enter());
        return true;
      case BPF_EXIT: return into_callee();
      default: break;
    }
    if (bpf_src(insn.code) != BPF_X) return true;
    if (!is_reg_set(bt_, insn.dst_reg) && !is_reg_set(bt_, insn.src_reg)) return false;
    const u32 flags = hist != nullptr ? hist->flags : 0;
    if ((flags & INSN_F_SRC_REG_STACK) == 0) set_reg(bt_, insn.src_reg);
    if ((flags & INSN_F_DST_REG_STACK) == 0) set_reg(bt_, insn.dst_reg);
    return true;
  }

  Result<bool> before_subprog_call(u32 idx, const bpf_insn& insn) {
    const s32 subprog = find_subprog(env_, static_cast<u32>(call_target(insn, idx)));
    if (subprog < 0) return Errno(EFAULT);
    if (subprog_is_global(env_, static_cast<u32>(subprog))) {
      if ((regs_of(bt_) & ARG_REGS) != 0) return wrong_regs().error();
      clear_reg(bt_, 0);
      return false;
    }
    // From the static callee's beginning back to its caller: only arguments may still be wanted.
    if ((regs_of(bt_) & ~ARG_REGS) != 0) return wrong_regs().error();
    if (bt_.stack_masks[bt_.frame] != 0) return env_.refuse(EFAULT, "BUG stack slots {:x}", bt_.stack_masks[bt_.frame]);
    const u32 args = regs_of(bt_) & ARG_REGS;
    regs_of(bt_) &= ~args;
    if (args != 0 && bt_.frame == 0) return env_.refuse(EFAULT, "BUG subprog exit from frame 0");
    if (args != 0) bt_.reg_masks[bt_.frame - 1] |= args;
    TRY(subprog_exit());
    return false;
  }

  /// Back from a callback's beginning to the helper that called it: its arguments were not passed as registers.
  Result<bool> out_of_callback() {
    if ((regs_of(bt_) & ~ARG_REGS) != 0) return wrong_regs().error();
    if (bt_.stack_masks[bt_.frame] != 0) return env_.refuse(EFAULT, "BUG stack slots {:x}", bt_.stack_masks[bt_.frame]);
    regs_of(bt_) &= ~ARG_REGS;
    TRY(subprog_exit());
    return false;
  }

  /// Back over an exit: into the callee, or into a callback.
  Result<bool> into_callee() {
    const bool from_call = subseq_idx_ >= 1 && is_pseudo_call(env_.insns[static_cast<u32>(subseq_idx_ - 1)]);
    const bool r0_precise = from_call && is_reg_set(bt_, 0);
    if (from_call && (regs_of(bt_) & ARG_REGS) != 0) return wrong_regs().error();
    clear_reg(bt_, 0);
    TRY(subprog_enter());
    if (r0_precise) set_reg(bt_, 0);
    return false;
  }

  /// Linux: mark_all_scalars_precise()
  void mark_all_scalars_precise() {
    VerifierState* st = env_.cur_state;
    if (verbose_) env_.verbose("mark_precise: frame{}: falling back to forcing all scalars precise\n", st->curframe);
    for (st = st->parent; st != nullptr; st = st->parent)
      for (u32 i = 0; i <= st->curframe; ++i) {
        FuncState& func = *st->frame[i];
        for (u32 j = 0; j < BPF_REG_FP; ++j)
          if (newly_precise(func.regs[j], func.regs[j].type == SCALAR_VALUE) && verbose_)
            env_.verbose("force_precise: frame{}: forcing r{} to be precise\n", i, j);
        for (u32 j = 0; j < func.stack_slots(); ++j)
          if (newly_precise(func.stack[j].spilled_ptr, is_spilled_scalar_reg(func.stack[j])) && verbose_)
            env_.verbose("force_precise: frame{}: forcing fp{} to be precise\n", i, -static_cast<s32>(j + 1) * 8);
      }
  }

  VerifierEnv& env_;
  BacktrackState& bt_;
  const bool verbose_;
  bool skip_first_ = true;
  bool goes_again_ = false;  ///< other walks came this way: only the log, which shows each step, wants this one
  s32 subseq_idx_ = -1;  ///< what would be executed next: what was looked at before
};

}  // namespace

void bt_set_frame_reg(BacktrackState& bt, u32 frame, u32 reg) { bt.reg_masks[frame] |= 1u << reg; }
void bt_set_frame_slot(BacktrackState& bt, u32 frame, u32 slot) { bt.stack_masks[frame] |= 1ull << slot; }

LinkedReg* linked_regs_push(LinkedRegs& s) { return s.cnt < LINKED_REGS_MAX ? &s.entries[s.cnt++] : nullptr; }

/// Count in the low four bits, then ten bits a register: frame (3), slot or register (6), which of the two (1).
u64 linked_regs_pack(const LinkedRegs& s) {
  u64 val = 0;
  for (u32 i = 0; i < s.cnt; ++i) {
    const LinkedReg& e = s.entries[i];
    val = val << LR_ENTRY_BITS | (u64{e.frameno} | u64{e.spi_or_reg} << 3 | u64{e.is_reg} << 9);
  }
  return val << LR_SIZE_BITS | s.cnt;
}

void linked_regs_unpack(u64 val, LinkedRegs& s) {
  s.cnt = static_cast<u32>(val & 0xf);
  val >>= LR_SIZE_BITS;
  for (u32 i = 0; i < s.cnt; ++i, val >>= LR_ENTRY_BITS)
    s.entries[i] = {static_cast<u8>(val & 7), static_cast<u8>(val >> 3 & 0x3f), (val >> 9 & 1) != 0};
}

u32 insn_stack_access_flags(u32 frameno, u32 spi) { return INSN_F_STACK_ACCESS | spi << INSN_F_SPI_SHIFT | frameno; }

bool is_jmp_point(const VerifierEnv& env, u32 insn_idx) { return env.aux[insn_idx].jmp_point; }
bool calls_callback(const VerifierEnv& env, u32 insn_idx) { return env.aux[insn_idx].calls_callback; }

Status push_insn_history(VerifierEnv& env, VerifierState& cur, u32 insn_flags, u64 linked_regs) {
  if (env.cur_hist_ent != nullptr) {
    // Atomic instructions come twice, as a read and as a write.
    env.cur_hist_ent->flags |= insn_flags & 0xfff;
    env.cur_hist_ent->linked_regs = linked_regs;
    return ok_status();
  }
  if (cur.insn_hist_end >= env.insn_hist.size()) env.insn_hist.resize(std::max<std::size_t>(64, env.insn_hist.size() * 2));
  InsnHistEntry& entry = env.insn_hist[cur.insn_hist_end++];
  entry.idx = env.insn_idx;
  entry.prev_idx = env.prev_insn_idx & 0xfffff;
  entry.flags = insn_flags & 0xfff;
  entry.linked_regs = linked_regs;
  entry.sought = {};
  env.cur_hist_ent = &entry;
  return ok_status();
}

Status mark_chain_precision(VerifierEnv& env, s32 regno) { return Backtrack(env).run(regno); }
Status mark_chain_precision_batch(VerifierEnv& env) { return Backtrack(env).run(-1); }

/// A path ends at the equal state `old`: what had to be exact behind it must be exact in this path's states too.
Status propagate_precision(VerifierEnv& env, const VerifierState& old) {
  const bool verbose = (env.log.level() & BPF_LOG_LEVEL2) != 0;
  const auto wanted = [](const RegState& reg) { return reg.type == SCALAR_VALUE && reg.precise && (reg.live & REG_LIVE_READ) != 0; };
  for (u32 n = old.curframe + 1; n-- > 0;) {
    const FuncState& func = *old.frame[n];
    bool first = true;
    const auto show = [&](const char* what, s32 number) {
      if (!verbose) return;
      if (first)
        env.verbose("frame {}: propagating {}{}", n, what, number);
      else
        env.verbose(",{}{}", what, number);
    };
    for (u32 i = 0; i < BPF_REG_FP; ++i) {
      if (!wanted(func.regs[i])) continue;
      show("r", static_cast<s32>(i));
      bt_set_frame_reg(env.bt, n, i);
      first = false;
    }
    for (u32 i = 0; i < func.stack_slots(); ++i) {
      if (!is_spilled_reg(func.stack[i]) || !wanted(func.stack[i].spilled_ptr)) continue;
      show("fp", -static_cast<s32>((i + 1) * BPF_REG_SIZE));
      bt_set_frame_slot(env.bt, n, i);
      first = false;
    }
    if (!first) env.verbose("\n");
  }
  return mark_chain_precision_batch(env);
}

void mark_all_scalars_imprecise(VerifierEnv&, VerifierState& state) {
  for (u32 i = 0; i <= state.curframe; ++i) {
    FuncState& func = *state.frame[i];
    for (u32 j = 0; j < BPF_REG_FP; ++j)
      if (func.regs[j].type == SCALAR_VALUE) func.regs[j].precise = false;
    for (u32 j = 0; j < func.stack_slots(); ++j)
      if (is_spilled_scalar_reg(func.stack[j])) func.stack[j].spilled_ptr.precise = false;
  }
}

}  // namespace skep
