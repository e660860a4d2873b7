// jit: what x86-64 asks of the operands of each operation. Register allocation and emission both go by this. Internal to the room.
#pragma once
#include "helpers/run_ctx.h"
#include "jit/ir.h"
#include "jit/operands.h"

namespace skep::jit {

/// Register numbers are the machine's.
enum Reg : u8 { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15, NR_REGS, NO_REG = 0xff };
using RegMask = u16;
constexpr RegMask bit(u32 reg) noexcept { return static_cast<RegMask>(1u << reg); }
constexpr RegMask CALLEE_SAVED = static_cast<RegMask>(bit(RBX) | bit(RBP) | bit(R12) | bit(R13) | bit(R14) | bit(R15));
constexpr RegMask CALLER_SAVED = static_cast<RegMask>(0xffff & ~CALLEE_SAVED & ~bit(RSP));
/// The run and r1 to r5, when a function is called.
constexpr Reg ARG_REGS[] = {RDI, RSI, RDX, RCX, R8, R9};

/// What this machine has beside the x86-64 that all have.
struct Features {
  bool bmi2 = false;
  bool movbe = false;
};
Features machine_features() noexcept;

/// Every instruction has four positions, `base` + 0 to 3, base a multiple of 4. An operand is read at one of the first three; the
/// result is written at the third. A value whose last use is at `p` has its register until p + 1.
enum Phase : u8 {
  EARLY = 0,  ///< read before anything is written: the result may have the same register
  MID = 1,    ///< read after registers are lost (`lost`), at the latest when the result is written
  LATE = 2,   ///< may be read after the result was written
};
constexpr u32 DEF_PHASE = 2;

enum class Need : u8 {
  Any,   ///< anywhere: it is moved to where it is needed
  Pref,  ///< better in a register; a memory operand otherwise
  Reg,   ///< in a register
};

/// Registers that lose what they hold from base + 1 to base + 2, or where `late`, to base + 3.
struct Lost {
  RegMask regs = 0;
  bool late = false;
};

struct Machine {
  const Function& f;
  Features features;
  ValueId run;  ///< Param 0; NONE: nobody needs it

  const Value& value(ValueId v) const noexcept { return f.values[v]; }
  /// Can be made anew from nothing at any place.
  bool remat(ValueId v) const noexcept {
    const Op op = value(v).op;
    return op == Op::Const || op == Op::FrameAddr || op == Op::FuncAddr;
  }
  bool is_const(ValueId v) const noexcept { return value(v).op == Op::Const; }
  static constexpr bool fits_s32(s64 x) noexcept { return x == static_cast<s32>(x); }
  /// A Const that an operation on `width` bytes takes as an immediate.
  bool immediate(ValueId v, u32 width) const noexcept { return is_const(v) && (width < 8 || fits_s32(value(v).imm)); }
  /// Also those that only a test takes.
  bool test_immediate(ValueId v, u32 width) const noexcept {
    if (!is_const(v)) return false;
    const u64 imm = static_cast<u64>(value(v).imm);
    return immediate(v, width) || imm <= 0xffffffff || (imm & (imm - 1)) == 0;
  }
  bool folded(ValueId v) const noexcept { return value(v).op == Op::Load && value(v).folded; }
  /// An And that is a 32-bit operation in truth; with 0xffffffff, a move.
  bool narrow_and(const Value& v) const noexcept {
    return v.op == Op::And && v.width == 8 && is_const(v.arg[1]) && static_cast<u64>(value(v.arg[1]).imm) <= 0xffffffff;
  }
  bool alu_immediate(const Value& v) const noexcept { return immediate(v.arg[1], v.width) || narrow_and(v); }
  /// Adding the frame's address: a lea.
  bool adds_frame(const Value& v) const noexcept {
    return v.op == Op::Add && v.width == 8 && value(v.arg[1]).op == Op::FrameAddr && !remat(v.arg[0]);
  }
  /// A Select of 1 and 0, in this order or the other.
  bool is_setcc(const Value& v) const noexcept {
    if (!is_const(v.arg[2]) || !is_const(v.arg[3])) return false;
    const s64 a = value(v.arg[2]).imm, b = value(v.arg[3]).imm;
    return (a == 1 && b == 0) || (a == 0 && b == 1);
  }
  /// Select: the operand that is moved first; the other one is moved over it on a condition.
  u32 select_first(const Value& v) const noexcept { return remat(v.arg[2]) && !remat(v.arg[3]) ? 2 : 3; }
  static bool fetches(const Value& v) noexcept { return (v.imm & BPF_FETCH) != 0; }
  static bool atomic_loop(const Value& v) noexcept {
    return v.op == Op::Atomic && v.uses != 0 && fetches(v) && v.imm != BPF_XCHG && v.imm != (BPF_ADD | BPF_FETCH);
  }
  bool divisor_needs_check(const Value& v) const noexcept {
    if (!is_const(v.arg[1])) return true;
    const s64 imm = v.width == 4 ? static_cast<s32>(value(v.arg[1]).imm) : value(v.arg[1]).imm;
    return imm == 0 || (imm == -1 && (v.op == Op::SDiv || v.op == Op::SMod));
  }
  /// Not emitted: nobody wants its result and nothing else comes of it, or it is part of its user.
  bool skipped(const Value& v) const noexcept {
    return v.op == Op::Phi || v.op == Op::Param || v.op <= Op::FuncAddr || (v.op == Op::Load && v.folded) ||
           (v.uses == 0 && !has_effect(v));
  }
  /// Has a register or a place of its own.
  bool is_kept(const Value& v) const noexcept {
    if (!has_result(v.op) || (v.op == Op::Load && v.folded)) return false;
    if (v.op == Op::Atomic) return fetches(v) && (v.uses != 0 || v.imm == BPF_XCHG);
    return v.uses != 0 || v.op == Op::Cmpxchg;
  }

  Lost lost(const Value& v) const noexcept;
  /// Where the result comes out if nobody asks for another place; NO_REG: anywhere.
  Reg result_hint(const Value& v) const noexcept;
  /// Calls use(ValueId, Phase, Need, Reg hint) for every operand that is looked at when the machine comes to `v`, those of its
  /// folded loads too. Phis have none: what their predecessors bring is moved on the edges.
  template <typename F>
  void each_use(const Value& v, F&& use) const;

  // Its parts.
  template <typename F>
  void memory_uses(const Value& v, Phase phase, F&& use) const {
    if (v.arg[0] != NONE && value(v.arg[0]).op != Op::FrameAddr) use(v.arg[0], phase, Need::Reg, NO_REG);
    if (v.arg[1] != NONE) use(v.arg[1], phase, Need::Reg, NO_REG);
  }
  /// As the source of an instruction that may read memory.
  template <typename F>
  void source_use(ValueId v, Phase phase, F&& use) const {
    if (folded(v))
      memory_uses(value(v), phase, use);
    else
      use(v, phase, remat(v) ? Need::Reg : Need::Pref, NO_REG);
  }
  /// As what a two-address instruction works on: moved there if it is elsewhere.
  template <typename F>
  void tied_use(ValueId v, F&& use) const {
    use(v, EARLY, remat(v) ? Need::Any : Need::Pref, NO_REG);
  }
  template <typename F>
  void binary_uses(const Value& v, F&& use) const;
  template <typename F>
  void shift_uses(const Value& v, F&& use) const;
  template <typename F>
  void compare_uses(const Value& v, Phase phase, F&& use) const;
  template <typename F>
  void select_uses(const Value& v, F&& use) const;
  template <typename F>
  void atomic_uses(const Value& v, F&& use) const;
  template <typename F>
  void call_uses(const Value& v, F&& use) const;
};

template <typename F>
void Machine::binary_uses(const Value& v, F&& use) const {
  const ValueId a = v.arg[0], b = v.arg[1];
  if (v.op >= Op::UDiv) {  // and MulHi
    use(a, EARLY, Need::Any, v.op == Op::MulHiU && features.bmi2 ? RDX : RAX);
    return source_use(b, MID, use);
  }
  if (adds_frame(v)) return use(a, EARLY, Need::Reg, NO_REG);
  tied_use(a, use);
  if (alu_immediate(v)) return;
  source_use(b, is_commutative(v.op) && !remat(a) && !folded(b) ? EARLY : LATE, use);
}

template <typename F>
void Machine::shift_uses(const Value& v, F&& use) const {
  if (is_const(v.arg[1])) return tied_use(v.arg[0], use);
  if (features.bmi2 && v.op != Op::Rotl) {
    source_use(v.arg[0], EARLY, use);
    return use(v.arg[1], EARLY, Need::Reg, NO_REG);
  }
  use(v.arg[0], EARLY, Need::Any, NO_REG);
  use(v.arg[1], EARLY, Need::Any, RCX);
}

template <typename F>
void Machine::compare_uses(const Value& v, Phase phase, F&& use) const {
  const ValueId a = v.arg[0], b = v.arg[1];
  const bool test = v.cond == Cond::Test || v.cond == Cond::TestZ;
  const bool imm = folded(a) ? immediate(b, v.width) : test ? test_immediate(b, v.width) : immediate(b, v.width);
  if (imm) {
    // A test of a bit beyond the immediates wants a register.
    if (test && !folded(a) && !immediate(b, v.width)) return use(a, phase, Need::Reg, NO_REG);
    return source_use(a, phase, use);
  }
  if (folded(a)) {
    memory_uses(value(a), phase, use);
    return use(b, phase, Need::Reg, NO_REG);
  }
  use(a, phase, Need::Reg, NO_REG);
  source_use(b, phase, use);
}

template <typename F>
void Machine::select_uses(const Value& v, F&& use) const {
  compare_uses(v, LATE, use);
  if (is_setcc(v)) return;
  const u32 first = select_first(v);
  const ValueId x = v.arg[first], y = v.arg[5 - first];
  tied_use(x, use);
  source_use(y, remat(x) ? LATE : EARLY, use);
}

template <typename F>
void Machine::atomic_uses(const Value& v, F&& use) const {
  const bool wants_old = fetches(v) && v.uses != 0;
  if (v.imm == BPF_XCHG || (wants_old && !atomic_loop(v))) {
    memory_uses(v, LATE, use);
    return tied_use(v.arg[2], use);
  }
  memory_uses(v, MID, use);
  if (!immediate(v.arg[2], v.size)) use(v.arg[2], MID, Need::Reg, NO_REG);
}

template <typename F>
void Machine::call_uses(const Value& v, F&& use) const {
  if (v.op == Op::TailCall) {
    use(run, EARLY, Need::Any, RDI);
    use(v.arg[1], EARLY, Need::Any, RSI);
    use(v.arg[2], EARLY, Need::Any, RDX);
    use(run, MID, Need::Any, NO_REG);
    return use(v.arg[0], MID, Need::Any, NO_REG);
  }
  const u32 first = v.op == Op::CallGate ? 0 : 1;
  if (first == 1) use(run, EARLY, Need::Any, RDI);
  for (u32 i = 0; i < 5; ++i)
    if (v.arg[i] != NONE) use(v.arg[i], EARLY, Need::Any, ARG_REGS[i + first]);
  if (v.op == Op::CallHelper && v.may_end) use(run, MID, Need::Any, NO_REG);
}

template <typename F>
void Machine::each_use(const Value& v, F&& use) const {
  switch (v.op) {
    case Op::Shl:
    case Op::Shr:
    case Op::Sar:
    case Op::Rotl:
      return shift_uses(v, use);
    case Op::Neg:
    case Op::Not:
    case Op::Bswap:
      return tied_use(v.arg[0], use);
    case Op::Zext:
    case Op::Sext:
      return source_use(v.arg[0], EARLY, use);
    case Op::Select:
      return select_uses(v, use);
    case Op::Lea:
    case Op::Load:
      return memory_uses(v, EARLY, use);
    case Op::Store:
    case Op::Update:
      memory_uses(v, EARLY, use);
      if (!immediate(v.arg[2], v.size)) use(v.arg[2], EARLY, Need::Reg, NO_REG);
      return;
    case Op::Atomic:
      return atomic_uses(v, use);
    case Op::Cmpxchg:
      memory_uses(v, MID, use);
      use(v.arg[2], MID, Need::Reg, NO_REG);
      return use(v.arg[3], EARLY, Need::Any, RAX);
    case Op::Branch:
      return compare_uses(v, EARLY, use);
    case Op::Ret:
      return use(v.arg[0], EARLY, Need::Any, RAX);
    default:
      if (is_binary(v.op)) return binary_uses(v, use);
      if (is_call(v.op)) return call_uses(v, use);
  }
}

}  // namespace skep::jit
