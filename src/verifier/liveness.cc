// verifier: who reads what. A register read in a state is marked in all parent states back to the one that wrote it, so that states
// are compared only by what is still needed; and which writes of low halves need explicit zero extension.
// Linux: verifier.c:mark_reg_read(), is_reg64(), __check_reg_arg()
#include <algorithm>

#include "verifier/verifier_env.h"

namespace skep {
namespace {

/// `writes`: a write in `reg` itself screens the parents.
Status mark_parents_read(VerifierEnv& env, const RegState& reg, RegState* parent, u8 flag, bool writes) {
  const RegState* state = &reg;
  u32 steps = 0;
  while (parent != nullptr) {
    // An earlier write screens the parent.
    if (writes && (state->live & REG_LIVE_WRITTEN) != 0) break;
    if ((parent->live & REG_LIVE_DONE) != 0)
      return env.refuse(EFAULT, "verifier BUG type {} var_off {} off {}", reg_type_str(env, parent->type),
                        static_cast<s64>(parent->var_off.value), parent->off);
    // Marked already, then so is all above it.
    if ((parent->live & REG_LIVE_READ) == flag || (parent->live & REG_LIVE_READ64) != 0) break;
    parent->live |= flag;
    if (flag == REG_LIVE_READ64) parent->live &= static_cast<u8>(~REG_LIVE_READ32);
    state = parent;
    parent = state->parent;
    writes = true;
    ++steps;
  }
  env.longest_mark_read_walk = std::max(env.longest_mark_read_walk, steps);
  return ok_status();
}

}  // namespace

Status mark_reg_read(VerifierEnv& env, const RegState& reg, RegState* parent, u8 flag) {
  return mark_parents_read(env, reg, parent, flag, true);
}

Status mark_dynptr_read(VerifierEnv& env, RegState& reg) {
  if (reg.type == CONST_PTR_TO_DYNPTR) return ok_status();  // read as a register
  FuncState& func = env.func(reg);
  const s32 spi = dynptr_get_spi(env, reg);
  if (spi < 0) return Errno(-spi);
  for (s32 i = spi; i > spi - static_cast<s32>(BPF_DYNPTR_NR_SLOTS); --i) {
    RegState& slot = func.stack[i].spilled_ptr;
    TRY(mark_reg_read(env, slot, slot.parent, REG_LIVE_READ64));
  }
  return ok_status();
}

Status mark_iter_read(VerifierEnv& env, RegState& reg, s32 spi, u32 nr_slots) {
  FuncState& func = env.func(reg);
  for (u32 i = 0; i < nr_slots; ++i) {
    const u32 at = static_cast<u32>(spi) - i;
    RegState& slot = func.stack[at].spilled_ptr;
    TRY(mark_reg_read(env, slot, slot.parent, REG_LIVE_READ64));
    env.mark_stack_slot_scratched(at);
  }
  return ok_status();
}

namespace {

/// Does the instruction use all 64 bits of the register? When in doubt, yes.
[[gnu::always_inline]] inline bool uses_64_bits(const bpf_insn& insn, const RegState* reg, RegArgType t) {
  const u8 op = bpf_op(insn.code);
  switch (bpf_class(insn.code)) {
    case BPF_JMP:
      if (op != BPF_CALL) return true;
      // Subprogram calls come here only to mark clobbered registers; helpers read whole registers and define none of 32 bits.
      return insn.src_reg != BPF_PSEUDO_CALL && t == SRC_OP;
    case BPF_JMP32: return false;
    case BPF_ALU64: return !(op == BPF_END && (insn.imm == 16 || insn.imm == 32));
    case BPF_ALU: return op == BPF_END && insn.imm == 64;
    case BPF_LDX: return t == SRC_OP || bpf_size(insn.code) == BPF_DW || bpf_mode(insn.code) == BPF_MEMSX;
    case BPF_STX: return (t == SRC_OP && reg->type != SCALAR_VALUE) || bpf_size(insn.code) == BPF_DW;
    case BPF_LD: return bpf_mode(insn.code) == BPF_IMM || t == SRC_OP;  // LD_ABS and LD_IND give 32 bits
    default: return true;
  }
}

}  // namespace

bool is_reg64(VerifierEnv&, const bpf_insn& insn, u32, const RegState* reg, RegArgType t) { return uses_64_bits(insn, reg, t); }

/// -1: none.
s32 insn_def_regno(const bpf_insn& insn) {
  switch (bpf_class(insn.code)) {
    case BPF_JMP:
    case BPF_JMP32:
    case BPF_ST: return -1;
    case BPF_STX:
      if (bpf_mode(insn.code) != BPF_ATOMIC || (insn.imm & BPF_FETCH) == 0) return -1;
      return insn.imm == BPF_CMPXCHG ? 0 : insn.src_reg;
    default: return insn.dst_reg;
  }
}

bool insn_has_def32(VerifierEnv& env, const bpf_insn& insn) {
  const s32 dst = insn_def_regno(insn);
  return dst >= 0 && !is_reg64(env, insn, static_cast<u32>(dst), nullptr, DST_OP);
}

void mark_insn_zext(VerifierEnv& env, RegState& reg) {
  if (reg.subreg_def == DEF_NOT_SUBREG) return;
  env.aux[static_cast<u32>(reg.subreg_def - 1)].zext_dst = true;
  reg.subreg_def = DEF_NOT_SUBREG;
}

Status check_reg_arg_of(VerifierEnv& env, RegState* regs, u32 regno, RegArgType t) {
  if (regno >= MAX_BPF_REG) return env.refuse(EINVAL, "R{} is invalid", regno);
  env.mark_reg_scratched(regno);
  RegState& reg = regs[regno];
  const bool rw64 = uses_64_bits(env.insns[env.insn_idx], &reg, t);
  if (t == SRC_OP) {
    if (reg.type == NOT_INIT) return env.refuse(EACCES, "R{} !read_ok", regno);
    if (regno == BPF_REG_FP) return ok_status();  // never changes, so its liveness does not matter
    if (rw64 && reg.subreg_def != DEF_NOT_SUBREG) mark_insn_zext(env, reg);
    return mark_reg_read(env, reg, reg.parent, rw64 ? REG_LIVE_READ64 : REG_LIVE_READ32);
  }
  if (regno == BPF_REG_FP) return env.refuse(EACCES, "frame pointer is read only");
  reg.live |= REG_LIVE_WRITTEN;
  reg.subreg_def = rw64 ? DEF_NOT_SUBREG : static_cast<s32>(env.insn_idx + 1);
  if (t == DST_OP) mark_reg_unknown(env, regs, regno);
  return ok_status();
}

namespace {

/// Carries a read mark of `reg` over to `parent_reg`; the answer is the mark that was carried, or 0.
/// Linux: verifier.c:propagate_liveness_reg()
Result<u8> propagate_reg(VerifierEnv& env, const RegState& reg, RegState& parent_reg) {
  const u8 parent_flag = parent_reg.live & REG_LIVE_READ, flag = reg.live & REG_LIVE_READ;
  if (parent_flag == REG_LIVE_READ64 || flag == 0 || parent_flag == flag) return u8{0};
  // The path did not come here through `reg`'s state, so what that one wrote screens nothing. Linux sees this by comparing reg.parent
  // with the address of parent_reg; but the state that reg.parent pointed into may be gone, and its memory may be the current state's.
  TRY(mark_parents_read(env, reg, &parent_reg, flag, false));
  return flag;
}

}  // namespace

/// A path ends at an equal state: what is read behind that state is read behind this one too.
Status propagate_liveness(VerifierEnv& env, const VerifierState& vstate, VerifierState& vparent) {
  if (vparent.curframe != vstate.curframe)
    return env.bug("propagate_live: parent frame {} current frame {}", vparent.curframe, vstate.curframe);
  for (u32 frame = 0; frame <= vstate.curframe; ++frame) {
    FuncState& parent = *vparent.frame[frame];
    const FuncState& state = *vstate.frame[frame];
    for (u32 i = frame < vstate.curframe ? 6 : 0; i < BPF_REG_FP; ++i)
      if (TRY(propagate_reg(env, state.regs[i], parent.regs[i])) == REG_LIVE_READ64) mark_insn_zext(env, parent.regs[i]);
    const u32 slots = std::min(state.stack_slots(), parent.stack_slots());
    for (u32 i = 0; i < slots; ++i) (void)TRY(propagate_reg(env, state.stack[i].spilled_ptr, parent.stack[i].spilled_ptr));
  }
  return ok_status();
}

Status check_reg_arg(VerifierEnv& env, u32 regno, RegArgType t) { return check_reg_arg_of(env, env.cur_regs(), regno, t); }

}  // namespace skep
