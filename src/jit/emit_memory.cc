// Loads, stores, atomic operations.
#include "jit/emit.h"

namespace skep::jit {

void FunctionEmitter::load(const Value& v) {
  const u32 d = result();
  const Address m = memory(v, EARLY, v.size);
  const CodeBuffer::Mark here = c_.mark();
  if (v.size == 8)
    c_.mov(reg(d, 8), m);
  else if (v.size == 4 && v.sign && v.width == 8)
    c_.movsxd(Xbyak::Reg64(static_cast<int>(d)), m);
  else if (v.size == 4)
    c_.mov(reg(d, 4), m);
  else if (v.sign)
    c_.movsx(reg(d, v.width), m);
  else
    c_.movzx(reg(d, 4), m);
  if (!v.probe) return;
  Deferred& out = defer(Deferred::ProbeFault, v);
  out.reg = static_cast<Reg>(d);
  c_.bind(out.back);
  p_.faults.push_back({here, out.at});
}

void FunctionEmitter::store(const Value& v) {
  const Address m = memory(v, EARLY, v.size);
  if (m_.immediate(v.arg[2], v.size)) {
    const s64 imm = v.size == 8 ? m_.value(v.arg[2]).imm : static_cast<s32>(imm32(m_.value(v.arg[2]).imm, v.size));
    return c_.mov(m, static_cast<u64>(imm));
  }
  c_.mov(m, reg(at(v.arg[2], EARLY).code, v.size));
}

void FunctionEmitter::update(const Value& v) {
  const Address m = memory(v, EARLY, v.size);
  if (m_.immediate(v.arg[2], v.size)) return apply_imm(v.sub, m, imm32(m_.value(v.arg[2]).imm, v.size));
  apply(v.sub, m, reg(at(v.arg[2], EARLY).code, v.size));
}

void FunctionEmitter::atomic(const Value& v) {
  if (Machine::atomic_loop(v)) return atomic_loop(v);
  const bool wants_old = Machine::fetches(v) && v.uses != 0;
  if (v.imm == BPF_XCHG || wants_old) {
    const u32 d = result();
    copy(Loc::in(d), moved(v.arg[2], EARLY));
    const Address m = memory(v, LATE, v.size);
    if (v.imm == BPF_XCHG) return c_.xchg(m, reg(d, v.size));
    c_.lock();
    return c_.xadd(m, reg(d, v.size));
  }
  const Address m = memory(v, MID, v.size);
  const s64 kind = v.imm & ~s64{BPF_FETCH};
  const Op op = kind == BPF_ADD ? Op::Add : kind == BPF_AND ? Op::And : kind == BPF_OR ? Op::Or : Op::Xor;
  c_.lock();
  if (m_.immediate(v.arg[2], v.size))
    apply_imm(op, m, imm32(m_.value(v.arg[2]).imm, v.size));
  else
    apply(op, m, reg(at(v.arg[2], MID).code, v.size));
}

/// The machine fetches only what it adds to.
void FunctionEmitter::atomic_loop(const Value& v) {
  const Address m = memory(v, MID, v.size);
  const s64 kind = v.imm & ~s64{BPF_FETCH};
  const Op op = kind == BPF_AND ? Op::And : kind == BPF_OR ? Op::Or : Op::Xor;
  const XReg ax = reg(RAX, v.size), dx = reg(RDX, v.size);
  const Label again = c_.new_label();
  c_.mov(ax, m);
  c_.bind(again);
  c_.mov(dx, ax);
  if (m_.immediate(v.arg[2], v.size))
    apply_imm(op, dx, imm32(m_.value(v.arg[2]).imm, v.size));
  else
    apply(op, dx, reg(at(v.arg[2], MID).code, v.size));
  c_.lock();
  c_.cmpxchg(m, dx);
  c_.jump_if(5, again);
  copy(Loc::in(result()), Loc::in(RAX));
}

void FunctionEmitter::cmpxchg(const Value& v) {
  const Address m = memory(v, MID, v.size);
  copy(Loc::in(RAX), moved(v.arg[3], EARLY));
  c_.lock();
  c_.cmpxchg(m, reg(at(v.arg[2], MID).code, v.size));
  // A comparison of 4 bytes that holds leaves the upper half as it was.
  if (v.size == 4)
    c_.mov(reg(result(), 4), c_.eax);
  else
    copy(Loc::in(result()), Loc::in(RAX));
}

}  // namespace skep::jit
