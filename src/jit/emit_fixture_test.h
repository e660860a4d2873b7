// jit tests: functions in IR made by hand, and their machine code run in this process.
#pragma once
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cstring>
#include <map>
#include <memory>

#include "jit/emit.h"
#include "jit/gates.h"
#include "jit/operands.h"
#include "jit/run.h"

namespace skep::jit::test {

/// Makes a function. Phis get their operands by name of the predecessor, whenever that is known.
class IrBuilder {
 public:
  IrBuilder() { at(block()); }

  BlockId block(u32 loop_depth = 0, bool unlikely = false) {
    f.blocks.emplace_back();
    f.blocks.back().loop_depth = loop_depth;
    f.blocks.back().unlikely = unlikely;
    return static_cast<BlockId>(f.blocks.size() - 1);
  }
  void at(BlockId b) { here = b; }
  ValueId add(Value v) {
    v.block = here;
    v.insn = static_cast<u32>(f.values.size());
    f.values.push_back(v);
    f.blocks[here].values.push_back(static_cast<ValueId>(f.values.size() - 1));
    return f.blocks[here].values.back();
  }
  ValueId leaf(Op op, s64 imm) {
    Value v;
    v.op = op;
    v.imm = imm;
    return add(v);
  }
  ValueId constant(s64 imm) { return leaf(Op::Const, imm); }
  ValueId constant(u64 imm) { return leaf(Op::Const, static_cast<s64>(imm)); }
  ValueId param(s64 n) { return leaf(Op::Param, n); }
  ValueId frame(s64 imm) { return leaf(Op::FrameAddr, imm); }
  ValueId op(Op o, ValueId a, ValueId b = NONE, u8 width = 8, u8 size = 8) {
    Value v;
    v.op = o;
    v.arg[0] = a;
    v.arg[1] = b;
    v.width = width;
    v.size = size;
    return add(v);
  }
  ValueId select(Cond c, ValueId a, ValueId b, ValueId yes, ValueId no, u8 width = 8) {
    Value v;
    v.op = Op::Select;
    v.cond = c;
    v.width = width;
    v.arg[0] = a, v.arg[1] = b, v.arg[2] = yes, v.arg[3] = no;
    return add(v);
  }
  ValueId memory(Op o, u8 size, ValueId base, s32 disp = 0, ValueId index = NONE, u8 scale = 0, ValueId data = NONE) {
    Value v;
    v.op = o;
    v.size = size;
    v.arg[0] = base, v.arg[1] = index, v.arg[2] = data;
    v.scale = scale;
    v.disp = disp;
    return add(v);
  }
  ValueId load(u8 size, ValueId base, s32 disp = 0, ValueId index = NONE, u8 scale = 0) {
    return memory(Op::Load, size, base, disp, index, scale);
  }
  ValueId store(u8 size, ValueId data, ValueId base, s32 disp = 0, ValueId index = NONE, u8 scale = 0) {
    return memory(Op::Store, size, base, disp, index, scale, data);
  }
  ValueId call(Op o, s64 imm, std::initializer_list<ValueId> args, bool may_end = false) {
    Value v;
    v.op = o;
    v.imm = imm;
    v.may_end = may_end;
    std::copy(args.begin(), args.end(), v.arg);
    return add(v);
  }
  void ret(ValueId v) { op(Op::Ret, v); }
  void jump(BlockId to) {
    Value v;
    v.op = Op::Jump;
    add(v);
    edge(0, to);
  }
  void branch(Cond c, ValueId a, ValueId b, BlockId yes, BlockId no, u8 width = 8) {
    Value v;
    v.op = Op::Branch;
    v.cond = c;
    v.width = width;
    v.arg[0] = a, v.arg[1] = b;
    add(v);
    edge(0, yes);
    edge(1, no);
  }
  /// In the block at hand, which has nothing but phis yet.
  ValueId phi() { return leaf(Op::Phi, 0); }
  void phi_arg(ValueId phi, BlockId from, ValueId v) { args_[phi][from] = v; }

  Function take() {
    for (const Block& b : f.blocks)
      for (const ValueId id : b.values) {
        Value& v = f.values[id];
        if (v.op != Op::Phi) continue;
        v.imm = static_cast<s64>(f.phi_args.size());
        for (const BlockId p : b.preds) f.phi_args.push_back(args_.at(id).at(p));
      }
    count_uses(f);
    EXPECT_EQ(check(f), "") << print(f);
    return std::move(f);
  }

  Function f;
  BlockId here = 0;

 private:
  void edge(u32 k, BlockId to) {
    f.blocks[here].succs[k] = to;
    f.blocks[to].preds.push_back(here);
  }
  std::map<ValueId, std::map<BlockId, ValueId>> args_;
};

/// Machine code in this process: gates, then the code, which is never writable and executable at once.
class Loaded {
 public:
  explicit Loaded(const JitCode& code) : code_(code) {
    size_ = round_up(GATES_SIZE + code.bytes.size(), PAGE_SIZE);
    base_ = static_cast<u8*>(mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    EXPECT_NE(base_, MAP_FAILED);
    fill_gates(static_cast<u64*>(static_cast<void*>(base_)));
    std::memcpy(base_ + GATES_SIZE, code.bytes.data(), code.bytes.size());
    for (const GateRef& g : code.gates) {
      const s64 d = static_cast<s64>(g.gate * 8) - static_cast<s64>(GATES_SIZE + g.at + 4);
      const s32 disp = static_cast<s32>(d);
      std::memcpy(base_ + GATES_SIZE + g.at, &disp, 4);
    }
    protect();
  }
  Loaded(const Loaded&) = delete;
  ~Loaded() { munmap(base_, size_); }

  void set_gate(u32 gate, const void* fn) {
    mprotect(base_, size_, PROT_READ | PROT_WRITE);
    std::memcpy(base_ + gate * 8, &fn, 8);
    protect();
  }
  template <typename F>
  void set_gate(u32 gate, F* fn) {
    set_gate(gate, reinterpret_cast<const void*>(fn));
  }
  u8* code() { return base_ + GATES_SIZE; }
  JitFn* function(u32 i = 0) { return reinterpret_cast<JitFn*>(code() + code_.functions[i].begin); }

 private:
  void protect() { EXPECT_EQ(mprotect(base_, size_, PROT_READ | PROT_EXEC), 0); }
  const JitCode& code_;
  u8* base_;
  std::size_t size_;
};

inline JitCode emit_all(std::vector<Function> functions, Features features = machine_features()) {
  auto made = emit_for(functions, features);
  EXPECT_TRUE(made.ok());
  return made.ok() ? std::move(*made) : JitCode{};
}
inline JitCode emit_one(Function f, Features features = machine_features()) {
  std::vector<Function> functions;
  functions.push_back(std::move(f));
  return emit_all(std::move(functions), features);
}

/// Callee-saved registers as they are before and after a call: fn(args), with a pattern in each of them. False: one was lost.
inline bool call_checked(JitFn* fn, RunCtx* run, const u64 (&a)[5], u64* r0) {
  u64 result, bad;
  register u64 r8 asm("r8") = a[3];
  register u64 r9 asm("r9") = a[4];
  u64 rdi = reinterpret_cast<u64>(run), rsi = a[0], rdx = a[1], rcx = a[2];
  asm volatile(
      "push %%rbx\n push %%rbp\n push %%r12\n push %%r13\n push %%r14\n push %%r15\n"
      "mov $0x1111, %%ebx\n mov $0x2222, %%ebp\n mov $0x3333, %%r12d\n mov $0x4444, %%r13d\n mov $0x5555, %%r14d\n"
      "mov %%rsp, %%r15\n and $-16, %%rsp\n push %%r15\n push %%r15\n"
      "call *%%rax\n"
      "mov %%rax, %%rcx\n"
      "xor $0x1111, %%rbx\n xor $0x2222, %%rbp\n xor $0x3333, %%r12\n xor $0x4444, %%r13\n xor $0x5555, %%r14\n"
      "xor (%%rsp), %%r15\n"
      "or %%rbp, %%rbx\n or %%r12, %%rbx\n or %%r13, %%rbx\n or %%r14, %%rbx\n or %%r15, %%rbx\n mov %%rbx, %%rdx\n"
      "pop %%rsp\n"
      "pop %%r15\n pop %%r14\n pop %%r13\n pop %%r12\n pop %%rbp\n pop %%rbx\n"
      : "=a"(*&result), "+D"(rdi), "+S"(rsi), "+d"(rdx), "+c"(rcx), "+r"(r8), "+r"(r9)
      : "0"(fn)
      : "r10", "r11", "memory", "cc");
  bad = rdx;
  *r0 = rcx;
  static_cast<void>(result);
  return bad == 0;
}

}  // namespace skep::jit::test
