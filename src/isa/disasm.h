// isa: one instruction as text, in the syntax that the kernel's verifier log and bpftool's xlated dumps share. Host only.
// Linux: kernel/bpf/disasm.c:print_bpf_insn()
#pragma once
#include <functional>
#include <string>

#include "isa/insn.h"

namespace skep {

struct DisasmOptions {
  bool show_pointers = true;  ///< print what pseudo LD_IMM64 instructions hold; else 0x0 (allow_ptr_leaks)
  /// Name of a call's target that is no helper (kfunc, subprogram); "" for the default.
  std::function<std::string(const bpf_insn&)> call_name = {};
  /// Text of an LD_IMM64 value; "" for the default, hex.
  std::function<std::string(const bpf_insn&, u64 value)> imm_name = {};
};

/// "(b7) r0 = 0", without a newline. REQUIRES: for LD_IMM64, insn[1] is readable.
std::string disasm(const bpf_insn* insn, const DisasmOptions& options = {});

}  // namespace skep
