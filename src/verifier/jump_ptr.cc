// verifier: what conditional jumps say about pointers.
#include <algorithm>
#include <utility>

#include "verifier/jump.h"

namespace skep {
namespace {

constexpr u32 MAX_PACKET_OFF = 0xffff;

/// Linux: verifier.c:is_pkt_ptr_branch_taken()
int is_pkt_ptr_branch_taken(const RegState& dst, const RegState& src, u8 op) {
  const RegState* pkt = &dst;
  if (src.type != PTR_TO_PACKET_END) {
    if (dst.type != PTR_TO_PACKET_END) return -1;
    pkt = &src;
    op = flip_opcode(op);
  }
  const bool beyond = pkt->range == BEYOND_PKT_END, at = pkt->range == AT_PKT_END;
  switch (op) {
    case BPF_JLE:
    case BPF_JGT: return beyond ? op == BPF_JGT : -1;
    case BPF_JLT:
    case BPF_JGE: return beyond || at ? op == BPF_JGE : -1;
    default: return -1;
  }
}

/// A pointer that is surely not null, compared with the constant 0.
int is_null_test_taken(const VerifierEnv& env, const RegState& ptr, const RegState& constant, u8 op) {
  if (!is_reg_const(constant, false) || !reg_not_null(env, ptr) || reg_const_value(constant, false) != 0) return -1;
  if (op == BPF_JEQ) return 0;
  return op == BPF_JNE ? 1 : -1;
}

/// The pointer is at or behind the packet's end in this branch. Linux: verifier.c:mark_pkt_end()
void mark_pkt_end(VerifierState& vstate, u32 regno, bool beyond) {
  RegState& reg = vstate.cur_func().regs[regno];
  if (reg.type == PTR_TO_PACKET) reg.range = beyond ? BEYOND_PKT_END : AT_PKT_END;
}

/// `end` bounds what `pkt` may reach: packet and its end, or metadata and the packet's start.
bool is_pkt_and_end(const RegState& pkt, const RegState& end) {
  return (pkt.type == PTR_TO_PACKET && end.type == PTR_TO_PACKET_END) ||
         (pkt.type == PTR_TO_PACKET_META && reg_is_init_pkt_pointer(end, PTR_TO_PACKET));
}

/// `pkt <op> end`: the branch in which pkt lies below (or at) the end learns the range, the other that there is nothing more.
bool match_pkt_and_end(u8 op, const RegState& pkt, u32 pktno, VerifierState& this_branch, VerifierState& other_branch) {
  VerifierState *below = &this_branch, *above = &other_branch;
  if (op == BPF_JLT || op == BPF_JLE) std::swap(below, above);
  switch (op) {
    case BPF_JGT:  // falls through with pkt <= end
    case BPF_JLE:
      find_good_pkt_pointers(*below, pkt, pkt.type, false);
      mark_pkt_end(*above, pktno, true);
      return true;
    case BPF_JGE:  // falls through with pkt < end
    case BPF_JLT:
      find_good_pkt_pointers(*below, pkt, pkt.type, true);
      mark_pkt_end(*above, pktno, false);
      return true;
    default: return false;
  }
}

/// Linux: verifier.c:mark_ptr_or_null_reg()
void mark_ptr_or_null_reg(VerifierEnv& env, RegState& reg, u32 id, bool is_null) {
  if (!type_may_be_null(reg.type) || reg.id != id || (!is_rcu_reg(reg) && reg.id == 0)) return;
  // Such a pointer cannot have been moved, except that some kfuncs return one into the middle of an object of the program's own.
  if (reg.smin_value != 0 || reg.smax_value != 0 || !tnum_equals_const(reg.var_off, 0)) return;
  if (!type_is_ptr_alloc_obj(reg.type) && !type_is_non_owning_ref(reg.type) && reg.off != 0) return;
  if (is_null) {
    reg.type = SCALAR_VALUE;
    reg.id = 0;
    reg.ref_obj_id = 0;
    return;
  }
  mark_ptr_not_null_reg(env, reg);
  // Locks are told apart by the id of the pointer to them.
  if (!reg_may_point_to_spin_lock(reg)) reg.id = 0;
}

}  // namespace

int is_branch_taken(const VerifierEnv& env, const RegState& a, const RegState& b, u8 op, bool is_jmp32) {
  if (reg_is_pkt_pointer_any(a) && reg_is_pkt_pointer_any(b) && !is_jmp32) return is_pkt_ptr_branch_taken(a, b, op);
  if (a.type == SCALAR_VALUE && b.type == SCALAR_VALUE) return is_scalar_branch_taken(a, b, op, is_jmp32);
  if (is_jmp32) return -1;  // the low half of a good pointer may be 0
  return is_reg_const(b, false) ? is_null_test_taken(env, a, b, op) : is_null_test_taken(env, b, a, flip_opcode(op));
}

void find_good_pkt_pointers(VerifierState& vstate, const RegState& dst_reg, u32 type, bool range_right_open) {
  if (dst_reg.off < 0 || (dst_reg.off == 0 && range_right_open)) return;  // no byte is promised
  const u64 off = static_cast<u64>(dst_reg.off);
  // The sum could overflow: pointer + (1 << 63) is below the end because it is below the packet.
  if (dst_reg.umax_value > MAX_PACKET_OFF || dst_reg.umax_value + off > MAX_PACKET_OFF) return;
  const s32 new_range = dst_reg.off + (range_right_open ? 1 : 0);
  const u32 id = dst_reg.id;
  // The same id means the same variable offset, so the bytes up to the fixed offset are there for all of them.
  for_each_reg(vstate, [&](FuncState&, RegState& reg) {
    if (reg.type == type && reg.id == id) reg.range = std::max(reg.range, new_range);
  });
}

void mark_ptr_or_null_regs(VerifierEnv& env, VerifierState& vstate, u32 regno, bool is_null) {
  FuncState& func = vstate.cur_func();
  const u32 ref_obj_id = func.regs[regno].ref_obj_id, id = func.regs[regno].id;
  // Null: nothing was taken, so there is nothing to give back.
  if (ref_obj_id != 0 && ref_obj_id == id && is_null) release_reference_state(func, id);
  for_each_reg(vstate, [&](FuncState&, RegState& reg) { mark_ptr_or_null_reg(env, reg, id, is_null); });
}

bool try_match_pkt_pointers(const bpf_insn& insn, const RegState& dst, const RegState& src, VerifierState& this_branch,
                            VerifierState& other_branch) {
  if (bpf_src(insn.code) != BPF_X || bpf_class(insn.code) == BPF_JMP32) return false;
  const u8 op = bpf_op(insn.code);
  if (is_pkt_and_end(dst, src)) return match_pkt_and_end(op, dst, insn.dst_reg, this_branch, other_branch);
  if (is_pkt_and_end(src, dst)) return match_pkt_and_end(flip_opcode(op), src, insn.src_reg, this_branch, other_branch);
  return false;
}

}  // namespace skep
