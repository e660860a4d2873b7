#include "shm/window.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

namespace skep {
namespace {

TEST(ArenaTest, HandsOutDisjointRangesAndTakesThemBack) {
  Arena a(0x1000, 0x10000);
  std::vector<std::pair<u64, u64>> held;
  for (const u64 size : {64u, 4096u, 100u, 8192u, 16u}) {
    const Result<u64> at = a.allocate(size, 16);
    ASSERT_TRUE(at.ok());
    EXPECT_EQ(*at % 16, 0u);
    for (const auto& [start, len] : held) EXPECT_TRUE(*at + size <= start || *at >= start + len);
    held.emplace_back(*at, size);
  }
  EXPECT_EQ(a.allocate(0x10000, 1).error(), Errno(ENOMEM));
  for (const auto& [start, len] : held) a.release(start, len);
  EXPECT_EQ(a.bytes_in_use(), 0u);
  EXPECT_TRUE(a.allocate(0x10000, 16).ok()) << "all merged again";
}

TEST(ArenaTest, AlignsLargeRanges) {
  Arena a(0x1010, 0x20000);
  EXPECT_EQ(*a.allocate(0x1000, 0x1000) % 0x1000, 0u);
  EXPECT_EQ(a.allocate(0, 16).error(), Errno(EINVAL));
}

TEST(WindowTest, TwoSideBySide) {
  auto a = WindowHost::create(2), b = WindowHost::create(3);
  ASSERT_TRUE(a.ok() && b.ok());
  EXPECT_NE((*a)->rom()->rom_base, (*b)->rom()->rom_base);
  EXPECT_EQ((*a)->rom()->nr_cpus, 2u);
  EXPECT_EQ((*b)->rom()->nr_cpus, 3u);
  EXPECT_EQ(WindowHost::create(0).error(), Errno(EINVAL));
}

TEST(WindowTest, OthersCannotMapRomWritable) {
  auto w = WindowHost::create(1);
  ASSERT_TRUE(w.ok());
  EXPECT_EQ(mmap(nullptr, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, (*w)->rom_fd(), 0), MAP_FAILED);
  void* p = mmap(nullptr, PAGE_SIZE, PROT_READ, MAP_SHARED, (*w)->rom_fd(), 0);
  ASSERT_NE(p, MAP_FAILED);
  EXPECT_NE(mprotect(p, PAGE_SIZE, PROT_READ | PROT_WRITE), 0);
  EXPECT_EQ(static_cast<RomHeader*>(p)->magic, WINDOW_MAGIC);
  munmap(p, PAGE_SIZE);
}

TEST(WindowTest, FreedRamReadsAsZero) {
  auto w = WindowHost::create(1);
  ASSERT_TRUE(w.ok());
  u8* p = *(*w)->ram_alloc(100);
  p[5] = 7;
  (*w)->ram_free(p, 100);
  u8* q = *(*w)->ram_alloc(100);
  EXPECT_EQ(q, p);
  EXPECT_EQ(q[5], 0);
}

TEST(WindowTest, RingDataIsMappedTwice) {
  auto w = WindowHost::create(1);
  ASSERT_TRUE(w.ok());
  RingDesc* r = *(*w)->ring_register(RingKind::Bpf);
  u8* pages = *(*w)->ram_alloc(2 * PAGE_SIZE + 4096);
  const u32 before = (*w)->rom()->ring_generation;
  ASSERT_TRUE((*w)->ring_map_doubled(r, pages, 4096).ok());
  EXPECT_NE((*w)->rom()->ring_generation, before);
  r->data[4095] = 'a';
  r->data[4096] = 'b';
  EXPECT_EQ(r->data[8191], 'a');
  EXPECT_EQ(r->data[0], 'b');
  const u32 index = r->index;
  (*w)->ring_unregister(r);
  EXPECT_EQ((*w)->rom()->rings[index], nullptr);
}

TEST(WindowTest, FreesOnlyAfterRunsThatMayStillLook) {
  auto w = WindowHost::create(1);
  ASSERT_TRUE(w.ok());
  RunSlot* slot = slot_acquire_cpu((*w)->view(), 7, 0);
  ASSERT_NE(slot, nullptr);
  bool freed = false;
  (*w)->defer([&] { freed = true; });
  (*w)->reclaim();
  EXPECT_FALSE(freed);
  slot_release(slot);
  slot = slot_acquire_cpu((*w)->view(), 7, 0);  // a later run does not hold it up
  (*w)->reclaim();
  EXPECT_TRUE(freed);
  slot_release(slot);
}

TEST(SlotTest, OneOwnerEach) {
  auto w = WindowHost::create(2);
  ASSERT_TRUE(w.ok());
  const Window& v = (*w)->view();
  RunSlot* a = slot_acquire_cpu(v, 1, 1);
  RunSlot* b = slot_acquire_cpu(v, 1, 1);
  ASSERT_TRUE(a != nullptr && b != nullptr);
  EXPECT_EQ(slot_index(v, a), 1u) << "the preferred one";
  EXPECT_EQ(slot_index(v, b), 0u);
  EXPECT_EQ(slot_acquire_cpu(v, 1, 0), nullptr);
  RunSlot* c = slot_acquire_client(v, 1, 5);
  ASSERT_NE(c, nullptr);
  EXPECT_GE(slot_index(v, c), 2u);
  for (RunSlot* s : {a, b, c}) slot_release(s);
}

TEST(LockTest, HeldReleasedAndAbandoned) {
  auto w = WindowHost::create(2);
  ASSERT_TRUE(w.ok());
  const Window& v = (*w)->view();
  RobustLock lock{};
  RunSlot *a = slot_acquire_cpu(v, 1, 0), *b = slot_acquire_cpu(v, 1, 1);
  EXPECT_TRUE(robust_trylock(v, &lock, a));
  EXPECT_FALSE(robust_trylock(v, &lock, a)) << "not recursive, and does not wait for itself";
  EXPECT_FALSE(robust_trylock(v, &lock, b, 10));
  robust_unlock(&lock);
  EXPECT_TRUE(robust_trylock(v, &lock, b, 10));
  slot_release(b);  // its run ended and forgot the lock
  EXPECT_TRUE(robust_trylock(v, &lock, a, 10));
  robust_unlock(&lock);
  lock.word = 0xffff000000000123ULL;  // scribbled
  EXPECT_TRUE(robust_trylock(v, &lock, a, 10));
  slot_release(a);
}

TEST(LockTest, SurvivesItsHoldersDeath) {
  auto w = WindowHost::create(2);
  ASSERT_TRUE(w.ok());
  const Window& v = (*w)->view();
  auto* lock = reinterpret_cast<RobustLock*>(*(*w)->ram_alloc(PAGE_SIZE));
  const pid_t pid = fork();
  if (pid == 0) {
    RunSlot* s = slot_acquire_cpu(v, 99, 0);
    robust_trylock(v, lock, s);
    kill(getpid(), SIGKILL);
  }
  int status = 0;
  waitpid(pid, &status, 0);
  RunSlot* dead = &v.ram->slots[0];
  ASSERT_EQ(dead->owner, 99u);
  RunSlot* mine = slot_acquire_cpu(v, 1, 1);
  EXPECT_FALSE(robust_trylock(v, lock, mine, 100));
  const SlotRecovery nothing{[](const Window&, RunSlot*) noexcept {}, [](const Window&, u32, u64) noexcept {}};
  slot_recover(v, dead, nothing);
  EXPECT_TRUE(robust_trylock(v, lock, mine, 100));
  slot_release(mine);
}

TEST(LockTest, ExcludesThreads) {
  auto w = WindowHost::create(4);
  ASSERT_TRUE(w.ok());
  const Window& v = (*w)->view();
  RobustLock lock{};
  long counter = 0;
  const auto work = [&](u32 cpu) {
    RunSlot* s = slot_acquire_cpu(v, cpu + 1, cpu);
    for (int done = 0; done < 20000;) {
      if (!robust_trylock(v, &lock, s)) {
        std::this_thread::yield();
        continue;
      }
      ++counter;
      robust_unlock(&lock);
      ++done;
    }
    slot_release(s);
  };
  std::thread a(work, 0), b(work, 1), c(work, 2);
  a.join();
  b.join();
  c.join();
  EXPECT_EQ(counter, 60000);
}

}  // namespace
}  // namespace skep
