#include "shm/slot.h"

namespace skep {
namespace {

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

bool robust_trylock(const Window& w, RobustLock* lock, const RunSlot* slot, u32 spins) noexcept {
  const u64 mine = slot_lock_word(w, slot);
  for (u32 i = 0; i < spins; ++i) {
    u64 seen = load_relaxed(&lock->word);
    if (seen == mine) return false;
    if (seen == 0 || lock_abandoned(w, seen)) {
      if (compare_exchange(&lock->word, seen, mine)) return true;
    }
    cpu_relax();
  }
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
