// verifier: one call of a helper: who may call it, its arguments, what it does to the state, its result. Linux:
// verifier.c:check_helper_call()
#include "verifier/helper_call.h"

#include "isa/func_names.h"
#include "verifier/const_str.h"

namespace skep {
namespace {

bool key_poisoned(const InsnAux& aux) { return (aux.map_key_state & BPF_MAP_KEY_POISON) != 0; }
bool key_unseen(const InsnAux& aux) { return (aux.map_key_state & BPF_MAP_KEY_SEEN) == 0; }
u64 key_immediate(const InsnAux& aux) { return aux.map_key_state & ~(BPF_MAP_KEY_SEEN | BPF_MAP_KEY_POISON); }
/// Poison stays. Linux: verifier.c:bpf_map_key_store()
void store_key(InsnAux& aux, u64 state) { aux.map_key_state = state | BPF_MAP_KEY_SEEN | (aux.map_key_state & BPF_MAP_KEY_POISON); }

/// The helper of this number for this program, if it may be called at all.
Result<const FuncProto*> find_helper(VerifierEnv& env, const bpf_insn& insn) {
  const s32 id = insn.imm;
  if (id < 0 || id >= static_cast<s32>(func::max_id)) return env.refuse(EINVAL, "invalid func {}#{}", func_id_name(id), id);
  const FuncProto* fn = get_func_proto(id, env.prog);
  if (fn == nullptr) return env.refuse(EINVAL, "program of this type cannot use helper {}#{}", func_id_name(id), id);
  if (!env.prog.gpl_compatible && fn->gpl_only)
    return env.refuse(EINVAL, "cannot call GPL-restricted function from non-GPL compatible program");
  if (!func_allowed(*fn, env.prog)) return env.refuse(EINVAL, "helper call is not allowed in probe");
  if (!in_sleepable(env) && fn->might_sleep) return env.refuse(EINVAL, "helper call might sleep in a non-sleepable prog");
  return fn;
}

/// Whether the call fits where it stands: RCU sections and disabled preemption may not sleep.
Status check_context(VerifierEnv& env, HelperCall& call) {
  const char* name = func_id_name(call.func_id);
  call.changes_data = helper_changes_pkt_data(call.func_id);
  if (call.changes_data && call.fn.args[0] != ARG_PTR_TO_CTX)
    return env.refuse(EINVAL, "kernel subsystem misconfigured func {}#{}: r1 != ctx", name, call.func_id);
  call.meta.pkt_access = call.fn.pkt_access;
  if (!check_func_proto(call.fn)) return env.refuse(EINVAL, "kernel subsystem misconfigured func {}#{}", name, call.func_id);

  const VerifierState& state = *env.cur_state;
  if (state.active_rcu_lock && call.fn.might_sleep)
    return env.refuse(EINVAL, "sleepable helper {}#{} in rcu_read_lock region", name, call.func_id);
  if (state.active_preempt_lock != 0 && call.fn.might_sleep)
    return env.refuse(EINVAL, "sleepable helper {}#{} in non-preemptible region", name, call.func_id);
  if ((state.active_rcu_lock || state.active_preempt_lock != 0) && in_sleepable(env) && is_storage_get_function(call.func_id))
    env.aux[call.insn_idx].storage_get_func_atomic = true;
  return ok_status();
}

Status check_args(VerifierEnv& env, HelperCall& call) {
  call.meta.func_id = call.func_id;
  for (u32 arg = 0; arg < 5; ++arg) TRY(check_func_arg(env, arg, call.meta, call.fn, call.insn_idx));
  TRY(record_func_map(env, call));
  TRY(record_func_key(env, call));
  // Stack that the helper fills: written now, byte by byte.
  for (s32 i = 0; i < call.meta.access_size; ++i)
    TRY(check_mem_access(env, call.insn_idx, static_cast<u32>(call.meta.regno), i, BPF_B, BPF_WRITE, -1, false, false));
  return ok_status();
}

/// A kptr goes into a map. Under RCU an own per-CPU object stays readable; every other copy of the pointer ends.
bool give_away_kptr(VerifierEnv& env, u32 ref_obj_id) {
  const bool in_rcu = in_rcu_cs(env);
  if (!release_reference_state(env.cur_func(), ref_obj_id)) return false;
  for_each_reg(*env.cur_state, [&](FuncState&, RegState& reg) {
    if (reg.ref_obj_id != ref_obj_id) return;
    if (in_rcu && (reg.type & MEM_ALLOC) != 0 && (reg.type & MEM_PERCPU) != 0) {
      reg.ref_obj_id = 0;
      reg.type = (reg.type & ~static_cast<u32>(MEM_ALLOC)) | MEM_RCU;
    } else {
      mark_reg_invalid(env, reg);
    }
  });
  return true;
}

Status release_arg(VerifierEnv& env, const HelperCall& call) {
  const CallArgMeta& meta = call.meta;
  if (meta.release_regno == 0) return ok_status();
  RegState& reg = env.cur_regs()[meta.release_regno];
  Status status = Errno(EINVAL);
  if (arg_type_is_dynptr(call.fn.args[meta.release_regno - R1])) {
    if (reg.type == CONST_PTR_TO_DYNPTR) return env.refuse(EFAULT, "verifier internal error: CONST_PTR_TO_DYNPTR cannot be released");
    status = unmark_stack_slots_dynptr(env, reg);
  } else if (call.func_id == func::kptr_xchg && meta.ref_obj_id != 0) {
    if (give_away_kptr(env, meta.ref_obj_id)) status = ok_status();
  } else if (meta.ref_obj_id != 0) {
    status = release_reference(env, meta.ref_obj_id);
  } else if (register_is_null(reg)) {
    status = ok_status();
  }
  if (!status.ok())
    return env.refuse(status.error().value(), "func {}#{} reference has not been acquired before", func_id_name(call.func_id), call.func_id);
  return ok_status();
}

/// The program ends here if the tail call succeeds: nothing may be held.
Status check_tail_call(VerifierEnv& env) {
  const VerifierState& state = *env.cur_state;
  if (state.active_lock.ptr != nullptr) return env.refuse(EINVAL, "tail_call cannot be used inside bpf_spin_lock-ed region");
  if (const Status leak = check_reference_leak(env, false); !leak.ok())
    return env.refuse(leak.error().value(), "tail_call would lead to reference leak");
  if (state.active_rcu_lock) return env.refuse(EINVAL, "tail_call cannot be used inside bpf_rcu_read_lock-ed region");
  if (state.active_preempt_lock != 0) return env.refuse(EINVAL, "tail_call cannot be used inside bpf_preempt_disable-ed region");
  return ok_status();
}

/// In a subprogram a tail call that succeeds returns, with whatever the other program answers, to the caller, who sees nothing of what
/// would have come after it here. That path is walked now, the one of a call that fails waits. DIFFERS: Linux 6.12 walks the latter alone.
Status fork_successful_tail_call(VerifierEnv& env) {
  if (env.cur_state->curframe == 0) return ok_status();
  if (push_stack(env, env.insn_idx + 1, env.insn_idx, false) == nullptr) return Errno(E2BIG);
  mark_reg_unknown(env, env.cur_regs(), 0);
  TRY(prepare_func_exit(env, &env.insn_idx));
  --env.insn_idx;  // the walk adds one
  return ok_status();
}

/// Linux: verifier.c:loop_flag_is_zero()
bool loop_flag_is_zero(VerifierEnv& env) {
  const bool is_null = register_is_null(env.cur_regs()[R4]);
  if (is_null) (void)mark_chain_precision(env, R4);
  return is_null;
}

/// Linux: verifier.c:update_loop_inline_state()
void update_loop_inline_state(VerifierEnv& env, u32 subprogno) {
  auto& state = env.cur_aux().loop_inline_state;
  if (!state.initialized) {
    state.initialized = true;
    state.fit_for_inline = loop_flag_is_zero(env);
    state.callback_subprogno = subprogno;
  } else if (state.fit_for_inline) {
    state.fit_for_inline = loop_flag_is_zero(env) && state.callback_subprogno == subprogno;
  }
}

/// Another round of the callback as long as there may be one: r1 bounds the rounds, so it must be exact.
Status check_loop(VerifierEnv& env, const HelperCall& call) {
  update_loop_inline_state(env, call.meta.subprogno);
  TRY(mark_chain_precision(env, R1));
  FuncState& func = env.cur_func();
  if (func.callback_depth < env.cur_regs()[R1].umax_value)
    return push_helper_callback_call(env, call.insn, call.insn_idx, call.meta.subprogno, call.func_id);
  func.callback_depth = 0;
  if ((env.log.level() & BPF_LOG_LEVEL2) != 0) env.verbose("frame{} bpf_loop iteration limit reached\n", env.cur_state->curframe);
  return ok_status();
}

/// The hook's return value is set from BPF_LSM_CGROUP: there must be one.
Status check_set_retval(VerifierEnv& env) {
  if (env.prog.type != BPF_PROG_TYPE_LSM || env.prog.expected_attach_type != BPF_LSM_CGROUP || env.vmlinux() == nullptr) return ok_status();
  const btf_type* hook = env.vmlinux()->type_by_id(env.prog.attach_btf_id);
  const btf_type* proto = hook != nullptr && btf_is_func(hook) ? env.vmlinux()->type_by_id(hook->type) : nullptr;
  if (proto == nullptr || proto->type == 0)
    return env.refuse(EINVAL, "BPF_LSM_CGROUP that attach to void LSM hooks can't modify return value!");
  return ok_status();
}

/// The only dynptr among the arguments; null (logged): none, or two. Linux: verifier.c:get_dynptr_arg_reg()
const RegState* dynptr_arg_reg(VerifierEnv& env, const FuncProto& fn) {
  const RegState* found = nullptr;
  for (u32 i = 0; i < 5; ++i) {
    if (!arg_type_is_dynptr(fn.args[i])) continue;
    if (found != nullptr) {
      env.verbose("verifier internal error: multiple dynptr args\n");
      return nullptr;
    }
    found = &env.cur_regs()[R1 + i];
  }
  if (found == nullptr) env.verbose("verifier internal error: no dynptr arg found\n");
  return found;
}

/// The slice that r0 becomes ends with its dynptr.
Status note_sliced_dynptr(VerifierEnv& env, HelperCall& call) {
  const RegState* reg = dynptr_arg_reg(env, call.fn);
  if (reg == nullptr) return Errno(EFAULT);
  if (call.meta.dynptr_id != 0) return env.refuse(EFAULT, "verifier internal error: meta.dynptr_id already set");
  if (call.meta.ref_obj_id != 0) return env.refuse(EFAULT, "verifier internal error: meta.ref_obj_id already set");
  const Result<u32> id = dynptr_id(env, *reg);
  if (!id.ok()) return env.refuse(id.error().value(), "verifier internal error: failed to obtain dynptr id");
  const Result<u32> ref_obj_id = dynptr_ref_obj_id(env, *reg);
  if (!ref_obj_id.ok()) return env.refuse(ref_obj_id.error().value(), "verifier internal error: failed to obtain dynptr ref_obj_id");
  call.meta.dynptr_id = *id;
  call.meta.ref_obj_id = *ref_obj_id;
  return ok_status();
}

/// A write through a dynptr of an skb may move the packet.
Status note_written_dynptr(VerifierEnv& env, HelperCall& call) {
  const RegState* reg = dynptr_arg_reg(env, call.fn);
  if (reg == nullptr) return Errno(EFAULT);
  const DynptrType type = dynptr_get_type(env, *reg);
  if (type == BPF_DYNPTR_TYPE_INVALID) return Errno(EFAULT);
  if (type == BPF_DYNPTR_TYPE_SKB) call.changes_data = true;
  return ok_status();
}

Status note_percpu_object(VerifierEnv& env, HelperCall& call) {
  const RegState& reg = env.cur_regs()[R1];
  if ((reg.type & MEM_RCU) == 0) return ok_status();
  const btf_type* t = reg.btf->type_by_id(reg.btf_id);
  if (t == nullptr || !btf_is_composite(t)) return env.refuse(EFAULT, "Helper has invalid btf/btf_id in R1");
  call.returns_cpu_specific_alloc_ptr = true;
  env.aux[call.insn_idx].call_with_percpu_alloc_ptr = true;
  return ok_status();
}

/// What single helpers ask for beyond their protos. Linux: check_helper_call(), switch (func_id)
Status check_special(VerifierEnv& env, HelperCall& call) {
  const RegState* regs = env.cur_regs();
  switch (call.func_id) {
    case func::tail_call:
      return check_tail_call(env);
    case func::get_local_storage:
      if (!register_is_null(regs[R2])) return env.refuse(EINVAL, "get_local_storage() doesn't support non-zero flags");
      return mark_chain_precision(env, R2);
    case func::for_each_map_elem:
    case func::timer_set_callback:
    case func::find_vma:
    case func::user_ringbuf_drain:
      return push_helper_callback_call(env, call.insn, call.insn_idx, call.meta.subprogno, call.func_id);
    case func::snprintf:
      return check_bpf_snprintf_call(env);
    case func::loop:
      return check_loop(env, call);
    case func::dynptr_from_mem:
      if (regs[R1].type != PTR_TO_MAP_VALUE)
        return env.refuse(EACCES, "Unsupported reg type {} for bpf_dynptr_from_mem data", reg_type_str(env, regs[R1].type));
      return ok_status();
    case func::set_retval:
      return check_set_retval(env);
    case func::dynptr_data:
      return note_sliced_dynptr(env, call);
    case func::dynptr_write:
      return note_written_dynptr(env, call);
    case func::per_cpu_ptr:
    case func::this_cpu_ptr:
      return note_percpu_object(env, call);
    default:
      return ok_status();
  }
}

/// Linux: verifier.c:check_get_func_ip()
Status check_get_func_ip(VerifierEnv& env) {
  const char* name = func_id_name(func::get_func_ip);
  const u32 id = func::get_func_ip;
  if (env.prog.type == BPF_PROG_TYPE_KPROBE) return ok_status();
  if (env.prog.type != BPF_PROG_TYPE_TRACING)
    return env.refuse(ENOTSUPP_, "func {}#{} not supported for program type {}", name, id, env.prog.type);
  const u32 attach = env.prog.expected_attach_type;
  if (attach == BPF_TRACE_FENTRY || attach == BPF_TRACE_FEXIT || attach == BPF_MODIFY_RETURN) return ok_status();
  return env.refuse(ENOTSUPP_, "func {}#{} supported only for fentry/fexit/fmod_ret programs", name, id);
}

}  // namespace

Status record_func_map(VerifierEnv& env, const HelperCall& call) {
  const VerifierMap* map = call.meta.map_ptr;
  bool writes = false;
  switch (call.func_id) {
    case func::map_update_elem:
    case func::map_delete_elem:
    case func::map_push_elem:
    case func::map_pop_elem:
      writes = true;
      break;
    case func::tail_call:
    case func::map_lookup_elem:
    case func::map_peek_elem:
    case func::for_each_map_elem:
    case func::redirect_map:
    case func::map_lookup_percpu_elem:
      break;
    default:
      return ok_status();
  }
  if (map == nullptr) return env.refuse(EINVAL, "kernel subsystem misconfigured verifier");
  if (writes && (map->map_flags & BPF_F_RDONLY_PROG) != 0) return env.refuse(EACCES, "write into map forbidden");
  MapPtrState& state = env.aux[call.insn_idx].map_ptr_state;
  if (state.map_ptr == map) return ok_status();
  state.poison = state.map_ptr != nullptr;
  state.unpriv = state.unpriv || !env.bypass_spec_v1;
  state.map_ptr = map;
  return ok_status();
}

Status record_func_key(VerifierEnv& env, const HelperCall& call) {
  if (call.func_id != func::tail_call) return ok_status();
  const VerifierMap* map = call.meta.map_ptr;
  if (map == nullptr || map->type != BPF_MAP_TYPE_PROG_ARRAY) return env.refuse(EINVAL, "kernel subsystem misconfigured verifier");
  InsnAux& aux = env.aux[call.insn_idx];
  const RegState& reg = env.cur_regs()[R3];
  const u64 key = reg.var_off.value;
  if (!is_reg_const(reg, false) || key >= map->max_entries) {
    store_key(aux, BPF_MAP_KEY_POISON);
    return ok_status();
  }
  TRY(mark_chain_precision(env, R3));
  if (key_unseen(aux))
    store_key(aux, key);
  else if (!key_poisoned(aux) && key_immediate(aux) != key)
    store_key(aux, BPF_MAP_KEY_POISON);
  return ok_status();
}

Status check_helper_call(VerifierEnv& env, const bpf_insn& insn, u32* insn_idx) {
  const FuncProto* fn = TRY(find_helper(env, insn));
  HelperCall call{.insn = insn, .insn_idx = *insn_idx, .func_id = static_cast<u32>(insn.imm), .fn = *fn};
  TRY(check_context(env, call));
  TRY(check_args(env, call));
  TRY(release_arg(env, call));
  TRY(check_special(env, call));
  TRY(set_helper_result(env, call));
  TRY(check_map_func_compatibility(env, call.meta.map_ptr, call.func_id));
  if (call.func_id == func::get_stack || call.func_id == func::get_task_stack) env.has_callchain_buf = true;
  if (call.func_id == func::get_func_ip) TRY(check_get_func_ip(env));
  if (call.changes_data) clear_all_pkt_pointers(env);
  return call.func_id == func::tail_call ? fork_successful_tail_call(env) : ok_status();
}

}  // namespace skep
