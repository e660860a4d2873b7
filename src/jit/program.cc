#include "jit/program.h"

#include <algorithm>

#include "helpers/helper.h"
#include "progtypes/func_ids.h"

namespace skep::jit {
namespace {

constexpr u32 MAX_INSNS = 16u << 20;  ///< more than any program grows to: positions stay far from the end of u32

u16 reg(u32 r) noexcept { return static_cast<u16>(1u << r); }

bool alu_ok(const bpf_insn& insn) noexcept {
  const u8 op = bpf_op(insn.code);
  const bool is64 = bpf_class(insn.code) == BPF_ALU64, by_reg = bpf_src(insn.code) == BPF_X;
  if (insn.dst_reg == BPF_REG_FP) return false;
  if (op == BPF_END) return insn.imm == 16 || insn.imm == 32 || insn.imm == 64;
  if (op == BPF_DIV || op == BPF_MOD) return insn.off == 0 || insn.off == 1;
  if (op != BPF_MOV) return insn.off == 0;
  return insn.off == 0 || (by_reg && (insn.off == 8 || insn.off == 16 || (is64 && insn.off == 32)));
}

bool atomic_ok(const bpf_insn& insn) noexcept {
  switch (insn.imm & ~BPF_FETCH) {
    case BPF_ADD:
    case BPF_AND:
    case BPF_OR:
    case BPF_XOR:
      return (insn.imm & BPF_FETCH) == 0 || insn.src_reg != BPF_REG_FP;
    case BPF_XCHG & ~BPF_FETCH:
      return insn.imm == BPF_XCHG && insn.src_reg != BPF_REG_FP;
    case BPF_CMPXCHG & ~BPF_FETCH:
      return insn.imm == BPF_CMPXCHG;
    default:
      return false;
  }
}

bool may_end_run(u64 id) noexcept {
  switch (id) {
    case func::spin_lock:
    case func::spin_unlock:
    case func::loop:
    case func::for_each_map_elem:
    case func::user_ringbuf_drain:
    case func::find_vma:
      return true;
    default:
      return false;
  }
}

/// Opcode, registers and fields; not where it leads to.
bool insn_ok(const bpf_insn& insn) noexcept {
  if (insn.dst_reg >= REGISTERS || insn.src_reg >= REGISTERS) return false;
  if (is_probe_load(insn.code))
    return insn.dst_reg != BPF_REG_FP && !(bpf_mode(insn.code) == BPF_PROBE_MEMSX && access_bytes(insn.code) == 8);
  if (!opcode_known(insn.code)) return false;
  switch (bpf_class(insn.code)) {
    case BPF_ALU:
    case BPF_ALU64:
      return alu_ok(insn);
    case BPF_LD:
      return is_ldimm64(insn) && insn.dst_reg != BPF_REG_FP;
    case BPF_LDX:
      return insn.dst_reg != BPF_REG_FP;
    case BPF_STX:
      return bpf_mode(insn.code) != BPF_ATOMIC || atomic_ok(insn);
    case BPF_JMP:
      return bpf_op(insn.code) != BPF_JCOND && (!is_call(insn) || insn.src_reg <= BPF_PSEUDO_CALL);
    default:
      return true;
  }
}

/// The jumps, calls and ends of one function.
class FunctionCheck {
 public:
  FunctionCheck(const Program& p, u32 function)
      : p_(p), insns_(p.input().insns), start_(p.start(function)), end_(p.end(function)) {}

  bool ok() {
    for (u32 pc = start_; pc < end_; ++pc) {
      if (!insn_ok(insns_[pc])) return false;
      if (!is_ldimm64(insns_[pc])) continue;
      if (pc + 1 >= end_ || insns_[pc + 1].code != 0) return false;
      ++pc;
    }
    // From here on what has the code 0 is the second half of a load: by itself it would have been refused.
    u32 last = start_;
    for (u32 pc = start_; pc < end_; ++pc) {
      if (insns_[pc].code == 0) continue;
      last = pc;
      const bpf_insn& insn = insns_[pc];
      if (!is_plain_jump(insn) && !is_cond_jump(insn)) {
        if (!names_ok(insn, pc)) return false;
        continue;
      }
      const s64 to = jump_target(insn, pc);
      if (to < start_ || to >= end_ || insns_[static_cast<u32>(to)].code == 0) return false;
    }
    return is_exit(insns_[last]) || is_plain_jump(insns_[last]);
  }

 private:
  bool names_ok(const bpf_insn& insn, u32 pc) const {
    if (is_pseudo_call(insn)) return p_.function_at(call_target(insn, pc)) != NONE;
    if (is_helper_call(insn)) return p_.helper(static_cast<u32>(insn.imm)).exists;
    // One that nobody calls may be gone where there is only one function left.
    if (is_pseudo_func(insn)) return p_.n_functions() == 1 || p_.function_at(call_target(insn, pc)) != NONE;
    return true;
  }

  const Program& p_;
  std::span<const bpf_insn> insns_;
  u32 start_, end_;
};

}  // namespace

Result<Program> Program::make(const JitInput& in) {
  Program p(in);
  TRY(p.check_shape());
  TRY(p.check_functions());
  TRY(p.order_calls());
  return Result<Program>(std::move(p));
}

Status Program::check_shape() const {
  const auto& starts = in_->subprog_starts;
  if (in_->insns.empty() || in_->insns.size() > MAX_INSNS) return Errno(EINVAL);
  if (starts.empty() || starts[0] != 0 || starts.size() > in_->insns.size() || in_->stack_depth.size() < starts.size())
    return Errno(EINVAL);
  for (u32 i = 0; i < starts.size(); ++i) {
    if (start(i) >= end(i) || end(i) > in_->insns.size()) return Errno(EINVAL);
    if (in_->stack_depth[i] > RUN_FRAME_BYTES) return Errno(EINVAL);
  }
  return ok_status();
}

Status Program::check_functions() const {
  for (u32 i = 0; i < n_functions(); ++i)
    if (!FunctionCheck(*this, i).ok()) return Errno(EINVAL);
  return ok_status();
}

/// A walk over the calls; what is met again before it is left calls itself.
Status Program::order_calls() {
  enum State : u8 { New, Open, Done };
  Vec<u8> state(n_functions(), New);
  struct At {
    u32 function, pc;
  };
  Vec<At> stack;
  for (u32 root = 0; root < n_functions(); ++root) {
    if (state[root] != New) continue;
    state[root] = Open;
    stack.push_back({root, start(root)});
    while (!stack.empty()) {
      At& at = stack.back();
      while (at.pc < end(at.function) && !is_pseudo_call(in_->insns[at.pc])) ++at.pc;
      if (at.pc == end(at.function)) {
        state[at.function] = Done;
        callees_first_.push_back(at.function);
        stack.pop_back();
        continue;
      }
      const u32 pc = at.pc++;
      const u32 callee = function_at(call_target(in_->insns[pc], pc));
      if (state[callee] == Open) return Errno(EINVAL);
      if (state[callee] == Done) continue;
      state[callee] = Open;
      stack.push_back({callee, start(callee)});
    }
  }
  return ok_status();
}

u32 Program::function_at(s64 pc) const noexcept {
  const auto& starts = in_->subprog_starts;
  const auto at = std::lower_bound(starts.begin(), starts.end(), pc, [](u32 a, s64 b) { return a < b; });
  return at != starts.end() && *at == pc ? static_cast<u32>(at - starts.begin()) : NONE;
}

const MapDesc* Program::map_at(u64 addr) const noexcept {
  for (const MapDesc* map : in_->maps)
    if (reinterpret_cast<u64>(map) == addr) return map;
  return nullptr;
}

HelperInfo Program::helper(u32 id) const noexcept {
  HelperInfo info;
  if (is_skb_load_helper(id)) {
    info.exists = true;
    info.n_args = 2;
    return info;
  }
  info.proto = run_func_proto(id, in_->prog_type);
  if (info.proto == nullptr) return info;
  info.exists = true;
  info.keeps_args = info.proto->allow_fastcall;
  info.may_end = may_end_run(id);
  // What its format asks for is in registers that the proto does not speak of.
  if (id == func::trace_printk)
    info.n_args = 5;
  else
    while (info.n_args < 5 && info.proto->args[info.n_args] != ARG_DONTCARE) ++info.n_args;
  return info;
}

namespace {

Effects alu_effects(const bpf_insn& insn) noexcept {
  const u8 op = bpf_op(insn.code);
  Effects e;
  e.writes = reg(insn.dst_reg);
  if (op != BPF_MOV) e.reads |= reg(insn.dst_reg);
  if (op != BPF_END && bpf_src(insn.code) == BPF_X) e.reads |= reg(insn.src_reg);
  return e;
}

Effects store_effects(const bpf_insn& insn) noexcept {
  Effects e;
  e.reads = reg(insn.dst_reg);
  if (bpf_class(insn.code) == BPF_STX) e.reads |= reg(insn.src_reg);
  if (bpf_class(insn.code) != BPF_STX || bpf_mode(insn.code) != BPF_ATOMIC) return e;
  if (insn.imm == BPF_CMPXCHG) {
    e.reads |= reg(0);
    e.writes = reg(0);
  } else if ((insn.imm & BPF_FETCH) != 0) {
    e.writes = reg(insn.src_reg);
  }
  return e;
}

u16 first_args(u32 n) noexcept { return static_cast<u16>(((1u << n) - 1) << 1); }

}  // namespace

Effects Program::effects(u32 pc) const noexcept {
  const bpf_insn& insn = in_->insns[pc];
  switch (bpf_class(insn.code)) {
    case BPF_ALU:
    case BPF_ALU64:
      return alu_effects(insn);
    case BPF_LD:
      return {0, reg(insn.dst_reg)};
    case BPF_LDX:
      return {reg(insn.src_reg), reg(insn.dst_reg)};
    case BPF_ST:
    case BPF_STX:
      return store_effects(insn);
    default:
      break;
  }
  if (is_exit(insn)) return {reg(0), 0};
  if (is_pseudo_call(insn)) return {params_[function_at(call_target(insn, pc))], static_cast<u16>(ARGUMENT_REGS | reg(0))};
  if (is_helper_call(insn)) {
    const HelperInfo h = helper(static_cast<u32>(insn.imm));
    return {first_args(h.n_args), static_cast<u16>((h.keeps_args ? 0 : ARGUMENT_REGS) | reg(0))};
  }
  if (!is_cond_jump(insn)) return {};
  return {static_cast<u16>(reg(insn.dst_reg) | (bpf_src(insn.code) == BPF_X ? reg(insn.src_reg) : 0)), 0};
}

}  // namespace skep::jit
