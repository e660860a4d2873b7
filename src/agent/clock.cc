// agent: software clocks, in the session's worker: the process that stands for the processors' idle tasks. Linux:
// kernel/events/core.c:perf_swevent_hrtimer(), of a processor on which nobody runs: pid 0, "swapper/N".
//
// The host starts the worker when the first clock is attached (cli/worker.cc); skep_clock_loop() is all that it does. It sleeps on
// RomHeader::clock_generation, which the host moves with the list of clocks.
#include "agent/fire_context.h"
#include "agent/agent.h"
#include "agent/vdso.h"
#include "base/atomic.h"
#include "base/bytes.h"

namespace skep::agent {
namespace {

constexpr u32 MAX_CLOCKS = 256, NR_sched_setaffinity = 203;
constexpr u64 NEVER = ~0ULL;

/// A clock that has been seen, and when it goes off next.
struct Clock {
  u64 id, period_ns, due;
  u32 cpu;
  bool still_there;
};
Clock clocks[MAX_CLOCKS];
u32 nr_clocks;

Clock* find_clock(u64 id) {
  for (u32 i = 0; i < nr_clocks; ++i)
    if (clocks[i].id == id) return &clocks[i];
  return nullptr;
}

void see_clock(const ProbeEntry& p, u64 now) {
  const auto* desc = reinterpret_cast<const ClockDesc*>(p.symbol_addr);
  Clock* c = find_clock(p.event_id);
  if (c == nullptr) {
    if (nr_clocks == MAX_CLOCKS) return;
    c = &clocks[nr_clocks++];
    *c = Clock{p.event_id, desc->period_ns, now + desc->period_ns, desc->cpu, true};
  }
  c->still_there = true;
  const u64 period = load_relaxed(&desc->period_ns);
  if (period != c->period_ns) c->due = now + period;
  c->period_ns = period;
}

/// What is attached now, by way of a slot: the host frees what it has unpublished when every slot owned at that time has moved on. False:
/// there is no slot now.
bool see_clocks(u64 now) {
  RunSlot* slot = take_client_slot();
  if (slot == nullptr) return false;
  for (u32 i = 0; i < nr_clocks; ++i) clocks[i].still_there = false;
  const ProbeList* list = load_seq_cst(&session.window.rom->events[static_cast<u32>(EventPlace::Clock)]);
  for (u32 i = 0; list != nullptr && i < list->count; ++i) see_clock(list->entries[i], now);
  slot_release(slot);
  for (u32 i = 0; i < nr_clocks;) {
    if (clocks[i].still_there)
      ++i;
    else
      clocks[i] = clocks[--nr_clocks];
  }
  return true;
}

void go_to_cpu(u32 cpu) {
  if (cpu == this_cpu() || cpu >= MAX_CPUS) return;
  u64 mask[MAX_CPUS / 64] = {};
  mask[cpu / 64] = 1ULL << (cpu % 64);
  sys(NR_sched_setaffinity, 0, sizeof mask, mask);
}

void go_off(const Clock& c) {
  go_to_cpu(c.cpu);
  TrapFrame at{};
  at.sp = reinterpret_cast<u64>(&at);
  at.stack = 1;  // one thread, which nothing interrupts
  EventSource source;
  source.frame = &at;
  source.clock_id = c.id;
  fire_event(EventPlace::Clock, source, at);
}

/// Lets all go off that are due; when the next one is.
u64 run_clocks() {
  u64 next = NEVER;
  for (u32 i = 0; i < nr_clocks; ++i) {
    Clock& c = clocks[i];
    if (c.due <= clock_ns(1)) {
      go_off(c);
      // Those that were missed are over. Linux: hrtimer_forward_now()
      const u64 now = clock_ns(1);
      c.due += (now - c.due) / c.period_ns * c.period_ns + c.period_ns;
    }
    if (c.due < next) next = c.due;
  }
  return next;
}

void sleep_until(u64 due, u32 generation) {
  constexpr u64 SECOND = 1000000000;
  const s64 ts[2] = {static_cast<s64>(due / SECOND), static_cast<s64>(due % SECOND)};
  // FUTEX_WAIT_BITSET takes the time of day to wake up at.
  sys(NR_futex, &session.window.rom->clock_generation, 9 /* FUTEX_WAIT_BITSET */, generation, due == NEVER ? nullptr : ts, 0, ~0u);
}

}  // namespace
}  // namespace skep::agent

extern "C" __attribute__((visibility("default"))) void skep_clock_loop() {
  using namespace skep;
  using namespace skep::agent;
  if (!session.active || session.window.rom == nullptr) return;
  session.worker = true;
  store_release(&process->epoch, u64{0});  // what this thread knows of its identity is no longer so
  for (;;) {
    const u32 generation = load_acquire(&session.window.rom->clock_generation);
    constexpr u64 AGAIN = 10'000'000;
    const bool seen = see_clocks(clock_ns(1));
    const u64 next = run_clocks(), soon = clock_ns(1) + AGAIN;
    sleep_until(seen || next < soon ? next : soon, generation);
  }
}
