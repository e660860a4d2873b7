#include "jit/machine.h"

#include <xbyak/xbyak_util.h>

namespace skep::jit {

Features machine_features() noexcept {
  static const Features features = [] {
    const Xbyak::util::Cpu cpu;
    return Features{cpu.has(Xbyak::util::Cpu::tBMI2), cpu.has(Xbyak::util::Cpu::tMOVBE)};
  }();
  return features;
}

Lost Machine::lost(const Value& v) const noexcept {
  constexpr RegMask ax = bit(RAX), dx = bit(RDX), ax_dx = static_cast<RegMask>(ax | dx);
  switch (v.op) {
    case Op::CallHelper:
    case Op::CallFunc:
    case Op::CallGate:
    case Op::TailCall:
      return {CALLER_SAVED, false};
    case Op::UDiv:
    case Op::UMod:
    case Op::SDiv:
    case Op::SMod:
    case Op::MulHiS:
      return {ax_dx, false};
    case Op::MulHiU:
      return {features.bmi2 ? dx : ax_dx, false};
    case Op::Shl:
    case Op::Shr:
    case Op::Sar:
      if (features.bmi2) return {};
      [[fallthrough]];
    case Op::Rotl:
      return {is_const(v.arg[1]) ? RegMask{0} : bit(RCX), true};
    case Op::Atomic:
      return {atomic_loop(v) ? ax_dx : RegMask{0}, false};
    case Op::Cmpxchg:
      return {ax, false};
    default:
      return {};
  }
}

Reg Machine::result_hint(const Value& v) const noexcept {
  switch (v.op) {
    case Op::CallHelper:
    case Op::CallFunc:
    case Op::CallGate:
    case Op::UDiv:
    case Op::SDiv:
    case Op::Cmpxchg:
      return RAX;
    case Op::UMod:
    case Op::SMod:
    case Op::MulHiS:
      return RDX;
    case Op::MulHiU:
      return features.bmi2 ? NO_REG : RDX;
    case Op::Atomic:
      return atomic_loop(v) ? RAX : NO_REG;
    case Op::Param:
      return ARG_REGS[v.imm];
    default:
      return NO_REG;
  }
}

}  // namespace skep::jit
