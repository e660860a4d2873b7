// Several processes on a hash map that evicts, deaths among live neighbours, and RAM that somebody scribbles over.
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <ctime>
#include <functional>

#include "maps/lru_test_check.h"
#include "maps/test_churners.h"

namespace skep::test {
namespace {

constexpr u32 LRU = BPF_MAP_TYPE_LRU_HASH, PLRU = BPF_MAP_TYPE_LRU_PERCPU_HASH;
constexpr u32 TYPES[] = {LRU, PLRU};

u64 value_of(u32 key) { return key * 0x100000001ULL; }

void any_operation(const Map& m, const OpCtx& c, Random* rnd, u32 keys) {
  const u32 key = rnd->below(keys);
  u64 out[MAX_CPUS] = {};
  u32 next = 0;
  switch (rnd->below(9)) {
    case 0:
      m.erase(c, key);
      break;
    case 1:
      m.lookup(c, key);
      break;
    case 2:
      m.read(c, key, out);
      break;
    case 3:
      m.ops->take_value(c, m.desc, &key, out, 0);
      break;
    case 4:
      m.ops->get_next_key(c, m.desc, rnd->below(4) == 0 ? nullptr : &key, &next);
      break;
    default:
      m.put(c, key, value_of(key), rnd->below(6) == 0 ? rnd->below(3) : 0);
  }
}

/// A key that is used again and again is found, each time, with its value, while others come and go.
TEST(LruRace, WhatIsUsedStays) {
  for (const u32 type : TYPES) {
    TestWindow tw;
    const Map m(tw.create(type, 4, 8, 256));
    Churners churners;
    constexpr u32 staying = 4;
    for (u32 k = 0; k < staying; ++k) ASSERT_EQ(m.put(tw.ctx(0), 10000 + k, value_of(10000 + k)), 0);
    for (u32 p = 0; p < 2; ++p) {
      const OpCtx c = tw.ctx(1 + p, 1 + p);
      churners.start([m, c, p] {
        for (Random rnd{p + 3};;) {
          // Each has what it likes, too: not one of them evicts all the time.
          for (u32 i = 0; i < 16; ++i) any_operation(m, c, &rnd, 400);
          for (u32 k = 0; k < staying; ++k) m.lookup(c, 10000 + k);
        }
      });
    }
    const OpCtx c = tw.ctx(9);
    u64 looks = 0;
    for (const double end = now_s() + 1.5; now_s() < end; ++looks)
      for (u32 k = 0; k < staying; ++k) {
        const u64* v = m.lookup(c, 10000 + k);
        if (v != nullptr) {
          ASSERT_TRUE(m.ops->holds_value(m.desc, reinterpret_cast<u64>(v), 8));
        }
      }
    EXPECT_GT(looks, 100u);
    u64 out[MAX_CPUS];
    for (u32 k = 0; k < staying; ++k) ASSERT_EQ(m.read(c, 10000 + k, out), 0) << k;
    churners.stop();
  }
}

TEST(LruRace, ValuesReadByASyscallAreTheirKeys) {
  TestWindow tw;
  const Map m(tw.create(LRU, 4, 128, 16));
  m.desc->n_buckets = 4;
  Churners churners;
  for (u32 p = 0; p < 2; ++p) {
    const OpCtx c = tw.ctx(1 + p, 1 + p);
    churners.start([m, c, p] {
      for (Random rnd{p + 3};;) {
        const u32 key = 1 + rnd.below(40);
        m.put(c, key, value_of(key));
      }
    });
  }
  const OpCtx c = tw.ctx(9);
  u64 found = 0, out[16];
  for (const double end = now_s() + 1.5; now_s() < end;)
    for (u32 key = 1; key <= 40; ++key) {
      if (m.read(c, key, out) != 0) continue;
      ++found;
      for (const u64 v : out) ASSERT_EQ(v, value_of(key));
    }
  EXPECT_GT(found, 100u);
}

TEST(LruKill, HundredsOfTimes) {
  for (const u32 type : TYPES) {
    TestWindow tw;
    const Map m(tw.create(type, 4, 8, 48));
    m.desc->n_buckets = 16;
    constexpr u32 children = 3;
    pid_t pids[children] = {};
    u64 seed = 1;
    u32 killed_inside = 0;
    auto start = [&](u32 i) {
      ++seed;
      const pid_t parent = getpid();
      pids[i] = fork();
      if (pids[i] != 0) return;
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      for (Random rnd{seed * 0x9e3779b97f4a7c15ULL}; getppid() == parent;) {
        RunSlot* slot = slot_acquire_client(tw.window(), i + 1 + (seed << 32), rnd.below(16));
        if (slot == nullptr) continue;
        any_operation(m, {tw.window(), slot, rnd.below(4)}, &rnd, 100);
        slot_release(slot);
      }
      _exit(0);
    };
    auto reap = [&](u32 i) {
      kill(pids[i], SIGKILL);
      waitpid(pids[i], nullptr, 0);
      for (RunSlot& slot : tw.window().ram->slots) {
        if ((load_relaxed(&slot.owner) & 0xffffffff) != i + 1) continue;
        for (u32 p = 0; p < m.desc->nr_cpus; ++p)
          killed_inside += LruTable(m.desc).pool(p)->lock.word == slot_lock_word(tw.window(), &slot);
        slot_recover(tw.window(), &slot, RECOVERY);
      }
    };
    Random rnd{5};
    for (u32 i = 0; i < children; ++i) start(i);
    for (u32 round = 0; round < 300 || (killed_inside <= 10 && round < 2000); ++round) {
      usleep(200 + rnd.below(1000));
      reap(round % children);
      if (round % 40 == 39) {
        for (u32 i = 0; i < children; ++i)
          if (i != round % children) reap(i);
        ASSERT_EQ(check_lru(tw, m.desc), "") << "round " << round;
        for (const auto& [key, value] : contents(tw, m)) ASSERT_LT(key, 100u);
        for (u32 i = 0; i < children; ++i)
          if (i != round % children) start(i);
      }
      start(round % children);
    }
    for (u32 i = 0; i < children; ++i) reap(i);
    EXPECT_EQ(check_lru(tw, m.desc), "");
    EXPECT_GT(killed_inside, 10u);  // the test does reach what it is about
  }
}

// ---- hostile RAM

void scribble(const MapDesc* d, Random* rnd) {
  auto* words = reinterpret_cast<u64*>(d->ram);
  const u32 n = static_cast<u32>(d->ram_bytes / 8);
  u64 v = rnd->next();
  if (rnd->below(2) == 0) v = rnd->below(60);
  if (rnd->below(4) == 0) v = rnd->below(60) | static_cast<u64>(rnd->below(300)) << 32 | static_cast<u64>(rnd->below(300)) << 48;
  __atomic_store_n(&words[rnd->below(3) == 0 ? rnd->below(160) : rnd->below(n)], v, __ATOMIC_RELAXED);
}

void hostile_operation(const TestWindow& tw, const Map& m, const OpCtx& c, Random* rnd) {
  any_operation(m, c, rnd, 60);
  if (rnd->below(8) != 0) return;
  c.slot->intent_map = reinterpret_cast<u64>(m.desc);
  c.slot->intent_elem = rnd->below(60);
  c.slot->intent_op = rnd->below(9) | rnd->below(5) << 4 | rnd->below(5) << 12;
  const LruTable t(m.desc);
  const u32 pool = c.slot->intent_op >> 4 & 0xff;
  if (pool < m.desc->nr_cpus) t.pool(pool)->lock.word = slot_lock_word(tw.window(), c.slot);
  recover_map_intent(tw.window(), c.slot, find_desc);
  if (pool < m.desc->nr_cpus) t.pool(pool)->lock.word = 0;
  c.slot->intent_map = 0;
}

TEST(LruHostile, ScribblesBetweenOperations) {
  for (const u32 type : TYPES)
    for (u32 round = 0; round < 20; ++round) {
      TestWindow tw;
      const Map m(tw.create(type, 4, 12, 24, round % 2 == 0 ? 0 : BPF_F_NO_COMMON_LRU));
      Random rnd{round * 2 + type};
      for (int i = 0; i < 3000; ++i) {
        if (rnd.below(4) == 0) scribble(m.desc, &rnd);
        hostile_operation(tw, m, tw.ctx(rnd.below(4), rnd.below(4)), &rnd);
        // A scribbled lock may be one of a slot that lives: nobody waits for it twice, but once costs 20 ms.
        for (u32 p = 0; p < m.desc->nr_cpus; ++p) LruTable(m.desc).pool(p)->lock.word = 0;
        if (HasFatalFailure()) return;
      }
    }
}

TEST(LruHostile, ScribblesDuringOperations) {
  for (const u32 type : TYPES) {
    TestWindow tw;
    const Map m(tw.create(type, 4, 12, 24));
    Churners scribblers;
    scribblers.start([&] {
      for (Random rnd{99};;) scribble(m.desc, &rnd);
    });
    Random rnd{5};
    double worst = 0;
    for (const double end = now_s() + 1.5; now_s() < end;) {
      const double start = now_s(CLOCK_PROCESS_CPUTIME_ID);
      hostile_operation(tw, m, tw.ctx(rnd.below(4), rnd.below(4)), &rnd);
      if (HasFatalFailure()) return;
      worst = std::max(worst, now_s(CLOCK_PROCESS_CPUTIME_ID) - start);
    }
    EXPECT_LT(worst, 1.0);  // bounded
  }
}

}  // namespace
}  // namespace skep::test
