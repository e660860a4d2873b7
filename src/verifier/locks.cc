// verifier: locks and the special fields that calls work on: bpf_spin_lock, bpf_timer, bpf_wq, kptrs; and the objects that a list or
// tree under a lock has taken over.
#include "verifier/kfunc_meta.h"

namespace skep {
namespace {

bool has_field(const BtfRecord* record, u32 type) { return record != nullptr && record->has_field(type); }

/// Where in the value or object a register with a constant offset points.
u64 const_offset(const RegState& reg) { return reg.var_off.value + static_cast<u64>(static_cast<s64>(reg.off)); }

Status take_lock(VerifierEnv& env, const void* object, u32 id) {
  VerifierState& cur = *env.cur_state;
  if (cur.active_lock.ptr != nullptr) return env.refuse(EINVAL, "Locking two bpf_spin_locks are not allowed");
  cur.active_lock = {object, id};
  return ok_status();
}

Status drop_lock(VerifierEnv& env, const void* object, u32 id) {
  VerifierState& cur = *env.cur_state;
  if (cur.active_lock.ptr == nullptr) return env.refuse(EINVAL, "bpf_spin_unlock without taking a lock");
  if (cur.active_lock.ptr != object || cur.active_lock.id != id) return env.refuse(EINVAL, "bpf_spin_unlock of different lock");
  invalidate_non_owning_refs(env);
  cur.active_lock = {nullptr, 0};
  return ok_status();
}

}  // namespace

/// One lock at a time, told apart by what it lies in (map, BTF) and by the register's id: values with a lock keep the id of their
/// lookup after the NULL check, so two lookups are two locks. Linux: verifier.c:process_spin_lock()
Status process_spin_lock(VerifierEnv& env, u32 regno, bool is_lock) {
  const RegState& reg = env.cur_regs()[regno];
  if (!tnum_is_const(reg.var_off))
    return env.refuse(EINVAL, "R{} doesn't have constant offset. bpf_spin_lock has to be at the constant offset", regno);
  const VerifierMap* map = reg.type == PTR_TO_MAP_VALUE ? reg.map_ptr : nullptr;
  if (map != nullptr && map->btf == nullptr)
    return env.refuse(EINVAL, "map '{}' has to have BTF in order to use bpf_spin_lock", map->name);
  const BtfRecord* record = reg_btf_record(reg);
  if (!has_field(record, BPF_SPIN_LOCK))
    return env.refuse(EINVAL, "{} '{}' has no valid bpf_spin_lock", map != nullptr ? "map" : "local",
                      map != nullptr ? map->name : std::string("kptr"));
  const u64 off = const_offset(reg);
  if (static_cast<u64>(record->spin_lock_off) != off)
    return env.refuse(EINVAL, "off {} doesn't point to 'struct bpf_spin_lock' that is at {}", static_cast<s64>(off), record->spin_lock_off);
  const void* object = map != nullptr ? static_cast<const void*>(map) : static_cast<const void*>(reg.btf);
  return is_lock ? take_lock(env, object, reg.id) : drop_lock(env, object, reg.id);
}

/// Linux: verifier.c:process_timer_func()
Status process_timer_func(VerifierEnv& env, u32 regno, CallArgMeta& meta) {
  const RegState& reg = env.cur_regs()[regno];
  if (!tnum_is_const(reg.var_off))
    return env.refuse(EINVAL, "R{} doesn't have constant offset. bpf_timer has to be at the constant offset", regno);
  const VerifierMap& map = *reg.map_ptr;
  if (map.btf == nullptr) return env.refuse(EINVAL, "map '{}' has to have BTF in order to use bpf_timer", map.name);
  if (!has_field(map.record, BPF_TIMER)) return env.refuse(EINVAL, "map '{}' has no valid bpf_timer", map.name);
  const u64 off = const_offset(reg);
  if (static_cast<u64>(map.record->timer_off) != off)
    return env.refuse(EINVAL, "off {} doesn't point to 'struct bpf_timer' that is at {}", static_cast<s64>(off), map.record->timer_off);
  if (meta.map_ptr != nullptr) return env.refuse(EFAULT, "verifier bug. Two map pointers in a timer helper");
  meta.map_uid = reg.map_uid;
  meta.map_ptr = &map;
  return ok_status();
}

Status process_wq_func(VerifierEnv& env, u32 regno, KfuncMeta& meta) {
  const RegState& reg = env.cur_regs()[regno];
  const VerifierMap& map = *reg.map_ptr;
  const u64 off = const_offset(reg);
  // DIFFERS: a map without any special field, and an offset that is not constant, are refused in the same words; Linux reads the
  // record it does not have.
  const s32 wq_off = map.record != nullptr ? map.record->wq_off : -EINVAL;
  if (!tnum_is_const(reg.var_off) || wq_off < 0 || static_cast<u64>(wq_off) != off)
    return env.refuse(EINVAL, "off {} doesn't point to 'struct bpf_wq' that is at {}", static_cast<s64>(off), wq_off);
  meta.map.uid = reg.map_uid;
  meta.map.ptr = &map;
  return ok_status();
}

/// The place that bpf_kptr_xchg() swaps. Linux: verifier.c:process_kptr_func()
Status process_kptr_func(VerifierEnv& env, u32 regno, CallArgMeta& meta) {
  const RegState& reg = env.cur_regs()[regno];
  const BtfRecord* record = nullptr;
  if (type_is_ptr_alloc_obj(reg.type)) {
    record = reg_btf_record(reg);
  } else {
    const VerifierMap& map = *reg.map_ptr;
    if (map.btf == nullptr) return env.refuse(EINVAL, "map '{}' has to have BTF in order to use bpf_kptr_xchg", map.name);
    record = map.record;
    meta.map_ptr = &map;
  }
  if (!tnum_is_const(reg.var_off))
    return env.refuse(EINVAL, "R{} doesn't have constant offset. kptr has to be at the constant offset", regno);
  if (!has_field(record, BPF_KPTR)) return env.refuse(EINVAL, "R{} has no valid kptr", regno);
  const u32 off = static_cast<u32>(const_offset(reg));
  const BtfField* field = record_field_at(record, off, BPF_KPTR);
  if (field == nullptr) return env.refuse(EACCES, "off={} doesn't point to kptr", static_cast<s32>(off));
  if (field->type != BPF_KPTR_REF && field->type != BPF_KPTR_PERCPU)
    return env.refuse(EACCES, "off={} kptr isn't referenced kptr", static_cast<s32>(off));
  meta.kptr_field = field;
  return ok_status();
}

/// Linux: verifier.c:ref_set_non_owning()
Status ref_set_non_owning(VerifierEnv& env, RegState& reg) {
  const BtfRecord* record = reg_btf_record(reg);
  if (env.cur_state->active_lock.ptr == nullptr)
    return env.refuse(EFAULT, "verifier internal error: ref_set_non_owning w/o active lock");
  if ((type_flag(reg.type) & NON_OWN_REF) != 0) return env.refuse(EFAULT, "verifier internal error: NON_OWN_REF already set");
  reg.type |= NON_OWN_REF;
  if (record != nullptr && record->refcount_off >= 0) reg.type |= MEM_RCU;
  return ok_status();
}

/// The reference itself is released by the caller; its registers stay usable until the lock is dropped. Linux:
/// verifier.c:ref_convert_owning_non_owning()
Status ref_convert_owning_non_owning(VerifierEnv& env, u32 ref_obj_id) {
  if (ref_obj_id == 0)
    return env.refuse(EFAULT, "verifier internal error: ref_obj_id is zero for owning -> non-owning conversion");
  const FuncState& func = env.cur_func();
  for (u32 i = 0; i < func.acquired_refs; ++i) {
    if (func.refs[i].id != ref_obj_id) continue;
    for_each_reg(*env.cur_state, [&](FuncState&, RegState& reg) {
      if (reg.ref_obj_id != ref_obj_id) return;
      reg.ref_obj_id = 0;
      (void)ref_set_non_owning(env, reg);
    });
    return ok_status();
  }
  return env.refuse(EFAULT, "verifier internal error: ref state missing for ref_obj_id");
}

/// Is the lock held that lies in the same allocation as the object? Linux: verifier.c:check_reg_allocation_locked()
Status check_reg_allocation_locked(VerifierEnv& env, const RegState& reg) {
  const void* object = nullptr;
  switch (reg.type) {
    case PTR_TO_MAP_VALUE:
      object = reg.map_ptr;
      break;
    case PTR_TO_BTF_ID | MEM_ALLOC:
      object = reg.btf;
      break;
    default:
      return env.refuse(EFAULT, "verifier internal error: unknown reg type for lock check");
  }
  const ActiveLock& lock = env.cur_state->active_lock;
  if (lock.ptr == nullptr) return Errno(EINVAL);
  if (lock.ptr != object || lock.id != reg.id) return env.refuse(EINVAL, "held lock and object are not in the same allocation");
  return ok_status();
}

}  // namespace skep
