// verifier: loads and stores through pointers to structs that BTF describes, and how far what is loaded can be trusted.
// Linux: kernel/bpf/verifier.c:check_ptr_to_btf_access(), kernel/bpf/btf.c:btf_struct_access()
#include "verifier/btf_walk.h"
#include "verifier/mem_access.h"
#include "verifier/struct_ops_write.h"
#include "verifier/trust_tables.h"

namespace skep {
namespace {

/// Special fields of a program's own object are touched by kfuncs only.
Status check_special_fields(VerifierEnv& env, const RegState& reg, u32 off, u32 size) {
  const BtfRecord* const record = type_is_alloc(reg.type) ? reg.btf->struct_record(reg.btf_id) : nullptr;
  if (record == nullptr) return ok_status();
  for (const BtfField& field : record->fields) {
    if (off < field.offset + field.size && field.offset < off + size)
      return env.refuse(EACCES, "direct access to {} is disallowed", btf_field_type_name(field.type));
  }
  return ok_status();
}

/// Linux: btf.c:btf_types_are_same()
bool same_type(const Btf& a, u32 a_id, const Btf& b, u32 b_id) { return a_id == b_id && &a == &b; }

/// Whether the field just walked is in one of the tables. Linux: btf.c:btf_nested_type_is_trusted()
bool in_table(std::span<const TrustedField> table, const RegState& reg, const BtfAccess& found) {
  const btf_type* const in = reg.btf->type_by_id(reg.btf_id);
  const btf_type* const target = reg.btf->type_by_id(found.btf_id);
  if (in == nullptr || target == nullptr || !btf_is_struct(in) || !btf_is_struct(target) || found.field_name == nullptr)
    return false;
  for (const TrustedField& f : table) {
    if (f.field == found.field_name && reg.btf->name_is(in->name_off, f.in_struct) && reg.btf->name_is(target->name_off, f.target))
      return true;
  }
  return false;
}

/// Flags of a pointer that was loaded through a trusted or RCU-protected one. By default it is trusted no longer.
u32 flags_through_trusted(VerifierEnv& env, const RegState& reg, const BtfAccess& found) {
  const u32 flag = found.flag;
  if (in_table(SAFE_TRUSTED, reg, found)) return flag | PTR_TRUSTED;
  if (in_table(SAFE_TRUSTED_OR_NULL, reg, found)) return flag | PTR_TRUSTED | PTR_MAYBE_NULL;
  // Plain flagless pointers are taken by helpers for old programs' sake, so what is not safe must say so.
  if (!in_rcu_cs(env) || type_may_be_null(reg.type)) return PTR_UNTRUSTED;
  if (in_table(SAFE_RCU, reg, found)) return flag | MEM_RCU;
  const bool rcu_or_null = in_table(SAFE_RCU_OR_NULL, reg, found);
  if (rcu_or_null) return (flag | MEM_RCU | PTR_MAYBE_NULL) & ~u32{PTR_UNTRUSTED};
  if ((flag & MEM_RCU) != 0) return flag | MEM_RCU | PTR_MAYBE_NULL;
  if ((flag & (MEM_PERCPU | MEM_USER)) != 0) return flag;
  return flag & ~(BPF_REG_TRUSTED_MODIFIERS | MEM_RCU);
}

u32 loaded_flags(VerifierEnv& env, const RegState& reg, const BtfAccess& found) {
  if (found.reg_type != PTR_TO_BTF_ID) return found.flag;
  if ((reg.type & PTR_UNTRUSTED) != 0) return PTR_UNTRUSTED;
  if (is_trusted_reg(env, reg) || is_rcu_reg(reg)) return flags_through_trusted(env, reg, found);
  return found.flag & ~(BPF_REG_TRUSTED_MODIFIERS | MEM_RCU);
}

/// What must hold whatever the offset leads to.
Status check_pointer(VerifierEnv& env, const RegState& reg, u32 regno, s32 off, AccessType atype) {
  const char* const tname = btf_name_of(*reg.btf, reg.btf_id);
  if (!env.allow_ptr_leaks) return env.refuse(EPERM, "'struct {}' access is allowed only to CAP_PERFMON and CAP_SYS_ADMIN", tname);
  if (!env.prog.gpl_compatible && btf_is_kernel(env, reg.btf))
    return env.refuse(EINVAL, "Cannot access kernel 'struct {}' from non-GPL compatible program", tname);
  if (off < 0) return env.refuse(EACCES, "R{} is ptr_{} invalid negative access: off={}", regno, tname, off);
  if (!tnum_equals_const(reg.var_off, 0))
    return env.refuse(EACCES, "R{} is ptr_{} invalid variable offset: off={}, var_off={}", regno, tname, off,
                      tnum_strn(reg.var_off));
  if ((reg.type & MEM_USER) != 0) return env.refuse(EACCES, "R{} is ptr_{} access user memory: off={}", regno, tname, off);
  if ((reg.type & MEM_PERCPU) != 0) return env.refuse(EACCES, "R{} is ptr_{} access percpu memory: off={}", regno, tname, off);
  if (atype != BPF_READ && (reg.type & PTR_UNTRUSTED) != 0) return env.refuse(EACCES, "only read is supported");
  return ok_status();
}

/// Stores to kernel structs are the program type's business. Linux: bpf_verifier_ops.btf_struct_access
Status check_kernel_write(VerifierEnv& env, const RegState& reg, s32 off, u32 size) {
  if (!btf_is_kernel(env, reg.btf)) {
    env.verbose("verifier internal error: reg->btf must be kernel btf\n");
    return Errno(EFAULT);
  }
  if (env.prog.type == BPF_PROG_TYPE_STRUCT_OPS) return check_struct_ops_write(env, reg, off, size);
  // TC and XDP programs may write to connection tracking entries only, and there is no connection tracking here. Linux: net/core/
  // filter.c:tc_cls_act_btf_struct_access() without the nf_conntrack module
  return Errno(EACCES);
}

bool writes_kernel_structs(const VerifierEnv& env) {
  switch (env.prog.type) {
    case BPF_PROG_TYPE_SCHED_CLS:
    case BPF_PROG_TYPE_SCHED_ACT:
    case BPF_PROG_TYPE_XDP:
      return true;
    case BPF_PROG_TYPE_STRUCT_OPS:
      return struct_ops_writes_kernel_structs(env);
    default:
      return false;
  }
}

Result<BtfAccess> default_access(VerifierEnv& env, const RegState& reg, s32 off, u32 size, AccessType atype) {
  if (atype != BPF_READ && !type_is_ptr_alloc_obj(reg.type)) return env.refuse(EACCES, "only read is supported");
  if (type_is_alloc(reg.type) && !type_is_non_owning_ref(reg.type) && (reg.type & MEM_RCU) == 0 && reg.ref_obj_id == 0) {
    env.verbose("verifier internal error: ref_obj_id for allocated object must be non-zero\n");
    return Errno(EFAULT);
  }
  return btf_struct_access(env, reg, off, size, atype);
}

}  // namespace

Result<BtfAccess> btf_struct_access(VerifierEnv& env, const RegState& reg, s32 off, u32 size, AccessType) {
  TRY(check_special_fields(env, reg, static_cast<u32>(off), size));
  const bool own = type_is_alloc(reg.type);
  BtfWalkResult found;
  u32 id = reg.btf_id;
  auto at = static_cast<u32>(off);
  for (;;) {
    const btf_type* const t = reg.btf->type_by_id(id);
    if (t == nullptr) return Errno(EINVAL);
    switch (TRY(btf_struct_walk(env, *reg.btf, t, at, size, !own, &found))) {
      case BtfWalk::SCALAR:
        return BtfAccess{.field_name = found.field_name};
      case BtfWalk::PTR:
        // In a program's own object anybody may have written what looks like a pointer.
        if (own) return BtfAccess{.field_name = found.field_name};
        return BtfAccess{PTR_TO_BTF_ID, found.next_btf_id, found.flag, found.field_name};
      case BtfWalk::STRUCT:
        id = found.next_btf_id;
        at = 0;
        break;
    }
  }
}

bool btf_struct_ids_match(VerifierEnv& env, const Btf& btf, u32 id, s32 off, const Btf& need_btf, u32 need_id, bool strict,
                          bool walk_flex_arrays) {
  if (off == 0 && same_type(btf, id, need_btf, need_id)) return true;
  if (strict) return false;
  BtfWalkResult found;
  auto at = static_cast<u32>(off);
  for (;;) {
    const btf_type* const t = btf.type_by_id(id);
    if (t == nullptr) return false;
    const Result<BtfWalk> walk = btf_struct_walk(env, btf, t, at, 1, walk_flex_arrays, &found);
    if (!walk.ok() || *walk != BtfWalk::STRUCT) return false;
    id = found.next_btf_id;
    if (same_type(btf, id, need_btf, need_id)) return true;
    at = 0;
  }
}

Status check_ptr_to_btf_access(VerifierEnv& env, u32 regno, s32 off, u32 size, AccessType atype, s32 value_regno) {
  RegState* const regs = env.cur_regs();
  const RegState& reg = regs[regno];
  TRY(check_pointer(env, reg, regno, off, atype));
  if (atype == BPF_WRITE && !type_is_alloc(reg.type) && writes_kernel_structs(env)) return check_kernel_write(env, reg, off, size);
  const BtfAccess found = TRY(default_access(env, reg, off, size, atype));
  const u32 flag = loaded_flags(env, reg, found);
  if (atype == BPF_READ && value_regno >= 0)
    mark_btf_ld_reg(env, regs, static_cast<u32>(value_regno), found.reg_type, reg.btf, found.btf_id, flag);
  return ok_status();
}

}  // namespace skep
