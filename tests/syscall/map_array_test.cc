// Elements of arrays, perf event arrays and ring buffers through the syscall. Linux: kernel/bpf/arraymap.c, ringbuf.c.
#include <fcntl.h>

#include "bpf_calls.h"

namespace skep::test {
namespace {

class MapArrayTest : public BpfTest {
 protected:
  void SetUp() override {
    BpfTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    map_ = Fd(map_create({.type = BPF_MAP_TYPE_ARRAY, .value_size = 13, .max_entries = 3}));
    ASSERT_THAT(map_.get(), SyscallSucceeds());
  }
  Fd map_;
};

TEST_F(MapArrayTest, StartsZero) {
  for (std::uint32_t key = 0; key < 3; ++key) {
    GuardedBuffer out(13);
    ASSERT_THAT(map_lookup(map_.get(), &key, out.data()), SyscallSucceeds());
    for (std::size_t i = 0; i < out.size(); ++i) EXPECT_EQ(out.data()[i], 0);
  }
}

TEST_F(MapArrayTest, KeepsWhatWasPut) {
  for (std::uint32_t key = 0; key < 3; ++key) {
    const std::string value(13, static_cast<char>('a' + static_cast<char>(key)));
    ASSERT_THAT(map_update(map_.get(), &key, value.data()), SyscallSucceeds());
  }
  for (std::uint32_t key = 0; key < 3; ++key) {
    GuardedBuffer out(13);
    ASSERT_THAT(map_lookup(map_.get(), &key, out.data()), SyscallSucceeds());
    EXPECT_EQ(std::string(reinterpret_cast<char*>(out.data()), 13),
              std::string(13, static_cast<char>('a' + static_cast<char>(key))));
  }
}

TEST_F(MapArrayTest, OutOfRange) {
  GuardedBuffer out(13);
  for (const std::uint32_t key : {3u, 1000000u, 0xffffffffu}) {
    EXPECT_THAT(map_lookup(map_.get(), &key, out.data()), SyscallFailsWithErrno(ENOENT));
    EXPECT_THAT(map_update(map_.get(), &key, out.data()), SyscallFailsWithErrno(E2BIG));
    EXPECT_THAT(map_delete(map_.get(), &key), SyscallFailsWithErrno(EINVAL));
  }
  EXPECT_TRUE(out.untouched());
}

TEST_F(MapArrayTest, UpdateFlags) {
  const std::uint32_t key = 0;
  const std::string value(13, 'x');
  ASSERT_THAT(map_update(map_.get(), &key, value.data(), BPF_EXIST), SyscallSucceeds());
  EXPECT_THAT(map_update(map_.get(), &key, value.data(), BPF_NOEXIST), SyscallFailsWithErrno(EEXIST));
  EXPECT_THAT(map_update(map_.get(), &key, value.data(), BPF_NOEXIST | BPF_EXIST), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(map_update(map_.get(), &key, value.data(), BPF_F_LOCK), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(map_update(map_.get(), &key, value.data(), 1u << 20), SyscallFailsWithErrno(EINVAL));
  const std::uint32_t beyond = 3;
  EXPECT_THAT(map_update(map_.get(), &beyond, value.data(), BPF_NOEXIST), SyscallFailsWithErrno(E2BIG));
}

TEST_F(MapArrayTest, CannotDelete) {
  const std::uint32_t key = 0;
  GuardedBuffer out(13);
  EXPECT_THAT(map_delete(map_.get(), &key), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(map_lookup_and_delete(map_.get(), &key, out.data()), SyscallFailsWithErrno(kENOTSUPP));
  EXPECT_TRUE(out.untouched());
}

TEST_F(MapArrayTest, NextKeyCounts) {
  std::uint32_t next = 99;
  ASSERT_THAT(map_get_next_key(map_.get(), nullptr, &next), SyscallSucceeds());
  EXPECT_EQ(next, 0u);
  std::uint32_t key = 0;
  ASSERT_THAT(map_get_next_key(map_.get(), &key, &next), SyscallSucceeds());
  EXPECT_EQ(next, 1u);
  key = 2;
  EXPECT_THAT(map_get_next_key(map_.get(), &key, &next), SyscallFailsWithErrno(ENOENT)) << "the last one";
  for (const std::uint32_t beyond : {3u, 0xffffffffu}) {
    ASSERT_THAT(map_get_next_key(map_.get(), &beyond, &next), SyscallSucceeds());
    EXPECT_EQ(next, 0u);
  }
}

TEST_F(MapArrayTest, BadPointersFault) {
  const std::uint32_t key = 0;
  unsigned char value[13] = {};
  EXPECT_THAT(map_lookup(map_.get(), bad_pointer(), value), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(map_lookup(map_.get(), &key, bad_pointer()), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(map_update(map_.get(), bad_pointer(), value), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(map_update(map_.get(), &key, bad_pointer()), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(map_get_next_key(map_.get(), nullptr, bad_pointer()), SyscallFailsWithErrno(EFAULT));
}

TEST_F(MapArrayTest, RingBufferHasNoElements) {
  const Fd ring(map_create({.type = BPF_MAP_TYPE_RINGBUF, .key_size = 0, .value_size = 0, .max_entries = 4096}));
  ASSERT_THAT(ring.get(), SyscallSucceeds());
  std::uint64_t value = 0;
  // Linux: syscall.c:___bpf_copy_key(): a key of size 0 must be NULL.
  std::uint32_t key = 0;
  EXPECT_THAT(map_lookup(ring.get(), &key, &value), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(map_lookup(ring.get(), nullptr, &value), SyscallFailsWithErrno(kENOTSUPP));
  EXPECT_THAT(map_update(ring.get(), nullptr, &value), SyscallFailsWithErrno(kENOTSUPP));
  EXPECT_THAT(map_delete(ring.get(), nullptr), SyscallFailsWithErrno(kENOTSUPP));
  EXPECT_THAT(map_lookup_and_delete(ring.get(), nullptr, &value), SyscallFailsWithErrno(kENOTSUPP));
  EXPECT_THAT(map_get_next_key(ring.get(), nullptr, &value), SyscallFailsWithErrno(kENOTSUPP));
}

class PerfEventArrayTest : public BpfTest {
 protected:
  void SetUp() override {
    BpfTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    map_ = Fd(map_create({.type = BPF_MAP_TYPE_PERF_EVENT_ARRAY, .value_size = 4, .max_entries = 2}));
    ASSERT_THAT(map_.get(), SyscallSucceeds());
    struct perf_event_attr attr;
    std::memset(&attr, 0, sizeof attr);
    attr.size = sizeof attr;
    attr.type = PERF_TYPE_SOFTWARE;
    attr.config = PERF_COUNT_SW_BPF_OUTPUT;
    attr.sample_type = PERF_SAMPLE_RAW;
    attr.sample_period = 1;
    event_ = Fd(perf_event_open(attr, -1, online_cpus().at(0)));
    ASSERT_THAT(event_.get(), SyscallSucceeds());
  }
  long put(std::uint32_t key, int fd, std::uint64_t flags = BPF_ANY) { return map_update(map_.get(), &key, &fd, flags); }
  Fd map_;
  Fd event_;
};

TEST_F(PerfEventArrayTest, TakesPerfEventsOnly) {
  ASSERT_THAT(put(0, event_.get()), SyscallSucceeds());
  ASSERT_THAT(put(0, event_.get()), SyscallSucceeds()) << "again";
  EXPECT_THAT(put(1, -1), SyscallFailsWithErrno(EBADF));
  EXPECT_THAT(put(1, 9999), SyscallFailsWithErrno(EBADF));
  EXPECT_THAT(put(1, map_.get()), SyscallFailsWithErrno(EBADF));
  const Fd null(open("/dev/null", O_RDWR | O_CLOEXEC));
  EXPECT_THAT(put(1, null.get()), SyscallFailsWithErrno(EBADF));
}

TEST_F(PerfEventArrayTest, FlagsAndRange) {
  EXPECT_THAT(put(2, event_.get()), SyscallFailsWithErrno(E2BIG));
  EXPECT_THAT(put(0, event_.get(), BPF_NOEXIST), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(put(0, event_.get(), BPF_EXIST), SyscallFailsWithErrno(EINVAL));
}

TEST_F(PerfEventArrayTest, DeleteTakesTheEventOut) {
  std::uint32_t key = 0;
  EXPECT_THAT(map_delete(map_.get(), &key), SyscallFailsWithErrno(ENOENT));
  ASSERT_THAT(put(0, event_.get()), SyscallSucceeds());
  EXPECT_THAT(map_delete(map_.get(), &key), SyscallSucceeds());
  EXPECT_THAT(map_delete(map_.get(), &key), SyscallFailsWithErrno(ENOENT));
  key = 2;
  EXPECT_THAT(map_delete(map_.get(), &key), SyscallFailsWithErrno(E2BIG));
}

TEST_F(PerfEventArrayTest, EventsCannotBeRead) {
  const std::uint32_t key = 0;
  ASSERT_THAT(put(0, event_.get()), SyscallSucceeds());
  GuardedBuffer out(4);
  EXPECT_THAT(map_lookup(map_.get(), &key, out.data()), SyscallFailsWithErrno(kENOTSUPP));
  EXPECT_THAT(map_lookup_and_delete(map_.get(), &key, out.data()), SyscallFailsWithErrno(kENOTSUPP));
  EXPECT_TRUE(out.untouched());
  ASSERT_THAT(map_get_next_key(map_.get(), nullptr, out.data()), SyscallSucceeds());
  EXPECT_EQ(out.read<std::uint32_t>(), 0u);
}

}  // namespace
}  // namespace skep::test
