#include "function_writer.h"

namespace skep::fuzz {

void FunctionWriter::set_scalar(u32 reg, u64 max) { now_.regs[reg] = {.kind = Kind::Scalar, .max = max}; }

/// Some register with a number in it, made if need be.
u32 FunctionWriter::scalar() {
  u32 found = NO_REG, count = 0;
  for (u32 r = 0; r < 10; ++r)
    if (now_.regs[r].kind == Kind::Scalar && (pinned_ >> r & 1) == 0 && rng_.below(++count) == 0) found = r;
  if (found != NO_REG) return found;
  const u32 reg = fresh();
  emit(mov(reg, static_cast<s32>(rng_.edge())));
  set_scalar(reg);
  return reg;
}

/// A register that may be overwritten; rather one with nothing of value in it.
u32 FunctionWriter::fresh(u32 keep) {
  u32 best = NO_REG;
  for (u32 tries = 0; tries < 12; ++tries) {
    const u32 reg = rng_.below(10);
    if ((pinned_ >> reg & 1) != 0 || reg == keep) continue;
    best = reg;
    const Kind kind = now_.regs[reg].kind;
    if (kind == Kind::None || kind == Kind::Scalar) return reg;
  }
  if (best != NO_REG) return best;
  return keep == 0 ? 1 : 0;
}

/// One that calls leave alone.
u32 FunctionWriter::kept() {
  for (u32 tries = 0; tries < 8; ++tries) {
    const u32 reg = 7 + rng_.below(3);
    if ((pinned_ >> reg & 1) == 0) return reg;
  }
  return fresh();
}

void FunctionWriter::set_constant() {
  const u32 reg = fresh();
  const u64 value = rng_.edge();
  if (rng_.coin())
    emit(ldimm64(reg, value));
  else
    emit(rng_.coin() ? mov(reg, static_cast<s32>(value)) : alu32k(BPF_MOV, reg, static_cast<s32>(value)));
  set_scalar(reg);
}

void FunctionWriter::alu() {
  static constexpr u8 OPS[] = {BPF_ADD, BPF_SUB, BPF_MUL, BPF_DIV, BPF_OR,  BPF_AND,
                               BPF_LSH, BPF_RSH, BPF_MOD, BPF_XOR, BPF_MOV, BPF_ARSH};
  const u8 op = rng_.of(OPS);
  const bool wide = rng_.below(5) < 3;
  const bool divides = op == BPF_DIV || op == BPF_MOD, shifts = op == BPF_LSH || op == BPF_RSH || op == BPF_ARSH;
  const u32 dst = scalar(), src = scalar();
  const u64 before = now_.regs[dst].max;
  set_scalar(dst, wide ? ~0ULL : 0xffffffff);
  s32 off = divides ? static_cast<s32>(rng_.below(4) == 0) : 0;
  const u8 cls = wide ? BPF_ALU64 : BPF_ALU;
  if (rng_.coin()) {
    if (op == BPF_MOV && rng_.chance(40)) off = static_cast<s32>(8u << rng_.below(wide ? 3 : 2));
    return emit(raw(cls | op | BPF_X, dst, src, off));
  }
  s32 imm = static_cast<s32>(rng_.edge());
  if (divides && imm == 0 && !rng_.chance(3)) imm = 3;
  if (shifts && !rng_.chance(3)) imm = static_cast<s32>(rng_.below(wide ? 64 : 32));
  if (op == BPF_AND && imm >= 0) now_.regs[dst].max = std::min(before, static_cast<u64>(imm));
  if (op == BPF_RSH && wide && imm >= 0 && imm < 64) now_.regs[dst].max = before >> imm;
  emit(raw(cls | op | BPF_K, dst, 0, off, imm));
}

void FunctionWriter::unary() {
  static constexpr s32 BITS[] = {16, 32, 64};
  const u32 reg = scalar();
  set_scalar(reg);
  switch (rng_.below(4)) {
    case 0:
      return emit(alu64k(BPF_NEG, reg, 0));
    case 1:
      return emit(alu32k(BPF_NEG, reg, 0));
    case 2:
      return emit(raw(BPF_ALU | BPF_END | (rng_.coin() ? BPF_TO_LE : BPF_TO_BE), reg, 0, 0, rng_.of(BITS)));
    default:
      return emit(raw(BPF_ALU64 | BPF_END, reg, 0, 0, rng_.of(BITS)));
  }
}

/// Ways to move between 32 and 64 bits.
void FunctionWriter::narrow_trick() {
  const u32 reg = scalar();
  const s32 bits = rng_.coin() ? 32 : static_cast<s32>(1 + rng_.below(63));
  switch (rng_.below(5)) {
    case 0:
      emit(alu32x(BPF_MOV, reg, reg));
      return set_scalar(reg, 0xffffffff);
    case 1:
      emit(Prog{alu64k(BPF_LSH, reg, bits), alu64k(BPF_RSH, reg, bits)});
      return set_scalar(reg, ~0ULL >> bits);
    case 2:
      emit(Prog{alu64k(BPF_LSH, reg, bits), alu64k(BPF_ARSH, reg, bits)});
      break;
    case 3:
      emit(alu64x(BPF_MOV, reg, reg, static_cast<s32>(8u << rng_.below(3))));
      break;
    default:
      emit(alu32x(BPF_MOV, reg, reg, static_cast<s32>(8u << rng_.below(2))));
      break;
  }
  set_scalar(reg);
}

/// Two registers with one origin, of which one is looked at and the other used.
void FunctionWriter::link_registers() {
  const u32 from = scalar(), to = fresh(from);
  emit(rng_.chance(75) ? movr(to, from) : alu32x(BPF_MOV, to, from));
  set_scalar(to);
  if (rng_.coin()) {
    const u32 which = rng_.coin() ? to : from;
    emit(rng_.chance(80) ? alu64k(BPF_ADD, which, static_cast<s32>(rng_.below(16)) - 4)
                         : alu32k(BPF_ADD, which, static_cast<s32>(rng_.below(8))));
    set_scalar(which);
  }
  const u64 limit = 1 + rng_.below(16);
  bound(rng_.coin() ? to : from, limit);
  now_.regs[from].max = now_.regs[to].max = limit;  // what a link would tell
}

void FunctionWriter::copy() {
  const u32 from = rng_.below(11);
  const Reg what = now_.regs[from];
  if (what.kind == Kind::None) return set_constant();
  const u32 to = rng_.coin() ? kept() : fresh(from);
  if (to == from) return;
  emit(movr(to, from));
  now_.regs[to] = what;
  const bool pointer = what.kind == Kind::Stack || what.kind == Kind::Value || what.kind == Kind::Mem || what.kind == Kind::Packet;
  if (!pointer || rng_.coin()) return;
  const s32 step = what.kind == Kind::Stack ? -static_cast<s32>(8 * rng_.below(8)) : static_cast<s32>(rng_.below(9));
  emit(rng_.chance(85) ? alu64k(BPF_ADD, to, step) : alu64k(BPF_SUB, to, -step));
  now_.regs[to].off += step;
}

/// Sees to it that `reg` is at most `limit`, or leaves the function.
void FunctionWriter::bound(u32 reg, u64 limit) {
  const s32 k = static_cast<s32>(off_by(limit));
  now_.regs[reg].max = limit;
  const u32 way = holding_ ? 0 : rng_.below(8);
  switch (way) {
    case 0: {
      u64 mask = 1;
      while (mask * 2 + 1 <= limit) mask = mask * 2 + 1;
      return emit(rng_.coin() ? alu64k(BPF_AND, reg, limit == 0 ? 0 : static_cast<s32>(mask))
                              : alu32k(BPF_AND, reg, limit == 0 ? 0 : static_cast<s32>(mask)));
    }
    case 1:
      return jump_out(jk(BPF_JGT, reg, k, 0));
    case 2:
      return jump_out(jk(BPF_JGE, reg, k + 1, 0));
    case 3:
      emit(alu32x(BPF_MOV, reg, reg));
      return jump_out(j32k(rng_.coin() ? BPF_JGT : BPF_JSGT, reg, k, 0));
    case 4:
      jump_out(jk(BPF_JSGT, reg, k, 0));
      return jump_out(jk(BPF_JSLT, reg, 0, 0));
    case 5:
      emit(jk(BPF_JLE, reg, k, 1));
      return jump_out(ja(0));
    case 6: {
      const u32 other = fresh(reg);
      emit(mov(other, k));
      set_scalar(other, limit);
      return jump_out(rng_.coin() ? jx(BPF_JGT, reg, other, 0) : jx(BPF_JLT, other, reg, 0));
    }
    default:
      jump_out(j32k(BPF_JGT, reg, k, 0));
      return emit(alu32x(BPF_MOV, reg, reg));
  }
}

/// A register with a number from 0 to `limit`, hard to tell or easy.
u32 FunctionWriter::bounded(u64 limit) {
  const u32 reg = scalar();
  if (now_.regs[reg].max > limit || rng_.chance(10)) bound(reg, limit);
  return reg;
}

}  // namespace skep::fuzz
