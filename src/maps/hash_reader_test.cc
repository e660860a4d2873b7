// Readers interrupted at every instruction (SKEP_EVERY_STEP=1; without, at some of them): one is single-stepped, and at its n-th
// instruction others recycle all they can of the chain it walks. Whatever n, a key that stays is found, with its value, and no iteration
// passes it by.
#include "maps/test_stepper.h"
#include "maps/test_window.h"

namespace skep::test {
namespace {

/// Six keys of one bucket. 2 and 5 stay; in the order of iteration 2 comes first.
constexpr u32 KEYS = 6, NEAR = 2, FAR = 5;
constexpr u64 value_of(u32 key) { return key * 0x0101010101010101ULL; }
bool stays(u32 key) { return key == NEAR || key == FAR; }

struct Answer {
  long result;
  u32 key;
  u64 value[12];
};

/// Where the keys are: all in local elements; all in a chain; the first in local elements, the others behind them.
enum class Place : u32 { Local, Chain, Both };

class Reader : public testing::TestWithParam<std::tuple<u32, Place>> {
 protected:
  static constexpr u32 FILLERS = 3;
  static Place place() { return std::get<1>(GetParam()); }
  static u32 fillers() { return place() == Place::Both ? FILLERS : 0; }

  Reader() {
    m.desc->n_buckets = 1;
    EXPECT_EQ(Htab{m.desc}.has_local(), place() != Place::Chain);
    for (u32 k = 0; k < fillers(); ++k) EXPECT_EQ(m.put(writer, 200 + k, 0), 0);
    for (u32 k = 1; k <= KEYS; ++k) EXPECT_EQ(m.put(writer, k, value_of(k)), 0);
    // Spares that have been used before.
    for (u32 k = 1; k <= KEYS; ++k) EXPECT_EQ(m.put(tw.ctx(2), k, value_of(k)), 0);
    fresh.assign(m.desc->ram, m.desc->ram + m.desc->ram_bytes);
    answer = static_cast<Answer*>(mmap(nullptr, sizeof(Answer), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  }
  ~Reader() override { munmap(answer, sizeof(Answer)); }

  /// What happens under the reader; the test's parameter.
  void disturb() {
    switch (std::get<0>(GetParam())) {
      case 0:  // gone: the first of them becomes the free list's end
        for (u32 k = KEYS; k >= 1; --k) gone(k);
        break;
      case 1:  // gone and back at the head, in other elements
        for (u32 k = 1; k <= KEYS; ++k) gone(k);
        for (u32 k = 1; k <= KEYS; ++k) back(k);
        break;
      case 2:  // replaced from the far end, by one spare after the other: elements move towards the far end
        for (u32 k = KEYS; k >= 1; --k) replaced(k);
        break;
      case 3:  // the other way round
        for (u32 k = 1; k <= KEYS; ++k) replaced(k);
        break;
      case 4:  // far elements at the head and near ones in the far places
        for (u32 k = KEYS; k > FAR; --k) gone(k);
        for (u32 n = 0; n < 2; ++n) replaced(1);
        for (u32 k = KEYS; k >= 1; --k) back(k);
        for (u32 k = KEYS; k >= 1; --k) replaced(k);
        break;
      case 5:  // the far key round and round the elements, until it is where it was
        for (u32 n = 0; n < 3 * LOCAL_ELEMS; ++n) {
          replaced(FAR);
          replaced(NEAR);
        }
        break;
      default:  // other keys in all that was free
        for (u32 k = 1; k <= KEYS; ++k) gone(k);
        for (u32 k = 50; m.put(writer, k, value_of(k)) == 0; ++k) {
        }
    }
  }
  void gone(u32 k) {
    if (!stays(k)) m.erase(writer, k);
  }
  void back(u32 k) {
    if (!stays(k)) m.put(writer, k, value_of(k));
  }
  void replaced(u32 k) { m.put(writer, k, value_of(k)); }

  static bool looks_everywhere() { return std::getenv("SKEP_EVERY_STEP") != nullptr; }
  static u32 first_place() { return 5 * std::get<0>(GetParam()) + static_cast<u32>(std::get<1>(GetParam())); }

  void at_every_instruction(const std::function<void()>& op, const std::function<void(u32)>& judge) {
    u32 total = 0;
    step_through(op, [&](u32 n) {
      total = n;
      return true;
    });
    // Each test looks at some of the places, all tests together at each several times.
    const u32 stride = looks_everywhere() ? STEP_STRIDE : 12 * STEP_STRIDE;
    for (u32 at = looks_everywhere() ? 0 : first_place() % stride; at <= total; at += stride) {
      std::memcpy(m.desc->ram, fresh.data(), fresh.size());
      *answer = {};
      step_through(op, [&](u32 n) {
        if (n == at) disturb();
        return n < at;
      });
      judge(at);
      if (HasFatalFailure()) return;
    }
  }

  TestWindow tw;
  Map m{tw.create(BPF_MAP_TYPE_HASH, 4, place() == Place::Chain ? 96 : 32, KEYS + fillers())};
  OpCtx writer = tw.ctx(1), reader = tw.ctx(3);
  std::vector<u8> fresh;
  Answer* answer;
};
INSTANTIATE_TEST_SUITE_P(Disturbed, Reader,
                         testing::Combine(testing::Range(0u, 7u), testing::Values(Place::Local, Place::Chain, Place::Both)));

TEST_P(Reader, Lookup) {
  at_every_instruction(
      [&] {
        // A program may see its value recycled later; what it is given points at the key's value.
        answer->result = m.lookup(reader, FAR) != nullptr ? 1 : 0;
      },
      [&](u32 at) { ASSERT_EQ(answer->result, 1) << at; });
}

TEST_P(Reader, ReadValue) {
  at_every_instruction([&] { answer->result = m.read(reader, FAR, answer->value); },
                       [&](u32 at) {
                         ASSERT_EQ(answer->result, 0) << at;
                         for (u32 i = 0; i < m.desc->value_size / 8; ++i) ASSERT_EQ(answer->value[i], value_of(FAR)) << at;
                       });
}

TEST_P(Reader, NextKey) {
  at_every_instruction(
      [&] {
        u32 key = NEAR;
        answer->result = m.ops->get_next_key(reader, m.desc, &key, &answer->key);
      },
      [&](u32 at) {
        // 3, 4 and 5 come behind 2, and nothing comes in between.
        ASSERT_EQ(answer->result, 0) << at;
        ASSERT_TRUE(answer->key > NEAR && answer->key <= FAR) << at << " key " << answer->key;
      });
}

TEST_P(Reader, FirstKey) {
  at_every_instruction([&] { answer->result = m.ops->get_next_key(reader, m.desc, nullptr, &answer->key); },
                       [&](u32 at) {
                         ASSERT_EQ(answer->result, 0) << at;
                         ASSERT_LE(answer->key, NEAR) << at;
                       });
}

/// A writer that stands still in the middle of a fill while a reader comes by, and is done, twice over, before the reader looks back: its
/// tags are as they were, and no gen has moved since the reader saw it. Two keys of one tag, which change places.
class HalfFilled : public testing::Test {
 protected:
  using Image = std::vector<u8>;

  HalfFilled() {
    m.desc->n_buckets = 1;
    const Htab t{m.desc};
    auto tag = [&](u32 k) { return t.hash<4>(&k).tag(); };
    const u32 wanted = tag(least);
    while (tag(twin) != wanted) twin += 0x100;
    // In the order of iteration: least, those of other tags, twin.
    u32 other = 0;
    auto put_other = [&] {
      while (tag(++other) == wanted) {
      }
      EXPECT_EQ(m.put(writer, other, 0), 0);
    };
    put_other();
    EXPECT_EQ(m.put(writer, twin, value_of(twin)), 0);
    EXPECT_EQ(m.put(writer, least, value_of(least)), 0);
    for (u32 n = 3; n < LOCAL_LIVE; ++n) put_other();
    before = take();
    EXPECT_EQ(m.put(writer, twin, value_of(twin)), 0);  // out of the second element
    const u32 gen = second()->gen;
    step_through([&] { m.put(writer, least, value_of(least)); },  // into it
                 [&](u32) {
                   if (half.empty() && second()->gen != gen) half = take();
                   return half.empty();
                 });
    EXPECT_EQ(m.put(writer, twin, value_of(twin)), 0);
    after = take();
    EXPECT_EQ(tags_of(before), tags_of(after));
    answer = static_cast<Answer*>(mmap(nullptr, sizeof(Answer), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  }
  ~HalfFilled() override { munmap(answer, sizeof(Answer)); }

  HtabElem* second() const { return Htab{m.desc}.local(Htab{m.desc}.bucket_at(0), 1); }
  Image take() const { return {m.desc->ram, m.desc->ram + m.desc->ram_bytes}; }
  void put_back(const Image& i) const { std::memcpy(m.desc->ram, i.data(), i.size()); }
  u64 tags_of(const Image& i) const {
    u64 tags;
    std::memcpy(&tags, i.data() + (static_cast<u8*>(m.desc->buckets) - m.desc->ram) + offsetof(HtabBucket, tags), sizeof tags);
    return tags;
  }

  void at_every_two_instructions(const std::function<void()>& op, const std::function<void(u32, u32)>& judge) {
    ASSERT_FALSE(half.empty());
    u32 total = 0;
    put_back(before);
    step_through(op, [&](u32 n) {
      total = n;
      return true;
    });
    // What must come between two loads has several instructions to come at.
    for (u32 at = 0; at < total; at += 4 * STEP_STRIDE) {
      for (u32 then = at + 6; then < at + 54; then += 6) {
        put_back(before);
        *answer = {};
        step_through(op, [&](u32 n) {
          if (n == at) put_back(half);
          if (n == then) put_back(after);
          return n < then;
        });
        judge(at, then);
        if (HasFatalFailure()) return;
      }
    }
  }

  TestWindow tw;
  Map m{tw.create(BPF_MAP_TYPE_HASH, 4, 8, 16)};
  OpCtx writer = tw.ctx(1), reader = tw.ctx(3);
  u32 least = 0, twin = 0xff;
  Image before, half, after;
  Answer* answer;
};

TEST_F(HalfFilled, LookupFindsAKeyThatStays) {
  at_every_two_instructions([&] { answer->result = m.lookup(reader, least) != nullptr ? 1 : 0; },
                            [&](u32 at, u32 then) { ASSERT_EQ(answer->result, 1) << at << " " << then; });
}

TEST_F(HalfFilled, IterationMeetsAKeyThatStays) {
  at_every_two_instructions([&] { answer->result = m.ops->get_next_key(reader, m.desc, nullptr, &answer->key); },
                            [&](u32 at, u32 then) {
                              ASSERT_EQ(answer->result, 0) << at << " " << then;
                              ASSERT_EQ(answer->key, least) << at << " " << then;
                            });
}

}  // namespace
}  // namespace skep::test
