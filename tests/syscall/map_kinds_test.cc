// The kinds of maps beside hashes and arrays: how they are made; and those whose elements skep does not have yet: that they are honestly
// empty. Elements of LRU hashes and LPM tries: map_lru_test.cc, map_lpm_test.cc.
// Linux: each kind's map_alloc_check and map_alloc in kernel/bpf/, net/core/sock_map.c, net/xdp/xskmap.c
#include "bpf_calls.h"
#include "program_text.h"
#include "btf_text.h"

namespace skep::test {
namespace {

constexpr std::uint32_t kCgrpStorage = 32;  // BPF_MAP_TYPE_CGRP_STORAGE, newer than some headers
constexpr std::uint32_t kMaxBlock = 4u << 20;

struct Made {
  MapSpec spec;
  bool btf = false;  ///< with an int as key and as value
  std::uint64_t extra = 0;
};

class MapKindsTest : public BpfTest {
 protected:
  static long create(const Made& m) {
    union bpf_attr attr = map_attr(m.spec);
    attr.map_extra = m.extra;
    if (!m.btf) return bpf(BPF_MAP_CREATE, attr);
    BtfText text;
    const std::uint32_t number = text.integer("int", 4);
    const std::uint32_t bytes = text.structure("bytes", m.spec.value_size, {{"first", number, 0}});
    const std::vector<unsigned char> data = text.build();
    const Fd btf(btf_load(data.data(), static_cast<std::uint32_t>(data.size())));
    attr.btf_fd = static_cast<std::uint32_t>(btf.get());
    attr.btf_key_type_id = number;
    attr.btf_value_type_id = bytes;
    return bpf(BPF_MAP_CREATE, attr);
  }
  static void expect_made(const Made& m) {
    const Fd map(create(m));
    EXPECT_THAT(map.get(), SyscallSucceeds()) << m.spec.type;
  }
  static void expect_refused(const Made& m, int error, const char* why) {
    const Fd map(create(m));
    EXPECT_THAT(map.get(), SyscallFailsWithErrno(error)) << m.spec.type << ": " << why;
  }
};

const std::vector<Made>& good() {
  static const std::vector<Made> made = {
      {{.type = BPF_MAP_TYPE_STACK_TRACE, .key_size = 4, .value_size = 80, .max_entries = 5, .name = "stack_trace"}},
      {{.type = BPF_MAP_TYPE_CGROUP_ARRAY, .key_size = 4, .value_size = 4, .max_entries = 5, .name = "cgroup_array"}},
      {{.type = BPF_MAP_TYPE_LRU_HASH, .key_size = 6, .value_size = 7, .max_entries = 8, .name = "lru_hash"}},
      {{.type = BPF_MAP_TYPE_LRU_PERCPU_HASH, .key_size = 6, .value_size = 7, .max_entries = 8, .name = "lru_percpu"}},
      {{.type = BPF_MAP_TYPE_LPM_TRIE, .key_size = 8, .value_size = 4, .max_entries = 5, .flags = BPF_F_NO_PREALLOC, .name = "lpm"}},
      {{.type = BPF_MAP_TYPE_DEVMAP, .key_size = 4, .value_size = 8, .max_entries = 5, .name = "devmap"}},
      {{.type = BPF_MAP_TYPE_DEVMAP_HASH, .key_size = 4, .value_size = 4, .max_entries = 5, .name = "devmap_hash"}},
      {{.type = BPF_MAP_TYPE_CPUMAP, .key_size = 4, .value_size = 8, .max_entries = 2, .name = "cpumap"}},
      {{.type = BPF_MAP_TYPE_XSKMAP, .key_size = 4, .value_size = 4, .max_entries = 5, .name = "xskmap"}},
      {{.type = BPF_MAP_TYPE_SOCKMAP, .key_size = 4, .value_size = 8, .max_entries = 5, .name = "sockmap"}},
      {{.type = BPF_MAP_TYPE_SOCKHASH, .key_size = 9, .value_size = 8, .max_entries = 5, .name = "sockhash"}},
      {{.type = BPF_MAP_TYPE_REUSEPORT_SOCKARRAY, .key_size = 4, .value_size = 8, .max_entries = 5, .name = "reuseport"}},
      {{.type = BPF_MAP_TYPE_CGROUP_STORAGE, .key_size = 16, .value_size = 4, .max_entries = 0, .name = "cg_storage"}},
      {{.type = BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE, .key_size = 8, .value_size = 4, .max_entries = 0, .name = "pc_storage"}},
      {{.type = BPF_MAP_TYPE_SK_STORAGE, .value_size = 4, .max_entries = 0, .flags = BPF_F_NO_PREALLOC, .name = "sk"}, true},
      {{.type = BPF_MAP_TYPE_TASK_STORAGE, .value_size = 4, .max_entries = 0, .flags = BPF_F_NO_PREALLOC, .name = "task"}, true},
      {{.type = kCgrpStorage, .value_size = 4, .max_entries = 0, .flags = BPF_F_NO_PREALLOC, .name = "cgrp"}, true},
      {{.type = BPF_MAP_TYPE_BLOOM_FILTER, .key_size = 0, .value_size = 4, .max_entries = 5, .name = "bloom"}, false, 3},
      {{.type = BPF_MAP_TYPE_USER_RINGBUF, .key_size = 0, .value_size = 0, .max_entries = 4096, .name = "user_ring"}},
  };
  return made;
}

const Made& good(std::uint32_t type) {
  for (const Made& m : good())
    if (m.spec.type == type) return m;
  ADD_FAILURE() << type;
  return good().front();
}
Made with_key(std::uint32_t type, std::uint32_t key_size) {
  Made m = good(type);
  m.spec.key_size = key_size;
  return m;
}
Made with_value(std::uint32_t type, std::uint32_t value_size) {
  Made m = good(type);
  m.spec.value_size = value_size;
  return m;
}
Made with_entries(std::uint32_t type, std::uint32_t max_entries) {
  Made m = good(type);
  m.spec.max_entries = max_entries;
  return m;
}
/// In place of the flags it has.
Made with_flags(std::uint32_t type, std::uint32_t flags) {
  Made m = good(type);
  m.spec.flags = flags;
  return m;
}

TEST_F(MapKindsTest, TellTheirProperties) {
  for (const Made& m : good()) {
    const Fd map(create(m));
    ASSERT_THAT(map.get(), SyscallSucceeds()) << m.spec.name;
    Guarded<struct bpf_map_info> info;
    std::uint32_t size = sizeof *info;
    ASSERT_THAT(obj_get_info(map.get(), info.get(), &size), SyscallSucceeds());
    EXPECT_EQ(info->type, m.spec.type);
    EXPECT_EQ(info->key_size, m.spec.key_size) << m.spec.name;
    EXPECT_EQ(info->value_size, m.spec.value_size) << m.spec.name;
    EXPECT_EQ(info->max_entries, m.spec.max_entries) << m.spec.name;
    EXPECT_EQ(info->map_extra, m.extra) << m.spec.name;
    EXPECT_STREQ(info->name, m.spec.name);
    const bool devmap = m.spec.type == BPF_MAP_TYPE_DEVMAP || m.spec.type == BPF_MAP_TYPE_DEVMAP_HASH;
    EXPECT_EQ(info->map_flags, m.spec.flags | (devmap ? static_cast<unsigned>(BPF_F_RDONLY_PROG) : 0u)) << m.spec.name;
    EXPECT_TRUE(id_exists(BPF_MAP_GET_FD_BY_ID, info->id)) << m.spec.name;
    EXPECT_EQ(fdinfo(map.get(), "map_type"), std::to_string(m.spec.type));
    EXPECT_NE(fdinfo(map.get(), "memlock"), "");
  }
}

TEST_F(MapKindsTest, UnknownFlagsAndSizes) {
  for (const Made& m : good()) {
    Made bad = m;
    bad.spec.flags |= 1u << 29;
    expect_refused(bad, EINVAL, "flag");
    bad = m;
    bad.spec.flags |= BPF_F_RDONLY | BPF_F_WRONLY;
    expect_refused(bad, EINVAL, "neither readable nor writable");
    bad = m;
    bad.spec.max_entries = m.spec.max_entries == 0 ? 1 : 0;
    expect_refused(bad, EINVAL, "max_entries");
    bad = m;
    bad.extra |= 0x10;
    expect_refused(bad, EINVAL, "map_extra");
    if (m.spec.key_size != 0 && m.spec.key_size != 9 && m.spec.key_size != 6) {
      bad = m;
      bad.spec.key_size = 3;
      expect_refused(bad, EINVAL, "key_size");
    }
  }
}

TEST_F(MapKindsTest, StackTrace) {
  constexpr std::uint32_t type = BPF_MAP_TYPE_STACK_TRACE;
  expect_refused(with_value(type, 4), EINVAL, "no address fits");
  expect_refused(with_value(type, 81), EINVAL, "not whole addresses");
  expect_made(with_value(type, 127 * 8));
  expect_refused(with_value(type, 128 * 8), EINVAL, "deeper than stacks are recorded");
  expect_refused(with_flags(type, BPF_F_STACK_BUILD_ID), EINVAL, "not whole build ids");
  Made m = with_flags(type, BPF_F_STACK_BUILD_ID);
  m.spec.value_size = 64;
  expect_made(m);
  expect_refused(with_flags(type, BPF_F_RDONLY_PROG), EINVAL, "flags");
  expect_refused(with_entries(type, (1u << 31) + 1), E2BIG, "buckets");
}

TEST_F(MapKindsTest, CgroupArray) {
  constexpr std::uint32_t type = BPF_MAP_TYPE_CGROUP_ARRAY;
  expect_refused(with_value(type, 8), EINVAL, "values are fds");
  expect_refused(with_flags(type, BPF_F_RDONLY_PROG), EINVAL, "flags");
  expect_refused(with_flags(type, BPF_F_MMAPABLE), EINVAL, "flags");
  expect_made(with_flags(type, BPF_F_RDONLY));
}

TEST_F(MapKindsTest, LruHashes) {
  for (const std::uint32_t type : {BPF_MAP_TYPE_LRU_HASH, BPF_MAP_TYPE_LRU_PERCPU_HASH}) {
    expect_refused(with_flags(type, BPF_F_NO_PREALLOC), kENOTSUPP, "always preallocated");
    expect_made(with_flags(type, BPF_F_NO_COMMON_LRU));
    expect_refused(with_flags(type, BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG), EINVAL, "flags");
    expect_refused(with_key(type, 0), EINVAL, "no key");
    expect_refused(with_value(type, 0), EINVAL, "no value");
    expect_refused(with_value(type, kMaxBlock), E2BIG, "value");
  }
  expect_refused(with_value(BPF_MAP_TYPE_LRU_PERCPU_HASH, 32769), E2BIG, "value of a CPU");
}

TEST_F(MapKindsTest, LruOfEachCpuIsRoundedToTheCpus) {
  Made m = with_flags(BPF_MAP_TYPE_LRU_HASH, BPF_F_NO_COMMON_LRU);
  const unsigned cpus = possible_cpus();
  m.spec.max_entries = cpus + 1;
  const Fd map(create(m));
  Guarded<struct bpf_map_info> info;
  std::uint32_t size = sizeof *info;
  ASSERT_THAT(obj_get_info(map.get(), info.get(), &size), SyscallSucceeds());
  EXPECT_EQ(info->max_entries, cpus == 1 ? 2 : 2 * cpus);
}

TEST_F(MapKindsTest, LpmTrie) {
  constexpr std::uint32_t type = BPF_MAP_TYPE_LPM_TRIE;
  expect_refused(with_flags(type, 0), EINVAL, "never preallocated");
  expect_refused(with_key(type, 4), EINVAL, "no data");
  expect_made(with_key(type, 5));
  expect_made(with_key(type, 260));
  expect_refused(with_key(type, 261), EINVAL, "too much data");
  expect_refused(with_value(type, 0), EINVAL, "no value");
  expect_refused(with_value(type, kMaxBlock), EINVAL, "value");
}

TEST_F(MapKindsTest, Redirections) {
  for (const std::uint32_t type : {BPF_MAP_TYPE_DEVMAP, BPF_MAP_TYPE_DEVMAP_HASH, BPF_MAP_TYPE_CPUMAP}) {
    expect_made(with_value(type, 4));
    expect_made(with_value(type, 8));
    expect_refused(with_value(type, 12), EINVAL, "value");
    expect_refused(with_flags(type, BPF_F_RDONLY_PROG), EINVAL, "flags");
  }
  expect_made(with_flags(BPF_MAP_TYPE_DEVMAP, BPF_F_RDONLY));
  expect_refused(with_flags(BPF_MAP_TYPE_CPUMAP, BPF_F_RDONLY), EINVAL, "flags");
  expect_refused(with_entries(BPF_MAP_TYPE_CPUMAP, 1u << 20), E2BIG, "no machine has as many");
  expect_refused(with_entries(BPF_MAP_TYPE_DEVMAP_HASH, (1u << 31) + 1), EINVAL, "buckets");
  expect_refused(with_value(BPF_MAP_TYPE_XSKMAP, 8), EINVAL, "value");
  expect_refused(with_flags(BPF_MAP_TYPE_XSKMAP, BPF_F_WRONLY_PROG), EINVAL, "flags");
}

TEST_F(MapKindsTest, Sockets) {
  for (const std::uint32_t type : {BPF_MAP_TYPE_SOCKMAP, BPF_MAP_TYPE_SOCKHASH}) {
    expect_made(with_value(type, 4));
    expect_refused(with_value(type, 5), EINVAL, "value");
    expect_refused(with_flags(type, BPF_F_RDONLY_PROG), EINVAL, "flags");
    // Not natively: kernels without this check take gigabytes for it.
    if (!native()) expect_refused(with_entries(type, 1u << 31), EINVAL, "max_entries");
  }
  expect_refused(with_key(BPF_MAP_TYPE_SOCKHASH, 0), EINVAL, "no key");
  expect_made(with_key(BPF_MAP_TYPE_SOCKHASH, 512));
  expect_refused(with_key(BPF_MAP_TYPE_SOCKHASH, 513), E2BIG, "no stack has such a key");
  expect_made(with_value(BPF_MAP_TYPE_REUSEPORT_SOCKARRAY, 4));
  expect_refused(with_value(BPF_MAP_TYPE_REUSEPORT_SOCKARRAY, 6), EINVAL, "value");
  expect_refused(with_flags(BPF_MAP_TYPE_REUSEPORT_SOCKARRAY, BPF_F_MMAPABLE), EINVAL, "flags");
}

TEST_F(MapKindsTest, CgroupStorages) {
  for (const std::uint32_t type : {BPF_MAP_TYPE_CGROUP_STORAGE, BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE}) {
    expect_made(with_key(type, 8));
    expect_made(with_key(type, 16));
    expect_refused(with_key(type, 12), EINVAL, "key");
    expect_refused(with_value(type, 0), EINVAL, "no value");
    expect_made(with_value(type, 32768));
    expect_made(with_flags(type, BPF_F_RDONLY_PROG));
    expect_refused(with_flags(type, BPF_F_NO_PREALLOC), EINVAL, "flags");
  }
  expect_refused(with_value(BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE, 32769), E2BIG, "value of a CPU");
  expect_made(with_value(BPF_MAP_TYPE_CGROUP_STORAGE, 32769));
  expect_refused(with_value(BPF_MAP_TYPE_CGROUP_STORAGE, 65536), E2BIG, "value");
}

TEST_F(MapKindsTest, LocalStorages) {
  for (const std::uint32_t type : {static_cast<std::uint32_t>(BPF_MAP_TYPE_SK_STORAGE), static_cast<std::uint32_t>(BPF_MAP_TYPE_TASK_STORAGE),
                                   kCgrpStorage}) {
    Made m = good(type);
    m.btf = false;
    expect_refused(m, EINVAL, "types are a must");
    expect_refused(with_flags(type, 0), EINVAL, "never preallocated");
    expect_made(with_flags(type, BPF_F_NO_PREALLOC | BPF_F_CLONE));
    expect_refused(with_flags(type, BPF_F_NO_PREALLOC | BPF_F_RDONLY), EINVAL, "flags");
    expect_refused(with_value(type, 65536), E2BIG, "value");
    expect_made(with_value(type, 65400));
  }
}

TEST_F(MapKindsTest, BloomFilter) {
  constexpr std::uint32_t type = BPF_MAP_TYPE_BLOOM_FILTER;
  expect_refused(with_key(type, 4), EINVAL, "no keys");
  expect_refused(with_value(type, 0), EINVAL, "no value");
  expect_refused(with_value(type, kMaxBlock + 1), E2BIG, "value");
  expect_refused(with_flags(type, BPF_F_NO_PREALLOC), EINVAL, "flags");
  expect_made(with_flags(type, BPF_F_ZERO_SEED | BPF_F_RDONLY_PROG));
  Made m = good(type);
  m.extra = 0xf;
  expect_made(m);
}

TEST_F(MapKindsTest, BloomFilterFromUserSpace) {
  const Fd map(create(good(BPF_MAP_TYPE_BLOOM_FILTER)));
  std::uint32_t value = 1, key = 0;
  EXPECT_THAT(map_lookup(map.get(), nullptr, &value), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(map_update(map.get(), nullptr, &value), SyscallSucceeds());
  EXPECT_THAT(map_lookup(map.get(), nullptr, &value), SyscallSucceeds());
  EXPECT_EQ(value, 1u);
  EXPECT_THAT(map_update(map.get(), nullptr, &value), SyscallSucceeds()) << "again";
  EXPECT_THAT(map_update(map.get(), nullptr, &value, BPF_NOEXIST), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(map_update(map.get(), nullptr, &value, BPF_EXIST), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(map_update(map.get(), &key, &value), SyscallFailsWithErrno(EINVAL)) << "a key";
  EXPECT_THAT(map_update(map.get(), nullptr, bad_pointer()), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(map_lookup(map.get(), nullptr, bad_pointer()), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(map_get_next_key(map.get(), nullptr, &key), SyscallFailsWithErrno(EOPNOTSUPP));
  EXPECT_THAT(map_delete(map.get(), nullptr), SyscallFailsWithErrno(EOPNOTSUPP));
  EXPECT_THAT(map_lookup_and_delete(map.get(), nullptr, &value), SyscallFailsWithErrno(kENOTSUPP));
}

TEST_F(MapKindsTest, BloomFilterFromAProgram) {
  const Fd map(create(good(BPF_MAP_TYPE_BLOOM_FILTER)));
  // Looks for 7, puts 7 in, looks again: first answer * 16 + second, negated.
  const auto helper = [&](ProgramText& text, int id) -> ProgramText& {
    return text.map_fd(R1, map.get()).mov(R2, R10).alu(BPF_ADD, R2, -8).mov(R3, 0).call(id);
  };
  ProgramText text;
  text.store(BPF_DW, R10, -8, 7);
  helper(text, BPF_FUNC_map_peek_elem).mov(R6, R0);
  helper(text, BPF_FUNC_map_push_elem);
  helper(text, BPF_FUNC_map_peek_elem).alu(BPF_MUL, R6, 16).raw(insn(BPF_ALU64 | BPF_ADD | BPF_X, R0, R6, 0, 0)).alu(BPF_MUL, R0, -1).exit();
  const Fd prog(prog_load({.insns = text.build()}));
  ASSERT_THAT(prog.get(), SyscallSucceeds());
  unsigned char packet[64] = {};
  union bpf_attr attr = zero_attr();
  attr.test.prog_fd = static_cast<std::uint32_t>(prog.get());
  attr.test.data_in = user_ptr(packet);
  attr.test.data_size_in = sizeof packet;
  ASSERT_THAT(bpf(BPF_PROG_TEST_RUN, attr), SyscallSucceeds());
  EXPECT_EQ(attr.test.retval, 16u * ENOENT);
  std::uint32_t value = 7;
  EXPECT_THAT(map_lookup(map.get(), nullptr, &value), SyscallSucceeds());
}

TEST_F(MapKindsTest, UserRingbuf) {
  constexpr std::uint32_t type = BPF_MAP_TYPE_USER_RINGBUF;
  expect_refused(with_key(type, 4), EINVAL, "no keys");
  expect_refused(with_value(type, 4), EINVAL, "no values");
  expect_refused(with_entries(type, 12288), EINVAL, "no power of two");
  expect_refused(with_entries(type, 2048), EINVAL, "no page");
  expect_refused(with_flags(type, BPF_F_RDONLY_PROG), EINVAL, "flags");
}

/// What an empty map of the kind answers. Keys of the storages are fds: these have other errors before "none".
struct Empty {
  std::uint32_t type;
  int lookup, next;  ///< errno, 0 for success
  int update;        ///< what both answer always; 0: natively anything but what skep says, which is EOPNOTSUPP
};

TEST_F(MapKindsTest, AreEmpty) {
  const Empty expected[] = {
      {BPF_MAP_TYPE_STACK_TRACE, ENOENT, ENOENT, EINVAL},
      {BPF_MAP_TYPE_CGROUP_ARRAY, kENOTSUPP, 0, EBADF},
      {BPF_MAP_TYPE_DEVMAP, ENOENT, 0, 0},
      {BPF_MAP_TYPE_DEVMAP_HASH, ENOENT, ENOENT, 0},
      {BPF_MAP_TYPE_CPUMAP, ENOENT, 0, 0},
      {BPF_MAP_TYPE_XSKMAP, EOPNOTSUPP, 0, 0},
      {BPF_MAP_TYPE_SOCKMAP, ENOENT, 0, 0},
      {BPF_MAP_TYPE_SOCKHASH, ENOENT, ENOENT, 0},
      {BPF_MAP_TYPE_REUSEPORT_SOCKARRAY, ENOENT, 0, 0},
      {BPF_MAP_TYPE_CGROUP_STORAGE, ENOENT, ENOENT, 0},
      {BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE, ENOENT, ENOENT, 0},
      {BPF_MAP_TYPE_SK_STORAGE, 0, kENOTSUPP, 0},
      {BPF_MAP_TYPE_TASK_STORAGE, 0, kENOTSUPP, 0},
      {kCgrpStorage, 0, kENOTSUPP, 0},
      {BPF_MAP_TYPE_USER_RINGBUF, kENOTSUPP, kENOTSUPP, kENOTSUPP},
  };
  const auto answer = [](int error) { return error == 0 ? SyscallSucceeds() : SyscallFailsWithErrno(error); };
  std::vector<unsigned char> zero_key(64), value(8 * (possible_cpus() + 512)), next(64);
  for (const Empty& e : expected) {
    const Made& m = good(e.type);
    const Fd map(create(m));
    ASSERT_THAT(map.get(), SyscallSucceeds()) << m.spec.name;
    const void* key = m.spec.key_size == 0 ? nullptr : zero_key.data();
    EXPECT_THAT(map_get_next_key(map.get(), nullptr, next.data()), answer(e.next)) << m.spec.name;
    if (e.lookup != 0) EXPECT_THAT(map_lookup(map.get(), key, value.data()), answer(e.lookup)) << m.spec.name;
    if (e.update != 0) {
      EXPECT_THAT(map_update(map.get(), key, value.data()), SyscallFailsWithErrno(e.update)) << m.spec.name;
    } else if (!native()) {
      EXPECT_THAT(map_update(map.get(), key, value.data()), SyscallFailsWithErrno(EOPNOTSUPP)) << m.spec.name;
      EXPECT_THAT(map_delete(map.get(), key), SyscallFailsWithErrno(EOPNOTSUPP)) << m.spec.name;
      EXPECT_THAT(map_update(map.get(), key, bad_pointer()), SyscallFailsWithErrno(EFAULT)) << m.spec.name;
    }
    EXPECT_THAT(map_update(map.get(), key, value.data(), BPF_F_LOCK), SyscallFailsWithErrno(EINVAL)) << m.spec.name;
  }
}

TEST_F(MapKindsTest, SocketsAreReadAsCookies) {
  std::uint64_t value = 0;
  const std::uint64_t key[2] = {};
  for (const std::uint32_t type : {BPF_MAP_TYPE_SOCKMAP, BPF_MAP_TYPE_SOCKHASH, BPF_MAP_TYPE_REUSEPORT_SOCKARRAY}) {
    const Fd map(create(with_value(type, 4)));
    EXPECT_THAT(map_lookup(map.get(), key, &value), SyscallFailsWithErrno(ENOSPC)) << type;
  }
}

}  // namespace
}  // namespace skep::test
