// The gates of hash maps beside their ops: two maps of one seed, the same calls to both, the same answers.
#include <algorithm>

#include "maps/fast.h"
#include "maps/test_window.h"

namespace skep::test {
namespace {

constexpr u32 HASH = BPF_MAP_TYPE_HASH, PHASH = BPF_MAP_TYPE_PERCPU_HASH;

struct Gates {
  void* (*lookup)(MapDesc*, const void*);
  long (*update)(const OpCtx*, MapDesc*, const void*, const void*, u64);
  long (*erase)(const OpCtx*, MapDesc*, const void*);

  explicit Gates(const MapDesc& d) {
    lookup = reinterpret_cast<decltype(lookup)>(const_cast<void*>(map_gate_fn(map_gate(d, MapCall::Lookup))));
    update = reinterpret_cast<decltype(update)>(const_cast<void*>(map_gate_fn(map_gate(d, MapCall::Update))));
    erase = reinterpret_cast<decltype(erase)>(const_cast<void*>(map_gate_fn(map_gate(d, MapCall::Delete))));
  }
};

/// Keys that differ in their last byte only, in their first only, and at random.
std::vector<u8> some_key(u32 size, Random* rnd) {
  std::vector<u8> key(size, 0x5a);
  switch (rnd->below(3)) {
    case 0:
      key.back() = static_cast<u8>(rnd->below(24));
      break;
    case 1:
      key.front() = static_cast<u8>(rnd->below(24));
      break;
    default:
      for (u8& b : key) b = static_cast<u8>(rnd->below(2));
  }
  return key;
}

class EveryKeySize : public testing::TestWithParam<std::tuple<u32, u32>> {};
INSTANTIATE_TEST_SUITE_P(Kinds, EveryKeySize, testing::Combine(testing::Values(HASH, PHASH), testing::Values(3u, 8u, 200u)));

TEST_P(EveryKeySize, SameAnswersAsTheOps) {
  const auto [type, value_size] = GetParam();
  constexpr u64 flags[] = {BPF_ANY, BPF_ANY, BPF_NOEXIST, BPF_EXIST, 3, BPF_F_LOCK, 1ULL << 33};
  for (u32 key_size = 1; key_size <= 64; ++key_size) {
    TestWindow tw(3);
    const Map by_ops(tw.create(type, key_size, value_size, 16)), by_gates(tw.create(type, key_size, value_size, 16));
    const Gates g(*by_gates.desc);
    Random rnd{key_size};
    u32 done[4] = {};
    for (u32 i = 0; i < 1500; ++i) {
      const OpCtx c = tw.ctx(rnd.below(4), rnd.below(3));
      const auto key = some_key(key_size, &rnd);
      std::vector<u8> value(value_size);
      for (u8& b : value) b = static_cast<u8>(rnd.next());
      const u32 what = rnd.below(4);
      long want = 0;
      if (what < 2) {
        const u64 f = flags[rnd.below(std::size(flags))];
        want = by_ops.ops->update(c, by_ops.desc, key.data(), value.data(), f);
        ASSERT_EQ(g.update(&c, by_gates.desc, key.data(), value.data(), f), want) << key_size << " flags " << f;
      } else if (what == 2 && rnd.below(4) == 0) {
        want = by_ops.ops->erase(c, by_ops.desc, key.data());
        ASSERT_EQ(g.erase(&c, by_gates.desc, key.data()), want) << key_size;
      }
      ++done[want == 0 ? 0 : want == -E2BIG ? 1 : want == -EEXIST ? 2 : 3];
      const OpCtx first = tw.ctx(0, 0);
      const u8* expected = static_cast<u8*>(by_ops.ops->lookup(first, by_ops.desc, key.data()));
      const u8* found = static_cast<u8*>(g.lookup(by_gates.desc, key.data()));
      ASSERT_EQ(found == nullptr, expected == nullptr) << key_size;
      if (found == nullptr) continue;
      const u64 all = map_syscall_value_size(*by_gates.desc);
      ASSERT_TRUE(std::equal(found, found + all, expected)) << key_size;
      ASSERT_TRUE(by_gates.ops->holds_value(by_gates.desc, reinterpret_cast<u64>(found), value_size));
    }
    ASSERT_EQ(check_hash(tw, by_gates.desc), "");
    ASSERT_GT(*std::min_element(done, done + 4), 2u) << key_size;
  }
}

TEST(HashGates, BusyAndOwnBuckets) {
  TestWindow tw;
  const Map m(tw.create(HASH, 8, 8, 1));
  const Gates g(*m.desc);
  const OpCtx c = tw.ctx(0), other = tw.ctx(1);
  const u64 key = 7, value = 8;
  ASSERT_EQ(g.update(&c, m.desc, &key, &value, 0), 0);
  HtabBucket* b = Htab{m.desc}.bucket_at(0);
  ASSERT_TRUE(robust_trylock(tw.window(), &b->lock, other.slot));
  EXPECT_EQ(g.update(&c, m.desc, &key, &value, 0), -EBUSY);
  EXPECT_EQ(g.erase(&c, m.desc, &key), -EBUSY);
  EXPECT_EQ(g.update(&other, m.desc, &key, &value, 0), -EBUSY);  // it holds the lock itself: a run inside a run
  EXPECT_EQ(g.erase(&other, m.desc, &key), -EBUSY);
  EXPECT_NE(g.lookup(m.desc, &key), nullptr);
  slot_recover(tw.window(), other.slot, RECOVERY);
  EXPECT_EQ(g.erase(&c, m.desc, &key), 0);
}

TEST(HashGates, NoneForOtherKinds) {
  TestWindow tw;
  for (const u32 type : {BPF_MAP_TYPE_ARRAY, BPF_MAP_TYPE_PERCPU_ARRAY})
    for (const MapCall call : {MapCall::Lookup, MapCall::Update, MapCall::Delete})
      EXPECT_EQ(map_gate(*tw.create(type, 4, 8, 4), call), NO_MAP_GATE);
  EXPECT_EQ(map_gate_fn(NO_MAP_GATE), nullptr);
  EXPECT_EQ(map_gate_fn(NR_MAP_GATES), nullptr);
}

/// All of a map's keys in one bucket: max_entries of them and not one more, found one and all.
TEST(HashGates, OneBucketForAll) {
  TestWindow tw;
  const Map m(tw.create(HASH, 4, 8, 300));
  m.desc->n_buckets = 1;
  const Gates g(*m.desc);
  const OpCtx c = tw.ctx(0);
  Random rnd{3};
  for (u32 round = 0; round < 3; ++round) {
    for (u32 k = 0; k < 300; ++k) {
      const u64 v = k + round;
      ASSERT_EQ(g.update(&c, m.desc, &k, &v, 0), 0) << k;
    }
    const u32 more = 1000;
    const u64 v = 0;
    ASSERT_EQ(g.update(&c, m.desc, &more, &v, 0), -E2BIG);
    for (u32 k = 0; k < 300; ++k) ASSERT_EQ(*static_cast<u64*>(g.lookup(m.desc, &k)), k + round);
    ASSERT_EQ(check_hash(tw, m.desc), "");
    for (u32 n = 0; n < 200; ++n) {
      const u32 k = rnd.below(300);
      g.erase(&c, m.desc, &k);
    }
    ASSERT_EQ(check_hash(tw, m.desc), "");
  }
  EXPECT_EQ(check_capacity(tw, m), "");
}

}  // namespace
}  // namespace skep::test
