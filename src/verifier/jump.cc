// verifier: conditional jumps. Linux: verifier.c:check_cond_jmp_op()
#include "verifier/jump.h"

#include "verifier/widen.h"

namespace skep {
namespace {

bool is_x(const bpf_insn& insn) { return bpf_src(insn.code) == BPF_X; }
bool is_jmp32(const bpf_insn& insn) { return bpf_class(insn.code) == BPF_JMP32; }
bool is_pointer(const RegState& reg) { return reg.type != SCALAR_VALUE; }  ///< Linux: __is_pointer_value(false, ...)
bool is_linked_scalar(const RegState& reg) { return reg.type == SCALAR_VALUE && reg.id != 0; }

void log_state(VerifierEnv& env) {
  if (env.log.prints_insns()) print_insn_state(env, *env.cur_state, env.cur_state->curframe);
}

/// may_goto falls through when the program has run for too long: that path waits, this one jumps.
Status check_may_goto(VerifierEnv& env, const bpf_insn& insn, u32* insn_idx) {
  const s32 off = insn.off, imm = insn.imm;
  if (insn.code != (BPF_JMP | BPF_JCOND) || insn.src_reg != BPF_MAY_GOTO || insn.dst_reg != 0 || imm != 0 || off == 0)
    return env.refuse(EINVAL, "invalid may_goto off {} imm {}", off, imm);
  const u32 idx = *insn_idx;
  // Without CAP_BPF no more states are stored at an instruction that has many, so there may be no parent yet.
  const VerifierState* const parent = env.cur_state->parent;
  const VerifierState* const prev = parent != nullptr ? find_prev_entry(env, *parent, idx) : nullptr;
  VerifierState* const queued = push_stack(env, idx + 1, idx, false);
  if (queued == nullptr) return Errno(E2BIG);
  ++queued->may_goto_depth;
  if (prev != nullptr) widen_imprecise_scalars(env, *prev, *queued);
  *insn_idx += static_cast<u32>(off);
  return ok_status();
}

/// What the instruction compares with: a register, or env.fake_reg[0] that holds its constant.
Result<RegState*> check_src_operand(VerifierEnv& env, const bpf_insn& insn) {
  const u32 src = insn.src_reg;
  if (!is_x(insn)) {
    if (src != 0) return env.refuse(EINVAL, "BPF_JMP/JMP32 uses reserved fields");
    RegState& fake = env.fake_reg[0];
    fake = RegState{};
    fake.type = SCALAR_VALUE;
    mark_reg_known(fake, static_cast<u64>(s64{insn.imm}));
    return &fake;
  }
  if (insn.imm != 0) return env.refuse(EINVAL, "BPF_JMP/JMP32 uses reserved fields");
  TRY(check_reg_arg(env, src, SRC_OP));
  RegState* const regs = env.cur_regs();
  const bool packet = reg_is_pkt_pointer_any(regs[insn.dst_reg]) && reg_is_pkt_pointer_any(regs[src]);
  if (!packet && is_pointer_value(env, src)) return env.refuse(EACCES, "R{} pointer comparison prohibited", src);
  return &regs[src];
}

/// Backtracking must know that the operands were stack pointers.
Status note_stack_operands(VerifierEnv& env, const RegState& dst, const RegState& src) {
  u32 flags = 0;
  if (src.type == PTR_TO_STACK) flags |= INSN_F_SRC_REG_STACK;
  if (dst.type == PTR_TO_STACK) flags |= INSN_F_DST_REG_STACK;
  if (flags == 0) return ok_status();
  return push_insn_history(env, *env.cur_state, flags, 0);
}

/// The jump goes one way only: what made that certain is needed exactly.
Status follow_known_branch(VerifierEnv& env, const bpf_insn& insn, const RegState& dst, const RegState& src, bool taken, u32* insn_idx) {
  if (!is_pointer(dst)) TRY(mark_chain_precision(env, insn.dst_reg));
  if (is_x(insn) && !is_pointer(src)) TRY(mark_chain_precision(env, insn.src_reg));
  log_state(env);
  if (taken) *insn_idx += static_cast<u32>(s32{insn.off});
  return ok_status();
}

/// Both branches learn what the comparison says about scalars. Linux: verifier.c:reg_set_min_max()
Status reg_set_min_max(VerifierEnv& env, RegState& true1, RegState& true2, RegState& false1, RegState& false2, u8 op, bool jmp32) {
  if (is_pointer(false1) || is_pointer(false2)) return ok_status();
  regs_refine_cond_op(&false1, &false2, rev_opcode(op), jmp32);
  reg_bounds_sync(&false1);
  reg_bounds_sync(&false2);
  regs_refine_cond_op(&true1, &true2, op, jmp32);
  reg_bounds_sync(&true1);
  reg_bounds_sync(&true2);
  TRY(reg_bounds_sanity_check(env, true1, "true_reg1"));
  TRY(reg_bounds_sanity_check(env, true2, "true_reg2"));
  TRY(reg_bounds_sanity_check(env, false1, "false_reg1"));
  return reg_bounds_sanity_check(env, false2, "false_reg2");
}

/// The scalars that are linked to the operands go into the history before the paths part, so that both share it.
Status note_linked_regs(VerifierEnv& env, const bpf_insn& insn, const RegState& dst, const RegState& src, LinkedRegs& linked) {
  if (is_x(insn) && is_linked_scalar(src)) collect_linked_regs(*env.cur_state, src.id, linked);
  if (is_linked_scalar(dst)) collect_linked_regs(*env.cur_state, dst.id, linked);
  if (linked.cnt <= 1) return ok_status();
  return push_insn_history(env, *env.cur_state, 0, linked_regs_pack(linked));
}

/// One operand after the jump: `mine` in this branch, `theirs` in the other.
void sync_operand(VerifierEnv& env, RegState& mine, VerifierState& other, RegState& theirs, LinkedRegs& linked) {
  if (!is_linked_scalar(mine) || mine.id != theirs.id) return;
  sync_linked_regs(*env.cur_state, mine, linked);
  sync_linked_regs(other, theirs, linked);
}

/// A pointer that may be null and equals one that is not, is not null. Not so for PTR_TO_BTF_ID: those may be null without saying so.
void learn_not_null(VerifierEnv& env, const bpf_insn& insn, RegState& dst, RegState& src, RegState* other_regs) {
  if (is_jmp32(insn) || !is_x(insn) || !is_pointer(src) || !is_pointer(dst)) return;
  if (base_type(src.type) == PTR_TO_BTF_ID || base_type(dst.type) == PTR_TO_BTF_ID) return;
  const u8 op = bpf_op(insn.code);
  if (op != BPF_JEQ && op != BPF_JNE) return;
  RegState* const eq_regs = op == BPF_JEQ ? other_regs : env.cur_regs();
  if (reg_not_null(env, dst) && type_may_be_null(src.type)) mark_ptr_not_null_reg(env, eq_regs[insn.src_reg]);
  if (reg_not_null(env, src) && type_may_be_null(dst.type)) mark_ptr_not_null_reg(env, eq_regs[insn.dst_reg]);
}

/// What pointers learn: compared with 0, and packet pointers compared with each other.
Status learn_pointers(VerifierEnv& env, const bpf_insn& insn, const RegState& dst, VerifierState& other) {
  const u8 op = bpf_op(insn.code);
  const u32 dstno = insn.dst_reg;
  VerifierState& self = *env.cur_state;
  const bool null_test = !is_jmp32(insn) && !is_x(insn) && insn.imm == 0 && (op == BPF_JEQ || op == BPF_JNE);
  if (null_test && type_may_be_null(dst.type)) {
    mark_ptr_or_null_regs(env, self, dstno, op == BPF_JNE);
    mark_ptr_or_null_regs(env, other, dstno, op == BPF_JEQ);
    return ok_status();
  }
  if (!try_match_pkt_pointers(insn, dst, env.cur_regs()[insn.src_reg], self, other) && is_pointer_value(env, dstno))
    return env.refuse(EACCES, "R{} pointer comparison prohibited", dstno);
  return ok_status();
}

/// The path parts: the jump waits, the fall-through goes on.
Status follow_both_branches(VerifierEnv& env, const bpf_insn& insn, RegState& dst, RegState& src, u32 insn_idx) {
  const u8 op = bpf_op(insn.code);
  LinkedRegs linked;
  TRY(note_linked_regs(env, insn, dst, src, linked));
  VerifierState* const other = push_stack(env, insn_idx + static_cast<u32>(s32{insn.off}) + 1, insn_idx, false);
  if (other == nullptr) return Errno(E2BIG);
  RegState* const other_regs = other->cur_func().regs.data();

  if (is_x(insn)) {
    TRY(reg_set_min_max(env, other_regs[insn.dst_reg], other_regs[insn.src_reg], dst, src, op, is_jmp32(insn)));
    sync_operand(env, src, *other, other_regs[insn.src_reg], linked);
  } else {
    env.fake_reg[1] = env.fake_reg[0];  // each branch mangles its own copy of the constant
    TRY(reg_set_min_max(env, other_regs[insn.dst_reg], env.fake_reg[0], dst, env.fake_reg[1], op, is_jmp32(insn)));
  }
  sync_operand(env, dst, *other, other_regs[insn.dst_reg], linked);
  learn_not_null(env, insn, dst, src, other_regs);
  TRY(learn_pointers(env, insn, dst, *other));
  log_state(env);
  return ok_status();
}

}  // namespace

Status check_cond_jmp_op(VerifierEnv& env, const bpf_insn& insn, u32* insn_idx) {
  const u8 op = bpf_op(insn.code);
  if (op == BPF_JA || op > BPF_JCOND) return env.refuse(EINVAL, "invalid BPF_JMP/JMP32 opcode {:x}", op);
  if (op == BPF_JCOND) return check_may_goto(env, insn, insn_idx);

  TRY(check_reg_arg(env, insn.dst_reg, SRC_OP));
  RegState& src = *TRY(check_src_operand(env, insn));
  RegState& dst = env.cur_regs()[insn.dst_reg];
  TRY(note_stack_operands(env, dst, src));
  const int pred = is_branch_taken(env, dst, src, op, is_jmp32(insn));
  if (pred >= 0) return follow_known_branch(env, insn, dst, src, pred == 1, insn_idx);
  return follow_both_branches(env, insn, dst, src, *insn_idx);
}

}  // namespace skep
