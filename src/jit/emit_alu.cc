// Arithmetic, shifts, extensions, comparisons.
#include <bit>

#include "jit/emit.h"

namespace skep::jit {
namespace {

using Xbyak::Reg32e;
using Xbyak::RegExp;

/// The machine's number of a condition, behind cmp, or behind test for Test and TestZ.
u8 condition(Cond c) noexcept {
  constexpr u8 of[] = {4, 5, 2, 6, 7, 3, 12, 14, 15, 13, 5, 4};
  return of[static_cast<u8>(c)];
}

using C = Xbyak::CodeGenerator;
using CmovFn = void (C::*)(const Xbyak::Reg&, const Xbyak::Operand&);
using SetFn = void (C::*)(const Xbyak::Operand&);
constexpr CmovFn CMOVCC[16] = {&C::cmovo, &C::cmovno, &C::cmovb, &C::cmovnb, &C::cmovz, &C::cmovnz, &C::cmovbe, &C::cmovnbe,
                               &C::cmovs, &C::cmovns, &C::cmovp, &C::cmovnp, &C::cmovl, &C::cmovnl, &C::cmovle, &C::cmovnle};
constexpr SetFn SETCC[16] = {&C::seto, &C::setno, &C::setb, &C::setnb, &C::setz, &C::setnz, &C::setbe, &C::setnbe,
                             &C::sets, &C::setns, &C::setp, &C::setnp, &C::setl, &C::setnl, &C::setle, &C::setnle};

RegExp exp(u32 r, int scale = 1) { return RegExp(Xbyak::Reg64(static_cast<int>(r)), scale); }
Xbyak::Address address(const RegExp& e) { return Xbyak::Address(64, false, e); }
Reg32e wide(u32 r, u32 bytes) { return Reg32e(static_cast<int>(r), static_cast<int>(bytes * 8)); }

}  // namespace

void FunctionEmitter::apply(Op op, const Operand& dst, const Operand& src) {
  switch (op) {
    case Op::Add:
      return c_.add(dst, src);
    case Op::Sub:
      return c_.sub(dst, src);
    case Op::And:
      return c_.and_(dst, src);
    case Op::Or:
      return c_.or_(dst, src);
    case Op::Mul:
      return c_.imul(static_cast<const XReg&>(dst), src);
    default:
      return c_.xor_(dst, src);
  }
}

void FunctionEmitter::apply_imm(Op op, const Operand& dst, u32 imm) {
  switch (op) {
    case Op::Add:
      return c_.add(dst, imm);
    case Op::Sub:
      return c_.sub(dst, imm);
    case Op::And:
      return c_.and_(dst, imm);
    case Op::Or:
      return c_.or_(dst, imm);
    default:
      return c_.xor_(dst, imm);
  }
}

void FunctionEmitter::add_imm(u32 d, Loc a, s64 imm, u32 width) {
  if (width == 4) imm = static_cast<s32>(imm);
  if (a.is_reg() && a.code != d) {
    if (imm == 0)
      c_.mov(reg(d, width), reg(a.code, width));
    else
      c_.lea(wide(d, width), address(exp(a.code) + static_cast<std::size_t>(imm)));
    return;
  }
  copy(Loc::in(d), a);
  if (imm == 0 && width == 8) return;
  if (imm == 1)
    c_.inc(reg(d, width));
  else if (imm == -1)
    c_.dec(reg(d, width));
  else if (imm == 128)
    c_.sub(reg(d, width), static_cast<u32>(-128));
  else
    c_.add(reg(d, width), static_cast<u32>(imm));
  flags_are_result(width);
}

void FunctionEmitter::add(const Value& v) {
  const u32 d = result();
  const Loc a = moved(v.arg[0], EARLY);
  if (m_.alu_immediate(v)) return add_imm(d, a, m_.value(v.arg[1]).imm, v.width);
  if (m_.adds_frame(v)) {
    const s64 disp = m_.value(v.arg[1]).imm + static_cast<s64>(frame_end_);
    return c_.lea(wide(d, 8), address(exp(RSP) + exp(a.code) + static_cast<std::size_t>(disp)));
  }
  const Source b = source(v.arg[1], EARLY, v.width);
  if (!b.in_memory && a.is_reg()) {
    u32 base = a.code, index = static_cast<u32>(b.reg.getIdx());
    if (d != base && d != index) {
      // These two want a displacement when they are the base.
      if (base == RBP || base == R13) std::swap(base, index);
      return c_.lea(wide(d, v.width), address(exp(base) + exp(index)));
    }
  }
  binary_rest(v);
}

/// Two-address: the result's register gets arg[0], or already has either of them.
void FunctionEmitter::binary_rest(const Value& v) {
  const u32 d = result();
  const Loc a = moved(v.arg[0], EARLY);
  const bool early = is_commutative(v.op) && !m_.remat(v.arg[0]) && !m_.folded(v.arg[1]);
  const Source b = source(v.arg[1], early ? EARLY : LATE, v.width);
  if (!b.in_memory && static_cast<u32>(b.reg.getIdx()) == d && a != Loc::in(d)) {
    const Source other = source(v.arg[0], EARLY, v.width);
    apply(v.op, reg(d, v.width), other.op());
  } else {
    copy(Loc::in(d), a);
    apply(v.op, reg(d, v.width), b.op());
  }
  if (v.op != Op::Mul) flags_are_result(v.width);
}

void FunctionEmitter::mul(const Value& v) {
  if (!m_.alu_immediate(v)) return binary_rest(v);
  const u32 d = result();
  const s64 imm = v.width == 4 ? static_cast<s32>(m_.value(v.arg[1]).imm) : m_.value(v.arg[1]).imm;
  Loc a = moved(v.arg[0], EARLY);
  if (a.is_remat()) {
    copy(Loc::in(d), a);
    a = Loc::in(d);
  }
  if (a.is_reg() && (imm == 3 || imm == 5 || imm == 9))
    return c_.lea(wide(d, v.width), address(exp(a.code) + exp(a.code, static_cast<int>(imm - 1))));
  if (a.is_reg())
    c_.imul(reg(d, v.width), reg(a.code, v.width), static_cast<int>(imm));
  else
    c_.imul(reg(d, v.width), slot(a, v.width), static_cast<int>(imm));
}

/// Masks that a move makes.
bool FunctionEmitter::and_as_move(const Value& v, u64 mask) {
  const u32 bytes = mask == 0xff ? 1 : mask == 0xffff ? 2 : mask == 0xffffffff ? 4 : 0;
  if (bytes == 0 || moved(v.arg[0], EARLY).is_remat()) return false;
  const Source a = source(v.arg[0], EARLY, bytes);
  if (bytes == 4)
    c_.mov(reg(result(), 4), a.op());
  else
    c_.movzx(reg(result(), 4), a.op());
  return true;
}

void FunctionEmitter::logic(const Value& v) {
  if (!m_.alu_immediate(v)) return binary_rest(v);
  const u32 d = result();
  const s64 imm = m_.value(v.arg[1]).imm;
  const u64 mask = v.width == 4 ? static_cast<u32>(imm) : static_cast<u64>(imm);
  if (v.op == Op::And && and_as_move(v, mask)) return;
  copy(Loc::in(d), moved(v.arg[0], EARLY));
  const u32 width = m_.narrow_and(v) ? 4 : v.width;
  if (v.op == Op::Xor && mask == (width == 4 ? 0xffffffff : ~u64{0})) return c_.not_(reg(d, width));
  apply_imm(v.op, reg(d, width), static_cast<u32>(imm));
  flags_are_result(width);
}

// --- Shifts ---

void FunctionEmitter::shift_imm(const Value& v) {
  const u32 d = result(), bits = v.width * 8;
  const u32 n = static_cast<u32>(m_.value(v.arg[1]).imm) & (bits - 1);
  const Loc a = moved(v.arg[0], EARLY);
  const XReg r = reg(d, v.width);
  if (n == 0) {
    copy(Loc::in(d), a);
    if (v.width == 4) c_.mov(r, r);
    return;
  }
  if (v.op == Op::Rotl && m_.features.bmi2 && a != Loc::in(d) && !a.is_remat())
    return c_.rorx(wide(d, v.width), source(v.arg[0], EARLY, v.width).op(), static_cast<u8>(bits - n));
  if (v.op == Op::Shl && n == 1 && a.is_reg()) {
    if (a.code == d) return c_.add(r, r);
    const bool displacement = a.code == RBP || a.code == R13;
    if (!displacement) return c_.lea(wide(d, v.width), address(exp(a.code) + exp(a.code)));
  }
  if (v.op == Op::Shl && n <= 3 && a.is_reg() && a.code != d) return c_.lea(wide(d, v.width), address(exp(a.code, 1 << n)));
  copy(Loc::in(d), a);
  switch (v.op) {
    case Op::Shl:
      return c_.shl(r, static_cast<int>(n));
    case Op::Shr:
      return c_.shr(r, static_cast<int>(n));
    case Op::Sar:
      return c_.sar(r, static_cast<int>(n));
    default:
      return c_.rol(r, static_cast<int>(n));
  }
}

void FunctionEmitter::shift_by_cl(const Value& v) {
  const u32 d = result();
  const Move both[] = {{Loc::in(d), moved(v.arg[0], EARLY)}, {Loc::in(RCX), moved(v.arg[1], EARLY)}};
  moves(both);
  const XReg r = reg(d, v.width);
  switch (v.op) {
    case Op::Shl:
      return c_.shl(r, c_.cl);
    case Op::Shr:
      return c_.shr(r, c_.cl);
    case Op::Sar:
      return c_.sar(r, c_.cl);
    default:
      return c_.rol(r, c_.cl);
  }
}

void FunctionEmitter::shift(const Value& v) {
  if (m_.is_const(v.arg[1])) return shift_imm(v);
  if (!m_.features.bmi2 || v.op == Op::Rotl) return shift_by_cl(v);
  const Reg32e d = wide(result(), v.width), n = wide(at(v.arg[1], EARLY).code, v.width);
  const Source a = source(v.arg[0], EARLY, v.width);
  if (v.op == Op::Shl)
    c_.shlx(d, a.op(), n);
  else if (v.op == Op::Shr)
    c_.shrx(d, a.op(), n);
  else
    c_.sarx(d, a.op(), n);
}

// --- One operand ---

void FunctionEmitter::unary(const Value& v) {
  const u32 d = result();
  copy(Loc::in(d), moved(v.arg[0], EARLY));
  if (v.op == Op::Neg) return c_.neg(reg(d, v.width));
  if (v.op == Op::Not) return c_.not_(reg(d, v.width));
  if (v.size != 2) return c_.bswap(wide(d, v.size));
  c_.rol(reg(d, 2), 8);
  c_.movzx(reg(d, 4), reg(d, 2));
}

void FunctionEmitter::extend(const Value& v) {
  const Source a = source(v.arg[0], EARLY, v.size);
  const u32 d = result();
  if (v.op == Op::Zext) {
    if (v.size < 4)
      c_.movzx(reg(d, 4), a.op());
    else
      c_.mov(reg(d, 4), a.op());
    return;
  }
  if (v.size < 4)
    c_.movsx(reg(d, v.width), a.op());
  else if (v.width == 8)
    c_.movsxd(Xbyak::Reg64(static_cast<int>(d)), a.op());
  else
    c_.mov(reg(d, 4), a.op());
}

void FunctionEmitter::mul_high(const Value& v) {
  const u32 d = result();
  const Source b = source(v.arg[1], MID, v.width);
  if (v.op == Op::MulHiU && m_.features.bmi2) {
    copy(Loc::in(RDX), moved(v.arg[0], EARLY));
    return c_.mulx(wide(d, v.width), wide(d, v.width), b.op());
  }
  copy(Loc::in(RAX), moved(v.arg[0], EARLY));
  if (v.op == Op::MulHiU)
    c_.mul(b.op());
  else
    c_.imul(b.op());
  copy(Loc::in(d), Loc::in(RDX));
}

// --- Division ---

void FunctionEmitter::divide_check(const Value& v, const Source& b) {
  Deferred& out = defer(Deferred::Divide, v);
  if (v.op == Op::UDiv || v.op == Op::UMod) {
    if (b.in_memory)
      c_.cmp(b.op(), 0);
    else
      c_.test(b.op(), b.reg);
    return c_.jump_if(condition(Cond::Eq), out.at);
  }
  // 0 and -1 at once. rdx is not in use yet.
  const XReg dx = reg(RDX, v.width);
  if (b.in_memory) {
    c_.mov(dx, b.op());
    c_.inc(dx);
  } else {
    c_.lea(wide(RDX, v.width), address(exp(static_cast<u32>(b.reg.getIdx())) + 1));
  }
  c_.cmp(dx, 1);
  c_.jump_if(condition(Cond::Ule), out.at);
}

/// The division proper, the dividend in rax. The results go to rax and rdx.
void FunctionEmitter::wide_divide(const Value& v, const Operand& b) {
  if (v.op == Op::UDiv || v.op == Op::UMod) {
    c_.xor_(c_.edx, c_.edx);
    return c_.div(b);
  }
  if (v.width == 8)
    c_.cqo();
  else
    c_.cdq();
  c_.idiv(b);
}

void FunctionEmitter::divide(const Value& v) {
  const bool quotient = v.op == Op::UDiv || v.op == Op::SDiv;
  const Source b = source(v.arg[1], MID, v.width);
  copy(Loc::in(RAX), moved(v.arg[0], EARLY));
  const std::size_t checked = deferred_.size();
  const bool check = m_.divisor_needs_check(v);
  if (check) divide_check(v, b);
  if (v.width == 8) {
    // 64 bits take the machine much longer, and mostly the upper halves are zero.
    Deferred& wide = defer(Deferred::WideDivide, v);
    wide.other = at(v.arg[1], MID);
    c_.mov(c_.rdx, c_.rax);
    c_.or_(c_.rdx, b.op());
    c_.shr(c_.rdx, 32);
    c_.jump_if(condition(Cond::Ne), wide.at);
    c_.div(source(v.arg[1], MID, 4).op());
    c_.bind(wide.back);
  } else {
    wide_divide(v, b.op());
  }
  if (check) c_.bind(deferred_[checked].back);
  copy(Loc::in(result()), Loc::in(quotient ? RAX : RDX));
}

/// By zero, or by -1: the dividend is in rax, the result goes where the division leaves it.
void FunctionEmitter::divide_deferred(const Deferred& d, const Value& v) {
  const bool is_signed = v.op == Op::SDiv || v.op == Op::SMod, quotient = v.op == Op::UDiv || v.op == Op::SDiv;
  const XReg ax = reg(RAX, v.width), dx = reg(RDX, v.width);
  if (is_signed) {
    // dx is the divisor plus 1.
    const Label zero = c_.new_label();
    c_.test(dx, dx);
    c_.jump_if(condition(Cond::Ne), zero);
    if (quotient)
      c_.neg(ax);
    else
      c_.xor_(c_.edx, c_.edx);
    c_.jump(d.back);
    c_.bind(zero);
  }
  if (quotient)
    c_.xor_(c_.eax, c_.eax);
  else
    c_.mov(dx, ax);
  c_.jump(d.back);
}

// --- Comparisons ---

u8 FunctionEmitter::compare_test(const Value& v, Phase phase) {
  const ValueId a = v.arg[0], b = v.arg[1];
  const u8 cc = condition(v.cond);
  u32 bytes = m_.folded(a) ? m_.value(a).size : v.width;
  if (!m_.test_immediate(b, v.width) || (m_.folded(a) && !m_.immediate(b, v.width))) {
    // Which operand is memory makes no difference; one of them is a register.
    const bool swapped = source(a, phase, bytes).in_memory;
    const Source x = source(swapped ? b : a, phase, bytes), y = source(swapped ? a : b, phase, bytes);
    c_.test(y.op(), x.reg);
    return cc;
  }
  const u64 imm = v.width == 4 ? static_cast<u32>(m_.value(b).imm) : static_cast<u64>(m_.value(b).imm);
  if (imm > 0xffffffff && !Machine::fits_s32(static_cast<s64>(imm))) {
    c_.bt(reg(at(a, phase).code, 8), static_cast<u8>(std::countr_zero(imm)));
    return v.cond == Cond::Test ? condition(Cond::Ult) : condition(Cond::Uge);
  }
  if (imm <= 0xff)
    bytes = 1;
  else if (imm <= 0xffffffff && bytes == 8)
    bytes = 4;
  c_.test(source(a, phase, bytes).op(), imm32(static_cast<s64>(imm), bytes));
  return cc;
}

/// Whether the flags already say what a comparison with zero would.
bool FunctionEmitter::flags_say(const Value& v, u8* cc) const {
  if (flags_of_ == NONE || v.arg[0] != flags_of_ || !m_.is_const(v.arg[1]) || imm32(m_.value(v.arg[1]).imm, v.width) != 0)
    return false;
  if (!m_.immediate(v.arg[1], v.width)) return false;
  switch (v.cond) {
    case Cond::Eq:
    case Cond::Ne:
      *cc = condition(v.cond);
      return v.width >= flags_width_;
    case Cond::Slt:
      *cc = 8;
      return v.width == flags_width_;
    case Cond::Sge:
      *cc = 9;
      return v.width == flags_width_;
    default:
      return false;
  }
}

/// Sets the flags; returns the number of the condition.
u8 FunctionEmitter::compare(const Value& v, Phase phase) {
  if (v.cond == Cond::Test || v.cond == Cond::TestZ) return compare_test(v, phase);
  const ValueId a = v.arg[0], b = v.arg[1];
  const u32 bytes = m_.folded(a) ? m_.value(a).size : m_.folded(b) ? m_.value(b).size : v.width;
  const Source x = source(a, phase, bytes);
  if (m_.immediate(b, v.width)) {
    const s64 imm = m_.value(b).imm;
    if (imm32(imm, v.width) == 0 && !x.in_memory)
      c_.test(x.op(), x.reg);
    else
      c_.cmp(x.op(), imm32(imm, bytes));
  } else {
    c_.cmp(x.op(), source(b, phase, bytes).op());
  }
  return condition(v.cond);
}

void FunctionEmitter::select(const Value& v) {
  const Reg d = result();
  if (m_.is_setcc(v)) {
    c_.xor_(reg(d, 4), reg(d, 4));
    u8 cc = compare(v, LATE);
    if (m_.value(v.arg[2]).imm == 0) cc ^= 1;
    return (c_.*SETCC[cc])(reg(d, 1));
  }
  // First goes into the result's register, before the flags are made; the second over it.
  const u32 first = m_.select_first(v);
  const ValueId x = v.arg[first], y = v.arg[5 - first];
  const Loc lx = moved(x, EARLY);
  const bool early = !m_.remat(x);
  // `invert`: the second is moved unless the condition holds.
  bool invert = first == 2;
  Source second = source(y, early ? EARLY : LATE, 8);
  if (lx != Loc::in(d) && !second.in_memory && static_cast<u32>(second.reg.getIdx()) == d) {
    second = source(x, EARLY, 8);
    invert = !invert;
  } else {
    copy(Loc::in(d), lx);
  }
  const u8 cc = compare(v, LATE);
  (c_.*CMOVCC[invert ? cc ^ 1 : cc])(reg(d, 8), second.op());
}

}  // namespace skep::jit
