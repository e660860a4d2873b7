// Death at every instruction of a hash map that evicts: of its updates, of its deletions, of the filling and emptying of pools.
#include "maps/lru_room.h"
#include "maps/lru_test_check.h"
#include "maps/test_death.h"

namespace skep::test {
namespace {

constexpr u32 LRU = BPF_MAP_TYPE_LRU_HASH, PLRU = BPF_MAP_TYPE_LRU_PERCPU_HASH;
constexpr u32 KEY = 1, CPUS = 2;

struct Scenario {
  const char* name;
  u32 max_entries, n_buckets;
  std::function<void(const Map&, const OpCtx&)> setup;
  std::function<long(const Map&, const OpCtx&)> op;
  long result = 0;
  bool evicts = false;  ///< others than KEY may go
};
void PrintTo(const Scenario& s, std::ostream* os) { *os << s.name; }

long put(const Map& m, const OpCtx& c) { return m.put(c, KEY, 111); }
long del(const Map& m, const OpCtx& c) { return m.erase(c, KEY); }
void fill(const Map& m, const OpCtx& c, u32 n) {
  for (u32 k = 0; k < n; ++k) ASSERT_EQ(m.put(c, 10 + k, k), 0);
}

const Scenario SCENARIOS[] = {
    {"insert_first", 8, 8, [](const Map&, const OpCtx&) {}, put},
    {"insert_from_pool", 8, 8, [](const Map& m, const OpCtx& c) { fill(m, c, 1); }, put},
    {"insert_in_chain", 8, 1, [](const Map& m, const OpCtx& c) { fill(m, c, 3); }, put},
    {"replace", 8, 8, [](const Map& m, const OpCtx& c) { put(m, c), fill(m, c, 2); }, put},
    {"replace_in_chain", 8, 1, [](const Map& m, const OpCtx& c) { fill(m, c, 1), put(m, c), m.put(c, 99, 99); }, put},
    {"not_there", 8, 8, [](const Map& m, const OpCtx& c) { fill(m, c, 1); },
     [](const Map& m, const OpCtx& c) { return m.put(c, KEY, 5, BPF_EXIST); }, -ENOENT},
    {"erase", 8, 8, [](const Map& m, const OpCtx& c) { put(m, c), fill(m, c, 2); }, del},
    {"erase_in_chain", 8, 1, [](const Map& m, const OpCtx& c) { fill(m, c, 1), put(m, c), m.put(c, 99, 99); }, del},
    {"evict", 8, 8, [](const Map& m, const OpCtx& c) { fill(m, c, 8); }, put, 0, true},
    {"evict_in_chain", 8, 1, [](const Map& m, const OpCtx& c) { fill(m, c, 8); }, put, 0, true},
    {"evict_used", 4, 4,
     [](const Map& m, const OpCtx& c) {
       fill(m, c, 4);
       for (u32 k = 0; k < 4; ++k) m.lookup(c, 10 + k);
     },
     put, 0, true},
    {"steal", 2, 2,
     [](const Map& m, const OpCtx& c) {
       const OpCtx far{c.window, c.slot, 1};
       m.put(far, 5, 5), m.put(far, 6, 6), m.erase(far, 5), m.erase(far, 6);
     },
     put},
    {"pool_full", 600, 64,
     [](const Map& m, const OpCtx& c) {
       put(m, c), fill(m, c, 500);
       for (u32 k = 0; LruWriter(m.desc, c.slot, 0).count() < LruPool::ROOM; ++k) ASSERT_EQ(m.erase(c, 10 + k), 0);
     },
     del},
    {"free_ones_again", 300, 64,
     [](const Map& m, const OpCtx& c) {
       fill(m, c, 300);
       for (u32 k = 0; k < 300; ++k) ASSERT_EQ(m.erase(c, 10 + k), 0);
       fill(m, c, LruWriter(m.desc, c.slot, 0).count());
     },
     put},
};

class LruDeath : public testing::TestWithParam<std::tuple<u32, Scenario>> {
 protected:
  LruDeath() : map(make()), lab(tw, map.desc) {
    scenario().setup(map, lab.other());
    before_image = lab.take();
    before = contents(tw, map);
    lab.put_back(before_image);  // contents() uses every element
    EXPECT_EQ(scenario().op(map, lab.dying()), scenario().result);
    EXPECT_EQ(check_lru(tw, map.desc), "");
    after = contents(tw, map);
    lab.put_back(before_image);
  }
  const Scenario& scenario() const { return std::get<1>(GetParam()); }
  MapDesc* make() {
    MapDesc* d = tw.create(std::get<0>(GetParam()), 4, 8, scenario().max_entries);
    d->n_buckets = scenario().n_buckets;  // never more than there is room for
    return d;
  }
  void expect_whole(const std::string& when) const {
    ASSERT_EQ(check_lru(tw, map.desc), "") << when;
    auto now = contents(tw, map);
    if (scenario().evicts) {
      // What is still there is as it was; and none went that need not have.
      for (const auto& [key, value] : now) ASSERT_TRUE(key == KEY || before.at(key) == value) << when;
      for (const auto& [key, value] : after) ASSERT_TRUE(key == KEY || now.count(key) != 0) << when;
    } else {
      ASSERT_TRUE(now == before || now == after) << when;
    }
    // Life goes on.
    const OpCtx c = lab.other();
    for (const auto& [key, value] : now) ASSERT_EQ(map.erase(c, key), 0) << when;
    for (u32 k = 0; k < 2 * scenario().max_entries; ++k) {
      ASSERT_EQ(map.put(c, 5000 + k, k), 0) << when;
      ASSERT_NE(map.lookup(c, 5000 + k), nullptr) << when;
    }
    ASSERT_EQ(check_lru(tw, map.desc), "") << when;
  }

  TestWindow tw{CPUS};
  Map map;
  DeathLab lab;
  DeathImage before_image;
  std::map<u32, u64> before, after;
};
std::string scenario_name(const testing::TestParamInfo<std::tuple<u32, Scenario>>& scenario) {
  return std::string(std::get<0>(scenario.param) == LRU ? "lru_" : "percpu_") + std::get<1>(scenario.param).name;
}
INSTANTIATE_TEST_SUITE_P(Each, LruDeath, testing::Combine(testing::Values(LRU, PLRU), testing::ValuesIn(SCENARIOS)), scenario_name);

TEST_P(LruDeath, AtEveryInstruction) {
  const bool small = scenario().max_entries <= 8;
  lab.each_death([this] { scenario().op(map, lab.dying()); }, [this](const std::string& when) { expect_whole(when); }, small);
}

}  // namespace
}  // namespace skep::test
