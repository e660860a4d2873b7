// verifier: what the steps of one judgement share. Internal to the room.
#pragma once
#include <string>

#include "verifier/structure.h"

namespace skep {

struct StructureEnv {
  const StructureInput& input;
  VerifierLog& log;
  StructureReport report = {};

  std::span<const bpf_insn> insns() const { return input.insns; }
  u32 insn_cnt() const { return static_cast<u32>(input.insns.size()); }
  /// Index of the subprogram that `insn` is in.
  u32 subprog_of(u32 insn) const;
  u32 subprog_end(u32 subprog) const;

  /// Writes a line (the newline is added) and answers the errno.
  template <typename... Args>
  Errno refuse(int err, fmt::format_string<Args...> format, Args&&... args) {
    log.append("{}\n", fmt::format(format, std::forward<Args>(args)...));
    return Errno(err);
  }
};

// The steps, in their order.
Status add_subprogs(StructureEnv& env);    ///< subprogs.cc. Linux: add_subprog_and_kfunc()
Status check_subprogs(StructureEnv& env);  ///< subprogs.cc
Status check_abnormal_return(StructureEnv& env);
Status resolve_pseudo_ldimm64(StructureEnv& env);  ///< pseudo.cc
Status check_cfg(StructureEnv& env);               ///< cfg.cc
Status walk_insns(StructureEnv& env);              ///< walk.cc. Linux: do_check()
Status check_call_depth(StructureEnv& env);        ///< depth.cc. Linux: setup_func_entry(), check_max_stack_depth()

}  // namespace skep
