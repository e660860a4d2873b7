// jit tests: what a function in IR does, by walking it: memory is real, helpers are called, frames are the run's.
#pragma once
#include <gtest/gtest.h>

#include <cstring>

#include "helpers/helper.h"
#include "isa/eval.h"
#include "jit/compile.h"
#include "jit/gates.h"
#include "jit/operands.h"

namespace skep::jit::test {

class IrEval {
 public:
  IrEval(const std::vector<Function>& functions, RunCtx& run) : functions_(functions), run_(run) {
    run.machine = this;
    run.call_func = [](RunCtx& r, u64 func, const u64(&args)[5], u64* r0) noexcept {
      IrEval& self = *static_cast<IrEval*>(r.machine);
      ++r.frame;
      *r0 = self.call(static_cast<u32>(func & 0xffff), args);
      --r.frame;
      return !self.over();
    };
  }

  IrEval(const std::vector<Function>& functions, const JitInput&, RunCtx& run) : IrEval(functions, run) {}

  /// The whole program.
  u64 run() {
    const u64 args[5] = {reinterpret_cast<u64>(run_.ctx), 1, 2, 3, 4};
    const u64 r0 = call(0, args);
    return over() ? 0 : r0;
  }
  bool over() const { return run_.fault.kind != FaultKind::None || stuck_; }
  bool stuck() const { return stuck_; }

  u64 call(u32 index, const u64 (&args)[5]) {
    const Function& f = functions_[index];
    std::vector<u64> now(f.values.size(), 0xdeadbeefdeadbeefULL);
    std::memset(run_.stack[run_.frame], 0, RUN_FRAME_BYTES);
    BlockId from = NONE, b = 0;
    while (true) {
      phis(f, b, from, now);
      for (const ValueId id : f.blocks[b].values) {
        if (++steps_ > 3000000) stuck_ = true;
        const Value& v = f.values[id];
        if (v.op == Op::Phi) continue;
        if (v.op == Op::Ret) return now[v.arg[0]];
        if (v.op == Op::Trap) stuck_ = true;
        if (!is_terminator(v.op)) now[id] = value(f, v, now, args);
        if (over()) return 0;
      }
      const Value& end = f.values[f.blocks[b].values.back()];
      from = b;
      b = f.blocks[b].succs[end.op == Op::Branch && !holds(end.cond, end.width, now[end.arg[0]], now[end.arg[1]]) ? 1 : 0];
    }
  }

  static bool holds(Cond c, u8 width, u64 a, u64 b) {
    if (width == 4) a = static_cast<u32>(a), b = static_cast<u32>(b);
    const s64 sa = width == 4 ? static_cast<s32>(a) : static_cast<s64>(a),
              sb = width == 4 ? static_cast<s32>(b) : static_cast<s64>(b);
    switch (c) {
      case Cond::Eq:
        return a == b;
      case Cond::Ne:
        return a != b;
      case Cond::Ult:
        return a < b;
      case Cond::Ule:
        return a <= b;
      case Cond::Ugt:
        return a > b;
      case Cond::Uge:
        return a >= b;
      case Cond::Slt:
        return sa < sb;
      case Cond::Sle:
        return sa <= sb;
      case Cond::Sgt:
        return sa > sb;
      case Cond::Sge:
        return sa >= sb;
      case Cond::Test:
        return (a & b) != 0;
      default:
        return (a & b) == 0;
    }
  }

 private:
  void phis(const Function& f, BlockId b, BlockId from, std::vector<u64>& now) {
    if (from == NONE) return;
    const auto& preds = f.blocks[b].preds;
    const std::size_t which = static_cast<std::size_t>(std::find(preds.begin(), preds.end(), from) - preds.begin());
    std::vector<std::pair<ValueId, u64>> set;
    for (const ValueId id : f.blocks[b].values)
      if (f.values[id].op == Op::Phi) set.emplace_back(id, now[f.phi_args[static_cast<std::size_t>(f.values[id].imm) + which]]);
    for (const auto& [id, v] : set) now[id] = v;
  }

  u64 binary(const Value& v, u64 a, u64 b) {
    const bool w = v.width == 8;
    const auto by = [&](u8 op, s16 off = 0) -> u64 {
      return w ? alu_op<u64, s64>(op, a, b, off) : alu_op<u32, s32>(op, static_cast<u32>(a), static_cast<u32>(b), off);
    };
    __extension__ typedef __int128 Wide;
    __extension__ typedef unsigned __int128 UWide;
    switch (v.op) {
      case Op::Add:
        return by(BPF_ADD);
      case Op::Sub:
        return by(BPF_SUB);
      case Op::Mul:
        return by(BPF_MUL);
      case Op::And:
        return by(BPF_AND);
      case Op::Or:
        return by(BPF_OR);
      case Op::Xor:
        return by(BPF_XOR);
      case Op::Shl:
        return by(BPF_LSH);
      case Op::Shr:
        return by(BPF_RSH);
      case Op::Sar:
        return by(BPF_ARSH);
      case Op::UDiv:
        return by(BPF_DIV);
      case Op::UMod:
        return by(BPF_MOD);
      case Op::SDiv:
        return by(BPF_DIV, 1);
      case Op::SMod:
        return by(BPF_MOD, 1);
      case Op::Rotl: {
        const u32 bits = v.width * 8u, n = static_cast<u32>(b) % bits;
        if (!w) a = static_cast<u32>(a);
        const u64 r = n == 0 ? a : a << n | a >> (bits - n);
        return w ? r : static_cast<u32>(r);
      }
      case Op::MulHiU:
        return w ? static_cast<u64>(static_cast<UWide>(a) * b >> 64)
                 : static_cast<u64>(static_cast<u32>(a)) * static_cast<u32>(b) >> 32;
      default:
        return w ? static_cast<u64>(static_cast<Wide>(static_cast<s64>(a)) * static_cast<s64>(b) >> 64)
                 : static_cast<u32>(static_cast<u64>(s64{static_cast<s32>(a)} * static_cast<s32>(b)) >> 32);
    }
  }

  static u64 low(u64 v, u8 size) { return size == 8 ? v : v & ((u64{1} << size * 8) - 1); }
  static u64 load(u64 addr, u8 size) {
    u64 v = 0;
    std::memcpy(&v, reinterpret_cast<const void*>(addr), size);
    return v;
  }
  static void store(u64 addr, u8 size, u64 v) { std::memcpy(reinterpret_cast<void*>(addr), &v, size); }
  static u64 signed_to(u64 v, u8 size, u8 width) {
    const u64 wide = sign_extend(v, static_cast<s16>(size * 8));
    return width == 8 ? wide : static_cast<u32>(wide);
  }
  u64 get(const std::vector<u64>& now, ValueId v) const { return v == NONE ? 0 : now[v]; }

  u64 value(const Function& f, const Value& v, const std::vector<u64>& now, const u64 (&args)[5]) {
    const u64 a = get(now, v.arg[0]), b = get(now, v.arg[1]), c = get(now, v.arg[2]), d = get(now, v.arg[3]);
    const u64 addr = a + (b << v.scale) + static_cast<u64>(s64{v.disp});
    static_cast<void>(f);
    if (is_binary(v.op)) return binary(v, a, b);
    switch (v.op) {
      case Op::Const:
        return static_cast<u64>(v.imm);
      case Op::FrameAddr:
        return reinterpret_cast<u64>(run_.stack[run_.frame]) + RUN_FRAME_BYTES + static_cast<u64>(v.imm);
      case Op::FuncAddr:
        return RUN_FUNC_TAG | static_cast<u64>(v.imm);
      case Op::Param:
        return v.imm == 0 ? reinterpret_cast<u64>(&run_) : args[v.imm - 1];
      case Op::Neg:
        return v.width == 8 ? 0 - a : static_cast<u32>(0 - a);
      case Op::Not:
        return v.width == 8 ? ~a : static_cast<u32>(~a);
      case Op::Bswap:
        return byte_swap(a, v.size * 8);
      case Op::Zext:
        return low(a, v.size);
      case Op::Sext:
        return signed_to(a, v.size, v.width);
      case Op::Select:
        return holds(v.cond, v.width, a, b) ? c : d;
      case Op::Lea:
        return v.width == 8 ? addr : static_cast<u32>(addr);
      case Op::Load: {
        const u64 got = load(addr, v.size);
        return v.sign ? signed_to(got, v.size, v.width) : got;
      }
      case Op::Store:
        store(addr, v.size, c);
        return 0;
      case Op::Update: {
        Value op = v;
        op.op = v.sub;
        op.width = 8;
        store(addr, v.size, binary(op, load(addr, v.size), c));
        return 0;
      }
      case Op::Atomic:
        return atomic(v, addr, c);
      case Op::Cmpxchg: {
        const u64 old = load(addr, v.size);
        if (old == low(d, v.size)) store(addr, v.size, c);
        return old;
      }
      case Op::CallHelper:
        return helper_fn(static_cast<u64>(v.imm))(run_, a, b, c, d, get(now, v.arg[4]));
      case Op::CallGate:
        return gate(v, a, b, c, d, get(now, v.arg[4]));
      case Op::CallFunc: {
        const u64 given[5] = {a, b, c, d, get(now, v.arg[4])};
        ++run_.frame;
        const u64 r0 = call(static_cast<u32>(v.imm), given);
        --run_.frame;
        return r0;
      }
      default:
        return 0;  // a tail call: nobody is there
    }
  }

  u64 atomic(const Value& v, u64 addr, u64 src) {
    const u64 old = load(addr, v.size);
    switch (v.imm & ~s64{BPF_FETCH}) {
      case BPF_ADD:
        store(addr, v.size, old + src);
        break;
      case BPF_AND:
        store(addr, v.size, old & src);
        break;
      case BPF_OR:
        store(addr, v.size, old | src);
        break;
      case BPF_XOR:
        store(addr, v.size, old ^ src);
        break;
      default:
        store(addr, v.size, src);
        break;
    }
    return old;
  }

  u64 gate(const Value& v, u64 a, u64 b, u64 c, u64 d, u64 e) {
    using Fn = u64(u64, u64, u64, u64, u64);
    return reinterpret_cast<Fn*>(const_cast<void*>(map_gate_fn(static_cast<u32>(v.imm) - GATE_MAP)))(a, b, c, d, e);
  }

  const std::vector<Function>& functions_;
  RunCtx& run_;
  u64 steps_ = 0;
  bool stuck_ = false;
};

}  // namespace skep::jit::test
