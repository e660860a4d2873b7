// verifier: one call of a kernel function. Linux: verifier.c:check_kfunc_call()
#include "verifier/call_args.h"
#include "verifier/kfunc_meta.h"

namespace skep {
namespace {

/// Linux: verifier.c:fetch_kfunc_meta()
Status fetch_kfunc_meta(VerifierEnv& env, const bpf_insn& insn, KfuncMeta& meta) {
  const Btf* btf = env.vmlinux();
  if (btf == nullptr || insn.off != 0) return Errno(EINVAL);  // refused by add_kfunc_call()
  meta.btf = btf;
  meta.func_id = static_cast<u32>(insn.imm);
  const btf_type* func = btf->type_by_id(meta.func_id);
  meta.func_name = btf->name_or_word(func->name_off);
  meta.func_proto = btf->type_by_id(func->type);
  meta.kfunc = kfunc_of(env, insn);
  if (meta.kfunc == nullptr || !kfunc_allowed(*meta.kfunc, env.prog))
    return env.refuse(EACCES, "calling kernel function {} is not allowed", meta.func_name);
  return ok_status();
}

Status push_callback(VerifierEnv& env, const bpf_insn& insn, const KfuncMeta& meta, u32 insn_idx) {
  if (!meta.is(KfuncId::bpf_rbtree_add_impl) && !meta.is(KfuncId::bpf_wq_set_callback_impl)) return ok_status();
  const Status pushed = push_kfunc_callback_call(env, insn, insn_idx, meta.subprogno, meta.func_id);
  if (pushed.ok()) return pushed;
  return env.refuse(pushed.error().value(), "kfunc {}#{} failed callback verification", meta.func_name, meta.func_id);
}

/// The section ends: what it protected is not to be trusted any more, nor known to be there.
void end_rcu_section(VerifierEnv& env) {
  for_each_reg(
      *env.cur_state,
      [](FuncState&, RegState& reg) {
        if ((reg.type & MEM_RCU) != 0) reg.type = (reg.type & ~static_cast<u32>(MEM_RCU | PTR_MAYBE_NULL)) | PTR_UNTRUSTED;
      },
      1u << STACK_SPILL | 1u << STACK_ITER);
  env.cur_state->active_rcu_lock = false;
}

Status check_rcu(VerifierEnv& env, const KfuncMeta& meta) {
  VerifierState& state = *env.cur_state;
  const bool lock = meta.is(KfuncId::bpf_rcu_read_lock), unlock = meta.is(KfuncId::bpf_rcu_read_unlock);
  if (!state.active_rcu_lock) {
    if (unlock) return env.refuse(EINVAL, "unmatched rcu read unlock (kernel function {})", meta.func_name);
    if (lock) state.active_rcu_lock = true;
    return ok_status();
  }
  if ((lock || unlock) && in_rbtree_lock_required_cb(env))
    return env.refuse(EACCES, "Calling bpf_rcu_read_{{lock,unlock}} in unnecessary rbtree callback");
  if (lock) return env.refuse(EINVAL, "nested rcu read lock (kernel function {})", meta.func_name);
  if (unlock)
    end_rcu_section(env);
  else if (meta.has(KF_SLEEPABLE))
    return env.refuse(EACCES, "kernel func {} is sleepable within rcu_read_lock region", meta.func_name);
  return ok_status();
}

Status check_preempt(VerifierEnv& env, const KfuncMeta& meta) {
  VerifierState& state = *env.cur_state;
  if (meta.is(KfuncId::bpf_preempt_disable)) {
    ++state.active_preempt_lock;
  } else if (meta.is(KfuncId::bpf_preempt_enable)) {
    if (state.active_preempt_lock == 0)
      return env.refuse(EINVAL, "unmatched attempt to enable preemption (kernel function {})", meta.func_name);
    --state.active_preempt_lock;
  } else if (state.active_preempt_lock != 0 && meta.has(KF_SLEEPABLE)) {
    return env.refuse(EACCES, "kernel func {} is sleepable within non-preemptible region", meta.func_name);
  }
  return ok_status();
}

Status not_acquired(VerifierEnv& env, const Status& released, const KfuncMeta& meta) {
  if (released.ok()) return ok_status();
  return env.refuse(released.error().value(), "kfunc {}#{} reference has not been acquired before", meta.func_name, meta.func_id);
}

/// The object of r2 belongs to the list or tree from here on; its registers stay usable under the lock.
Status give_to_graph(VerifierEnv& env, const KfuncMeta& meta, u32 insn_idx) {
  const RegState& node = env.cur_regs()[R2];
  const u32 ref_obj_id = node.ref_obj_id;
  env.aux[insn_idx].insert_off = static_cast<u64>(static_cast<s64>(node.off));
  if (const Status converted = ref_convert_owning_non_owning(env, ref_obj_id); !converted.ok())
    return env.refuse(converted.error().value(), "kfunc {}#{} conversion of owning ref to non-owning failed", meta.func_name, meta.func_id);
  return not_acquired(env, release_reference(env, ref_obj_id), meta);
}

Status check_references(VerifierEnv& env, const KfuncMeta& meta, u32 insn_idx) {
  if (meta.release_regno != 0)
    TRY(not_acquired(env, release_reference(env, env.cur_regs()[meta.release_regno].ref_obj_id), meta));
  switch (meta.kfunc->id) {
    case KfuncId::bpf_list_push_front_impl:
    case KfuncId::bpf_list_push_back_impl:
    case KfuncId::bpf_rbtree_add_impl:
      return give_to_graph(env, meta, insn_idx);
    default:
      return ok_status();
  }
}

/// Without a callback of its own for exceptions, what the program throws is what it returns.
Status check_throw(VerifierEnv& env, const KfuncMeta& meta) {
  if (!meta.is(KfuncId::bpf_throw)) return ok_status();
  env.seen_exception = true;
  return env.exception_callback_subprog == 0 ? check_return_code(env, R1, "R1") : ok_status();
}

}  // namespace

Status check_kfunc_call(VerifierEnv& env, const bpf_insn& insn, u32* insn_idx_p) {
  if (insn.imm == 0) return ok_status();  // refused where calls are fixed up, if it is still there
  const u32 insn_idx = *insn_idx_p;
  KfuncMeta meta;
  TRY(fetch_kfunc_meta(env, insn, meta));
  env.aux[insn_idx].is_iter_next = meta.has(KF_ITER_NEXT);
  if (meta.has(KF_DESTRUCTIVE)) return env.refuse(EACCES, "destructive kfunc calls require CAP_SYS_BOOT capability");
  if (meta.has(KF_SLEEPABLE) && !in_sleepable(env))
    return env.refuse(EACCES, "program must be sleepable to call sleepable kfunc {}", meta.func_name);

  TRY(check_kfunc_args(env, meta, insn_idx));
  TRY(push_callback(env, insn, meta, insn_idx));
  if (meta.is(KfuncId::bpf_session_cookie)) {
    meta.r0_size = sizeof(u64);
    meta.r0_rdonly = false;
  }
  TRY(check_rcu(env, meta));
  TRY(check_preempt(env, meta));
  TRY(check_references(env, meta, insn_idx));
  TRY(check_throw(env, meta));
  TRY(set_kfunc_result(env, meta, insn_idx));
  return meta.has(KF_ITER_NEXT) ? process_iter_next_call(env, insn_idx, meta) : ok_status();
}

}  // namespace skep
