// verifier: members of kernel structs that STRUCT_OPS programs may store to. Internal to the room.
#pragma once
#include "verifier/verifier_env.h"

namespace skep {

/// Whether the struct of functions that the program is a member of has a say on stores; if not, there are none.
bool struct_ops_writes_kernel_structs(const VerifierEnv& env);
/// EACCES or EINVAL with the texts of the struct's own rule. REQUIRES: struct_ops_writes_kernel_structs(env). Linux:
/// bpf_verifier_ops.btf_struct_access of net/ipv4/bpf_tcp_ca.c, net/bpf/bpf_dummy_struct_ops.c
Status check_struct_ops_write(VerifierEnv& env, const RegState& reg, s32 off, u32 size);

}  // namespace skep
