// buffers, tests only: a window of our own (zeroed ROM and RAM, shared with forked children) and rings in it, between guard pages.
#pragma once
#include <gtest/gtest.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <ctime>
#include <new>
#include <stdexcept>
#include <string>
#include <vector>

#include "buffers/doorbell.h"
#include "buffers/perf_ring.h"
#include "buffers/ringbuf.h"

namespace skep::test {

inline void* must_map(void* p) {
  if (p == MAP_FAILED) throw std::bad_alloc();
  return p;
}

/// [guard][pages of a memfd][the last `again` bytes once more][guard], MAP_SHARED.
class Pages {
 public:
  Pages(std::size_t bytes, std::size_t again) : total_(bytes + again + 2 * PAGE_SIZE) {
    const int fd = memfd_create("ring", MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, static_cast<off_t>(bytes)) != 0) throw std::bad_alloc();
    base_ = static_cast<u8*>(must_map(mmap(nullptr, total_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)));
    const int rw = PROT_READ | PROT_WRITE;
    must_map(mmap(begin(), bytes, rw, MAP_SHARED | MAP_FIXED, fd, 0));
    if (again != 0) must_map(mmap(begin() + bytes, again, rw, MAP_SHARED | MAP_FIXED, fd, static_cast<off_t>(bytes - again)));
    close(fd);
  }
  ~Pages() { munmap(base_, total_); }
  Pages(const Pages&) = delete;
  Pages& operator=(const Pages&) = delete;
  u8* begin() const { return base_ + PAGE_SIZE; }

 private:
  std::size_t total_;
  u8* base_;
};

/// ROM, RAM and up to MAX_RINGS rings. Slots: CPUs first, client slots behind them, as in a session.
class TestWindow {
 public:
  explicit TestWindow(u32 nr_cpus = 4)
      : rom_(round_up(sizeof(RomHeader), PAGE_SIZE), 0), ram_(round_up(sizeof(RamHeader), PAGE_SIZE), 0) {
    w.rom = reinterpret_cast<RomHeader*>(rom_.begin());
    w.ram = reinterpret_cast<RamHeader*>(ram_.begin());
    w.rom->nr_cpus = nr_cpus;
  }
  ~TestWindow() {
    for (auto* p : pages_) delete p;
    for (auto* p : descs_) delete p;
  }
  TestWindow(const TestWindow&) = delete;
  TestWindow& operator=(const TestWindow&) = delete;

  RingDesc* add_bpf_ring(u64 data_size) {
    RingDesc* d = add_desc(RingKind::Bpf, new Pages(2 * PAGE_SIZE + data_size, data_size), data_size);
    d->prod_page = d->user_page + PAGE_SIZE;
    d->data = d->user_page + 2 * PAGE_SIZE;
    return d;
  }
  RingDesc* add_perf_ring(u64 data_size, u32 cpu, u64 sample_type = PERF_SAMPLE_RAW) {
    RingDesc* d = add_desc(RingKind::Perf, new Pages(PAGE_SIZE + data_size, 0), data_size);
    d->data = d->user_page + PAGE_SIZE;
    d->cpu = cpu;
    d->sample_type = sample_type;
    d->event_id = 1000 + d->index;
    d->wakeup_events = 1;
    d->enabled = 1;
    perf_ring_init_page(d);
    return d;
  }
  /// Takes virtual CPU `cpu` for `owner`; the test has to know that it is free.
  OpCtx run_on(u32 cpu, OwnerId owner = 1) {
    RunSlot* slot = slot_acquire_cpu(w, owner, cpu);
    if (slot == nullptr || slot_index(w, slot) != cpu) throw std::runtime_error("virtual CPU is taken");
    return OpCtx{w, slot, cpu};
  }
  static void no_intent(const Window&, RunSlot*) noexcept {}
  /// What the host does when the owner of a slot has died.
  void recover(RunSlot* slot) {
    if (slot_index(w, slot) < w.rom->nr_cpus) perf_ring_recover(w, slot_index(w, slot));
    slot_recover(w, slot, SlotRecovery{no_intent, ringbuf_recover_record});
  }
  bool take_pending_of(const RingDesc* d) { return (take_pending(w, d->index / 64) >> (d->index % 64) & 1) != 0; }

  Window w;

 private:
  RingDesc* add_desc(RingKind kind, Pages* pages, u64 data_size) {
    pages_.push_back(pages);
    descs_.push_back(new RingDesc{});
    RingDesc* d = descs_.back();
    d->kind = kind;
    d->index = next_index_;
    next_index_ = (next_index_ + 63) % MAX_RINGS;  // other words and bits of ring_pending each time
    d->ctl = &w.ram->ring_ctl[d->index];
    d->user_page = pages->begin();
    d->data_size = data_size;
    w.rom->rings[d->index] = d;
    return d;
  }
  Pages rom_, ram_;
  std::vector<Pages*> pages_;
  std::vector<RingDesc*> descs_;
  u32 next_index_ = 5;
};

inline u64& word_at(u8* page, std::size_t offset) { return *reinterpret_cast<u64*>(page + offset); }
inline u64& cons_pos(const RingDesc* d) { return word_at(d->user_page, 0); }
inline u64& prod_pos(const RingDesc* d) { return word_at(d->prod_page, 0); }
inline u64& pending_pos_word(const RingDesc* d) { return word_at(d->prod_page, 8); }
inline u64& data_head(const RingDesc* d) { return word_at(d->user_page, 1024); }
inline u64& data_tail(const RingDesc* d) { return word_at(d->user_page, 1032); }

inline long futex(u32* word, int op, u32 value, const timespec* timeout) {
  return syscall(SYS_futex, word, op, value, timeout, nullptr, 0);
}
inline void futex_wake_host(const Window& w) { futex(&w.ram->doorbell, FUTEX_WAKE, 1, nullptr); }

/// Waits as the host does until a ring is pending: false after `seconds` without one.
inline bool host_wait(TestWindow& t, const RingDesc* d, long seconds) {
  for (;;) {
    const u32 seen = doorbell_prepare_wait(t.w);
    const bool pending = t.take_pending_of(d);
    const timespec timeout{seconds, 0};
    const long r = pending ? 0 : futex(&t.w.ram->doorbell, FUTEX_WAIT, seen, &timeout);
    doorbell_awake(t.w);
    if (pending) return true;
    if (r != 0 && errno == ETIMEDOUT) return false;
  }
}

/// A record of `size` >= 8 bytes that says whose it is and proves itself whole.
inline std::vector<u8> stamped(u32 producer, u32 seq, std::size_t size) {
  std::vector<u8> bytes(size);
  memcpy(bytes.data(), &producer, 4);
  memcpy(bytes.data() + 4, &seq, 4);
  for (std::size_t i = 8; i < size; ++i) bytes[i] = static_cast<u8>(producer * 31 + seq * 7 + i);
  return bytes;
}
inline bool stamp_holds(const u8* data, std::size_t size, u32* producer, u32* seq) {
  if (size < 8) return false;
  memcpy(producer, data, 4);
  memcpy(seq, data + 4, 4);
  const std::vector<u8> want = stamped(*producer, *seq, size);
  return memcmp(want.data(), data, size) == 0;
}

/// Forks a child that runs fn() and leaves without destructors or exit handlers.
template <typename Fn>
pid_t fork_child(Fn fn) {
  const pid_t pid = fork();
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);  // a test that fails leaves no producer running
    fn();
    _exit(0);
  }
  if (pid < 0) throw std::runtime_error("fork");
  return pid;
}
inline void stop_here() { syscall(SYS_kill, static_cast<pid_t>(syscall(SYS_getpid)), SIGSTOP); }

/// A child stopped before fn(), to be stepped through it.
class Stepped {
 public:
  template <typename Fn>
  explicit Stepped(Fn fn) {
    pid_ = fork_child([&] {
      ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
      stop_here();
      fn();
      stop_here();
    });
    waitpid(pid_, &status_, 0);
    if (!WIFSTOPPED(status_) || WSTOPSIG(status_) != SIGSTOP) throw std::runtime_error("child does not stop");
  }
  ~Stepped() {
    kill(pid_, SIGKILL);
    while (!WIFSIGNALED(status_) && !WIFEXITED(status_)) waitpid(pid_, &status_, 0);
  }
  Stepped(const Stepped&) = delete;
  Stepped& operator=(const Stepped&) = delete;
  /// One instruction. False when fn has come to its end instead.
  bool step() {
    ptrace(PTRACE_SINGLESTEP, pid_, nullptr, nullptr);
    waitpid(pid_, &status_, 0);
    return WIFSTOPPED(status_) && WSTOPSIG(status_) == SIGTRAP;
  }

 private:
  pid_t pid_ = -1;
  int status_ = 0;
};

/// What a run changes: RAM and one ring's pages. A child's death at an instruction is the memory as it is then: tests judge a
/// snapshot's worth of it, put it back and let the child take one more step, which makes "at every instruction" linear.
class Snapshot {
 public:
  Snapshot(const TestWindow& t, const RingDesc* d) {
    add(t.w.ram, offsetof(RamHeader, slots) + sizeof(RunSlot) * 8);
    add(d->ctl, sizeof *d->ctl);
    add(d->user_page, static_cast<std::size_t>(d->data - d->user_page) + d->data_size);
  }
  void restore() const {
    for (const auto& p : parts_) memcpy(p.at, p.bytes.data(), p.bytes.size());
  }

 private:
  struct Part {
    void* at;
    std::vector<u8> bytes;
  };
  void add(void* at, std::size_t n) { parts_.push_back({at, std::vector<u8>(static_cast<u8*>(at), static_cast<u8*>(at) + n)}); }
  std::vector<Part> parts_;
};

/// fn() runs in a child; before its first and after each of its instructions, judge(step, early) sees what its death there would
/// leave: once with a consumer that reads before the host has recovered (early), once without. Number of instructions.
template <typename Fn, typename Judge>
long die_at_every_instruction(const TestWindow& t, const RingDesc* d, Fn fn, Judge judge) {
  Stepped child(fn);
  long steps = 0;
  do {
    const Snapshot alive(t, d);
    for (const bool early : {false, true}) {
      judge(steps, early);
      alive.restore();
    }
    ++steps;
  } while (!testing::Test::HasFatalFailure() && child.step());
  return steps;
}

}  // namespace skep::test
