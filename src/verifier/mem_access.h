// verifier: accesses through each kind of pointer, for check_mem_access(). Internal to the room.
#pragma once
#include "verifier/verifier_env.h"

namespace skep {

/// Linux: verifier.c:check_flow_keys_access()
Status check_flow_keys_access(VerifierEnv& env, s32 off, s32 size);
/// Linux: verifier.c:check_sock_access()
Status check_sock_access(VerifierEnv& env, u32 insn_idx, u32 regno, s32 off, u32 size, AccessType t);
/// Linux: verifier.c:check_tp_buffer_access()
Status check_tp_buffer_access(VerifierEnv& env, const RegState& reg, u32 regno, s32 off, s32 size);
/// Linux: verifier.c:check_map_kptr_access() (kptr_access.cc)
Status check_map_kptr_access(VerifierEnv& env, s32 value_regno, u32 insn_idx, const BtfField& field);
/// Linux: verifier.c:check_ptr_to_map_access() (map_ptr_access.cc)
Status check_ptr_to_map_access(VerifierEnv& env, u32 regno, s32 off, u32 size, AccessType t, s32 value_regno);

/// The field of these kinds that begins at `offset`; null: none, or no record. Linux: syscall.c:btf_record_find()
const BtfField* btf_record_find(const BtfRecord* record, u32 offset, u32 field_mask);
/// The value of the constant bytes at `off` of a map; false: they are not constant, or cannot be had. The errno of
/// map_direct_value_addr() where Linux asks it. Linux: verifier.c:bpf_map_direct_read()
Result<bool> bpf_map_direct_read(const VerifierEnv& env, const VerifierMap& map, u32 off, u32 size, bool is_ldsx, u64* value);

/// Linux: include/linux/bpf_verifier.h
constexpr u32 BPF_REG_TRUSTED_MODIFIERS = MEM_ALLOC | PTR_TRUSTED | NON_OWN_REF;
inline bool type_is_alloc(u32 type) noexcept { return (type & MEM_ALLOC) != 0; }
inline bool btf_is_kernel(const VerifierEnv& env, const Btf* btf) noexcept { return btf != nullptr && btf == env.vmlinux(); }
/// Name of a type of `btf`, "" without one. Linux: btf_type_name()
inline const char* btf_name_of(const Btf& btf, u32 id) noexcept {
  const btf_type* const t = btf.type_by_id(id);
  return t == nullptr ? "" : btf.name_or_word(t->name_off);
}

}  // namespace skep
