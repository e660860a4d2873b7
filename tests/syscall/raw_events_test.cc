// Raw tracepoints and the tracepoints that are no system call's. Linux: kernel/bpf/syscall.c:bpf_raw_tp_link_attach(),
// kernel/trace/bpf_trace.c:bpf_probe_register(), include/trace/events/{syscalls,sched,signal}.h.
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "events.h"

namespace skep::test {
namespace {

constexpr const char* kAll[] = {"sys_enter", "sys_exit", "sched_process_exec", "sched_process_fork", "sched_process_exit", "signal_generate"};

long raw_tp_open(int prog, const char* name) {
  union bpf_attr attr = zero_attr();
  attr.raw_tracepoint.name = user_ptr(name);
  attr.raw_tracepoint.prog_fd = static_cast<std::uint32_t>(prog);
  return bpf(BPF_RAW_TRACEPOINT_OPEN, attr);
}

/// A child that makes `times` calls of getppid(1, 2, 3) once it is let, and ends.
class Child {
 public:
  explicit Child(int times) {
    EXPECT_EQ(pipe2(gate_, O_CLOEXEC), 0);
    pid_ = fork();
    if (pid_ != 0) return;
    char byte;
    if (read(gate_[0], &byte, 1) != 1) _exit(1);
    for (int i = 0; i < times; ++i) syscall(SYS_getppid, 1, 2, 3);
    _exit(0);
  }
  ~Child() {
    close(gate_[0]);
    close(gate_[1]);
  }
  int pid() const { return pid_; }
  /// Lets it go and waits for its end.
  void run() {
    EXPECT_EQ(write(gate_[1], "", 1), 1);
    int status = -1;
    EXPECT_EQ(waitpid(pid_, &status, 0), pid_);
    EXPECT_EQ(status, 0);
  }

 private:
  int gate_[2] = {-1, -1};
  int pid_ = -1;
};

class RawTracepointTest : public BpfTest {
 protected:
  void SetUp() override {
    BpfTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    ASSERT_THAT(results_.fd(), SyscallSucceeds());
  }
  static Fd load_raw(const ProgramText& text) { return load(BPF_PROG_TYPE_RAW_TRACEPOINT, text); }
  /// Reads the context's u64 at `offset`.
  static ProgramText reader(int offset) { return ProgramText().load(BPF_DW, R2, R1, offset).out(); }
  Results results_;
};

TEST_F(RawTracepointTest, EachEntryOfAProcessOnce) {
  Child child(25);
  const Fd prog = load_raw(ProgramText()
                               .only_process(child.pid())
                               .load(BPF_DW, R7, R6, 8)
                               .jump_if(BPF_JNE, R7, SYS_getppid, "out")
                               .count(results_.fd())
                               .out());
  const Fd link(raw_tp_open(prog.get(), "sys_enter"));
  ASSERT_THAT(link.get(), SyscallSucceeds());
  EXPECT_EQ(fcntl(link.get(), F_GETFD), FD_CLOEXEC);
  child.run();
  EXPECT_EQ(results_[0], 25u);
}

TEST_F(RawTracepointTest, EachExitWithItsResult) {
  Child child(25);
  const Fd prog = load_raw(ProgramText()
                               .only_process(child.pid())
                               .load(BPF_DW, R7, R6, 8)
                               .jump_if(BPF_JNE, R7, getpid(), "out")
                               .count(results_.fd())
                               .out());
  const Fd link(raw_tp_open(prog.get(), "sys_exit"));
  ASSERT_THAT(link.get(), SyscallSucceeds());
  child.run();
  EXPECT_GE(results_[0], 25u) << "calls that answered the parent's pid";
  EXPECT_LE(results_[0], 26u);
}

TEST_F(RawTracepointTest, LeadsToTheCallersRegisters) {
  Child child(1);
  // pt_regs: orig_ax at 120, di at 112, si at 104.
  const Fd prog = load_raw(ProgramText()
                               .only_process(child.pid())
                               .load(BPF_DW, R7, R6, 8)
                               .jump_if(BPF_JNE, R7, SYS_getppid, "out")
                               .load(BPF_DW, R3, R6, 0)
                               .alu(BPF_ADD, R3, 104)
                               .mov(R1, R10)
                               .alu(BPF_ADD, R1, -24)
                               .mov(R2, 24)
                               .call(BPF_FUNC_probe_read_kernel)
                               .load(BPF_DW, R7, R10, -24)
                               .save(results_.fd(), 0, R7)
                               .load(BPF_DW, R7, R10, -16)
                               .save(results_.fd(), 8, R7)
                               .load(BPF_DW, R7, R10, -8)
                               .save(results_.fd(), 16, R7)
                               .out());
  const Fd link(raw_tp_open(prog.get(), "sys_enter"));
  ASSERT_THAT(link.get(), SyscallSucceeds());
  child.run();
  EXPECT_EQ(results_[0], 2u);
  EXPECT_EQ(results_[1], 1u);
  EXPECT_EQ(results_[2], static_cast<std::uint64_t>(SYS_getppid));
}

TEST_F(RawTracepointTest, StopsWhenClosed) {
  const Fd prog = load_raw(ProgramText().only_process(getpid()).load(BPF_DW, R7, R6, 8).jump_if(BPF_JNE, R7, SYS_getppid, "out").count(results_.fd()).out());
  Fd link(raw_tp_open(prog.get(), "sys_enter"));
  ASSERT_THAT(link.get(), SyscallSucceeds());
  fire(5);
  EXPECT_EQ(results_[0], 5u);
  const std::uint32_t id = link_id(link.get());
  link.reset();
  EXPECT_TRUE(id_vanishes(BPF_LINK_GET_FD_BY_ID, id));
  EXPECT_TRUE(eventually([&] {
    const std::uint64_t before = results_[0];
    fire();
    return results_[0] == before;
  }));
}

TEST_F(RawTracepointTest, OneProgramTwice) {
  const Fd prog = load_raw(ProgramText().only_process(getpid()).load(BPF_DW, R7, R6, 8).jump_if(BPF_JNE, R7, SYS_getppid, "out").count(results_.fd()).out());
  const Fd first(raw_tp_open(prog.get(), "sys_enter")), second(raw_tp_open(prog.get(), "sys_enter"));
  ASSERT_THAT(first.get(), SyscallSucceeds());
  ASSERT_THAT(second.get(), SyscallSucceeds());
  fire(5);
  EXPECT_EQ(results_[0], 10u);
}

TEST_F(RawTracepointTest, OpensAllOfThem) {
  const Fd prog(prog_load({.type = BPF_PROG_TYPE_RAW_TRACEPOINT, .insns = return_program(0)}));
  for (const char* name : kAll) {
    const Fd link(raw_tp_open(prog.get(), name));
    EXPECT_THAT(link.get(), SyscallSucceeds()) << name;
  }
}

TEST_F(RawTracepointTest, Refusals) {
  const Fd prog(prog_load({.type = BPF_PROG_TYPE_RAW_TRACEPOINT, .insns = return_program(0)}));
  EXPECT_THAT(raw_tp_open(-1, "sys_enter"), SyscallFailsWithErrno(EBADF));
  EXPECT_THAT(raw_tp_open(results_.fd(), "sys_enter"), SyscallFailsWithErrno(EINVAL)) << "a map";
  EXPECT_THAT(raw_tp_open(prog.get(), nullptr), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(raw_tp_open(prog.get(), "no_such_event"), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(raw_tp_open(prog.get(), ""), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(raw_tp_open(prog.get(), std::string(400, 'x').c_str()), SyscallFailsWithErrno(ENOENT));
  const Fd kprobe(prog_load({.type = BPF_PROG_TYPE_KPROBE, .insns = return_program(0)}));
  EXPECT_THAT(raw_tp_open(kprobe.get(), "sys_enter"), SyscallFailsWithErrno(EINVAL)) << "another type";
  const Fd greedy = load_raw(reader(16));
  EXPECT_THAT(raw_tp_open(greedy.get(), "sys_enter"), SyscallFailsWithErrno(EINVAL)) << "it has two arguments";
  const Fd link(raw_tp_open(greedy.get(), "sched_process_exec"));
  EXPECT_THAT(link.get(), SyscallSucceeds()) << "it has three";
  union bpf_attr attr = zero_attr();
  attr.link_create.prog_fd = static_cast<std::uint32_t>(prog.get());
  for (const std::uint32_t type : {BPF_TRACE_RAW_TP, BPF_PERF_EVENT}) {
    attr.link_create.attach_type = type;
    EXPECT_THAT(bpf(BPF_LINK_CREATE, attr), SyscallFailsWithErrno(EINVAL)) << "by LINK_CREATE";
  }
}

TEST_F(RawTracepointTest, TellsOfItself) {
  const Fd prog(prog_load({.type = BPF_PROG_TYPE_RAW_TRACEPOINT, .insns = return_program(0)}));
  const Fd link(raw_tp_open(prog.get(), "sys_enter"));
  ASSERT_THAT(link.get(), SyscallSucceeds());
  GuardedBuffer name(16);
  Guarded<struct bpf_link_info> info;
  std::uint32_t len = sizeof *info;
  ASSERT_THAT(obj_get_info(link.get(), info.get(), &len), SyscallSucceeds());
  EXPECT_EQ(info->type, static_cast<std::uint32_t>(BPF_LINK_TYPE_RAW_TRACEPOINT));
  EXPECT_EQ(info->prog_id, prog_id(prog.get()));
  EXPECT_EQ(info->raw_tracepoint.tp_name_len, std::strlen("sys_enter") + 1);
  info->raw_tracepoint.tp_name = user_ptr(name.data());
  info->raw_tracepoint.tp_name_len = 16;
  ASSERT_THAT(obj_get_info(link.get(), info.get(), &len), SyscallSucceeds());
  EXPECT_STREQ(reinterpret_cast<const char*>(name.data()), "sys_enter");
  info->raw_tracepoint.tp_name_len = 4;
  EXPECT_THAT(obj_get_info(link.get(), info.get(), &len), SyscallFailsWithErrno(ENOSPC));
  EXPECT_STREQ(reinterpret_cast<const char*>(name.data()), "sys");
  info->raw_tracepoint.tp_name_len = 0;
  EXPECT_THAT(obj_get_info(link.get(), info.get(), &len), SyscallFailsWithErrno(EINVAL));

  EXPECT_EQ(fdinfo(link.get(), "link_type"), "raw_tracepoint");
  EXPECT_EQ(fdinfo(link.get(), "tp_name"), "sys_enter");
  EXPECT_EQ(fdinfo(link.get(), "prog_id"), std::to_string(prog_id(prog.get())));
  EXPECT_EQ(read_link("/proc/self/fd/" + std::to_string(link.get())), "anon_inode:bpf_link");
}

TEST_F(RawTracepointTest, TaskFdQuery) {
  const Fd prog(prog_load({.type = BPF_PROG_TYPE_RAW_TRACEPOINT, .insns = return_program(0)}));
  const Fd link(raw_tp_open(prog.get(), "sched_process_exit"));
  ASSERT_THAT(link.get(), SyscallSucceeds());
  GuardedBuffer name(32);
  union bpf_attr attr = zero_attr();
  attr.task_fd_query.pid = static_cast<std::uint32_t>(getpid());
  attr.task_fd_query.fd = static_cast<std::uint32_t>(link.get());
  attr.task_fd_query.buf = user_ptr(name.data());
  attr.task_fd_query.buf_len = 32;
  ASSERT_THAT(bpf(BPF_TASK_FD_QUERY, attr), SyscallSucceeds());
  EXPECT_EQ(attr.task_fd_query.fd_type, static_cast<std::uint32_t>(BPF_FD_TYPE_RAW_TRACEPOINT));
  EXPECT_EQ(attr.task_fd_query.prog_id, prog_id(prog.get()));
  EXPECT_EQ(attr.task_fd_query.buf_len, std::strlen("sched_process_exit"));
  EXPECT_STREQ(reinterpret_cast<const char*>(name.data()), "sched_process_exit");
}

TEST_F(RawTracepointTest, NeitherUpdatedNorDetached) {
  const Fd prog(prog_load({.type = BPF_PROG_TYPE_RAW_TRACEPOINT, .insns = return_program(0)}));
  const Fd link(raw_tp_open(prog.get(), "sys_enter"));
  ASSERT_THAT(link.get(), SyscallSucceeds());
  union bpf_attr update = zero_attr();
  update.link_update.link_fd = static_cast<std::uint32_t>(link.get());
  update.link_update.new_prog_fd = static_cast<std::uint32_t>(prog.get());
  EXPECT_THAT(bpf(BPF_LINK_UPDATE, update), SyscallFailsWithErrno(EINVAL));
  update.link_update.new_prog_fd = static_cast<std::uint32_t>(-1);
  EXPECT_THAT(bpf(BPF_LINK_UPDATE, update), SyscallFailsWithErrno(EBADF));
  update.link_update.flags = 1;
  update.link_update.link_fd = static_cast<std::uint32_t>(-1);
  EXPECT_THAT(bpf(BPF_LINK_UPDATE, update), SyscallFailsWithErrno(EINVAL));
  union bpf_attr detach = zero_attr();
  detach.link_detach.link_fd = static_cast<std::uint32_t>(link.get());
  EXPECT_THAT(bpf(BPF_LINK_DETACH, detach), SyscallFailsWithErrno(EOPNOTSUPP));
}

using RawSyscallsTest = TracepointTest;

TEST_F(RawSyscallsTest, RecordOfAnEntry) {
  Child child(25);
  // id at 8, args at 16
  const Attached attached(open_tracepoint("raw_syscalls/sys_enter"), load(BPF_PROG_TYPE_TRACEPOINT, ProgramText()
                                                                                                       .only_process(child.pid())
                                                                                                       .load(BPF_DW, R7, R6, 8)
                                                                                                       .jump_if(BPF_JNE, R7, SYS_getppid, "out")
                                                                                                       .count(results_.fd())
                                                                                                       .load(BPF_DW, R7, R6, 16)
                                                                                                       .save(results_.fd(), 8, R7)
                                                                                                       .load(BPF_DW, R7, R6, 32)
                                                                                                       .save(results_.fd(), 16, R7)
                                                                                                       .out()));
  child.run();
  EXPECT_EQ(results_[0], 25u);
  EXPECT_EQ(results_[1], 1u);
  EXPECT_EQ(results_[2], 3u);
}

TEST_F(RawSyscallsTest, RecordOfAnExit) {
  Child child(25);
  const Attached attached(open_tracepoint("raw_syscalls/sys_exit"), load(BPF_PROG_TYPE_TRACEPOINT, ProgramText()
                                                                                                      .only_process(child.pid())
                                                                                                      .load(BPF_DW, R7, R6, 8)
                                                                                                      .jump_if(BPF_JNE, R7, SYS_getppid, "out")
                                                                                                      .count(results_.fd())
                                                                                                      .load(BPF_DW, R7, R6, 16)
                                                                                                      .save(results_.fd(), 8, R7)
                                                                                                      .out()));
  child.run();
  EXPECT_EQ(results_[0], 25u);
  EXPECT_EQ(results_[1], static_cast<std::uint64_t>(getpid()));
}

TEST_F(RawSyscallsTest, RecordsEndWhereTheyEnd) {
  const auto reader = [](int offset) { return load(BPF_PROG_TYPE_TRACEPOINT, ProgramText().load(BPF_W, R2, R1, offset).out()); };
  struct {
    const char* name;
    int last, beyond;
  } const events[] = {{"raw_syscalls/sys_enter", 60, 64}, {"raw_syscalls/sys_exit", 20, 24},  {"sched/sched_process_exec", 16, 20},
                      {"signal/signal_generate", 44, 48}};
  for (const auto& e : events) {
    const Fd event = open_tracepoint(e.name);
    EXPECT_THAT(set_bpf(event.get(), reader(e.beyond).get()), SyscallFailsWithErrno(EACCES)) << e.name;
    EXPECT_THAT(set_bpf(event.get(), reader(e.last).get()), SyscallSucceeds()) << e.name;
  }
}

TEST_F(RawSyscallsTest, QueryTellsThePrograms) {
  const Attached first(open_tracepoint("sched/sched_process_fork"), load(BPF_PROG_TYPE_TRACEPOINT, counter()));
  const Attached second(open_tracepoint("sched/sched_process_fork"), load(BPF_PROG_TYPE_TRACEPOINT, counter()));
  struct {
    std::uint32_t ids_len, prog_cnt, ids[8];
  } query = {};
  ASSERT_THAT(ioctl(first.event(), PERF_EVENT_IOC_QUERY_BPF, &query), SyscallSucceeds());
  ASSERT_EQ(query.prog_cnt, 2u);
  query.ids_len = 1;
  EXPECT_THAT(ioctl(first.event(), PERF_EVENT_IOC_QUERY_BPF, &query), SyscallFailsWithErrno(ENOSPC));
  query.ids_len = 8;
  ASSERT_THAT(ioctl(first.event(), PERF_EVENT_IOC_QUERY_BPF, &query), SyscallSucceeds());
  EXPECT_EQ(query.ids[0], prog_id(first.prog()));
  EXPECT_EQ(query.ids[1], prog_id(second.prog()));
  query.ids_len = 65;
  EXPECT_THAT(ioctl(first.event(), PERF_EVENT_IOC_QUERY_BPF, &query), SyscallFailsWithErrno(E2BIG));
}

TEST_F(RawSyscallsTest, OtherIoctls) {
  const Fd event = open_tracepoint("raw_syscalls/sys_enter");
  struct perf_event_attr attr;
  std::memset(&attr, 0, sizeof attr);
  attr.size = sizeof attr;
  attr.type = PERF_TYPE_TRACEPOINT;
  EXPECT_THAT(ioctl(event.get(), PERF_EVENT_IOC_MODIFY_ATTRIBUTES, &attr), SyscallFailsWithErrno(EOPNOTSUPP));
  attr.type = PERF_TYPE_SOFTWARE;
  EXPECT_THAT(ioctl(event.get(), PERF_EVENT_IOC_MODIFY_ATTRIBUTES, &attr), SyscallFailsWithErrno(EINVAL));
  std::uint64_t period = 0;
  EXPECT_THAT(ioctl(event.get(), PERF_EVENT_IOC_PERIOD, &period), SyscallFailsWithErrno(EINVAL));
  period = 3;
  EXPECT_THAT(ioctl(event.get(), PERF_EVENT_IOC_PERIOD, &period), SyscallSucceeds());
  EXPECT_THAT(ioctl(event.get(), PERF_EVENT_IOC_PAUSE_OUTPUT, 1), SyscallFailsWithErrno(EINVAL)) << "it is not mapped";
  EXPECT_THAT(ioctl(event.get(), PERF_EVENT_IOC_SET_OUTPUT, event.get()), SyscallFailsWithErrno(EINVAL)) << "to itself";
  EXPECT_THAT(ioctl(event.get(), PERF_EVENT_IOC_SET_OUTPUT, 9999), SyscallFailsWithErrno(EBADF));
  EXPECT_THAT(ioctl(event.get(), PERF_EVENT_IOC_SET_OUTPUT, -1L), SyscallSucceeds());
}

TEST_F(RawSyscallsTest, SamplingRates) {
  struct perf_event_attr attr;
  std::memset(&attr, 0, sizeof attr);
  attr.size = sizeof attr;
  attr.type = PERF_TYPE_TRACEPOINT;
  attr.config = tracepoint_id("raw_syscalls/sys_enter");
  attr.sample_period = 1ull << 63;
  EXPECT_THAT(perf_event_open(attr, -1, 0), SyscallFailsWithErrno(EINVAL));
  attr.freq = 1;
  attr.sample_freq = 1u << 30;
  EXPECT_THAT(perf_event_open(attr, -1, 0), SyscallFailsWithErrno(EINVAL));
}

}  // namespace
}  // namespace skep::test
