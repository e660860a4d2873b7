// LPM_TRIE, one operation at a time, against a model that looks at every prefix.
#include "maps/lpm_test_trie.h"

namespace skep::test {
namespace {

struct Model {
  struct Entry {
    u64 value;
    std::vector<u8> key;
  };
  std::map<std::string, Entry, PostOrder> all;
  u32 max_entries;

  long put(const LpmKey& key, u64 value, u64 flags) {
    if (flags > BPF_EXIST || key.len() > (key.bytes.size() - 4) * 8) return -EINVAL;
    const bool there = all.count(key.bits()) != 0;
    if (there && flags == BPF_NOEXIST) return -EEXIST;
    if (!there && flags == BPF_EXIST) return -ENOENT;
    if (!there && all.size() == max_entries) return -ENOSPC;
    all[key.bits()] = {value, key.bytes};
    return 0;
  }
  const Entry* find(const LpmKey& key) const {
    const std::string bits = key.bits();
    const Entry* best = nullptr;
    size_t longest = 0;
    for (const auto& [prefix, entry] : all)
      if (bits.compare(0, prefix.size(), prefix) == 0 && prefix.size() <= bits.size() && (best == nullptr || prefix.size() > longest)) {
        best = &entry;
        longest = prefix.size();
      }
    return best;
  }
  const Entry* after(const LpmKey* key) const {
    const auto at = key != nullptr ? all.find(key->bits()) : all.end();
    const auto next = at == all.end() ? all.begin() : std::next(at);
    return next == all.end() ? nullptr : &next->second;
  }
};

struct Shape {
  u32 data_size, max_entries, value_size;
};
void PrintTo(const Shape& s, std::ostream* os) { *os << s.data_size << " bytes, " << s.max_entries << " entries"; }

class LpmModel : public testing::TestWithParam<Shape> {
 protected:
  /// Few different bits, in few places, so that prefixes meet.
  LpmKey random_key() {
    const u32 size = GetParam().data_size;
    std::vector<u8> data(size);
    for (u8& b : data) b = rnd.below(3) == 0 ? static_cast<u8>(rnd.next() >> 20) : static_cast<u8>(rnd.below(2) * 0x80);
    const u32 most = size * 8;
    u32 len = rnd.below(most + 1);
    if (rnd.below(4) == 0) len = rnd.below(2) == 0 ? most : rnd.below(6) % (most + 1);
    if (rnd.below(40) == 0) len = most + 1 + rnd.below(3);
    return {len, data};
  }
  void compare(const OpCtx& c, const LpmMap& m, const Model& model, const LpmKey& key) {
    const Model::Entry* want = key.len() <= m.data_size() * 8 ? model.find(key) : nullptr;
    const u64* v = m.lookup(c, key);
    ASSERT_EQ(v != nullptr, want != nullptr) << key.bits();
    std::vector<u8> out(m.desc->value_size);
    ASSERT_EQ(m.ops->read_value(c, m.desc, key.get(), out.data(), 0), want != nullptr ? 0 : -ENOENT);
    if (want != nullptr) {
      const size_t n = std::min<size_t>(8, out.size());
      ASSERT_EQ(std::memcmp(v, &want->value, n), 0) << key.bits();
      ASSERT_EQ(std::memcmp(out.data(), v, out.size()), 0);
      ASSERT_TRUE(m.ops->holds_value(m.desc, reinterpret_cast<u64>(v), m.desc->value_size));
      ASSERT_FALSE(m.ops->holds_value(m.desc, reinterpret_cast<u64>(v), m.desc->value_size + 1));
    }
    const bool valid = key.len() <= m.data_size() * 8;
    const Model::Entry* next = model.after(valid ? &key : nullptr);
    std::vector<u8> got(key.bytes.size());
    ASSERT_EQ(m.ops->get_next_key(c, m.desc, key.get(), got.data()), next != nullptr ? 0 : -ENOENT) << key.bits();
    if (next != nullptr) {
      ASSERT_EQ(got, next->key) << key.bits();
    }
  }
  Random rnd{88172645463325252ULL};
};
INSTANTIATE_TEST_SUITE_P(Shapes, LpmModel,
                         testing::Values(Shape{4, 1, 8}, Shape{4, 20, 8}, Shape{4, 300, 3}, Shape{16, 60, 8}, Shape{16, 300, 70}, Shape{1, 40, 8},
                                         Shape{2, 300, 8}, Shape{3, 64, 8}, Shape{7, 64, 8}, Shape{8, 64, 8}, Shape{9, 64, 8},
                                         Shape{13, 64, 8}, Shape{64, 64, 8}, Shape{256, 32, 8}, Shape{4, 200000, 8}));

TEST_P(LpmModel, RandomOperations) {
  TestWindow tw;
  const LpmMap m(&tw, GetParam().data_size, GetParam().max_entries, GetParam().value_size);
  Model model{{}, GetParam().max_entries};
  std::vector<LpmKey> used;
  const u64 mask = m.desc->value_size >= 8 ? ~0ULL : (1ULL << 8 * m.desc->value_size) - 1;
  for (u32 i = 0; i < 6000; ++i) {
    const OpCtx c = tw.ctx(rnd.below(4));
    const LpmKey key = !used.empty() && rnd.below(2) == 0 ? used[rnd.below(static_cast<u32>(used.size()))] : random_key();
    if (rnd.below(5) < (i % 2000 < 1000 ? 3u : 2u)) {
      const u64 value = rnd.next() & mask, flags = rnd.below(8) == 0 ? rnd.below(5) : 0;
      ASSERT_EQ(m.put(c, key, value, flags), model.put(key, value, flags)) << key.bits();
      used.push_back(key);
      if (used.size() > 100) used.erase(used.begin());
    } else {
      const long want = key.len() > m.data_size() * 8 ? -EINVAL : model.all.erase(key.bits()) != 0 ? 0 : -ENOENT;
      ASSERT_EQ(m.erase(c, key), want) << key.bits();
    }
    ASSERT_NO_FATAL_FAILURE(compare(c, m, model, random_key()));
    ASSERT_NO_FATAL_FAILURE(compare(c, m, model, key));
    if (i % 100 == 0) {
      ASSERT_EQ(check_lpm(m), "") << i;
    }
    ASSERT_EQ(m.ops->mem_usage(*m.desc), model.all.size() * (40 + m.data_size() + m.desc->value_size));
  }
  ASSERT_EQ(check_lpm(m), "");
}

TEST(Lpm, UpdatesLeaveHeldValuesAlone) {
  TestWindow tw;
  const LpmMap m(&tw, 4, 4);
  const OpCtx c = tw.ctx(0);
  const LpmKey key("0101", 4);
  ASSERT_EQ(m.put(c, key, 1), 0);
  const u64* held = m.lookup(c, key);
  for (u64 i = 2; i < LPM_REST; ++i) {
    ASSERT_EQ(m.put(c, key, i), 0);
    ASSERT_EQ(*held, 1u);
    ASSERT_EQ(*m.lookup(c, key), i);
  }
}

TEST(Lpm, FullAndEmptyAgain) {
  TestWindow tw;
  for (const u32 entries : {1u, 2u, 3u, 100u}) {
    const LpmMap m(&tw, 4, entries);
    const OpCtx c = tw.ctx(0);
    for (u32 round = 0; round < 3; ++round) {
      for (u32 i = 0; i < entries; ++i) ASSERT_EQ(m.put(c, {32, {static_cast<u8>(i * 37), static_cast<u8>(i), 3, static_cast<u8>(round)}}, i), 0);
      ASSERT_EQ(m.put(c, {8, {9, 9, 9, 9}}, 1), -ENOSPC);
      ASSERT_EQ(m.put(c, {8, {9, 9, 9, 9}}, 1, BPF_EXIST), -ENOENT);
      ASSERT_EQ(m.put(c, {32, {0, 0, 3, static_cast<u8>(round)}}, 1), 0);
      ASSERT_EQ(check_lpm(m), "");
      for (u32 i = 0; i < entries; ++i) ASSERT_EQ(m.erase(c, {32, {static_cast<u8>(i * 37), static_cast<u8>(i), 3, static_cast<u8>(round)}}), 0);
      ASSERT_EQ(lpm_contents(tw, m).size(), 0u);
      ASSERT_EQ(check_lpm(m), "");
    }
  }
}

TEST(Lpm, MoreThanThereIsRoomFor) {
  TestWindow tw;
  const LpmMap m(&tw, 4, 4);
  // As if max_entries had asked for more nodes than there can be: only two prefixes that part fit.
  m.desc->max_entries = 1000;
  const OpCtx c = tw.ctx(0);
  u32 made = 0;
  long r = 0;
  for (; r == 0 && made < 1000; ++made) r = m.put(c, {32, {static_cast<u8>(made), 1, 2, 3}}, made);
  EXPECT_EQ(r, -ENOMEM);
  EXPECT_EQ(m.erase(c, {32, {1, 1, 2, 3}}), 0);
  EXPECT_EQ(m.put(c, {32, {1, 1, 2, 3}}, 5), 0);
  EXPECT_EQ(*m.lookup(c, {32, {1, 1, 2, 3}}), 5u);
  EXPECT_EQ(check_lpm(m), "");
}

}  // namespace
}  // namespace skep::test
