// jit tests: what the passes are to find.
#include "jit/front_fixture_test.h"
#include "progtypes/func_ids.h"

namespace skep::jit::test {
namespace {

using namespace skep::test;

class Passes : public FrontFixture {
 protected:
  /// One that the constant folder cannot know: r1 of the program, loaded from the context.
  static Prog input(u32 reg, s32 off) { return {ldx(BPF_DW, reg, 1, off)}; }
  using FrontFixture::input;

  void set_context(u64 a, u64 b) {
    std::memcpy(&ctx_[0], &a, 8);
    std::memcpy(&ctx_[8], &b, 8);
  }
  static constexpr u64 EDGES[] = {0,
                                  1,
                                  2,
                                  3,
                                  7,
                                  9,
                                  10,
                                  0x7f,
                                  0x80,
                                  0xff,
                                  0x100,
                                  0x7fff,
                                  0xffff,
                                  0x7fffffff,
                                  0x80000000,
                                  0x80000001,
                                  0xfffffffe,
                                  0xffffffff,
                                  1ULL << 32,
                                  3ULL << 32,
                                  ~0ULL >> 1,
                                  1ULL << 63,
                                  (1ULL << 63) + 1,
                                  ~0ULL - 1,
                                  ~0ULL,
                                  0x123456789abcdef0ULL,
                                  641,
                                  6700417};

  /// The optimised program on every pair of edges, against the interpreter. `p` has its operands in r2 and r3, its result in r0.
  void on_edges(const Prog& p, bool second = false) {
    const Prog whole = input(2, 0) + input(3, 8) + p + Prog{exit_()};
    const std::vector<Function> f = functions(whole);
    for (const u64 a : EDGES)
      for (const u64 b : EDGES) {
        set_context(a, b);
        const u64 expected = interp_run(prepare(whole));
        ASSERT_EQ(run_->fault.kind, FaultKind::None);
        IrEval eval(f, prepare(whole));
        ASSERT_EQ(eval.run(), expected) << std::hex << a << " " << b << "\n" << print(f[0]);
        if (!second) break;
      }
  }
  u32 count_in(const Prog& p, Op op) { return count(functions(p)[0], op); }
};

TEST_F(Passes, ArithmeticWithConstants) {
  static constexpr s32 constants[] = {0,          1,   -1,  2,   3,   4,   5,    6,      7,       8,           9,
                                      10,         12,  15,  16,  24,  25,  31,   32,     63,      64,          100,
                                      125,        127, 128, 255, 256, 641, 1000, 0xffff, 0x10000, 1000000,     0x7ffffffe,
                                      0x7fffffff, -2,  -3,  -5,  -7,  -8,  -10,  -128,   -1000,   -0x7fffffff, -0x7fffffff - 1};
  for (const u8 op : {BPF_ADD, BPF_SUB, BPF_MUL, BPF_DIV, BPF_OR, BPF_AND, BPF_MOD, BPF_XOR})
    for (const s32 c : constants)
      for (const bool wide : {false, true})
        for (s32 off = 0; off <= (op == BPF_DIV || op == BPF_MOD ? 1 : 0); ++off) {
          const bpf_insn insn = wide ? alu64k(op, 2, c, off) : alu32k(op, 2, c, off);
          on_edges({insn, movr(0, 2)});
        }
}

TEST_F(Passes, DivisionByLargeConstants) {
  for (const u64 c : EDGES)
    for (const u8 op : {BPF_DIV, BPF_MOD})
      for (s32 off = 0; off <= 1; ++off) {
        on_edges(ldimm64(4, c) + Prog{alu64x(op, 2, 4, off), movr(0, 2)});
        on_edges(ldimm64(4, c) + Prog{alu32x(op, 2, 4, off), movr(0, 2)});
      }
}

TEST_F(Passes, Shifts) {
  for (const u8 first : {BPF_LSH, BPF_RSH, BPF_ARSH})
    for (const u8 second : {BPF_LSH, BPF_RSH, BPF_ARSH})
      for (const s32 n : {1, 8, 16, 24, 31, 32, 40, 48, 56, 63})
        for (const s32 m : {1, 8, 16, 24, 31, 32, 40, 48, 56, 63}) {
          on_edges({alu64k(first, 2, n), alu64k(second, 2, m), movr(0, 2)});
          if (n < 32 && m < 32) on_edges({alu32k(first, 2, n), alu32k(second, 2, m), movr(0, 2)});
        }
}

TEST_F(Passes, Comparisons) {
  for (const u8 op : {BPF_JEQ, BPF_JNE, BPF_JGT, BPF_JGE, BPF_JLT, BPF_JLE, BPF_JSGT, BPF_JSGE, BPF_JSLT, BPF_JSLE, BPF_JSET}) {
    const Prog end = {mov(0, 1), ja(1), mov(0, 2)};
    on_edges(Prog{jx(op, 2, 3, 2)} + end, true);
    on_edges(Prog{j32x(op, 2, 3, 2)} + end, true);
    on_edges(
        Prog{alu64k(BPF_LSH, 2, 32), alu64k(BPF_ARSH, 2, 32), alu64k(BPF_LSH, 3, 32), alu64k(BPF_ARSH, 3, 32), jx(op, 2, 3, 2)} +
            end,
        true);
    on_edges(
        Prog{alu64k(BPF_LSH, 2, 32), alu64k(BPF_RSH, 2, 32), alu64k(BPF_LSH, 3, 32), alu64k(BPF_RSH, 3, 32), jx(op, 2, 3, 2)} + end,
        true);
    for (const s32 c : {0, 1, -1, 5, 0x7fffffff, -0x7fffffff - 1}) {
      on_edges(Prog{jk(op, 2, c, 2)} + end);
      on_edges(Prog{j32k(op, 2, c, 2)} + end);
      on_edges(Prog{alu64k(BPF_ADD, 2, 7), jk(op, 2, c, 2)} + end);
      on_edges(Prog{alu64k(BPF_AND, 2, 255), jk(op, 2, c, 2)} + end);
      on_edges(Prog{alu64k(BPF_LSH, 2, 32), alu64k(BPF_ARSH, 2, 32), jk(op, 2, c, 2)} + end);
    }
  }
}

TEST_F(Passes, GuardedDivision) {
  // As the verifier has rewritten it.
  const Prog div = {jk(BPF_JNE, 3, 0, 2), alu32x(BPF_XOR, 2, 2), ja(1), alu64x(BPF_DIV, 2, 3), movr(0, 2)};
  on_edges(div, true);
  const Prog whole = input(2, 0) + input(3, 8) + div + Prog{exit_()};
  EXPECT_EQ(count_in(whole, Op::Branch) + count_in(whole, Op::Select), 0u);
  const Prog mod = {j32k(BPF_JEQ, 3, 0, 2), alu32x(BPF_MOD, 2, 3), ja(1), alu32x(BPF_MOV, 2, 2), movr(0, 2)};
  on_edges(mod, true);
  const Prog with_mod = input(2, 0) + input(3, 8) + mod + Prog{exit_()};
  EXPECT_EQ(count_in(with_mod, Op::Branch) + count_in(with_mod, Op::Select), 0u);
}

TEST_F(Passes, Rotations) {
  const Prog by_const =
      input(2, 0) +
      Prog{alu32x(BPF_MOV, 3, 2), alu32k(BPF_LSH, 2, 7), alu32k(BPF_RSH, 3, 25), alu32x(BPF_OR, 2, 3), movr(0, 2), exit_()};
  EXPECT_EQ(count_in(by_const, Op::Rotl), 1u);
  EXPECT_EQ(count_in(by_const, Op::Shl) + count_in(by_const, Op::Shr), 0u);
  const Prog wide =
      input(2, 0) + Prog{movr(3, 2), alu64k(BPF_LSH, 2, 13), alu64k(BPF_RSH, 3, 51), alu64x(BPF_XOR, 2, 3), movr(0, 2), exit_()};
  EXPECT_EQ(count_in(wide, Op::Rotl), 1u);
  const Prog by_value = {movr(4, 2),           movr(5, 3), alu64k(BPF_NEG, 5, 0), alu64x(BPF_LSH, 2, 3), alu64x(BPF_RSH, 4, 5),
                         alu64x(BPF_OR, 2, 4), movr(0, 2)};
  on_edges(by_value, true);
  EXPECT_EQ(count_in(input(2, 0) + input(3, 8) + by_value + Prog{exit_()}, Op::Rotl), 1u);
  // As older compilers write it, in 64-bit registers.
  const Prog old = {alu64k(BPF_LSH, 2, 32), alu64k(BPF_RSH, 2, 32), movr(3, 2),
                    alu64k(BPF_LSH, 2, 5),  alu64k(BPF_RSH, 3, 27), alu64x(BPF_OR, 2, 3),
                    alu64k(BPF_LSH, 2, 32), alu64k(BPF_RSH, 2, 32), movr(0, 2)};
  on_edges(old);
  EXPECT_EQ(count_in(input(2, 0) + old + Prog{exit_()}, Op::Rotl), 1u);
}

TEST_F(Passes, NoDivisionByConstants) {
  for (const bool wide : {false, true}) {
    const Prog p = input(2, 0) + Prog{wide ? alu64k(BPF_DIV, 2, 7) : alu32k(BPF_DIV, 2, 7),
                                      movr(3, 2),
                                      wide ? alu64k(BPF_MOD, 3, 10) : alu32k(BPF_MOD, 3, 10),
                                      alu64x(BPF_ADD, 2, 3),
                                      movr(0, 2),
                                      exit_()};
    EXPECT_EQ(count_in(p, Op::UDiv) + count_in(p, Op::UMod), 0u);
  }
}

TEST_F(Passes, SpillsAreValues) {
  const Prog p = input(2, 0) + Prog{stx(BPF_DW, 10, -8, 2),
                                    mov(2, 0),
                                    ldx(BPF_W, 3, 10, -8),
                                    ldx(BPF_B, 4, 10, -3),
                                    ldsx(BPF_H, 5, 10, -6),
                                    movr(0, 3),
                                    alu64k(BPF_MUL, 0, 3),
                                    alu64x(BPF_ADD, 0, 4),
                                    alu64k(BPF_MUL, 0, 3),
                                    alu64x(BPF_ADD, 0, 5),
                                    exit_()};
  set_context(0x8182838485868788, 0);
  same(p);
  EXPECT_EQ(count_in(p, Op::Load), 1u);
  EXPECT_EQ(count_in(p, Op::Store), 0u);
  EXPECT_EQ(functions(p)[0].stack_bytes, 0u);
}

TEST_F(Passes, SharedSlotsStayMemory) {
  MapDesc* hash = map(BPF_MAP_TYPE_HASH, 8, 8, 8);
  const u64 key = 5, value = 99;
  ASSERT_EQ(map_ops(hash->type)->update(op(), hash, &key, &value, BPF_ANY), 0);
  // The key is the helper's to read; the slot next to it is not.
  const Prog p = Prog{st(BPF_DW, 10, -8, 7), st(BPF_DW, 10, -16, 5)} + ldptr(1, hash) +
                 Prog{movr(2, 10),
                      alu64k(BPF_ADD, 2, -16),
                      call(func::map_lookup_elem),
                      jk(BPF_JEQ, 0, 0, 1),
                      ldx(BPF_DW, 0, 0, 0),
                      ldx(BPF_DW, 1, 10, -8),
                      alu64x(BPF_ADD, 0, 1),
                      ldx(BPF_DW, 1, 10, -16),
                      alu64x(BPF_ADD, 0, 1),
                      exit_()};
  EXPECT_EQ(same(p), 99u + 7 + 5);
  EXPECT_EQ(count_in(p, Op::Store), 1u);
}

TEST_F(Passes, ArrayLookupsAreAddresses) {
  MapDesc* array = map(BPF_MAP_TYPE_ARRAY, 4, 8, 4);
  const auto lookup = [&](const Prog& key) {
    return key + ldptr(1, array) +
           Prog{movr(2, 10),
                alu64k(BPF_ADD, 2, -4),
                call(func::map_lookup_elem),
                jk(BPF_JEQ, 0, 0, 3),
                ldx(BPF_DW, 1, 0, 0),
                alu64k(BPF_ADD, 1, 1),
                stx(BPF_DW, 0, 0, 1),
                mov(0, 0),
                exit_()};
  };
  const Prog known = lookup({st(BPF_W, 10, -4, 2)});
  EXPECT_EQ(count_in(known, Op::CallHelper) + count_in(known, Op::Branch) + count_in(known, Op::Select), 0u);
  EXPECT_EQ(count_in(known, Op::Update), 1u);
  same(known);
  const Prog data = lookup({ldx(BPF_W, 3, 1, 0), stx(BPF_W, 10, -4, 3)});
  EXPECT_EQ(count_in(data, Op::CallHelper) + count_in(data, Op::Select), 0u) << print(functions(data)[0]);
  EXPECT_EQ(count_in(data, Op::Branch), 1u);
  for (const u64 index : {u64{0}, u64{3}, u64{4}, u64{100}}) {
    set_context(index, 0);
    same(data);
  }
}

/// Loads, and beside them calls for when nothing is known yet: in the interpreter as in IR, whatever the run has been told.
TEST_F(Passes, TheCurrentTaskIsLoaded) {
  for (const s32 helper : {func::get_current_pid_tgid, func::get_current_task, func::get_current_task_btf}) {
    const bool is_task = helper != func::get_current_pid_tgid;
    const Prog p = input(6, 0) + Prog{st(BPF_DW, 10, -8, 77),
                                      call(helper),
                                      movr(7, 0),
                                      call(helper),
                                      alu64x(BPF_MUL, 0, 7),
                                      ldx(BPF_DW, 1, 10, -8),
                                      alu64x(BPF_XOR, 0, 1),
                                      alu64x(BPF_ADD, 0, 6),
                                      exit_()};
    const std::vector<Function> f = functions(p);
    u32 calls = 0;
    for (const Block& b : f[0].blocks)
      for (const ValueId v : b.values) {
        if (f[0].values[v].op != Op::CallHelper) continue;
        EXPECT_TRUE(b.unlikely);
        ++calls;
      }
    EXPECT_EQ(calls, 2u);
    EXPECT_EQ(count(f[0], Op::Store), 0u) << "the stack's slots are values all the same\n" << print(f[0]);
    same(p);
    // What is known is not asked for.
    RunCtx& run = prepare(p);
    run.pid_tgid = 5, run.task = 7;
    u64 told = is_task ? 7 : 5, context = 0;
    std::memcpy(&context, ctx_.data(), 8);
    EXPECT_EQ(IrEval(f, run).run(), (told * told ^ 77) + context);
    run.pid_tgid = run.task = 0;
    told = is_task ? env_.fake_task : env_.fake_pid_tgid;
    EXPECT_EQ(IrEval(f, run).run(), (told * told ^ 77) + context);
    EXPECT_EQ(is_task ? run.task : run.pid_tgid, told);
  }
}

TEST_F(Passes, TheCookieIsLoaded) {
  const Prog p = {call(func::get_attach_cookie), alu64k(BPF_ADD, 0, 1), exit_()};
  EXPECT_EQ(count_in(p, Op::CallHelper), 0u);
  EXPECT_EQ(same(p), probe_.cookie + 1);
  const std::vector<Function> f = functions(p);
  prepare(p).probe = nullptr;
  EXPECT_EQ(IrEval(f, *run_).run(), 1u);
}

/// Blocks that have several such calls, are loops by themselves, have phis, or end the program.
TEST_F(Passes, CallsThatSplitBlocksOfLoops) {
  set_context(0x123456789, 3);
  same({movr(9, 1), mov(6, 10), mov(7, 1),  // r6 turns
        call(func::get_current_pid_tgid), alu64x(BPF_ADD, 7, 0), movr(1, 9), call(func::get_attach_cookie), alu64x(BPF_XOR, 7, 0),
        call(func::get_current_task), alu64k(BPF_MUL, 7, 3), alu64x(BPF_ADD, 7, 0), alu64k(BPF_ADD, 6, -1), jk(BPF_JNE, 6, 0, -10),
        movr(0, 7), exit_()});
  same(input(6, 8) + Prog{call(func::get_current_pid_tgid), mov(7, 4), jk(BPF_JEQ, 6, 3, 2), call(func::get_current_task), movr(7, 0),
                          call(func::get_current_pid_tgid), alu64x(BPF_ADD, 0, 7), jk(BPF_JSGT, 6, 0, 1), exit_(),
                          call(func::get_current_task), alu64x(BPF_XOR, 0, 7), exit_()});
  // In an inner loop of a loop, counted by what it loads.
  same({mov(6, 3), mov(8, 0), mov(7, 5), call(func::get_current_pid_tgid), alu64x(BPF_ADD, 8, 0), alu64k(BPF_ADD, 7, -1),
        jk(BPF_JNE, 7, 0, -4), call(func::get_current_task), alu64x(BPF_XOR, 8, 0), alu64k(BPF_ADD, 6, -1), jk(BPF_JSGT, 6, 0, -9),
        movr(0, 8), exit_()});
}

TEST_F(Passes, SmallBranchesAreSelects) {
  const Prog p = input(2, 0) + input(3, 8) + Prog{movr(0, 2), jx(BPF_JGT, 2, 3, 1), movr(0, 3), exit_()};
  EXPECT_EQ(count_in(p, Op::Select), 1u);
  EXPECT_EQ(count_in(p, Op::Branch), 0u);
  EXPECT_EQ(functions(p)[0].blocks.size(), 1u);
  set_context(3, 4);
  EXPECT_EQ(same(p), 4u);
}

TEST_F(Passes, IndexedAddresses) {
  MapDesc* array = map(BPF_MAP_TYPE_ARRAY, 4, 512, 1);
  const Prog p = input(2, 0) + ldptr(3, array->elems, BPF_PSEUDO_MAP_VALUE) +
                 Prog{alu64k(BPF_AND, 2, 31), alu64k(BPF_LSH, 2, 3), alu64x(BPF_ADD, 3, 2), ldx(BPF_DW, 0, 3, 16), exit_()};
  const Function f = functions(p)[0];
  EXPECT_EQ(count(f, Op::Add) + count(f, Op::Shl), 0u) << print(f);
  for (const Value& v : f.values) {
    if (v.op != Op::Load || v.arg[1] == NONE) continue;
    EXPECT_EQ(v.scale, 3);
    EXPECT_EQ(v.disp, 16);
  }
  same(p);
}

TEST_F(Passes, CountedLoopsAreUnrolled) {
  MapDesc* array = map(BPF_MAP_TYPE_ARRAY, 4, 2048, 1);
  for (const s32 turns : {1, 2, 7, 8, 24, 100, 240}) {
    const Prog p = ldptr(3, array->elems, BPF_PSEUDO_MAP_VALUE) + Prog{mov(0, 0),
                                                                       mov(2, 0),
                                                                       mov(4, 1),
                                                                       ldx(BPF_DW, 5, 3, 0),
                                                                       alu64x(BPF_ADD, 0, 5),
                                                                       alu64x(BPF_ADD, 0, 4),
                                                                       movr(6, 4),
                                                                       movr(4, 0),
                                                                       stx(BPF_DW, 3, 8, 6),
                                                                       alu64k(BPF_ADD, 3, 8),
                                                                       alu64k(BPF_ADD, 2, 1),
                                                                       jk(BPF_JNE, 2, turns, -9),
                                                                       alu64x(BPF_ADD, 0, 6),
                                                                       exit_()};
    same(p);
    if (turns >= 8 && turns % 2 == 0) {
      EXPECT_GT(count_in(p, Op::Store), 1u) << turns;
    }
  }
}

TEST_F(Passes, LongProgramsInLinearTime) {
  // Many ways to one end, many joins, a long block: the shapes that squares hide in.
  const u32 n = 60000;
  Prog exits = {ldx(BPF_DW, 2, 1, 0)};
  for (u32 i = 0; i < n; ++i) {
    exits.push_back(alu64k(BPF_ADD, 2, static_cast<s32>(i)));
    exits.push_back(raw(BPF_JMP32 | BPF_JEQ | BPF_K, 2, 0, 1, static_cast<s32>(i)));
    exits.push_back(ja(1));
    exits.push_back(gotol(0));
  }
  exits.push_back(movr(0, 2));
  exits.push_back(exit_());
  for (u32 i = 0; i < n; ++i) exits[4 + 4 * i].imm = static_cast<s32>(exits.size() - 2 - (4 + 4 * i) - 1);
  Prog hammocks = {ldx(BPF_DW, 2, 1, 0), ldx(BPF_DW, 3, 1, 8)};
  for (u32 i = 0; i < n; ++i) {
    hammocks.push_back(jx(BPF_JLT, 2, 3, 1));
    hammocks.push_back(alu64k(BPF_XOR, 2, static_cast<s32>(i + 1)));
  }
  hammocks.push_back(movr(0, 2));
  hammocks.push_back(exit_());
  for (const Prog& p : {exits, hammocks}) EXPECT_EQ(functions(p).size(), 1u);
}

}  // namespace
}  // namespace skep::jit::test
