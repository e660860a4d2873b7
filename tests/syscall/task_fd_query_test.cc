// BPF_TASK_FD_QUERY: what does a perf event of some process run? Linux: kernel/bpf/syscall.c:bpf_task_fd_query().
#include <fcntl.h>
#include <unistd.h>

#include "events.h"

namespace skep::test {
namespace {

struct Answer {
  long result;
  union bpf_attr attr;
};

Answer query(int pid, int fd, void* buf, std::uint32_t buf_len, std::uint32_t flags = 0) {
  Answer answer = {0, zero_attr()};
  answer.attr.task_fd_query.pid = static_cast<std::uint32_t>(pid);
  answer.attr.task_fd_query.fd = static_cast<std::uint32_t>(fd);
  answer.attr.task_fd_query.flags = flags;
  answer.attr.task_fd_query.buf = user_ptr(buf);
  answer.attr.task_fd_query.buf_len = buf_len;
  answer.result = bpf(BPF_TASK_FD_QUERY, answer.attr);
  return answer;
}

using TaskFdQueryTest = TracepointTest;

TEST_F(TaskFdQueryTest, Tracepoint) {
  const Attached attached(open_tracepoint(kEnterGetppid), load(BPF_PROG_TYPE_TRACEPOINT, counter()));
  GuardedBuffer name(64);
  const Answer answer = query(getpid(), attached.event(), name.data(), 64);
  ASSERT_THAT(answer.result, SyscallSucceeds());
  EXPECT_EQ(answer.attr.task_fd_query.prog_id, prog_id(attached.prog()));
  EXPECT_EQ(answer.attr.task_fd_query.fd_type, static_cast<std::uint32_t>(BPF_FD_TYPE_TRACEPOINT));
  EXPECT_STREQ(reinterpret_cast<char*>(name.data()), "sys_enter_getppid");
  EXPECT_EQ(answer.attr.task_fd_query.buf_len, std::strlen("sys_enter_getppid"));
}

TEST_F(TaskFdQueryTest, Buffers) {
  const Attached attached(open_tracepoint(kEnterGetppid), load(BPF_PROG_TYPE_TRACEPOINT, counter()));
  const auto whole = static_cast<std::uint32_t>(std::strlen("sys_enter_getppid"));

  GuardedBuffer small(4);
  const Answer cut = query(getpid(), attached.event(), small.data(), 4);
  EXPECT_THAT(cut.result, SyscallFailsWithErrno(ENOSPC));
  EXPECT_STREQ(reinterpret_cast<char*>(small.data()), "sys");
  EXPECT_EQ(cut.attr.task_fd_query.buf_len, whole);

  const Answer none = query(getpid(), attached.event(), nullptr, 0);
  EXPECT_THAT(none.result, SyscallSucceeds());
  EXPECT_EQ(none.attr.task_fd_query.buf_len, whole);
  EXPECT_EQ(none.attr.task_fd_query.prog_id, prog_id(attached.prog()));

  EXPECT_THAT(query(getpid(), attached.event(), bad_pointer(), 64).result, SyscallFailsWithErrno(EFAULT));
}

TEST_F(TaskFdQueryTest, Refusals) {
  const Attached attached(open_tracepoint(kEnterGetppid), load(BPF_PROG_TYPE_TRACEPOINT, counter()));
  char name[64];
  EXPECT_THAT(query(getpid(), attached.event(), name, 64, 1).result, SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(query(0x7ffffff0, attached.event(), name, 64).result, SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(query(getpid(), 9999, name, 64).result, SyscallFailsWithErrno(EBADF));
  EXPECT_THAT(query(getpid(), attached.prog(), name, 64).result, SyscallFailsWithErrno(kENOTSUPP)) << "a program";
  const Fd null(open("/dev/null", O_RDWR | O_CLOEXEC));
  EXPECT_THAT(query(getpid(), null.get(), name, 64).result, SyscallFailsWithErrno(kENOTSUPP)) << "a plain file";
  const Fd bare = open_tracepoint(kEnterGetppid);
  EXPECT_THAT(query(getpid(), bare.get(), name, 64).result, SyscallFailsWithErrno(ENOENT)) << "an event without a program";
}

using TaskFdQueryKprobeTest = KprobeTest;

TEST_F(TaskFdQueryKprobeTest, EntryAndReturn) {
  for (const bool at_return : {false, true}) {
    const Attached attached(Fd(open_kprobe("__x64_sys_getppid", at_return)),
                            Fd(prog_load({.type = BPF_PROG_TYPE_KPROBE, .insns = return_program(0)})));
    GuardedBuffer name(64);
    const Answer answer = query(getpid(), attached.event(), name.data(), 64);
    ASSERT_THAT(answer.result, SyscallSucceeds());
    EXPECT_EQ(answer.attr.task_fd_query.fd_type,
              static_cast<std::uint32_t>(at_return ? BPF_FD_TYPE_KRETPROBE : BPF_FD_TYPE_KPROBE));
    EXPECT_STREQ(reinterpret_cast<char*>(name.data()), "__x64_sys_getppid");
    EXPECT_EQ(answer.attr.task_fd_query.prog_id, prog_id(attached.prog()));
    EXPECT_EQ(answer.attr.task_fd_query.probe_offset, 0u);
  }
}

}  // namespace
}  // namespace skep::test
