// Readers of an LPM trie during its changes, deaths among live neighbours, and RAM that somebody scribbles over.
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <ctime>
#include <functional>

#include "maps/lpm_find.h"
#include "maps/lpm_test_trie.h"
#include "maps/test_churners.h"

namespace skep::test {
namespace {

constexpr u32 DATA_SIZE = 4;
/// Prefixes that stay. Each is asked for by the key that goes on with ones behind it.
const char* const STAYING[] = {"", "0", "0101", "01010101", "1100110011", "1100110011001", "00000000000000000000000000000000"};
LpmKey full_key(const std::string& bits) {
  const LpmKey key(bits, DATA_SIZE, 0xff);
  return {32, {key.bytes.begin() + LPM_PREFIX, key.bytes.end()}};
}

/// Prefixes that come and go between and beside them.
LpmKey coming(Random* rnd) {
  const std::string near = STAYING[rnd->below(7)];
  std::string bits = near.substr(0, rnd->below(static_cast<u32>(near.size()) + 1));
  for (u32 more = rnd->below(5); more > 0 && bits.size() < 32; --more) bits += rnd->below(2) != 0 ? '1' : '0';
  return LpmKey(bits, DATA_SIZE, static_cast<u8>(rnd->next() >> 20));
}
bool stays(const LpmKey& key) {
  for (const char* s : STAYING)
    if (key.bits() == s) return true;
  return false;
}
/// The value of a prefix says which one it is.
u64 value_of(const LpmKey& key) {
  u64 v = 1;
  for (const char b : key.bits()) v = v * 2 + (b == '1');
  return v;
}

class LpmRace : public testing::TestWithParam<u32> {
 protected:
  LpmRace() : m(&tw, DATA_SIZE, GetParam()) {
    for (const char* s : STAYING) EXPECT_EQ(m.put(tw.ctx(0), LpmKey(s, DATA_SIZE), value_of(LpmKey(s, DATA_SIZE))), 0);
    for (u32 w = 0; w < 3; ++w) {
      const OpCtx c = tw.ctx(1 + w);
      writers.start([this, c, w] {
        for (Random rnd{w + 7};;) {
          const LpmKey key = coming(&rnd);
          if (rnd.below(2) != 0)
            m.put(c, key, value_of(key));
          else if (!stays(key))
            m.erase(c, key);
        }
      });
    }
  }
  TestWindow tw;
  LpmMap m;
  Churners writers;
};
INSTANTIATE_TEST_SUITE_P(MaxEntries, LpmRace, testing::Values(16, 4096));

/// What is found covers the key, and is at least as long as the longest prefix that stays.
TEST_P(LpmRace, LookupsFindWhatStaysOrBetter) {
  const OpCtx c = tw.ctx(9);
  u64 looks = 0;
  for (const double end = now_s() + 1.5; now_s() < end; ++looks) {
    for (const char* s : STAYING) {
      const LpmKey key = full_key(s);
      u64 value = 0;
      ASSERT_EQ(m.ops->read_value(c, m.desc, key.get(), &value, 0), 0) << s;
      ASSERT_NE(value, 0u);
      // The length of the prefix that was found: its value has a one in front.
      const u32 len = 63 - static_cast<u32>(__builtin_clzll(value));
      ASSERT_GE(len, std::strlen(s)) << looks;
      ASSERT_EQ(value, value_of(LpmKey(key.bits().substr(0, len), DATA_SIZE)));
    }
  }
  EXPECT_GT(looks, 100u);
}

TEST_P(LpmRace, WalksMeetWhatStays) {
  const OpCtx c = tw.ctx(9);
  u32 rounds = 0;
  for (const double end = now_s() + 1.5; now_s() < end; ++rounds) {
    std::set<std::string> seen;
    LpmKey key("", DATA_SIZE), next = key;
    long r = m.ops->get_next_key(c, m.desc, nullptr, next.bytes.data());
    while (r == 0) {
      key = next;
      ASSERT_LE(key.len(), 32u);
      seen.insert(key.bits());
      r = m.ops->get_next_key(c, m.desc, key.get(), next.bytes.data());  // from the start again when the key has gone meanwhile
    }
    ASSERT_EQ(r, -ENOENT);
    for (const char* s : STAYING) ASSERT_EQ(seen.count(s), 1u) << s << " round " << rounds;
  }
  EXPECT_GT(rounds, 10u);
}

TEST(LpmKill, HundredsOfTimes) {
  TestWindow tw;
  const LpmMap m(&tw, DATA_SIZE, 24);
  constexpr u32 children = 3;
  pid_t pids[children] = {};
  u64 seed = 1;
  u32 killed_inside = 0;
  auto start = [&](u32 i) {
    ++seed;
    const pid_t parent = getpid();
    pids[i] = fork();
    if (pids[i] != 0) return;
    for (Random rnd{seed * 0x9e3779b97f4a7c15ULL}; getppid() == parent;) {
      RunSlot* slot = slot_acquire_client(tw.window(), i + 1 + (seed << 32), rnd.below(16));
      if (slot == nullptr) continue;
      const OpCtx c{tw.window(), slot, 0};
      const LpmKey key = coming(&rnd);
      if (rnd.below(2) != 0)
        m.put(c, key, value_of(key));
      else
        m.erase(c, key);
      slot_release(slot);
    }
    _exit(0);
  };
  auto reap = [&](u32 i) {
    kill(pids[i], SIGKILL);
    waitpid(pids[i], nullptr, 0);
    for (RunSlot& slot : tw.window().ram->slots) {
      if ((load_relaxed(&slot.owner) & 0xffffffff) != i + 1) continue;
      killed_inside += LpmTrie(m.desc).state()->lock.word == slot_lock_word(tw.window(), &slot);
      slot_recover(tw.window(), &slot, RECOVERY);
    }
  };
  Random rnd{5};
  for (u32 i = 0; i < children; ++i) start(i);
  for (u32 round = 0; round < 400 || (killed_inside <= 10 && round < 3000); ++round) {
    usleep(200 + rnd.below(1000));
    reap(round % children);
    if (round % 40 == 39) {
      for (u32 i = 0; i < children; ++i)
        if (i != round % children) reap(i);
      ASSERT_EQ(check_lpm(m), "") << "round " << round;
      for (const auto& [bits, value] : lpm_contents(tw, m)) ASSERT_EQ(value, value_of(LpmKey(bits, DATA_SIZE)));
      for (u32 i = 0; i < children; ++i)
        if (i != round % children) start(i);
    }
    start(round % children);
  }
  for (u32 i = 0; i < children; ++i) reap(i);
  EXPECT_EQ(check_lpm(m), "");
  EXPECT_GT(killed_inside, 10u);  // the test does reach what it is about
}

// ---- hostile RAM

void scribble(const MapDesc* d, Random* rnd) {
  auto* words = reinterpret_cast<u64*>(d->ram);
  const u32 n = static_cast<u32>(d->ram_bytes / 8);
  u64 v = rnd->next();
  if (rnd->below(2) == 0) v = lpm_link(rnd->below(120), rnd->below(40), rnd->below(4));
  if (rnd->below(4) == 0) v = rnd->below(200) | static_cast<u64>(rnd->below(200)) << 32;
  __atomic_store_n(&words[rnd->below(3) == 0 ? rnd->below(32) : rnd->below(n)], v, __ATOMIC_RELAXED);
}

void any_operation(const TestWindow& tw, const LpmMap& m, const OpCtx& c, Random* rnd) {
  const LpmKey key = coming(rnd);
  std::vector<u8> out(64);
  switch (rnd->below(6)) {
    case 0:
    case 1:
      m.put(c, key, 1, rnd->below(3));
      break;
    case 2:
      m.erase(c, key);
      break;
    case 3:
      if (const u64* v = m.lookup(c, key); v != nullptr) {
        ASSERT_TRUE(m.ops->holds_value(m.desc, reinterpret_cast<u64>(v), m.desc->value_size));
      }
      m.ops->read_value(c, m.desc, key.get(), out.data(), 0);
      break;
    case 4:
      m.ops->get_next_key(c, m.desc, rnd->below(4) == 0 ? nullptr : key.get(), out.data());
      break;
    default:
      c.slot->intent_map = reinterpret_cast<u64>(m.desc);
      LpmTrie(m.desc).state()->lock.word = slot_lock_word(tw.window(), c.slot);
      recover_map_intent(tw.window(), c.slot, find_desc);
      LpmTrie(m.desc).state()->lock.word = 0;
      c.slot->intent_map = 0;
  }
}

TEST(LpmHostile, ScribblesBetweenOperations) {
  for (u32 round = 0; round < 20; ++round) {
    TestWindow tw;
    const LpmMap m(&tw, DATA_SIZE, round % 2 == 0 ? 8 : 40);
    Random rnd{round + 1};
    for (int i = 0; i < 3000; ++i) {
      if (rnd.below(4) == 0) scribble(m.desc, &rnd);
      any_operation(tw, m, tw.ctx(rnd.below(4)), &rnd);
      if (HasFatalFailure()) return;
    }
  }
}

TEST(LpmHostile, ScribblesDuringOperations) {
  TestWindow tw;
  const LpmMap m(&tw, DATA_SIZE, 24);
  Churners scribblers;
  scribblers.start([&] {
    for (Random rnd{99};;) scribble(m.desc, &rnd);
  });
  Random rnd{5};
  double worst = 0;
  for (const double end = now_s() + 1.5; now_s() < end;) {
    const double start = now_s(CLOCK_PROCESS_CPUTIME_ID);
    any_operation(tw, m, tw.ctx(rnd.below(4)), &rnd);
    if (HasFatalFailure()) return;
    worst = std::max(worst, now_s(CLOCK_PROCESS_CPUTIME_ID) - start);
  }
  EXPECT_LT(worst, 1.0);  // bounded
}

}  // namespace
}  // namespace skep::test
