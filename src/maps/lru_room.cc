#include "maps/lru_room.h"

#include <cerrno>

namespace skep {
namespace {

/// Looks at a lock that is worth having, but not waiting for.
constexpr u32 SHORT_SPINS = 100;
/// Elements that are looked at where none is to be had: most are live.
constexpr u32 MOST_LOOKS = 4096;

/// One part in the making of room; its lock is held.
class Row {
 public:
  Row(const OpCtx& ctx, const LruWriter& w, u32 part) noexcept
      : ctx_(ctx), w_(w), part_(w.table.part(part)), size_(w.table.part_size()), first_(part * size_) {}

  /// Elements that nobody uses; true when the pool has `target`.
  bool gain_unused(u32 target) const noexcept {
    for (u32 fresh; w_.count() < target && (fresh = load_relaxed(&part_->fresh)) < size_;) w_.gain(first_ + fresh + 1);
    if (w_.count() < target && load_relaxed(&part_->free_hint) != 0) gain_free(target);
    return w_.count() >= target;
  }

  /// At most `looks` live elements are looked at. Linux: bpf_lru_list.c:__bpf_lru_list_rotate(), __bpf_lru_list_shrink_inactive()
  void evict_unused(u32 target, u32 looks) const noexcept {
    const u32 steps = size_ < MOST_LOOKS ? size_ : MOST_LOOKS;  // at most once round
    for (u32 i = 0; i < steps && looks != 0 && w_.count() < target; ++i) {
      const u32 index1 = next();
      HashElem* e = w_.table.elem(index1);
      if (e == nullptr || load_relaxed(&w_.table.mark(e)->live) == 0) continue;
      --looks;
      u8* used = &w_.table.mark(e)->used;
      if (load_relaxed(used) != 0)
        store_relaxed(used, 0);
      else
        evict(index1);
    }
  }

  /// Whatever comes first. Linux: bpf_lru_list.c:__bpf_lru_list_shrink()
  void evict_any() const noexcept {
    const u32 looks = size_ < MOST_LOOKS ? size_ : MOST_LOOKS;
    for (u32 i = 0; i < looks && w_.count() == 0; ++i) evict(next());
  }

 private:
  /// index + 1 of what the hand points to; moves it on.
  u32 next() const noexcept {
    const u32 at = load_relaxed(&part_->hand);
    const u32 here = at < size_ ? at : 0;
    store_relaxed(&part_->hand, here + 1 < size_ ? here + 1 : 0);
    return first_ + here + 1;
  }

  void gain_free(u32 target) const noexcept {
    for (u32 at = first_ / 64 * 64; at < first_ + size_; at += 64) {
      u64 bits = load_relaxed(w_.table.free_word(at));
      for (; bits != 0; bits &= bits - 1) {
        const u32 index = at + static_cast<u32>(__builtin_ctzll(bits));
        if (index < first_ || index >= first_ + size_) continue;
        if (w_.count() >= target) return;
        w_.gain(index + 1);
      }
    }
    store_relaxed(&part_->free_hint, 0);
  }

  /// Linux: hashtab.c:htab_lru_map_delete_node()
  void evict(u32 index1) const noexcept {
    HashElem* e = w_.table.elem(index1);
    if (e == nullptr || w_.count() == LruPool::ROOM) return;
    const u32 hash = load_relaxed(&e->hash);
    const LruLocked bucket(ctx_, &w_.table.bucket(hash)->lock, SHORT_SPINS);
    if (!bucket.held()) return;
    const LinkedElem at = in_chain(hash, index1);
    if (at.link == nullptr) return;
    w_.erase(LruMove::Evict, at);
    store_relaxed(&w_.table.mark(e)->live, 0);
  }

  /// The element where its hash was seen to be: not find_linked(), which might look at another hash by now, of a bucket not locked.
  LinkedElem in_chain(u32 hash, u32 index1) const noexcept {
    u64* link = &w_.table.bucket(hash)->head;
    for (u64 budget = w_.table.walk_budget(); budget != 0; --budget) {
      const u32 at = link_index1(load_relaxed(link));
      HashElem* e = w_.table.elem(at);
      if (e == nullptr) break;
      if (at == index1) return {link, e, at};
      link = &e->next;
    }
    return {nullptr, nullptr, 0};
  }

  const OpCtx& ctx_;
  const LruWriter& w_;
  LruPart* part_;
  u32 size_, first_;
};

u32 clamp(u32 n, u32 low, u32 high) noexcept { return n < low ? low : n > high ? high : n; }

/// Linux: bpf_lru_list.c:bpf_common_lru_pop_free(): when the list has none, from the other CPUs.
void steal(const OpCtx& ctx, const LruWriter& w) noexcept {
  const u32 pools = w.table.desc->nr_cpus;
  for (u32 i = 1; i < pools && w.count() == 0; ++i) {
    const u32 from = (w.pool_index + i) % pools;
    const LruLocked lock(ctx, &w.table.pool(from)->lock, SHORT_SPINS);
    if (lock.held()) w.steal(LruWriter(w.table.desc, w.slot, from));
  }
}

}  // namespace

LruHeldPool::LruHeldPool(const OpCtx& ctx, const LruTable& t) noexcept {
  const u32 pools = t.desc->nr_cpus, mine = ctx.cpu < pools ? ctx.cpu : 0;
  for (u32 i = 0; i <= pools && !held_; ++i) {
    index_ = (mine + i) % pools;
    pool_ = t.pool(index_);
    // Round once, with an eye on each; then wait for one's own.
    held_ = robust_trylock(ctx.window, &pool_->lock, ctx.slot, i == 0 ? SHORT_SPINS : i < pools ? 1 : LOCK_SPINS);
  }
}

long lru_fill_pool(const OpCtx& ctx, const LruWriter& w, u32* front) noexcept {
  if ((*front = w.front()) != 0) return 0;
  store_relaxed(&w.pool->ends, 0);  // empty, or scribbled
  const LruTable& t = w.table;
  const u32 index = t.part_of_pool(w.pool_index);
  const u32 batch = t.common() ? clamp(t.desc->n_elems / t.desc->nr_cpus / 2, 1, LRU_BATCH) : LRU_PERCPU_BATCH;
  bool busy = false;
  {
    const LruLocked lock(ctx, &t.part(index)->lock);
    busy = !lock.held();
    const Row row(ctx, w, index);
    if (!busy && !row.gain_unused(batch)) {
      row.evict_unused(batch, 2 * (t.common() ? LRU_BATCH : LRU_PERCPU_BATCH));
      if (w.count() == 0) row.evict_any();
    }
  }
  if (w.count() == 0) steal(ctx, w);
  if ((*front = w.front()) != 0) return 0;
  return busy ? -EBUSY : -ENOMEM;
}

long lru_make_room(const OpCtx& ctx, const LruWriter& w) noexcept {
  while (w.count() == LruPool::ROOM) {
    const u32 index1 = w.back();
    if (index1 == 0) {
      store_relaxed(&w.pool->ends, 0);  // scribbled
      break;
    }
    const u32 part = w.table.part_of_elem(index1);
    const LruLocked lock(ctx, &w.table.part(part)->lock);
    if (!lock.held()) return -EBUSY;
    for (u32 i = 0; i < LRU_BATCH && w.spill(part);) ++i;
  }
  return 0;
}

}  // namespace skep
