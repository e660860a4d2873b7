// Each operation at each width with each shape of operands, run in this process, against the evaluator; calls, faults, ends.
#include <gtest/gtest.h>

#include "jit/emit_fixture_test.h"
#include "jit/ir_eval_test.h"

namespace skep::jit::test {
namespace {

constexpr u64 EDGES[] = {0,
                         1,
                         2,
                         3,
                         7,
                         8,
                         31,
                         32,
                         63,
                         64,
                         0x7f,
                         0x80,
                         0xff,
                         0x100,
                         0x7fff,
                         0x8000,
                         0xffff,
                         0x10000,
                         0x7fffffff,
                         0x80000000,
                         0xffffffff,
                         0x100000000,
                         0x7fffffffffffffff,
                         0x8000000000000000,
                         0xffffffffffffff80,
                         0xffffffff80000000,
                         0xffffffffffff8000,
                         0xfffffffffffffffe,
                         0xffffffffffffffff,
                         0x123456789abcdef0};
constexpr u64 FEW[] = {
    0, 1, 5, 0x80, 0x7fffffff, 0x80000000, 0xffffffff, 0x8000000000000000, 0xffffffffffffffff, 0x123456789abcdef0};

/// What an operand is in the code.
enum class Shape { Register, Constant, Memory, Kept };  ///< Kept: a register whose value is needed afterwards

class Emit : public ::testing::Test {
 protected:
  void SetUp() override { run_ = std::make_unique<RunCtx>(); }

  u64 evaluate(const std::vector<Function>& functions, const u64 (&args)[5]) {
    const JitInput in{};
    return IrEval(functions, in, *run_).call(0, args);
  }
  /// Makes the function for every machine, runs it on all pairs of operands, and compares.
  template <typename Make>
  void all_pairs(Make&& make, std::span<const u64> as, std::span<const u64> bs) {
    for (const Features features : {machine_features(), Features{}}) {
      std::vector<Function> functions;
      functions.push_back(make());
      const std::vector<Function> plain = functions;
      auto made = emit_for(functions, features);
      ASSERT_TRUE(made.ok()) << print(plain[0]);
      Loaded loaded(*made);
      for (const u64 a : as)
        for (const u64 b : bs) {
          const u64 args[5] = {a, b, reinterpret_cast<u64>(cell_), 77, 88};
          cell_[0] = a, cell_[1] = b;
          const u64 want = evaluate(plain, args);
          const u64 left[2] = {cell_[0], cell_[1]};
          cell_[0] = a, cell_[1] = b;
          const u64 got = loaded.function()(run_.get(), a, b, args[2], 77, 88);
          ASSERT_EQ(got, want) << std::hex << a << " " << b << "\n" << print(plain[0]);
          ASSERT_EQ(std::memcmp(left, cell_, sizeof left), 0) << std::hex << a << " " << b << "\n" << print(plain[0]);
        }
    }
  }
  static ValueId operand(IrBuilder& b, Shape shape, s64 param, u64 constant, u8 width) {
    if (shape == Shape::Constant) return b.constant(constant);
    if (shape != Shape::Memory) return b.param(param);
    const ValueId cell = b.param(3);
    const ValueId v = b.load(width, cell, static_cast<s32>(param - 1) * 8);
    b.f.values[v].folded = true;
    return v;
  }
  /// Keeps a value alive beyond the operation.
  static ValueId with(IrBuilder& b, ValueId r, ValueId kept, Shape shape) {
    return shape == Shape::Kept ? b.op(Op::Add, b.op(Op::Mul, r, b.constant(s64{3})), kept) : r;
  }

  alignas(16) u64 cell_[4] = {};
  std::unique_ptr<RunCtx> run_;
};

TEST_F(Emit, BinaryOperations) {
  for (u32 o = static_cast<u32>(Op::Add); o <= static_cast<u32>(Op::MulHiS); ++o)
    for (const u8 width : {u8{4}, u8{8}})
      for (const Shape sa : {Shape::Register, Shape::Kept})
        for (const Shape sb : {Shape::Register, Shape::Kept}) {
          all_pairs(
              [&] {
                IrBuilder b;
                const ValueId x = operand(b, sa, 1, 0, width), y = operand(b, sb, 2, 0, width);
                b.ret(with(b, with(b, b.op(static_cast<Op>(o), x, y, width), x, sa), y, sb));
                return b.take();
              },
              EDGES, EDGES);
          if (HasFatalFailure()) return;
        }
}

TEST_F(Emit, BinaryWithConstants) {
  constexpr u64 none[] = {0};
  for (u32 o = static_cast<u32>(Op::Add); o <= static_cast<u32>(Op::MulHiS); ++o)
    for (const u8 width : {u8{4}, u8{8}})
      for (const u64 c : EDGES)
        for (const bool first : {false, true}) {
          all_pairs(
              [&] {
                IrBuilder b;
                const ValueId x = b.param(1), k = b.constant(c);
                b.ret(b.op(Op::Xor, b.op(static_cast<Op>(o), first ? k : x, first ? x : k, width), x));
                return b.take();
              },
              EDGES, none);
          if (HasFatalFailure()) return;
        }
}

TEST_F(Emit, BinaryWithMemory) {
  for (const Op o : {Op::Add, Op::Sub, Op::And, Op::Or, Op::Xor, Op::Mul})
    for (const u8 width : {u8{4}, u8{8}})
      for (const Shape sa : {Shape::Register, Shape::Kept, Shape::Constant}) {
        all_pairs(
            [&] {
              IrBuilder b;
              const ValueId x = operand(b, sa, 1, 0x1234567, width), y = operand(b, Shape::Memory, 2, 0, width);
              b.ret(with(b, b.op(o, x, y, width), x, sa));
              return b.take();
            },
            EDGES, EDGES);
        if (HasFatalFailure()) return;
      }
}

TEST_F(Emit, OneOperand) {
  constexpr u64 none[] = {0};
  const auto check_one = [&](Op o, u8 width, u8 size) {
    for (const bool kept : {false, true})
      all_pairs(
          [&] {
            IrBuilder b;
            const ValueId x = b.param(1);
            const ValueId r = b.op(o, x, NONE, width, size);
            b.ret(kept ? b.op(Op::Sub, r, x) : r);
            return b.take();
          },
          EDGES, none);
  };
  for (const u8 width : {u8{4}, u8{8}}) {
    check_one(Op::Neg, width, 8);
    check_one(Op::Not, width, 8);
    for (const u8 size : {u8{1}, u8{2}, u8{4}}) check_one(Op::Sext, width, size);
  }
  for (const u8 size : {u8{2}, u8{4}, u8{8}}) check_one(Op::Bswap, 8, size);
  for (const u8 size : {u8{1}, u8{2}, u8{4}}) check_one(Op::Zext, 8, size);
}

TEST_F(Emit, ComparisonsBranchAndSelect) {
  for (u32 c = 0; c < 12; ++c)
    for (const u8 width : {u8{4}, u8{8}})
      for (const Shape sa : {Shape::Register, Shape::Memory})
        for (const Shape sb : {Shape::Register, Shape::Memory}) {
          if (sa == Shape::Memory && sb == Shape::Memory) continue;
          for (u32 form = 0; form < 5; ++form)
            all_pairs(
                [&] {
                  IrBuilder b;
                  const ValueId p4 = b.param(4), p5 = b.param(5);
                  const ValueId one = b.constant(u64{1}), zero = b.constant(u64{0});
                  const ValueId x = operand(b, sa, 1, 0, width), y = operand(b, sb, 2, 0, width);
                  const Cond cond = static_cast<Cond>(c);
                  switch (form) {
                    case 0:
                      b.ret(b.select(cond, x, y, p4, p5, width));
                      break;
                    case 1:
                      b.ret(b.select(cond, x, y, one, p5, width));
                      break;
                    case 2:
                      b.ret(b.select(cond, x, y, zero, one, width));
                      break;
                    case 3:
                      b.ret(b.op(Op::Add, b.select(cond, x, y, p4, p5, width), b.op(Op::Mul, p4, p5)));
                      break;
                    default: {
                      const BlockId yes = b.block(), no = b.block();
                      b.branch(cond, x, y, yes, no, width);
                      b.at(yes);
                      b.ret(p4);
                      b.at(no);
                      b.ret(p5);
                    }
                  }
                  return b.take();
                },
                EDGES, FEW);
          if (HasFatalFailure()) return;
        }
}

TEST_F(Emit, ComparisonsWithConstants) {
  constexpr u64 none[] = {0};
  for (u32 c = 0; c < 12; ++c)
    for (const u8 width : {u8{4}, u8{8}})
      for (const u64 k : EDGES) {
        all_pairs(
            [&] {
              IrBuilder b;
              const ValueId p4 = b.param(4), p5 = b.param(5);
              b.ret(b.select(static_cast<Cond>(c), b.param(1), b.constant(k), p4, p5, width));
              return b.take();
            },
            EDGES, none);
        if (HasFatalFailure()) return;
      }
}

/// Memory of 1 and 2 bytes against constants, as comparisons without a sign have it.
TEST_F(Emit, NarrowMemoryComparisons) {
  constexpr u64 none[] = {0};
  for (const Cond c : {Cond::Eq, Cond::Ne, Cond::Ult, Cond::Ule, Cond::Ugt, Cond::Uge})
    for (const u8 size : {u8{1}, u8{2}})
      for (const u64 k : {0u, 1u, 0x7fu, 0x80u, 0xffu, 0x7fffu, 0x8000u, 0xffffu}) {
        if (size == 1 && k > 0xff) continue;
        all_pairs(
            [&] {
              IrBuilder b;
              const ValueId p4 = b.param(4), p5 = b.param(5), m = b.load(size, b.param(3));
              b.f.values[m].folded = true;
              b.ret(b.select(c, m, b.constant(k), p4, p5));
              return b.take();
            },
            EDGES, none);
        if (HasFatalFailure()) return;
      }
}

TEST_F(Emit, LoadsAndStores) {
  for (const u8 size : {u8{1}, u8{2}, u8{4}, u8{8}})
    for (const bool sign : {false, true})
      for (const u8 width : {u8{4}, u8{8}}) {
        if (size == 8 && (sign || width == 4)) continue;
        all_pairs(
            [&] {
              IrBuilder b;
              const ValueId v = b.load(size, b.param(3), 8);
              b.f.values[v].sign = sign;
              b.f.values[v].width = width;
              b.ret(v);
              return b.take();
            },
            FEW, EDGES);
      }
  for (const u8 size : {u8{1}, u8{2}, u8{4}, u8{8}}) {
    all_pairs(
        [&] {
          IrBuilder b;
          const ValueId p = b.param(3), x = b.param(2);
          b.store(size, x, p);
          b.ret(x);
          return b.take();
        },
        FEW, EDGES);
    for (const u64 k : EDGES)
      all_pairs(
          [&] {
            IrBuilder b;
            b.store(size, b.constant(k), b.param(3));
            b.ret(b.param(1));
            return b.take();
          },
          FEW, std::span(FEW).first(1));
  }
}

TEST_F(Emit, UpdatesAndAtomics) {
  for (const u8 size : {u8{1}, u8{2}, u8{4}, u8{8}})
    for (const Op o : {Op::Add, Op::Sub, Op::And, Op::Or, Op::Xor})
      for (const bool constant : {false, true})
        all_pairs(
            [&] {
              IrBuilder b;
              const ValueId p = b.param(3);
              const ValueId u = b.memory(Op::Update, size, p, 0, NONE, 0, constant ? b.constant(s64{-3}) : b.param(2));
              b.f.values[u].sub = o;
              b.ret(b.load(8, p));
              return b.take();
            },
            EDGES, FEW);
  for (const u8 size : {u8{4}, u8{8}})
    for (const s64 imm : {0x00, 0x01, 0x40, 0x41, 0x50, 0x51, 0xa0, 0xa1, 0xe1})
      for (const u32 form : {0u, 1u, 2u})
        all_pairs(
            [&] {
              IrBuilder b;
              const ValueId p = b.param(3), x = form == 1 ? b.constant(u64{0x55}) : b.param(2);
              const ValueId a = b.memory(Op::Atomic, size, p, 0, NONE, 0, x);
              b.f.values[a].imm = imm;
              b.ret(form != 2 && (imm & BPF_FETCH) ? a : x);
              return b.take();
            },
            EDGES, FEW);
  for (const u8 size : {u8{4}, u8{8}})
    for (const bool used : {false, true})
      all_pairs(
          [&] {
            IrBuilder b;
            const ValueId p = b.param(3), x = b.param(2), y = b.param(1);
            const ValueId expected = used ? b.load(8, p) : y;
            const ValueId a = b.memory(Op::Cmpxchg, size, p, 0, NONE, 0, x);
            b.f.values[a].arg[3] = expected;
            b.ret(used ? a : x);
            return b.take();
          },
          EDGES, FEW);
}

// --- Calls ---

struct Calls {
  u64 args[6];
  u32 n;
};
Calls calls;
u64 note(u64 a, u64 b, u64 c, u64 d, u64 e, u64 f) {
  u64 sp;
  asm("mov %%rsp, %0" : "=r"(sp));
  calls = {{a, b, c, d, e, f}, calls.n + 1};
  // What a call may lose, it loses.
  asm volatile(
      "mov $-1, %%ecx\n mov %%rcx, %%rdx\n mov %%rcx, %%rsi\n mov %%rcx, %%rdi\n mov %%rcx, %%r8\n mov %%rcx, %%r9\n"
      "mov %%rcx, %%r10\n mov %%rcx, %%r11" ::
          : "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11");
  return a + 2 * b + 3 * c;
}
/// An address that is aligned as the convention wants it: the compiler's own code may rely on that.
u64 aligned(u64, u64, u64, u64, u64, u64) { return reinterpret_cast<u64>(__builtin_frame_address(0)) % 16; }

TEST_F(Emit, HelperGetsTheRunAndItsArguments) {
  for (const u32 alive : {1u, 6u, 20u, 40u}) {
    IrBuilder b;
    const ValueId x = b.param(1), y = b.param(2);
    std::vector<ValueId> v;
    for (u32 i = 0; i < alive; ++i) v.push_back(b.op(Op::Add, x, b.constant(s64{100 + i})));
    // Arguments in each other's registers.
    const ValueId r = b.call(Op::CallHelper, 5, {y, x, b.constant(s64{7}), b.param(4), b.param(3)});
    ValueId s = r;
    for (const ValueId k : v) s = b.op(Op::Add, b.op(Op::Mul, s, b.constant(s64{3})), k);
    b.ret(s);
    const JitCode code = emit_one(b.take());
    Loaded loaded(code);
    loaded.set_gate(GATE_HELPER + 5, &note);
    calls.n = 0;
    u64 got = 0;
    EXPECT_TRUE(call_checked(loaded.function(), run_.get(), {11, 22, 33, 44, 55}, &got));
    EXPECT_EQ(calls.n, 1u);
    const u64 want[] = {reinterpret_cast<u64>(run_.get()), 22, 11, 7, 44, 33};
    EXPECT_TRUE(std::equal(calls.args, calls.args + 6, want));
    u64 sum = want[0] + 2 * 22 + 3 * 11;
    for (u32 i = 0; i < alive; ++i) sum = sum * 3 + 11 + 100 + i;
    EXPECT_EQ(got, sum);
  }
}

/// Many values alive across a call in a loop, most of them without a register.
TEST_F(Emit, PressureAcrossCallsInLoops) {
  for (const u64 alive : {3u, 6u, 14u, 16u, 30u, 60u}) {
    IrBuilder b;
    std::vector<ValueId> v;
    const ValueId x = b.param(1), y = b.param(2);
    for (u64 i = 0; i < alive; ++i) v.push_back(b.op(Op::Add, b.op(Op::Mul, x, b.constant(2 * i + 1)), y));
    const ValueId zero = b.constant(s64{0});
    const BlockId head = b.block(1), out = b.block();
    b.jump(head);
    b.at(head);
    const ValueId i = b.phi(), sum = b.phi();
    ValueId s = b.op(Op::Xor, b.call(Op::CallHelper, 5, {sum, v[0], v[alive / 2], i}), sum);
    for (u64 k = 0; k < alive; k += 3) s = b.op(Op::Add, s, v[k]);
    const ValueId next = b.op(Op::Add, i, b.constant(s64{1}));
    b.phi_arg(i, 0, zero), b.phi_arg(i, head, next);
    b.phi_arg(sum, 0, y), b.phi_arg(sum, head, s);
    b.branch(Cond::Ult, next, b.constant(s64{5}), head, out);
    b.at(out);
    for (const ValueId k : v) s = b.op(Op::Add, b.op(Op::Rotl, s, b.constant(s64{5})), k);
    b.ret(s);
    const JitCode code = emit_one(b.take());
    Loaded loaded(code);
    loaded.set_gate(GATE_HELPER + 5, &note);
    u64 got = 0;
    EXPECT_TRUE(call_checked(loaded.function(), run_.get(), {1000003, 17, 0, 0, 0}, &got));
    const auto value = [&](u64 k) { return 1000003 * (2 * k + 1) + 17; };
    u64 want = 17;
    for (u64 turn = 0; turn < 5; ++turn) {
      want ^= reinterpret_cast<u64>(run_.get()) + 2 * want + 3 * value(0);
      for (u64 k = 0; k < alive; k += 3) want += value(k);
    }
    for (u64 k = 0; k < alive; ++k) want = (want << 5 | want >> 59) + value(k);
    EXPECT_EQ(got, want) << alive;
  }
}

TEST_F(Emit, GateGetsItsArgumentsAlone) {
  IrBuilder b;
  const ValueId r = b.call(Op::CallGate, GATE_MAP + 3, {b.param(3), b.constant(u64{0x410000000000}), b.param(1)});
  b.ret(b.op(Op::Add, r, b.param(2)));
  const JitCode code = emit_one(b.take());
  ASSERT_EQ(code.gates.size(), 1u);
  EXPECT_EQ(code.gates[0].gate, GATE_MAP + 3u);
  Loaded loaded(code);
  loaded.set_gate(GATE_MAP + 3, &note);
  EXPECT_EQ(loaded.function()(run_.get(), 1, 2, 3, 4, 5), 3 + 2 * 0x410000000000 + 3 + 2);
}

TEST_F(Emit, CallsAreAligned) {
  for (const u32 stack : {0u, 8u, 16u, 40u})
    for (const u32 alive : {0u, 1u, 2u, 5u, 9u, 10u}) {
      IrBuilder b;
      std::vector<ValueId> v;
      for (u32 i = 0; i < alive; ++i) v.push_back(b.op(Op::Add, b.param(1), b.constant(s64{i})));
      b.f.stack_bytes = stack;
      const ValueId f = b.frame(0);
      ValueId s = b.call(Op::CallHelper, 5, {b.param(2)});
      for (const ValueId k : v) s = b.op(Op::Or, s, b.op(Op::Mul, k, b.constant(s64{16})));
      if (stack) s = b.op(Op::Or, s, f);
      b.ret(b.op(Op::And, s, b.constant(s64{15})));
      const JitCode code = emit_one(b.take());
      Loaded loaded(code);
      loaded.set_gate(GATE_HELPER + 5, &aligned);
      EXPECT_EQ(loaded.function()(run_.get(), 0, 2, 3, 4, 5), 0u) << stack << " " << alive;
    }
}

/// The run is over after a helper: GATE_END_RUN is called with the run, and never comes back.
TEST_F(Emit, HelperMayEndTheRun) {
  static void* resume[5];
  static u64 ended_with;
  for (const u32 alive : {0u, 12u}) {
    IrBuilder b;
    std::vector<ValueId> v;
    for (u32 i = 0; i < alive; ++i) v.push_back(b.op(Op::Add, b.param(1), b.constant(s64{i})));
    ValueId s = b.call(Op::CallHelper, 5, {b.param(1)}, true);
    for (const ValueId k : v) s = b.op(Op::Add, s, k);
    b.ret(s);
    const JitCode code = emit_one(b.take());
    Loaded loaded(code);
    loaded.set_gate(
        GATE_HELPER + 5, +[](RunCtx* run, u64 a, u64, u64, u64, u64) -> u64 {
          if (a == 1) run->fault.kind = FaultKind::LockStuck;
          return 5;
        });
    loaded.set_gate(
        GATE_END_RUN, +[](RunCtx* run) {
          ended_with = reinterpret_cast<u64>(run);
          __builtin_longjmp(resume, 1);
        });
    run_->fault.kind = FaultKind::None;
    EXPECT_EQ(loaded.function()(run_.get(), 0, 0, 0, 0, 0), 5 + alive * (alive - 1) / 2 * (alive != 0));
    ended_with = 0;
    if (__builtin_setjmp(resume) == 0) {
      loaded.function()(run_.get(), 1, 0, 0, 0, 0);
      ADD_FAILURE() << "the run went on";
    }
    EXPECT_EQ(ended_with, reinterpret_cast<u64>(run_.get()));
  }
}

/// A tail call leaves with the caller's frame gone, the run and the context as arguments; without a program it goes on.
TEST_F(Emit, TailCall) {
  static u64 seen_run, seen_ctx;
  for (const u32 alive : {0u, 3u, 20u}) {
    IrBuilder b;
    const ValueId ctx = b.param(1), other = b.param(2);
    std::vector<ValueId> v;
    for (u32 i = 0; i < alive; ++i) v.push_back(b.op(Op::Add, other, b.constant(s64{i})));
    Value t;
    t.op = Op::TailCall;
    t.arg[0] = ctx, t.arg[1] = b.constant(u64{0x1234}), t.arg[2] = b.param(3);
    b.add(t);
    ValueId s = b.op(Op::Add, ctx, other);
    for (const ValueId k : v) s = b.op(Op::Add, s, k);
    b.ret(s);
    const JitCode code = emit_one(b.take());
    Loaded loaded(code);
    static JitFn* const target = +[](RunCtx* run, u64 r1, u64, u64, u64, u64) noexcept -> u64 {
      seen_run = reinterpret_cast<u64>(run), seen_ctx = r1;
      return 4321;
    };
    loaded.set_gate(
        GATE_TAIL_CALL, +[](RunCtx*, u64 map, u64 index) -> JitFn* { return map == 0x1234 && index == 9 ? target : nullptr; });
    u64 got = 0;
    EXPECT_TRUE(call_checked(loaded.function(), run_.get(), {70, 5, 9, 0, 0}, &got));
    EXPECT_EQ(got, 4321u);
    EXPECT_EQ(seen_run, reinterpret_cast<u64>(run_.get()));
    EXPECT_EQ(seen_ctx, 70u);
    EXPECT_TRUE(call_checked(loaded.function(), run_.get(), {70, 5, 8, 0, 0}, &got));
    u64 want = 75;
    for (u32 i = 0; i < alive; ++i) want += 5 + i;
    EXPECT_EQ(got, want);
  }
}

/// A probe's fault is listed; from its fixup the code goes on with zero.
TEST_F(Emit, ProbeLoadHasAFixup) {
  for (const u8 size : {u8{1}, u8{2}, u8{4}, u8{8}}) {
    IrBuilder b;
    const ValueId p = b.param(1), v = b.load(size, p, 4);
    b.f.values[v].probe = true;
    b.ret(b.op(Op::Add, b.op(Op::Add, v, b.param(2)), b.op(Op::Mul, p, b.constant(s64{0}))));
    const JitCode code = emit_one(b.take());
    ASSERT_EQ(code.faults.size(), 1u);
    Loaded loaded(code);
    const u64 word = 0x1122334455667788;
    const u64 want = size == 8 ? word : word & ((u64{1} << size * 8) - 1);
    EXPECT_EQ(loaded.function()(run_.get(), reinterpret_cast<u64>(&word) - 4, 1, 0, 0, 0), want + 1);
    // As the fault handler does it: the load replaced by a jump to its fixup.
    std::vector<u8> patched = code.bytes;
    const s32 d = static_cast<s32>(code.faults[0].fixup) - static_cast<s32>(code.faults[0].at) - 2;
    ASSERT_EQ(d, static_cast<s8>(d));
    patched[code.faults[0].at] = 0xeb;
    patched[code.faults[0].at + 1] = static_cast<u8>(d);
    JitCode other = code;
    other.bytes = patched;
    Loaded faulting(other);
    EXPECT_EQ(faulting.function()(run_.get(), 0x10, 1, 0, 0, 0), 1u);
  }
}

TEST_F(Emit, FunctionsAndLinesAreListed) {
  std::vector<Function> functions;
  for (u32 i = 0; i < 3; ++i) {
    IrBuilder b;
    const ValueId x = b.param(1);
    b.ret(i < 2 ? b.op(Op::Add, b.call(Op::CallFunc, i + 1, {x}), x) : b.op(Op::Mul, x, x));
    functions.push_back(b.take());
  }
  const JitCode code = emit_all(std::move(functions));
  ASSERT_EQ(code.functions.size(), 3u);
  EXPECT_EQ(code.functions[0].begin, 0u);
  for (u32 i = 0; i < 3; ++i) {
    const JitFunction& f = code.functions[i];
    EXPECT_LE(f.begin, f.body);
    EXPECT_LT(f.body, f.end);
    EXPECT_EQ((f.frame + 8) % 16, i < 2 ? 0u : 8u);
    EXPECT_EQ(f.saved == 0, i == 2);
    if (i != 0) {
      EXPECT_EQ(code.functions[i - 1].end, f.begin);
    }
  }
  EXPECT_EQ(code.functions[2].end, code.bytes.size());
  EXPECT_TRUE(std::is_sorted(code.lines.begin(), code.lines.end(), [](const auto& a, const auto& b) { return a.at < b.at; }));
  Loaded loaded(code);
  EXPECT_EQ(loaded.function()(run_.get(), 5, 0, 0, 0, 0), 35u);
}

/// The address of a function is the same wherever the code stands.
TEST_F(Emit, FunctionAddress) {
  std::vector<Function> functions;
  IrBuilder a, b;
  a.ret(a.leaf(Op::FuncAddr, 1));
  functions.push_back(a.take());
  b.ret(b.param(2));
  functions.push_back(b.take());
  const JitCode code = emit_all(std::move(functions));
  Loaded loaded(code);
  EXPECT_EQ(loaded.function()(run_.get(), 0, 0, 0, 0, 0), reinterpret_cast<u64>(loaded.function(1)));
}

/// Jumps too far for a byte, over and back.
TEST_F(Emit, FarJumps) {
  for (const u32 n : {10u, 25u, 40u, 400u, 5000u}) {
    IrBuilder b;
    const ValueId x = b.param(1), y = b.param(2), zero = b.constant(s64{0});
    const BlockId head = b.block(1), skip = b.block(1), back = b.block(1), out = b.block();
    b.jump(head);
    b.at(head);
    const ValueId i = b.phi(), s = b.phi();
    b.branch(Cond::Test, i, b.constant(s64{1}), back, skip);
    b.at(skip);
    ValueId t = s;
    for (u32 k = 0; k < n; ++k) t = b.op(Op::Xor, b.op(Op::Add, t, x), y);
    b.jump(back);
    b.at(back);
    const ValueId r = b.phi();
    b.phi_arg(r, head, s);
    b.phi_arg(r, skip, t);
    const ValueId next = b.op(Op::Add, i, b.constant(s64{1}));
    b.phi_arg(i, 0, zero), b.phi_arg(s, 0, x);
    b.phi_arg(i, back, next), b.phi_arg(s, back, r);
    b.branch(Cond::Ult, next, b.constant(s64{4}), head, out);
    b.at(out);
    b.ret(r);
    std::vector<Function> functions;
    functions.push_back(b.take());
    const u64 args[5] = {123456, 789, 0, 0, 0};
    const u64 want = evaluate(functions, args);
    const JitCode code = emit_all(std::move(functions));
    Loaded loaded(code);
    EXPECT_EQ(loaded.function()(run_.get(), 123456, 789, 0, 0, 0), want) << n;
  }
}

}  // namespace
}  // namespace skep::jit::test
