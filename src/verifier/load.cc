// verifier: LD_IMM64, LD_ABS, LD_IND. Linux: verifier.c:check_ld_imm(), check_ld_abs()
#include "verifier/verifier_env.h"

namespace skep {
namespace {

/// Address of a kernel variable or function, as check_pseudo_btf_id() found it.
Status set_btf_var(VerifierEnv& env, RegState& dst) {
  const auto& var = env.cur_aux().btf_var;
  dst.type = var.reg_type;
  switch (base_type(dst.type)) {
    case PTR_TO_MEM: dst.mem_size = var.mem_size; return ok_status();
    case PTR_TO_BTF_ID:
      dst.btf = var.btf;
      dst.btf_id = var.btf_id;
      return ok_status();
    default: return env.refuse(EFAULT, "bpf verifier is misconfigured");
  }
}

/// Address of a subprogram, to be handed on as a callback.
Status set_func(VerifierEnv& env, const bpf_insn& insn, RegState& dst) {
  if (env.func_info.empty()) return env.refuse(EINVAL, "missing btf func_info");
  const s32 subprog = find_subprog(env, static_cast<u32>(call_target(insn, env.insn_idx)));
  if (subprog < 0) return env.bug("no subprogram at the target of insn {}", env.insn_idx);
  const u32 subprogno = static_cast<u32>(subprog);
  if (subprog_is_global(env, subprogno)) return env.refuse(EINVAL, "callback function not static");
  if (subprogno == 0) return env.refuse(EINVAL, "callback function cannot be the main program");
  dst.type = PTR_TO_FUNC;
  dst.subprogno = subprogno;
  return ok_status();
}

Status set_map(VerifierEnv& env, const bpf_insn& insn, RegState& dst) {
  const InsnAux& aux = env.cur_aux();
  const VerifierMap* const map = env.used_maps[aux.map_number - 1];
  dst.map_ptr = map;
  switch (insn.src_reg) {
    case BPF_PSEUDO_MAP_VALUE:
    case BPF_PSEUDO_MAP_IDX_VALUE:
      if (map->type == BPF_MAP_TYPE_ARENA) {
        mark_reg_unknown_reg(env, dst);
        return ok_status();
      }
      // The only value of its map: the id stays 0, all pointers to it are the same.
      dst.type = PTR_TO_MAP_VALUE;
      dst.off = static_cast<s32>(aux.map_off);
      return ok_status();
    case BPF_PSEUDO_MAP_FD:
    case BPF_PSEUDO_MAP_IDX: dst.type = CONST_PTR_TO_MAP; return ok_status();
    default: return env.refuse(EINVAL, "bpf verifier is misconfigured");
  }
}

/// Where LD_ABS and LD_IND may stand. They may end the program by themselves, so nothing may be held.
Status check_ld_abs_place(VerifierEnv& env) {
  if (const Status leak = check_reference_leak(env, false); !leak.ok()) {
    env.verbose("BPF_LD_[ABS|IND] cannot be mixed with socket references\n");
    return leak;
  }
  const VerifierState& state = *env.cur_state;
  if (state.active_lock.ptr != nullptr)
    return env.refuse(EINVAL, "BPF_LD_[ABS|IND] cannot be used inside bpf_spin_lock-ed region");
  if (state.active_rcu_lock) return env.refuse(EINVAL, "BPF_LD_[ABS|IND] cannot be used inside bpf_rcu_read_lock-ed region");
  if (state.active_preempt_lock != 0)
    return env.refuse(EINVAL, "BPF_LD_[ABS|IND] cannot be used inside bpf_preempt_disable-ed region");
  return ok_status();
}

Status check_ld_abs_form(VerifierEnv& env, const bpf_insn& insn) {
  if (!may_access_skb(env.prog.type))
    return env.refuse(EINVAL, "BPF_LD_[ABS|IND] instructions not allowed for this program type");
  for (u32 i = env.cur_state->curframe; i != 0; --i)
    if (env.cur_state->frame[i]->in_callback_fn) return env.refuse(EINVAL, "cannot use BPF_LD_[ABS|IND] within callback");
  if (insn.dst_reg != 0 || insn.off != 0 || bpf_size(insn.code) == BPF_DW || (bpf_mode(insn.code) == BPF_ABS && insn.src_reg != 0))
    return env.refuse(EINVAL, "BPF_LD_[ABS|IND] uses reserved fields");
  return ok_status();
}

/// A load beyond the packet's end leaves the function with r0 = 0. In a subprogram that path goes on in the caller; this one is
/// walked now, the load that succeeds waits.
Status fork_failed_load(VerifierEnv& env) {
  if (env.cur_state->curframe == 0) return ok_status();
  env.mark_reg_scratched(0);
  if (push_stack(env, env.insn_idx + 1, env.insn_idx, false) == nullptr) return Errno(E2BIG);
  mark_reg_known_zero(env, env.cur_regs(), 0);
  TRY(prepare_func_exit(env, &env.insn_idx));
  --env.insn_idx;  // the walk adds one
  return ok_status();
}

}  // namespace

Status check_ld_imm(VerifierEnv& env, const bpf_insn* insn) {
  if (bpf_size(insn->code) != BPF_DW) return env.refuse(EINVAL, "invalid BPF_LD_IMM insn");
  if (insn->off != 0) return env.refuse(EINVAL, "BPF_LD_IMM64 uses reserved fields");
  const u32 dstno = insn->dst_reg;
  TRY(check_reg_arg(env, dstno, DST_OP));
  RegState& dst = env.cur_regs()[dstno];
  if (insn->src_reg == 0) {
    dst.type = SCALAR_VALUE;
    mark_reg_known(dst, ldimm64_value(insn));
    return ok_status();
  }
  mark_reg_known_zero(env, env.cur_regs(), dstno);
  if (insn->src_reg == BPF_PSEUDO_BTF_ID) return set_btf_var(env, dst);
  if (insn->src_reg == BPF_PSEUDO_FUNC) return set_func(env, *insn, dst);
  return set_map(env, *insn, dst);
}

Status check_ld_abs(VerifierEnv& env, const bpf_insn& insn) {
  constexpr u32 CTX_REG = 6;
  TRY(check_ld_abs_form(env, insn));
  TRY(check_reg_arg(env, CTX_REG, SRC_OP));
  TRY(check_ld_abs_place(env));
  RegState* const regs = env.cur_regs();
  if (regs[CTX_REG].type != PTR_TO_CTX) return env.refuse(EINVAL, "at the time of BPF_LD_ABS|IND R6 != pointer to skb");
  if (bpf_mode(insn.code) == BPF_IND) TRY(check_reg_arg(env, insn.src_reg, SRC_OP));
  TRY(check_ptr_off_reg(env, regs[CTX_REG], CTX_REG));
  clear_caller_saved_regs(env, regs);
  mark_reg_unknown(env, regs, 0);
  regs[0].subreg_def = static_cast<s32>(env.insn_idx + 1);  // at most 32 bits are loaded
  return fork_failed_load(env);
}

}  // namespace skep
