// Elements of BPF_MAP_TYPE_HASH through the syscall. Linux: kernel/bpf/syscall.c:map_*_elem(), kernel/bpf/hashtab.c.
#include <fcntl.h>
#include <unistd.h>

#include <set>

#include "bpf_calls.h"

namespace skep::test {
namespace {

/// Each case runs with preallocated elements and without.
class MapHashTest : public BpfTest, public testing::WithParamInterface<std::uint32_t> {
 protected:
  void SetUp() override {
    BpfTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    map_ =
        Fd(map_create({.type = BPF_MAP_TYPE_HASH, .key_size = 4, .value_size = 8, .max_entries = kEntries, .flags = GetParam()}));
    ASSERT_THAT(map_.get(), SyscallSucceeds());
  }
  long update(std::uint32_t key, std::uint64_t value, std::uint64_t flags = BPF_ANY) {
    return map_update(map_.get(), &key, &value, flags);
  }
  long remove(std::uint32_t key) { return map_delete(map_.get(), &key); }
  long lookup(std::uint32_t key) {
    GuardedBuffer out(8);
    const long result = map_lookup(map_.get(), &key, out.data());
    const int error = errno;
    if (result == 0) {
      value_ = out.read<std::uint64_t>();
    } else {
      EXPECT_TRUE(out.untouched());
    }
    errno = error;
    return result;
  }
  static constexpr std::uint32_t kEntries = 3;
  Fd map_;
  std::uint64_t value_ = 0;  // what the last successful lookup found
};

TEST_P(MapHashTest, LooksUpWhatWasPut) {
  EXPECT_THAT(lookup(1), SyscallFailsWithErrno(ENOENT));
  ASSERT_THAT(update(1, 100), SyscallSucceeds());
  ASSERT_THAT(lookup(1), SyscallSucceeds());
  EXPECT_EQ(value_, 100u);
  ASSERT_THAT(update(1, 200), SyscallSucceeds());
  ASSERT_THAT(lookup(1), SyscallSucceeds());
  EXPECT_EQ(value_, 200u);
}

TEST_P(MapHashTest, UpdateFlags) {
  EXPECT_THAT(update(1, 1, BPF_EXIST), SyscallFailsWithErrno(ENOENT));
  ASSERT_THAT(update(1, 1, BPF_NOEXIST), SyscallSucceeds());
  EXPECT_THAT(update(1, 2, BPF_NOEXIST), SyscallFailsWithErrno(EEXIST));
  ASSERT_THAT(update(1, 3, BPF_EXIST), SyscallSucceeds());
  ASSERT_THAT(lookup(1), SyscallSucceeds());
  EXPECT_EQ(value_, 3u);
  EXPECT_THAT(update(1, 4, BPF_NOEXIST | BPF_EXIST), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(update(1, 4, 1ull << 40), SyscallFailsWithErrno(EINVAL));
}

TEST_P(MapHashTest, LockFlagNeedsALockInTheValue) {
  ASSERT_THAT(update(1, 1), SyscallSucceeds());
  EXPECT_THAT(update(1, 2, BPF_F_LOCK), SyscallFailsWithErrno(EINVAL));
  const std::uint32_t key = 1;
  GuardedBuffer out(8);
  EXPECT_THAT(map_lookup(map_.get(), &key, out.data(), BPF_F_LOCK), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(map_lookup_and_delete(map_.get(), &key, out.data(), BPF_F_LOCK), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(map_lookup(map_.get(), &key, out.data(), BPF_NOEXIST), SyscallFailsWithErrno(EINVAL)) << "no flag of lookup";
  EXPECT_THAT(map_lookup_and_delete(map_.get(), &key, out.data(), BPF_EXIST), SyscallFailsWithErrno(EINVAL)) << "no flag of it";
  EXPECT_TRUE(out.untouched());
}

TEST_P(MapHashTest, FullMapTakesUpdatesOfWhatItHas) {
  for (std::uint32_t key = 0; key < kEntries; ++key) ASSERT_THAT(update(key, key), SyscallSucceeds());
  EXPECT_THAT(update(kEntries, 1), SyscallFailsWithErrno(E2BIG));
  EXPECT_THAT(update(kEntries, 1, BPF_NOEXIST), SyscallFailsWithErrno(E2BIG));
  for (int round = 0; round < 100; ++round) ASSERT_THAT(update(1, 50, BPF_ANY), SyscallSucceeds());
  ASSERT_THAT(update(1, 51, BPF_EXIST), SyscallSucceeds());
  EXPECT_THAT(update(1, 52, BPF_NOEXIST), SyscallFailsWithErrno(EEXIST));
  ASSERT_THAT(remove(0), SyscallSucceeds());
  ASSERT_THAT(update(kEntries, 1), SyscallSucceeds());
  EXPECT_THAT(update(0, 1), SyscallFailsWithErrno(E2BIG));
}

TEST_P(MapHashTest, ErrnoOrderOnFlags) {
  // Linux: hashtab.c:check_flags() judges NOEXIST and EXIST before room is sought.
  for (std::uint32_t key = 0; key < kEntries; ++key) ASSERT_THAT(update(key, key), SyscallSucceeds());
  EXPECT_THAT(update(77, 1, BPF_EXIST), SyscallFailsWithErrno(ENOENT));
}

TEST_P(MapHashTest, Delete) {
  EXPECT_THAT(remove(1), SyscallFailsWithErrno(ENOENT));
  ASSERT_THAT(update(1, 1), SyscallSucceeds());
  ASSERT_THAT(remove(1), SyscallSucceeds());
  EXPECT_THAT(lookup(1), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(remove(1), SyscallFailsWithErrno(ENOENT));
}

TEST_P(MapHashTest, LookupAndDelete) {
  const std::uint32_t key = 5;
  GuardedBuffer out(8);
  EXPECT_THAT(map_lookup_and_delete(map_.get(), &key, out.data()), SyscallFailsWithErrno(ENOENT));
  EXPECT_TRUE(out.untouched());
  ASSERT_THAT(update(key, 55), SyscallSucceeds());
  ASSERT_THAT(map_lookup_and_delete(map_.get(), &key, out.data()), SyscallSucceeds());
  EXPECT_EQ(out.read<std::uint64_t>(), 55u);
  EXPECT_THAT(lookup(key), SyscallFailsWithErrno(ENOENT));
}

TEST_P(MapHashTest, NextKeyVisitsEachKeyOnce) {
  std::uint32_t next = 0;
  EXPECT_THAT(map_get_next_key(map_.get(), nullptr, &next), SyscallFailsWithErrno(ENOENT)) << "an empty map";
  const std::set<std::uint32_t> keys = {10, 20, 30};
  for (const std::uint32_t key : keys) ASSERT_THAT(update(key, key), SyscallSucceeds());
  std::set<std::uint32_t> seen;
  ASSERT_THAT(map_get_next_key(map_.get(), nullptr, &next), SyscallSucceeds());
  seen.insert(next);
  for (std::uint32_t key = next; map_get_next_key(map_.get(), &key, &next) == 0; key = next)
    ASSERT_TRUE(seen.insert(next).second) << next << " came twice";
  EXPECT_EQ(errno, ENOENT);
  EXPECT_EQ(seen, keys);
}

TEST_P(MapHashTest, NextKeyOfAMissingKeyStartsAgain) {
  for (const std::uint32_t key : {10u, 20u, 30u}) ASSERT_THAT(update(key, key), SyscallSucceeds());
  std::uint32_t first = 0;
  GuardedBuffer next(4);
  ASSERT_THAT(map_get_next_key(map_.get(), nullptr, &first), SyscallSucceeds());
  const std::uint32_t missing = 11;
  ASSERT_THAT(map_get_next_key(map_.get(), &missing, next.data()), SyscallSucceeds());
  EXPECT_EQ(next.read<std::uint32_t>(), first);
}

TEST_P(MapHashTest, DeleteWhileIteratingEmptiesTheMap) {
  for (const std::uint32_t key : {10u, 20u, 30u}) ASSERT_THAT(update(key, key), SyscallSucceeds());
  std::uint32_t key = 0;
  int deleted = 0;
  while (map_get_next_key(map_.get(), nullptr, &key) == 0) {
    ASSERT_THAT(remove(key), SyscallSucceeds());
    ASSERT_LE(++deleted, 3);
  }
  EXPECT_EQ(deleted, 3);
}

TEST_P(MapHashTest, BadPointersFault) {
  ASSERT_THAT(update(1, 1), SyscallSucceeds());
  std::uint32_t key = 1;
  std::uint64_t value = 9;
  EXPECT_THAT(map_lookup(map_.get(), bad_pointer(), &value), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(map_lookup(map_.get(), &key, bad_pointer()), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(map_lookup(map_.get(), nullptr, &value), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(map_update(map_.get(), bad_pointer(), &value), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(map_update(map_.get(), &key, bad_pointer()), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(map_delete(map_.get(), bad_pointer()), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(map_get_next_key(map_.get(), bad_pointer(), &key), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(map_get_next_key(map_.get(), nullptr, bad_pointer()), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(map_lookup_and_delete(map_.get(), bad_pointer(), &value), SyscallFailsWithErrno(EFAULT));
  ASSERT_THAT(lookup(1), SyscallSucceeds());
  EXPECT_EQ(value_, 1u) << "a failed update changed the value";
}

TEST_P(MapHashTest, ReadOnlyMemoryIsNoPlaceForAValue) {
  const auto page = static_cast<std::size_t>(getpagesize());
  const Mapping read_only(-1, 0, page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS);
  ASSERT_THAT(read_only.result(), SyscallSucceeds());
  ASSERT_THAT(update(1, 1), SyscallSucceeds());
  const std::uint32_t key = 1;
  EXPECT_THAT(map_lookup(map_.get(), &key, read_only.bytes()), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(map_get_next_key(map_.get(), nullptr, read_only.bytes()), SyscallFailsWithErrno(EFAULT));
  const std::uint32_t zero_key = 0;
  ASSERT_THAT(map_update(map_.get(), read_only.bytes(), read_only.bytes()), SyscallSucceeds()) << "reading from it is fine";
  ASSERT_THAT(lookup(zero_key), SyscallSucceeds());
  EXPECT_EQ(value_, 0u);
}

TEST_P(MapHashTest, WrongFds) {
  std::uint32_t key = 1;
  std::uint64_t value = 1;
  const Fd null(open("/dev/null", O_RDWR | O_CLOEXEC));
  ASSERT_GE(null.get(), 0);
  for (const int fd : {-1, 9999}) {
    EXPECT_THAT(map_lookup(fd, &key, &value), SyscallFailsWithErrno(EBADF));
    EXPECT_THAT(map_update(fd, &key, &value), SyscallFailsWithErrno(EBADF));
    EXPECT_THAT(map_delete(fd, &key), SyscallFailsWithErrno(EBADF));
    EXPECT_THAT(map_lookup_and_delete(fd, &key, &value), SyscallFailsWithErrno(EBADF));
    EXPECT_THAT(map_get_next_key(fd, &key, &key), SyscallFailsWithErrno(EBADF));
    EXPECT_THAT(map_freeze(fd), SyscallFailsWithErrno(EBADF));
  }
  EXPECT_THAT(map_lookup(null.get(), &key, &value), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(map_update(null.get(), &key, &value), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(map_delete(null.get(), &key), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(map_lookup_and_delete(null.get(), &key, &value), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(map_get_next_key(null.get(), &key, &key), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(map_freeze(null.get()), SyscallFailsWithErrno(EINVAL));
}

TEST_P(MapHashTest, FlagsAreJudgedBeforeTheFd) {
  const std::uint32_t key = 1;
  std::uint64_t value = 0;
  EXPECT_THAT(map_lookup(-1, &key, &value, 8), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(map_update(-1, &key, &value, 8), SyscallFailsWithErrno(EBADF)) << "an update's flags belong to the map";
}

TEST_P(MapHashTest, OddSizesKeepTheirBytes) {
  const Fd map(map_create({.key_size = 5, .value_size = 13, .max_entries = 8, .flags = GetParam()}));
  ASSERT_THAT(map.get(), SyscallSucceeds());
  for (unsigned char i = 0; i < 8; ++i) {
    const std::string key(5, static_cast<char>(i));
    const std::string value(13, static_cast<char>(100 + i));
    ASSERT_THAT(map_update(map.get(), key.data(), value.data()), SyscallSucceeds());
  }
  for (unsigned char i = 0; i < 8; ++i) {
    const std::string key(5, static_cast<char>(i));
    GuardedBuffer out(13);
    ASSERT_THAT(map_lookup(map.get(), key.data(), out.data()), SyscallSucceeds());
    EXPECT_EQ(std::string(reinterpret_cast<char*>(out.data()), 13), std::string(13, static_cast<char>(100 + i)));
    GuardedBuffer next(5);
    (void)map_get_next_key(map.get(), key.data(), next.data());
  }
}

TEST_P(MapHashTest, LargeMapKeepsEveryKey) {
  constexpr std::uint32_t kMany = 5000;
  const Fd map(map_create({.max_entries = kMany, .flags = GetParam()}));
  ASSERT_THAT(map.get(), SyscallSucceeds());
  for (std::uint32_t i = 0; i < kMany; ++i) {
    const std::uint32_t key = i * 2654435761u;
    const std::uint64_t value = i;
    ASSERT_THAT(map_update(map.get(), &key, &value, BPF_NOEXIST), SyscallSucceeds()) << i;
  }
  std::uint32_t key = 0;
  std::uint32_t seen = 0;
  std::uint64_t sum = 0;
  for (const void* from = nullptr; map_get_next_key(map.get(), from, &key) == 0; from = &key) {
    std::uint64_t value = 0;
    ASSERT_THAT(map_lookup(map.get(), &key, &value), SyscallSucceeds());
    sum += value;
    ASSERT_LE(++seen, kMany);
  }
  EXPECT_EQ(seen, kMany);
  EXPECT_EQ(sum, std::uint64_t{kMany} * (kMany - 1) / 2);
}

INSTANTIATE_TEST_SUITE_P(Allocation, MapHashTest, testing::Values(0u, static_cast<unsigned>(BPF_F_NO_PREALLOC)),
                         [](const testing::TestParamInfo<std::uint32_t>& param) {
                           return param.param == 0 ? "Prealloc" : "NoPrealloc";
                         });

}  // namespace
}  // namespace skep::test
