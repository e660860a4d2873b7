// Links on perf events: BPF_LINK_CREATE, their info, ids and end, and the commands they refuse.
// Linux: kernel/bpf/syscall.c:link_create(), bpf_perf_link_attach(), link_detach(), link_update().
#include <fcntl.h>
#include <unistd.h>

#include "events.h"

namespace skep::test {
namespace {

class LinkTest : public TracepointTest {
 protected:
  void SetUp() override {
    TracepointTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    event_ = open_tracepoint(kEnterGetppid);
    prog_ = load(BPF_PROG_TYPE_TRACEPOINT, counter());
  }
  Fd event_, prog_;
};

TEST_F(LinkTest, RunsTheProgramWhileItLives) {
  Fd link(link_create(prog_.get(), event_.get()));
  ASSERT_THAT(link.get(), SyscallSucceeds());
  EXPECT_EQ(fcntl(link.get(), F_GETFD), FD_CLOEXEC);
  ASSERT_THAT(enable(event_.get()), SyscallSucceeds());
  fire(5);
  EXPECT_EQ(results_[0], 5u);
  link.reset();
  EXPECT_TRUE(eventually([&] {
    const std::uint64_t before = results_[0];
    fire();
    return results_[0] == before;
  }));
}

TEST_F(LinkTest, HoldsEventAndProgram) {
  Fd link(link_create(prog_.get(), event_.get()));
  ASSERT_THAT(link.get(), SyscallSucceeds());
  ASSERT_THAT(enable(event_.get()), SyscallSucceeds());
  const std::uint32_t id = prog_id(prog_.get());
  event_.reset();
  prog_.reset();
  fire(5);
  EXPECT_EQ(results_[0], 5u);
  EXPECT_TRUE(id_exists(BPF_PROG_GET_FD_BY_ID, id));
  link.reset();
  EXPECT_TRUE(id_vanishes(BPF_PROG_GET_FD_BY_ID, id));
}

TEST_F(LinkTest, EventTakesOneProgram) {
  Fd link(link_create(prog_.get(), event_.get()));
  ASSERT_THAT(link.get(), SyscallSucceeds());
  EXPECT_THAT(link_create(prog_.get(), event_.get()), SyscallFailsWithErrno(EEXIST));
  EXPECT_THAT(set_bpf(event_.get(), prog_.get()), SyscallFailsWithErrno(EEXIST));
  link.reset();
  Fd again;
  EXPECT_TRUE(eventually([&] {
    again = Fd(link_create(prog_.get(), event_.get()));
    return again.get() >= 0;
  })) << "the event is free again";
}

TEST_F(LinkTest, Cookie) {
  const Fd prog = load(BPF_PROG_TYPE_TRACEPOINT, ProgramText()
                                                     .only_process(getpid())
                                                     .mov(R1, R6)
                                                     .call(BPF_FUNC_get_attach_cookie)
                                                     .mov(R7, R0)
                                                     .save(results_.fd(), 0, R7)
                                                     .out());
  const Fd link(link_create(prog.get(), event_.get(), 0x123456789abcdef0));
  ASSERT_THAT(link.get(), SyscallSucceeds());
  ASSERT_THAT(enable(event_.get()), SyscallSucceeds());
  fire();
  EXPECT_EQ(results_[0], 0x123456789abcdef0u);
}

TEST_F(LinkTest, Info) {
  const Fd link(link_create(prog_.get(), event_.get()));
  ASSERT_THAT(link.get(), SyscallSucceeds());
  Guarded<struct bpf_link_info> info;
  std::uint32_t len = sizeof *info;
  ASSERT_THAT(obj_get_info(link.get(), info.get(), &len), SyscallSucceeds());
  EXPECT_EQ(info->type, static_cast<std::uint32_t>(BPF_LINK_TYPE_PERF_EVENT));
  EXPECT_GT(info->id, 0u);
  EXPECT_EQ(info->prog_id, prog_id(prog_.get()));
  EXPECT_EQ(fdinfo(link.get(), "link_type"), "perf");
  EXPECT_EQ(fdinfo(link.get(), "link_id"), std::to_string(info->id));
  EXPECT_EQ(fdinfo(link.get(), "prog_id"), std::to_string(info->prog_id));
}

TEST_F(LinkTest, InfoNamesTheTracepoint) {
  // Since 6.6: behind the common fields stand the kind (5: tracepoint) at 16, and for it a buffer at 24, its length at 32, the
  // cookie at 40.
  const Fd link(link_create(prog_.get(), event_.get(), 99));
  ASSERT_THAT(link.get(), SyscallSucceeds());
  GuardedBuffer name(64);
  GuardedBuffer info(64);
  std::memset(info.data(), 0, 64);
  const std::uint64_t at = user_ptr(name.data());
  const std::uint32_t room = 64;
  std::memcpy(info.data() + 24, &at, 8);
  std::memcpy(info.data() + 32, &room, 4);
  std::uint32_t len = 64;
  ASSERT_THAT(obj_get_info(link.get(), info.data(), &len), SyscallSucceeds());
  EXPECT_EQ(len, 64u);
  EXPECT_EQ(info.read<std::uint32_t>(16), 5u);
  EXPECT_STREQ(reinterpret_cast<const char*>(name.data()), "sys_enter_getppid");
  EXPECT_EQ(info.read<std::uint32_t>(32), std::strlen("sys_enter_getppid") + 1);
  EXPECT_EQ(info.read<std::uint64_t>(40), 99u);
}

TEST_F(LinkTest, InfoOfAShortName) {
  const Fd link(link_create(prog_.get(), event_.get()));
  ASSERT_THAT(link.get(), SyscallSucceeds());
  GuardedBuffer name(4);
  GuardedBuffer info(64);
  std::memset(info.data(), 0, 64);
  const std::uint64_t at = user_ptr(name.data());
  const std::uint32_t room = 4;
  std::memcpy(info.data() + 24, &at, 8);
  std::memcpy(info.data() + 32, &room, 4);
  std::uint32_t len = 64;
  EXPECT_THAT(obj_get_info(link.get(), info.data(), &len), SyscallFailsWithErrno(ENOSPC));
  EXPECT_STREQ(reinterpret_cast<const char*>(name.data()), "sys") << "as much as fits";
}

TEST_F(LinkTest, Ids) {
  Fd link(link_create(prog_.get(), event_.get()));
  ASSERT_THAT(link.get(), SyscallSucceeds());
  const std::uint32_t id = link_id(link.get());
  std::uint32_t next = 0;
  ASSERT_THAT(get_next_id(BPF_LINK_GET_NEXT_ID, id - 1, &next), SyscallSucceeds());
  EXPECT_EQ(next, id);
  EXPECT_THAT(get_next_id(BPF_LINK_GET_NEXT_ID, 0x7ffffffe, &next), SyscallFailsWithErrno(ENOENT));
  Fd again(get_fd_by_id(BPF_LINK_GET_FD_BY_ID, id));
  ASSERT_THAT(again.get(), SyscallSucceeds());
  link.reset();
  EXPECT_TRUE(id_exists(BPF_LINK_GET_FD_BY_ID, id));
  EXPECT_EQ(read_link("/proc/self/fd/" + std::to_string(again.get())), "anon_inode:bpf-link");
  again.reset();
  EXPECT_TRUE(id_vanishes(BPF_LINK_GET_FD_BY_ID, id));
  EXPECT_THAT(get_fd_by_id(BPF_LINK_GET_FD_BY_ID, 0), SyscallFailsWithErrno(ENOENT));
}

TEST_F(LinkTest, CreateRefusals) {
  EXPECT_THAT(link_create(-1, event_.get()), SyscallFailsWithErrno(EBADF));
  EXPECT_THAT(link_create(results_.fd(), event_.get()), SyscallFailsWithErrno(EINVAL)) << "a map for a program";
  EXPECT_THAT(link_create(prog_.get(), -1), SyscallFailsWithErrno(EBADF));
  EXPECT_THAT(link_create(prog_.get(), results_.fd()), SyscallFailsWithErrno(EBADF)) << "a map for an event";
  const Fd kprobe(prog_load({.type = BPF_PROG_TYPE_KPROBE, .insns = return_program(0)}));
  EXPECT_THAT(link_create(kprobe.get(), event_.get()), SyscallFailsWithErrno(EINVAL)) << "a kprobe program for a tracepoint";
  const Fd filter(prog_load({.type = BPF_PROG_TYPE_SOCKET_FILTER, .insns = return_program(0)}));
  EXPECT_THAT(link_create(filter.get(), event_.get()), SyscallFailsWithErrno(EINVAL)) << "a program of no event";

  union bpf_attr attr = zero_attr();
  attr.link_create.prog_fd = static_cast<std::uint32_t>(prog_.get());
  attr.link_create.target_fd = static_cast<std::uint32_t>(event_.get());
  attr.link_create.attach_type = BPF_PERF_EVENT;
  attr.link_create.flags = 1;
  EXPECT_THAT(bpf(BPF_LINK_CREATE, attr), SyscallFailsWithErrno(EINVAL)) << "flags";
  attr.link_create.flags = 0;
  attr.link_create.attach_type = BPF_XDP;
  EXPECT_THAT(bpf(BPF_LINK_CREATE, attr), SyscallFailsWithErrno(EINVAL)) << "another attach type";
  attr.link_create.attach_type = 1000;
  EXPECT_THAT(bpf(BPF_LINK_CREATE, attr), SyscallFailsWithErrno(EINVAL)) << "no attach type";
}

TEST_F(LinkTest, PerfLinksCannotBeDetached) {
  const Fd link(link_create(prog_.get(), event_.get()));
  ASSERT_THAT(link.get(), SyscallSucceeds());
  union bpf_attr attr = zero_attr();
  attr.link_detach.link_fd = static_cast<std::uint32_t>(link.get());
  EXPECT_THAT(bpf(BPF_LINK_DETACH, attr), SyscallFailsWithErrno(EOPNOTSUPP));
  attr.link_detach.link_fd = static_cast<std::uint32_t>(-1);
  EXPECT_THAT(bpf(BPF_LINK_DETACH, attr), SyscallFailsWithErrno(EBADF));
  attr.link_detach.link_fd = static_cast<std::uint32_t>(prog_.get());
  EXPECT_THAT(bpf(BPF_LINK_DETACH, attr), SyscallFailsWithErrno(EINVAL));
}

TEST_F(LinkTest, PerfLinksCannotBeUpdated) {
  const Fd link(link_create(prog_.get(), event_.get()));
  ASSERT_THAT(link.get(), SyscallSucceeds());
  const Fd other = load(BPF_PROG_TYPE_TRACEPOINT, counter());
  union bpf_attr attr = zero_attr();
  attr.link_update.link_fd = static_cast<std::uint32_t>(link.get());
  attr.link_update.new_prog_fd = static_cast<std::uint32_t>(other.get());
  EXPECT_THAT(bpf(BPF_LINK_UPDATE, attr), SyscallFailsWithErrno(EINVAL));
}

using KprobeLinkTest = KprobeTest;

TEST_F(KprobeLinkTest, RunsAndNamesTheFunction) {
  // Since 6.6: kind at 16 (3: kprobe, 4: kretprobe), a buffer at 24, its length at 32, the offset at 36, missed at 48, the cookie
  // at 56.
  for (const bool at_return : {false, true}) {
    results_.put(0, 0);
    const Fd event(open_kprobe("__x64_sys_getppid", at_return));
    const Fd prog = load(BPF_PROG_TYPE_KPROBE, ProgramText().only_process(getpid()).count(results_.fd()).out());
    const Fd link(link_create(prog.get(), event.get(), 99));
    ASSERT_THAT(link.get(), SyscallSucceeds());
    ASSERT_THAT(enable(event.get()), SyscallSucceeds());
    fire(5);
    EXPECT_EQ(results_[0], 5u);

    GuardedBuffer name(64);
    GuardedBuffer info(64);
    std::memset(info.data(), 0, 64);
    const std::uint64_t at = user_ptr(name.data());
    const std::uint32_t room = 64;
    std::memcpy(info.data() + 24, &at, 8);
    std::memcpy(info.data() + 32, &room, 4);
    std::uint32_t len = 64;
    ASSERT_THAT(obj_get_info(link.get(), info.data(), &len), SyscallSucceeds());
    EXPECT_EQ(info.read<std::uint32_t>(0), static_cast<std::uint32_t>(BPF_LINK_TYPE_PERF_EVENT));
    EXPECT_EQ(info.read<std::uint32_t>(16), at_return ? 4u : 3u);
    EXPECT_STREQ(reinterpret_cast<const char*>(name.data()), "__x64_sys_getppid");
    EXPECT_EQ(info.read<std::uint32_t>(36), 0u);
    EXPECT_EQ(info.read<std::uint64_t>(48), 0u);
    EXPECT_EQ(info.read<std::uint64_t>(56), 99u);
  }
}

}  // namespace
}  // namespace skep::test
