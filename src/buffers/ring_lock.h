// buffers: the producers' lock of a ring: robust (shm/slot.h), and one locked instruction where nobody else produces. Freestanding.
#pragma once
#include "shm/op_ctx.h"
#include "shm/slot.h"

namespace skep {

/// Where two producers meet, the one that waits stays away from the lock's cache line for a while, longer each time: its holder then
/// does several records before it has to hand the line over. Who waits longer has met a holder that was preempted, is stopped or gone.
[[gnu::cold]] inline bool ring_lock_slowly(const OpCtx& ctx, RobustLock* lock, u64 mine, u64 seen) noexcept {
  constexpr u32 FIRST_WAIT = 8, LONGEST_WAIT = 64;
  for (u32 wait = FIRST_WAIT; wait <= LONGEST_WAIT && seen != mine; wait *= 2) {
    for (u32 i = 0; i < wait; ++i) cpu_relax();
    seen = load_relaxed(&lock->word);
    if (seen == 0 && compare_exchange(&lock->word, seen, mine)) return true;
  }
  return robust_trylock(ctx.window, lock, ctx.slot);
}

/// As robust_trylock(); undone by robust_unlock(), with whose release it pairs.
inline bool ring_lock(const OpCtx& ctx, RobustLock* lock) noexcept {
  const u64 mine = slot_lock_word(ctx.window, ctx.slot);
  u64 seen = 0;
  // No look before: that would fetch the line twice.
  if (compare_exchange(&lock->word, seen, mine)) [[likely]] return true;
  return ring_lock_slowly(ctx, lock, mine, seen);
}

}  // namespace skep
