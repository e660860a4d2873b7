// Registers, memory operands, copies.
#include "jit/emit.h"

namespace skep::jit {

Xbyak::Reg FunctionEmitter::reg(u32 r, u32 bytes) {
  const int i = static_cast<int>(r);
  switch (bytes) {
    case 1:
      return Xbyak::Reg8(i, r >= 4 && r < 8);
    case 2:
      return Xbyak::Reg16(i);
    case 4:
      return Xbyak::Reg32(i);
    default:
      return Xbyak::Reg64(i);
  }
}

Xbyak::Address FunctionEmitter::slot(Loc loc, u32 bytes) const {
  return Address(bytes * 8, false, Xbyak::RegExp(Xbyak::Reg64(RSP)) + (loc.slot_index() * 8 + bias_));
}

Xbyak::Address FunctionEmitter::memory(const Value& v, Phase phase, u32 bytes) const {
  s64 disp = v.disp;
  Xbyak::RegExp e;
  if (v.arg[0] != NONE) {
    const Value& base = m_.value(v.arg[0]);
    if (base.op == Op::FrameAddr) {
      e = Xbyak::RegExp(Xbyak::Reg64(RSP));
      disp += base.imm + static_cast<s64>(frame_end_ + bias_);
    } else {
      e = Xbyak::RegExp(Xbyak::Reg64(static_cast<int>(at(v.arg[0], phase).code)));
    }
  }
  if (v.arg[1] != NONE) {
    const Xbyak::RegExp index(Xbyak::Reg64(static_cast<int>(at(v.arg[1], phase).code)), 1 << v.scale);
    e = v.arg[0] != NONE ? e + index : index;
  }
  return Address(bytes * 8, false, e + static_cast<std::size_t>(disp));
}

/// What instructions that take a register or memory take for `v`.
FunctionEmitter::Source FunctionEmitter::source(ValueId v, Phase phase, u32 bytes) const {
  if (m_.folded(v)) return {XReg(), memory(m_.value(v), phase, bytes), true};
  const Loc loc = at(v, phase);
  if (loc.is_slot()) return {XReg(), slot(loc, bytes), true};
  return {reg(loc.code, bytes), Address(64, false, Xbyak::RegExp(Xbyak::Reg64(RSP))), false};
}

/// An immediate of an operation on `bytes`, as xbyak wants it.
u32 FunctionEmitter::imm32(s64 imm, u32 bytes) {
  switch (bytes) {
    case 1:
      return static_cast<u32>(static_cast<s8>(imm));
    case 2:
      return static_cast<u32>(static_cast<s16>(imm));
    default:
      return static_cast<u32>(imm);
  }
}

void FunctionEmitter::load_const(u32 r, u64 imm) {
  if (imm == 0)
    c_.xor_(reg(r, 4), reg(r, 4)), flags_of_ = NONE;
  else if (imm <= 0xffffffff)
    c_.mov(reg(r, 4), imm);
  else
    c_.mov(reg(r, 8), imm);
}

void FunctionEmitter::copy_remat(Loc dst, ValueId id) {
  const Value& v = m_.value(id);
  if (dst.is_slot()) {
    const s64 imm = v.imm;
    if (v.op == Op::Const && Machine::fits_s32(imm)) {
      c_.mov(slot(dst), static_cast<u64>(imm));
      return;
    }
    // Through a register that gets its value back.
    c_.push(Xbyak::Reg64(RAX));
    bias_ += 8;
    copy_remat(Loc::in(RAX), id);
    c_.mov(slot(dst), Xbyak::Reg64(RAX));
    bias_ -= 8;
    c_.pop(Xbyak::Reg64(RAX));
    return;
  }
  const Xbyak::Reg64 r(static_cast<int>(dst.code));
  if (v.op == Op::Const)
    load_const(dst.code, static_cast<u64>(v.imm));
  else if (v.op == Op::FuncAddr)
    c_.lea_label(r, p_.labels[static_cast<std::size_t>(v.imm)]);
  else
    c_.lea(r, Address(64, false,
                      Xbyak::RegExp(Xbyak::Reg64(RSP)) + static_cast<std::size_t>(v.imm + static_cast<s64>(frame_end_ + bias_))));
}

void FunctionEmitter::copy(Loc dst, Loc src) {
  if (dst == src) return;
  if (src.is_remat()) return copy_remat(dst, src.value());
  if (dst.is_reg() && src.is_reg()) return c_.mov(reg(dst.code, 8), reg(src.code, 8));
  if (dst.is_reg()) return c_.mov(reg(dst.code, 8), slot(src));
  if (src.is_reg()) return c_.mov(slot(dst), reg(src.code, 8));
  // push reads before rsp moves, pop writes after it has moved back.
  c_.push(slot(src));
  c_.pop(slot(dst));
}

void FunctionEmitter::moves(std::span<const Move> m) {
  if (m.empty()) return;
  for (const Step& s : order_.order(m)) {
    switch (s.kind) {
      case Step::Copy:
        copy(s.dst, s.src);
        break;
      case Step::Exchange:
        c_.xchg(reg(s.dst.code, 8), reg(s.src.code, 8));
        break;
      case Step::Push:
        if (s.src.is_reg())
          c_.push(reg(s.src.code, 8));
        else
          c_.push(slot(s.src));
        bias_ += 8;
        break;
      case Step::Pop:
        bias_ -= 8;
        if (s.dst.is_reg())
          c_.pop(reg(s.dst.code, 8));
        else
          c_.pop(slot(s.dst));
        break;
    }
  }
}

}  // namespace skep::jit
