// verifier: small questions that the files about calls share. Internal to the room.
#pragma once
#include <string_view>

#include "progtypes/func_ids.h"
#include "verifier/verifier_env.h"

namespace skep {

/// The registers that a call uses: result, arguments.
constexpr u32 R0 = 0, R1 = 1, R2 = 2, R3 = 3, R4 = 4, R5 = 5;
constexpr u32 CALLER_SAVED_REGS = 6;  ///< r0 to r5

inline bool arg_type_is_mem_size(u32 type) noexcept { return type == ARG_CONST_SIZE || type == ARG_CONST_SIZE_OR_ZERO; }
inline bool arg_type_is_dynptr(u32 type) noexcept { return base_type(type) == ARG_PTR_TO_DYNPTR; }

/// Id of a struct in vmlinux BTF; 0: there is none, or no such BTF.
u32 kernel_struct_id(const VerifierEnv& env, std::string_view name);

/// Is this the callback of a kfunc that runs with a lock held? Linux: verifier.c:in_rbtree_lock_required_cb() (callbacks.cc)
bool in_rbtree_lock_required_cb(const VerifierEnv& env);

/// Bytes of a value of the type; EINVAL for a type without a size. t may be null. Linux: btf.c:btf_resolve_size() (func_args.cc)
Result<u32> btf_sized_type(const Btf& btf, const btf_type* t);

/// Linux: verifier.c:btf_check_subprog_call() (func_args.cc)
Status btf_check_subprog_call(VerifierEnv& env, u32 subprog);

}  // namespace skep
