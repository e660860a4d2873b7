#include "shm/window.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <string>
#include <set>
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

/// Lines of /proc/self/maps that overlap [addr, addr + len).
std::vector<std::string> mappings(u64 addr = 0, u64 len = ~0ULL) {
  std::ifstream in("/proc/self/maps");
  std::vector<std::string> out;
  for (std::string line; std::getline(in, line);) {
    u64 from = 0, to = 0;
    if (std::sscanf(line.c_str(), "%lx-%lx", &from, &to) == 2 && from - addr < len) out.push_back(line);
  }
  return out;
}

class CodeTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto made = WindowHost::create(1);
    ASSERT_TRUE(made.ok());
    w_ = std::move(*made);
    if (!w_->has_code()) GTEST_SKIP() << "nothing executable can be mapped here";
  }
  static bool all_hlt(u64 addr, u64 len) {
    const auto* p = reinterpret_cast<const u8*>(addr);
    return std::all_of(p, p + len, [](u8 b) { return b == 0xf4; });
  }
  std::unique_ptr<WindowHost> w_;
};

TEST_F(CodeTest, NothingIsWritableAndExecutable) {
  const u64 block = *w_->code_alloc(100);
  *w_->code_writable(block) = 0xc3;  // ret
  reinterpret_cast<void (*)()>(block)();
  for (const std::string& line : mappings()) {
    const std::string rights = line.substr(line.find(' ') + 1, 4);
    EXPECT_FALSE(rights[1] == 'w' && rights[2] == 'x') << line;
  }
  const auto code = mappings(w_->rom()->code_base, CODE_SIZE);
  ASSERT_EQ(code.size(), 1u);
  EXPECT_NE(code[0].find(" r-xs "), std::string::npos) << code[0];
  EXPECT_NE(mprotect(reinterpret_cast<void*>(w_->rom()->code_base), PAGE_SIZE, PROT_READ | PROT_WRITE), 0);
}

TEST_F(CodeTest, OthersCannotWrite) {
  EXPECT_EQ(mmap(nullptr, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, w_->code_fd(), 0), MAP_FAILED);
  const std::string path = "/proc/self/fd/" + std::to_string(w_->code_fd());
  const UniqueFd again(open(path.c_str(), O_RDWR | O_CLOEXEC));
  if (again) {
    EXPECT_EQ(mmap(nullptr, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, again.get(), 0), MAP_FAILED);
    EXPECT_EQ(write(again.get(), "x", 1), -1);
    EXPECT_NE(ftruncate(again.get(), 0), 0);
    EXPECT_NE(ftruncate(again.get(), 2 * CODE_SIZE), 0);
    EXPECT_NE(fcntl(again.get(), F_ADD_SEALS, F_SEAL_WRITE), 0);
  }
}

TEST_F(CodeTest, WhatIsNoCodeIsInt3) {
  const u64 a = *w_->code_alloc(63), b = *w_->code_alloc(64), c = *w_->code_alloc(5000);
  for (const u64 at : {a, b, c}) EXPECT_EQ(at % 64, 0u);
  EXPECT_EQ(b, a + 64);
  EXPECT_EQ(c, b + 128) << "one byte behind the code is hlt";
  EXPECT_TRUE(all_hlt(a, round_up(c + 5001, PAGE_SIZE) - a));
  std::memset(w_->code_writable(b), 0x90, 64);
  EXPECT_FALSE(all_hlt(b, 64));
  w_->code_free(b, 64);
  EXPECT_TRUE(all_hlt(a, PAGE_SIZE - GATES_SIZE % PAGE_SIZE - 64));
  EXPECT_EQ(*w_->code_alloc(64), b);
  EXPECT_EQ(w_->code_alloc(CODE_SIZE).error(), Errno(ENOMEM));
  EXPECT_EQ(w_->code_alloc(CODE_SIZE - GATES_SIZE - PAGE_SIZE).error(), Errno(ENOMEM));
}

TEST_F(CodeTest, GatesAreEachProcesssOwn) {
  const auto* gates = reinterpret_cast<const u64*>(w_->rom()->code_base);
  ASSERT_TRUE(w_->open_gates([](u64* g) noexcept { g[3] = 33; }).ok());
  EXPECT_EQ(gates[3], 33u);
  ASSERT_TRUE(w_->open_gates([](u64* g) noexcept { g[3] = 44; }).ok());
  EXPECT_EQ(gates[3], 33u) << "once";
  const auto lines = mappings(w_->rom()->code_base, GATES_SIZE);
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_NE(lines[0].find(" r--p "), std::string::npos) << lines[0];
  auto* shared = static_cast<u64*>(mmap(nullptr, PAGE_SIZE, PROT_READ, MAP_SHARED, w_->code_fd(), 0));
  ASSERT_NE(static_cast<void*>(shared), MAP_FAILED);
  EXPECT_EQ(shared[3], 0u);
  munmap(shared, PAGE_SIZE);
}

TEST_F(CodeTest, TheIndexOutlivesRunsThatMayLook) {
  const auto block = [&](u64 size) {
    return CodeBlock{*w_->code_alloc(size), static_cast<u32>(size), 1, static_cast<CodeFault*>(*w_->rom_alloc(sizeof(CodeFault))), nullptr};
  };
  const CodeBlock a = block(10), b = block(100);
  ASSERT_TRUE(w_->code_publish(b).ok());
  RunSlot* slot = slot_acquire_cpu(w_->view(), 7, 0);
  const CodeIndex* seen = w_->rom()->code_index;
  ASSERT_TRUE(w_->code_publish(a).ok());
  const CodeIndex* now = w_->rom()->code_index;
  EXPECT_NE(now, seen);
  ASSERT_EQ(now->count, 2u);
  EXPECT_EQ(now->blocks[0].addr, a.addr);
  EXPECT_EQ(now->blocks[1].addr, b.addr);
  EXPECT_EQ(seen->count, 1u);
  EXPECT_EQ(seen->blocks[0].addr, b.addr);
  const u64 held = w_->rom_in_use();
  slot_release(slot);
  w_->reclaim();
  EXPECT_LT(w_->rom_in_use(), held);
  w_->code_withdraw(a.addr);
  w_->code_withdraw(b.addr);
  w_->code_withdraw(b.addr);
  for (u32 i = 0; i < now->count; ++i) EXPECT_EQ(now->blocks[i].size, 0u);
  EXPECT_EQ(w_->rom()->code_index, now);
  EXPECT_EQ(w_->code_in_use(), 0u);
  EXPECT_EQ(w_->rom_in_use(), 0u);
}

TEST_F(CodeTest, TheIndexIsChangedInPlaceWhereNoSearchIsLedAstray) {
  const auto block = [&](u64 size) { return CodeBlock{*w_->code_alloc(size), static_cast<u32>(size), 0, nullptr, nullptr}; };
  const auto live = [&] {
    u32 n = 0;
    const CodeIndex& index = *w_->rom()->code_index;
    for (u32 i = 0; i < index.count; ++i) {
      n += index.blocks[i].size != 0 ? 1 : 0;
      if (i > 0) {
        EXPECT_LT(index.blocks[i - 1].addr + index.blocks[i - 1].size, index.blocks[i].addr);
      }
    }
    return n;
  };
  std::vector<CodeBlock> blocks;
  for (u32 i = 0; i < 10; ++i) {
    blocks.push_back(block(60));
    ASSERT_TRUE(w_->code_publish(blocks.back()).ok());
  }
  const CodeIndex* index = w_->rom()->code_index;
  EXPECT_EQ(live(), 10u);
  w_->code_withdraw(blocks[3].addr);
  w_->code_withdraw(blocks[4].addr);
  EXPECT_EQ(live(), 8u);
  const CodeBlock again = block(60);
  ASSERT_EQ(again.addr, blocks[3].addr);
  ASSERT_TRUE(w_->code_publish(again).ok());
  EXPECT_EQ(w_->rom()->code_index, index) << "same place, same entry";
  EXPECT_EQ(live(), 9u);
  w_->code_withdraw(again.addr);
  const CodeBlock wide = block(120);  // over the entries of two that are gone
  ASSERT_EQ(wide.addr, blocks[3].addr);
  ASSERT_TRUE(w_->code_publish(wide).ok());
  EXPECT_NE(w_->rom()->code_index, index);
  EXPECT_EQ(live(), 9u);
  for (u32 i = 0; i < 200; ++i) {
    const CodeBlock more = block(64 * (i % 3 + 1) - 1);
    ASSERT_TRUE(w_->code_publish(more).ok());
    if (i % 2 == 0) w_->code_withdraw(more.addr);
  }
  EXPECT_EQ(live(), 109u);
}

TEST(StatsTest, ManyToAPageAndNoneKept) {
  auto w = WindowHost::create(1);
  ASSERT_TRUE(w.ok());
  std::vector<ProgStats*> all;
  for (int i = 0; i < 200; ++i) {
    all.push_back(*(*w)->stats_alloc());
    EXPECT_EQ(reinterpret_cast<u64>(all.back()) % 64, 0u);
    EXPECT_EQ(all.back()->run_cnt | all.back()->missed, 0u);
    all.back()->run_cnt = all.back()->missed = 7;
  }
  EXPECT_EQ((*w)->ram_in_use(), 4 * PAGE_SIZE);
  EXPECT_EQ(std::set<ProgStats*>(all.begin(), all.end()).size(), all.size());
  for (std::size_t i = 0; i < all.size(); i += 2) (*w)->stats_free(all[i]);
  EXPECT_EQ((*w)->ram_in_use(), 4 * PAGE_SIZE);
  for (std::size_t i = 0; i < all.size(); i += 2) {
    all[i] = *(*w)->stats_alloc();
    EXPECT_EQ(all[i]->run_cnt, 0u);
  }
  EXPECT_EQ((*w)->ram_in_use(), 4 * PAGE_SIZE);
  for (ProgStats* s : all) (*w)->stats_free(s);
  (*w)->stats_free(nullptr);
  EXPECT_EQ((*w)->ram_in_use(), 0u);
}

/// In a process where shared files cannot be mapped executable: a filter answers EACCES.
TEST(CodeRefusedTest, AllElseIsThere) {
  const pid_t pid = fork();
  if (pid == 0) {
    sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mmap, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args[2])),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, PROT_EXEC, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EACCES),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const sock_fprog prog{static_cast<unsigned short>(std::size(filter)), filter};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog) != 0) _exit(77);
    const auto w = WindowHost::create(1);
    const bool good = w.ok() && !(*w)->has_code() && (*w)->code_fd() < 0 && (*w)->rom()->code_size == 0 && (*w)->rom_alloc(100).ok() &&
                      (*w)->code_alloc(1).error() == Errno(ENOMEM) && !(*w)->open_gates([](u64*) noexcept {}).ok();
    _exit(good ? 0 : 1);
  }
  int status = 0;
  waitpid(pid, &status, 0);
  ASSERT_TRUE(WIFEXITED(status));
  if (WEXITSTATUS(status) == 77) GTEST_SKIP() << "no filters here";
  EXPECT_EQ(WEXITSTATUS(status), 0);
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
