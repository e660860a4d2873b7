// verifier: strings that the verifier itself reads: constants of frozen maps. Internal to the room.
#pragma once
#include "verifier/verifier_env.h"

namespace skep {

/// reg must point to a NUL-terminated string in a map whose contents cannot change. Linux: verifier.c:check_reg_const_str()
Status check_reg_const_str(VerifierEnv& env, const RegState& reg, u32 regno);

/// The format of bpf_snprintf() against the number of its arguments. REQUIRES: check_reg_const_str() held for r3. Linux:
/// verifier.c:check_bpf_snprintf_call()
Status check_bpf_snprintf_call(VerifierEnv& env);

/// Would the helpers of the printf kind take this format with so many arguments? Linux: helpers.c:bpf_bprintf_prepare()
bool format_valid(std::string_view fmt, u32 num_args);

}  // namespace skep
