// What programs do to the process they run in, and what they learn of its place: signals, its memory, answers of its calls,
// cgroups, its pid namespace. Linux: kernel/trace/bpf_trace.c, kernel/bpf/helpers.c
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <fstream>
#include <thread>

#include "events.h"

namespace skep::test {
namespace {

std::uint64_t number(long v) { return static_cast<std::uint64_t>(v); }

volatile int g_signals, g_code, g_tid;

void on_signal(int, siginfo_t* info, void*) {
  g_signals = g_signals + 1;
  g_code = info->si_code;
  g_tid = static_cast<int>(syscall(SYS_gettid));
}

class ProcessHelpersTest : public TracepointTest {
 protected:
  /// At this process's events: results[0] = what the helper answers. `args` sets its registers; r6 is the context.
  Attached helper(const ProgramText& args, int id) {
    ProgramText text = args;
    return Attached(open_tracepoint(kEnterGetppid),
                    load(BPF_PROG_TYPE_TRACEPOINT, text.call(id).mov(R7, R0).save(results_.fd(), 0, R7).out()));
  }
  static ProgramText here() { return ProgramText().only_process(getpid()); }
};

class Handler {
 public:
  Handler() {
    g_signals = 0;
    g_code = 0;
    g_tid = 0;
    struct sigaction action = {};
    action.sa_sigaction = on_signal;
    action.sa_flags = SA_SIGINFO;
    sigaction(SIGUSR1, &action, &before_);
  }
  ~Handler() { sigaction(SIGUSR1, &before_, nullptr); }

 private:
  struct sigaction before_;
};

TEST_F(ProcessHelpersTest, SignalToTheProcess) {
  const Handler handler;
  const Attached a = helper(here().mov(R1, SIGUSR1), BPF_FUNC_send_signal);
  fire();
  EXPECT_EQ(results_[0], 0u);
  EXPECT_EQ(g_signals, 1);
  EXPECT_EQ(g_code, SI_KERNEL);
  fire(3);
  EXPECT_EQ(g_signals, 4);
}

TEST_F(ProcessHelpersTest, SignalToTheThread) {
  const Handler handler;
  const Attached a = helper(here().mov(R1, SIGUSR1), BPF_FUNC_send_signal_thread);
  int tid = 0;
  std::thread([&] {
    tid = static_cast<int>(syscall(SYS_gettid));
    fire();
  }).join();
  EXPECT_EQ(results_[0], 0u);
  EXPECT_EQ(g_signals, 1);
  EXPECT_EQ(g_tid, tid);
  EXPECT_EQ(g_code, SI_KERNEL);
}

TEST_F(ProcessHelpersTest, SignalThatIsNone) {
  const Handler handler;
  for (const int helper_id : {BPF_FUNC_send_signal, BPF_FUNC_send_signal_thread}) {
    {
      const Attached a = helper(here().mov(R1, 65), helper_id);
      fire();
      EXPECT_EQ(results_[0], number(-EINVAL));
    }
    const Attached a = helper(here().mov(R1, 0), helper_id);
    fire();
    EXPECT_EQ(results_[0], 0u);
  }
  EXPECT_EQ(g_signals, 0);
}

TEST_F(ProcessHelpersTest, WriteUser) {
  static volatile std::uint64_t target;
  target = 1;
  const ProgramText probe = ProgramText()
                                .store(BPF_DW, R10, -8, 0)
                                .mov(R1, 8)
                                .mov(R2, R10)
                                .alu(BPF_ADD, R2, -8)
                                .mov(R3, 8)
                                .call(BPF_FUNC_probe_write_user)
                                .out();
  const Fd allowed(prog_load({.type = BPF_PROG_TYPE_TRACEPOINT, .insns = probe.build()}));
  if (native() && allowed.get() < 0) GTEST_SKIP() << "a kernel that is locked down";
  const auto write_to = [&](std::uint64_t address) {
    const Attached a = helper(here().store(BPF_DW, R10, -8, 4711).imm64(R1, address).mov(R2, R10).alu(BPF_ADD, R2, -8).mov(R3, 8),
                              BPF_FUNC_probe_write_user);
    fire();
    return results_[0];
  };
  EXPECT_EQ(write_to(reinterpret_cast<std::uint64_t>(&target)), 0u);
  EXPECT_EQ(target, 4711u);
  EXPECT_EQ(write_to(user_ptr(bad_pointer())), number(-EFAULT));
  EXPECT_EQ(write_to(user_ptr("read-only")), number(-EFAULT));
  EXPECT_EQ(write_to(0xffffffff81000000), number(-EFAULT)) << "not the process's";
}

TEST_F(ProcessHelpersTest, PidNamespace) {
  struct stat ns;
  ASSERT_EQ(stat("/proc/self/ns/pid", &ns), 0);
  const auto ask = [&](std::uint64_t dev, std::uint64_t ino, int size) {
    const Attached a = helper(here().imm64(R1, dev).imm64(R2, ino).map_value(R3, results_.fd(), 8).mov(R4, size),
                              BPF_FUNC_get_ns_current_pid_tgid);
    results_.put(1, 99);
    fire();
    return results_[0];
  };
  EXPECT_EQ(ask(ns.st_dev, ns.st_ino, 8), 0u);
  EXPECT_EQ(results_[1], static_cast<std::uint64_t>(getpid()) << 32 | static_cast<std::uint32_t>(syscall(SYS_gettid)));
  EXPECT_EQ(ask(ns.st_dev, ns.st_ino + 1, 8), number(-EINVAL));
  EXPECT_EQ(results_[1], 0u);
  EXPECT_EQ(ask(ns.st_dev + (1ULL << 40), ns.st_ino, 8), number(-EINVAL));
  EXPECT_EQ(ask(ns.st_dev, ns.st_ino, 16), number(-EINVAL));
}

/// The directory of this process's cgroup of version 2, and where that hierarchy is mounted; empty where there is none.
std::pair<std::string, std::string> own_cgroup() {
  std::string mount, path;
  std::ifstream mounts("/proc/self/mounts"), cgroups("/proc/self/cgroup");
  for (std::string line; std::getline(mounts, line);) {
    if (line.find(" cgroup2 ") == std::string::npos) continue;
    const std::size_t from = line.find(' ') + 1;
    mount = line.substr(from, line.find(' ', from) - from);
  }
  for (std::string line; std::getline(cgroups, line);)
    if (line.rfind("0::", 0) == 0) path = line.substr(3);
  return {mount, mount.empty() || path.empty() ? "" : mount + (path == "/" ? "" : path)};
}

TEST_F(ProcessHelpersTest, Cgroups) {
  const auto [mount, own] = own_cgroup();
  struct stat root, self;
  if (own.empty() || stat(mount.c_str(), &root) != 0 || stat(own.c_str(), &self) != 0)
    GTEST_SKIP() << "no cgroups of version 2 to be seen";
  const auto id_of = [&](int level) {
    const Attached a = level < 0 ? helper(here(), BPF_FUNC_get_current_cgroup_id)
                                 : helper(here().mov(R1, level), BPF_FUNC_get_current_ancestor_cgroup_id);
    fire();
    return results_[0];
  };
  EXPECT_EQ(id_of(-1), self.st_ino);
  EXPECT_EQ(id_of(0), root.st_ino);
  EXPECT_EQ(id_of(1000), 0u);
}

TEST_F(ProcessHelpersTest, CgroupArray) {
  const auto [mount, own] = own_cgroup();
  const Fd map(map_create({.type = BPF_MAP_TYPE_CGROUP_ARRAY, .value_size = 4, .max_entries = 3, .name = "cgroups"}));
  ASSERT_THAT(map.get(), SyscallSucceeds());
  const auto under = [&](int index) {
    const Attached a = helper(here().map_fd(R1, map.get()).mov(R2, index), BPF_FUNC_current_task_under_cgroup);
    fire();
    return results_[0];
  };
  std::uint32_t key = 0, value = 0;
  EXPECT_EQ(under(0), number(-EAGAIN));
  EXPECT_EQ(under(3), number(-E2BIG));
  EXPECT_THAT(map_lookup(map.get(), &key, &value), SyscallFailsWithErrno(kENOTSUPP));
  EXPECT_THAT(map_delete(map.get(), &key), SyscallFailsWithErrno(ENOENT));
  const Fd other(open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  EXPECT_THAT(map_update(map.get(), &key, &(value = static_cast<std::uint32_t>(other.get()))), SyscallFailsWithErrno(EBADF));
  EXPECT_THAT(map_update(map.get(), &key, &(value = 999)), SyscallFailsWithErrno(EBADF));
  EXPECT_THAT(map_update(map.get(), &(key = 3), &value), SyscallFailsWithErrno(E2BIG));
  EXPECT_THAT(map_update(map.get(), &(key = 0), &value, BPF_NOEXIST), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(map_delete(map.get(), &(key = 3)), SyscallFailsWithErrno(E2BIG));
  if (own.empty()) GTEST_SKIP() << "no cgroups of version 2 to be seen";
  const Fd dir(open(own.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (dir.get() < 0) GTEST_SKIP() << "its directory is not to be seen";
  ASSERT_THAT(map_update(map.get(), &(key = 0), &(value = static_cast<std::uint32_t>(dir.get()))), SyscallSucceeds());
  EXPECT_EQ(under(0), 1u);
  EXPECT_EQ(under(1), number(-EAGAIN));
  EXPECT_THAT(map_delete(map.get(), &key), SyscallSucceeds());
  EXPECT_EQ(under(0), number(-EAGAIN));
}

class OverrideTest : public KprobeTest {};

TEST_F(OverrideTest, TheCallAnswersWhatTheProgramSays) {
  {
    Fd event(open_kprobe("__x64_sys_getppid", false));
    const Attached a(std::move(event), load(BPF_PROG_TYPE_KPROBE, ProgramText()
                                                                      .only_process(getpid())
                                                                      .mov(R1, R6)
                                                                      .mov(R2, -EPERM)
                                                                      .call(BPF_FUNC_override_return)
                                                                      .mov(R7, R0)
                                                                      .save(results_.fd(), 0, R7)
                                                                      .count(results_.fd(), 8)
                                                                      .out()));
    errno = 0;
    EXPECT_EQ(syscall(SYS_getppid), -1);
    EXPECT_EQ(errno, EPERM);
    EXPECT_EQ(results_[0], 0u);
    EXPECT_EQ(results_[1], 1u);
  }
  EXPECT_GT(syscall(SYS_getppid), 0);
}

}  // namespace
}  // namespace skep::test
