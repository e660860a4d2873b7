// STACK_TRACE: ids and flags, death at every instruction, and readers beside writers that are killed.
#include "maps/stack_trace.h"

#include <numeric>

#include "maps/test_churners.h"
#include "maps/test_death.h"

namespace skep::test {
namespace {

using Ips = std::vector<u64>;

/// A stack of `depth` entries that are all told by `name`.
Ips stack_of(u64 name, u32 depth) {
  Ips ips(depth);
  for (u32 i = 0; i < depth; ++i) ips[i] = name * 1000 + i;
  return ips;
}

struct StackMap {
  MapDesc* desc;
  const MapOps* ops;
  StackMap(TestWindow* tw, u32 depth, u32 entries, u32 flags = 0)
      : desc(tw->create(BPF_MAP_TYPE_STACK_TRACE, 4, depth * ((flags & BPF_F_STACK_BUILD_ID) != 0 ? 32 : 8), entries, flags)),
        ops(map_ops(BPF_MAP_TYPE_STACK_TRACE)) {}

  long id(const OpCtx& c, const Ips& ips, u64 flags = 0) const {
    return stack_map_id(c, desc, ips.data(), static_cast<u32>(ips.size()), flags);
  }
  /// What user space sees, zeros behind it; empty: nothing there.
  Ips read(const OpCtx& c, u32 id) const {
    Ips v(desc->value_size / 8);
    return ops->read_value(c, desc, &id, v.data(), 0) == 0 ? v : Ips{};
  }
  long erase(const OpCtx& c, u32 id) const { return ops->erase(c, desc, &id); }
  std::set<u32> keys(const OpCtx& c) const {
    std::set<u32> all;
    u32 key = 0, next = 0;
    for (long rc = ops->get_next_key(c, desc, nullptr, &next); rc == 0; rc = ops->get_next_key(c, desc, &key, &next)) {
      all.insert(next);
      key = next;
    }
    return all;
  }
};

class StackTrace : public testing::Test {
 protected:
  TestWindow tw;
  OpCtx c = tw.ctx(3);
  static Ips padded(Ips ips, u32 depth) {
    ips.resize(depth);
    return ips;
  }
};

TEST_F(StackTrace, SameStackSameId) {
  const StackMap m(&tw, 10, 64);
  const Ips a = stack_of(1, 4);
  const long id = m.id(c, a);
  ASSERT_GE(id, 0);
  EXPECT_EQ(m.id(c, a), id);
  EXPECT_EQ(m.id(c, a, BPF_F_FAST_STACK_CMP), id);
  EXPECT_EQ(m.id(c, a, BPF_F_REUSE_STACKID), id);
  EXPECT_EQ(m.read(c, static_cast<u32>(id)), padded(a, 10));
  EXPECT_EQ(m.keys(c), std::set<u32>{static_cast<u32>(id)});
}

TEST_F(StackTrace, AnotherStackInTheBucket) {
  const StackMap m(&tw, 4, 1);  // one bucket, one element
  ASSERT_EQ(m.id(c, stack_of(1, 2)), 0);
  EXPECT_EQ(m.id(c, stack_of(2, 2)), -EEXIST);
  EXPECT_EQ(m.id(c, stack_of(2, 2), BPF_F_FAST_STACK_CMP), -EEXIST);
  // The new one wants an element before the old one gives up its own.
  EXPECT_EQ(m.id(c, stack_of(2, 2), BPF_F_REUSE_STACKID), -ENOMEM);
  EXPECT_EQ(m.read(c, 0), padded(stack_of(1, 2), 4));
  EXPECT_EQ(m.erase(c, 0), 0);
  EXPECT_EQ(m.id(c, stack_of(2, 2)), 0);
  EXPECT_EQ(m.read(c, 0), padded(stack_of(2, 2), 4));
}

TEST_F(StackTrace, ReusedBucket) {
  const StackMap m(&tw, 4, 4);
  std::map<long, u64> owner;
  u64 clash = 0;
  for (u64 name = 1; clash == 0; ++name) {  // five names cannot have four buckets
    const long id = m.id(c, stack_of(name, 3));
    if (id == -EEXIST || id == -ENOMEM) clash = name;
    if (id >= 0) owner[id] = name;
  }
  if (owner.size() == 4) {
    EXPECT_EQ(m.erase(c, static_cast<u32>(owner.begin()->first)), 0);
  }
  const long id = m.id(c, stack_of(clash, 3), BPF_F_REUSE_STACKID);
  ASSERT_GE(id, 0);
  EXPECT_EQ(m.read(c, static_cast<u32>(id)), padded(stack_of(clash, 3), 4));
  EXPECT_EQ(m.id(c, stack_of(clash, 3)), id);
}

TEST_F(StackTrace, DeeperThanTheValue) {
  const StackMap m(&tw, 3, 8);
  const long id = m.id(c, stack_of(7, 20));
  ASSERT_GE(id, 0);
  EXPECT_EQ(m.read(c, static_cast<u32>(id)), stack_of(7, 3));
  EXPECT_EQ(m.id(c, stack_of(7, 3)), id);
}

TEST_F(StackTrace, BuildIdsAreAddresses) {
  const StackMap m(&tw, 4, 8, BPF_F_STACK_BUILD_ID);
  const Ips a = stack_of(3, 2);
  const long id = m.id(c, a);
  ASSERT_GE(id, 0);
  EXPECT_EQ(m.id(c, a), id);
  StackBuildId v[4];
  const u32 key = static_cast<u32>(id);
  ASSERT_EQ(m.ops->read_value(c, m.desc, &key, v, 0), 0);
  for (u32 i = 0; i < 4; ++i) {
    EXPECT_EQ(v[i].status, i < 2 ? STACK_BUILD_ID_IP : 0);
    EXPECT_EQ(v[i].ip, i < 2 ? a[i] : 0);
    for (const u8 byte : v[i].build_id) EXPECT_EQ(byte, 0);
  }
}

TEST_F(StackTrace, Errnos) {
  const StackMap m(&tw, 4, 5);  // 8 buckets
  u64 value[4] = {};
  u32 key = 8;
  EXPECT_EQ(m.ops->read_value(c, m.desc, &key, value, 0), -ENOENT);
  EXPECT_EQ(m.ops->erase(c, m.desc, &key), -E2BIG);
  EXPECT_EQ(m.ops->write_value(c, m.desc, &key, value, 0), -EINVAL);
  key = 7;
  EXPECT_EQ(m.ops->read_value(c, m.desc, &key, value, 0), -ENOENT);
  EXPECT_EQ(m.ops->erase(c, m.desc, &key), -ENOENT);
  EXPECT_EQ(m.keys(c), std::set<u32>{});
}

TEST_F(StackTrace, HoldsNoMoreThanItsEntries) {
  const StackMap m(&tw, 2, 20);  // 32 buckets
  u32 put = 0;
  for (u64 name = 1; name < 1000; ++name) put += m.id(c, stack_of(name, 2)) >= 0 ? 1 : 0;
  EXPECT_EQ(put, 20u);
  EXPECT_EQ(m.keys(c).size(), 20u);
  for (const u32 id : m.keys(c)) EXPECT_EQ(m.erase(c, id), 0);
  EXPECT_TRUE(m.keys(c).empty());
}

struct Act {
  const char* name;
  bool there;     ///< another stack has the bucket
  bool take_out;  ///< of what is there
};
void PrintTo(const Act& a, std::ostream* os) { *os << a.name; }

class StackDeath : public testing::TestWithParam<Act> {};

TEST_P(StackDeath, LeavesOldOrNewAndTheCountRight) {
  TestWindow tw;
  const StackMap m(&tw, 4, 3);  // 4 buckets
  const DeathLab lab(tw, m.desc);
  // Two stacks of one bucket.
  const Ips b = stack_of(1, 4);
  const long id = m.id(lab.other(), b);
  ASSERT_EQ(m.erase(lab.other(), static_cast<u32>(id)), 0);
  Ips a;
  for (u64 name = 2; a.empty(); ++name) {
    const Ips other = stack_of(name, 3);
    const long at = m.id(lab.other(), other);
    if (at == id) a = other;
    ASSERT_EQ(m.erase(lab.other(), static_cast<u32>(at)), 0);
  }
  if (GetParam().there) {
    ASSERT_EQ(m.id(lab.other(), a), id);
  }
  const auto act = [&] {
    if (GetParam().take_out)
      m.erase(lab.dying(), static_cast<u32>(id));
    else
      m.id(lab.dying(), b, BPF_F_REUSE_STACKID);
  };
  Ips old = GetParam().there ? a : Ips{};
  if (!old.empty()) old.resize(4);
  const Ips now = GetParam().take_out ? Ips{} : b;
  lab.each_death(act, [&](const std::string& when) {
    const Ips seen = m.read(lab.other(), static_cast<u32>(id));
    ASSERT_TRUE(seen == old || seen == now) << when;
    // The map holds three, no more and no less.
    for (const u32 key : m.keys(lab.other())) ASSERT_EQ(m.erase(lab.other(), key), 0) << when;
    u32 put = 0;
    for (u64 name = 100; name < 140; ++name) put += m.id(lab.other(), stack_of(name, 2)) >= 0 ? 1 : 0;
    ASSERT_EQ(put, 3u) << when;
  });
}
INSTANTIATE_TEST_SUITE_P(Each, StackDeath,
                         testing::Values(Act{"put", false, false}, Act{"replace", true, false}, Act{"erase", true, true}),
                         [](const auto& a) { return std::string(a.param.name); });

/// Writers are killed anywhere, and readers see whole stacks only.
TEST(StackRace, NoTornStack) {
  TestWindow tw;
  const StackMap m(&tw, 100, 2);
  const auto write = [&](u32 slot) {
    const OpCtx c = tw.ctx(slot);
    for (u64 name = slot;; name += 7) m.id(c, stack_of(name % 97 + 1, 100), BPF_F_REUSE_STACKID);
  };
  const OpCtx reader = tw.ctx(8);
  u32 seen = 0;
  for (u32 round = 0; round < 40; ++round) {
    Churners writers;
    for (u32 slot = 1; slot <= 3; ++slot) writers.start([&, slot] { write(slot); });
    for (u32 i = 0; i < 3000; ++i) {
      const Ips got = m.read(reader, i & 1);
      if (got.empty()) continue;
      ASSERT_EQ(got, stack_of(got[0] / 1000, 100));
      ++seen;
    }
    writers.stop();
    for (u32 slot = 1; slot <= 3; ++slot) slot_recover(tw.window(), &tw.window().ram->slots[slot], RECOVERY);
  }
  EXPECT_GT(seen, 0u);
}

TEST(StackHostile, ScribblesDoNoHarm) {
  TestWindow tw;
  const StackMap m(&tw, 8, 16);
  u64 x = 88172645463325252ULL;
  const auto next = [&] { return x ^= x << 13, x ^= x >> 7, x ^= x << 17; };
  const OpCtx c = tw.ctx(4);
  for (u32 i = 0; i < 20000; ++i) {
    for (u32 k = 0; k < 4; ++k) m.desc->ram[next() % 4096] = static_cast<u8>(next());
    for (u32 b = 0; b < m.desc->n_buckets; ++b) static_cast<u64*>(m.desc->buckets)[2 * b + 1] = 0;  // locks of nobody
    (void)m.id(c, stack_of(next() % 50, 1 + next() % 8), (next() & 3) << 9);
    (void)m.read(c, static_cast<u32>(next() % 20));
    (void)m.erase(c, static_cast<u32>(next() % 20));
    ASSERT_LE(m.keys(c).size(), 16u);
  }
}

}  // namespace
}  // namespace skep::test
