// verifier: pointers to objects that lie in map values (kptr fields): loads and stores of them.
// Linux: kernel/bpf/verifier.c:check_map_kptr_access(), map_kptr_match_type()
#include <algorithm>

#include "verifier/mem_access.h"
#include "verifier/trust_tables.h"

namespace skep {
namespace {

/// Linux: rcu_safe_kptr(), rcu_protected_object(). The program's own objects are freed after a grace period, all of them.
bool rcu_safe_kptr(const VerifierEnv& env, const BtfField& field) {
  if (field.type == BPF_KPTR_PERCPU) return true;
  if (field.type != BPF_KPTR_REF) return false;
  if (!btf_is_kernel(env, field.btf)) return true;
  const btf_type* const t = field.btf->type_by_id(field.btf_id);
  return t != nullptr && btf_is_struct(t) &&
         std::ranges::any_of(RCU_PROTECTED_TYPES, [&](std::string_view name) { return field.btf->name_is(t->name_off, name); });
}

/// Flags of a pointer loaded from the field. Linux: btf_ld_kptr_type()
u32 loaded_kptr_flags(VerifierEnv& env, const BtfField& field) {
  if (!rcu_safe_kptr(env, field) || !in_rcu_cs(env)) return PTR_MAYBE_NULL | PTR_UNTRUSTED;
  u32 flags = PTR_MAYBE_NULL | MEM_RCU;
  const bool own = !btf_is_kernel(env, field.btf);
  if (field.type == BPF_KPTR_PERCPU) {
    flags |= MEM_PERCPU;
  } else if (own) {
    flags |= MEM_ALLOC;
  }
  const BtfRecord* const record = own ? field.btf->struct_record(field.btf_id) : nullptr;
  if (record != nullptr && record->has_field(BPF_GRAPH_NODE)) flags |= NON_OWN_REF;
  return flags;
}

/// Flags that a register may have to be stored in the field.
u32 permitted_flags(const VerifierEnv& env, const BtfField& field, const RegState& reg) {
  if (!btf_is_kernel(env, reg.btf)) return PTR_MAYBE_NULL | MEM_ALLOC | (field.type == BPF_KPTR_PERCPU ? u32{MEM_PERCPU} : 0u);
  // Fields without a reference are read back as untrusted, so they take anything.
  return PTR_MAYBE_NULL | PTR_TRUSTED | MEM_RCU | (field.type == BPF_KPTR_UNREF ? u32{PTR_UNTRUSTED} : 0u);
}

Errno bad_kptr_type(VerifierEnv& env, const BtfField& field, const RegState& reg, u32 regno, const char* reg_name) {
  const char* const target = btf_name_of(*field.btf, field.btf_id);
  env.verbose("invalid kptr access, R{} type={}{} ", regno, reg_type_str(env, reg.type), reg_name);
  env.verbose("expected={}{}", reg_type_str(env, PTR_TO_BTF_ID), target);
  if (field.type == BPF_KPTR_UNREF) {
    env.verbose(" or {}{}\n", reg_type_str(env, PTR_TO_BTF_ID | PTR_UNTRUSTED), target);
  } else {
    env.verbose("\n");
  }
  return Errno(EINVAL);
}

}  // namespace

Status map_kptr_match_type(VerifierEnv& env, const BtfField& field, const RegState& reg, u32 regno) {
  if (base_type(reg.type) != PTR_TO_BTF_ID) return bad_kptr_type(env, field, reg, regno, "");
  if ((type_flag(reg.type) & ~permitted_flags(env, field, reg)) != 0) return bad_kptr_type(env, field, reg, regno, "");
  // What is stored is read back as per-CPU or not by the field's kind, so it must be that.
  if ((field.type == BPF_KPTR_PERCPU) != ((reg.type & MEM_PERCPU) != 0)) return bad_kptr_type(env, field, reg, regno, "");
  const char* const reg_name = btf_name_of(*reg.btf, reg.btf_id);
  if (!check_ptr_off_reg_fixed(env, reg, regno, true).ok()) return Errno(EACCES);
  // A pointer to a member at the start passes for a pointer to its struct only where no reference is given away.
  const bool strict = field.type != BPF_KPTR_UNREF;
  if (!btf_struct_ids_match(env, *reg.btf, reg.btf_id, reg.off, *field.btf, field.btf_id, strict, !type_is_alloc(reg.type)))
    return bad_kptr_type(env, field, reg, regno, reg_name);
  return ok_status();
}

Status check_map_kptr_access(VerifierEnv& env, s32 value_regno, u32 insn_idx, const BtfField& field) {
  const bpf_insn& insn = env.insns[insn_idx];
  const u8 insn_class = bpf_class(insn.code);
  if (bpf_mode(insn.code) != BPF_MEM) return env.refuse(EACCES, "kptr in map can only be accessed using BPF_MEM instruction mode");
  // Fields that hold a reference are exchanged by a helper, so that none is lost.
  if (insn_class != BPF_LDX && (field.type == BPF_KPTR_REF || field.type == BPF_KPTR_PERCPU))
    return env.refuse(EACCES, "store to referenced kptr disallowed");

  RegState* const regs = env.cur_regs();
  switch (insn_class) {
    case BPF_LDX:
      mark_btf_ld_reg(env, regs, static_cast<u32>(value_regno), PTR_TO_BTF_ID, field.btf, field.btf_id,
                      loaded_kptr_flags(env, field));
      return ok_status();
    case BPF_STX:
      // Good only because it is zero, so no other number may pass here later.
      if (register_is_null(regs[value_regno])) return mark_chain_precision(env, value_regno);
      if (!map_kptr_match_type(env, field, regs[value_regno], static_cast<u32>(value_regno)).ok()) return Errno(EACCES);
      return ok_status();
    case BPF_ST:
      if (insn.imm != 0) return env.refuse(EACCES, "BPF_ST imm must be 0 when storing to kptr at off={}", field.offset);
      return ok_status();
    default:
      return env.refuse(EACCES, "kptr in map can only be accessed using BPF_LDX/BPF_STX/BPF_ST");
  }
}

}  // namespace skep
