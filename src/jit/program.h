// jit: a program as it is before anything is made of it: checked, with what each instruction reads and writes. Internal to the
// room.
#pragma once
#include <span>

#include "base/result.h"
#include "jit/compile.h"
#include "progtypes/func_proto.h"

namespace skep::jit {

constexpr u32 REGISTERS = MAX_BPF_REG + 1;  ///< r0 to r10, and the one that only rewritten code names
constexpr u16 ARGUMENT_REGS = 0x3e;         ///< r1 to r5

struct Effects {
  u16 reads = 0, writes = 0;  ///< a bit a register
};

/// What is known of a helper before it is called.
struct HelperInfo {
  const FuncProto* proto = nullptr;  ///< null: a load of packet bytes, or no helper
  u8 n_args = 0;
  bool exists = false, keeps_args = false, may_end = false;
};

class Program {
 public:
  /// EINVAL where the program is malformed: opcodes, registers, targets, sizes, functions that call themselves.
  static Result<Program> make(const JitInput& in);

  const JitInput& input() const noexcept { return *in_; }
  u32 n_functions() const noexcept { return static_cast<u32>(in_->subprog_starts.size()); }
  u32 start(u32 function) const noexcept { return in_->subprog_starts[function]; }
  u32 end(u32 function) const noexcept {
    return function + 1 < n_functions() ? in_->subprog_starts[function + 1] : static_cast<u32>(in_->insns.size());
  }
  /// Which function begins at `pc`; NONE: none does.
  u32 function_at(s64 pc) const noexcept;
  /// The arguments that function reads, as a register mask.
  u16 params(u32 function) const noexcept { return params_[function]; }
  void set_params(u32 function, u16 regs) noexcept { params_[function] = regs; }
  HelperInfo helper(u32 id) const noexcept;
  /// The map whose address is `addr`; null: it is no map's.
  const MapDesc* map_at(u64 addr) const noexcept;
  Effects effects(u32 pc) const noexcept;
  /// Functions so that callees come before their callers.
  const Vec<u32>& callees_first() const noexcept { return callees_first_; }

 private:
  explicit Program(const JitInput& in) : in_(&in), params_(in.subprog_starts.size(), ARGUMENT_REGS) {}
  Status check_shape() const;
  Status check_functions() const;
  Status order_calls();

  const JitInput* in_;
  Vec<u16> params_;
  Vec<u32> callees_first_;
};

constexpr bool is_probe_load(u8 code) noexcept {
  return bpf_class(code) == BPF_LDX && (bpf_mode(code) == BPF_PROBE_MEM || bpf_mode(code) == BPF_PROBE_MEMSX);
}
constexpr bool is_cond_jump(const bpf_insn& insn) noexcept {
  return is_jmp_class(insn.code) && bpf_op(insn.code) != BPF_JA && bpf_op(insn.code) != BPF_CALL && bpf_op(insn.code) != BPF_EXIT;
}
constexpr bool is_plain_jump(const bpf_insn& insn) noexcept { return is_jmp_class(insn.code) && bpf_op(insn.code) == BPF_JA; }

}  // namespace skep::jit
