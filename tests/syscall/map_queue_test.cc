// QUEUE and STACK. Linux: kernel/bpf/queue_stack_maps.c
#include "bpf_calls.h"

namespace skep::test {
namespace {

class MapQueueTest : public BpfTest, public testing::WithParamInterface<std::uint32_t> {
 protected:
  static MapSpec spec() { return {.type = GetParam(), .key_size = 0, .value_size = 8, .max_entries = 3, .name = "queue"}; }
  static bool stack() { return GetParam() == BPF_MAP_TYPE_STACK; }
  static long push(int map, std::uint64_t value, std::uint64_t flags = BPF_ANY) { return map_update(map, nullptr, &value, flags); }
  /// 0 with errno set when there is none.
  static std::uint64_t peek(int map) {
    Guarded<std::uint64_t> v;
    return map_lookup(map, nullptr, v.get()) == 0 ? *v : 0;
  }
  static std::uint64_t pop(int map) {
    Guarded<std::uint64_t> v;
    return map_lookup_and_delete(map, nullptr, v.get()) == 0 ? *v : 0;
  }
};

TEST_P(MapQueueTest, Order) {
  const Fd map(map_create(spec()));
  ASSERT_THAT(map.get(), SyscallSucceeds());
  for (std::uint64_t v = 1; v <= 3; ++v) ASSERT_THAT(push(map.get(), v), SyscallSucceeds());
  EXPECT_THAT(push(map.get(), 4), SyscallFailsWithErrno(E2BIG));
  EXPECT_EQ(peek(map.get()), stack() ? 3u : 1u);
  EXPECT_EQ(pop(map.get()), stack() ? 3u : 1u);
  EXPECT_EQ(pop(map.get()), 2u);
  ASSERT_THAT(push(map.get(), 5), SyscallSucceeds());
  EXPECT_EQ(pop(map.get()), stack() ? 5u : 3u);
  EXPECT_EQ(pop(map.get()), stack() ? 1u : 5u);
  EXPECT_EQ(pop(map.get()), 0u);
}

TEST_P(MapQueueTest, RoomIsMadeByForce) {
  const Fd map(map_create(spec()));
  for (std::uint64_t v = 1; v <= 5; ++v) ASSERT_THAT(push(map.get(), v, BPF_EXIST), SyscallSucceeds());
  EXPECT_EQ(pop(map.get()), stack() ? 5u : 3u);
  EXPECT_EQ(pop(map.get()), 4u);
  EXPECT_EQ(pop(map.get()), stack() ? 3u : 5u);
  EXPECT_EQ(pop(map.get()), 0u);
}

TEST_P(MapQueueTest, Errors) {
  const Fd map(map_create(spec()));
  const std::uint32_t key = 0;
  std::uint64_t value = 1;
  EXPECT_THAT(map_lookup(map.get(), nullptr, &value), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(map_lookup_and_delete(map.get(), nullptr, &value), SyscallFailsWithErrno(ENOENT));
  EXPECT_EQ(value, 1u) << "a refused call writes nothing";
  EXPECT_THAT(map_update(map.get(), &key, &value), SyscallFailsWithErrno(EINVAL)) << "there are no keys";
  EXPECT_THAT(map_lookup(map.get(), &key, &value), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(push(map.get(), 1, BPF_NOEXIST), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(push(map.get(), 1, 3), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(push(map.get(), 1, BPF_F_LOCK), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(map_lookup_and_delete(map.get(), nullptr, &value, BPF_F_LOCK), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(map_delete(map.get(), nullptr), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(map_get_next_key(map.get(), nullptr, &value), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(map_update(map.get(), nullptr, bad_pointer()), SyscallFailsWithErrno(EFAULT));
}

TEST_P(MapQueueTest, Creation) {
  const auto refused = [](MapSpec s, int error) { EXPECT_THAT(map_create(s), SyscallFailsWithErrno(error)); };
  MapSpec s = spec();
  s.key_size = 4;
  refused(s, EINVAL);
  s = spec(), s.value_size = 0;
  refused(s, EINVAL);
  s = spec(), s.max_entries = 0;
  refused(s, EINVAL);
  s = spec(), s.flags = BPF_F_NO_PREALLOC;
  refused(s, EINVAL);
  s = spec(), s.flags = BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG;
  refused(s, EINVAL);
  s = spec(), s.value_size = (4u << 20) + 1;
  refused(s, E2BIG);
  // drift: newer kernels allow it, and take gigabytes for it.
  s = spec(), s.max_entries = 1u << 30;
  if (!drifted()) refused(s, E2BIG);
}

INSTANTIATE_TEST_SUITE_P(Kinds, MapQueueTest,
                         testing::Values(static_cast<std::uint32_t>(BPF_MAP_TYPE_QUEUE), static_cast<std::uint32_t>(BPF_MAP_TYPE_STACK)),
                         [](const auto& param) { return param.param == BPF_MAP_TYPE_STACK ? "Stack" : "Queue"; });

}  // namespace
}  // namespace skep::test
