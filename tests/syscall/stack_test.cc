// Stacks: bpf_get_stackid(), bpf_get_stack() and maps of stacks, of a chain of calls that is known. This file is compiled with
// frame pointers. Linux: kernel/bpf/stackmap.c
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <fstream>
#include <vector>

#include "events.h"

namespace skep::test {
namespace {

constexpr std::uint64_t kUser = BPF_F_USER_STACK;
using Ips = std::vector<std::uint64_t>;

/// Where the chain below goes back to, innermost first.
std::array<std::uint64_t, 3> g_back;

[[gnu::noinline]] void innermost(void (*event)()) {
  g_back[0] = reinterpret_cast<std::uint64_t>(__builtin_return_address(0));
  event();
  asm volatile("");  // no tail call
}
[[gnu::noinline]] void middle(void (*event)()) {
  g_back[1] = reinterpret_cast<std::uint64_t>(__builtin_return_address(0));
  innermost(event);
  asm volatile("");
}
[[gnu::noinline]] void outermost(void (*event)()) {
  g_back[2] = reinterpret_cast<std::uint64_t>(__builtin_return_address(0));
  middle(event);
  asm volatile("");
}
/// libc's getppid() has no frame, and a walk that begins in it misses its caller.
void event() { getppid(); }
[[gnu::noinline]] void other_event(void (*e)()) {
  e();
  asm volatile("");
}

std::uint64_t number(long v) { return static_cast<std::uint64_t>(v); }

class StackTest : public TracepointTest {
 protected:
  Fd stack_map(std::uint32_t depth, std::uint32_t entries = 64, std::uint32_t flags = 0) {
    Fd map(map_create({.type = BPF_MAP_TYPE_STACK_TRACE,
                       .value_size = depth * ((flags & BPF_F_STACK_BUILD_ID) != 0 ? 32 : 8),
                       .max_entries = entries,
                       .flags = flags,
                       .name = "stacks"}));
    EXPECT_THAT(map.get(), SyscallSucceeds());
    return map;
  }
  /// results[0] = what bpf_get_stackid() answers at this process's next event
  Attached id_program(const Fd& map, std::uint64_t flags) {
    return attach(ProgramText()
                      .only_process(getpid())
                      .mov(R1, R6)
                      .map_fd(R2, map.get())
                      .imm64(R3, flags)
                      .call(BPF_FUNC_get_stackid)
                      .mov(R7, R0)
                      .save(results_.fd(), 0, R7)
                      .out());
  }
  /// results[0] = what bpf_get_stack() answers with `size` bytes, which go to results[1...]
  Attached stack_program(int size, std::uint64_t flags) {
    return attach(ProgramText()
                      .only_process(getpid())
                      .mov(R1, R6)
                      .map_value(R2, results_.fd(), 8)
                      .mov(R3, size)
                      .imm64(R4, flags)
                      .call(BPF_FUNC_get_stack)
                      .mov(R7, R0)
                      .save(results_.fd(), 0, R7)
                      .out());
  }
  Attached attach(const ProgramText& text) {
    return Attached(open_tracepoint(kEnterGetppid), load(BPF_PROG_TYPE_TRACEPOINT, text));
  }
  Ips read(const Fd& map, std::uint64_t id, std::uint32_t depth) {
    Ips ips(depth);
    const auto key = static_cast<std::uint32_t>(id);
    if (map_lookup(map.get(), &key, ips.data()) != 0) return {};
    return ips;
  }
};

TEST_F(StackTest, UserStackById) {
  const Fd map = stack_map(4);
  const Attached a = id_program(map, kUser);
  outermost(event);
  const std::uint64_t id = results_[0];
  ASSERT_LT(id, 64u);
  const Ips ips = read(map, id, 4);
  ASSERT_EQ(ips.size(), 4u);
  // libc's getppid(), event() or not, then the chain.
  const std::size_t at = ips[1] == g_back[0] ? 1 : 2;
  EXPECT_EQ(ips[at], g_back[0]);
  EXPECT_EQ(ips[at + 1], g_back[1]);
  const auto* code = reinterpret_cast<const unsigned char*>(ips[0]);
  EXPECT_EQ(code[-2], 0x0f);  // behind a system call
  EXPECT_EQ(code[-1], 0x05);
  outermost(event);
  EXPECT_EQ(results_[0], id) << "the same stack";
  other_event(event);
  EXPECT_NE(results_[0], id) << "another";
}

TEST_F(StackTest, SkippedEntries) {
  const Fd map = stack_map(2);
  Ips all;
  {
    const Attached a = stack_program(40, kUser);
    outermost(event);
    ASSERT_EQ(results_[0], 40u);
    for (std::size_t i = 1; i <= 5; ++i) all.push_back(results_[i]);
  }
  const Attached a = id_program(map, kUser | 2);
  outermost(event);
  ASSERT_LT(results_[0], 64u);
  EXPECT_EQ(read(map, results_[0], 2), Ips(all.begin() + 2, all.begin() + 4));
}

TEST_F(StackTest, StackIntoMemory) {
  const Attached a = stack_program(32, kUser);
  outermost(event);
  ASSERT_EQ(results_[0], 32u);
  const std::size_t at = results_[2] == g_back[0] ? 2 : 3;
  EXPECT_EQ(results_[at], g_back[0]);
  EXPECT_EQ(results_[at + 1], g_back[1]);
}

TEST_F(StackTest, Refusals) {
  const Fd map = stack_map(4);
  const auto id_of = [&](std::uint64_t flags) {
    const Attached a = id_program(map, flags);
    outermost(event);
    return results_[0];
  };
  EXPECT_EQ(id_of(kUser | BPF_F_USER_BUILD_ID), number(-EINVAL));
  EXPECT_EQ(id_of(kUser | 1u << 20), number(-EINVAL));
  EXPECT_EQ(id_of(kUser | 255), number(-EFAULT)) << "more skipped than there is";
  const auto stack_of = [&](int size, std::uint64_t flags) {
    for (std::size_t i = 1; i < Results::kNumbers; ++i) results_.put(i, 77);
    const Attached a = stack_program(size, flags);
    outermost(event);
    return results_[0];
  };
  EXPECT_EQ(stack_of(20, kUser), number(-EINVAL)) << "not whole addresses";
  EXPECT_EQ(results_[1], 0u) << "cleared";
  EXPECT_EQ(results_[4], 77u) << "nothing behind";
  EXPECT_EQ(stack_of(16, kUser | BPF_F_REUSE_STACKID), number(-EINVAL));
  EXPECT_EQ(stack_of(32, BPF_F_USER_BUILD_ID), number(-EINVAL)) << "of the kernel";
  EXPECT_EQ(stack_of(24, kUser | BPF_F_USER_BUILD_ID), number(-EINVAL)) << "not whole build ids";
  EXPECT_EQ(stack_of(16, kUser | 255), number(-EFAULT));
  EXPECT_EQ(results_[1], 0u);
  EXPECT_EQ(stack_of(0, kUser), 0u);
}

TEST_F(StackTest, OneBucket) {
  const Fd map = stack_map(4, 1);
  {
    const Attached a = id_program(map, kUser);
    outermost(event);
    EXPECT_EQ(results_[0], 0u);
    other_event(event);
    EXPECT_EQ(results_[0], number(-EEXIST));
  }
  const Ips first = read(map, 0, 4);
  {
    const Attached a = id_program(map, kUser | BPF_F_REUSE_STACKID);
    other_event(event);
    EXPECT_EQ(results_[0], number(-ENOMEM)) << "a new one wants room before the old one goes";
    EXPECT_EQ(read(map, 0, 4), first);
    outermost(event);
    EXPECT_EQ(results_[0], 0u);
    const std::uint32_t key = 0;
    EXPECT_THAT(map_delete(map.get(), &key), SyscallSucceeds());
    EXPECT_THAT(map_delete(map.get(), &key), SyscallFailsWithErrno(ENOENT));
    other_event(event);
    EXPECT_EQ(results_[0], 0u);
    EXPECT_NE(read(map, 0, 4), first);
  }
}

TEST_F(StackTest, MapFromUserSpace) {
  const Fd map = stack_map(4, 5);  // eight buckets
  std::uint32_t key = 8, next = 0;
  Ips value(4);
  EXPECT_THAT(map_lookup(map.get(), &key, value.data()), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(map_delete(map.get(), &key), SyscallFailsWithErrno(E2BIG));
  EXPECT_THAT(map_update(map.get(), &key, value.data()), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(map_get_next_key(map.get(), nullptr, &next), SyscallFailsWithErrno(ENOENT));
  const Attached a = id_program(map, kUser);
  outermost(event);
  ASSERT_LT(results_[0], 8u);
  EXPECT_THAT(map_get_next_key(map.get(), nullptr, &next), SyscallSucceeds());
  EXPECT_EQ(next, results_[0]);
  key = next;
  EXPECT_THAT(map_get_next_key(map.get(), &key, &next), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(map_lookup(map.get(), &key, value.data()), SyscallSucceeds());
  key = 100;  // none: from the start
  EXPECT_THAT(map_get_next_key(map.get(), &key, &next), SyscallSucceeds());
  EXPECT_EQ(next, results_[0]);
}

TEST_F(StackTest, BuildIds) {
  const Fd map = stack_map(4, 64, BPF_F_STACK_BUILD_ID);
  const Attached a = id_program(map, kUser);
  outermost(event);
  ASSERT_LT(results_[0], 64u);
  const auto key = static_cast<std::uint32_t>(results_[0]);
  std::array<struct bpf_stack_build_id, 4> entries;
  ASSERT_THAT(map_lookup(map.get(), &key, entries.data()), SyscallSucceeds());
  for (const auto& e : entries) {
    EXPECT_TRUE(e.status == BPF_STACK_BUILD_ID_VALID || e.status == BPF_STACK_BUILD_ID_IP) << e.status;
    EXPECT_NE(e.ip, 0u);
  }
}

int g_run_on_demand;
void run_on_demand() {
  union bpf_attr attr = zero_attr();
  attr.test.prog_fd = static_cast<std::uint32_t>(g_run_on_demand);
  syscall(SYS_bpf, BPF_PROG_TEST_RUN, &attr, sizeof attr);
}

TEST_F(StackTest, OfARunOnDemand) {
  const Fd prog = load(BPF_PROG_TYPE_RAW_TRACEPOINT, ProgramText()
                                                         .map_value(R2, results_.fd(), 8)
                                                         .mov(R3, 32)
                                                         .imm64(R4, kUser)
                                                         .call(BPF_FUNC_get_stack)
                                                         .mov(R7, R0)
                                                         .save(results_.fd(), 0, R7)
                                                         .out());
  g_run_on_demand = prog.get();
  outermost(run_on_demand);
  ASSERT_EQ(results_[0], 32u);
  const std::size_t at = results_[2] == g_back[0] ? 2 : 3;
  EXPECT_EQ(results_[at], g_back[0]);
  EXPECT_EQ(results_[at + 1], g_back[1]);
}

class KernelStackTest : public KprobeTest {};

TEST_F(KernelStackTest, BeginsAtTheProbedFunction) {
  const Fd event(open_kprobe("__x64_sys_getppid", false));
  const Attached a(Fd(dup(event.get())), load(BPF_PROG_TYPE_KPROBE, ProgramText()
                                                                        .only_process(getpid())
                                                                        .mov(R1, R6)
                                                                        .map_value(R2, results_.fd(), 8)
                                                                        .mov(R3, 8)
                                                                        .mov(R4, 0)
                                                                        .call(BPF_FUNC_get_stack)
                                                                        .mov(R7, R0)
                                                                        .save(results_.fd(), 0, R7)
                                                                        .mov(R1, R6)
                                                                        .call(BPF_FUNC_get_func_ip)
                                                                        .mov(R7, R0)
                                                                        .save(results_.fd(), 16, R7)
                                                                        .out()));
  fire();
  std::uint64_t address = 0;
  std::ifstream symbols("/proc/kallsyms");
  for (std::string line; std::getline(symbols, line);) {
    char name[200];
    unsigned long long at;
    if (std::sscanf(line.c_str(), "%llx %*c %199s", &at, name) == 2 && std::string(name) == "__x64_sys_getppid") address = at;
  }
  EXPECT_EQ(results_[0], 8u);
  EXPECT_EQ(results_[2], address);
  EXPECT_TRUE(results_[1] >= address && results_[1] < address + 16) << std::hex << results_[1];
}

}  // namespace
}  // namespace skep::test
