// verifier: scalars that hold the same number, or numbers at a known distance: what is learnt of one holds for all.
#include "verifier/alu.h"
#include "verifier/jump.h"

namespace skep {
namespace {

u32 link_id(const RegState& reg) { return reg.id & ~BPF_ADD_CONST; }

/// Linux: verifier.c:__collect_linked_regs()
void collect(LinkedRegs& linked, RegState& reg, u32 id, u32 frameno, u32 spi_or_reg, bool is_reg) {
  if (reg.type != SCALAR_VALUE || link_id(reg) != id) return;
  LinkedReg* const e = linked_regs_push(linked);
  if (e == nullptr) return clear_scalar_id(reg);
  *e = {static_cast<u8>(frameno), static_cast<u8>(spi_or_reg), is_reg};
}

/// Adds a known distance to the low half's ranges. Linux: verifier.c:scalar32_min_max_add()
void add_const32(RegState& reg, s32 delta) {
  const bool slo = __builtin_add_overflow(reg.s32_min_value, delta, &reg.s32_min_value);
  const bool shi = __builtin_add_overflow(reg.s32_max_value, delta, &reg.s32_max_value);
  if (slo || shi) {
    reg.s32_min_value = S32_MIN;
    reg.s32_max_value = S32_MAX;
  }
  const bool ulo = __builtin_add_overflow(reg.u32_min_value, static_cast<u32>(delta), &reg.u32_min_value);
  const bool uhi = __builtin_add_overflow(reg.u32_max_value, static_cast<u32>(delta), &reg.u32_max_value);
  if (ulo || uhi) {
    reg.u32_min_value = 0;
    reg.u32_max_value = U32_MAX;
  }
}

/// reg := known + the distance between the two. Not synced, as in Linux.
void copy_at_distance(RegState& reg, const RegState& known) {
  const s32 subreg_def = reg.subreg_def, off = reg.off;
  const u32 id = reg.id;
  const s32 delta = reg.off - known.off;
  ScalarBounds distance;
  mark_known(&distance, static_cast<u64>(s64{delta}));
  copy_register_state(reg, known);
  reg.off = off;
  reg.id = id;
  reg.subreg_def = subreg_def;
  add_const32(reg, delta);
  scalar_min_max_add(&reg, distance);
  reg.var_off = tnum_add(reg.var_off, distance.var_off);
}

}  // namespace

void collect_linked_regs(VerifierState& vstate, u32 id, LinkedRegs& linked) {
  id &= ~BPF_ADD_CONST;
  for (u32 fr = vstate.curframe + 1; fr-- > 0;) {
    FuncState& func = *vstate.frame[fr];
    for (u32 i = 0; i < BPF_REG_FP; ++i) collect(linked, func.regs[i], id, fr, i, true);
    for (u32 i = 0; i < func.stack_slots(); ++i)
      if (is_spilled_reg(func.stack[i])) collect(linked, func.stack[i].spilled_ptr, id, fr, i, false);
  }
}

void sync_linked_regs(VerifierState& vstate, RegState& known_reg, LinkedRegs& linked) {
  for (u32 i = 0; i < linked.cnt; ++i) {
    const LinkedReg e = linked.entries[i];
    FuncState& func = *vstate.frame[e.frameno];
    RegState& reg = e.is_reg ? func.regs[e.spi_or_reg] : func.stack[e.spi_or_reg].spilled_ptr;
    if (reg.type != SCALAR_VALUE || &reg == &known_reg || link_id(reg) != link_id(known_reg)) continue;
    const bool at_distance = ((reg.id | known_reg.id) & BPF_ADD_CONST) != 0;
    if (at_distance && reg.off != known_reg.off) {
      copy_at_distance(reg, known_reg);
      continue;
    }
    const s32 subreg_def = reg.subreg_def;
    copy_register_state(reg, known_reg);
    reg.subreg_def = subreg_def;
  }
}

}  // namespace skep
