// jit tests: programs through the front of it, against the interpreter.
#include "jit/front_fixture_test.h"
#include "jit/random_program_test.h"

namespace skep::jit::test {
namespace {

using namespace skep::test;

class Front : public FrontFixture {
 protected:
  bool refuses(const Prog& p) {
    const auto r = build_functions(input(p, true));
    return !r.ok() && r.error() == Errno(EINVAL);
  }
};

TEST_F(Front, StraightLine) {
  EXPECT_EQ(same({mov(0, 7), exit_()}), 7u);
  EXPECT_EQ(same({mov(0, 7), alu64k(BPF_ADD, 0, 5), exit_()}), 12u);
  EXPECT_EQ(same({ldx(BPF_B, 0, 1, 3), exit_()}), 0x11u);
  EXPECT_EQ(same({mov(2, -1), alu32x(BPF_MOV, 0, 2), exit_()}), 0xffffffffu);
}

TEST_F(Front, Loops) {
  EXPECT_EQ(same({mov(0, 0), mov(1, 10), alu64x(BPF_ADD, 0, 1), alu64k(BPF_SUB, 1, 1), jk(BPF_JNE, 1, 0, -3), exit_()}), 55u);
  // The first instruction is a loop's.
  EXPECT_EQ(same({alu64k(BPF_AND, 1, 15), alu64k(BPF_ADD, 1, 1), jk(BPF_JNE, 1, 15, -2), movr(0, 1), exit_()}), 15u);
  // Its condition stands in front of its body.
  EXPECT_EQ(same({mov(0, 0), mov(1, 0), ja(2), alu64x(BPF_ADD, 0, 1), alu64k(BPF_ADD, 1, 1), jk(BPF_JLT, 1, 5, -3), exit_()}), 10u);
}

TEST_F(Front, ALoopWithTwoWaysIn) {
  const Prog p = {mov(0, 0),
                  mov(1, 0),
                  ldx(BPF_B, 2, 10, -8),
                  jk(BPF_JEQ, 2, 0, 1),
                  alu64k(BPF_ADD, 0, 3),
                  alu64k(BPF_ADD, 0, 5),
                  alu64k(BPF_ADD, 1, 1),
                  jk(BPF_JLT, 1, 4, -4),
                  exit_()};
  EXPECT_EQ(same(p), 5u + 3 * 8);
}

TEST_F(Front, Functions) {
  starts_ = {0, 5};
  EXPECT_EQ(same({mov(1, 3), mov(2, 4), mov(6, 100), call_pc(1), exit_(), movr(0, 1), alu64x(BPF_MUL, 0, 2), exit_()}), 12u);
  const auto f = functions({mov(1, 3), mov(2, 4), mov(3, 100), call_pc(1), exit_(), movr(0, 1), alu64x(BPF_MUL, 0, 2), exit_()});
  for (const Value& v : f[0].values) {
    if (v.op == Op::CallFunc) {
      EXPECT_EQ(v.arg[2], NONE) << "it reads two";
    }
  }
}

TEST_F(Front, Callbacks) {
  const Prog p = Prog{st(BPF_DW, 10, -8, 0), mov(1, 6)} + ldimm64(2, 7, BPF_PSEUDO_FUNC) +
                 Prog{movr(3, 10), alu64k(BPF_ADD, 3, -8), mov(4, 0), call(func::loop), ldx(BPF_DW, 0, 10, -8), exit_()};
  const Prog callback = {ldx(BPF_DW, 3, 2, 0), alu64x(BPF_ADD, 3, 1), stx(BPF_DW, 2, 0, 3), mov(0, 0), exit_()};
  starts_ = {0, static_cast<u32>(p.size())};
  Prog all = p + callback;
  all[2].imm = static_cast<s32>(p.size()) - 3;
  EXPECT_EQ(same(all), 15u);
}

TEST_F(Front, Malformed) {
  EXPECT_TRUE(refuses({mov(0, 0)}));
  EXPECT_TRUE(refuses({ja(5), exit_()}));
  EXPECT_TRUE(refuses({ja(-2), exit_()}));
  EXPECT_TRUE(refuses({raw(LDIMM64_CODE, 1), exit_()}));
  EXPECT_TRUE(refuses({raw(LDIMM64_CODE, 1)}));
  EXPECT_TRUE(refuses(Prog{ja(1)} + ldimm64(0, 1) + Prog{exit_()}));
  EXPECT_TRUE(refuses({mov(10, 0), exit_()}));
  EXPECT_TRUE(refuses({mov(12, 0), exit_()}));
  EXPECT_TRUE(refuses({raw(0xff), exit_()}));
  EXPECT_TRUE(refuses({may_goto(0), exit_()}));
  EXPECT_TRUE(refuses({call(9999), exit_()}));
  EXPECT_TRUE(refuses({call_pc(1), exit_(), exit_()}));
  EXPECT_TRUE(refuses({raw(BPF_LD | BPF_ABS | BPF_W), exit_()}));
  starts_ = {0, 2};
  EXPECT_TRUE(refuses({call_pc(1), exit_(), call_pc(-1), exit_()})) << "calls itself";
  EXPECT_TRUE(refuses({ja(1), exit_(), exit_()})) << "into another function";
  starts_ = {0, 7};
  EXPECT_TRUE(refuses({exit_()}));
  starts_ = {1};
  EXPECT_TRUE(refuses({exit_(), exit_()}));
}

TEST_F(Front, RandomBytesAreNoProgram) {
  std::mt19937_64 rng(7);
  for (u32 turn = 0; turn < 20000; ++turn) {
    Prog p(1 + rng() % 12);
    for (bpf_insn& i : p) {
      i = raw(static_cast<u8>(rng()), static_cast<u32>(rng() % 11), static_cast<u32>(rng() % 11), static_cast<s32>(rng() % 9) - 4,
              static_cast<s32>(rng() % 9) - 4);
      if (rng() % 2 == 0) i.code = static_cast<u8>((i.code & 0xf8) | BPF_JMP);
    }
    p.push_back(exit_());
    starts_ = {0};
    const auto made = build_functions(input(p, true));
    if (!made.ok()) continue;
    for (const Function& f : *made) ASSERT_EQ(check(f), "") << print(f);
  }
}

TEST_F(Front, DeadCode) { EXPECT_EQ(same({mov(0, 1), jk(BPF_JEQ, 0, 1, 1), ja(-1), exit_()}), 1u); }

TEST_F(Front, ArrayLookup) {
  MapDesc* array = map(BPF_MAP_TYPE_ARRAY, 4, 24, 5);
  for (u32 i = 0; i < 5; ++i) *reinterpret_cast<u64*>(array->elems + i * array->elem_size) = 100 + i;
  for (s32 key = 0; key < 7; ++key) {
    const Prog p = Prog{st(BPF_W, 10, -4, key)} + ldptr(1, array) + Prog{movr(2, 10),
                                                                         alu64k(BPF_ADD, 2, -4),
                                                                         call(func::map_lookup_elem),
                                                                         jk(BPF_JNE, 0, 0, 2),
                                                                         mov(0, 5),
                                                                         exit_(),
                                                                         ldx(BPF_DW, 0, 0, 0),
                                                                         exit_()};
    EXPECT_EQ(same(p), key < 5 ? 100u + static_cast<u32>(key) : 5u);
  }
}

class RandomFront : public FrontFixture, public ::testing::WithParamInterface<u32> {};

TEST_P(RandomFront, IsWhatTheInterpreterDoes) {
  MapDesc* array = map(BPF_MAP_TYPE_ARRAY, 4, RandomProgram::MEMORY, 4);
  MapDesc* per_cpu = map(BPF_MAP_TYPE_PERCPU_ARRAY, 4, RandomProgram::MEMORY, 4);
  step_limit_ = 1000000;
  show_ = false;
  std::mt19937_64 rng(GetParam());
  for (u32 i = 0; i < array->ram_bytes; ++i) array->ram[i] = static_cast<u8>(rng());
  for (u32 turn = 0; turn < 150 && !HasFailure(); ++turn) {
    RandomProgram random(GetParam() * 1000 + turn);
    const Prog p = random.make(array->elems, turn % 3 == 0 ? array : turn % 3 == 1 ? per_cpu : nullptr);
    same(p);
    if (HasFailure()) ADD_FAILURE() << "seed " << GetParam() * 1000 + turn;
  }
}
INSTANTIATE_TEST_SUITE_P(Seeds, RandomFront, ::testing::Range(0u, 12u));

}  // namespace
}  // namespace skep::jit::test
