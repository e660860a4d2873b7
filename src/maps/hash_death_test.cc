// Death at every instruction. A child runs one operation under single-step; whenever shared memory has changed, its image is kept:
// that is all that kill -9 at that instruction would leave behind. Each image is put back and recovered, and the map must be whole.
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <functional>

#include "maps/test_stepper.h"
#include "maps/test_window.h"

namespace skep::test {
namespace {

constexpr u32 HASH = BPF_MAP_TYPE_HASH, PHASH = BPF_MAP_TYPE_PERCPU_HASH;
constexpr u32 DYING = 1, OTHER = 2, USED_SLOTS = 4, KEY = 1;

/// Everything that outlives a process: the map's RAM and the slots.
struct Image {
  std::vector<u8> ram, slots;
  bool operator==(const Image&) const = default;
};

class Lab {
 public:
  Lab(u32 type, u32 value_size, u32 n_buckets, u32 max_entries) : m(tw.create(type, 4, value_size, max_entries)) {
    EXPECT_LE(n_buckets, m.desc->n_buckets);
    m.desc->n_buckets = n_buckets;
    tw.ctx(DYING);
    tw.ctx(OTHER);
  }
  RunSlot* slot(u32 i) const { return &tw.window().ram->slots[i]; }
  Image take() const {
    const u8* s = reinterpret_cast<const u8*>(slot(0));
    return {{m.desc->ram, m.desc->ram + m.desc->ram_bytes}, {s, s + USED_SLOTS * sizeof(RunSlot)}};
  }
  bool same(const Image& i) const {
    return std::memcmp(i.ram.data(), m.desc->ram, i.ram.size()) == 0 && std::memcmp(i.slots.data(), slot(0), i.slots.size()) == 0;
  }
  void put_back(const Image& i) const {
    std::memcpy(m.desc->ram, i.ram.data(), i.ram.size());
    std::memcpy(slot(0), i.slots.data(), i.slots.size());
  }
  void recover() const { slot_recover(tw.window(), slot(DYING), RECOVERY); }

  /// Single-steps `op` in a child. Calls seen(i) after the i-th change of shared memory.
  void step(const std::function<void()>& op, const std::function<void(u32)>& seen) const {
    Image last = take();
    u32 changes = 0;
    step_through(op, [&](u32) {
      if (same(last)) return true;
      seen(changes++);
      last = take();
      return true;
    });
  }
  std::vector<Image> images(const std::function<void()>& op) const {
    std::vector<Image> all;
    step(op, [&](u32) { all.push_back(take()); });
    return all;
  }

  /// A key of another bucket than KEY's (the n-th).
  u32 other_key(u32 n) const {
    auto bucket = [&](u32 k) { return Htab{m.desc}.bucket(Htab{m.desc}.hash<4>(&k)); };
    for (u32 k = 100;; ++k)
      if (bucket(k) != bucket(KEY) && n-- == 0) return k;
  }

  TestWindow tw;
  Map m;
};

struct Scenario {
  const char* name;
  u32 n_buckets;
  std::function<void(const Lab&)> setup;
  std::function<long(const Lab&, const OpCtx&)> op;
  long result;
  u32 max_entries = 4;
};
void PrintTo(const Scenario& s, std::ostream* os) { *os << s.name; }

long insert_or_replace(const Lab& lab, const OpCtx& c) { return lab.m.put(c, KEY, 111); }
long erase(const Lab& lab, const OpCtx& c) { return lab.m.erase(c, KEY); }
long take_value(const Lab& lab, const OpCtx& c) {
  u64 out[MAX_CPUS];
  u32 key = KEY;
  return lab.m.ops->take_value(c, lab.m.desc, &key, out, 0);
}
void put(const Lab& lab, u32 slot, u32 key) { ASSERT_EQ(lab.m.put(lab.tw.ctx(slot), key, key), 0); }
void del(const Lab& lab, u32 slot, u32 key) { ASSERT_EQ(lab.m.erase(lab.tw.ctx(slot), key), 0); }

void crowd(const Lab& lab, u32 n) {
  for (u32 k = 0; k < n; ++k) put(lab, OTHER, 10 + k);
}

const Scenario SCENARIOS[] = {
    {"insert_first", 4, [](const Lab&) {}, insert_or_replace, 0},
    {"insert_last_free", 4,
     [](const Lab& l) {
       for (u32 k = 5; k < 8; ++k) put(l, OTHER, k);
     },
     insert_or_replace, 0},
    {"insert_reuse_of_others", 4,
     [](const Lab& l) {
       put(l, OTHER, 5);
       put(l, OTHER, 6);
       del(l, OTHER, 5);
     },
     insert_or_replace, 0},
    {"insert_reuse_of_own", 4,
     [](const Lab& l) {
       put(l, DYING, KEY);
       put(l, DYING, 6);
       del(l, DYING, KEY);
     },
     insert_or_replace, 0},
    {"insert_when_full", 4,
     [](const Lab& l) {
       for (u32 k = 5; k < 9; ++k) put(l, OTHER, k);
     },
     insert_or_replace, -E2BIG},
    {"replace", 4, [](const Lab& l) { put(l, OTHER, KEY); }, insert_or_replace, 0},
    {"replace_again", 4,
     [](const Lab& l) {
       put(l, OTHER, KEY);
       put(l, DYING, KEY);
       put(l, DYING, KEY);
     },
     insert_or_replace, 0},
    {"replace_when_full", 4,
     [](const Lab& l) {
       for (u32 k = 1; k < 5; ++k) put(l, OTHER, k);
     },
     insert_or_replace, 0},
    {"replace_in_chain", 1,
     [](const Lab& l) {
       for (u32 k = 0; k < 3; ++k) put(l, OTHER, k);
     },
     insert_or_replace, 0},
    {"erase_only", 4, [](const Lab& l) { put(l, OTHER, KEY); }, erase, 0},
    {"erase_own", 4,
     [](const Lab& l) {
       put(l, DYING, 5);
       put(l, DYING, KEY);
     },
     erase, 0},
    {"erase_when_full", 4,
     [](const Lab& l) {
       for (u32 k = 1; k < 5; ++k) put(l, OTHER, k);
     },
     erase, 0},
    {"erase_in_chain", 1,
     [](const Lab& l) {
       for (u32 k = 0; k < 3; ++k) put(l, OTHER, k);
     },
     erase, 0},
    {"erase_replaced", 4,
     [](const Lab& l) {
       put(l, OTHER, KEY);
       put(l, DYING, KEY);
     },
     erase, 0},
    {"erase_absent", 4, [](const Lab& l) { put(l, OTHER, 5); }, erase, -ENOENT},
    {"take_value", 4, [](const Lab& l) { put(l, OTHER, KEY); }, take_value, 0},
    // More keys than local elements: the last ones are chained, whatever the size of values.
    {"insert_behind_locals", 1, [](const Lab& l) { crowd(l, LOCAL_LIVE + 2); }, insert_or_replace, 0, LOCAL_LIVE + 4},
    {"replace_behind_locals", 1,
     [](const Lab& l) {
       crowd(l, LOCAL_LIVE);
       put(l, OTHER, KEY);
       put(l, OTHER, 50);
     },
     insert_or_replace, 0, LOCAL_LIVE + 4},
    {"erase_behind_locals", 1,
     [](const Lab& l) {
       crowd(l, LOCAL_LIVE);
       put(l, OTHER, KEY);
       put(l, OTHER, 50);
     },
     erase, 0, LOCAL_LIVE + 4},
    {"erase_before_chained", 1,
     [](const Lab& l) {
       put(l, OTHER, KEY);
       crowd(l, LOCAL_LIVE + 2);
     },
     erase, 0, LOCAL_LIVE + 4},
    {"insert_in_a_gap_before_chained", 1,
     [](const Lab& l) {
       crowd(l, LOCAL_LIVE + 2);
       del(l, OTHER, 12);
     },
     insert_or_replace, 0, LOCAL_LIVE + 4},
    {"insert_when_full_behind_locals", 1, [](const Lab& l) { crowd(l, LOCAL_LIVE + 4); }, insert_or_replace, -E2BIG, LOCAL_LIVE + 4},
};

/// Kind, size of values, scenario.
using DeathParam = std::tuple<u32, u32, Scenario>;
constexpr u32 SMALL = 8, LARGE = 100;  ///< LARGE: no local elements

class Death : public testing::TestWithParam<DeathParam> {
 protected:
  Death() : lab(std::get<0>(GetParam()), std::get<1>(GetParam()), scenario().n_buckets, scenario().max_entries) {
    EXPECT_EQ(Htab{lab.m.desc}.has_local(), std::get<1>(GetParam()) == SMALL);
    scenario().setup(lab);
    before_image = lab.take();
    before = contents(lab.tw, lab.m);
    EXPECT_EQ(scenario().op(lab, lab.tw.ctx(DYING)), scenario().result);
    after = contents(lab.tw, lab.m);
    EXPECT_EQ(check_hash(lab.tw, lab.m.desc), "");
    lab.put_back(before_image);
  }
  static const Scenario& scenario() { return std::get<2>(GetParam()); }
  std::function<void()> dying() {
    return [this] { scenario().op(lab, lab.tw.ctx(DYING)); };
  }
  /// Whole, either before or after, and as large as ever.
  void expect_whole(const std::string& when) {
    ASSERT_EQ(check_hash(lab.tw, lab.m.desc), "") << when;
    const auto now = contents(lab.tw, lab.m);
    ASSERT_TRUE(now == before || now == after) << when;
    ASSERT_EQ(check_capacity(lab.tw, lab.m), "") << when;
  }

  Lab lab;
  Image before_image;
  std::map<u32, u64> before, after;
};

std::string scenario_name(const testing::TestParamInfo<DeathParam>& param) {
  const auto& [type, value_size, scenario] = param.param;
  return std::string(type == HASH ? "hash_" : "percpu_") + (value_size == SMALL ? "" : "chains_") + scenario.name;
}
INSTANTIATE_TEST_SUITE_P(Each, Death,
                         testing::Combine(testing::Values(HASH, PHASH), testing::Values(SMALL), testing::ValuesIn(SCENARIOS)),
                         scenario_name);
// The last six are of small values only: large ones are chained in all the others.
INSTANTIATE_TEST_SUITE_P(Chains, Death,
                         testing::Combine(testing::Values(HASH, PHASH), testing::Values(LARGE),
                                          testing::ValuesIn(std::begin(SCENARIOS), std::end(SCENARIOS) - 6)),
                         scenario_name);

TEST_P(Death, AtEveryInstruction) {
  const auto images = lab.images(dying());
  ASSERT_GE(images.size(), 2u);  // at least the lock, taken and given back
  if (scenario().result == 0 && before.size() != after.size()) {
    ASSERT_GE(images.size(), 8u);
  }
  for (size_t i = 0; i < images.size(); ++i) {
    lab.put_back(images[i]);
    lab.recover();
    expect_whole("image " + std::to_string(i));
  }
}

/// The others go on with the list of free elements before anyone notices the death.
TEST_P(Death, RecoveredLate) {
  if (scenario().n_buckets == 1) return;  // nothing to do for others: the bucket is locked
  const auto images = lab.images(dying());
  for (size_t i = 0; i < images.size(); ++i) {
    for (u32 n_ops = 1; n_ops <= 6; ++n_ops) {
      lab.put_back(images[i]);
      const OpCtx other = lab.tw.ctx(OTHER);
      for (u32 k = 0; k < n_ops; ++k) {
        if (k % 3 == 2) {
          lab.m.erase(other, lab.other_key(k - 1));
        } else {
          lab.m.put(other, lab.other_key(k), k);  // E2BIG when full
        }
      }
      for (const auto& [key, value] : before)
        if (n_ops % 2 == 0 && key != KEY) lab.m.erase(other, key);  // EBUSY in the dead one's bucket
      lab.recover();
      ASSERT_EQ(check_hash(lab.tw, lab.m.desc), "") << "image " << i << " ops " << n_ops;
      ASSERT_EQ(check_capacity(lab.tw, lab.m), "") << "image " << i << " ops " << n_ops;
    }
  }
}

/// Recovery itself dies at every instruction and is run again.
TEST_P(Death, RecoveryDiesToo) {
  const auto images = lab.images(dying());
  for (size_t i = 0; i < images.size(); ++i) {
    lab.put_back(images[i]);
    if (lab.slot(DYING)->intent_map == 0) continue;
    const auto again = lab.images([this] { lab.recover(); });
    for (size_t j = 0; j < again.size(); ++j) {
      lab.put_back(again[j]);
      if (lab.slot(DYING)->owner != 0) lab.recover();
      expect_whole("image " + std::to_string(i) + " recovery " + std::to_string(j));
    }
  }
}

/// Another slot changes the free list between any two stores of the operation (compare-exchanges fail, tags move on, elements come
/// back under another tag), and then the operation dies at each of its later instructions.
TEST_P(Death, WithInterference) {
  if (scenario().n_buckets == 1 || std::get<0>(GetParam()) == PHASH) return;  // the free list is the same for both kinds
  const OpCtx other = lab.tw.ctx(OTHER);
  const std::vector<std::function<void()>> interferences = {
      [&] { lab.m.put(other, lab.other_key(20), 1); },
      [&] { lab.m.put(other, lab.other_key(20), 1), lab.m.erase(other, lab.other_key(20)); },
      [&] {
        for (const auto& [key, value] : before)
          if (key != KEY) lab.m.erase(other, key);
      },
  };
  const size_t n = lab.images(dying()).size();
  for (const auto& interfere : interferences) {
    for (u32 at = 0; at < n; at += STEP_STRIDE) {
      std::vector<Image> images;
      lab.put_back(before_image);
      lab.step(dying(), [&](u32 i) {
        if (i == at) interfere();
        if (i >= at) images.push_back(lab.take());
      });
      for (size_t j = 0; j < images.size(); ++j) {
        lab.put_back(images[j]);
        lab.recover();
        ASSERT_EQ(check_hash(lab.tw, lab.m.desc), "") << "interference at " << at << " image " << j;
        ASSERT_EQ(check_capacity(lab.tw, lab.m), "") << "interference at " << at << " image " << j;
      }
    }
  }
}

// Random deaths among live neighbours, recovered while these go on.
void churn(const Window& w, const Map& m, OwnerId owner, u64 seed) {
  Random rnd{seed};
  for (;;) {
    RunSlot* slot = slot_acquire_client(w, owner, rnd.below(16));
    if (slot == nullptr) continue;
    const OpCtx c{w, slot, 0};
    for (u32 n = rnd.below(4) + 1; n != 0; --n) {
      const u32 key = rnd.below(80);
      switch (rnd.below(4)) {
        case 0:
        case 1:
          m.put(c, key, key * 0x100000001ULL);
          break;
        case 2:
          m.erase(c, key);
          break;
        default:
          m.lookup(c, key);
      }
    }
    slot_release(slot);
  }
}

TEST(Kill, HundredsOfTimes) {
  for (const u32 type : {HASH, PHASH}) {
    TestWindow tw;
    const Map m(tw.create(type, 4, type == HASH ? 16 : 8, 48));
    m.desc->n_buckets = 6;  // eight keys for six local elements
    constexpr u32 children = 4;
    pid_t pids[children] = {};
    Random rnd{type};
    u64 seed = 1, killed_inside = 0;
    auto start = [&](u32 i) {
      ++seed;
      const pid_t parent = getpid();
      pids[i] = fork();
      if (pids[i] != 0) return;
      if (getppid() == parent) churn(tw.window(), m, i + 1 + (seed << 32), seed * 0x9e3779b97f4a7c15ULL);
      _exit(0);
    };
    auto reap = [&](u32 i) {
      kill(pids[i], SIGKILL);
      waitpid(pids[i], nullptr, 0);
      for (RunSlot& slot : tw.window().ram->slots) {
        if ((load_relaxed(&slot.owner) & 0xffffffff) != i + 1) continue;
        if (slot.intent_map != 0) ++killed_inside;
        slot_recover(tw.window(), &slot, RECOVERY);
      }
    };
    for (u32 i = 0; i < children; ++i) start(i);
    for (u32 round = 0; round < 400 || (killed_inside <= 10 && round < 8000); ++round) {
      usleep(200 + rnd.below(1500));
      reap(round % children);
      if (round % 40 == 39) {
        for (u32 i = 0; i < children; ++i)
          if (i != round % children) reap(i);
        ASSERT_EQ(check_hash(tw, m.desc), "") << "round " << round;
        for (const auto& [key, value] : contents(tw, m)) ASSERT_LT(key, 80u);
        ASSERT_EQ(check_capacity(tw, m), "") << "round " << round;
        for (u32 i = 0; i < children; ++i)
          if (i != round % children) start(i);
      }
      start(round % children);
    }
    for (u32 i = 0; i < children; ++i) reap(i);
    EXPECT_EQ(check_hash(tw, m.desc), "");
    EXPECT_EQ(check_capacity(tw, m), "");
    EXPECT_GT(killed_inside, 10u);  // the test does reach what it is about
  }
}

}  // namespace
}  // namespace skep::test
