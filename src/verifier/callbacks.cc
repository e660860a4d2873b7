// verifier: functions of the program that helpers and kfuncs call. A synchronous callback is walked as a branch that returns to the call
// itself, so that it may be called again and again; an asynchronous one starts later, on a stack of its own.
#include "isa/func_names.h"
#include "verifier/call_args.h"
#include "verifier/frames.h"
#include "verifier/kfunc_meta.h"

namespace skep {
namespace {

void mark_unused(VerifierEnv& env, FuncState& callee, u32 first) {
  for (u32 r = first; r <= R5; ++r) mark_reg_not_init_reg(env, callee.regs[r]);
}

/// Map and what points into it: `type` is CONST_PTR_TO_MAP, PTR_TO_MAP_KEY or PTR_TO_MAP_VALUE.
void set_map_reg(RegState& reg, u32 type, const VerifierMap* map, u32 map_uid) {
  reg.type = type;
  mark_reg_known(reg, 0);
  reg.map_ptr = map;
  reg.map_uid = map_uid;
}

void set_sync_callback(FuncState& callee) {
  callee.in_callback_fn = true;
  callee.callback_ret_range = {0, 1};
}

/// Linux: the map types with map_for_each_callback
bool map_can_for_each(u32 map_type) {
  switch (map_type) {
    case BPF_MAP_TYPE_ARRAY:
    case BPF_MAP_TYPE_PERCPU_ARRAY:
    case BPF_MAP_TYPE_HASH:
    case BPF_MAP_TYPE_PERCPU_HASH:
    case BPF_MAP_TYPE_LRU_HASH:
    case BPF_MAP_TYPE_LRU_PERCPU_HASH:
      return true;
    default:
      return false;
  }
}

/// bpf_for_each_map_elem(map, callback, callback_ctx, flags): callback(map, key, value, callback_ctx). Linux:
/// set_map_elem_callback_state(), map_set_for_each_callback_args()
Status set_map_elem_callback_state(VerifierEnv& env, FuncState& caller, FuncState& callee, u32 insn_idx) {
  // Whether several maps meet at this call does not matter: each path brings its own.
  const VerifierMap* map = env.aux[insn_idx].map_ptr_state.map_ptr;
  if (!map_can_for_each(map->type)) return env.refuse(ENOTSUPP_, "callback function not allowed for map");
  const RegState& map_reg = caller.regs[R1];
  callee.regs[R1] = map_reg;
  set_map_reg(callee.regs[R2], PTR_TO_MAP_KEY, map_reg.map_ptr, map_reg.map_uid);
  set_map_reg(callee.regs[R3], PTR_TO_MAP_VALUE, map_reg.map_ptr, map_reg.map_uid);
  callee.regs[R4] = caller.regs[R3];
  mark_unused(env, callee, R5);
  set_sync_callback(callee);
  return ok_status();
}

/// bpf_loop(nr_loops, callback, callback_ctx, flags): callback(index, callback_ctx). Linux: set_loop_callback_state()
Status set_loop_callback_state(VerifierEnv& env, FuncState& caller, FuncState& callee, u32) {
  callee.regs[R1].type = SCALAR_VALUE;  // a fresh frame's registers are unknown numbers already
  callee.regs[R2] = caller.regs[R3];
  mark_unused(env, callee, R3);
  set_sync_callback(callee);
  return ok_status();
}

/// bpf_timer_set_callback(timer, callback): callback(map, key, value), some time later. Linux: set_timer_callback_state()
Status set_timer_callback_state(VerifierEnv& env, FuncState& caller, FuncState& callee, u32) {
  const VerifierMap* map = caller.regs[R1].map_ptr;
  const u32 map_uid = caller.regs[R1].map_uid;
  set_map_reg(callee.regs[R1], CONST_PTR_TO_MAP, map, map_uid);
  set_map_reg(callee.regs[R2], PTR_TO_MAP_KEY, map, map_uid);
  set_map_reg(callee.regs[R3], PTR_TO_MAP_VALUE, map, map_uid);
  mark_unused(env, callee, R4);
  callee.in_async_callback_fn = true;
  callee.callback_ret_range = {0, 1};
  return ok_status();
}

/// bpf_find_vma(task, addr, callback, callback_ctx, flags): callback(task, vma, callback_ctx). Linux: set_find_vma_callback_state()
Status set_find_vma_callback_state(VerifierEnv& env, FuncState& caller, FuncState& callee, u32) {
  callee.regs[R1] = caller.regs[R1];
  RegState& vma = callee.regs[R2];
  vma.type = PTR_TO_BTF_ID;
  mark_reg_known(vma, 0);
  vma.btf = env.vmlinux();
  vma.btf_id = kernel_struct_id(env, "vm_area_struct");
  callee.regs[R3] = caller.regs[R4];
  mark_unused(env, callee, R4);
  set_sync_callback(callee);
  return ok_status();
}

/// bpf_user_ringbuf_drain(map, callback, callback_ctx, flags): callback(const dynptr, callback_ctx). Linux:
/// set_user_ringbuf_callback_state()
Status set_user_ringbuf_callback_state(VerifierEnv& env, FuncState& caller, FuncState& callee, u32) {
  mark_reg_not_init_reg(env, callee.regs[R0]);
  mark_dynptr_cb_reg(env, callee.regs[R1], BPF_DYNPTR_TYPE_LOCAL);
  callee.regs[R2] = caller.regs[R3];
  mark_unused(env, callee, R3);
  set_sync_callback(callee);
  return ok_status();
}

/// bpf_rbtree_add_impl(root, node, less, ...): less(node a, node b). `node` was released by now, so `root` says what the tree holds.
/// Linux: set_rbtree_add_callback_state()
Status set_rbtree_add_callback_state(VerifierEnv& env, FuncState& caller, FuncState& callee, u32) {
  const RegState& root = caller.regs[R1];
  const BtfField* field = record_field_at(reg_btf_record(root), static_cast<u32>(root.off), BPF_RB_ROOT);
  if (field == nullptr || field->btf_id == 0) return Errno(EFAULT);
  for (const u32 r : {R1, R2}) {
    mark_reg_graph_node(callee.regs[r], *field);
    (void)ref_set_non_owning(env, callee.regs[r]);
  }
  mark_unused(env, callee, R3);
  set_sync_callback(callee);
  return ok_status();
}

SetCalleeState helper_callback_state(u32 func_id) {
  switch (func_id) {
    case func::for_each_map_elem:
      return set_map_elem_callback_state;
    case func::loop:
      return set_loop_callback_state;
    case func::timer_set_callback:
      return set_timer_callback_state;
    case func::find_vma:
      return set_find_vma_callback_state;
    case func::user_ringbuf_drain:
      return set_user_ringbuf_callback_state;
    default:
      return nullptr;
  }
}

Status push_async_callback(VerifierEnv& env, const bpf_insn& insn, u32 insn_idx, u32 subprog, SetCalleeState set_callee_state) {
  FuncState& caller = env.cur_func();
  SubprogInfo& info = env.subprogs[subprog];
  info.is_async_cb = true;
  const bool is_sleepable = is_async_callback_calling_kfunc(env, insn);
  VerifierState* state = push_async_cb(env, info.start, insn_idx, subprog, is_sleepable);
  if (state == nullptr) return Errno(E2BIG);
  FuncState& callee = *state->frame[0];
  callee.async_entry_cnt = caller.async_entry_cnt + 1;
  return set_callee_state(env, caller, callee, insn_idx);
}

}  // namespace

void mark_reg_graph_node(RegState& reg, const BtfField& root) {
  mark_reg_known(reg, 0);
  reg.type = PTR_TO_BTF_ID | MEM_ALLOC;
  reg.btf = root.btf;
  reg.btf_id = root.btf_id;
  reg.off = static_cast<s32>(root.node_offset);
}

Status push_callback_call(VerifierEnv& env, const bpf_insn& insn, u32 insn_idx, u32 subprog, SetCalleeState set_callee_state) {
  FuncState& caller = env.cur_func();
  // That BTF and registers of a callback do not agree is no error: its arguments are made here.
  const Status match = btf_check_subprog_call(env, subprog);
  if (!match.ok() && match.error().value() == EFAULT) return match;

  env.subprogs[subprog].is_cb = true;
  const bool is_async = is_async_callback_calling_insn(env, insn);
  if (set_callee_state == nullptr || (!is_async && !is_sync_callback_calling_insn(env, insn)))
    return env.refuse(EFAULT, "verifier bug: {} {}#{} not marked as callback-calling", is_kfunc_call(insn) ? "kfunc" : "helper",
                      func_id_name(insn.imm), insn.imm);
  if (is_async) return push_async_callback(env, insn, insn_idx, subprog, set_callee_state);

  VerifierState* callback = push_stack(env, env.subprogs[subprog].start, insn_idx, false);
  if (callback == nullptr) return Errno(E2BIG);
  TRY(setup_func_entry(env, subprog, insn_idx, set_callee_state, *callback));
  ++callback->callback_unroll_depth;
  ++callback->frame[callback->curframe - 1]->callback_depth;
  caller.callback_depth = 0;
  return ok_status();
}

Status push_helper_callback_call(VerifierEnv& env, const bpf_insn& insn, u32 insn_idx, u32 subprog, u32 func_id) {
  return push_callback_call(env, insn, insn_idx, subprog, helper_callback_state(func_id));
}

Status push_kfunc_callback_call(VerifierEnv& env, const bpf_insn& insn, u32 insn_idx, u32 subprog, u32) {
  const bool is_wq = is_async_callback_calling_kfunc(env, insn);
  return push_callback_call(env, insn, insn_idx, subprog, is_wq ? set_timer_callback_state : set_rbtree_add_callback_state);
}

bool is_sync_callback_calling_function(u32 func_id) {
  return func_id == func::for_each_map_elem || func_id == func::find_vma || func_id == func::loop || func_id == func::user_ringbuf_drain;
}
bool is_async_callback_calling_function(u32 func_id) { return func_id == func::timer_set_callback; }
bool is_callback_calling_function(u32 func_id) {
  return is_sync_callback_calling_function(func_id) || is_async_callback_calling_function(func_id);
}
bool is_sync_callback_calling_insn(const VerifierEnv& env, const bpf_insn& insn) {
  return (is_helper_call(insn) && is_sync_callback_calling_function(static_cast<u32>(insn.imm))) ||
         (is_kfunc_call(insn) && is_sync_callback_calling_kfunc(env, insn));
}
bool is_async_callback_calling_insn(const VerifierEnv& env, const bpf_insn& insn) {
  return (is_helper_call(insn) && is_async_callback_calling_function(static_cast<u32>(insn.imm))) ||
         (is_kfunc_call(insn) && is_async_callback_calling_kfunc(env, insn));
}

bool in_rbtree_lock_required_cb(const VerifierEnv& env) {
  const VerifierState& state = *env.cur_state;
  for (u32 i = state.curframe; i > 0; --i) {
    const FuncState& callee = *state.frame[i];
    if (!callee.in_callback_fn) continue;
    const bpf_insn& call = env.insns[callee.callsite];
    if (is_kfunc_call(call) && is_sync_callback_calling_kfunc(env, call)) return true;  // bpf_rbtree_add_impl() alone
  }
  return false;
}

}  // namespace skep
