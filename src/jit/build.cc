#include "jit/build.h"

#include <algorithm>

#include "helpers/helper.h"
#include "jit/blocks.h"
#include "jit/consts.h"
#include "jit/operands.h"
#include "jit/ssa.h"
#include "progtypes/func_ids.h"

namespace skep::jit {
namespace {

constexpr u32 INSN_ENTRY = 0;

Op alu_operation(const bpf_insn& insn) {
  switch (bpf_op(insn.code)) {
    case BPF_ADD:
      return Op::Add;
    case BPF_SUB:
      return Op::Sub;
    case BPF_MUL:
      return Op::Mul;
    case BPF_DIV:
      return insn.off == 1 ? Op::SDiv : Op::UDiv;
    case BPF_MOD:
      return insn.off == 1 ? Op::SMod : Op::UMod;
    case BPF_OR:
      return Op::Or;
    case BPF_AND:
      return Op::And;
    case BPF_XOR:
      return Op::Xor;
    case BPF_LSH:
      return Op::Shl;
    case BPF_RSH:
      return Op::Shr;
    default:
      return Op::Sar;
  }
}

Cond condition(u8 op) {
  switch (op) {
    case BPF_JEQ:
      return Cond::Eq;
    case BPF_JNE:
      return Cond::Ne;
    case BPF_JGT:
      return Cond::Ugt;
    case BPF_JGE:
      return Cond::Uge;
    case BPF_JLT:
      return Cond::Ult;
    case BPF_JLE:
      return Cond::Ule;
    case BPF_JSGT:
      return Cond::Sgt;
    case BPF_JSGE:
      return Cond::Sge;
    case BPF_JSLT:
      return Cond::Slt;
    case BPF_JSLE:
      return Cond::Sle;
    default:
      return Cond::Test;
  }
}

class Builder {
 public:
  Builder(const Program& program, u32 index) : p_(program), insns_(program.input().insns), index_(index) {}

  Built run() {
    Vec<InsnRange> in_bpf_order;
    split_blocks(p_, index_, &built_.function, &in_bpf_order);
    Vec<BlockId> old_index;
    built_.loops = order_blocks(f_, &old_index);
    for (const BlockId b : old_index) ranges_.push_back(in_bpf_order[b]);
    f_.values.reserve((p_.end(index_) - p_.start(index_)) * 5 / 4);
    ConstPool consts(f_);
    SsaVars vars(f_, built_.loops);
    consts_ = &consts;
    vars_ = &vars;
    note();
    vars.solve();
    enter();
    for (block_ = 0; block_ < f_.blocks.size(); ++block_) translate_block();
    consts.place();
    Vec<ValueId> moved;
    vars.finish(moved);
    return std::move(built_);
  }

 private:
  void note() {
    for (BlockId b = 0; b < f_.blocks.size(); ++b)
      for (u32 pc = ranges_[b].begin; pc < ranges_[b].end; pc += insn_slots(insns_[pc])) {
        const Effects e = p_.effects(pc);
        vars_->note_reads(b, e.reads);
        vars_->note_writes(b, e.writes);
      }
  }

  void enter() {
    insn_ = INSN_ENTRY;
    for (u32 r = 0; r < REGISTERS; ++r) {
      if ((vars_->live_on_entry() >> r & 1) == 0) continue;
      const bool is_param = r == 1 || (index_ != 0 && r >= 1 && r <= 5);
      vars_->now[r] = is_param ? consts_->get(Op::Param, r) : r == BPF_REG_FP ? consts_->get(Op::FrameAddr, 0) : consts_->get(0);
    }
  }

  void translate_block() {
    vars_->begin(block_);
    const InsnRange range = ranges_[block_];
    bool ended = false;
    for (u32 pc = range.begin; pc < range.end; pc += insn_slots(insns_[pc])) {
      insn_ = pc;
      ended = translate(insns_[pc], pc);
    }
    if (!ended) add({.op = Op::Jump});
    vars_->end(block_);
  }

  ValueId add(Value v) {
    v.block = block_;
    v.insn = insn_;
    const ValueId id = static_cast<ValueId>(f_.values.size());
    f_.values.push_back(v);
    f_.blocks[block_].values.push_back(id);
    return id;
  }
  static Value value(Op op, u8 width, ValueId a, ValueId b = NONE, ValueId c = NONE, ValueId d = NONE) {
    Value v;
    v.op = op;
    v.width = width;
    v.arg[0] = a, v.arg[1] = b, v.arg[2] = c, v.arg[3] = d;
    return v;
  }
  ValueId extend(Op op, u8 width, u8 size, ValueId a) {
    Value v = value(op, width, a);
    v.size = size;
    return add(v);
  }
  ValueId get(u32 r) const { return vars_->now[r]; }
  void set(u32 r, ValueId v) { vars_->now[r] = v; }
  ValueId constant(s64 imm) { return consts_->get(imm); }
  /// The second operand, as it counts for an operation on `width` bytes.
  ValueId source(const bpf_insn& insn, u8 width) {
    if (bpf_src(insn.code) == BPF_X) return get(insn.src_reg);
    return constant(width == 8 ? s64{insn.imm} : s64{static_cast<u32>(insn.imm)});
  }

  /// True when it ended the block.
  bool translate(const bpf_insn& insn, u32 pc) {
    switch (bpf_class(insn.code)) {
      case BPF_ALU:
      case BPF_ALU64:
        set(insn.dst_reg, alu(insn));
        return false;
      case BPF_LD:
        set(insn.dst_reg, load_imm64(insn, pc));
        return false;
      case BPF_LDX:
        load(insn);
        return false;
      case BPF_ST:
        store(insn, constant(insn.imm));
        return false;
      case BPF_STX:
        if (bpf_mode(insn.code) == BPF_ATOMIC)
          atomic(insn);
        else
          store(insn, get(insn.src_reg));
        return false;
      default:
        return jump(insn, pc);
    }
  }

  ValueId alu(const bpf_insn& insn) {
    const u8 op = bpf_op(insn.code), width = bpf_class(insn.code) == BPF_ALU64 ? 8 : 4;
    const ValueId dst = get(insn.dst_reg);
    if (op == BPF_MOV) return move(insn, width);
    if (op == BPF_END) return swap(insn, dst);
    if (op == BPF_NEG) return add(value(Op::Neg, width, dst));
    const ValueId src = source(insn, width);
    if (op == BPF_ADD && width == 8 && f_.values[dst].op == Op::FrameAddr && f_.values[src].op == Op::Const)
      return consts_->get(Op::FrameAddr,
                          static_cast<s64>(static_cast<u64>(f_.values[dst].imm) + static_cast<u64>(f_.values[src].imm)));
    return add(value(alu_operation(insn), width, dst, src));
  }

  ValueId move(const bpf_insn& insn, u8 width) {
    const ValueId src = source(insn, width);
    if (bpf_src(insn.code) == BPF_K) return src;
    if (insn.off != 0) return extend(Op::Sext, width, static_cast<u8>(insn.off / 8), src);
    return width == 8 ? src : extend(Op::Zext, 8, 4, src);
  }

  ValueId swap(const bpf_insn& insn, ValueId dst) {
    const u8 size = static_cast<u8>(insn.imm / 8);
    if (bpf_class(insn.code) == BPF_ALU64 || bpf_src(insn.code) == BPF_TO_BE) return extend(Op::Bswap, 8, size, dst);
    return size == 8 ? dst : extend(Op::Zext, 8, size, dst);
  }

  ValueId load_imm64(const bpf_insn& insn, u32 pc) {
    if (!is_pseudo_func(insn)) return constant(static_cast<s64>(ldimm64_value(&insns_[pc])));
    const u32 function = p_.function_at(call_target(insn, pc));
    return function == NONE ? constant(0) : consts_->get(Op::FuncAddr, function);
  }

  static Value access(Op op, const bpf_insn& insn, ValueId base, ValueId operand) {
    Value v = value(op, 8, base, NONE, operand);
    v.size = static_cast<u8>(access_bytes(insn.code));
    v.disp = insn.off;
    return v;
  }

  void load(const bpf_insn& insn) {
    Value v = access(Op::Load, insn, get(insn.src_reg), NONE);
    const u8 mode = bpf_mode(insn.code);
    v.sign = mode == BPF_MEMSX || mode == BPF_PROBE_MEMSX;
    v.probe = is_probe_load(insn.code);
    set(insn.dst_reg, add(v));
  }

  void store(const bpf_insn& insn, ValueId what) { add(access(Op::Store, insn, get(insn.dst_reg), what)); }

  void atomic(const bpf_insn& insn) {
    Value v = access(insn.imm == BPF_CMPXCHG ? Op::Cmpxchg : Op::Atomic, insn, get(insn.dst_reg), get(insn.src_reg));
    v.imm = insn.imm;
    if (insn.imm == BPF_CMPXCHG) v.arg[3] = get(0);
    const ValueId old = add(v);
    if (insn.imm == BPF_CMPXCHG)
      set(0, old);
    else if ((insn.imm & BPF_FETCH) != 0)
      set(insn.src_reg, old);
  }

  bool jump(const bpf_insn& insn, u32 pc) {
    const auto& succs = f_.blocks[block_].succs;
    if (is_exit(insn)) {
      add(value(Op::Ret, 8, get(0)));
    } else if (is_call(insn)) {
      call(insn, pc);
      return false;
    } else if (is_plain_jump(insn) || succs[1] == NONE) {
      add({.op = succs[0] == NONE ? Op::Trap : Op::Jump});
    } else {
      const u8 width = bpf_class(insn.code) == BPF_JMP ? 8 : 4;
      Value v = value(Op::Branch, width, get(insn.dst_reg), source(insn, width));
      v.cond = condition(bpf_op(insn.code));
      add(v);
    }
    return true;
  }

  void call(const bpf_insn& insn, u32 pc) {
    Value v;
    bool keeps_args = false;
    u16 args;
    if (is_pseudo_call(insn)) {
      v.op = Op::CallFunc;
      v.imm = p_.function_at(call_target(insn, pc));
      args = p_.params(static_cast<u32>(v.imm));
    } else {
      const u32 id = static_cast<u32>(insn.imm);
      const HelperInfo h = p_.helper(id);
      v.op = id == func::tail_call ? Op::TailCall : Op::CallHelper;
      built_.calls_helpers = true;
      v.imm = id;
      v.may_end = h.may_end;
      keeps_args = h.keeps_args;
      args = p_.effects(pc).reads;
    }
    for (u32 i = 0; i < 5; ++i)
      if ((args >> (i + 1) & 1) != 0) v.arg[i] = get(i + 1);
    const ValueId result = add(v);
    set(0, v.op == Op::TailCall ? constant(0) : result);
    if (keeps_args) return;
    for (u32 r = 1; r <= 5; ++r) set(r, constant(0));
  }

  const Program& p_;
  std::span<const bpf_insn> insns_;
  const u32 index_;
  Built built_;
  Function& f_ = built_.function;
  Vec<InsnRange> ranges_;
  ConstPool* consts_ = nullptr;
  SsaVars* vars_ = nullptr;
  BlockId block_ = 0;
  u32 insn_ = 0;
};

/// Registers that a function reads before it writes them.
u16 read_on_entry(const Program& p, u32 index) {
  Function f;
  Vec<InsnRange> in_bpf_order;
  split_blocks(p, index, &f, &in_bpf_order);
  Vec<BlockId> old_index;
  const Loops loops = order_blocks(f, &old_index);
  SsaVars vars(f, loops);
  for (BlockId b = 0; b < f.blocks.size(); ++b) {
    const InsnRange range = in_bpf_order[old_index[b]];
    for (u32 pc = range.begin; pc < range.end; pc += insn_slots(p.input().insns[pc])) {
      const Effects e = p.effects(pc);
      vars.note_reads(b, e.reads);
      vars.note_writes(b, e.writes);
    }
  }
  vars.solve();
  return static_cast<u16>(vars.live_on_entry());
}

}  // namespace

Built build_function(const Program& program, u32 index) { return Builder(program, index).run(); }

void find_params(Program& program) {
  if (program.n_functions() == 1) return;
  for (const u32 f : program.callees_first()) program.set_params(f, read_on_entry(program, f) & ARGUMENT_REGS);
}

u32 stack_needed(const Function& f, u32 depth) {
  const auto& entry = f.blocks[0].values;
  if (std::none_of(entry.begin(), entry.end(), [&](ValueId v) { return f.values[v].op == Op::FrameAddr; })) return 0;
  s64 lowest = 0;
  bool all = false;
  for (const Block& b : f.blocks)
    for (const ValueId id : b.values) {
      const Value& v = f.values[id];
      each_operand(f, v, [&](ValueId a) {
        if (f.values[a].op != Op::FrameAddr) return;
        const bool direct = is_memory(v.op) && a == v.arg[0] && a != v.arg[2] && a != v.arg[3] && v.arg[1] == NONE;
        lowest = std::min(lowest, std::max<s64>(f.values[a].imm, -s64{RUN_FRAME_BYTES}) + (direct ? v.disp : 0));
        all |= !direct;
      });
    }
  const s64 needed = std::max(-lowest, all ? s64{depth} : 0);
  return static_cast<u32>(std::min<u64>(round_up<u64>(static_cast<u64>(needed), 8), RUN_FRAME_BYTES));
}

}  // namespace skep::jit
