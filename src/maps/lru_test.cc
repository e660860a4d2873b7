// LRU_HASH and LRU_PERCPU_HASH, one operation at a time: what a hash map promises, and who has to go.
#include "maps/lru_test_check.h"

namespace skep::test {
namespace {

constexpr u32 LRU = BPF_MAP_TYPE_LRU_HASH, PLRU = BPF_MAP_TYPE_LRU_PERCPU_HASH;

class EitherLru : public testing::TestWithParam<std::pair<u32, u32>> {
 protected:
  Map make(u32 max_entries, u32 value_size = 8) { return Map(tw.create(GetParam().first, 4, value_size, max_entries, GetParam().second)); }
  bool common() const { return GetParam().second == 0; }
  /// So many that one CPU has `entries` to itself.
  u32 for_one_cpu(u32 entries) const { return common() ? entries : entries * CPUS; }
  bool there(const Map& m, u32 key) {
    u64 out[MAX_CPUS];
    return m.read(tw.ctx(9), key, out) == 0;
  }
  static constexpr u32 CPUS = 4;
  TestWindow tw{CPUS};
};
INSTANTIATE_TEST_SUITE_P(Kinds, EitherLru,
                         testing::Values(std::pair{LRU, 0u}, std::pair{PLRU, 0u}, std::pair{LRU, u32{BPF_F_NO_COMMON_LRU}},
                                         std::pair{PLRU, u32{BPF_F_NO_COMMON_LRU}}));

TEST_P(EitherLru, FlagsAndErrnos) {
  const Map m = make(for_one_cpu(8));
  const OpCtx c = tw.ctx(0);
  EXPECT_EQ(m.put(c, 1, 10, 3), -EINVAL);
  EXPECT_EQ(m.put(c, 1, 10, BPF_F_LOCK), -EINVAL);
  EXPECT_EQ(m.put(c, 1, 10, BPF_EXIST), -ENOENT);
  EXPECT_EQ(m.put(c, 1, 10, BPF_NOEXIST), 0);
  EXPECT_EQ(m.put(c, 1, 11, BPF_NOEXIST), -EEXIST);
  EXPECT_EQ(*m.lookup(c, 1), 10u);
  EXPECT_EQ(m.put(c, 1, 12, BPF_EXIST), 0);
  EXPECT_EQ(*m.lookup(c, 1), 12u);
  EXPECT_EQ(m.erase(c, 3), -ENOENT);
  EXPECT_EQ(m.erase(c, 1), 0);
  EXPECT_EQ(m.erase(c, 1), -ENOENT);
  EXPECT_EQ(m.lookup(c, 1), nullptr);
  u64 out[MAX_CPUS];
  u32 key = 2;
  EXPECT_EQ(m.ops->take_value(c, m.desc, &key, out, 0), -ENOENT);
  EXPECT_EQ(m.put(c, 2, 20), 0);
  EXPECT_EQ(m.ops->take_value(c, m.desc, &key, out, BPF_F_LOCK), -EINVAL);
  EXPECT_EQ(m.ops->take_value(c, m.desc, &key, out, 0), 0);
  EXPECT_EQ(out[0], 20u);
  EXPECT_FALSE(there(m, 2));
  EXPECT_EQ(check_lru(tw, m.desc), "");
}

/// What is in the map is what was put in last, and nothing goes unless the map was full.
TEST_P(EitherLru, RandomOperations) {
  for (const u32 entries : {for_one_cpu(1), for_one_cpu(7), for_one_cpu(64), for_one_cpu(1000)}) {
    const Map m = make(entries);
    std::map<u32, u64> model;
    Random rnd{entries};
    u32 most = 0;
    for (u32 i = 0; i < 8000; ++i) {
      const OpCtx c = tw.ctx(rnd.below(4), common() ? rnd.below(CPUS) : 0);
      const u32 key = rnd.below(2 * entries + 4);
      const bool was = there(m, key);
      if (was) {
        ASSERT_EQ(model.count(key), 1u) << "was never put in";
      }
      switch (rnd.below(5)) {
        case 0:
          ASSERT_EQ(m.erase(c, key), was ? 0 : -ENOENT);
          model.erase(key);
          break;
        case 1: {
          const u64* v = m.lookup(c, key);
          ASSERT_EQ(v != nullptr, was);
          if (v != nullptr && !m.ops->per_cpu) {
            ASSERT_EQ(*v, model[key]);
          }
          if (v != nullptr) {
            ASSERT_TRUE(m.ops->holds_value(m.desc, reinterpret_cast<u64>(v), 8));
          }
          break;
        }
        default: {
          const u64 value = rnd.next(), flags = rnd.below(6) == 0 ? 1 + rnd.below(2) : 0;
          const long r = m.put(c, key, value, flags);
          // To make room comes first: the key itself may have had to go.
          if (r == -EEXIST) {
            ASSERT_TRUE(was && flags == BPF_NOEXIST);
          } else if (r == -ENOENT) {
            ASSERT_EQ(flags, BPF_EXIST);
          } else {
            ASSERT_EQ(r, 0);
            model[key] = value;
            ASSERT_TRUE(there(m, key));
          }
        }
      }
      if (i % 200 == 0) {
        LruCheck check(tw, m.desc);
        ASSERT_EQ(check.run(), "") << entries << " " << i;
        most = std::max(most, check.live());
      }
    }
    const auto now = contents(tw, m);
    EXPECT_LE(now.size(), m.desc->max_entries);
    for (const auto& [key, value] : now) ASSERT_EQ(model.count(key), 1u);
    if (common() && entries >= 64) {
      EXPECT_GE(most, entries / 4);
    }
  }
}

TEST_P(EitherLru, NothingGoesWhileThereIsRoom) {
  const u32 entries = 1024;  // whole batches: as in Linux, the last batch is filled up by evictions
  const Map m = make(for_one_cpu(entries));
  const OpCtx c = tw.ctx(0);
  for (u32 round = 0; round < 5; ++round) {
    for (u32 k = 0; k < entries; ++k) ASSERT_EQ(m.put(c, round * 2000 + k, k), 0);
    for (u32 k = 0; k < entries; ++k) ASSERT_TRUE(there(m, round * 2000 + k)) << k << " round " << round;
    for (u32 k = 0; k < entries; ++k) ASSERT_EQ(m.erase(c, round * 2000 + k), 0);  // more than a pool holds
    ASSERT_EQ(check_lru(tw, m.desc), "");
  }
}

TEST_P(EitherLru, WhatWasUsedStays) {
  const u32 entries = 64;
  const Map m = make(for_one_cpu(entries));
  const OpCtx c = tw.ctx(0);
  for (u32 k = 0; k < entries; ++k) ASSERT_EQ(m.put(c, k, k), 0);
  for (u32 k = 1000; k < 1200; ++k) {
    for (u32 used = 0; used < 8; ++used) ASSERT_NE(m.lookup(c, used), nullptr) << used << " at " << k;
    ASSERT_EQ(m.put(c, k, k), 0);
    ASSERT_TRUE(there(m, k));
  }
  EXPECT_FALSE(there(m, 8));
  EXPECT_EQ(check_lru(tw, m.desc), "");
}

TEST_P(EitherLru, ReadsOfUserSpaceLeaveNoMark) {
  const Map m = make(for_one_cpu(2));
  const OpCtx c = tw.ctx(0);
  ASSERT_EQ(m.put(c, 1, 1), 0);
  ASSERT_EQ(m.put(c, 2, 2), 0);
  ASSERT_TRUE(there(m, 1));
  ASSERT_NE(m.lookup(c, 2), nullptr);
  ASSERT_EQ(m.put(c, 3, 3), 0);
  EXPECT_FALSE(there(m, 1));
  EXPECT_TRUE(there(m, 2));
}

TEST_P(EitherLru, OtherCpusElementsAreHadWhenAllElseFails) {
  const Map m = make(CPUS);
  for (u32 cpu = 0; cpu < CPUS; ++cpu) ASSERT_EQ(m.put(tw.ctx(0, cpu), cpu, cpu), 0);
  for (u32 cpu = 0; cpu < CPUS; ++cpu) ASSERT_EQ(m.erase(tw.ctx(0, 1), cpu), 0);  // all into one CPU's pool
  ASSERT_EQ(m.put(tw.ctx(0, 2), 9, 9), 0);
  EXPECT_TRUE(there(m, 9));
  EXPECT_EQ(check_lru(tw, m.desc), "");
}

TEST_P(EitherLru, PoolsInUseByOthers) {
  const Map m = make(for_one_cpu(16));
  const LruTable t(m.desc);
  const OpCtx other = tw.ctx(7);
  for (u32 p = 0; p < CPUS; ++p) t.pool(p)->lock.word = slot_lock_word(tw.window(), other.slot);
  EXPECT_EQ(m.put(tw.ctx(0), 1, 1), -EBUSY);
  t.pool(3)->lock.word = 0;
  EXPECT_EQ(m.put(tw.ctx(0), 1, 1), 0) << "any pool will do";
  t.part(t.part_of_pool(3))->lock.word = slot_lock_word(tw.window(), other.slot);
  EXPECT_EQ(m.put(tw.ctx(0), 1, 2), 0) << "the part's lock is not needed";
  EXPECT_EQ(*m.lookup(tw.ctx(0), 1), 2u);
}

TEST(Lru, UpdatesLeaveHeldValuesAlone) {
  TestWindow tw;
  const Map m(tw.create(LRU, 4, 8, 1000));
  const OpCtx c = tw.ctx(0);
  ASSERT_EQ(m.put(c, 1, 1), 0);
  const u64* held = m.lookup(c, 1);
  ASSERT_EQ(m.put(c, 1, 2), 0);
  EXPECT_EQ(*held, 1u);
  EXPECT_EQ(*m.lookup(c, 1), 2u);
}

TEST(Lru, ValuesOfEachCpu) {
  TestWindow tw;
  const Map m(tw.create(PLRU, 4, 5, 2));
  ASSERT_EQ(m.put(tw.ctx(0, 1), 7, 11), 0);
  ASSERT_EQ(m.put(tw.ctx(0, 3), 7, 33), 0);
  u64 out[4] = {~0ULL, ~0ULL, ~0ULL, ~0ULL};
  ASSERT_EQ(m.read(tw.ctx(0), 7, out), 0);
  const u64 want[4] = {0, 11, 0, 33};
  EXPECT_EQ(std::memcmp(out, want, sizeof out), 0);
  EXPECT_EQ(*reinterpret_cast<u8*>(m.lookup(tw.ctx(0, 3), 7)), 33u);
  // A new key's other values are nobody's leftovers.
  ASSERT_EQ(m.put(tw.ctx(0, 0), 8, 1), 0);
  ASSERT_EQ(m.put(tw.ctx(0, 0), 9, 2), 0);
  ASSERT_EQ(m.read(tw.ctx(0), 9, out), 0);
  const u64 fresh[4] = {2, 0, 0, 0};
  EXPECT_EQ(std::memcmp(out, fresh, sizeof out), 0);
}

}  // namespace
}  // namespace skep::test
