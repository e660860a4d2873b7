// Death at every instruction of an LPM trie's changes, and of their recovery.
#include "maps/lpm_test_trie.h"
#include "maps/test_death.h"

namespace skep::test {
namespace {

struct Scenario {
  const char* name;
  std::vector<const char*> before;  ///< prefixes that are there; "-x": was there, and is gone
  const char* op;                   ///< prefix to put; "-x": to take out
  u32 max_entries = 4;              ///< 4: entries for two bits
  long result = 0;
};
void PrintTo(const Scenario& s, std::ostream* os) { *os << s.name; }

const Scenario SCENARIOS[] = {
    {"first", {}, "0101"},
    {"first_short", {}, "0"},
    {"first_empty_prefix", {}, ""},
    {"replace", {"0101"}, "0101"},
    {"replace_short", {"0", "01", "0111"}, "0"},
    {"replace_with_children", {"01", "0100", "0111"}, "01"},
    {"below", {"01"}, "0101"},
    {"above", {"0101"}, "01"},
    {"above_short", {"0101", "00"}, "0"},
    {"beside", {"0101"}, "0110"},
    {"beside_at_the_top", {"0101"}, "1101"},
    {"beside_below", {"01", "0101"}, "0110"},
    {"into_im", {"0101", "0110"}, "01"},
    {"into_short_im", {"0101", "0010"}, "0"},
    {"no_room", {"0", "1", "01", "11"}, "10", 4, -ENOSPC},
    {"leaf", {"0101"}, "-0101"},
    {"short_leaf", {"0"}, "-0"},
    {"leaf_of_im", {"0101", "0110"}, "-0101"},
    {"leaf_of_im_at_the_top", {"0101", "1110"}, "-0101"},
    {"leaf_of_im_below_real", {"01", "0101", "0110"}, "-0110"},
    {"short_leaf_of_im", {"0", "1"}, "-1"},
    {"one_child", {"01", "0101"}, "-01"},
    {"one_child_short", {"0", "0101"}, "-0"},
    {"two_children", {"01", "0101", "0110"}, "-01"},
    {"two_children_short", {"0", "0101", "0010", ""}, "-0"},
    {"absent", {"0101"}, "-0110", 4, -ENOENT},
};

class LpmDeath : public testing::TestWithParam<Scenario> {
 protected:
  LpmDeath() : map(&tw, 4, GetParam().max_entries), lab(tw, map.desc) {
    u64 value = 0;
    for (const char* step : GetParam().before) EXPECT_EQ(act(lab.other(), step, ++value), 0);
    before_image = lab.take();
    before = lpm_contents(tw, map);
    EXPECT_EQ(act(lab.dying(), GetParam().op, 99), GetParam().result);
    EXPECT_EQ(check_lpm(map), "");
    after = lpm_contents(tw, map);
    lab.put_back(before_image);
  }
  long act(const OpCtx& c, const char* step, u64 value) const {
    if (*step == '-') return map.erase(c, LpmKey(step + 1, 4));
    return map.put(c, LpmKey(step, 4), value);
  }
  void expect_whole(const std::string& when) const {
    ASSERT_EQ(check_lpm(map), "") << when;
    const auto now = lpm_contents(tw, map);
    ASSERT_TRUE(now == before || now == after) << when;
    // Life goes on: everything out, everything in.
    for (const auto& [bits, value] : now) ASSERT_EQ(map.erase(lab.other(), LpmKey(bits, 4)), 0) << when;
    for (u32 i = 0; i < map.desc->max_entries; ++i) ASSERT_EQ(map.put(lab.other(), {32, {static_cast<u8>(i * 99), 1, 2, 3}}, i), 0) << when;
    ASSERT_EQ(map.put(lab.other(), LpmKey("", 4), 1), -ENOSPC) << when;
    ASSERT_EQ(check_lpm(map), "") << when;
  }

  TestWindow tw;
  LpmMap map;
  DeathLab lab;
  DeathImage before_image;
  std::map<std::string, u64> before, after;
};
std::string scenario_name(const testing::TestParamInfo<Scenario>& scenario) { return scenario.param.name; }
INSTANTIATE_TEST_SUITE_P(Each, LpmDeath, testing::ValuesIn(SCENARIOS), scenario_name);

TEST_P(LpmDeath, AtEveryInstruction) {
  lab.each_death([this] { act(lab.dying(), GetParam().op, 99); }, [this](const std::string& when) { expect_whole(when); });
}

/// Nodes that were used before, and a dead one's lock: others are told to come back until it is recovered.
TEST_P(LpmDeath, LockedUntilRecovered) {
  for (u32 i = 0; i < 2 * map.desc->n_elems; ++i) {  // every node has been used
    ASSERT_EQ(map.put(lab.other(), {32, {200, 1, 2, 3}}, i), map.desc->max_entries == before.size() ? -ENOSPC : 0);
    map.erase(lab.other(), {32, {200, 1, 2, 3}});
  }
  u32 locked = 0;
  for (const DeathImage& image : lab.images([this] { act(lab.dying(), GetParam().op, 99); })) {
    lab.put_back(image);
    const bool busy = LpmTrie(map.desc).state()->lock.word != 0;
    locked += busy;
    if (busy && locked == 5) {
      EXPECT_EQ(map.put(lab.other(), {32, {7, 7, 7, 7}}, 1), -EBUSY);
    }
    lpm_contents(tw, map);  // readers go on
    lab.recover();
    ASSERT_NO_FATAL_FAILURE(expect_whole("with used nodes"));
  }
  EXPECT_GE(locked, 1u);
}

}  // namespace
}  // namespace skep::test
