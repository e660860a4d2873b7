// The function as a whole: its frame, its blocks, how they end.
#include "jit/emit.h"

#include <bit>

#include "jit/gates.h"

namespace skep::jit {

FunctionEmitter::FunctionEmitter(ProgramCode& program, const Machine& machine, const Live& live, Allocation& allocation)
    : p_(program), c_(program.code), m_(machine), live_(live), a_(allocation), order_(allocation.n_slots) {
  for (std::size_t i = 0; i < m_.f.blocks.size(); ++i) block_labels_.push_back(c_.new_label());
}

void FunctionEmitter::emit(u32 index) {
  find_edges();
  frame_shape();
  ProgramCode::FunctionCode f{c_.mark(), {}, {}, 0, saved_};
  c_.bind(p_.labels[index]);
  line(m_.f.blocks[live_.blocks[0].id].values.empty() ? 0 : m_.value(m_.f.blocks[live_.blocks[0].id].values.front()).insn);
  prologue(index);
  f.body = c_.mark();
  take_params();
  for (u32 i = 0; i < live_.blocks.size(); ++i) block(i);
  deferred();
  f.end = c_.mark();
  f.frame = frame_bytes_ + 8 * static_cast<u32>(std::popcount(saved_));
  p_.functions.push_back(f);
}

void FunctionEmitter::find_edges() {
  const auto& blocks = m_.f.blocks;
  edge_index_.assign(blocks.size() * 2, NONE);
  for (BlockId b = 0; b < blocks.size(); ++b)
    for (u32 i = 0; i < blocks[b].preds.size(); ++i) {
      const BlockId p = blocks[b].preds[i];
      const bool second = blocks[p].succs[0] != b || edge_index_[p * 2] != NONE;
      edge_index_[p * 2 + second] = i;
    }
}

/// From rsp upwards: slots, BPF stack, what was pushed.
void FunctionEmitter::frame_shape() {
  saved_ = a_.used & CALLEE_SAVED;
  bool calls = !live_.calls().empty();
  const u32 pushed = 8 * static_cast<u32>(std::popcount(saved_));
  frame_end_ = round_up(a_.n_slots * 8 + m_.f.stack_bytes, 16);
  if (m_.f.stack_bytes == 0) frame_end_ = a_.n_slots * 8;
  frame_bytes_ = frame_end_;
  // Aligned to 16 where it matters: for those who are called, and for the BPF stack.
  if ((calls || m_.f.stack_bytes != 0) && (frame_bytes_ + pushed + 8) % 16 != 0) frame_bytes_ += 8;
}

void FunctionEmitter::prologue(u32) {
  for (u32 r = 0; r < NR_REGS; ++r)
    if (saved_ & bit(r)) c_.push(reg(r, 8));
  if (frame_bytes_ != 0) c_.sub(c_.rsp, frame_bytes_);
}

void FunctionEmitter::epilogue() {
  if (frame_bytes_ != 0) c_.add(c_.rsp, frame_bytes_);
  for (u32 r = NR_REGS; r-- > 0;)
    if (saved_ & bit(r)) c_.pop(reg(r, 8));
}

void FunctionEmitter::take_params() {
  group_.clear();
  for (const ValueId id : m_.f.blocks[live_.blocks[0].id].values) {
    const Value& v = m_.value(id);
    if (v.op == Op::Param && m_.is_kept(v))
      group_.push_back({a_.loc(id, live_.position_of[id]), Loc::in(ARG_REGS[static_cast<std::size_t>(v.imm)])});
  }
  moves(group_);
}

void FunctionEmitter::line(u32 insn) {
  if (insn == last_line_) return;
  last_line_ = insn;
  p_.lines.push_back({c_.mark(), insn});
}

FunctionEmitter::Deferred& FunctionEmitter::defer(Deferred::Kind kind, const Value& v) {
  Deferred d{};
  d.kind = kind;
  d.at = c_.new_label();
  d.back = c_.new_label();
  d.insn = v.insn;
  d.value = id_;
  deferred_.push_back(d);
  return deferred_.back();
}

void FunctionEmitter::block(u32 i) {
  const LaidBlock& b = live_.blocks[i];
  const bool head = b.loop != NONE && live_.loops[b.loop].first == i;
  if (head && !m_.f.blocks[b.id].unlikely) c_.align_loop();
  c_.bind(block_labels_[b.id]);
  flags_of_ = NONE;
  for (const ValueId id : m_.f.blocks[b.id].values) {
    const Value& v = m_.value(id);
    if (m_.skipped(v)) continue;
    id_ = id;
    pos_ = live_.position_of[id];
    line(v.insn);
    moves(a_.moves_before(pos_));
    if (is_terminator(v.op)) {
      terminator(i, id, v);
    } else {
      flags_of_ = NONE;
      instruction(id, v);
    }
  }
}

void FunctionEmitter::instruction(ValueId, const Value& v) {
  switch (v.op) {
    case Op::Add:
      return add(v);
    case Op::Sub:
      if (m_.immediate(v.arg[1], v.width) && m_.value(v.arg[1]).imm != INT32_MIN)
        return add_imm(result(), moved(v.arg[0], EARLY), static_cast<s64>(0 - static_cast<u64>(m_.value(v.arg[1]).imm)), v.width);
      return logic(v);
    case Op::Mul:
      return mul(v);
    case Op::And:
    case Op::Or:
    case Op::Xor:
      return logic(v);
    case Op::Shl:
    case Op::Shr:
    case Op::Sar:
    case Op::Rotl:
      return shift(v);
    case Op::UDiv:
    case Op::UMod:
    case Op::SDiv:
    case Op::SMod:
      return divide(v);
    case Op::MulHiU:
    case Op::MulHiS:
      return mul_high(v);
    case Op::Neg:
    case Op::Not:
    case Op::Bswap:
      return unary(v);
    case Op::Zext:
    case Op::Sext:
      return extend(v);
    case Op::Select:
      return select(v);
    case Op::Lea:
      return c_.lea(Xbyak::Reg32e(static_cast<int>(result()), static_cast<int>(v.width * 8)), memory(v, EARLY, 8));
    case Op::Load:
      return load(v);
    case Op::Store:
      return store(v);
    case Op::Update:
      return update(v);
    case Op::Atomic:
      return atomic(v);
    case Op::Cmpxchg:
      return cmpxchg(v);
    case Op::TailCall:
      return tail_call(v);
    default:
      return call(v);
  }
}

// --- Ends of blocks ---

void FunctionEmitter::jump_to(u32 from, BlockId to) {
  if (from + 1 < live_.blocks.size() && live_.blocks[from + 1].id == to) return;
  c_.jump(block_labels_[to]);
}

void FunctionEmitter::edge_and_jump(u32 from, u32 succ) {
  const BlockId b = live_.blocks[from].id, to = m_.f.blocks[b].succs[succ];
  moves(a_.edge_moves(to, edge_index_[b * 2 + succ]));
  jump_to(from, to);
}

void FunctionEmitter::terminator(u32 i, ValueId, const Value& v) {
  switch (v.op) {
    case Op::Jump:
      return edge_and_jump(i, 0);
    case Op::Branch:
      return branch(i, v);
    case Op::Ret:
      copy(Loc::in(RAX), moved(v.arg[0], EARLY));
      epilogue();
      return c_.ret();
    default:
      return c_.hlt();
  }
}

/// Whether the moves of an edge may be made before the comparison: what they write nobody needs, whichever way it goes.
bool FunctionEmitter::hoist(u32 i, const Value& v, std::span<const Move> m) {
  RegMask busy = a_.live_out[i];
  m_.each_use(v, [&](ValueId used, Phase phase, Need, Reg) {
    const Loc loc = at(used, phase);
    if (loc.is_reg()) busy = static_cast<RegMask>(busy | bit(loc.code));
  });
  for (const Move& x : m)
    if (!x.dst.is_reg() || (busy & bit(x.dst.code))) return false;
  return true;
}

void FunctionEmitter::branch(u32 i, const Value& v) {
  const Block& b = m_.f.blocks[live_.blocks[i].id];
  const BlockId next = i + 1 < live_.blocks.size() ? live_.blocks[i + 1].id : NONE;
  std::span<const Move> m[2];
  float freq[2];
  for (u32 k = 0; k < 2; ++k) {
    m[k] = a_.edge_moves(b.succs[k], edge_index_[live_.blocks[i].id * 2 + k]);
    freq[k] = live_.blocks[live_.index_of[b.succs[k]]].freq;
  }
  const u32 hot = freq[0] >= freq[1] ? 0 : 1;
  if (!m[hot].empty() && hoist(i, v, m[hot])) {
    moves(m[hot]);
    m[hot] = {};
  }
  u8 cc;
  if (!flags_say(v, &cc)) cc = compare(v, EARLY);
  // `here`: the way that goes on behind the jump; the other one is jumped to.
  u32 here = b.succs[1] == next ? 1 : b.succs[0] == next ? 0 : m[0].empty() == m[1].empty() ? hot : m[0].empty() ? 1 : 0;
  const bool between = !m[1 - here].empty();
  // Moves of the way that is mostly taken stand right here too, if the other one needs none.
  if (between && m[here].empty() && freq[1 - here] > freq[here]) here = 1 - here;
  const u32 there = 1 - here;
  const u8 to_there = there == 0 ? cc : cc ^ 1;
  if (m[there].empty()) {
    c_.jump_if(to_there, block_labels_[b.succs[there]]);
  } else {
    Deferred& out = defer(Deferred::Edge, v);
    out.block = b.succs[there];
    out.edge = edge_index_[live_.blocks[i].id * 2 + there];
    c_.jump_if(to_there, out.at);
  }
  moves(m[here]);
  jump_to(i, b.succs[here]);
}

// --- Behind the blocks ---

void FunctionEmitter::deferred() {
  for (const Deferred& d : deferred_) {
    c_.bind(d.at);
    line(d.insn);
    switch (d.kind) {
      case Deferred::Edge:
        moves(a_.edge_moves(d.block, d.edge));
        c_.jump(block_labels_[d.block]);
        break;
      case Deferred::ProbeFault:
        c_.xor_(reg(d.reg, 4), reg(d.reg, 4));
        c_.jump(d.back);
        break;
      case Deferred::Divide:
        divide_deferred(d, m_.value(d.value));
        break;
      case Deferred::WideDivide:
        if (d.other.is_reg())
          wide_divide(m_.value(d.value), reg(d.other.code, 8));
        else
          wide_divide(m_.value(d.value), slot(d.other));
        c_.jump(d.back);
        break;
      case Deferred::EndRun:
        copy(Loc::in(RDI), d.run);
        call_gate(GATE_END_RUN);
        c_.hlt();
        break;
      case Deferred::LeaveForTail: {
        const Move both[] = {{Loc::in(RDI), d.run}, {Loc::in(RSI), d.other}};
        moves(both);
        epilogue();
        c_.jmp(c_.rax);
        break;
      }
    }
  }
}

}  // namespace skep::jit
