// verifier: marking what is known of a register. Linux: kernel/bpf/verifier.c, the functions named in verifier_env.h
#include "verifier/verifier_env.h"

namespace skep {
namespace {

constexpr u32 BPF_REG_TRUSTED_MODIFIERS = MEM_ALLOC | PTR_TRUSTED | NON_OWN_REF;

bool has_unsafe_modifiers(u32 type) { return (type_flag(type) & ~BPF_REG_TRUSTED_MODIFIERS) != 0; }

/// Kinds of pointers that stand for a kernel struct of their own. Linux: verifier.c:reg2btf_ids[]
bool type_has_kernel_struct(u32 type) {
  switch (base_type(type)) {
    case PTR_TO_SOCKET:
    case PTR_TO_SOCK_COMMON:
    case PTR_TO_TCP_SOCK:
    case CONST_PTR_TO_MAP: return true;
    default: return false;
  }
}

}  // namespace

void mark_reg_unknown(VerifierEnv& env, RegState* regs, u32 regno) { mark_reg_unknown_reg(env, regs[regno]); }

void mark_reg_const_zero(const VerifierEnv& env, RegState& reg) {
  mark_reg_known(reg, 0);
  reg.type = SCALAR_VALUE;
  reg.precise = !env.bpf_capable;
}

void mark_reg_known_zero(VerifierEnv&, RegState* regs, u32 regno) { mark_reg_known(regs[regno], 0); }

void mark_reg_not_init_reg(const VerifierEnv& env, RegState& reg) {
  mark_reg_unknown_reg(env, reg);
  reg.type = NOT_INIT;
}

void mark_reg_not_init(VerifierEnv& env, RegState* regs, u32 regno) { mark_reg_not_init_reg(env, regs[regno]); }

void mark_reg_invalid(const VerifierEnv& env, RegState& reg) {
  if (env.allow_ptr_leaks)
    mark_reg_unknown_reg(env, reg);
  else
    mark_reg_not_init_reg(env, reg);
}

void mark_btf_ld_reg(VerifierEnv& env, RegState* regs, u32 regno, u32 reg_type, const Btf* btf, u32 btf_id, u32 flag) {
  if (reg_type == SCALAR_VALUE) return mark_reg_unknown(env, regs, regno);
  mark_reg_known_zero(env, regs, regno);
  RegState& reg = regs[regno];
  reg.type = PTR_TO_BTF_ID | flag;
  reg.btf = btf;
  reg.btf_id = btf_id;
  if (type_may_be_null(flag)) reg.id = env.new_id();
}

void mark_ptr_not_null_reg(VerifierEnv&, RegState& reg) {
  if (base_type(reg.type) != PTR_TO_MAP_VALUE) {
    reg.type &= ~u32{PTR_MAYBE_NULL};
    return;
  }
  const VerifierMap& map = *reg.map_ptr;
  if (map.inner_map_meta != nullptr) {
    reg.type = CONST_PTR_TO_MAP;
    reg.map_ptr = map.inner_map_meta;
    // Each lookup gives another inner map: timers and work queues of two of them must not be mixed up.
    const BtfRecord* record = map.inner_map_meta->record;
    if (record != nullptr && record->has_field(BPF_TIMER | BPF_WORKQUEUE)) reg.map_uid = reg.id;
  } else if (map.type == BPF_MAP_TYPE_XSKMAP) {
    reg.type = PTR_TO_XDP_SOCK;
  } else if (map.type == BPF_MAP_TYPE_SOCKMAP || map.type == BPF_MAP_TYPE_SOCKHASH) {
    reg.type = PTR_TO_SOCKET;
  } else {
    reg.type = PTR_TO_MAP_VALUE;
  }
}

void mark_dynptr_reg(RegState& reg, DynptrType type, bool first_slot, u32 id) {
  mark_reg_known(reg, 0);
  reg.type = CONST_PTR_TO_DYNPTR;  // means nothing for slots of the stack
  reg.id = id;
  // One by one: the padding stays zero, and states are compared by bytes.
  reg.dynptr.type = type;
  reg.dynptr.first_slot = first_slot;
}

void mark_dynptr_stack_regs(VerifierEnv& env, RegState& sreg1, RegState& sreg2, DynptrType type) {
  const u32 id = env.new_id();
  mark_dynptr_reg(sreg1, type, true, id);
  mark_dynptr_reg(sreg2, type, false, id);
}

void mark_dynptr_cb_reg(VerifierEnv& env, RegState& reg, DynptrType type) { mark_dynptr_reg(reg, type, true, env.new_id()); }

void init_reg_state(VerifierEnv& env, FuncState& func) {
  for (RegState& reg : func.regs) {
    mark_reg_not_init_reg(env, reg);
    reg.live = REG_LIVE_NONE;
    reg.parent = nullptr;
    reg.subreg_def = DEF_NOT_SUBREG;
  }
  RegState& fp = func.regs[BPF_REG_FP];
  fp.type = PTR_TO_STACK;
  mark_reg_known(fp, 0);
  fp.frameno = static_cast<u8>(func.frameno);
}

void init_func_state(VerifierEnv& env, FuncState& func, u32 callsite, u32 frameno, u32 subprogno) {
  func.callsite = callsite;
  func.frameno = frameno;
  func.subprogno = subprogno;
  func.callback_ret_range = {0, 0};
  init_reg_state(env, func);
  env.scratched_regs = ~0u;
  env.scratched_stack_slots = ~0ull;
}

bool is_rcu_reg(const RegState& reg) { return (reg.type & MEM_RCU) != 0; }

bool is_trusted_reg(const VerifierEnv&, const RegState& reg) {
  if (reg.ref_obj_id != 0) return true;
  if (has_unsafe_modifiers(reg.type)) return false;
  return type_has_kernel_struct(reg.type) || (type_flag(reg.type) & BPF_REG_TRUSTED_MODIFIERS) != 0;
}

bool reg_not_null(const VerifierEnv& env, const RegState& reg) {
  if (type_may_be_null(reg.type)) return false;
  // The base is not null, but base plus an unbounded offset may come out as zero.
  if (reg.smin_value <= -s64{BPF_MAX_VAR_OFF} || reg.smax_value >= s64{BPF_MAX_VAR_OFF}) return false;
  switch (base_type(reg.type)) {
    case PTR_TO_SOCKET:
    case PTR_TO_TCP_SOCK:
    case PTR_TO_XDP_SOCK:
    case PTR_TO_BUF:
    case PTR_TO_MAP_VALUE:
    case PTR_TO_MAP_KEY:
    case PTR_TO_SOCK_COMMON:
    case PTR_TO_MEM:
    case CONST_PTR_TO_MAP: return true;
    case PTR_TO_BTF_ID: return is_trusted_reg(env, reg);
    default: return false;
  }
}

bool reg_is_init_pkt_pointer(const RegState& reg, u32 which) {
  return reg.type == which && reg.id == 0 && reg.off == 0 && reg.var_off == tnum_const(0);
}

const BtfRecord* reg_btf_record(const RegState& reg) {
  if (reg.type == PTR_TO_MAP_VALUE) return reg.map_ptr->record;
  if (type_is_ptr_alloc_obj(reg.type)) return reg.btf->struct_record(reg.btf_id);
  return nullptr;
}

bool reg_may_point_to_spin_lock(const RegState& reg) {
  const BtfRecord* record = reg_btf_record(reg);
  return record != nullptr && record->has_field(BPF_SPIN_LOCK);
}

bool is_pointer_value(VerifierEnv& env, u32 regno) {
  return !env.allow_ptr_leaks && env.cur_regs()[regno].type != SCALAR_VALUE;
}

bool in_sleepable(const VerifierEnv& env) {
  return env.prog.sleepable || (env.cur_state != nullptr && env.cur_state->in_sleepable);
}

bool in_rcu_cs(const VerifierEnv& env) {
  return env.cur_state->active_rcu_lock || env.cur_state->active_lock.ptr != nullptr || !in_sleepable(env);
}

bool is_spillable_regtype(u32 type) {
  switch (base_type(type)) {
    case PTR_TO_MAP_VALUE:
    case PTR_TO_STACK:
    case PTR_TO_CTX:
    case PTR_TO_PACKET:
    case PTR_TO_PACKET_META:
    case PTR_TO_PACKET_END:
    case PTR_TO_FLOW_KEYS:
    case CONST_PTR_TO_MAP:
    case PTR_TO_SOCKET:
    case PTR_TO_SOCK_COMMON:
    case PTR_TO_TCP_SOCK:
    case PTR_TO_XDP_SOCK:
    case PTR_TO_BTF_ID:
    case PTR_TO_BUF:
    case PTR_TO_MEM:
    case PTR_TO_FUNC:
    case PTR_TO_MAP_KEY:
    case PTR_TO_ARENA: return true;
    default: return false;
  }
}

void clear_all_pkt_pointers(VerifierEnv& env) {
  for_each_reg(*env.cur_state, [&](FuncState&, RegState& reg) {
    if (reg_is_pkt_pointer_any(reg) || reg_is_dynptr_slice_pkt(reg)) mark_reg_invalid(env, reg);
  });
}

Status grow_stack_state(VerifierEnv& env, FuncState& func, u32 size) {
  size = (size + BPF_REG_SIZE - 1) / BPF_REG_SIZE * BPF_REG_SIZE;
  if (size <= func.allocated_stack) return ok_status();
  env.pool.grow_stack(func, size);
  u32& depth = env.subprogs[func.subprogno].stack_depth;
  depth = std::max(depth, size);
  return ok_status();
}

u32 acquire_reference_state(VerifierEnv& env, u32 insn_idx) {
  FuncState& func = env.cur_func();
  const u32 id = env.new_id();
  env.pool.push_ref(func, {id, insn_idx, func.in_callback_fn ? func.frameno : 0});
  return id;
}

bool release_reference_state(FuncState& func, u32 id) {
  for (u32 i = 0; i < func.acquired_refs; ++i) {
    if (func.refs[i].id != id) continue;
    // A callback may run any number of times: it gives back only what it took itself.
    if (func.in_callback_fn && func.refs[i].callback_ref != func.frameno) return false;
    func.refs[i] = func.refs[--func.acquired_refs];
    return true;
  }
  return false;
}

Status release_reference(VerifierEnv& env, u32 ref_obj_id) {
  if (!release_reference_state(env.cur_func(), ref_obj_id)) return Errno(EINVAL);
  for_each_reg(*env.cur_state, [&](FuncState&, RegState& reg) {
    if (reg.ref_obj_id == ref_obj_id) mark_reg_invalid(env, reg);
  });
  return ok_status();
}

void invalidate_non_owning_refs(VerifierEnv& env) {
  for_each_reg(*env.cur_state, [&](FuncState&, RegState& reg) {
    if (type_is_non_owning_ref(reg.type)) mark_reg_invalid(env, reg);
  });
}

Status check_insane_bounds(VerifierEnv& env, RegState& reg, const char* ctx) {
  const char* wrong = bounds_sanity_check(reg);
  if (wrong == nullptr) return ok_status();
  env.verbose("REG INVARIANTS VIOLATION ({}): {} u64=[{:#x}, {:#x}] s64=[{:#x}, {:#x}] u32=[{:#x}, {:#x}] s32=[{:#x}, {:#x}] "
              "var_off=({:#x}, {:#x})\n",
              ctx, wrong, reg.umin_value, reg.umax_value, static_cast<u64>(reg.smin_value), static_cast<u64>(reg.smax_value),
              reg.u32_min_value, reg.u32_max_value, static_cast<u32>(reg.s32_min_value), static_cast<u32>(reg.s32_max_value),
              reg.var_off.value, reg.var_off.mask);
  if (env.test_reg_invariants) return Errno(EFAULT);
  mark_unbounded(&reg);
  return ok_status();
}

Status mark_reg_s32_range(VerifierEnv& env, RegState* regs, u32 regno, s32 s32_min, s32 s32_max) {
  narrow_to_s32_range(&regs[regno], s32_min, s32_max);
  return reg_bounds_sanity_check(env, regs[regno], "s32_range");
}

void verbose_invalid_scalar(VerifierEnv& env, const RegState& reg, RetRange range, const char* ctx, const char* reg_name) {
  env.verbose("{} the register {} has", ctx, reg_name);
  const bool low = reg.smin_value > S64_MIN, high = reg.smax_value < S64_MAX;
  if (low) env.verbose(" smin={}", reg.smin_value);
  if (high) env.verbose(" smax={}", reg.smax_value);
  if (!low && !high) env.verbose(" unknown scalar value");
  env.verbose(" should have been in [{}, {}]\n", range.minval, range.maxval);
}

Status check_reg_sane_offset(VerifierEnv& env, const RegState& reg, u32 type) {
  const bool known = tnum_is_const(reg.var_off);
  const s64 val = static_cast<s64>(reg.var_off.value);
  const s64 smin = reg.smin_value;
  constexpr s64 LIMIT = BPF_MAX_VAR_OFF;
  if (known && (val >= LIMIT || val <= -LIMIT))
    return env.refuse(EINVAL, "math between {} pointer and {} is not allowed", reg_type_str(env, type), val);
  if (reg.off >= LIMIT || reg.off <= -LIMIT)
    return env.refuse(EINVAL, "{} pointer offset {} is not allowed", reg_type_str(env, type), reg.off);
  if (smin == S64_MIN)
    return env.refuse(EINVAL, "math between {} pointer and register with unbounded min value is not allowed", reg_type_str(env, type));
  if (smin >= LIMIT || smin <= -LIMIT)
    return env.refuse(EINVAL, "value {} makes {} pointer be out of bounds", smin, reg_type_str(env, type));
  return ok_status();
}

}  // namespace skep
