// jit: from a verified program to x86-64 machine code. Pure: no process-wide state, no window. Host only.
#pragma once
#include <span>
#include <vector>

#include "base/result.h"
#include "isa/insn.h"
#include "jit/ir.h"
#include "shm/layout.h"

namespace skep {

/// A program as ProgImage has it: rewritten by the verifier, 64-bit immediates resolved (interp/interp.h has the rules).
struct JitInput {
  std::span<const bpf_insn> insns;
  std::span<const u32> subprog_starts;  ///< ascending, [0] is 0
  std::span<const u32> stack_depth;     ///< bytes a function
  u32 prog_type = 0;
  /// Maps that the program may name, in ROM: what an LD_IMM64 with BPF_PSEUDO_MAP_FD loads is the address of one of these.
  std::span<MapDesc* const> maps;
  u32 nr_cpus = 1;
  bool optimise = true;  ///< off: no passes, for tests
};

/// A 32-bit displacement at `at`, relative to at + 4, that is to reach gate `gate` of the window (jit/gates.h).
struct GateRef {
  u32 at, gate;
};

/// What an unwinder and a debugger must know of a function: it lies at [begin, end); from `body` on rsp is `frame` bytes below the return
/// address, with the callee-saved registers of `saved` (bit r: x86 register number r) at return address - 8, - 16 ... in ascending order.
struct JitFunction {
  u32 begin, end, body, frame;
  u16 saved;
};

/// Machine code that may stand anywhere in CODE, once the gate references are filled in.
struct JitCode {
  std::vector<u8> bytes;
  std::vector<JitFunction> functions;  ///< one a subprogram; functions[0].begin is the entry (jit/run.h:JitFn)
  std::vector<GateRef> gates;
  std::vector<CodeFault> faults;       ///< ascending
  struct Line {
    u32 at, insn;
  };
  std::vector<Line> lines;  ///< ascending: from here on it is instruction `insn`'s code
};

/// ENOTSUPP-like errors are not for verified programs: whatever the verifier lets through compiles. EINVAL: not a program (what fuzzers of
/// this function find out), an instruction that only the interpreter has, or frames that no run has room for. E2BIG: more than 64 MiB of code.
Result<JitCode> jit_compile(const JitInput& in);

namespace jit {
/// The parts of it. Front: BPF to IR and IR to better IR; one Function a subprogram.
Result<std::vector<Function>> build_functions(const JitInput& in);
/// Back: registers and machine code.
Result<JitCode> emit_functions(std::vector<Function>& functions, const JitInput& in);
}  // namespace jit

}  // namespace skep
