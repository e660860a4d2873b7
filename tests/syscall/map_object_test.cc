// Maps whose elements are programs or maps: PROG_ARRAY, ARRAY_OF_MAPS, HASH_OF_MAPS.
// Linux: kernel/bpf/arraymap.c, kernel/bpf/map_in_map.c, kernel/bpf/core.c:bpf_prog_map_compatible()
#include "bpf_calls.h"
#include "program_text.h"

namespace skep::test {
namespace {

constexpr MapSpec kInner = {.type = BPF_MAP_TYPE_HASH, .key_size = 4, .value_size = 8, .max_entries = 4};

long outer_create(std::uint32_t type, int inner, std::uint32_t max_entries = 4, std::uint32_t key_size = 4, std::uint32_t flags = 0) {
  union bpf_attr attr =
      map_attr({.type = type, .key_size = key_size, .value_size = 4, .max_entries = max_entries, .flags = flags, .name = "outer"});
  attr.inner_map_fd = static_cast<std::uint32_t>(inner);
  return bpf(BPF_MAP_CREATE, attr);
}

long trivial_prog(std::uint32_t type, std::uint32_t expected_attach_type = 0, int uses_map = -1) {
  ProgramText text;
  if (uses_map >= 0) text.map_fd(R1, uses_map);
  ProgSpec spec{.type = type, .insns = text.mov(R0, 0).exit().build()};
  spec.expected_attach_type = expected_attach_type;
  return prog_load(spec);
}

/// The id that user space reads at `key`, 0 with errno set when there is none.
std::uint32_t id_at(int map, std::uint32_t key) {
  std::uint32_t id = 0;
  return map_lookup(map, &key, &id) == 0 ? id : 0;
}
long put(int map, std::uint32_t key, int fd, std::uint64_t flags = BPF_ANY) { return map_update(map, &key, &fd, flags); }
long take_out(int map, std::uint32_t key) { return map_delete(map, &key); }

class ProgArrayTest : public BpfTest {
 protected:
  static MapSpec spec() { return {.type = BPF_MAP_TYPE_PROG_ARRAY, .key_size = 4, .value_size = 4, .max_entries = 3, .name = "progs"}; }
};

TEST_F(ProgArrayTest, HoldsPrograms) {
  const Fd map(map_create(spec()));
  ASSERT_THAT(map.get(), SyscallSucceeds());
  Fd prog(trivial_prog(BPF_PROG_TYPE_SOCKET_FILTER)), other(trivial_prog(BPF_PROG_TYPE_SOCKET_FILTER));
  const std::uint32_t id = prog_id(prog.get()), other_id = prog_id(other.get());
  EXPECT_EQ(id_at(map.get(), 1), 0u);
  ASSERT_THAT(put(map.get(), 1, prog.get()), SyscallSucceeds());
  EXPECT_EQ(id_at(map.get(), 1), id);
  prog.reset();
  EXPECT_TRUE(id_exists(BPF_PROG_GET_FD_BY_ID, id)) << "the map holds it";
  ASSERT_THAT(put(map.get(), 1, other.get()), SyscallSucceeds());
  EXPECT_EQ(id_at(map.get(), 1), other_id);
  EXPECT_TRUE(id_vanishes(BPF_PROG_GET_FD_BY_ID, id)) << "replaced";
  other.reset();
  EXPECT_THAT(take_out(map.get(), 1), SyscallSucceeds());
  EXPECT_TRUE(id_vanishes(BPF_PROG_GET_FD_BY_ID, other_id)) << "deleted";
  EXPECT_THAT(take_out(map.get(), 1), SyscallFailsWithErrno(ENOENT));
}

TEST_F(ProgArrayTest, Errors) {
  const Fd map(map_create(spec())), hash(map_create({})), prog(trivial_prog(BPF_PROG_TYPE_SOCKET_FILTER));
  ASSERT_THAT(map.get(), SyscallSucceeds());
  EXPECT_THAT(put(map.get(), 3, prog.get()), SyscallFailsWithErrno(E2BIG));
  EXPECT_THAT(put(map.get(), 0, prog.get(), BPF_NOEXIST), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(put(map.get(), 0, prog.get(), BPF_EXIST), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(put(map.get(), 3, -1, BPF_EXIST), SyscallFailsWithErrno(EINVAL)) << "flags before index";
  EXPECT_THAT(put(map.get(), 3, -1), SyscallFailsWithErrno(E2BIG)) << "index before fd";
  EXPECT_THAT(put(map.get(), 0, -1), SyscallFailsWithErrno(EBADF));
  EXPECT_THAT(put(map.get(), 0, hash.get()), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(take_out(map.get(), 3), SyscallFailsWithErrno(E2BIG));
  EXPECT_THAT(take_out(map.get(), 0), SyscallFailsWithErrno(ENOENT));
  const std::uint32_t beyond = 3, key = 0;
  std::uint32_t value = 0;
  EXPECT_THAT(map_lookup(map.get(), &beyond, &value), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(map_lookup(map.get(), &key, &value, BPF_F_LOCK), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(map_lookup_and_delete(map.get(), &key, &value), SyscallFailsWithErrno(kENOTSUPP));
  EXPECT_THAT(map_lookup(map.get(), &key, bad_pointer()), SyscallFailsWithErrno(ENOENT)) << "nothing to write";
}

TEST_F(ProgArrayTest, WalkIsAnArrays) {
  const Fd map(map_create(spec()));
  std::uint32_t next = 7;
  ASSERT_THAT(map_get_next_key(map.get(), nullptr, &next), SyscallSucceeds());
  EXPECT_EQ(next, 0u);
  const std::uint32_t last = 2;
  EXPECT_THAT(map_get_next_key(map.get(), &last, &next), SyscallFailsWithErrno(ENOENT));
}

TEST_F(ProgArrayTest, FirstProgramDecidesForAll) {
  const Fd map(map_create(spec()));
  const Fd filter(trivial_prog(BPF_PROG_TYPE_SOCKET_FILTER)), kprobe(trivial_prog(BPF_PROG_TYPE_KPROBE));
  ASSERT_THAT(kprobe.get(), SyscallSucceeds());
  ASSERT_THAT(put(map.get(), 0, filter.get()), SyscallSucceeds());
  EXPECT_THAT(put(map.get(), 1, kprobe.get()), SyscallFailsWithErrno(EINVAL));
  ASSERT_THAT(take_out(map.get(), 0), SyscallSucceeds());
  EXPECT_THAT(put(map.get(), 1, kprobe.get()), SyscallFailsWithErrno(EINVAL)) << "for ever";
}

TEST_F(ProgArrayTest, AttachTypesMustBeEqual) {
  const Fd map(map_create(spec()));
  const Fd bind4(trivial_prog(BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_CGROUP_INET4_BIND)),
      connect4(trivial_prog(BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_CGROUP_INET4_CONNECT));
  // A bind program may return 0 or 1, a connect program too.
  ASSERT_THAT(put(map.get(), 0, bind4.get()), SyscallSucceeds());
  EXPECT_THAT(put(map.get(), 1, connect4.get()), SyscallFailsWithErrno(EINVAL));
}

TEST_F(ProgArrayTest, LastUserEmptiesIt) {
  Fd map(map_create(spec())), prog(trivial_prog(BPF_PROG_TYPE_SOCKET_FILTER));
  const std::uint32_t map_is = map_id(map.get()), prog_is = prog_id(prog.get());
  ASSERT_THAT(put(map.get(), 0, prog.get()), SyscallSucceeds());
  prog.reset();
  // Another fd is a user too.
  Fd again(get_fd_by_id(BPF_MAP_GET_FD_BY_ID, map_is));
  map.reset();
  EXPECT_EQ(id_at(again.get(), 0), prog_is);
  again.reset();
  EXPECT_TRUE(id_vanishes(BPF_PROG_GET_FD_BY_ID, prog_is));
  EXPECT_TRUE(id_vanishes(BPF_MAP_GET_FD_BY_ID, map_is));
}

TEST_F(ProgArrayTest, ProgramThatHoldsTheMapThatHoldsIt) {
  Fd map(map_create(spec()));
  Fd prog(trivial_prog(BPF_PROG_TYPE_SOCKET_FILTER, 0, map.get()));
  ASSERT_THAT(prog.get(), SyscallSucceeds());
  const std::uint32_t map_is = map_id(map.get()), prog_is = prog_id(prog.get());
  ASSERT_THAT(put(map.get(), 2, prog.get()), SyscallSucceeds());
  prog.reset();
  EXPECT_TRUE(id_exists(BPF_PROG_GET_FD_BY_ID, prog_is));
  map.reset();
  EXPECT_TRUE(id_vanishes(BPF_PROG_GET_FD_BY_ID, prog_is));
  EXPECT_TRUE(id_vanishes(BPF_MAP_GET_FD_BY_ID, map_is));
}

TEST_F(ProgArrayTest, ProgramAloneDoesNotKeepItsElements) {
  Fd map(map_create(spec())), element(trivial_prog(BPF_PROG_TYPE_SOCKET_FILTER));
  const Fd user(trivial_prog(BPF_PROG_TYPE_SOCKET_FILTER, 0, map.get()));
  const std::uint32_t map_is = map_id(map.get()), element_is = prog_id(element.get());
  ASSERT_THAT(put(map.get(), 0, element.get()), SyscallSucceeds());
  element.reset();
  map.reset();
  EXPECT_TRUE(id_vanishes(BPF_PROG_GET_FD_BY_ID, element_is)) << "no user is left";
  const Fd again(get_fd_by_id(BPF_MAP_GET_FD_BY_ID, map_is));
  ASSERT_THAT(again.get(), SyscallSucceeds()) << "its program holds the map";
  EXPECT_EQ(id_at(again.get(), 0), 0u);
}

TEST_F(ProgArrayTest, PinIsAUser) {
  std::string why;
  const std::string& dir = bpffs_dir(&why);
  SKEP_NEEDS(why);
  const std::string path = dir + "/progs";
  Fd map(map_create(spec())), prog(trivial_prog(BPF_PROG_TYPE_SOCKET_FILTER));
  const std::uint32_t prog_is = prog_id(prog.get());
  ASSERT_THAT(put(map.get(), 0, prog.get()), SyscallSucceeds());
  ASSERT_THAT(obj_pin(map.get(), path), SyscallSucceeds());
  prog.reset();
  map.reset();
  EXPECT_TRUE(id_exists(BPF_PROG_GET_FD_BY_ID, prog_is));
  EXPECT_EQ(unlink(path.c_str()), 0);
  EXPECT_TRUE(id_vanishes(BPF_PROG_GET_FD_BY_ID, prog_is));
}

class MapOfMapsTest : public BpfTest, public testing::WithParamInterface<std::uint32_t> {
 protected:
  static bool hash() { return GetParam() == BPF_MAP_TYPE_HASH_OF_MAPS; }
};

TEST_P(MapOfMapsTest, HoldsMaps) {
  Fd meta(map_create(kInner));
  const Fd outer(outer_create(GetParam(), meta.get()));
  ASSERT_THAT(outer.get(), SyscallSucceeds());
  const std::uint32_t meta_is = map_id(meta.get());
  meta.reset();
  EXPECT_TRUE(id_vanishes(BPF_MAP_GET_FD_BY_ID, meta_is)) << "the map it was made with is not kept";

  Fd one(map_create(kInner)), two(map_create(kInner));
  const std::uint32_t one_is = map_id(one.get()), two_is = map_id(two.get());
  EXPECT_EQ(id_at(outer.get(), 1), 0u);
  ASSERT_THAT(put(outer.get(), 1, one.get()), SyscallSucceeds());
  EXPECT_EQ(id_at(outer.get(), 1), one_is);
  one.reset();
  EXPECT_TRUE(id_exists(BPF_MAP_GET_FD_BY_ID, one_is)) << "the outer map holds it";
  ASSERT_THAT(put(outer.get(), 1, two.get()), SyscallSucceeds());
  EXPECT_EQ(id_at(outer.get(), 1), two_is);
  EXPECT_TRUE(id_vanishes(BPF_MAP_GET_FD_BY_ID, one_is)) << "replaced";
  two.reset();
  EXPECT_THAT(take_out(outer.get(), 1), SyscallSucceeds());
  EXPECT_TRUE(id_vanishes(BPF_MAP_GET_FD_BY_ID, two_is)) << "deleted";
  EXPECT_THAT(take_out(outer.get(), 1), SyscallFailsWithErrno(ENOENT));
}

TEST_P(MapOfMapsTest, EndsWithItsMaps) {
  const Fd meta(map_create(kInner));
  Fd outer(outer_create(GetParam(), meta.get())), one(map_create(kInner));
  const std::uint32_t one_is = map_id(one.get());
  ASSERT_THAT(put(outer.get(), 0, one.get()), SyscallSucceeds());
  one.reset();
  outer.reset();
  EXPECT_TRUE(id_vanishes(BPF_MAP_GET_FD_BY_ID, one_is));
}

TEST_P(MapOfMapsTest, UsersOfTheOuterMapDoNotMatter) {
  const Fd meta(map_create(kInner));
  Fd outer(outer_create(GetParam(), meta.get())), one(map_create(kInner));
  const std::uint32_t outer_is = map_id(outer.get()), one_is = map_id(one.get());
  const Fd prog(trivial_prog(BPF_PROG_TYPE_SOCKET_FILTER, 0, outer.get()));
  ASSERT_THAT(put(outer.get(), 0, one.get()), SyscallSucceeds());
  one.reset();
  outer.reset();
  const Fd again(get_fd_by_id(BPF_MAP_GET_FD_BY_ID, outer_is));
  EXPECT_EQ(id_at(again.get(), 0), one_is);
}

TEST_P(MapOfMapsTest, WhoMayBeInside) {
  const Fd meta(map_create(kInner));
  const Fd outer(outer_create(GetParam(), meta.get()));
  const auto fits = [&](MapSpec spec) {
    const Fd inner(map_create(spec));
    EXPECT_THAT(inner.get(), SyscallSucceeds());
    return put(outer.get(), 0, inner.get());
  };
  MapSpec spec = kInner;
  EXPECT_THAT(fits(spec), SyscallSucceeds());
  spec.max_entries = 5;
  EXPECT_THAT(fits(spec), SyscallSucceeds()) << "a hash map's size may differ";
  spec = kInner, spec.key_size = 8;
  EXPECT_THAT(fits(spec), SyscallFailsWithErrno(EINVAL));
  spec = kInner, spec.value_size = 4;
  EXPECT_THAT(fits(spec), SyscallFailsWithErrno(EINVAL));
  spec = kInner, spec.flags = BPF_F_NO_PREALLOC;
  EXPECT_THAT(fits(spec), SyscallFailsWithErrno(EINVAL));
  spec = kInner, spec.type = BPF_MAP_TYPE_LRU_HASH;
  EXPECT_THAT(fits(spec), SyscallFailsWithErrno(EINVAL));
  const Fd prog(trivial_prog(BPF_PROG_TYPE_SOCKET_FILTER));
  EXPECT_THAT(put(outer.get(), 0, prog.get()), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(put(outer.get(), 0, -1), SyscallFailsWithErrno(EBADF));
  EXPECT_THAT(put(outer.get(), 0, outer.get()), SyscallFailsWithErrno(EINVAL));
}

TEST_P(MapOfMapsTest, ArraysAsInnerMapsHaveOneSize) {
  MapSpec array = {.type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 8, .max_entries = 4};
  const Fd meta(map_create(array));
  const Fd outer(outer_create(GetParam(), meta.get()));
  array.max_entries = 5;
  const Fd longer(map_create(array));
  EXPECT_THAT(put(outer.get(), 0, longer.get()), SyscallFailsWithErrno(EINVAL));
  array.flags = BPF_F_INNER_MAP;
  const Fd free_meta(map_create(array));
  array.max_entries = 6;
  const Fd free_inner(map_create(array));
  const Fd free_outer(outer_create(GetParam(), free_meta.get()));
  EXPECT_THAT(put(free_outer.get(), 0, free_inner.get()), SyscallSucceeds());
  EXPECT_THAT(put(outer.get(), 0, free_inner.get()), SyscallFailsWithErrno(EINVAL));
}

TEST_P(MapOfMapsTest, Creation) {
  const Fd meta(map_create(kInner)), prog(trivial_prog(BPF_PROG_TYPE_SOCKET_FILTER));
  const Fd outer(outer_create(GetParam(), meta.get()));
  EXPECT_THAT(outer_create(GetParam(), -1), SyscallFailsWithErrno(EBADF));
  EXPECT_THAT(outer_create(GetParam(), prog.get()), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(outer_create(GetParam(), outer.get()), SyscallFailsWithErrno(EINVAL)) << "one level only";
  const Fd progs(map_create({.type = BPF_MAP_TYPE_PROG_ARRAY, .key_size = 4, .value_size = 4, .max_entries = 1}));
  EXPECT_THAT(outer_create(GetParam(), progs.get()), SyscallFailsWithErrno(kENOTSUPP));
  const Fd storage(map_create({.type = BPF_MAP_TYPE_CGROUP_STORAGE, .key_size = 8, .value_size = 4, .max_entries = 0}));
  ASSERT_THAT(storage.get(), SyscallSucceeds());
  EXPECT_THAT(outer_create(GetParam(), storage.get()), SyscallFailsWithErrno(kENOTSUPP));
  EXPECT_THAT(outer_create(GetParam(), -1, 0), SyscallFailsWithErrno(EINVAL)) << "sizes before the inner map";
  union bpf_attr attr = map_attr({.type = GetParam(), .key_size = 4, .value_size = 8, .max_entries = 1});
  attr.inner_map_fd = static_cast<std::uint32_t>(meta.get());
  EXPECT_THAT(bpf(BPF_MAP_CREATE, attr), SyscallFailsWithErrno(EINVAL)) << "values are fds";
  const long odd_key = outer_create(GetParam(), meta.get(), 4, 7);
  EXPECT_THAT(odd_key, hash() ? SyscallSucceeds() : SyscallFailsWithErrno(EINVAL));
  const Fd odd(odd_key);
}

TEST_P(MapOfMapsTest, Flags) {
  const Fd meta(map_create(kInner)), one(map_create(kInner)), two(map_create({.key_size = 8}));
  const Fd outer(outer_create(GetParam(), meta.get()));
  if (!hash()) {
    EXPECT_THAT(put(outer.get(), 0, one.get(), BPF_NOEXIST), SyscallFailsWithErrno(EINVAL));
    EXPECT_THAT(put(outer.get(), 4, one.get()), SyscallFailsWithErrno(E2BIG));
    EXPECT_THAT(take_out(outer.get(), 4), SyscallFailsWithErrno(E2BIG));
    return;
  }
  EXPECT_THAT(put(outer.get(), 0, one.get(), BPF_EXIST), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(put(outer.get(), 0, one.get(), BPF_NOEXIST), SyscallSucceeds());
  EXPECT_THAT(put(outer.get(), 0, one.get(), BPF_NOEXIST), SyscallFailsWithErrno(EEXIST));
  EXPECT_THAT(put(outer.get(), 0, one.get(), BPF_EXIST), SyscallSucceeds());
  EXPECT_THAT(put(outer.get(), 0, one.get(), 3), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(put(outer.get(), 0, -1, 3), SyscallFailsWithErrno(EBADF)) << "the fd first";
  EXPECT_THAT(put(outer.get(), 0, two.get(), BPF_NOEXIST), SyscallFailsWithErrno(EINVAL)) << "the fd first";
}

TEST_P(MapOfMapsTest, WalkAndFullness) {
  const Fd meta(map_create(kInner)), one(map_create(kInner));
  const Fd outer(outer_create(GetParam(), meta.get(), 3));
  std::uint32_t key = 0, seen = 0;
  EXPECT_THAT(map_get_next_key(outer.get(), nullptr, &key), hash() ? SyscallFailsWithErrno(ENOENT) : SyscallSucceeds());
  for (std::uint32_t i = 0; i < 3; ++i) ASSERT_THAT(put(outer.get(), i, one.get()), SyscallSucceeds());
  EXPECT_THAT(put(outer.get(), 100, one.get()), SyscallFailsWithErrno(E2BIG));
  for (const void* from = nullptr; map_get_next_key(outer.get(), from, &key) == 0; from = &key) seen |= 1u << key;
  EXPECT_EQ(seen, 7u);
  ASSERT_THAT(take_out(outer.get(), 1), SyscallSucceeds());
  EXPECT_THAT(put(outer.get(), 1, one.get()), SyscallSucceeds());
}

INSTANTIATE_TEST_SUITE_P(Kinds, MapOfMapsTest,
                         testing::Values(static_cast<std::uint32_t>(BPF_MAP_TYPE_ARRAY_OF_MAPS),
                                         static_cast<std::uint32_t>(BPF_MAP_TYPE_HASH_OF_MAPS)),
                         [](const auto& param) { return param.param == BPF_MAP_TYPE_HASH_OF_MAPS ? "Hash" : "Array"; });

}  // namespace
}  // namespace skep::test
