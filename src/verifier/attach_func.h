// verifier: the kernel function whose arguments a TRACING, LSM or STRUCT_OPS program gets. Internal to the room.
#pragma once
#include <string_view>

#include "verifier/verifier_env.h"

namespace skep {

/// Linux: bpf_prog_aux.attach_func_proto, attach_func_name, attach_btf_trace
struct AttachFunc {
  const btf_type* proto = nullptr;  ///< null: there is no such function
  std::string_view name;            ///< as logs show it: "btf_trace_" taken off, "bpf_lsm_" and "bpf_iter_" not
  bool is_raw_tp = false;           ///< the first argument of `proto` is the tracepoint's own
};
/// From env.prog.attach_btf_id, in vmlinux BTF. EXT programs, whose arguments are another program's, have none.
AttachFunc attach_func(const VerifierEnv& env);

/// Linux: btf.c:btf_param_match_suffix()
bool btf_param_match_suffix(const Btf& btf, const btf_param& param, std::string_view suffix);

}  // namespace skep
