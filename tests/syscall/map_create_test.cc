// BPF_MAP_CREATE. Linux: kernel/bpf/syscall.c:map_create() and each map's alloc_check.
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "bpf_calls.h"

namespace skep::test {
namespace {

class MapCreateTest : public BpfTest {
 protected:
  static void expect_refused(const MapSpec& spec, int error, const char* why) {
    EXPECT_THAT(map_create(spec), SyscallFailsWithErrno(error)) << why;
  }
};

const std::vector<MapSpec>& good_maps() {
  static const std::vector<MapSpec> maps = {
      {.type = BPF_MAP_TYPE_HASH, .key_size = 4, .value_size = 8, .max_entries = 4, .name = "hash"},
      {.type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 13, .max_entries = 4, .name = "array"},
      {.type = BPF_MAP_TYPE_PERCPU_HASH, .key_size = 7, .value_size = 3, .max_entries = 4, .name = "percpu_hash"},
      {.type = BPF_MAP_TYPE_PERCPU_ARRAY, .key_size = 4, .value_size = 3, .max_entries = 4, .name = "percpu_array"},
      {.type = BPF_MAP_TYPE_PERF_EVENT_ARRAY, .key_size = 4, .value_size = 4, .max_entries = 4, .name = "events"},
      {.type = BPF_MAP_TYPE_RINGBUF, .key_size = 0, .value_size = 0, .max_entries = 4096, .name = "ring"},
  };
  return maps;
}

TEST_F(MapCreateTest, EveryTypeAnswersWithACloseOnExecFd) {
  for (const MapSpec& spec : good_maps()) {
    const Fd map(map_create(spec));
    ASSERT_THAT(map.get(), SyscallSucceeds()) << spec.name;
    EXPECT_EQ(fcntl(map.get(), F_GETFD), FD_CLOEXEC) << spec.name;
    EXPECT_EQ(fcntl(map.get(), F_GETFL) & O_ACCMODE, O_RDWR) << spec.name;
  }
}

TEST_F(MapCreateTest, UsesTheLowestFreeFd) {
  const int lowest = open("/dev/null", O_RDONLY | O_CLOEXEC);
  ASSERT_GE(lowest, 0);
  close(lowest);
  const Fd map(map_create({}));
  EXPECT_EQ(map.get(), lowest);
}

TEST_F(MapCreateTest, FdIsKnownByItsLink) {
  const Fd map(map_create({}));
  ASSERT_THAT(map.get(), SyscallSucceeds());
  EXPECT_EQ(read_link("/proc/self/fd/" + std::to_string(map.get())), "anon_inode:bpf-map");
}

TEST_F(MapCreateTest, FdInfoTellsItsProperties) {
  const Fd map(
      map_create({.type = BPF_MAP_TYPE_HASH, .key_size = 4, .value_size = 13, .max_entries = 10240, .flags = BPF_F_NO_PREALLOC}));
  ASSERT_THAT(map.get(), SyscallSucceeds());
  EXPECT_EQ(fdinfo(map.get(), "map_type"), "1");
  EXPECT_EQ(fdinfo(map.get(), "key_size"), "4");
  EXPECT_EQ(fdinfo(map.get(), "value_size"), "13");
  EXPECT_EQ(fdinfo(map.get(), "max_entries"), "10240");
  EXPECT_EQ(fdinfo(map.get(), "map_flags"), "0x1");
  EXPECT_EQ(fdinfo(map.get(), "map_extra"), "0x0");
  EXPECT_EQ(fdinfo(map.get(), "map_id"), std::to_string(map_id(map.get())));
  EXPECT_EQ(fdinfo(map.get(), "frozen"), "0");
  EXPECT_NE(fdinfo(map.get(), "memlock"), "");
}

TEST_F(MapCreateTest, UnknownTypes) {
  expect_refused({.type = BPF_MAP_TYPE_UNSPEC}, EINVAL, "type 0");
  expect_refused({.type = 1000}, EINVAL, "type 1000");
  expect_refused({.type = 0xffffffff}, EINVAL, "type -1");
}

TEST_F(MapCreateTest, HashSizes) {
  for (const std::uint32_t type : {BPF_MAP_TYPE_HASH, BPF_MAP_TYPE_PERCPU_HASH}) {
    expect_refused({.type = type, .key_size = 0}, EINVAL, "no key");
    expect_refused({.type = type, .value_size = 0}, EINVAL, "no value");
    expect_refused({.type = type, .max_entries = 0}, EINVAL, "no entries");
    expect_refused({.type = type, .key_size = 1u << 30}, E2BIG, "a key of 1 GB");
    expect_refused({.type = type, .value_size = 1u << 30}, E2BIG, "a value of 1 GB");
    expect_refused({.type = type, .value_size = 0xffffffff}, E2BIG, "the longest value");
    expect_refused({.type = type, .key_size = 0xffffffff, .value_size = 0xffffffff}, E2BIG, "a sum that overflows");
  }
  // Linux: hashtab.c:htab_map_alloc_check() bounds a per-CPU value by PCPU_MIN_UNIT_SIZE.
  expect_refused({.type = BPF_MAP_TYPE_PERCPU_HASH, .value_size = 32768 + 8}, E2BIG, "a per-CPU value above 32 KB");
  const Fd percpu(map_create({.type = BPF_MAP_TYPE_PERCPU_HASH, .value_size = 32768, .max_entries = 1}));
  EXPECT_THAT(percpu.get(), SyscallSucceeds());
  expect_refused({.max_entries = 0xffffffff}, E2BIG, "more than 2^31 entries");
}

TEST_F(MapCreateTest, HashKeysMayBeLong) {
  const Fd map(map_create({.key_size = 4096, .value_size = 1, .max_entries = 1}));
  EXPECT_THAT(map.get(), SyscallSucceeds());
}

TEST_F(MapCreateTest, ArraySizes) {
  for (const std::uint32_t type : {BPF_MAP_TYPE_ARRAY, BPF_MAP_TYPE_PERCPU_ARRAY}) {
    for (const std::uint32_t key_size : {0u, 1u, 3u, 8u}) expect_refused({.type = type, .key_size = key_size}, EINVAL, "key not 4");
    expect_refused({.type = type, .value_size = 0}, EINVAL, "no value");
    expect_refused({.type = type, .max_entries = 0}, EINVAL, "no entries");
    expect_refused({.type = type, .value_size = 0x80000000u}, E2BIG, "a value above INT_MAX");
  }
  expect_refused({.type = BPF_MAP_TYPE_PERCPU_ARRAY, .value_size = 32768 + 8}, E2BIG, "a per-CPU value above 32 KB");
}

TEST_F(MapCreateTest, RingBufferSizes) {
  const auto page = static_cast<std::uint32_t>(getpagesize());
  const auto ring = [](std::uint32_t size) {
    return MapSpec{.type = BPF_MAP_TYPE_RINGBUF, .key_size = 0, .value_size = 0, .max_entries = size};
  };
  for (const std::uint32_t size : {0u, 1u, page / 2, page + 1, 3 * page, 5 * page}) expect_refused(ring(size), EINVAL, "size");
  for (const std::uint32_t size : {page, 2 * page, 64 * page}) {
    const Fd map(map_create(ring(size)));
    EXPECT_THAT(map.get(), SyscallSucceeds()) << size;
  }
  expect_refused({.type = BPF_MAP_TYPE_RINGBUF, .key_size = 4, .value_size = 0, .max_entries = page}, EINVAL, "a key");
  expect_refused({.type = BPF_MAP_TYPE_RINGBUF, .key_size = 0, .value_size = 4, .max_entries = page}, EINVAL, "a value");
  expect_refused({.type = BPF_MAP_TYPE_RINGBUF, .key_size = 0, .value_size = 0, .max_entries = page, .flags = BPF_F_NO_PREALLOC},
                 EINVAL, "a flag that is not its own");
}

TEST_F(MapCreateTest, PerfEventArraySizes) {
  const auto type = BPF_MAP_TYPE_PERF_EVENT_ARRAY;
  expect_refused({.type = type, .key_size = 8, .value_size = 4}, EINVAL, "key");
  expect_refused({.type = type, .key_size = 4, .value_size = 8}, EINVAL, "value");
  expect_refused({.type = type, .key_size = 4, .value_size = 4, .max_entries = 0}, EINVAL, "no entries");
  expect_refused({.type = type, .key_size = 4, .value_size = 4, .flags = BPF_F_RDONLY_PROG}, EINVAL, "access by programs");
}

TEST_F(MapCreateTest, Flags) {
  for (const std::uint32_t flag : {static_cast<std::uint32_t>(BPF_F_STACK_BUILD_ID), static_cast<std::uint32_t>(BPF_F_CLONE),
                                   static_cast<std::uint32_t>(BPF_F_MMAPABLE), static_cast<std::uint32_t>(BPF_F_PRESERVE_ELEMS),
                                   static_cast<std::uint32_t>(BPF_F_INNER_MAP), 1u << 30, 1u << 31})
    expect_refused({.type = BPF_MAP_TYPE_HASH, .flags = flag}, EINVAL, "not a flag of a hash");
  for (const std::uint32_t flag :
       {static_cast<std::uint32_t>(BPF_F_NO_PREALLOC), static_cast<std::uint32_t>(BPF_F_NO_COMMON_LRU),
        static_cast<std::uint32_t>(BPF_F_ZERO_SEED), static_cast<std::uint32_t>(BPF_F_PRESERVE_ELEMS), 1u << 30})
    expect_refused({.type = BPF_MAP_TYPE_ARRAY, .flags = flag}, EINVAL, "not a flag of an array");
  expect_refused({.type = BPF_MAP_TYPE_HASH, .flags = BPF_F_NO_COMMON_LRU}, EINVAL, "only an LRU's");
  expect_refused({.type = BPF_MAP_TYPE_PERCPU_ARRAY, .flags = BPF_F_MMAPABLE}, EINVAL, "a per-CPU array cannot be mapped");
  for (const std::uint32_t type : {BPF_MAP_TYPE_HASH, BPF_MAP_TYPE_ARRAY}) {
    expect_refused({.type = type, .flags = BPF_F_RDONLY | BPF_F_WRONLY}, EINVAL, "both accesses refused");
    expect_refused({.type = type, .flags = BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG}, EINVAL, "both program accesses refused");
    for (const std::uint32_t flag : {BPF_F_RDONLY, BPF_F_WRONLY, BPF_F_RDONLY_PROG, BPF_F_WRONLY_PROG}) {
      const Fd map(map_create({.type = type, .flags = flag}));
      EXPECT_THAT(map.get(), SyscallSucceeds()) << flag;
    }
  }
  for (const std::uint32_t flag : {BPF_F_NO_PREALLOC, BPF_F_ZERO_SEED}) {
    const Fd map(map_create({.type = BPF_MAP_TYPE_HASH, .flags = flag}));
    EXPECT_THAT(map.get(), SyscallSucceeds()) << flag;
  }
  const Fd mmapable(map_create({.type = BPF_MAP_TYPE_ARRAY, .flags = BPF_F_MMAPABLE}));
  EXPECT_THAT(mmapable.get(), SyscallSucceeds());
  const Fd preserving(map_create({.type = BPF_MAP_TYPE_PERF_EVENT_ARRAY, .value_size = 4, .flags = BPF_F_PRESERVE_ELEMS}));
  EXPECT_THAT(preserving.get(), SyscallSucceeds());
}

TEST_F(MapCreateTest, NumaNode) {
  union bpf_attr attr = map_attr({.flags = BPF_F_NUMA_NODE});
  const Fd map(bpf(BPF_MAP_CREATE, attr));
  EXPECT_THAT(map.get(), SyscallSucceeds());
  attr.numa_node = 100000;
  EXPECT_THAT(bpf(BPF_MAP_CREATE, attr), SyscallFailsWithErrno(EINVAL));
}

TEST_F(MapCreateTest, Names) {
  // Letters are those of the kernel's ctype table, which is Latin-1.
  for (const char* name : {"", "a", "_", "a.b", "Ab_9.", "fifteen_letters", "caf\xe9"}) {
    const Fd map(map_create({.name = name}));
    EXPECT_THAT(map.get(), SyscallSucceeds()) << name;
  }
  for (const char* name : {"a b", "a-b", "a/b", "\x80", "a\n", "%", "sixteen__letters"})
    EXPECT_THAT(map_create({.name = name}), SyscallFailsWithErrno(EINVAL)) << name;
}

TEST_F(MapCreateTest, BytesBehindTheNameAreDropped) {
  // Linux: syscall.c:bpf_obj_name_cpy() reads to the first zero; the rest is not looked at.
  union bpf_attr attr = map_attr({.name = "a"});
  attr.map_name[3] = 'b';
  const Fd map(bpf(BPF_MAP_CREATE, attr));
  ASSERT_THAT(map.get(), SyscallSucceeds());
  Guarded<struct bpf_map_info> info;
  std::uint32_t len = sizeof *info;
  ASSERT_THAT(obj_get_info(map.get(), info.get(), &len), SyscallSucceeds());
  EXPECT_STREQ(info->name, "a");
  EXPECT_EQ(info->name[3], '\0');
}

TEST_F(MapCreateTest, MapExtraBelongsToOtherTypes) {
  union bpf_attr attr = map_attr({});
  attr.map_extra = 1;
  EXPECT_THAT(bpf(BPF_MAP_CREATE, attr), SyscallFailsWithErrno(EINVAL));
}

TEST_F(MapCreateTest, TypeOfKeyAndValue) {
  const std::vector<unsigned char> data = minimal_btf();
  const Fd btf(btf_load(data.data(), static_cast<std::uint32_t>(data.size())));
  ASSERT_THAT(btf.get(), SyscallSucceeds());
  union bpf_attr attr = map_attr({.type = BPF_MAP_TYPE_ARRAY, .value_size = 4});
  attr.btf_fd = static_cast<std::uint32_t>(btf.get());
  attr.btf_key_type_id = 1;
  attr.btf_value_type_id = 1;
  const Fd map(bpf(BPF_MAP_CREATE, attr));
  EXPECT_THAT(map.get(), SyscallSucceeds());

  union bpf_attr bad = attr;
  bad.btf_value_type_id = 0;
  EXPECT_THAT(bpf(BPF_MAP_CREATE, bad), SyscallFailsWithErrno(EINVAL)) << "a key's type without a value's";
  bad = attr;
  bad.btf_value_type_id = 2;
  EXPECT_THAT(bpf(BPF_MAP_CREATE, bad), SyscallFailsWithErrno(EINVAL)) << "no such type";
  bad = attr;
  bad.value_size = 8;
  EXPECT_THAT(bpf(BPF_MAP_CREATE, bad), SyscallFailsWithErrno(EINVAL)) << "a type of another size";
  bad = attr;
  bad.btf_fd = 9999;
  EXPECT_THAT(bpf(BPF_MAP_CREATE, bad), SyscallFailsWithErrno(EBADF)) << "no such fd";
  bad = attr;
  bad.btf_fd = static_cast<std::uint32_t>(map.get());
  EXPECT_THAT(bpf(BPF_MAP_CREATE, bad), SyscallFailsWithErrno(EINVAL)) << "an fd that is no BTF";
}

TEST_F(MapCreateTest, FullFdTable) {
  const Fd room(map_create({}));
  ASSERT_THAT(room.get(), SyscallSucceeds());
  std::vector<Fd> fill;
  struct Limit {
    rlimit before{};
    Limit() { getrlimit(RLIMIT_NOFILE, &before); }
    ~Limit() { setrlimit(RLIMIT_NOFILE, &before); }
  } limit;
  rlimit small = limit.before;
  small.rlim_cur = static_cast<rlim_t>(room.get()) + 3;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &small), 0);
  for (long fd = dup(room.get()); fd >= 0; fd = dup(room.get())) fill.emplace_back(fd);
  EXPECT_THAT(map_create({}), SyscallFailsWithErrno(EMFILE));
}

}  // namespace
}  // namespace skep::test
