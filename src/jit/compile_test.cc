// Whole programs, compiled, against the interpreter.
#include "jit/compile.h"

#include <fmt/format.h>

#include "jit/emit_fixture_test.h"
#include "jit/front_fixture_test.h"
#include "jit/random_program_test.h"

namespace skep::jit::test {
namespace {

using namespace skep::test;

class Compile : public FrontFixture {
 protected:
  /// r0 and memory as the interpreter leaves them, with and without passes.
  void as_interpreted(const Prog& p, std::span<u8> memory, const std::string& what) {
    const std::vector<u8> start(memory.begin(), memory.end());
    const u64 want = interp_run(prepare(p));
    ASSERT_EQ(run_->fault.kind, FaultKind::None) << what;
    const std::vector<u8> left(memory.begin(), memory.end());
    for (const bool optimise : {false, true}) {
      std::copy(start.begin(), start.end(), memory.begin());
      auto made = jit_compile(input(p, optimise));
      ASSERT_TRUE(made.ok()) << what;
      Loaded loaded(*made);
      RunCtx& run = prepare(p);
      const u64 args[5] = {reinterpret_cast<u64>(run.ctx), 0, 0, 0, 0};
      u64 got = 0;
      ASSERT_TRUE(call_checked(loaded.function(), &run, args, &got)) << what;
      ASSERT_EQ(got, want) << what << (optimise ? ", optimised" : ", plain");
      ASSERT_TRUE(std::equal(left.begin(), left.end(), memory.begin())) << what << (optimise ? ", optimised" : ", plain");
    }
  }
};

TEST_F(Compile, RandomProgramsAsInterpreted) {
  MapDesc* array = map(BPF_MAP_TYPE_ARRAY, 4, RandomProgram::MEMORY, 4);
  for (u32 seed = 0; seed < 1000 && !HasFailure(); ++seed) {
    RandomProgram random(seed);
    u8* value = array->ram;
    for (u32 i = 0; i < RandomProgram::MEMORY; ++i) value[i] = static_cast<u8>(seed * 7 + i * 31);
    as_interpreted(random.make(value, array), {array->ram, array->ram_bytes}, fmt::format("seed {}", seed));
  }
}

/// Straight code, and code that is all branches, of a size that quadratic work would show in: all of it within the test's time.
TEST_F(Compile, AMillionInstructions) {
  step_limit_ = 2000000;
  for (const bool branches : {false, true}) {
    Prog p = {ldx(BPF_DW, 2, 1, 0), ldx(BPF_DW, 0, 1, 8), ldx(BPF_DW, 1, 1, 16)};
    const u32 total = 1000000 - 2;
    p.reserve(total + 2);
    for (u32 i = 0; p.size() < total; ++i) {
      p.push_back(alu64x(BPF_ADD, static_cast<u8>(i % 3), static_cast<u8>((i + 1) % 3)));
      p.push_back(alu64k(BPF_XOR, static_cast<u8>(i % 3), static_cast<s32>(i)));
      if (branches) p.push_back(jk(BPF_JEQ, static_cast<u8>((i + 2) % 3), static_cast<s32>(i), 1));
      p.push_back(alu64k(BPF_MUL, static_cast<u8>((i + 2) % 3), 7));
    }
    p.push_back(exit_());
    auto made = jit_compile(input(p, true));
    ASSERT_TRUE(made.ok()) << made.error().value();
    Loaded loaded(*made);
    RunCtx& run = prepare(p);
    const u64 got = loaded.function()(&run, reinterpret_cast<u64>(run.ctx), 0, 0, 0, 0);
    EXPECT_EQ(got, interp_run(prepare(p)));
  }
}

/// Inlined or not, and with everything that is worth a register living across: as interpreted, once nothing is known and once all is.
TEST_F(Compile, TheCurrentTask) {
  Prog p = {movr(6, 1)};
  for (u8 r = 2; r <= 5; ++r) p.push_back(ldx(BPF_DW, r, 1, static_cast<s16>(8 * r)));
  for (s16 at = 8; at <= 64; at = static_cast<s16>(at + 8)) {
    p.push_back(ldx(BPF_DW, 0, 1, static_cast<s16>(at - 8)));
    p.push_back(alu64k(BPF_MUL, 0, at));
    p.push_back(stx(BPF_DW, 10, static_cast<s16>(-at), 0));
  }
  p = p + Prog{mov(7, 3), mov(9, 0), call(func::get_current_pid_tgid), alu64x(BPF_XOR, 9, 0), call(func::get_current_task), movr(8, 0),
               movr(1, 6), call(func::get_attach_cookie), alu64x(BPF_MUL, 9, 8), alu64x(BPF_ADD, 9, 0), alu64k(BPF_ADD, 7, -1),
               jk(BPF_JNE, 7, 0, -10)};
  for (s16 at = 8; at <= 64; at = static_cast<s16>(at + 8)) {
    p.push_back(ldx(BPF_DW, 0, 10, static_cast<s16>(-at)));
    p.push_back(alu64x(BPF_XOR, 9, 0));
    p.push_back(alu64k(BPF_MUL, 9, 31));
  }
  p = p + Prog{movr(0, 9), exit_()};
  for (std::size_t i = 0; i < ctx_.size(); ++i) ctx_[i] = static_cast<u8>(i * 37 + 5);
  as_interpreted(p, {}, "asks");
  auto made = jit_compile(input(p, true));
  ASSERT_TRUE(made.ok());
  Loaded loaded(*made);
  const u64 want = interp_run(prepare(p));
  RunCtx& run = prepare(p);
  const u64 args[5] = {reinterpret_cast<u64>(run.ctx), 0, 0, 0, 0};
  for (int turn = 0; turn < 2; ++turn) {
    u64 got = 0;
    ASSERT_TRUE(call_checked(loaded.function(), &run, args, &got));
    EXPECT_EQ(got, want);
    EXPECT_EQ(run.pid_tgid, env_.fake_pid_tgid);
    EXPECT_EQ(run.task, env_.fake_task);
  }
  // The second time nobody was asked: what the run knows is what it says.
  env_.fake_pid_tgid = 0x77, env_.fake_task = 0x88;
  u64 got = 0;
  ASSERT_TRUE(call_checked(loaded.function(), &run, args, &got));
  EXPECT_EQ(got, want);
}

/// The same thousands of sums twice, with a call between: to keep them all would take a frame that no run has room for, which reaches
/// beyond the guard page below the stack.
TEST_F(Compile, FramesFitTheStack) {
  constexpr u32 SUMS = 20000;
  Prog p = {ldx(BPF_DW, 6, 1, 0), mov(7, 0)};
  for (u32 turn = 0; turn < 2; ++turn) {
    for (u32 i = 0; i < SUMS; ++i) {
      p.push_back(movr(2, 6));
      p.push_back(alu64k(BPF_MUL, 2, static_cast<s32>(1000003 + 2 * i)));
      p.push_back(alu64x(BPF_XOR, 7, 2));
      if (turn != 0) p.push_back(alu64k(BPF_MUL, 7, 5));
    }
    p.push_back(call(func::ktime_get_ns));
  }
  p.push_back(movr(0, 7));
  p.push_back(exit_());
  step_limit_ = 1000000;
  auto made = jit_compile(input(p, true));
  ASSERT_TRUE(made.ok()) << made.error().value();
  EXPECT_LE(made->functions[0].frame, 4096u);
}

}  // namespace
}  // namespace skep::jit::test
