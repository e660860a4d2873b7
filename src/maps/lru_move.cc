#include "maps/lru_move.h"

namespace skep {
namespace {

constexpr u32 MOVE_BITS = 4, POOL_BITS = 8;
static_assert(MAX_CPUS <= 1u << POOL_BITS);
constexpr u32 pack(LruMove move, u32 pool, u32 other) noexcept {
  return static_cast<u32>(move) | pool << MOVE_BITS | other << (MOVE_BITS + POOL_BITS);
}

u64 bit_of(u32 index) noexcept { return 1ULL << index % 64; }

/// No longer never used, no longer free.
void take_from_part(const LruTable& t, u32 index1) noexcept {
  LruPart* part = t.part(t.part_of_elem(index1));
  const u32 behind = t.common() ? index1 : (index1 - 1) % t.part_size() + 1;
  if (load_relaxed(&part->fresh) < behind) store_release(&part->fresh, behind);
  u64* word = t.free_word(index1 - 1);
  if ((load_relaxed(word) & bit_of(index1 - 1)) != 0) fetch_and(word, ~bit_of(index1 - 1));
}

}  // namespace

void LruWriter::put_front(u32 index1) const noexcept {
  if (count() == LruPool::ROOM || front() == index1) return;
  store_relaxed(place(head() - 1), index1);
  set_ends(head() - 1, count() + 1);
}
void LruWriter::put_back(u32 index1) const noexcept {
  if (count() == LruPool::ROOM || back() == index1) return;
  store_relaxed(place(head() + count()), index1);
  set_ends(head(), count() + 1);
}
void LruWriter::take_front(u32 index1) const noexcept {
  if (index1 != 0 && front() == index1) set_ends(head() + 1, count() - 1);
}
void LruWriter::take_back(u32 index1) const noexcept {
  if (index1 != 0 && back() == index1) set_ends(head(), count() - 1);
}
void LruWriter::put_over_front(u32 index1) const noexcept {
  if (count() != 0) store_release(place(head()), index1);
}

void LruWriter::begin(LruMove move, u32 index1, u32 other_pool) const noexcept {
  store_release(&slot->intent_elem, index1);
  store_release(&slot->intent_op, pack(move, pool_index, other_pool));
  store_release(&slot->intent_map, reinterpret_cast<u64>(table.desc));
}

void LruWriter::insert(u64* head, u64 link) const noexcept {
  begin(LruMove::Insert, link_index1(link));
  store_release(head, link);  // pairs with the acquire loads of walks
  take_front(link_index1(link));
  end();
}

void LruWriter::replace(const LinkedElem& old, u64 link) const noexcept {
  begin(LruMove::Replace, old.index1);
  store_release(old.link, link);  // pairs with the acquire loads of walks
  put_over_front(old.index1);
  end();
}

void LruWriter::erase(LruMove how, const LinkedElem& old) const noexcept {
  begin(how, old.index1);
  store_release(old.link, load_relaxed(&old.elem->next));
  if (how == LruMove::Erase)
    put_front(old.index1);
  else
    put_back(old.index1);
  end();
}

void LruWriter::gain(u32 index1) const noexcept {
  begin(LruMove::Gain, index1);
  put_back(index1);
  take_from_part(table, index1);
  end();
}

bool LruWriter::spill(u32 part) const noexcept {
  const u32 index1 = back();
  if (index1 == 0 || table.part_of_elem(index1) != part) return false;
  begin(LruMove::Spill, index1);
  fetch_or(table.free_word(index1 - 1), bit_of(index1 - 1));
  store_relaxed(&table.part(part)->free_hint, 1);
  take_back(index1);
  end();
  return true;
}

void LruWriter::steal(const LruWriter& other) const noexcept {
  const u32 index1 = other.back();
  if (index1 == 0) return;
  begin(LruMove::Steal, index1, other.pool_index);
  put_back(index1);
  other.take_back(index1);
  end();
}

void lru_recover(const Window& window, MapDesc* desc, RunSlot* slot) noexcept {
  const u32 word = load_relaxed(&slot->intent_op), index1 = load_relaxed(&slot->intent_elem);
  const u32 pool = word >> MOVE_BITS & ((1u << POOL_BITS) - 1), other = word >> (MOVE_BITS + POOL_BITS) & ((1u << POOL_BITS) - 1);
  if (pool >= desc->nr_cpus || other >= desc->nr_cpus) return;
  const LruWriter w(desc, slot, pool);
  if (w.table.elem(index1) == nullptr || load_acquire(&w.pool->lock.word) != slot_lock_word(window, slot)) return;
  const bool linked = find_linked(w.table, index1).link != nullptr;
  switch (static_cast<LruMove>(word & ((1u << MOVE_BITS) - 1))) {
    case LruMove::Insert:
      if (linked) w.take_front(index1);
      return;
    case LruMove::Replace:
      if (!linked) w.put_over_front(index1);
      return;
    case LruMove::Erase:
      if (!linked) w.put_front(index1);
      return;
    case LruMove::Evict:
      if (!linked) w.put_back(index1);
      return;
    case LruMove::Gain:
      if (w.back() == index1) take_from_part(w.table, index1);
      return;
    case LruMove::Spill:
      if ((load_relaxed(w.table.free_word(index1 - 1)) & bit_of(index1 - 1)) == 0) return;
      store_relaxed(&w.table.part(w.table.part_of_elem(index1))->free_hint, 1);
      return w.take_back(index1);
    case LruMove::Steal:
      if (w.back() == index1) LruWriter(desc, slot, other).take_back(index1);
      return;
    case LruMove::None:
      return;
  }
}

}  // namespace skep
