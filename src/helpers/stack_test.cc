// Stacks of a process that is the test's own memory.
#include "helpers/helper_list.h"
#include "helpers/run_fixture_test.h"
#include "maps/stack_trace.h"

namespace skep::test {
namespace {

/// What a pushed frame pointer and a return address look like on a stack.
struct Frame {
  u64 next, return_address;
};

class StackHelpers : public RunFixture {
 protected:
  /// A run whose program is at `ip` with `frames`, each leading to the one behind it, the last to `end`.
  RunCtx& at(u64 ip, std::vector<Frame>& frames, u64 end = 0) {
    RunCtx& run = prepare({});
    for (size_t i = 0; i < frames.size(); ++i) frames[i].next = i + 1 < frames.size() ? reinterpret_cast<u64>(&frames[i + 1]) : end;
    run.user = {ip, 0, frames.empty() ? end : reinterpret_cast<u64>(frames.data())};
    return run;
  }
  static std::vector<Frame> returning_to(std::initializer_list<u64> addresses) {
    std::vector<Frame> frames;
    for (const u64 a : addresses) frames.push_back({0, a});
    return frames;
  }
  /// What bpf_get_stack() answers, and the words it leaves.
  s64 get_stack(RunCtx& run, u64 flags, u32 size) {
    words_.assign(20, 77);
    return static_cast<s64>(bpf_get_stack(run, 0, reinterpret_cast<u64>(words_.data()), size, flags, 0));
  }
  std::vector<u64> words_;
};

TEST_F(StackHelpers, FollowsFramePointers) {
  auto frames = returning_to({0x20, 0x30, 0x40});
  RunCtx& run = at(0x10, frames);
  EXPECT_EQ(get_stack(run, BPF_F_USER_STACK, 48), 32);
  EXPECT_EQ(words_, (std::vector<u64>{0x10, 0x20, 0x30, 0x40, 0, 0, 77, 77, 77, 77, 77, 77, 77, 77, 77, 77, 77, 77, 77, 77}));
  EXPECT_EQ(get_stack(run, BPF_F_USER_STACK, 16), 16);
  EXPECT_EQ(words_[1], 0x20u);
  EXPECT_EQ(words_[2], 77u);
  EXPECT_EQ(get_stack(run, BPF_F_USER_STACK | 2, 16), 16);
  EXPECT_EQ(words_[0], 0x30u);
  EXPECT_EQ(words_[1], 0x40u);
  EXPECT_EQ(get_stack(run, BPF_F_USER_STACK | 4, 16), 0);
  EXPECT_EQ(words_[0], 0u);
  EXPECT_EQ(get_stack(run, BPF_F_USER_STACK | 5, 16), -EFAULT);
}

TEST_F(StackHelpers, EndsWhereNothingCanBeRead) {
  const HalfMapped half;
  auto frames = returning_to({0x20});
  EXPECT_EQ(get_stack(at(0x10, frames, reinterpret_cast<u64>(half.unreadable()) - 8), BPF_F_USER_STACK, 80), 16);
  // The session's own memory is no stack of a program's.
  EXPECT_EQ(get_stack(at(0x10, frames, reinterpret_cast<u64>(host_->view().ram)), BPF_F_USER_STACK, 80), 16);
  EXPECT_EQ(get_stack(at(0x10, frames, 0xffffffff81000000), BPF_F_USER_STACK, 80), 16);
  EXPECT_EQ(get_stack(at(0x10, frames, ~7ULL), BPF_F_USER_STACK, 80), 16);
}

TEST_F(StackHelpers, ACircleEndsAtTheDeepest) {
  auto frames = returning_to({0x20, 0x30});
  RunCtx& run = at(0x10, frames, reinterpret_cast<u64>(frames.data()));
  std::vector<u64> all(300, 77);
  EXPECT_EQ(bpf_get_stack(run, 0, reinterpret_cast<u64>(all.data()), 300 * 8, BPF_F_USER_STACK, 0), MAX_STACK_DEPTH * 8);
  EXPECT_EQ(all[MAX_STACK_DEPTH - 1], 0x30u);
  EXPECT_EQ(all[MAX_STACK_DEPTH], 0u);
}

TEST_F(StackHelpers, NowhereHasNoStack) {
  std::vector<Frame> none;
  RunCtx& run = at(0, none);
  EXPECT_EQ(get_stack(run, BPF_F_USER_STACK, 16), 0);
  MapDesc* m = map(BPF_MAP_TYPE_STACK_TRACE, 4, 32, 8);
  EXPECT_EQ(static_cast<s64>(bpf_get_stackid(run, 0, reinterpret_cast<u64>(m), BPF_F_USER_STACK, 0, 0)), -EFAULT);
}

TEST_F(StackHelpers, OfTheKernelThereIsTheProbedFunction) {
  std::vector<Frame> none;
  RunCtx& run = at(0x10, none);
  EXPECT_EQ(get_stack(run, 0, 24), 8);
  EXPECT_EQ(words_[0], probe_.symbol_addr);
  EXPECT_EQ(words_[1], 0u);
  run.probe = nullptr;
  EXPECT_EQ(get_stack(run, 0, 24), 0);
  EXPECT_EQ(get_stack(run, 1, 24), -EFAULT);
}

TEST_F(StackHelpers, BuildIdEntriesAreAddresses) {
  auto frames = returning_to({0x20});
  RunCtx& run = at(0x10, frames);
  ASSERT_EQ(get_stack(run, BPF_F_USER_STACK | BPF_F_USER_BUILD_ID, 96), 64);
  StackBuildId entries[3];
  std::memcpy(entries, words_.data(), sizeof entries);
  EXPECT_EQ(entries[0].status, STACK_BUILD_ID_IP);
  EXPECT_EQ(entries[0].ip, 0x10u);
  EXPECT_EQ(entries[1].ip, 0x20u);
  EXPECT_EQ(entries[2].status, 0);
}

TEST_F(StackHelpers, OtherTasksHaveNone) {
  auto frames = returning_to({0x20});
  RunCtx& run = at(0x10, frames);
  u64 words[2] = {77, 77};
  const u64 buf = reinterpret_cast<u64>(words);
  EXPECT_EQ(bpf_get_task_stack(run, env_.fake_task, buf, 16, BPF_F_USER_STACK, 0), 16u);
  EXPECT_EQ(words[1], 0x20u);
  EXPECT_EQ(static_cast<s64>(bpf_get_task_stack(run, 0x1234, buf, 16, BPF_F_USER_STACK, 0)), -EOPNOTSUPP);
  EXPECT_EQ(words[1], 0u);
  EXPECT_EQ(bpf_get_task_stack(run, 0x1234, buf, 16, 0, 0), 0u);
}

TEST_F(StackHelpers, IdsAreOfWhatIsLeftAfterSkipping) {
  MapDesc* m = map(BPF_MAP_TYPE_STACK_TRACE, 4, 16, 8);
  const auto id = [&](RunCtx& run, u64 flags) {
    return static_cast<s64>(bpf_get_stackid(run, 0, reinterpret_cast<u64>(m), BPF_F_USER_STACK | flags, 0, 0));
  };
  auto frames = returning_to({0x20, 0x30});
  const s64 skipped = id(at(0x10, frames), 1);
  ASSERT_GE(skipped, 0);
  auto shorter = returning_to({0x30});
  EXPECT_EQ(id(at(0x20, shorter), 0), skipped);
  const u32 key = static_cast<u32>(skipped);
  u64 value[2];
  ASSERT_EQ(map_ops(m->type)->read_value(op(), m, &key, value, 0), 0);
  EXPECT_EQ(value[0], 0x20u);
  EXPECT_EQ(value[1], 0x30u);
  EXPECT_EQ(id(at(0x10, frames), 3), -EFAULT);
  EXPECT_EQ(id(at(0x10, frames), BPF_F_USER_BUILD_ID), -EINVAL);
}

}  // namespace
}  // namespace skep::test
