// verifier: open coded iterators. bpf_iter_<kind>_new() takes slots of the stack, _next() is where one path forks into "one more" and
// "drained", _destroy() gives the slots back. Loops over them end because imprecise scalars are widened and equal states meet.
#include <algorithm>
#include <string_view>

#include "verifier/call_args.h"
#include "verifier/kfunc_meta.h"
#include "verifier/stack_objects.h"
#include "verifier/widen.h"

namespace skep {
namespace {

s32 iter_get_spi(VerifierEnv& env, const RegState& reg, u32 nr_slots) { return stack_slot_obj_get_spi(env, reg, "iter", nr_slots); }

/// Id of the struct that a parameter, a pointer to struct bpf_iter_*, points to; 0: it is none. Linux: btf.c:btf_check_iter_arg()
u32 iter_struct_id(const Btf& btf, const btf_type* proto, u32 arg) {
  const btf_type* t = btf.skip_modifiers(btf_params(proto)[arg].type);
  if (t == nullptr || !btf_is_ptr(t)) return 0;
  const u32 id = btf.resolve_modifiers(t->type);
  t = btf.type_by_id(id);
  if (t == nullptr || !btf_is_struct(t)) return 0;
  return btf.type_name(id).starts_with("bpf_iter_") ? id : 0;
}

/// Linux: verifier.c:mark_stack_slots_iter()
Status mark_stack_slots_iter(VerifierEnv& env, const KfuncMeta& meta, const RegState& reg, u32 insn_idx, u32 btf_id, u32 nr_slots) {
  FuncState& func = env.func(reg);
  const s32 spi = iter_get_spi(env, reg, nr_slots);
  if (spi < 0) return Errno(-spi);
  const u32 id = acquire_reference_state(env, insn_idx);
  for (u32 i = 0; i < nr_slots; ++i) {
    const u32 at = static_cast<u32>(spi) - i;
    RegState& st = func.stack[at].spilled_ptr;
    mark_reg_known(st, 0);
    st.type = PTR_TO_STACK;  // there is no type of its own for it
    if (meta.has(KF_RCU_PROTECTED)) st.type |= in_rcu_cs(env) ? u32{MEM_RCU} : u32{PTR_UNTRUSTED};
    st.live |= REG_LIVE_WRITTEN;
    st.ref_obj_id = i == 0 ? id : 0;
    st.iter.btf = meta.btf;
    st.iter.btf_id = btf_id;
    st.iter.state = BPF_ITER_STATE_ACTIVE;
    st.iter.depth = 0;
    std::memset(func.stack[at].slot_type, STACK_ITER, BPF_REG_SIZE);
    env.mark_stack_slot_scratched(at);
  }
  return ok_status();
}

/// Linux: verifier.c:unmark_stack_slots_iter()
Status unmark_stack_slots_iter(VerifierEnv& env, const RegState& reg, u32 nr_slots) {
  FuncState& func = env.func(reg);
  const s32 spi = iter_get_spi(env, reg, nr_slots);
  if (spi < 0) return Errno(-spi);
  for (u32 i = 0; i < nr_slots; ++i) {
    const u32 at = static_cast<u32>(spi) - i;
    RegState& st = func.stack[at].spilled_ptr;
    if (i == 0) (void)release_reference(env, st.ref_obj_id);
    mark_reg_not_init_reg(env, st);
    st.live |= REG_LIVE_WRITTEN;  // as in invalidate_dynptr()
    std::memset(func.stack[at].slot_type, STACK_INVALID, BPF_REG_SIZE);
    env.mark_stack_slot_scratched(at);
  }
  return ok_status();
}

/// Linux: verifier.c:is_iter_reg_valid_uninit()
bool is_iter_reg_valid_uninit(VerifierEnv& env, const RegState& reg, u32 nr_slots) {
  const s32 spi = iter_get_spi(env, reg, nr_slots);
  if (spi == -ERANGE) return true;  // the writes that follow grow the stack
  if (spi < 0) return false;
  for (u32 i = 0; i < nr_slots; ++i) {
    const StackSlot& slot = env.func(reg).stack[static_cast<u32>(spi) - i];
    if (std::ranges::find(slot.slot_type, static_cast<u8>(STACK_ITER)) != std::end(slot.slot_type)) return false;
  }
  return true;
}

/// 0, EINVAL, or EPROTO: it was made under the protection of an RCU section that has ended. Linux: verifier.c:is_iter_reg_valid_init()
int iter_reg_init_error(VerifierEnv& env, const RegState& reg, const Btf* btf, u32 btf_id, u32 nr_slots) {
  const s32 spi = iter_get_spi(env, reg, nr_slots);
  if (spi < 0) return EINVAL;
  for (u32 i = 0; i < nr_slots; ++i) {
    const StackSlot& slot = env.func(reg).stack[static_cast<u32>(spi) - i];
    const RegState& st = slot.spilled_ptr;
    if ((st.type & PTR_UNTRUSTED) != 0) return EPROTO;
    if ((i == 0) != (st.ref_obj_id != 0)) return EINVAL;
    if (st.iter.btf != btf || st.iter.btf_id != btf_id) return EINVAL;
    for (const u8 type : slot.slot_type)
      if (type != STACK_ITER) return EINVAL;
  }
  return 0;
}

Status make_iter(VerifierEnv& env, u32 regno, u32 insn_idx, const KfuncMeta& meta, u32 btf_id, u32 nr_slots) {
  const RegState& reg = env.cur_regs()[regno];
  if (!is_iter_reg_valid_uninit(env, reg, nr_slots))
    return env.refuse(EINVAL, "expected uninitialized iter_{} as arg #{}", iter_type_str(*meta.btf, btf_id), regno - 1);
  for (s32 off = 0; off < static_cast<s32>(nr_slots * BPF_REG_SIZE); off += static_cast<s32>(BPF_REG_SIZE))
    TRY(check_mem_access(env, insn_idx, regno, off, BPF_DW, BPF_WRITE, -1, false, false));
  return mark_stack_slots_iter(env, meta, reg, insn_idx, btf_id, nr_slots);
}

Status use_iter(VerifierEnv& env, u32 regno, KfuncMeta& meta, u32 btf_id, u32 nr_slots) {
  RegState& reg = env.cur_regs()[regno];
  switch (iter_reg_init_error(env, reg, meta.btf, btf_id, nr_slots)) {
    case EINVAL:
      return env.refuse(EINVAL, "expected an initialized iter_{} as arg #{}", iter_type_str(*meta.btf, btf_id), regno - 1);
    case EPROTO:
      return env.refuse(EPROTO, "expected an RCU CS when using {}", meta.func_name);
    default:
      break;
  }
  const s32 spi = iter_get_spi(env, reg, nr_slots);
  if (spi < 0) return Errno(-spi);
  TRY(mark_iter_read(env, reg, spi, nr_slots));
  meta.iter.spi = static_cast<u8>(spi);
  meta.iter.frameno = reg.frameno;
  meta.ref_obj_id = env.func(reg).stack[spi].spilled_ptr.ref_obj_id;
  return meta.has(KF_ITER_DESTROY) ? unmark_stack_slots_iter(env, reg, nr_slots) : ok_status();
}

RegState& iter_of(VerifierState& state, const KfuncMeta& meta) {
  return state.frame[meta.iter.frameno]->stack[meta.iter.spi].spilled_ptr;
}

/// The path on which there is one more element: queued, walked later. Linux: process_iter_next_call(), its first half
Status queue_active_iter(VerifierEnv& env, u32 insn_idx, const KfuncMeta& meta) {
  VerifierState& cur = *env.cur_state;
  // The call is a checkpoint, so is_state_visited() has just stored a state for it.
  if (cur.parent == nullptr || cur.parent->insn_idx != insn_idx || !same_callsites(*cur.parent, cur)) {
    env.verbose("bug: bad parent state for iter next call");
    return Errno(EFAULT);
  }
  const VerifierState* prev = find_prev_entry(env, *cur.parent, insn_idx);  // of the parent: not that checkpoint itself
  VerifierState* queued = push_stack(env, insn_idx + 1, insn_idx, false);
  if (queued == nullptr) return Errno(E2BIG);
  RegState& iter = iter_of(*queued, meta);
  iter.iter.state = BPF_ITER_STATE_ACTIVE;
  iter.iter.depth = (iter.iter.depth + 1) & ((1u << 30) - 1);
  if (prev != nullptr) widen_imprecise_scalars(env, *prev, *queued);
  mark_ptr_not_null_reg(env, queued->cur_func().regs[R0]);
  return ok_status();
}

}  // namespace

/// Linux: verifier.c:process_iter_arg()
Status process_iter_arg(VerifierEnv& env, u32 regno, u32 insn_idx, KfuncMeta& meta) {
  if (env.cur_regs()[regno].type != PTR_TO_STACK)
    return env.refuse(EINVAL, "arg#{} expected pointer to an iterator on stack", regno - 1);
  const u32 btf_id = iter_struct_id(*meta.btf, meta.func_proto, regno - 1);
  if (btf_id == 0) return env.refuse(EINVAL, "expected valid iter pointer as arg #{}", regno - 1);
  const u32 nr_slots = meta.btf->type_by_id(btf_id)->size / BPF_REG_SIZE;
  return meta.has(KF_ITER_NEW) ? make_iter(env, regno, insn_idx, meta, btf_id, nr_slots) : use_iter(env, regno, meta, btf_id, nr_slots);
}

/// bpf_iter_*_next(): once it answered NULL it will do so for ever. The walk goes on with "drained" first; "one more" waits, one depth
/// further so that it is not taken for an endless loop. Linux: verifier.c:process_iter_next_call()
Status process_iter_next_call(VerifierEnv& env, u32 insn_idx, const KfuncMeta& meta) {
  VerifierState& cur = *env.cur_state;
  RegState& iter = iter_of(cur, meta);
  const u32 state = iter.iter.state;
  if (state != BPF_ITER_STATE_ACTIVE && state != BPF_ITER_STATE_DRAINED)
    return env.refuse(EFAULT, "verifier internal error: unexpected iterator state {} ({})", state, iter_state_str(state));
  if (state == BPF_ITER_STATE_ACTIVE) TRY(queue_active_iter(env, insn_idx, meta));
  iter.iter.state = BPF_ITER_STATE_DRAINED;
  mark_reg_const_zero(env, cur.cur_func().regs[R0]);
  return ok_status();
}

bool is_iter_next_insn(const VerifierEnv& env, u32 insn_idx) { return env.aux[insn_idx].is_iter_next; }

}  // namespace skep
