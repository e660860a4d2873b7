// maps: pools of a hash map that evicts, and how they are filled. See lru_layout.h.
#pragma once
#include "maps/lru_move.h"

namespace skep {

/// A lock for as long as this lives.
class LruLocked {
 public:
  LruLocked(const OpCtx& ctx, RobustLock* lock, u32 spins = LOCK_SPINS) noexcept
      : lock_(lock), held_(robust_trylock(ctx.window, lock, ctx.slot, spins)) {}
  ~LruLocked() {
    if (held_) robust_unlock(lock_);
  }
  LruLocked(const LruLocked&) = delete;
  LruLocked& operator=(const LruLocked&) = delete;
  bool held() const noexcept { return held_; }

 private:
  RobustLock* lock_;
  bool held_;
};

/// A pool for as long as this lives: the CPU's own, or any that is not in use.
class LruHeldPool {
 public:
  LruHeldPool(const OpCtx& ctx, const LruTable& t) noexcept;
  ~LruHeldPool() {
    if (held_) robust_unlock(&pool_->lock);
  }
  LruHeldPool(const LruHeldPool&) = delete;
  LruHeldPool& operator=(const LruHeldPool&) = delete;
  /// False: live runs hold all of them.
  bool held() const noexcept { return held_; }
  u32 index() const noexcept { return index_; }

 private:
  LruPool* pool_ = nullptr;
  u32 index_ = 0;
  bool held_ = false;
};

/// Makes the pool have an element: *front is index + 1 of the first. -EBUSY, -ENOMEM. REQUIRES: no bucket is locked. Linux: bpf_lru_list.c:bpf_lru_pop_free()
long lru_fill_pool(const OpCtx& ctx, const LruWriter& w, u32* front) noexcept;
/// Makes the pool have room for one more. -EBUSY.
long lru_make_room(const OpCtx& ctx, const LruWriter& w) noexcept;

}  // namespace skep
