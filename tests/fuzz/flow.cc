#include "function_writer.h"

namespace skep::fuzz {
namespace {

constexpr u8 JUMPS[] = {BPF_JEQ, BPF_JGT, BPF_JGE, BPF_JSET, BPF_JNE, BPF_JSGT, BPF_JSGE, BPF_JLT, BPF_JLE, BPF_JSLT, BPF_JSLE};

}  // namespace

void FunctionWriter::statement() {
  if (w_.budget == 0) return;
  --w_.budget;
  struct Choice {
    u32 weight;
    void (FunctionWriter::*write)();
  };
  static constexpr Choice CHOICES[] = {
      {10, &FunctionWriter::alu},
      {3, &FunctionWriter::unary},
      {6, &FunctionWriter::narrow_trick},
      {5, &FunctionWriter::link_registers},
      {6, &FunctionWriter::copy},
      {3, &FunctionWriter::set_constant},
      {6, &FunctionWriter::stack_store},
      {6, &FunctionWriter::stack_load},
      {4, &FunctionWriter::stack_variable},
      {6, &FunctionWriter::spill_fill},
      {4, &FunctionWriter::ctx_access},
      {7, &FunctionWriter::value_access},
      {6, &FunctionWriter::packet_access},
      {5, &FunctionWriter::lookup},
      {2, &FunctionWriter::check_null},
      {3, &FunctionWriter::atomic_op},
      {2, &FunctionWriter::update_or_delete},
      {3, &FunctionWriter::plain_helper},
      {2, &FunctionWriter::ringbuf},
      {1, &FunctionWriter::ringbuf_output},
      {2, &FunctionWriter::memory_helper},
      {1, &FunctionWriter::packet_helper},
      {1, &FunctionWriter::tail_call},
      {3, &FunctionWriter::subprogram},
      {2, &FunctionWriter::loop_helper},
      {1, &FunctionWriter::each_element},
      {1, &FunctionWriter::queue},
      {3, &FunctionWriter::direct_value},
      {1, &FunctionWriter::inner_map},
      {1, &FunctionWriter::fastcall},
      {12, &FunctionWriter::branch},
      {3, &FunctionWriter::counted_loop},
      {2, &FunctionWriter::may_goto_loop},
      {1, &FunctionWriter::leave},
      {1, &FunctionWriter::packet_load},
  };
  constexpr u32 TOTAL = [] {
    u32 sum = 0;
    for (const Choice& c : CHOICES) sum += c.weight;
    return sum;
  }();
  u32 pick = rng_.below(TOTAL);
  for (const Choice& c : CHOICES) {
    if (pick < c.weight) return (this->*c.write)();
    pick -= c.weight;
  }
}

void FunctionWriter::block(u32 statements) {
  ++nesting_;
  while (statements-- > 0) statement();
  --nesting_;
}

bpf_insn FunctionWriter::scalar_jump(u32 reg) {
  const u8 op = rng_.of(JUMPS);
  const bool wide = rng_.below(5) < 3;
  if (rng_.coin()) {
    const u32 other = scalar();
    return wide ? jx(op, reg, other, 0) : j32x(op, reg, other, 0);
  }
  const s32 imm = static_cast<s32>(rng_.edge());
  return wide ? jk(op, reg, imm, 0) : j32k(op, reg, imm, 0);
}

void FunctionWriter::branch() {
  const u32 reg = scalar();
  const bpf_insn test = scalar_jump(reg);
  if (nesting_ >= 3) return;
  const u32 jump = at();
  emit(test);
  const Beliefs before = now_;
  block(1 + rng_.below(3));
  if (rng_.chance(35)) {
    const u32 skip = at();
    emit(ja(0));
    land(jump);
    const Beliefs then = now_;
    now_ = before;
    block(1 + rng_.below(3));
    now_.meet(then);
    return land(skip);
  }
  land(jump);
  now_.meet(before);
}

/// What a second turn may find otherwise than the first is forgotten.
void FunctionWriter::enter_loop() {
  for (u32 r = 0; r < 10; ++r) {
    if ((pinned_ >> r & 1) != 0) continue;
    if (r < 6)
      now_.regs[r] = {};
    else
      now_.regs[r].max = ~0ULL;
  }
  for (Reg& r : now_.spilled) r = {};
}

void FunctionWriter::counted_loop() {
  if (nesting_ >= 2) return alu();
  const u32 counter = kept();
  if (counter < 7) return;
  const u32 before = pinned_;
  const s32 turns = static_cast<s32>(1 + rng_.below(6));
  const bool up = rng_.coin();
  emit(mov(counter, up ? 0 : turns));
  set_scalar(counter, static_cast<u64>(turns));
  u32 pinned = 0;
  for (u32 r = 7; r < 10; ++r)
    if (now_.regs[r].kind != Kind::Scalar && now_.regs[r].kind != Kind::None) pinned |= 1u << r;
  pinned_ |= 1u << counter | pinned;
  enter_loop();
  const u32 start = at();
  block(1 + rng_.below(3));
  if (rng_.chance(30) && !holding_) jump_out(scalar_jump(scalar()));
  emit(alu64k(BPF_ADD, counter, up ? 1 : -1));
  static constexpr u8 UP[] = {BPF_JLT, BPF_JSLT, BPF_JNE};
  emit(up ? jk(rng_.of(UP), counter, turns, 0) : jk(rng_.coin() ? BPF_JNE : BPF_JSGT, counter, 0, 0));
  w_.code.back().off = static_cast<s16>(static_cast<s32>(start) - static_cast<s32>(at()));
  pinned_ = before;
}

void FunctionWriter::may_goto_loop() {
  if (nesting_ >= 2) return narrow_trick();
  const u32 before = pinned_;
  for (u32 r = 7; r < 10; ++r)
    if (now_.regs[r].kind != Kind::Scalar && now_.regs[r].kind != Kind::None) pinned_ |= 1u << r;
  enter_loop();
  const u32 start = at();
  emit(may_goto(0));
  const Beliefs entry = now_;
  block(1 + rng_.below(3));
  // The counter of a run allows millions of turns: mostly something else ends the loop.
  if (!holding_ && rng_.chance(97)) {
    emit(call(7));
    clobber();
    jump_out(jk(BPF_JSET, 0, 7, 0));
  }
  emit(ja(static_cast<s32>(start) - static_cast<s32>(at()) - 1));
  land(start);
  now_.meet(entry);
  pinned_ = before;
}

/// Out of the function, on some condition.
void FunctionWriter::leave() {
  if (holding_) return;
  jump_out(scalar_jump(scalar()));
}

void FunctionWriter::finish() {
  for (const u32 jump : outs_) land(jump);
  if (callback_)
    emit(mov(0, static_cast<s32>(rng_.below(rng_.chance(3) ? 3 : 2))));
  else
    emit(mov(0, static_cast<s32>(rng_.below(3))));
  emit(exit_());
}

void FunctionWriter::write(u32 statements) {
  now_.regs[10] = {.kind = Kind::Stack};
  if (depth_ == 0) {
    emit(movr(6, 1));
    now_.regs[6] = now_.regs[1] = {.kind = Kind::Ctx};
  } else {
    pinned_ = 0;
    for (u32 r = 1; r <= 4; ++r) {
      if (now_.regs[r].kind == Kind::None || r > 3) continue;
      emit(movr(6 + r, r));
      now_.regs[6 + r] = now_.regs[r];
    }
    if (now_.regs[1].kind == Kind::Ctx) {
      emit(movr(6, 1));
      now_.regs[6] = now_.regs[1];
      pinned_ = 1u << 6;
    }
  }
  for (u32 n = 0; n < statements; ++n) statement();
  finish();
}

}  // namespace skep::fuzz
