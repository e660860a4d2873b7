// Per-CPU maps: a value is one slot per possible CPU, each slot rounded up to 8 bytes. Linux: hashtab.c:bpf_percpu_hash_*(),
// arraymap.c:bpf_percpu_array_*().
#include "bpf_calls.h"

namespace skep::test {
namespace {

class MapPercpuTest : public BpfTest, public testing::WithParamInterface<std::uint32_t> {
 protected:
  static std::size_t stride(std::uint32_t value_size) { return (value_size + 7) / 8 * 8; }
  static std::size_t whole(std::uint32_t value_size) { return stride(value_size) * possible_cpus(); }
};

TEST_P(MapPercpuTest, SlotsOfEightByteStrides) {
  for (const std::uint32_t value_size : {1u, 3u, 4u, 8u, 9u, 16u, 100u}) {
    const Fd map(map_create({.type = GetParam(), .value_size = value_size, .max_entries = 2}));
    ASSERT_THAT(map.get(), SyscallSucceeds()) << value_size;
    const std::uint32_t key = 1;
    std::vector<unsigned char> in(whole(value_size), 0xff);
    for (unsigned cpu = 0; cpu < possible_cpus(); ++cpu)
      std::memset(in.data() + cpu * stride(value_size), static_cast<int>(cpu + 1), value_size);
    ASSERT_THAT(map_update(map.get(), &key, in.data()), SyscallSucceeds()) << value_size;

    GuardedBuffer out(whole(value_size));
    ASSERT_THAT(map_lookup(map.get(), &key, out.data()), SyscallSucceeds()) << value_size;
    for (unsigned cpu = 0; cpu < possible_cpus(); ++cpu)
      EXPECT_EQ(std::memcmp(in.data() + cpu * stride(value_size), out.data() + cpu * stride(value_size), value_size), 0)
          << "value size " << value_size << ", cpu " << cpu;
  }
}

TEST_P(MapPercpuTest, UpdateFlags) {
  const Fd map(map_create({.type = GetParam(), .max_entries = 2}));
  ASSERT_THAT(map.get(), SyscallSucceeds());
  const std::uint32_t key = 1;
  std::vector<unsigned char> value(whole(8), 1);
  if (GetParam() == BPF_MAP_TYPE_PERCPU_HASH) {
    EXPECT_THAT(map_update(map.get(), &key, value.data(), BPF_EXIST), SyscallFailsWithErrno(ENOENT));
    ASSERT_THAT(map_update(map.get(), &key, value.data(), BPF_NOEXIST), SyscallSucceeds());
  } else {
    ASSERT_THAT(map_update(map.get(), &key, value.data(), BPF_EXIST), SyscallSucceeds());
  }
  EXPECT_THAT(map_update(map.get(), &key, value.data(), BPF_NOEXIST), SyscallFailsWithErrno(EEXIST));
  EXPECT_THAT(map_update(map.get(), &key, value.data(), BPF_F_LOCK), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(map_update(map.get(), &key, value.data(), 3), SyscallFailsWithErrno(EINVAL));
}

TEST_P(MapPercpuTest, MissingKeyAndBadPointers) {
  const Fd map(map_create({.type = GetParam(), .max_entries = 2}));
  ASSERT_THAT(map.get(), SyscallSucceeds());
  GuardedBuffer out(whole(8));
  std::uint32_t key = 2;
  EXPECT_THAT(map_lookup(map.get(), &key, out.data()), SyscallFailsWithErrno(ENOENT));
  EXPECT_TRUE(out.untouched());
  key = 0;
  std::vector<unsigned char> value(whole(8), 1);
  ASSERT_THAT(map_update(map.get(), &key, value.data()), SyscallSucceeds());
  EXPECT_THAT(map_lookup(map.get(), &key, bad_pointer()), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(map_update(map.get(), &key, bad_pointer()), SyscallFailsWithErrno(EFAULT));
}

INSTANTIATE_TEST_SUITE_P(Types, MapPercpuTest, testing::Values(BPF_MAP_TYPE_PERCPU_HASH, BPF_MAP_TYPE_PERCPU_ARRAY),
                         [](const testing::TestParamInfo<std::uint32_t>& param) {
                           return param.param == BPF_MAP_TYPE_PERCPU_HASH ? "Hash" : "Array";
                         });

class MapPercpuKindsTest : public BpfTest {};

TEST_F(MapPercpuKindsTest, ArrayStartsZeroOnEveryCpu) {
  const Fd map(map_create({.type = BPF_MAP_TYPE_PERCPU_ARRAY, .value_size = 4, .max_entries = 1}));
  ASSERT_THAT(map.get(), SyscallSucceeds());
  const std::uint32_t key = 0;
  GuardedBuffer out(8 * possible_cpus());
  ASSERT_THAT(map_lookup(map.get(), &key, out.data()), SyscallSucceeds());
  for (unsigned cpu = 0; cpu < possible_cpus(); ++cpu) EXPECT_EQ(out.read<std::uint32_t>(8 * cpu), 0u);
  const std::uint32_t beyond = 1;
  EXPECT_THAT(map_update(map.get(), &beyond, out.data()), SyscallFailsWithErrno(E2BIG));
  EXPECT_THAT(map_delete(map.get(), &key), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(map_lookup_and_delete(map.get(), &key, out.data()), SyscallFailsWithErrno(kENOTSUPP));
}

TEST_F(MapPercpuKindsTest, HashFillsDeletesAndIterates) {
  const Fd map(map_create({.type = BPF_MAP_TYPE_PERCPU_HASH, .max_entries = 2}));
  ASSERT_THAT(map.get(), SyscallSucceeds());
  std::vector<std::uint64_t> value(possible_cpus(), 7);
  for (std::uint32_t key = 0; key < 2; ++key) ASSERT_THAT(map_update(map.get(), &key, value.data()), SyscallSucceeds());
  std::uint32_t key = 2;
  EXPECT_THAT(map_update(map.get(), &key, value.data()), SyscallFailsWithErrno(E2BIG));
  key = 1;
  ASSERT_THAT(map_update(map.get(), &key, value.data()), SyscallSucceeds()) << "full, but the key is there";
  GuardedBuffer out(8 * possible_cpus());
  ASSERT_THAT(map_lookup_and_delete(map.get(), &key, out.data()), SyscallSucceeds());
  for (unsigned cpu = 0; cpu < possible_cpus(); ++cpu) EXPECT_EQ(out.read<std::uint64_t>(8 * cpu), 7u);
  EXPECT_THAT(map_delete(map.get(), &key), SyscallFailsWithErrno(ENOENT));
  std::uint32_t next = 99;
  ASSERT_THAT(map_get_next_key(map.get(), nullptr, &next), SyscallSucceeds());
  EXPECT_EQ(next, 0u);
  ASSERT_THAT(map_delete(map.get(), &next), SyscallSucceeds());
  EXPECT_THAT(map_get_next_key(map.get(), nullptr, &next), SyscallFailsWithErrno(ENOENT));
}

}  // namespace
}  // namespace skep::test
