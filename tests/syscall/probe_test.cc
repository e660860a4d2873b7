// Programs on tracepoints and kprobes: that they run, how often, and what they see. Linux: kernel/trace/bpf_trace.c,
// kernel/events/core.c:perf_event_set_bpf_prog(), kernel/trace/trace_syscalls.c, trace_kprobe.c.
#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

#include "events.h"

namespace skep::test {
namespace {

using ProbeTest = TracepointTest;

TEST_F(ProbeTest, CountsEveryCallOfThisProcess) {
  const Attached attached(open_tracepoint(kEnterGetppid), load(BPF_PROG_TYPE_TRACEPOINT, counter()));
  EXPECT_EQ(results_[0], 0u);
  fire();
  EXPECT_EQ(results_[0], 1u);
  fire(999);
  EXPECT_EQ(results_[0], 1000u);
  EXPECT_GT(getppid(), 0) << "by libc's own function too";
  EXPECT_EQ(results_[0], 1001u);
}

TEST_F(ProbeTest, CountsEveryThread) {
  const Attached attached(open_tracepoint(kEnterGetppid), load(BPF_PROG_TYPE_TRACEPOINT, counter()));
  std::jthread one(fire, 5000);
  std::jthread two(fire, 5000);
  fire(5000);
  one.join();
  two.join();
  EXPECT_EQ(results_[0], 15000u);
}

TEST_F(ProbeTest, SeesOtherProcesses) {
  // The child's events reach a program that was attached before the fork.
  int go[2];
  ASSERT_EQ(pipe2(go, O_CLOEXEC), 0);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    char byte;
    close(go[1]);
    if (read(go[0], &byte, 1) == 1) fire(10);
    _exit(0);
  }
  close(go[0]);
  {
    const Attached attached(open_tracepoint(kEnterGetppid),
                            load(BPF_PROG_TYPE_TRACEPOINT, ProgramText().only_process(child).count(results_.fd()).out()));
    EXPECT_EQ(write(go[1], "g", 1), 1);
    close(go[1]);
    int status = 0;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
    fire(3);
    EXPECT_EQ(results_[0], 10u);
  }
}

TEST_F(ProbeTest, StopsWhenTheEventIsClosed) {
  Attached attached(open_tracepoint(kEnterGetppid), load(BPF_PROG_TYPE_TRACEPOINT, counter()));
  fire(5);
  attached.reset();
  fire(5);
  EXPECT_EQ(results_[0], 5u);
}

TEST_F(ProbeTest, RunsOnWhenTheProgramFdIsClosed) {
  Fd event = open_tracepoint(kEnterGetppid);
  Fd prog = load(BPF_PROG_TYPE_TRACEPOINT, counter());
  ASSERT_THAT(set_bpf(event.get(), prog.get()), SyscallSucceeds());
  ASSERT_THAT(enable(event.get()), SyscallSucceeds());
  const std::uint32_t id = prog_id(prog.get());
  prog.reset();
  EXPECT_TRUE(id_exists(BPF_PROG_GET_FD_BY_ID, id)) << "the event holds it";
  fire(5);
  EXPECT_EQ(results_[0], 5u);
  event.reset();
  EXPECT_TRUE(id_vanishes(BPF_PROG_GET_FD_BY_ID, id));
}

TEST_F(ProbeTest, TwoProgramsOnTwoEventsOfOneTracepoint) {
  const auto counts_at = [&](std::uint32_t offset) {
    return load(BPF_PROG_TYPE_TRACEPOINT, ProgramText().only_process(getpid()).count(results_.fd(), offset).out());
  };
  const Attached one(open_tracepoint(kEnterGetppid), counts_at(0));
  {
    const Attached two(open_tracepoint(kEnterGetppid), counts_at(8));
    fire(4);
  }
  fire(3);
  EXPECT_EQ(results_[0], 7u);
  EXPECT_EQ(results_[1], 4u);
}

TEST_F(ProbeTest, AttachesAndDetachesManyTimes) {
  const Fd prog = load(BPF_PROG_TYPE_TRACEPOINT, counter());
  for (std::uint64_t round = 1; round <= 20; ++round) {
    Fd event = open_tracepoint(kEnterGetppid);
    ASSERT_THAT(set_bpf(event.get(), prog.get()), SyscallSucceeds());
    ASSERT_THAT(enable(event.get()), SyscallSucceeds());
    fire();
    ASSERT_EQ(results_[0], round);
    event.reset();
    fire();
    ASSERT_EQ(results_[0], round);
  }
}

TEST_F(ProbeTest, EntryShowsNumberAndArguments) {
  // struct trace_event_raw_sys_enter: long id at 8, args from 16.
  const ProgramText text = ProgramText()
                               .only_process(getpid())
                               .load(BPF_DW, R7, R6, 8)
                               .load(BPF_DW, R8, R6, 16)
                               .save(results_.fd(), 0, R7)
                               .save(results_.fd(), 8, R8)
                               .out();
  const Attached attached(open_tracepoint("syscalls/sys_enter_getpgid"), load(BPF_PROG_TYPE_TRACEPOINT, text));
  syscall(SYS_getpgid, 0x1234567);
  EXPECT_EQ(results_[0] & 0xffffffff, static_cast<std::uint64_t>(SYS_getpgid));
  EXPECT_EQ(results_[1], 0x1234567u);
}

TEST_F(ProbeTest, ExitShowsTheResult) {
  const ProgramText text =
      ProgramText().only_process(getpid()).load(BPF_DW, R7, R6, 16).save(results_.fd(), 0, R7).count(results_.fd(), 8).out();
  const Attached attached(open_tracepoint(kExitGetppid), load(BPF_PROG_TYPE_TRACEPOINT, text));
  fire();
  EXPECT_EQ(results_[0], static_cast<std::uint64_t>(getppid()));
  EXPECT_EQ(results_[1], 2u);
}

TEST_F(ProbeTest, ExitShowsTheErrno) {
  const ProgramText text = ProgramText().only_process(getpid()).load(BPF_DW, R7, R6, 16).save(results_.fd(), 0, R7).out();
  const Attached attached(open_tracepoint("syscalls/sys_exit_getpgid"), load(BPF_PROG_TYPE_TRACEPOINT, text));
  EXPECT_THAT(syscall(SYS_getpgid, 0x7ffffff0), SyscallFailsWithErrno(ESRCH));
  EXPECT_EQ(static_cast<std::int64_t>(results_[0]), -ESRCH);
}

TEST_F(ProbeTest, HelpersTellWhoAndWhen) {
  const ProgramText text = ProgramText()
                               .only_process(getpid())
                               .call(BPF_FUNC_get_current_pid_tgid)
                               .mov(R7, R0)
                               .save(results_.fd(), 0, R7)
                               .call(BPF_FUNC_get_current_uid_gid)
                               .mov(R7, R0)
                               .save(results_.fd(), 8, R7)
                               .call(BPF_FUNC_ktime_get_ns)
                               .mov(R7, R0)
                               .save(results_.fd(), 16, R7)
                               .call(BPF_FUNC_get_smp_processor_id)
                               .mov(R7, R0)
                               .save(results_.fd(), 24, R7)
                               .store(BPF_DW, R10, -16, 0)
                               .store(BPF_DW, R10, -8, 0)
                               .mov(R1, R10)
                               .alu(BPF_ADD, R1, -16)
                               .mov(R2, 16)
                               .call(BPF_FUNC_get_current_comm)
                               .load(BPF_DW, R7, R10, -16)
                               .save(results_.fd(), 32, R7)
                               .out();
  const Attached attached(open_tracepoint(kEnterGetppid), load(BPF_PROG_TYPE_TRACEPOINT, text));
  timespec before{}, after{};
  clock_gettime(CLOCK_MONOTONIC, &before);
  fire();
  clock_gettime(CLOCK_MONOTONIC, &after);
  const auto ns = [](const timespec& t) {
    return static_cast<std::uint64_t>(t.tv_sec) * 1000000000u + static_cast<std::uint64_t>(t.tv_nsec);
  };
  EXPECT_EQ(results_[0], (static_cast<std::uint64_t>(getpid()) << 32) | static_cast<std::uint64_t>(syscall(SYS_gettid)));
  EXPECT_EQ(results_[1], (static_cast<std::uint64_t>(getgid()) << 32) | getuid());
  EXPECT_GE(results_[2], ns(before));
  EXPECT_LE(results_[2], ns(after));
  EXPECT_LT(results_[3], possible_cpus());
  char comm[9] = {};
  const std::uint64_t word = results_[4];
  std::memcpy(comm, &word, sizeof word);
  std::string name = read_file("/proc/self/comm");
  name.pop_back();  // the newline
  EXPECT_EQ(comm, name.substr(0, 8));
}

TEST_F(ProbeTest, MapHelpersWorkFromPrograms) {
  const Fd hash(map_create({.key_size = 8, .value_size = 8, .max_entries = 2}));
  ASSERT_THAT(hash.get(), SyscallSucceeds());
  // hash[results[0]] = 1 when missing, += 1 when there; the update's answer goes to results[1].
  const ProgramText text = ProgramText()
                               .only_process(getpid())
                               .map_value(R1, results_.fd())
                               .load(BPF_DW, R7, R1, 0)
                               .store(BPF_DW, R10, -8, R7)
                               .map_fd(R1, hash.get())
                               .mov(R2, R10)
                               .alu(BPF_ADD, R2, -8)
                               .call(BPF_FUNC_map_lookup_elem)
                               .jump_if(BPF_JEQ, R0, 0, "missing")
                               .mov(R2, 1)
                               .atomic_add(R0, 0, R2)
                               .mov(R0, 0)
                               .exit()
                               .label("missing")
                               .store(BPF_DW, R10, -16, 1)
                               .map_fd(R1, hash.get())
                               .mov(R2, R10)
                               .alu(BPF_ADD, R2, -8)
                               .mov(R3, R10)
                               .alu(BPF_ADD, R3, -16)
                               .mov(R4, BPF_NOEXIST)
                               .call(BPF_FUNC_map_update_elem)
                               .mov(R7, R0)
                               .save(results_.fd(), 8, R7)
                               .out();
  const Attached attached(open_tracepoint(kEnterGetppid), load(BPF_PROG_TYPE_TRACEPOINT, text));
  for (const std::uint64_t key : {10u, 20u}) {
    results_.put(0, key);
    fire(3);
    std::uint64_t value = 0;
    ASSERT_THAT(map_lookup(hash.get(), &key, &value), SyscallSucceeds());
    EXPECT_EQ(value, 3u);
    EXPECT_EQ(results_[1], 0u);
  }
  results_.put(0, 30);
  fire();
  EXPECT_EQ(static_cast<std::int64_t>(results_[1]), -E2BIG) << "full";
}

TEST_F(ProbeTest, PercpuCountsAddUp) {
  const Fd percpu(map_create({.type = BPF_MAP_TYPE_PERCPU_ARRAY, .max_entries = 1}));
  ASSERT_THAT(percpu.get(), SyscallSucceeds());
  const ProgramText text = ProgramText()
                               .only_process(getpid())
                               .store(BPF_W, R10, -4, 0)
                               .mov(R2, R10)
                               .alu(BPF_ADD, R2, -4)
                               .map_fd(R1, percpu.get())
                               .call(BPF_FUNC_map_lookup_elem)
                               .jump_if(BPF_JEQ, R0, 0, "out")
                               .load(BPF_DW, R1, R0, 0)
                               .alu(BPF_ADD, R1, 1)
                               .store(BPF_DW, R0, 0, R1)
                               .out();
  const Attached attached(open_tracepoint(kEnterGetppid), load(BPF_PROG_TYPE_TRACEPOINT, text));
  std::jthread one(fire, 2000);
  std::jthread two(fire, 2000);
  one.join();
  two.join();
  const std::uint32_t key = 0;
  GuardedBuffer out(8 * possible_cpus());
  ASSERT_THAT(map_lookup(percpu.get(), &key, out.data()), SyscallSucceeds());
  std::uint64_t sum = 0;
  for (unsigned cpu = 0; cpu < possible_cpus(); ++cpu) sum += out.read<std::uint64_t>(8 * cpu);
  EXPECT_EQ(sum, 4000u) << "a slot is never shared by two runs";
}

TEST_F(ProbeTest, ReadsUserMemoryAndBadAddresses) {
  const char text_here[] = "secret";
  const ProgramText text = ProgramText()
                               .only_process(getpid())
                               .load(BPF_DW, R8, R6, 16)
                               .store(BPF_DW, R10, -8, 0)
                               .mov(R1, R10)
                               .alu(BPF_ADD, R1, -8)
                               .mov(R2, 8)
                               .mov(R3, R8)
                               .call(BPF_FUNC_probe_read_user_str)
                               .mov(R7, R0)
                               .save(results_.fd(), 0, R7)
                               .load(BPF_DW, R7, R10, -8)
                               .save(results_.fd(), 8, R7)
                               .out();
  const Attached attached(open_tracepoint("syscalls/sys_enter_chdir"), load(BPF_PROG_TYPE_TRACEPOINT, text));
  EXPECT_NE(syscall(SYS_chdir, text_here), 0);
  EXPECT_EQ(results_[0], sizeof text_here);
  std::uint64_t word = results_[1];
  EXPECT_STREQ(reinterpret_cast<const char*>(&word), "secret");
  EXPECT_THAT(syscall(SYS_chdir, bad_pointer()), SyscallFailsWithErrno(EFAULT));
  EXPECT_EQ(static_cast<std::int64_t>(results_[0]), -EFAULT);
}

// ---- perf_event_open and its ioctls
// -------------------------------------------------------------------------------------------------

TEST_F(ProbeTest, UnknownTracepoint) {
  struct perf_event_attr attr;
  std::memset(&attr, 0, sizeof attr);
  attr.size = sizeof attr;
  attr.type = PERF_TYPE_TRACEPOINT;
  attr.config = 60000;
  EXPECT_THAT(perf_event_open(attr, -1, 0), SyscallFailsWithErrno(EINVAL));
}

TEST_F(ProbeTest, SecondProgramOnOneEvent) {
  const Attached attached(open_tracepoint(kEnterGetppid), load(BPF_PROG_TYPE_TRACEPOINT, counter()));
  EXPECT_THAT(set_bpf(attached.event(), attached.prog()), SyscallFailsWithErrno(EEXIST));
  const Fd other = load(BPF_PROG_TYPE_TRACEPOINT, counter());
  EXPECT_THAT(set_bpf(attached.event(), other.get()), SyscallFailsWithErrno(EEXIST));
}

TEST_F(ProbeTest, WrongProgramsForTheEvent) {
  const Fd event = open_tracepoint(kEnterGetppid);
  for (const std::uint32_t type : {BPF_PROG_TYPE_KPROBE, BPF_PROG_TYPE_SOCKET_FILTER, BPF_PROG_TYPE_PERF_EVENT}) {
    const Fd prog(prog_load({.type = type, .insns = return_program(0)}));
    ASSERT_THAT(prog.get(), SyscallSucceeds());
    EXPECT_THAT(set_bpf(event.get(), prog.get()), SyscallFailsWithErrno(EINVAL)) << type;
  }
  EXPECT_THAT(set_bpf(event.get(), -1), SyscallFailsWithErrno(EBADF));
  EXPECT_THAT(set_bpf(event.get(), results_.fd()), SyscallFailsWithErrno(EINVAL)) << "a map";
}

TEST_F(ProbeTest, ProgramThatReadsBeyondTheEventsRecord) {
  // Linux: perf_event_set_bpf_prog() compares max_ctx_offset with the event's own size.
  const Fd event = open_tracepoint(kEnterGetppid);
  const Fd prog = load(BPF_PROG_TYPE_TRACEPOINT, ProgramText().load(BPF_DW, R0, R1, 64).mov(R0, 0).exit());
  EXPECT_THAT(set_bpf(event.get(), prog.get()), SyscallFailsWithErrno(EACCES));
}

TEST_F(ProbeTest, EnableAndDisableMayBeRepeated) {
  const Attached attached(open_tracepoint(kEnterGetppid), load(BPF_PROG_TYPE_TRACEPOINT, counter()));
  EXPECT_THAT(disable(attached.event()), SyscallSucceeds());
  EXPECT_THAT(disable(attached.event()), SyscallSucceeds());
  EXPECT_THAT(enable(attached.event()), SyscallSucceeds());
  EXPECT_THAT(enable(attached.event()), SyscallSucceeds());
  fire(2);
  EXPECT_EQ(results_[0], 2u);
}

TEST_F(ProbeTest, ProgramsOfATracepointRunWhateverTheEventsState) {
  // Linux: trace_syscalls.c:perf_syscall_enter() runs the tracepoint's programs before it looks for enabled events; the event need
  // only exist.
  const Fd prog = load(BPF_PROG_TYPE_TRACEPOINT, counter());
  const Fd event = open_tracepoint(kEnterGetppid);
  ASSERT_THAT(set_bpf(event.get(), prog.get()), SyscallSucceeds());
  ASSERT_THAT(disable(event.get()), SyscallSucceeds());
  fire(2);
  EXPECT_EQ(results_[0], 2u);
}

// ---- kprobes
// ------------------------------------------------------------------------------------------------------------------------

TEST_F(KprobeTest, CountsCalls) {
  const ProgramText text = ProgramText().only_process(getpid()).count(results_.fd()).out();
  const Attached attached(Fd(open_kprobe("__x64_sys_getppid", false)), load(BPF_PROG_TYPE_KPROBE, text));
  fire(1000);
  EXPECT_EQ(results_[0], 1000u);
}

TEST_F(KprobeTest, SeesTheArgumentsOfTheSyscall) {
  // __x64_sys_*(const struct pt_regs *regs): the caller's registers stand behind di (offset 112), its own di at the same offset
  // there.
  const ProgramText text = ProgramText()
                               .only_process(getpid())
                               .load(BPF_DW, R3, R6, 112)
                               .alu(BPF_ADD, R3, 112)
                               .store(BPF_DW, R10, -8, 0)
                               .mov(R1, R10)
                               .alu(BPF_ADD, R1, -8)
                               .mov(R2, 8)
                               .call(BPF_FUNC_probe_read_kernel)
                               .mov(R7, R0)
                               .save(results_.fd(), 0, R7)
                               .load(BPF_DW, R7, R10, -8)
                               .save(results_.fd(), 8, R7)
                               .out();
  const Attached attached(Fd(open_kprobe("__x64_sys_getpgid", false)), load(BPF_PROG_TYPE_KPROBE, text));
  syscall(SYS_getpgid, 0x1234567);
  EXPECT_EQ(results_[0], 0u);
  EXPECT_EQ(results_[1], 0x1234567u);
}

TEST_F(KprobeTest, ReturnProbeSeesTheResult) {
  // struct pt_regs: ax at offset 80.
  const ProgramText text =
      ProgramText().only_process(getpid()).load(BPF_DW, R7, R6, 80).save(results_.fd(), 0, R7).count(results_.fd(), 8).out();
  const Attached attached(Fd(open_kprobe("__x64_sys_getppid", true)), load(BPF_PROG_TYPE_KPROBE, text));
  fire(7);
  EXPECT_EQ(results_[0], static_cast<std::uint64_t>(getppid()));
  EXPECT_EQ(results_[1], 8u);
}

TEST_F(KprobeTest, UnknownFunctions) {
  EXPECT_THAT(open_kprobe("no_such_function_anywhere", false), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(open_kprobe("", false), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(open_kprobe(static_cast<const char*>(bad_pointer()), false), SyscallFailsWithErrno(EFAULT));
}

TEST_F(KprobeTest, WantsKprobePrograms) {
  const Fd event(open_kprobe("__x64_sys_getppid", false));
  ASSERT_THAT(event.get(), SyscallSucceeds());
  const Fd tracepoint(prog_load({.type = BPF_PROG_TYPE_TRACEPOINT, .insns = return_program(0)}));
  EXPECT_THAT(set_bpf(event.get(), tracepoint.get()), SyscallFailsWithErrno(EINVAL));
  const Fd kprobe(prog_load({.type = BPF_PROG_TYPE_KPROBE, .insns = return_program(0)}));
  EXPECT_THAT(set_bpf(event.get(), kprobe.get()), SyscallSucceeds());
  EXPECT_THAT(set_bpf(event.get(), kprobe.get()), SyscallFailsWithErrno(EEXIST));
}

TEST_F(KprobeTest, ProgramsRunWhateverTheEventsState) {
  // Linux: trace_kprobe.c:kprobe_perf_func() runs the programs before it looks for enabled events.
  const Attached attached(Fd(open_kprobe("__x64_sys_getppid", false)),
                          load(BPF_PROG_TYPE_KPROBE, ProgramText().only_process(getpid()).count(results_.fd()).out()));
  ASSERT_THAT(disable(attached.event()), SyscallSucceeds());
  fire(2);
  EXPECT_EQ(results_[0], 2u);
}

TEST_F(KprobeTest, EntryAndReturnTogether) {
  const auto counts_at = [&](std::uint32_t offset) {
    return load(BPF_PROG_TYPE_KPROBE, ProgramText().only_process(getpid()).count(results_.fd(), offset).out());
  };
  const Attached entry(Fd(open_kprobe("__x64_sys_getppid", false)), counts_at(0));
  const Attached exit(Fd(open_kprobe("__x64_sys_getppid", true)), counts_at(8));
  fire(10);
  EXPECT_EQ(results_[0], 10u);
  EXPECT_EQ(results_[1], 10u);
}

}  // namespace
}  // namespace skep::test
