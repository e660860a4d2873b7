// BPF_*_GET_NEXT_ID and BPF_*_GET_FD_BY_ID. Linux: kernel/bpf/syscall.c:bpf_obj_get_next_id(), bpf_map_get_fd_by_id() and its kin.
#include <fcntl.h>

#include <climits>
#include <set>

#include "bpf_calls.h"
#include "program_text.h"

namespace skep::test {
namespace {

struct IdKind {
  const char* name;
  int next_id;
  int fd_by_id;
  Fd (*make)();
  std::uint32_t (*id)(int fd);
};
void PrintTo(const IdKind& kind, std::ostream* os) { *os << kind.name; }

Fd make_map() { return Fd(map_create({})); }
Fd make_prog() { return Fd(prog_load({.insns = return_program(0)})); }
Fd make_btf() {
  const std::vector<unsigned char> data = minimal_btf();
  return Fd(btf_load(data.data(), static_cast<std::uint32_t>(data.size())));
}

class IdsTest : public BpfTest, public testing::WithParamInterface<IdKind> {
 protected:
  /// Other processes may come and go, so the list is only known to hold our own.
  std::set<std::uint32_t> all_ids() {
    std::set<std::uint32_t> ids;
    std::uint32_t id = 0;
    while (get_next_id(GetParam().next_id, id, &id) == 0) {
      EXPECT_TRUE(ids.empty() || id > *ids.rbegin()) << "ids rise";
      ids.insert(id);
    }
    EXPECT_EQ(errno, ENOENT);
    return ids;
  }
};

TEST_P(IdsTest, EveryObjectIsListed) {
  const Fd one = GetParam().make();
  const Fd two = GetParam().make();
  ASSERT_THAT(two.get(), SyscallSucceeds());
  const std::uint32_t first = GetParam().id(one.get());
  const std::uint32_t second = GetParam().id(two.get());
  EXPECT_NE(first, second);
  const std::set<std::uint32_t> ids = all_ids();
  EXPECT_EQ(ids.count(first), 1u);
  EXPECT_EQ(ids.count(second), 1u);
}

TEST_P(IdsTest, NextIsTheNearestAbove) {
  const Fd object = GetParam().make();
  const std::uint32_t id = GetParam().id(object.get());
  std::uint32_t next = 0;
  ASSERT_THAT(get_next_id(GetParam().next_id, id - 1, &next), SyscallSucceeds());
  EXPECT_EQ(next, id);
}

TEST_P(IdsTest, TheListEnds) {
  std::uint32_t next = 0;
  EXPECT_THAT(get_next_id(GetParam().next_id, INT_MAX - 1, &next), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(get_next_id(GetParam().next_id, INT_MAX, &next), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(get_next_id(GetParam().next_id, 0xffffffff, &next), SyscallFailsWithErrno(EINVAL));
}

TEST_P(IdsTest, FdByIdIsTheSameObject) {
  const Fd object = GetParam().make();
  const std::uint32_t id = GetParam().id(object.get());
  const Fd again(get_fd_by_id(GetParam().fd_by_id, id));
  ASSERT_THAT(again.get(), SyscallSucceeds());
  EXPECT_NE(again.get(), object.get());
  EXPECT_EQ(GetParam().id(again.get()), id);
  EXPECT_EQ(fcntl(again.get(), F_GETFD), FD_CLOEXEC);
}

TEST_P(IdsTest, UnknownIds) {
  EXPECT_THAT(get_fd_by_id(GetParam().fd_by_id, 0), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(get_fd_by_id(GetParam().fd_by_id, INT_MAX), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(get_fd_by_id(GetParam().fd_by_id, 0xffffffff), SyscallFailsWithErrno(ENOENT));
}

TEST_P(IdsTest, IdIsGoneWhenCloseReturns) {
  for (int round = 0; round < 50; ++round) {
    Fd object = GetParam().make();
    ASSERT_THAT(object.get(), SyscallSucceeds());
    const std::uint32_t id = GetParam().id(object.get());
    object.reset();
    ASSERT_THAT(get_fd_by_id(GetParam().fd_by_id, id), SyscallFailsWithErrno(ENOENT));
  }
}

TEST_P(IdsTest, NextIdTakesNoFlags) {
  union bpf_attr attr = zero_attr();
  attr.open_flags = BPF_F_RDONLY;
  EXPECT_THAT(bpf(GetParam().next_id, attr), SyscallFailsWithErrno(EINVAL));
}

INSTANTIATE_TEST_SUITE_P(Kinds, IdsTest,
                         testing::Values(IdKind{"Map", BPF_MAP_GET_NEXT_ID, BPF_MAP_GET_FD_BY_ID, make_map, map_id},
                                         IdKind{"Prog", BPF_PROG_GET_NEXT_ID, BPF_PROG_GET_FD_BY_ID, make_prog, prog_id},
                                         IdKind{"Btf", BPF_BTF_GET_NEXT_ID, BPF_BTF_GET_FD_BY_ID, make_btf, btf_id}),
                         [](const testing::TestParamInfo<IdKind>& param) { return std::string(param.param.name); });

class IdFlagsTest : public BpfTest {};

TEST_F(IdFlagsTest, ProgramsAndLinksTakeNone) {
  const Fd prog = make_prog();
  const std::uint32_t id = prog_id(prog.get());
  EXPECT_THAT(get_fd_by_id(BPF_PROG_GET_FD_BY_ID, id, BPF_F_RDONLY), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(get_fd_by_id(BPF_LINK_GET_FD_BY_ID, 1, BPF_F_RDONLY), SyscallFailsWithErrno(EINVAL));
}

TEST_F(IdFlagsTest, MapsTakeAnAccess) {
  const Fd map = make_map();
  const std::uint32_t id = map_id(map.get());
  const std::uint32_t key = 1;
  std::uint64_t value = 1;
  ASSERT_THAT(map_update(map.get(), &key, &value), SyscallSucceeds());

  const Fd reader(get_fd_by_id(BPF_MAP_GET_FD_BY_ID, id, BPF_F_RDONLY));
  ASSERT_THAT(reader.get(), SyscallSucceeds());
  EXPECT_EQ(fcntl(reader.get(), F_GETFL) & O_ACCMODE, O_RDONLY);
  EXPECT_THAT(map_lookup(reader.get(), &key, &value), SyscallSucceeds());
  EXPECT_THAT(map_update(reader.get(), &key, &value), SyscallFailsWithErrno(EPERM));

  const Fd writer(get_fd_by_id(BPF_MAP_GET_FD_BY_ID, id, BPF_F_WRONLY));
  ASSERT_THAT(writer.get(), SyscallSucceeds());
  EXPECT_THAT(map_lookup(writer.get(), &key, &value), SyscallFailsWithErrno(EPERM));
  EXPECT_THAT(map_update(writer.get(), &key, &value), SyscallSucceeds());

  EXPECT_THAT(get_fd_by_id(BPF_MAP_GET_FD_BY_ID, id, BPF_F_RDONLY | BPF_F_WRONLY), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(get_fd_by_id(BPF_MAP_GET_FD_BY_ID, id, BPF_F_MMAPABLE), SyscallFailsWithErrno(EINVAL));
}

TEST_F(IdFlagsTest, KindsDoNotShareIdsByAccident) {
  // A map's id asked for as a program answers for programs, whatever that is; it never answers with the map.
  const Fd map = make_map();
  const Fd as_prog(get_fd_by_id(BPF_PROG_GET_FD_BY_ID, map_id(map.get())));
  if (as_prog.get() < 0) {
    EXPECT_EQ(errno, ENOENT);
  } else {
    EXPECT_EQ(read_link("/proc/self/fd/" + std::to_string(as_prog.get())), "anon_inode:bpf-prog");
  }
}

}  // namespace
}  // namespace skep::test
