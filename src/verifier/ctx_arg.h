// verifier: is a pointer parameter of a subprogram the program's context? Internal to the room.
#pragma once
#include "verifier/verifier_env.h"

namespace skep {

/// By the struct's name. `ptr` is a BTF_KIND_PTR of the program's BTF. Linux: btf.c:btf_is_prog_ctx_type()
bool btf_is_prog_ctx_type(const Btf& btf, const btf_type* ptr, u32 prog_type);

/// The parameter is tagged "arg:ctx": is its type one that may be? Linux: btf.c:btf_validate_prog_ctx_type()
Status btf_validate_prog_ctx_type(VerifierEnv& env, const Btf& btf, const btf_type* ptr, u32 arg);

}  // namespace skep
