// shm: blocks of tasks: who has them, who finds them, and that nobody's death keeps one.
#include "shm/tasks.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <set>
#include <thread>
#include <vector>

namespace skep {
namespace {

constexpr OwnerId ALICE = 1ULL << 32 | 5, BOB = 1ULL << 32 | 6;

class Tasks : public ::testing::Test {
 protected:
  Tasks()
      : t_(*static_cast<TaskTable*>(
            mmap(nullptr, sizeof(TaskTable), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0))) {}
  ~Tasks() override { munmap(&t_, sizeof t_); }
  u32 claim(OwnerId owner, u64 key, TaskIsGone* gone = nobody) {
    const u32 i = task_claim(t_, owner, gone);
    if (i != NO_TASK) store_release(&t_.heads[i].key, key);
    return i;
  }
  static bool nobody(u64) { return false; }
  static bool odd(u64 key) { return key % 2 != 0; }
  TaskTable& t_;
};

TEST_F(Tasks, AreTakenFromTheFirstFreeOneOn) {
  EXPECT_EQ(claim(ALICE, 10), 0u);
  EXPECT_EQ(claim(BOB, 20), 1u);
  EXPECT_EQ(claim(ALICE, 30), 2u);
  task_release(t_, 1, ALICE);  // not hers
  EXPECT_EQ(task_find(t_, 20), 1u);
  task_release(t_, 1, BOB);
  EXPECT_EQ(task_find(t_, 20), NO_TASK);
  EXPECT_EQ(claim(ALICE, 40), 1u);
  EXPECT_EQ(t_.used, 3u);
}

TEST_F(Tasks, AreFoundByKey) {
  claim(ALICE, 10);
  claim(BOB, 10);
  EXPECT_EQ(task_find(t_, 10), 0u);
  EXPECT_EQ(task_find(t_, 10, ALICE), 1u);
  EXPECT_EQ(task_find(t_, 11), NO_TASK);
}

TEST_F(Tasks, GoOverToTheThreadTheyDescribe) {
  const u32 i = claim(ALICE, 10);
  EXPECT_FALSE(task_take_over(t_, i, 11, BOB));
  EXPECT_TRUE(task_take_over(t_, i, 10, BOB));
  tasks_release_all(t_, ALICE);
  EXPECT_EQ(task_find(t_, 10), i);
  tasks_release_all(t_, BOB);
  EXPECT_EQ(task_find(t_, 10), NO_TASK);
}

TEST_F(Tasks, ThoseOfDeadThreadsAreTakenBeforeNewOnes) {
  for (u64 key = 1; key <= 100; ++key) ASSERT_NE(claim(ALICE, key), NO_TASK);
  std::set<u32> again;
  for (u64 n = 0; n < 10; ++n) {
    const u32 i = claim(BOB, 1000 + 2 * n, odd);
    ASSERT_LT(i, 100u) << n;
    EXPECT_EQ(i % 2, 0u) << "block 0 has key 1";
    EXPECT_TRUE(again.insert(i).second);
  }
  EXPECT_EQ(t_.used, 100u);
}

TEST_F(Tasks, AllTaken) {
  for (u32 i = 0; i < MAX_TASKS; ++i) t_.heads[i].owner = ALICE;
  t_.used = ~0u;  // somebody's scribble
  EXPECT_EQ(claim(BOB, 1), NO_TASK);
  EXPECT_EQ(task_find(t_, 1), NO_TASK);
  tasks_release_all(t_, ALICE);
  EXPECT_EQ(claim(BOB, 1), 0u);
}

TEST_F(Tasks, NoTwoThreadsGetTheSame) {
  constexpr u32 THREADS = 8, EACH = 200;
  std::vector<std::vector<u32>> got(THREADS);
  std::vector<std::thread> all;
  for (u32 n = 0; n < THREADS; ++n)
    all.emplace_back([&, n] {
      for (u32 i = 0; i < EACH; ++i) got[n].push_back(claim(n + 1, n * EACH + i + 1));
    });
  for (std::thread& thread : all) thread.join();
  std::set<u32> seen;
  for (const auto& list : got)
    for (const u32 i : list) EXPECT_TRUE(seen.insert(i).second) << i;
  EXPECT_EQ(seen.size(), THREADS * EACH);
  EXPECT_FALSE(seen.contains(NO_TASK));
}

// Killed while it takes and gives back: what it had is free again, and every block can be had.
TEST_F(Tasks, KilledAnywhereItLeavesWhatTheHostFrees) {
  for (u32 round = 0; round < 50; ++round) {
    const pid_t pid = fork();
    ASSERT_GE(pid, 0);
    if (pid == 0)
      for (u64 n = 0;; ++n) {
        const u32 i = claim(ALICE, n + 1);
        if (n % 3 != 0) task_release(t_, i, ALICE);
        if (n % 64 == 63) tasks_release_all(t_, ALICE);
      }
    while (load_acquire(&t_.used) == 0) cpu_relax();
    for (u32 spin = 0; spin < round * 500; ++spin) cpu_relax();
    kill(pid, SIGKILL);
    ASSERT_EQ(waitpid(pid, nullptr, 0), pid);
    tasks_release_all(t_, ALICE);
    for (u32 i = 0; i < t_.used; ++i) {
      EXPECT_EQ(t_.heads[i].owner, 0u);
      EXPECT_EQ(t_.heads[i].key, 0u);
    }
  }
  EXPECT_EQ(claim(BOB, 1), 0u);
}

}  // namespace
}  // namespace skep
