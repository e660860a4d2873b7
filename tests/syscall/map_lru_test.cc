// Elements of BPF_MAP_TYPE_LRU_HASH and LRU_PERCPU_HASH through the syscall. Linux: kernel/bpf/hashtab.c, bpf_lru_list.c.
#include <set>
#include <tuple>

#include "bpf_calls.h"
#include "program_text.h"

namespace skep::test {
namespace {

constexpr std::uint32_t kLru = BPF_MAP_TYPE_LRU_HASH, kPercpu = BPF_MAP_TYPE_LRU_PERCPU_HASH;

/// On one CPU all the time: lists are each CPU's own.
class MapLruTest : public BpfTest, public testing::WithParamInterface<std::tuple<std::uint32_t, std::uint32_t>> {
 protected:
  void create(std::uint32_t entries_of_a_cpu) {
    const auto [type, flags] = GetParam();
    const std::uint32_t cpus = flags != 0 ? possible_cpus() : 1;
    map_ = Fd(map_create({.type = type, .key_size = 4, .value_size = 8, .max_entries = entries_of_a_cpu * cpus, .flags = flags}));
    ASSERT_THAT(map_.get(), SyscallSucceeds());
  }
  long update(std::uint32_t key, std::uint64_t value, std::uint64_t flags = BPF_ANY) {
    const std::vector<std::uint64_t> values(possible_cpus(), value);
    return map_update(map_.get(), &key, values.data(), flags);
  }
  long remove(std::uint32_t key) { return map_delete(map_.get(), &key); }
  long lookup(std::uint32_t key) {
    GuardedBuffer out(std::get<0>(GetParam()) == kPercpu ? 8 * possible_cpus() : 8);
    const long result = map_lookup(map_.get(), &key, out.data());
    const int error = errno;
    if (result == 0) value_ = out.read<std::uint64_t>();
    errno = error;
    return result;
  }
  /// By a program, which counts as use.
  void use(std::uint32_t key) {
    const Fd prog(prog_load({.type = BPF_PROG_TYPE_SOCKET_FILTER,
                             .insns = ProgramText()
                                          .store(BPF_W, R10, -4, static_cast<std::int32_t>(key))
                                          .mov(R2, R10)
                                          .alu(BPF_ADD, R2, -4)
                                          .map_fd(R1, map_.get())
                                          .call(BPF_FUNC_map_lookup_elem)
                                          .jump_if(BPF_JEQ, R0, 0, "out")
                                          .mov(R0, 1)
                                          .exit()
                                          .out()
                                          .build()}));
    ASSERT_THAT(prog.get(), SyscallSucceeds());
    unsigned char packet[64] = {};
    union bpf_attr attr = zero_attr();
    attr.test.prog_fd = static_cast<std::uint32_t>(prog.get());
    attr.test.data_in = user_ptr(packet);
    attr.test.data_size_in = sizeof packet;
    ASSERT_THAT(bpf(BPF_PROG_TEST_RUN, attr), SyscallSucceeds());
    EXPECT_EQ(attr.test.retval, 1u) << key;
  }
  std::set<std::uint32_t> keys() {
    std::set<std::uint32_t> all;
    std::uint32_t key = 0, next = 0;
    const void* from = nullptr;
    while (map_get_next_key(map_.get(), from, &next) == 0) {
      all.insert(key = next);
      from = &key;
    }
    EXPECT_EQ(errno, ENOENT);
    return all;
  }
  PinnedToOneCpu pinned_;
  Fd map_;
  std::uint64_t value_ = 0;
};
std::string case_name(const testing::TestParamInfo<std::tuple<std::uint32_t, std::uint32_t>>& c) {
  return std::string(std::get<0>(c.param) == kLru ? "Lru" : "PercpuLru") + (std::get<1>(c.param) != 0 ? "OfEachCpu" : "");
}
INSTANTIATE_TEST_SUITE_P(Kinds, MapLruTest, testing::Combine(testing::Values(kLru, kPercpu), testing::Values(0u, BPF_F_NO_COMMON_LRU)),
                         case_name);

TEST_P(MapLruTest, FlagsAndErrors) {
  create(16);
  EXPECT_THAT(lookup(1), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(update(1, 1, BPF_EXIST), SyscallFailsWithErrno(ENOENT));
  ASSERT_THAT(update(1, 1, BPF_NOEXIST), SyscallSucceeds());
  EXPECT_THAT(update(1, 2, BPF_NOEXIST), SyscallFailsWithErrno(EEXIST));
  EXPECT_THAT(update(1, 2, 3), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(update(1, 2, BPF_F_LOCK), SyscallFailsWithErrno(EINVAL));
  ASSERT_THAT(update(1, 3, BPF_EXIST), SyscallSucceeds());
  ASSERT_THAT(lookup(1), SyscallSucceeds());
  EXPECT_EQ(value_, 3u);
  EXPECT_THAT(remove(2), SyscallFailsWithErrno(ENOENT));
  ASSERT_THAT(remove(1), SyscallSucceeds());
  EXPECT_THAT(remove(1), SyscallFailsWithErrno(ENOENT));
}

TEST_P(MapLruTest, LookupAndDelete) {
  create(16);
  const std::uint32_t key = 7;
  GuardedBuffer out(std::get<0>(GetParam()) == kPercpu ? 8 * possible_cpus() : 8);
  EXPECT_THAT(map_lookup_and_delete(map_.get(), &key, out.data()), SyscallFailsWithErrno(ENOENT));
  EXPECT_TRUE(out.untouched());
  ASSERT_THAT(update(key, 70), SyscallSucceeds());
  EXPECT_THAT(map_lookup_and_delete(map_.get(), &key, out.data(), BPF_F_LOCK), SyscallFailsWithErrno(EINVAL));
  ASSERT_THAT(map_lookup_and_delete(map_.get(), &key, out.data()), SyscallSucceeds());
  EXPECT_EQ(out.read<std::uint64_t>(), 70u);
  EXPECT_THAT(lookup(key), SyscallFailsWithErrno(ENOENT));
}

TEST_P(MapLruTest, AFullMapMakesRoom) {
  create(64);
  for (std::uint32_t key = 0; key < 1000; ++key) {
    ASSERT_THAT(update(key, key), SyscallSucceeds()) << key;
    ASSERT_THAT(lookup(key), SyscallSucceeds()) << key;
    EXPECT_EQ(value_, key);
  }
  EXPECT_LE(keys().size(), 64u * possible_cpus());
  EXPECT_THAT(lookup(0), SyscallFailsWithErrno(ENOENT));
}

TEST_P(MapLruTest, WhatProgramsUseStays) {
  create(2);
  ASSERT_THAT(update(1, 1), SyscallSucceeds());
  ASSERT_THAT(update(2, 2), SyscallSucceeds());
  use(1);
  ASSERT_THAT(lookup(2), SyscallSucceeds()) << "which is no use";
  ASSERT_THAT(update(3, 3), SyscallSucceeds());
  EXPECT_EQ(keys(), (std::set<std::uint32_t>{1, 3}));
}

TEST_P(MapLruTest, WhatIsTakenOutMakesRoom) {
  create(1024);
  for (std::uint32_t key = 0; key < 512; ++key) ASSERT_THAT(update(key, key), SyscallSucceeds());
  for (std::uint32_t key = 0; key < 512; key += 2) ASSERT_THAT(remove(key), SyscallSucceeds());
  for (std::uint32_t key = 0; key < 512; key += 2) ASSERT_THAT(update(1000 + key, key), SyscallSucceeds());
  EXPECT_EQ(keys().size(), 512u);
}

/// Making room comes before the key is looked for: it may be the very one that goes.
TEST_P(MapLruTest, AMapOfOneElement) {
  if (std::get<1>(GetParam()) != 0) GTEST_SKIP() << "a list of each CPU's own takes its element first";
  create(1);
  ASSERT_THAT(update(1, 1), SyscallSucceeds());
  ASSERT_THAT(update(1, 2), SyscallSucceeds());
  ASSERT_THAT(lookup(1), SyscallSucceeds());
  EXPECT_EQ(value_, 2u);
  ASSERT_THAT(update(2, 3), SyscallSucceeds());
  EXPECT_EQ(keys(), std::set<std::uint32_t>{2});
  if (std::get<0>(GetParam()) == kLru) {
    EXPECT_THAT(update(2, 4, BPF_EXIST), SyscallFailsWithErrno(ENOENT));
    EXPECT_TRUE(keys().empty());
  } else {
    EXPECT_THAT(update(2, 4, BPF_EXIST), SyscallSucceeds()) << "in place";
  }
}

}  // namespace
}  // namespace skep::test
