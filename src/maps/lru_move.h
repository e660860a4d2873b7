// maps: elements of a hash map that evicts, from place to place, so that a death in between can be put right. See lru_layout.h.
#pragma once
#include "maps/lru_layout.h"

namespace skep {

/// RunSlot::intent_op: which move; intent_elem: index + 1 of the element; both with the pool(s).
enum class LruMove : u32 {
  None = 0,
  Insert = 1,   ///< the pool's front into a chain
  Replace = 2,  ///< out of a chain, the pool's front into its place, and to the pool's front
  Erase = 3,    ///< out of a chain to the pool's front
  Evict = 4,    ///< out of a chain to the pool's back
  Gain = 5,     ///< never used or free, to the pool's back
  Spill = 6,    ///< the pool's back becomes free
  Steal = 7,    ///< another pool's back to the pool's back
};

/// A map as one slot with a pool changes it. REQUIRES: the pool is locked by the slot, or was when its owner died.
struct LruWriter {
  LruTable table;
  RunSlot* slot;
  u32 pool_index;
  LruPool* pool;

  LruWriter(MapDesc* desc, RunSlot* run_slot, u32 index) noexcept
      : table(desc), slot(run_slot), pool_index(index), pool(table.pool(index)) {}

  u32 count() const noexcept {
    const u32 n = load_relaxed(&pool->ends) >> 16;
    return n <= LruPool::ROOM ? n : 0;
  }
  /// index + 1 of a valid element, 0 when there is none.
  u32 front() const noexcept { return valid(0); }
  u32 back() const noexcept { return valid(count() - 1); }

  /// REQUIRES of the first three: the element's bucket is locked, too. Of those that put something into the pool: it has room.

  /// `link`: to the pool's front, which has been filled in.
  void insert(u64* head, u64 link) const noexcept;
  void replace(const LinkedElem& old, u64 link) const noexcept;
  /// Erase or Evict.
  void erase(LruMove how, const LinkedElem& old) const noexcept;
  /// REQUIRES: the part's lock. An element that was never used must be the first of those.
  void gain(u32 index1) const noexcept;
  /// False: the pool's back is of another part. REQUIRES: the part's lock.
  bool spill(u32 part) const noexcept;
  /// REQUIRES: the other pool's lock.
  void steal(const LruWriter& other) const noexcept;

  // The steps. Each may be done again: it looks whether it has been done.
  void put_front(u32 index1) const noexcept;
  void put_back(u32 index1) const noexcept;
  void take_front(u32 index1) const noexcept;
  void take_back(u32 index1) const noexcept;
  void put_over_front(u32 index1) const noexcept;

 private:
  void begin(LruMove move, u32 index1, u32 other_pool = 0) const noexcept;
  void end() const noexcept { store_release(&slot->intent_map, 0); }
  u32 head() const noexcept { return load_relaxed(&pool->ends) & 0xffff; }
  u32* place(u32 n) const noexcept { return &pool->at[n % LruPool::ROOM]; }
  void set_ends(u32 new_head, u32 n) const noexcept { store_release(&pool->ends, new_head % LruPool::ROOM | n << 16); }
  u32 valid(u32 n) const noexcept {
    const u32 index1 = n < count() ? load_relaxed(place(head() + n)) : 0;
    return table.elem(index1) != nullptr ? index1 : 0;
  }
};

/// MapOps::recover.
void lru_recover(const Window& w, MapDesc* desc, RunSlot* slot) noexcept;

}  // namespace skep
