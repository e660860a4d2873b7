#include "shm/slot.h"

namespace skep {
namespace {

/// sched_yield(2), raw: this also runs inside other people's processes.
void yield_cpu() noexcept {
  long nr = 24;
  asm volatile("syscall" : "+a"(nr) : : "rcx", "r11", "memory");
}

bool try_take(RunSlot* slot, OwnerId owner) noexcept {
  u64 expected = 0;
  // Pairs with the release store in slot_release(): the taker sees all that the last owner did.
  return load_relaxed(&slot->owner) == 0 && compare_exchange(&slot->owner, expected, owner);
}

}  // namespace

RunSlot* slot_acquire_cpu(const Window& w, OwnerId owner, u32 preferred) noexcept {
  const u32 n = w.rom->nr_cpus;
  if (n == 0 || n > MAX_CPUS) return nullptr;
  for (u32 i = 0; i < n; ++i) {
    RunSlot* slot = &w.ram->slots[(preferred + i) % n];
    if (try_take(slot, owner)) return slot;
  }
  return nullptr;
}

RunSlot* slot_acquire_client(const Window& w, OwnerId owner, u32 hint) noexcept {
  const u32 first = w.rom->nr_cpus;
  if (first > MAX_CPUS) return nullptr;
  const u32 n = MAX_RUN_SLOTS - first;
  for (u32 i = 0; i < n; ++i) {
    RunSlot* slot = &w.ram->slots[first + (hint + i) % n];
    if (try_take(slot, owner)) return slot;
  }
  return nullptr;
}

void slot_release(RunSlot* slot) noexcept {
  // seq first: from here on, locks this run forgot are abandoned. The slot itself is free only with the second store.
  store_release(&slot->seq, load_relaxed(&slot->seq) + 1);
  store_release(&slot->owner, 0);
}

bool lock_abandoned(const Window& w, u64 word) noexcept {
  const u64 index = (word >> 48) - 1;
  if (index >= MAX_RUN_SLOTS) return true;  // scribbled: nobody's
  const RunSlot* slot = &w.ram->slots[index];
  return (load_acquire(&slot->seq) & 0xffffffffffffULL) != (word & 0xffffffffffffULL) || load_acquire(&slot->owner) == 0;
}

namespace {

enum class Look { Taken, Held, Own };

Look look(const Window& w, RobustLock* lock, u64 mine, u64* seen) noexcept {
  *seen = load_relaxed(&lock->word);
  if (*seen == mine) return Look::Own;
  u64 expected = *seen;
  if ((expected == 0 || lock_abandoned(w, expected)) && compare_exchange(&lock->word, expected, mine)) return Look::Taken;
  return Look::Held;
}

/// The slot a lock word names; null for a scribbled one.
RunSlot* holder_of(const Window& w, u64 word) noexcept {
  const u64 index = (word >> 48) - 1;
  return index < MAX_RUN_SLOTS ? &w.ram->slots[index] : nullptr;
}

}  // namespace

bool robust_trylock(const Window& w, RobustLock* lock, const RunSlot* slot, u32 spins) noexcept {
  const u64 mine = slot_lock_word(w, slot);
  u64 seen = 0;
  for (u32 i = 0; i < spins; ++i) {
    const Look l = look(w, lock, mine, &seen);
    if (l != Look::Held) return l == Look::Taken;
    cpu_relax();
  }
  if (spins < LOCK_SPINS) return false;
  for (const u64 start = __builtin_ia32_rdtsc(); __builtin_ia32_rdtsc() - start < LOCK_PATIENCE;) {
    const Look l = look(w, lock, mine, &seen);
    if (l != Look::Held) return l == Look::Taken;
    const RunSlot* holder = holder_of(w, seen);
    if (holder != nullptr && load_relaxed(&holder->stalled) == seen) return false;
    yield_cpu();
  }
  if (RunSlot* holder = holder_of(w, seen)) store_relaxed(&holder->stalled, seen);
  return false;
}

void slot_recover(const Window& w, RunSlot* slot, const SlotRecovery& how) noexcept {
  if (load_relaxed(&slot->intent_map) != 0) how.map_intent(w, slot);
  store_relaxed(&slot->intent_map, 0);
  for (auto& r : slot->reserved) {
    const u32 ring = load_relaxed(&r.ring);
    if (ring != 0 && ring <= MAX_RINGS) how.ring_record(w, ring - 1, load_relaxed(&r.pos));
    store_relaxed(&r.ring, 0);
  }
  slot_release(slot);
}

}  // namespace skep
