// shm: run slots and the locks that survive their holders.
//
// A process may be killed, stopped, or leave by siglongjmp at any instruction, holding anything. So:
//  1. Whoever changes shared state holds a run slot: a virtual CPU for a program's run, a client slot for an operation of a syscall.
//  2. Every lock names its holder's slot and that slot's seq. When the slot's seq has moved on or the slot is free, the lock is abandoned.
//  3. Structures are changed so that they are whole after every single store; what a death can leave behind is an element in nobody's
//     list or an unfinished ring record, and the slot's intent names it. Recovery (slot_recover) runs before the slot's seq moves.
//  4. Nobody waits without a bound: trylock and answer -EBUSY, as Linux's hash map does. Linux: kernel/bpf/hashtab.c:htab_lock_bucket()
//
// Freestanding: also compiled into the agent.
#pragma once
#include "base/atomic.h"
#include "shm/layout.h"

namespace skep {

/// Who asks: proc_slot (index, never 0) | generation << 32. Never 0. A slot's owner word may also say, in the 16 bits between the two,
/// which thread of the process it is.
using OwnerId = u64;
constexpr u32 OWNER_TAG_SHIFT = 16;
static_assert(MAX_PROC_SLOTS <= 1u << OWNER_TAG_SHIFT);
constexpr OwnerId process_of(OwnerId word) noexcept { return word & ~(0xffffULL << OWNER_TAG_SHIFT); }

/// Takes virtual CPU `preferred`, or another free one. Null when all are taken: the caller counts a miss.
RunSlot* slot_acquire_cpu(const Window& w, OwnerId owner, u32 preferred) noexcept;
/// Takes a client slot (index >= nr_cpus), starting the search at `hint`. Null when all are taken.
RunSlot* slot_acquire_client(const Window& w, OwnerId owner, u32 hint) noexcept;
/// Gives the slot back. REQUIRES: the caller took it and no recovery has happened since.
void slot_release(RunSlot* slot) noexcept;
inline u32 slot_index(const Window& w, const RunSlot* slot) noexcept { return static_cast<u32>(slot - w.ram->slots); }

/// The lock word that `slot` writes into locks it takes now.
inline u64 slot_lock_word(const Window& w, const RunSlot* slot) noexcept {
  return (static_cast<u64>(slot_index(w, slot)) + 1) << 48 | (load_relaxed(&slot->seq) & 0xffffffffffffULL);
}
/// True when the holder that `word` names has moved on.
bool lock_abandoned(const Window& w, u64 word) noexcept;

constexpr u32 LOCK_SPINS = 2000;
constexpr u64 LOCK_PATIENCE = 60'000'000;  ///< cycles of the time stamp counter: some 20 ms, several time slices
/// Bounded: false after `spins` looks at a lock that a live run holds. Where those were all LOCK_SPINS, the holder was preempted in the
/// middle, or is stopped: it is then waited for, yielding, for LOCK_PATIENCE, once; after that nobody waits for this ownership again. A lock that this very slot holds already answers false at once.
bool robust_trylock(const Window& w, RobustLock* lock, const RunSlot* slot, u32 spins = LOCK_SPINS) noexcept;
/// Pairs with the acquire in robust_trylock().
inline void robust_unlock(RobustLock* lock) noexcept { store_release(&lock->word, 0); }

/// Puts back what a dead or gone owner left: returns the element of its intent, discards its open ring records (see maps/ and buffers/
/// for the two callbacks), then bumps seq and frees the slot. Called by the host when a process has died, by a thread about a run of its
/// own that it left by siglongjmp. REQUIRES: the owner will never touch the slot again.
struct SlotRecovery {
  void (*map_intent)(const Window& w, RunSlot* slot) noexcept;
  void (*ring_record)(const Window& w, u32 ring, u64 pos) noexcept;
};
void slot_recover(const Window& w, RunSlot* slot, const SlotRecovery& how) noexcept;

}  // namespace skep
