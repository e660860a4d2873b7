// verifier: the steps of one helper call. Internal to helper_call.cc and its neighbours.
#pragma once
#include "verifier/call_args.h"

namespace skep {

struct HelperCall {
  const bpf_insn& insn;
  u32 insn_idx;
  u32 func_id;
  const FuncProto& fn;
  CallArgMeta meta = {};
  bool changes_data = false;                   ///< packet data may move: pointers into it end
  bool returns_cpu_specific_alloc_ptr = false;
};

/// The call remembers which map, and for tail calls which key, it is made with, so that it may be inlined. Linux: record_func_map(),
/// record_func_key()
Status record_func_map(VerifierEnv& env, const HelperCall& call);
Status record_func_key(VerifierEnv& env, const HelperCall& call);

/// r0 after the call, and the reference that it may carry. Linux: verifier.c:check_helper_call(), its second half
Status set_helper_result(VerifierEnv& env, const HelperCall& call);

/// Linux: verifier.c:check_map_func_compatibility()
Status check_map_func_compatibility(VerifierEnv& env, const VerifierMap* map, u32 func_id);

/// Is the proto one that the checks here can judge? Linux: verifier.c:check_func_proto()
bool check_func_proto(const FuncProto& fn);

bool is_storage_get_function(u32 func_id);

}  // namespace skep
