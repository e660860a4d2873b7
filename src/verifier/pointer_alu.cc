// verifier: a pointer plus or minus a number. The speculative simulation of Linux's sanitize_ptr_alu() is left out.
#include "verifier/alu.h"

namespace skep {
namespace {

/// Linux: verifier.c:check_stack_access_for_ptr_arithmetic()
Status check_stack_access_for_ptr_arithmetic(VerifierEnv& env, u32 regno, const RegState& reg, s32 off) {
  if (!tnum_is_const(reg.var_off))
    return env.refuse(EACCES, "R{} variable stack access prohibited for !root, var_off={} off={}", regno, tnum_strn(reg.var_off), off);
  if (off >= 0 || off < -static_cast<s32>(MAX_BPF_STACK))
    return env.refuse(EACCES, "R{} stack pointer arithmetic goes out of range, prohibited for !root; off={}", regno, off);
  return ok_status();
}

/// Who may not leak pointers must keep them within their object even when they are not used. Linux asks by bypass_spec_v1, which
/// goes with allow_ptr_leaks wherever mitigations are on. Linux: verifier.c:sanitize_check_bounds()
Status sanitize_check_bounds(VerifierEnv& env, u32 dstno, const RegState& dst) {
  if (env.allow_ptr_leaks) return ok_status();
  if (dst.type == PTR_TO_STACK)
    return check_stack_access_for_ptr_arithmetic(env, dstno, dst, static_cast<s32>(static_cast<u64>(s64{dst.off}) + dst.var_off.value));
  if (dst.type == PTR_TO_MAP_VALUE && !check_map_access(env, dstno, dst.off, 1, false, true).ok())
    return env.refuse(EACCES, "R{} pointer arithmetic of map value goes out of range, prohibited for !root", dstno);
  return ok_status();
}

/// Kinds of pointers that may be moved, by a known number or at all.
bool may_be_moved(u32 type, u8 op, const RegState& by) {
  const bool known = tnum_is_const(by.var_off);
  switch (base_type(type)) {
    case PTR_TO_CTX:
    case PTR_TO_MAP_VALUE:
    case PTR_TO_MAP_KEY:
    case PTR_TO_STACK:
    case PTR_TO_PACKET_META:
    case PTR_TO_PACKET:
    case PTR_TO_TP_BUFFER:
    case PTR_TO_BTF_ID:
    case PTR_TO_MEM:
    case PTR_TO_BUF:
    case PTR_TO_FUNC:
    case CONST_PTR_TO_DYNPTR: return true;
    case PTR_TO_FLOW_KEYS: return known;
    case CONST_PTR_TO_MAP: return known && by.smin_value == 0 && op == BPF_ADD;
    default: return false;
  }
}

/// The number's bounds contradict each other: a dead branch.
bool bounds_are_invalid(const RegState& off) {
  const bool split = off.smin_value != off.smax_value || off.umin_value != off.umax_value;
  return (tnum_is_const(off.var_off) && split) || off.smin_value > off.smax_value || off.umin_value > off.umax_value;
}

/// A fixed offset that still fits a pointer's `off`.
bool fits_fixed_off(s64 off) { return off == s64{static_cast<s32>(off)}; }

/// dst is the pointer. Linux: adjust_ptr_min_max_vals(), case BPF_ADD
void add_to_ptr(VerifierEnv& env, RegState& dst, const RegState& off) {
  if (tnum_is_const(off.var_off)) {
    // Cannot overflow: check_reg_sane_offset() has seen both.
    const s64 fixed = dst.off + off.smin_value;
    if (fits_fixed_off(fixed)) {
      dst.off = static_cast<s32>(fixed);
      return;
    }
  }
  scalar_min_max_add(&dst, off);
  dst.var_off = tnum_add(dst.var_off, off.var_off);
  if (!type_is_pkt_pointer(dst.type)) return;
  // Another place in the packet: what was checked up to there says nothing of it.
  dst.id = env.new_id();
  dst.raw = {0, 0};
}

/// dst is the pointer. Linux: adjust_ptr_min_max_vals(), case BPF_SUB
void sub_from_ptr(VerifierEnv& env, RegState& dst, const RegState& off) {
  if (tnum_is_const(off.var_off)) {
    const s64 fixed = dst.off - off.smin_value;
    if (fits_fixed_off(fixed)) {
      dst.off = static_cast<s32>(fixed);
      return;
    }
  }
  scalar_min_max_sub(&dst, off);
  dst.var_off = tnum_sub(dst.var_off, off.var_off);
  if (!type_is_pkt_pointer(dst.type)) return;
  dst.id = env.new_id();
  if (off.smin_value < 0) dst.raw = {0, 0};  // may have moved up; a checked range stays good for what lies before it
}

Status check_operands(VerifierEnv& env, const bpf_insn& insn, const RegState& ptr, const RegState& off) {
  const u32 dst = insn.dst_reg;
  if (type_may_be_null(ptr.type))
    return env.refuse(EACCES, "R{} pointer arithmetic on {} prohibited, null-check it first", dst, reg_type_str(env, ptr.type));
  if (!may_be_moved(ptr.type, bpf_op(insn.code), off))
    return env.refuse(EACCES, "R{} pointer arithmetic on {} prohibited", dst, reg_type_str(env, ptr.type));
  return ok_status();
}

/// dst holds the pointer; was_ptr: it did so before the instruction too.
Status move_ptr(VerifierEnv& env, const bpf_insn& insn, RegState& dst, const RegState& off, bool was_ptr) {
  const u32 dstno = insn.dst_reg;
  const u8 op = bpf_op(insn.code);
  switch (op) {
    case BPF_ADD: add_to_ptr(env, dst, off); return ok_status();
    case BPF_SUB:
      if (!was_ptr) return env.refuse(EACCES, "R{} tried to subtract pointer from scalar", dstno);
      if (dst.type == PTR_TO_STACK) return env.refuse(EACCES, "R{} subtraction from stack pointer prohibited", dstno);
      sub_from_ptr(env, dst, off);
      return ok_status();
    case BPF_AND:
    case BPF_OR:
    case BPF_XOR: return env.refuse(EACCES, "R{} bitwise operator {} on pointer prohibited", dstno, alu_op_text(op));
    default: return env.refuse(EACCES, "R{} pointer arithmetic with {} operator prohibited", dstno, alu_op_text(op));
  }
}

}  // namespace

/// REQUIRES: off_reg is not dst's own register.
Status adjust_ptr_min_max_vals(VerifierEnv& env, const bpf_insn& insn, const RegState& ptr_reg, const RegState& off_reg) {
  const u32 dstno = insn.dst_reg;
  RegState& dst = env.cur_regs()[dstno];
  if (bounds_are_invalid(off_reg)) {
    mark_reg_unknown_reg(env, dst);
    return ok_status();
  }
  if (bpf_class(insn.code) != BPF_ALU64) {
    if (bpf_op(insn.code) != BPF_SUB || !env.allow_ptr_leaks)
      return env.refuse(EACCES, "R{} 32-bit pointer arithmetic prohibited", dstno);
    mark_reg_unknown_reg(env, dst);  // the low half of a pointer means nothing
    return ok_status();
  }
  TRY(check_operands(env, insn, ptr_reg, off_reg));
  const bool was_ptr = &dst == &ptr_reg;
  const u32 ptr_type = ptr_reg.type;
  if (!was_ptr) dst = ptr_reg;  // all of it, the place in the liveness chain included, as in Linux
  TRY(check_reg_sane_offset(env, off_reg, ptr_type));
  TRY(check_reg_sane_offset(env, ptr_reg, ptr_type));
  mark32_unbounded(&dst);  // nothing is tracked of a pointer's low half
  TRY(move_ptr(env, insn, dst, off_reg, was_ptr));
  TRY(check_reg_sane_offset(env, dst, ptr_type));
  reg_bounds_sync(&dst);
  return sanitize_check_bounds(env, dstno, dst);
}

}  // namespace skep
