// Moves made at once: all small sets of them, tried on a model.
#include "jit/moves.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

namespace skep::jit {
namespace {

constexpr u32 SLOTS = 6;

/// Places 0 .. n - 1 of a test: registers, or registers and slots by turns.
Loc place(u32 i, bool slots) { return slots && i % 2 ? Loc::slot(i / 2) : Loc::in(i); }

void check(const std::vector<Move>& moves) {
  std::map<u32, u32> before, now;
  for (u32 r = 0; r < NR_REGS + SLOTS; ++r) before[r] = now[r] = 1000 + r;
  const auto value = [&](const std::map<u32, u32>& in, Loc l) { return l.is_remat() ? l.code : in.at(l.code); };
  std::vector<u32> stack;
  static MoveOrder order(SLOTS);
  for (const Step& s : order.order(moves)) {
    switch (s.kind) {
      case Step::Copy:
        now[s.dst.code] = value(now, s.src);
        break;
      case Step::Exchange:
        ASSERT_TRUE(s.dst.is_reg() && s.src.is_reg());
        std::swap(now[s.dst.code], now[s.src.code]);
        break;
      case Step::Push:
        stack.push_back(value(now, s.src));
        break;
      case Step::Pop:
        ASSERT_FALSE(stack.empty());
        now[s.dst.code] = stack.back();
        stack.pop_back();
        break;
    }
  }
  EXPECT_TRUE(stack.empty());
  for (const Move& m : moves) before[m.dst.code] = m.src.is_remat() ? m.src.code : 1000 + m.src.code;
  EXPECT_EQ(now, before);
}

/// Every dst 0 .. n - 1 gets every one of n + 1 sources: each other, and one that is made anew.
void all_of(u32 n, bool slots) {
  u32 total = 1;
  for (u32 i = 0; i < n; ++i) total *= n + 1;
  for (u32 code = 0; code < total && !::testing::Test::HasFailure(); ++code) {
    std::vector<Move> moves;
    u32 rest = code;
    for (u32 i = 0; i < n; ++i, rest /= n + 1)
      moves.push_back({place(i, slots), rest % (n + 1) == n ? Loc::remat(i) : place(rest % (n + 1), slots)});
    check(moves);
  }
}

TEST(Moves, AllSetsOfRegisters) {
  for (u32 n = 1; n <= 6; ++n) all_of(n, false);
}

TEST(Moves, AllSetsOfRegistersAndSlots) {
  for (u32 n = 1; n <= 6; ++n) all_of(n, true);
}

TEST(Moves, ManyAtRandom) {
  std::mt19937 rng(1);
  for (u32 i = 0; i < 20000 && !HasFailure(); ++i) {
    std::vector<Move> moves;
    for (u32 d = 0; d < NR_REGS + SLOTS; ++d) {
      if (rng() % 3 == 0) continue;
      const u32 s = static_cast<u32>(rng() % (NR_REGS + SLOTS + 2));
      moves.push_back({Loc{d}, s >= NR_REGS + SLOTS ? Loc::remat(s) : Loc{s}});
    }
    std::shuffle(moves.begin(), moves.end(), rng);
    check(moves);
  }
}

/// A plain cycle of registers costs one exchange less than it has members, and no copies.
TEST(Moves, CircleIsExchanged) {
  MoveOrder order(0);
  const std::vector<Move> circle = {{Loc::in(1), Loc::in(2)}, {Loc::in(2), Loc::in(3)}, {Loc::in(3), Loc::in(1)}};
  const auto steps = order.order(circle);
  ASSERT_EQ(steps.size(), 2u);
  for (const Step& s : steps) EXPECT_EQ(s.kind, Step::Exchange);
}

}  // namespace
}  // namespace skep::jit
