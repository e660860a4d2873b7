// The same requests to this machine's bpf(2) and to our tables: same answers. Skips where bpf(2) is refused.
// Pinned is 6.12; what a newer kernel answers otherwise would show here and be named.
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdio>

#include "maps/test_window.h"

namespace skep::test {
namespace {

long bpf(u32 cmd, const void* attr, u32 size) {
  const long r = syscall(SYS_bpf, cmd, attr, size);
  return r < 0 ? -errno : r;
}
long native_create(const MapSpec& s) {
  u32 attr[18] = {s.type, s.key_size, s.value_size, s.max_entries, s.map_flags, 0, s.numa_node};
  return bpf(BPF_MAP_CREATE, attr, sizeof(attr));
}
struct Elem {
  u32 fd, pad;
  u64 key, value, flags;
};
long native_elem(u32 cmd, long fd, const void* key, const void* value, u64 flags) {
  const Elem e{static_cast<u32>(fd), 0, reinterpret_cast<u64>(key), reinterpret_cast<u64>(value), flags};
  return bpf(cmd, &e, sizeof(e));
}
/// As libbpf's libbpf_num_possible_cpus() for "0" and "0-N".
u32 possible_cpus() {
  u32 first = 0, last = 0;
  FILE* f = fopen("/sys/devices/system/cpu/possible", "r");
  if (f == nullptr) return 0;
  const int n = fscanf(f, "%u-%u", &first, &last);
  fclose(f);
  return n == 2 ? last + 1 : n == 1 ? 1 : 0;
}

class Native : public testing::Test {
 protected:
  void SetUp() override {
    const long fd = native_create({.type = BPF_MAP_TYPE_ARRAY,
                                   .key_size = 4,
                                   .value_size = 4,
                                   .max_entries = 1,
                                   .map_flags = 0,
                                   .map_extra = 0,
                                   .numa_node = 0});
    if (fd < 0) GTEST_SKIP() << "bpf(2) answers " << fd;
    close(static_cast<int>(fd));
    if (possible_cpus() == 0) GTEST_SKIP() << "no count of CPUs";
  }
};

TEST_F(Native, CreationErrors) {
  Random rnd{2024};
  const u32 types[] = {BPF_MAP_TYPE_HASH,         BPF_MAP_TYPE_PERCPU_HASH,      BPF_MAP_TYPE_ARRAY,
                       BPF_MAP_TYPE_PERCPU_ARRAY, BPF_MAP_TYPE_PERF_EVENT_ARRAY, BPF_MAP_TYPE_RINGBUF};
  const u32 keys[] = {0, 1, 4, 4, 4, 4, 4, 8, 512, 513, (4u << 20) - 53, 4u << 20, ~0u};
  const u32 values[] = {0, 0, 1, 4, 4, 4, 8, 13, 512, 32768, 32769, (4u << 20) - 53, (4u << 20) - 52, 1u << 31, ~0u};
  const u32 entries[] = {0, 1, 2, 3, 100, 4096, 4096, 8192, 12288, (1u << 31) + 1};
  int good = 0, bad = 0;
  for (int i = 0; i < 30000; ++i) {
    MapSpec s{.type = types[rnd.below(6)],
              .key_size = keys[rnd.below(13)],
              .value_size = values[rnd.below(15)],
              .max_entries = entries[rnd.below(10)],
              .map_flags = 0,
              .map_extra = 0,
              .numa_node = 0};
    if (s.type == BPF_MAP_TYPE_RINGBUF && rnd.below(2) == 0) s.key_size = s.value_size = 0;
    for (u32 n = rnd.below(3); n != 0; --n) s.map_flags |= 1u << rnd.below(13);
    if (static_cast<u64>(s.max_entries) * (static_cast<u64>(s.key_size) + s.value_size) > 64 << 20 && s.max_entries <= 12288)
      continue;
    const MapOps* ops = map_ops(s.type);
    MapDesc d{};
    long ours = ops->alloc_check(s);
    if (ours == 0 && s.max_entries > 12288) continue;  // how much memory there is, is no matter of errnos
    if (ours == 0) ours = ops->layout(s, possible_cpus(), &d);
    // Linux: syscall.c:map_create() refuses this before it asks the kind.
    if ((s.map_flags & BPF_F_RDONLY) != 0 && (s.map_flags & BPF_F_WRONLY) != 0) continue;
    const long theirs = native_create(s);
    ASSERT_EQ(ours, theirs < 0 ? theirs : 0) << "type " << s.type << " key " << s.key_size << " value " << s.value_size
                                             << " entries " << s.max_entries << " flags " << s.map_flags;
    ++(theirs < 0 ? bad : good);
    if (theirs >= 0) close(static_cast<int>(theirs));
  }
  EXPECT_GT(good, 100);
  EXPECT_GT(bad, 1000);
}

TEST_F(Native, ElementOperations) {
  const u32 cpus = possible_cpus();
  TestWindow tw(cpus);
  for (const u32 type : {BPF_MAP_TYPE_HASH, BPF_MAP_TYPE_PERCPU_HASH, BPF_MAP_TYPE_ARRAY, BPF_MAP_TYPE_PERCPU_ARRAY}) {
    for (const u32 flags : {0u, BPF_F_NO_PREALLOC}) {
      const bool array = type == BPF_MAP_TYPE_ARRAY || type == BPF_MAP_TYPE_PERCPU_ARRAY;
      if (array && flags != 0) continue;
      const MapSpec s{
          .type = type, .key_size = 4, .value_size = 13, .max_entries = 20, .map_flags = flags, .map_extra = 0, .numa_node = 0};
      const Map m(tw.create(type, s.key_size, s.value_size, s.max_entries, flags));
      const long fd = native_create(s);
      ASSERT_GE(fd, 0);
      const OpCtx c = tw.ctx(200);
      const u64 size = map_syscall_value_size(*m.desc);
      std::vector<u8> value(size), ours(size), theirs(size);
      Random rnd{type};
      for (int i = 0; i < 20000; ++i) {
        const u32 key = rnd.below(30);
        const u64 f = rnd.below(3) == 0 ? rnd.below(10) : 0;
        for (u8& b : value) b = static_cast<u8>(rnd.next());
        // A kernel keeps the padding of a per-CPU value or not, by kind: only bytes of the value are compared.
        for (u64 at = 0; at < size; ++at)
          if (m.ops->per_cpu && at % 16 >= 13) value[at] = 0;
        std::fill(ours.begin(), ours.end(), u8{0xa5});
        theirs = ours;
        const u32 cmd = (const u32[]){
            BPF_MAP_UPDATE_ELEM, BPF_MAP_UPDATE_ELEM, BPF_MAP_LOOKUP_ELEM, BPF_MAP_DELETE_ELEM, BPF_MAP_LOOKUP_AND_DELETE_ELEM,
            BPF_MAP_GET_NEXT_KEY}[rnd.below(6)];
        long mine = 0;
        u32 next = 0;
        switch (cmd) {
          case BPF_MAP_UPDATE_ELEM:
            mine = m.ops->write_value(c, m.desc, &key, value.data(), f);
            ASSERT_EQ(mine, native_elem(cmd, fd, &key, value.data(), f)) << "type " << type << " flags " << f;
            break;
          case BPF_MAP_LOOKUP_ELEM:
            mine = m.ops->read_value(c, m.desc, &key, ours.data(), f);
            ASSERT_EQ(mine, native_elem(cmd, fd, &key, theirs.data(), f)) << "type " << type << " flags " << f;
            ASSERT_EQ(ours, theirs) << "type " << type;
            break;
          case BPF_MAP_DELETE_ELEM:
            mine = m.ops->erase(c, m.desc, &key);
            ASSERT_EQ(mine, native_elem(cmd, fd, &key, nullptr, 0)) << "type " << type;
            break;
          case BPF_MAP_LOOKUP_AND_DELETE_ELEM:
            mine = m.ops->take_value == nullptr ? (f & ~BPF_F_LOCK) != 0 || f != 0 ? -EINVAL : -524
                                                : m.ops->take_value(c, m.desc, &key, ours.data(), f);
            ASSERT_EQ(mine, native_elem(cmd, fd, &key, theirs.data(), f)) << "type " << type << " flags " << f;
            ASSERT_EQ(ours, theirs) << "type " << type;
            break;
          default:
            mine = m.ops->get_next_key(c, m.desc, &key, &next);
            u32 their_next = 0;
            const long r = native_elem(cmd, fd, &key, &their_next, 0);
            if (array) {
              ASSERT_EQ(mine, r);
              ASSERT_EQ(next, their_next);
            }
        }
      }
      close(static_cast<int>(fd));
    }
  }
}

}  // namespace
}  // namespace skep::test
