#include "base/bytes.h"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

namespace skep {
namespace {

constexpr std::size_t MOST = 3 * SHORT_BYTES, GUARD = 16;

/// The freestanding halves, which the library under test does not use itself: only the agent does.
TEST(Bytes, CopyWordsOfEverySizeAndOffsetTouchesNothingElse) {
  std::vector<u8> from(MOST + 2 * GUARD);
  for (std::size_t i = 0; i < from.size(); ++i) from[i] = static_cast<u8>(i * 7 + 1);
  for (std::size_t n = 0; n <= MOST; ++n) {
    const std::size_t src = n % 9, dst = n % 7;
    std::vector<u8> to(MOST + 2 * GUARD, 0xee);
    std::vector<u8> want = to;
    std::memcpy(want.data() + GUARD - dst, from.data() + src, n);
    copy_words(to.data() + GUARD - dst, from.data() + src, n);
    ASSERT_EQ(to, want) << n;
  }
}

TEST(Bytes, CopyWordsMovesForwardOntoItself) {
  for (std::size_t by = 1; by < 20; ++by) {
    for (std::size_t n = 0; n <= MOST; ++n) {
      std::vector<u8> bytes(MOST + 2 * GUARD);
      for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<u8>(i * 11 + 3);
      std::vector<u8> want = bytes;
      std::memmove(want.data(), want.data() + by, n);
      copy_words(bytes.data(), bytes.data() + by, n);
      ASSERT_EQ(bytes, want) << n << " by " << by;
    }
  }
}

TEST(Bytes, ZeroWordsOfEverySizeTouchesNothingElse) {
  for (std::size_t n = 0; n <= MOST; ++n) {
    std::vector<u8> bytes(MOST + 2 * GUARD, 0xee);
    std::vector<u8> want = bytes;
    std::memset(want.data() + n % 9, 0, n);
    zero_words(bytes.data() + n % 9, n);
    ASSERT_EQ(bytes, want) << n;
  }
}

TEST(Bytes, EqualBytesSeesEveryDifference) {
  std::vector<u8> a(40, 5);
  for (std::size_t n = 0; n <= a.size(); ++n) {
    std::vector<u8> b = a;
    EXPECT_TRUE(equal_bytes(a.data(), b.data(), n));
    for (std::size_t at = 0; at < a.size(); ++at) {
      b[at] = 6;
      EXPECT_EQ(equal_bytes(a.data(), b.data(), n), at >= n) << n << " " << at;
      b[at] = 5;
    }
  }
}

}  // namespace
}  // namespace skep
