// Readers interrupted at every instruction: one is single-stepped, and at its n-th instruction others recycle all they can of the
// chain it walks. Whatever n, a key that stays is found, with its value, and no iteration passes it by.
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

  void at_every_instruction(const std::function<void()>& op, const std::function<void(u32)>& judge) {
    u32 total = 0;
    step_through(op, [&](u32 n) {
      total = n;
      return true;
    });
    for (u32 at = 0; at <= total; at += STEP_STRIDE) {
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

}  // namespace
}  // namespace skep::test
