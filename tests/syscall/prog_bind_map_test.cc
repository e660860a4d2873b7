// BPF_PROG_BIND_MAP: the program holds a map it does not use. Linux: kernel/bpf/syscall.c:bpf_prog_bind_map().
#include <fcntl.h>

#include "bpf_calls.h"
#include "program_text.h"

namespace skep::test {
namespace {

class ProgBindMapTest : public BpfTest {
 protected:
  void SetUp() override {
    BpfTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    prog_ = Fd(prog_load({.insns = return_program(0)}));
    map_ = Fd(map_create({}));
    ASSERT_THAT(prog_.get(), SyscallSucceeds());
    ASSERT_THAT(map_.get(), SyscallSucceeds());
  }
  std::vector<std::uint32_t> maps_of_program() {
    std::uint32_t ids[8] = {};
    Guarded<struct bpf_prog_info> info;
    info->map_ids = user_ptr(ids);
    info->nr_map_ids = 8;
    std::uint32_t len = sizeof *info;
    EXPECT_THAT(obj_get_info(prog_.get(), info.get(), &len), SyscallSucceeds());
    return {ids, ids + info->nr_map_ids};
  }
  Fd prog_, map_;
};

TEST_F(ProgBindMapTest, ProgramNamesTheMap) {
  EXPECT_EQ(maps_of_program().size(), 0u);
  ASSERT_THAT(prog_bind_map(prog_.get(), map_.get()), SyscallSucceeds());
  EXPECT_EQ(maps_of_program(), std::vector<std::uint32_t>{map_id(map_.get())});
  ASSERT_THAT(prog_bind_map(prog_.get(), map_.get()), SyscallSucceeds()) << "again";
  EXPECT_EQ(maps_of_program().size(), 1u);
}

TEST_F(ProgBindMapTest, ProgramHoldsTheMap) {
  ASSERT_THAT(prog_bind_map(prog_.get(), map_.get()), SyscallSucceeds());
  const std::uint32_t id = map_id(map_.get());
  map_.reset();
  EXPECT_TRUE(id_exists(BPF_MAP_GET_FD_BY_ID, id));
  prog_.reset();
  EXPECT_TRUE(id_vanishes(BPF_MAP_GET_FD_BY_ID, id));
}

TEST_F(ProgBindMapTest, Refusals) {
  EXPECT_THAT(prog_bind_map(prog_.get(), map_.get(), 1), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(prog_bind_map(-1, map_.get()), SyscallFailsWithErrno(EBADF));
  EXPECT_THAT(prog_bind_map(prog_.get(), -1), SyscallFailsWithErrno(EBADF));
  EXPECT_THAT(prog_bind_map(map_.get(), map_.get()), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(prog_bind_map(prog_.get(), prog_.get()), SyscallFailsWithErrno(EINVAL));
}

}  // namespace
}  // namespace skep::test
