// HASH and PERCPU_HASH, one operation at a time.
#include <bit>
#include <cmath>

#include "maps/test_window.h"

namespace skep::test {
namespace {

constexpr u32 HASH = BPF_MAP_TYPE_HASH, PHASH = BPF_MAP_TYPE_PERCPU_HASH;

class EitherHash : public testing::TestWithParam<std::pair<u32, u32>> {
 protected:
  Map make(u32 max_entries, u32 value_size = 8) {
    return Map(tw.create(GetParam().first, 4, value_size, max_entries, GetParam().second));
  }
  TestWindow tw;
};
INSTANTIATE_TEST_SUITE_P(Kinds, EitherHash,
                         testing::Values(std::pair{HASH, 0u}, std::pair{PHASH, 0u}, std::pair{HASH, BPF_F_NO_PREALLOC}));

TEST_P(EitherHash, FlagsAndErrnos) {
  const Map m = make(2);
  const OpCtx c = tw.ctx(0);
  EXPECT_EQ(m.put(c, 1, 10, 3), -EINVAL);
  EXPECT_EQ(m.put(c, 1, 10, BPF_F_LOCK), -EINVAL);
  EXPECT_EQ(m.put(c, 1, 10, 1ULL << 40), -EINVAL);
  EXPECT_EQ(m.put(c, 1, 10, BPF_EXIST), -ENOENT);
  EXPECT_EQ(m.put(c, 1, 10, BPF_NOEXIST), 0);
  EXPECT_EQ(m.put(c, 1, 11, BPF_NOEXIST), -EEXIST);
  EXPECT_EQ(*m.lookup(c, 1), 10u);
  EXPECT_EQ(m.put(c, 1, 12, BPF_EXIST), 0);
  EXPECT_EQ(*m.lookup(c, 1), 12u);
  EXPECT_EQ(m.put(c, 2, 20), 0);
  EXPECT_EQ(m.put(c, 3, 30), -E2BIG);
  EXPECT_EQ(m.put(c, 3, 30, BPF_EXIST), -ENOENT);
  EXPECT_EQ(m.put(c, 2, 21), 0);
  EXPECT_EQ(m.put(c, 2, 21, BPF_NOEXIST), -EEXIST);
  EXPECT_EQ(m.erase(c, 3), -ENOENT);
  EXPECT_EQ(m.erase(c, 1), 0);
  EXPECT_EQ(m.erase(c, 1), -ENOENT);
  EXPECT_EQ(m.lookup(c, 1), nullptr);
  EXPECT_EQ(m.put(c, 3, 30), 0);
  EXPECT_EQ(check_hash(tw, m.desc), "");
  EXPECT_EQ(check_capacity(tw, m), "");
}

TEST_P(EitherHash, SyscallSide) {
  const Map m = make(4, 13);
  const u64 size = map_syscall_value_size(*m.desc);
  EXPECT_EQ(size, GetParam().first == PHASH ? 64u : 13u);
  u8 value[64], out[72];
  for (u32 i = 0; i < 64; ++i) value[i] = static_cast<u8>(i + 1);
  std::memset(out, 0xa5, sizeof(out));
  u32 key = 5;
  const OpCtx c = tw.ctx(9);
  EXPECT_EQ(m.read(c, key, out), -ENOENT);
  EXPECT_EQ(m.ops->take_value(c, m.desc, &key, out, 0), -ENOENT);
  EXPECT_EQ(m.ops->write_value(c, m.desc, &key, value, BPF_F_LOCK), -EINVAL);
  EXPECT_EQ(m.ops->write_value(c, m.desc, &key, value, BPF_NOEXIST), 0);
  EXPECT_EQ(m.read(c, key, out, BPF_F_LOCK), -EINVAL);
  EXPECT_EQ(m.ops->take_value(c, m.desc, &key, out, BPF_F_LOCK), -EINVAL);
  EXPECT_EQ(m.read(c, key, out), 0);
  EXPECT_EQ(std::memcmp(out, value, size), 0);
  EXPECT_EQ(out[size], 0xa5);
  std::memset(out, 0xa5, sizeof(out));
  EXPECT_EQ(m.ops->take_value(c, m.desc, &key, out, 0), 0);
  EXPECT_EQ(std::memcmp(out, value, size), 0);
  EXPECT_EQ(out[size], 0xa5);
  EXPECT_EQ(m.read(c, key, out), -ENOENT);
  EXPECT_EQ(check_hash(tw, m.desc), "");
}

TEST(PercpuHash, NewKeysAreZeroOnOtherCpus) {
  TestWindow tw(3);
  const Map m(tw.create(PHASH, 4, 8, 2));
  u64 all[3] = {7, 8, 9}, out[3];
  u32 key = 1;
  ASSERT_EQ(m.ops->write_value(tw.ctx(9), m.desc, &key, all, 0), 0);
  ASSERT_EQ(m.put(tw.ctx(1, 1), 1, 80), 0);
  ASSERT_EQ(m.read(tw.ctx(9), 1, out), 0);
  EXPECT_EQ(out[0], 7u);
  EXPECT_EQ(out[1], 80u);
  EXPECT_EQ(out[2], 9u);
  ASSERT_EQ(m.erase(tw.ctx(1, 1), 1), 0);
  ASSERT_EQ(m.put(tw.ctx(2, 2), 2, 5), 0);  // the same element again
  ASSERT_EQ(m.read(tw.ctx(9), 2, out), 0);
  EXPECT_EQ(out[0], 0u);
  EXPECT_EQ(out[1], 0u);
  EXPECT_EQ(out[2], 5u);
  EXPECT_EQ(*m.lookup(tw.ctx(2, 2), 2), 5u);
  EXPECT_EQ(*m.lookup(tw.ctx(0, 0), 2), 0u);
}

TEST_P(EitherHash, Model) {
  const Map m = make(64);
  std::map<u32, u64> model;
  Random rnd{7};
  for (int i = 0; i < 300000; ++i) {
    const OpCtx c = tw.ctx(rnd.below(8));
    const u32 key = rnd.below(96);
    const bool has = model.count(key) != 0;
    const u64 value = rnd.next();
    switch (rnd.below(5)) {
      case 0:
      case 1: {
        const u64 flags = rnd.below(3);
        const long want = has && flags == BPF_NOEXIST  ? -EEXIST
                          : !has && flags == BPF_EXIST ? -ENOENT
                          : !has && model.size() == 64 ? -E2BIG
                                                       : 0;
        ASSERT_EQ(m.put(c, key, value, flags), want);
        if (want == 0) model[key] = value;
        break;
      }
      case 2:
        ASSERT_EQ(m.erase(c, key), has ? 0 : -ENOENT);
        model.erase(key);
        break;
      case 3: {
        const u64* v = m.lookup(c, key);
        ASSERT_EQ(v != nullptr, has);
        if (has) {
          ASSERT_EQ(*v, model[key]);
        }
        break;
      }
      case 4: {
        u64 out[4];
        ASSERT_EQ(m.read(c, key, out), has ? 0 : -ENOENT);
        if (has) {
          ASSERT_EQ(out[0], model[key]);
        }
        break;
      }
    }
    if (i % 5000 == 0) {
      ASSERT_EQ(check_hash(tw, m.desc), "");
      ASSERT_EQ(contents(tw, m), model);
    }
  }
  EXPECT_EQ(check_capacity(tw, m), "");
}

TEST(Hash, KeysOfEverySize) {
  TestWindow tw;
  const OpCtx c = tw.ctx(0);
  for (u32 size = 1; size <= 40; ++size) {
    MapDesc* d = tw.create(HASH, size, size, 64);
    const MapOps* ops = map_ops(HASH);
    std::map<std::vector<u8>, std::vector<u8>> model;
    Random rnd{size};
    while (model.size() < 32) {
      std::vector<u8> key(size), value(size);
      for (u8& b : key) b = static_cast<u8>(rnd.next());
      for (u8& b : value) b = static_cast<u8>(rnd.next());
      ASSERT_EQ(ops->update(c, d, key.data(), value.data(), 0), 0);
      model[key] = value;
    }
    for (const auto& [key, value] : model) {
      const void* at = ops->lookup(c, d, key.data());
      ASSERT_NE(at, nullptr);
      ASSERT_EQ(std::memcmp(at, value.data(), size), 0);
    }
    ASSERT_EQ(check_hash(tw, d), "");
  }
}

TEST(Hash, LargeValuesAndLargeMapsStaySparse) {
  TestWindow tw;
  const OpCtx c = tw.ctx(0);
  const Map big(tw.create(HASH, 4, 100000, 64));
  std::vector<u8> value(100000, 3);
  EXPECT_EQ(big.update(c, 1, value.data()), 0);
  EXPECT_EQ(big.update(c, 1, value.data()), 0);
  const Map many(tw.create(HASH, 4, 8, 4 << 20));
  EXPECT_EQ(many.put(c, 1, 1), 0);
  std::vector<u8> resident(many.desc->ram_bytes / PAGE_SIZE);
  ASSERT_EQ(mincore(many.desc->ram, many.desc->ram_bytes, resident.data()), 0);
  u64 pages = 0;
  for (const u8 r : resident) pages += r & 1;
  EXPECT_LE(pages, 8u);
}

TEST(Hash, TwoInstancesSideBySide) {
  TestWindow a, b;
  const Map ma(a.create(HASH, 4, 8, 8)), mb(b.create(HASH, 4, 8, 8));
  ASSERT_EQ(ma.put(a.ctx(0), 1, 10), 0);
  ASSERT_EQ(mb.put(b.ctx(0), 1, 20), 0);
  EXPECT_EQ(*ma.lookup(a.ctx(0), 1), 10u);
  EXPECT_EQ(*mb.lookup(b.ctx(0), 1), 20u);
  EXPECT_EQ(check_hash(a, ma.desc), "");
  EXPECT_EQ(check_hash(b, mb.desc), "");
}

TEST(Hash, BusyBucket) {
  TestWindow tw;
  const Map m(tw.create(HASH, 4, 8, 1));  // one bucket
  const OpCtx c = tw.ctx(0), other = tw.ctx(1);
  ASSERT_EQ(m.put(c, 1, 1), 0);
  HtabBucket* b = Htab{m.desc}.bucket_at(0);
  ASSERT_TRUE(robust_trylock(tw.window(), &b->lock, other.slot));
  u64 out = 0;
  u32 key = 1;
  EXPECT_EQ(m.put(c, 1, 2), -EBUSY);
  EXPECT_EQ(m.erase(c, 1), -EBUSY);
  EXPECT_EQ(m.ops->write_value(c, m.desc, &key, &out, 0), -EBUSY);
  EXPECT_EQ(m.ops->take_value(c, m.desc, &key, &out, 0), -EBUSY);
  EXPECT_EQ(*m.lookup(c, 1), 1u);  // readers do not care
  EXPECT_EQ(m.read(c, 1, &out), 0);
  slot_recover(tw.window(), other.slot, RECOVERY);  // its holder has died
  EXPECT_EQ(m.put(c, 1, 2), 0);
  EXPECT_EQ(*m.lookup(c, 1), 2u);
}

TEST(Hash, IterationWhileErasingTheCurrentKey) {
  TestWindow tw;
  const Map m(tw.create(HASH, 4, 8, 128));
  const OpCtx c = tw.ctx(0);
  for (u32 k = 0; k < 128; ++k) ASSERT_EQ(m.put(c, k, k), 0);
  u32 key, n = 0;
  while (m.ops->get_next_key(c, m.desc, nullptr, &key) == 0) {
    ASSERT_EQ(m.erase(c, key), 0);
    ++n;
  }
  EXPECT_EQ(n, 128u);
  // A key that is gone begins again.
  for (u32 k = 0; k < 8; ++k) ASSERT_EQ(m.put(c, k, k), 0);
  u32 first, after;
  ASSERT_EQ(m.ops->get_next_key(c, m.desc, nullptr, &first), 0);
  key = 4711;
  ASSERT_EQ(m.ops->get_next_key(c, m.desc, &key, &after), 0);
  EXPECT_EQ(after, first);
}

TEST(Hash, UpdatesKeepThePositionOfAKey) {
  TestWindow tw;
  const Map chain(tw.create(HASH, 4, 8, 4));
  chain.desc->n_buckets = 1;  // one chain of four
  const OpCtx c = tw.ctx(0);
  for (u32 k = 0; k < 4; ++k) ASSERT_EQ(chain.put(c, k, k), 0);
  std::vector<u32> before, after;
  auto order = [&](std::vector<u32>* to) {
    u32 key, next;
    for (long r = chain.ops->get_next_key(c, chain.desc, nullptr, &next); r == 0;) {
      to->push_back(key = next);
      r = chain.ops->get_next_key(c, chain.desc, &key, &next);
    }
  };
  order(&before);
  for (u32 k = 0; k < 4; ++k) ASSERT_EQ(chain.put(c, k, k + 10), 0);
  order(&after);
  EXPECT_EQ(before.size(), 4u);
  EXPECT_EQ(before, after);
}

TEST(HashKey, SpreadsAndDependsOnEveryBit) {
  // Sequential, strided and random keys over 2^12 buckets: chi square within 6 sigma of uniform.
  for (const u32 stride : {1u, 8u, 4096u, 1u << 20}) {
    std::vector<u32> count(4096, 0);
    for (u32 i = 0; i < 65536; ++i) {
      const u64 key = static_cast<u64>(i) * stride;
      ++count[hash_key(&key, 8, 1) & 4095];
    }
    double chi = 0;
    for (const u32 n : count) chi += (n - 16.0) * (n - 16.0) / 16.0;
    EXPECT_NEAR(chi, 4095, 6 * std::sqrt(2 * 4095)) << stride;
  }
  u8 key[24] = {};
  for (const u32 size : {1u, 3u, 4u, 7u, 8u, 13u, 24u}) {
    for (u32 bit = 0; bit < size * 8; ++bit) {
      int flipped = 0;
      for (u32 seed = 0; seed < 64; ++seed) {
        const u32 before = hash_key(key, size, seed);
        key[bit / 8] ^= static_cast<u8>(1 << bit % 8);
        flipped += std::popcount(before ^ hash_key(key, size, seed));
        key[bit / 8] ^= static_cast<u8>(1 << bit % 8);
      }
      EXPECT_NEAR(flipped / 64.0, 16.0, 4.0) << size << " " << bit;
    }
  }
}

}  // namespace
}  // namespace skep::test
