// Random functions in IR: their machine code against the evaluator.
#include <gtest/gtest.h>

#include "jit/alloc_check_test.h"
#include "jit/ir_eval_test.h"
#include "jit/random_ir_test.h"

namespace skep::jit::test {
namespace {

class EmitRandom : public ::testing::TestWithParam<u32> {};

void fill(std::vector<u8>* memory, u32 seed) {
  std::mt19937 rng(seed);
  for (u8& b : *memory) b = static_cast<u8>(rng());
}

/// The allocation alone, without a step of the program.
std::string checked(Function f, Features features) {
  const ValueId run = prepare(f);
  const Machine machine{f, features, run};
  const Live live(machine);
  Allocation a(machine, live);
  return a.ok ? AllocChecker(machine, live, a).check() : "no allocation";
}

void compare_one(u32 seed, const RandomIr::Shape& shape) {
  std::vector<Function> functions;
  for (u32 i = 0; i < shape.functions; ++i) {
    RandomIr::Shape s = shape;
    s.index = i;
    if (i > 0) s.statements = 6, s.depth = 1;
    functions.push_back(RandomIr(seed * 16 + i, s).make());
  }
  if (::testing::Test::HasFailure()) return;
  auto run = std::make_unique<RunCtx>();
  const JitInput in{};
  u64 args[5] = {0, 0x123456789abcdef0ULL * seed, ~u64{0}, seed, u64{1} << 63};
  alignas(16) static u8 memory[RandomIr::MEMORY];
  args[0] = reinterpret_cast<u64>(memory);
  std::vector<u8> start(sizeof memory), expected(sizeof memory);
  fill(&start, seed);
  std::memcpy(memory, start.data(), start.size());
  IrEval eval(functions, in, *run);
  const u64 want = eval.call(0, args);
  if (eval.stuck()) return;
  std::memcpy(expected.data(), memory, sizeof memory);
  const std::string text = print(functions[0]);
  // Every other one as for a machine without BMI2.
  const Features features = seed % 2 ? machine_features() : Features{};
  for (const Function& f : functions) ASSERT_EQ(checked(f, features), "") << "seed " << seed << "\n" << print(f);
  const JitCode code = emit_all(std::move(functions), features);
  ASSERT_FALSE(code.bytes.empty());
  Loaded loaded(code);
  std::memcpy(memory, start.data(), start.size());
  u64 got = 0;
  EXPECT_TRUE(call_checked(loaded.function(), run.get(), args, &got)) << "callee-saved registers, seed " << seed;
  ASSERT_EQ(got, want) << "seed " << seed << "\n" << text;
  ASSERT_EQ(std::memcmp(memory, expected.data(), sizeof memory), 0) << "memory, seed " << seed << "\n" << text;
}

TEST_P(EmitRandom, AsEvaluated) {
  const u32 n = 400;
  for (u32 i = 0; i < n && !HasFatalFailure(); ++i) {
    const u32 seed = GetParam() * 100000 + i;
    static constexpr u32 variables[] = {4, 8, 14, 20, 30};
    compare_one(seed, {.variables = variables[i % 5],
                       .statements = 4 + i % 23,
                       .depth = i % 4,
                       .index = 0,
                       .functions = 1 + i % 3,
                       .calls = true});
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, EmitRandom, ::testing::Range(0u, 8u));

}  // namespace
}  // namespace skep::jit::test
