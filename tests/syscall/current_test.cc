// Who a program's current task is: in threads, after fork, vfork and clone, and after it has changed its name or user; at events and in
// runs on demand. Linux: kernel/bpf/helpers.c:bpf_get_current_pid_tgid(), bpf_get_current_uid_gid(), bpf_get_current_comm(),
// kernel/trace/bpf_trace.c:bpf_get_current_task().
#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <thread>

#include "events.h"

namespace skep::test {
namespace {

constexpr long kMark = 0x5ce9;

/// What one task says of itself and what a program says of it: its pid_tgid, asked for twice, and where its task_struct is.
struct Seen {
  std::uint64_t own, program, again, task, task_again;
};

class CurrentTest : public TracepointTest {
 public:
  void look_into(Seen* out) const { *out = look(); }

 protected:
  void SetUp() override {
    TracepointTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    // Only calls with the mark: results are the last caller's pid_tgid, uid_gid and comm, pid_tgid once more, and its task twice.
    const ProgramText text = ProgramText()
                                 .load(BPF_DW, R7, R1, 16)
                                 .jump_if(BPF_JNE, R7, kMark, "out")
                                 .call(BPF_FUNC_get_current_pid_tgid)
                                 .mov(R7, R0)
                                 .save(results_.fd(), 0, R7)
                                 .call(BPF_FUNC_get_current_uid_gid)
                                 .mov(R7, R0)
                                 .save(results_.fd(), 8, R7)
                                 .store(BPF_DW, R10, -16, 0)
                                 .store(BPF_DW, R10, -8, 0)
                                 .mov(R1, R10)
                                 .alu(BPF_ADD, R1, -16)
                                 .mov(R2, 16)
                                 .call(BPF_FUNC_get_current_comm)
                                 .load(BPF_DW, R7, R10, -16)
                                 .save(results_.fd(), 16, R7)
                                 .call(BPF_FUNC_get_current_pid_tgid)
                                 .mov(R7, R0)
                                 .save(results_.fd(), 24, R7)
                                 .call(BPF_FUNC_get_current_task)
                                 .mov(R7, R0)
                                 .save(results_.fd(), 32, R7)
                                 .call(BPF_FUNC_get_current_task)
                                 .mov(R7, R0)
                                 .save(results_.fd(), 40, R7)
                                 .out();
    attached_ = Attached(open_tracepoint("syscalls/sys_enter_getpgid"), load(BPF_PROG_TYPE_TRACEPOINT, text));
    void* p = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ASSERT_NE(p, MAP_FAILED);
    shared_ = static_cast<Seen*>(p);
  }
  void TearDown() override {
    if (shared_ != nullptr) munmap(shared_, 4096);
  }

  /// An event, and what came of it. Only calls that a vfork child may make.
  Seen look() const {
    syscall(SYS_getpgid, kMark);
    const auto pid = static_cast<std::uint64_t>(syscall(SYS_getpid)), tid = static_cast<std::uint64_t>(syscall(SYS_gettid));
    std::uint64_t numbers[Results::kNumbers] = {};
    const std::uint32_t key = 0;
    map_lookup(results_.fd(), &key, numbers);
    return {pid << 32 | tid, numbers[0], numbers[3], numbers[4], numbers[5]};
  }
  void expect_itself(const Seen& seen, const char* who) const {
    EXPECT_EQ(seen.program, seen.own) << who;
    EXPECT_EQ(seen.again, seen.own) << who;
    EXPECT_NE(seen.task, 0u) << who;
    EXPECT_EQ(seen.task_again, seen.task) << who;
  }

  Attached attached_;
  Seen* shared_ = nullptr;
};

void reap(pid_t pid) {
  int status = -1;
  EXPECT_EQ(waitpid(pid, &status, 0), pid);
  EXPECT_EQ(status, 0);
}

TEST_F(CurrentTest, ThreadsOneAfterAnotherAndTheFirst) {
  expect_itself(look(), "main");
  for (int i = 0; i < 5; ++i) {  // the later ones on the stacks of those that are gone
    Seen seen{};
    std::thread([&] {
      look();
      seen = look();
    }).join();
    expect_itself(seen, "thread");
  }
  expect_itself(look(), "main again");
}

TEST_F(CurrentTest, ForkChildrenOfMainAndOfAThread) {
  expect_itself(look(), "main");
  const auto from_here = [&] {
    const pid_t pid = fork();
    if (pid == 0) {
      shared_[0] = look();
      std::thread([&] { shared_[1] = look(); }).join();
      shared_[2] = look();
      const pid_t grandchild = fork();
      if (grandchild == 0) {
        shared_[3] = look();
        _exit(0);
      }
      int status = -1;
      _exit(waitpid(grandchild, &status, 0) == grandchild && status == 0 ? 0 : 1);
    }
    reap(pid);
    for (int i = 0; i < 4; ++i) expect_itself(shared_[i], "descendant");
    expect_itself(look(), "parent");
  };
  from_here();
  std::thread([&] {
    look();
    from_here();
  }).join();
}

TEST_F(CurrentTest, VforkChildrenAndTheirParent) {
  for (const bool looked_before : {false, true}) {
    std::thread([&] {  // one that no program has seen yet, or has
      if (looked_before) look();
      for (int round = 0; round < 3; ++round) {
        const pid_t pid = vfork();
        if (pid == 0) {
          shared_[0] = look();
          shared_[1] = look();
          _exit(0);
        }
        reap(pid);
        expect_itself(shared_[0], "child");
        expect_itself(shared_[1], "child again");
        expect_itself(look(), "parent");
        expect_itself(look(), "parent again");
      }
    }).join();
  }
}

TEST_F(CurrentTest, ForkAfterVforkAndVforkInAForkChild) {
  if (const pid_t pid = vfork(); pid == 0)
    _exit(0);
  else
    reap(pid);
  const pid_t pid = fork();
  if (pid == 0) {
    shared_[0] = look();
    const pid_t child = vfork();
    if (child == 0) {
      shared_[1] = look();
      _exit(0);
    }
    int status = -1;
    const bool ended = waitpid(child, &status, 0) == child && status == 0;
    shared_[2] = look();
    _exit(ended ? 0 : 1);
  }
  reap(pid);
  for (int i = 0; i < 3; ++i) expect_itself(shared_[i], "descendant");
  expect_itself(look(), "parent");
}

TEST_F(CurrentTest, ChildOnItsOwnStackInOurMemory) {
  struct Arg {
    const CurrentTest* test;
    Seen* out;
  } arg{this, shared_};
  const auto child = [](void* p) {
    auto* a = static_cast<Arg*>(p);
    a->test->look_into(a->out);
    return 0;
  };
  expect_itself(look(), "parent before");
  std::vector<char> stack(256 * 1024);
  const pid_t pid = clone(child, stack.data() + stack.size() - 64, CLONE_VM | CLONE_VFORK | SIGCHLD, &arg);
  ASSERT_GT(pid, 0);
  reap(pid);
  expect_itself(shared_[0], "child");
  expect_itself(look(), "parent");
}

TEST_F(CurrentTest, NameGivenByAnotherThread) {
  std::atomic<int> step = 0;
  std::atomic<long> tid = 0;
  std::uint64_t before = 0, after = 0;
  std::jthread named([&] {
    look();
    before = results_[2];
    tid = syscall(SYS_gettid);
    step = 1;
    step.notify_all();
    step.wait(1);
    look();
    after = results_[2];
  });
  step.wait(0);
  std::ofstream("/proc/self/task/" + std::to_string(tid) + "/comm") << "renamed";
  step = 2;
  step.notify_all();
  named.join();
  EXPECT_NE(before, after);
  EXPECT_STREQ(reinterpret_cast<const char*>(&after), "renamed");
}

/// A program that answers with half of its pid_tgid. It is looked at once, and again, and by two calls in one run.
class CurrentOnDemand : public BpfTest {
 protected:
  void SetUp() override {
    BpfTest::SetUp();
    for (const bool upper : {false, true}) {
      ProgramText text;
      text.call(BPF_FUNC_get_current_pid_tgid).mov(R6, R0).call(BPF_FUNC_get_current_pid_tgid);
      text.raw(insn(BPF_ALU64 | BPF_SUB | BPF_X, R6, R0, 0, 0)).raw(insn(BPF_ALU64 | BPF_OR | BPF_X, R0, R6, 0, 0));
      if (upper) text.alu(BPF_RSH, R0, 32);
      half_[upper] = load(BPF_PROG_TYPE_SCHED_CLS, text.exit());
    }
    void* p = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ASSERT_NE(p, MAP_FAILED);
    shared_ = static_cast<bool*>(p);
  }
  void TearDown() override {
    if (shared_ != nullptr) munmap(shared_, 4096);
  }
  /// Only calls that a vfork child may make.
  bool is_itself() const {
    return answer(half_[0]) == syscall(SYS_gettid) && answer(half_[1]) == syscall(SYS_getpid);
  }
  long answer(const Fd& prog) const {
    unsigned char packet[64] = {};
    union bpf_attr attr = zero_attr();
    attr.test.prog_fd = static_cast<std::uint32_t>(prog.get());
    attr.test.data_in = user_ptr(packet);
    attr.test.data_size_in = sizeof packet;
    attr.test.repeat = 3;
    return bpf(BPF_PROG_TEST_RUN, attr) == 0 ? static_cast<long>(attr.test.retval) : -1;
  }

  Fd half_[2];
  bool* shared_ = nullptr;
};

TEST_F(CurrentOnDemand, ThreadsAndChildren) {
  EXPECT_TRUE(is_itself());
  const auto children_of_this_one = [&] {
    for (const bool with_vfork : {false, true}) {
      shared_[0] = shared_[1] = false;
      const pid_t pid = with_vfork ? vfork() : fork();
      if (pid == 0) {
        shared_[0] = is_itself();
        shared_[1] = is_itself();
        _exit(0);
      }
      reap(pid);
      EXPECT_TRUE(shared_[0] && shared_[1]) << (with_vfork ? "vfork" : "fork");
      EXPECT_TRUE(is_itself());
    }
  };
  children_of_this_one();
  std::thread([&] {
    EXPECT_TRUE(is_itself());
    children_of_this_one();
  }).join();
  EXPECT_TRUE(is_itself());
}

TEST_F(CurrentTest, UserChangedMeanwhile) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root to become somebody else";
  look();
  EXPECT_EQ(results_[1], static_cast<std::uint64_t>(getgid()) << 32 | getuid());
  const pid_t pid = fork();
  if (pid == 0) {
    look();
    const bool changed = syscall(SYS_setresgid, 1234, 1234, -1) == 0 && syscall(SYS_setresuid, 4321, 4321, -1) == 0;
    syscall(SYS_getpgid, kMark);
    _exit(changed ? 0 : 1);
  }
  reap(pid);
  EXPECT_EQ(results_[1], std::uint64_t{1234} << 32 | 4321);
}

}  // namespace
}  // namespace skep::test
