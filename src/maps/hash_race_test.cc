// Several processes on one map; readers against recycling; and RAM that somebody scribbles over.
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <ctime>
#include <functional>

#include "maps/test_window.h"

namespace skep::test {
namespace {

constexpr u32 HASH = BPF_MAP_TYPE_HASH, PHASH = BPF_MAP_TYPE_PERCPU_HASH;

double now_s(clockid_t clock = CLOCK_MONOTONIC) {
  timespec t;
  clock_gettime(clock, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

/// Children that die with the test. A child's work answers true when all was as it should be.
class Children {
 public:
  void start(const std::function<bool()>& work) {
    const pid_t pid = fork();
    if (pid == 0) _exit(work() ? 0 : 1);
    pids_.push_back(pid);
  }
  void stop() {
    for (const pid_t p : pids_) kill(p, SIGKILL), waitpid(p, nullptr, 0);
    pids_.clear();
  }
  void join() {
    for (const pid_t p : pids_) {
      int status = 0;
      waitpid(p, &status, 0);
      EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
    }
    pids_.clear();
  }
  ~Children() { stop(); }

 private:
  std::vector<pid_t> pids_;
};

/// The operation again while another live run has the bucket.
template <typename Op>
long until_free(Op op) {
  for (;;)
    if (const long r = op(); r != -EBUSY) return r;
}

// Each process owns some keys and must always find them as it left them, whatever the others do to theirs on the same chains.
TEST(Race, EachProcessItsOwnKeys) {
  for (const u32 type : {HASH, PHASH}) {
    TestWindow tw;
    const Map m(tw.create(type, 4, 8, 64));
    m.desc->n_buckets = 4;
    constexpr u32 procs = 4, keys = 16;
    Children children;
    for (u32 p = 0; p < procs; ++p) {
      const OpCtx c = tw.ctx(p, p);
      children.start([&, c, p] {
        std::map<u32, u64> model;
        Random rnd{p + 1};
        for (int i = 0; i < 100000; ++i) {
          const u32 key = p * keys + rnd.below(keys);
          const bool has = model.count(key) != 0;
          const u64 value = rnd.next();
          if (rnd.below(3) == 0) {
            if (until_free([&] { return m.erase(c, key); }) != (has ? 0 : -ENOENT)) return false;
            model.erase(key);
          } else {
            const u64 flags = rnd.below(3);
            const long want = has && flags == BPF_NOEXIST ? -EEXIST : !has && flags == BPF_EXIST ? -ENOENT : 0;
            if (until_free([&] { return m.put(c, key, value, flags); }) != want) return false;
            if (want == 0) model[key] = value;
          }
          const u32 other = p * keys + rnd.below(keys);
          const u64* v = m.lookup(c, other);
          if ((v != nullptr) != (model.count(other) != 0) || (v != nullptr && *v != model[other])) return false;
        }
        return true;
      });
    }
    children.join();
    EXPECT_EQ(check_hash(tw, m.desc), "");
    EXPECT_EQ(check_capacity(tw, m), "");
  }
}

/// One chain of constant keys among keys that come and go; every kind of recycling there is, for `seconds`.
class Recycling : public testing::Test {
 protected:
  static constexpr u32 CONSTANT = 5, COMING = 12;
  TestWindow tw;
  Map m{tw.create(HASH, 4, 8, CONSTANT + COMING)};
  Children churners;

  void begin() {
    m.desc->n_buckets = 1;
    // Constant keys between others, so that walks pass elements that are recycled.
    for (u32 k = 0; k < CONSTANT; ++k) {
      ASSERT_EQ(m.put(tw.ctx(0), 1000 + k, k), 0);
      ASSERT_EQ(m.put(tw.ctx(0), k, k), 0);
    }
    for (u32 p = 0; p < 3; ++p) {
      const OpCtx c = tw.ctx(1 + p);
      churners.start([this, c, p] {
        for (Random rnd{p + 77};;) {
          const u32 key = rnd.below(COMING);
          if (rnd.below(2) == 0) {
            m.erase(c, key);
          } else {
            m.put(c, key, key);
          }
        }
        return true;
      });
    }
  }
};

TEST_F(Recycling, AKeyThatStaysIsAlwaysFound) {
  begin();
  const OpCtx c = tw.ctx(9);
  const double end = now_s() + 2;
  u64 looks = 0;
  for (; now_s() < end; ++looks) {
    for (u32 k = 0; k < CONSTANT; ++k) {
      const u64* v = m.lookup(c, 1000 + k);
      ASSERT_NE(v, nullptr) << "key " << k << " after " << looks;
      ASSERT_EQ(*v, k);
    }
  }
  EXPECT_GT(looks, 100u);
}

TEST_F(Recycling, IterationMeetsEveryKeyThatStays) {
  begin();
  const OpCtx c = tw.ctx(9);
  const double end = now_s() + 2;
  u64 rounds = 0;
  while (now_s() < end) {
    std::set<u32> seen;
    u32 key = 0, next = 0;
    long r = m.ops->get_next_key(c, m.desc, nullptr, &next);
    while (r == 0) {
      seen.insert(key = next);
      ASSERT_TRUE(key < COMING || (key >= 1000 && key < 1000 + CONSTANT)) << key;
      r = m.ops->get_next_key(c, m.desc, &key, &next);  // from the start again when the key has gone meanwhile
    }
    ASSERT_EQ(r, -ENOENT);
    for (u32 k = 0; k < CONSTANT; ++k) ASSERT_EQ(seen.count(1000 + k), 1u) << "round " << rounds;
    ++rounds;
  }
  EXPECT_GT(rounds, 10u);
}

TEST(Race, ValuesReadByASyscallAreNeverTorn) {
  TestWindow tw;
  const Map m(tw.create(HASH, 4, 512, 4));
  Children churners;
  ASSERT_EQ(m.put(tw.ctx(0), 1, 0), 0);
  for (u32 p = 0; p < 2; ++p) {
    const OpCtx c = tw.ctx(1 + p);
    churners.start([&, c] {
      for (u64 i = 1;; ++i) m.put(c, 1, i * 0x0101010101010101ULL);
      return true;
    });
  }
  const OpCtx c = tw.ctx(9);
  u64 out[64], different = 0, last = 0;
  const double start = now_s();
  while (now_s() < start + 1 || (different <= 100 && now_s() < start + 60)) {
    const long r = m.read(c, 1, out);
    if (r == -EBUSY) continue;
    ASSERT_EQ(r, 0);
    for (const u64 v : out) ASSERT_EQ(v, out[0]);
    different += out[0] != last;
    last = out[0];
  }
  EXPECT_GT(different, 100u);
}

/// Writes random words, often small ones (which are good indices), anywhere into the map.
void scribble(const MapDesc* d, Random* rnd) {
  auto* words = reinterpret_cast<u64*>(d->ram);
  const u32 n = static_cast<u32>(d->ram_bytes / 8);
  const u64 at = rnd->below(3) == 0 ? rnd->below(64) : rnd->below(n);
  u64 v = rnd->next();
  if (rnd->below(2) == 0) v = rnd->below(700);
  if (rnd->below(4) == 0) v = rnd->below(700) | static_cast<u64>(rnd->below(4)) << 32;
  __atomic_store_n(&words[at], v, __ATOMIC_RELAXED);
}

void every_operation(const TestWindow& tw, const Map& m, const OpCtx& c, Random* rnd) {
  const u32 key = rnd->below(32);
  u32 next = 0;
  u64 out[2 * MAX_CPUS] = {};
  switch (rnd->below(8)) {
    case 0:
      m.put(c, key, key);
      break;
    case 1:
      m.erase(c, key);
      break;
    case 2:
      if (const u64* v = m.lookup(c, key); v != nullptr) {
        ASSERT_TRUE(m.ops->holds_value(m.desc, reinterpret_cast<u64>(v), m.desc->value_size));
      }
      break;
    case 3:
      m.read(c, key, out);
      break;
    case 4:
      m.ops->write_value(c, m.desc, &key, out, rnd->below(3));
      break;
    case 5:
      m.ops->take_value(c, m.desc, &key, out, 0);
      break;
    case 6:
      m.ops->get_next_key(c, m.desc, rnd->below(4) == 0 ? nullptr : &key, &next);
      break;
    default:
      c.slot->intent_map = reinterpret_cast<u64>(m.desc);
      c.slot->intent_elem = rnd->below(600);
      c.slot->intent_op = rnd->below(5) | (rnd->below(2) << 4) | rnd->below(8) << 5;
      recover_map_intent(tw.window(), c.slot, find_desc);
      c.slot->intent_map = 0;
      EXPECT_LE(m.ops->mem_usage(*m.desc), 1u << 20);
  }
}

TEST(Hostile, ScribblesBetweenOperations) {
  for (const u32 type : {HASH, PHASH}) {
    for (u32 round = 0; round < 20; ++round) {
      TestWindow tw;
      const Map m(tw.create(type, 4, 12, 24, BPF_F_NO_PREALLOC));
      Random rnd{round * 2 + type};
      for (int i = 0; i < 3000; ++i) {
        if (rnd.below(4) == 0) scribble(m.desc, &rnd);
        every_operation(tw, m, tw.ctx(rnd.below(4), rnd.below(4)), &rnd);
        if (HasFatalFailure()) return;
      }
    }
  }
}

TEST(Hostile, ScribblesDuringOperations) {
  for (const u32 type : {HASH, PHASH}) {
    TestWindow tw;
    const Map m(tw.create(type, 4, 12, 24, BPF_F_NO_PREALLOC));
    Children scribblers;
    scribblers.start([&] {
      for (Random rnd{99};;) scribble(m.desc, &rnd);
      return true;
    });
    Random rnd{5};
    double worst = 0;
    for (const double end = now_s() + 2; now_s() < end;) {
      const double start = now_s(CLOCK_PROCESS_CPUTIME_ID);
      every_operation(tw, m, tw.ctx(rnd.below(4), rnd.below(4)), &rnd);
      if (HasFatalFailure()) return;
      worst = std::max(worst, now_s(CLOCK_PROCESS_CPUTIME_ID) - start);
    }
    EXPECT_LT(worst, 1.0);  // bounded
  }
}

}  // namespace
}  // namespace skep::test
