// maps: an operation on a hash map that may change it: its slot, its intent, the live count and the free list. See htab_layout.h,
// invariants 4 and 5.
#pragma once
#include "maps/htab_layout.h"

namespace skep {

/// Take: raises the count, then makes the local element live that the intent names (a chained insert: goes on to Pop). Pop: takes an
/// element from the free list and chains it; the count is raised. Replace: of a chained element. Erase. Push: puts the element into
/// the free list, then Give. Give: lowers the count.
enum class IntentOp : u32 { None = 0, Take = 1, Pop = 2, Replace = 3, Erase = 4, Push = 5, Give = 6 };

/// RunSlot::intent_op: operation, whether it has tried to change its TaggedWord, and the tag it saw there the last time.
struct Intent {
  static constexpr u32 OP_MASK = 0xf, TRIED = 0x10, TAG_SHIFT = 5;
  IntentOp op;
  bool tried;
  u32 tag;

  static constexpr Intent unpack(u32 word) noexcept {
    return {static_cast<IntentOp>(word & OP_MASK), (word & TRIED) != 0, word >> TAG_SHIFT & TaggedWord::TAG_MASK};
  }
  constexpr u32 pack() const noexcept { return static_cast<u32>(op) | (tried ? TRIED : 0) | tag << TAG_SHIFT; }
};
static_assert(TaggedWord::TAG_BITS + Intent::TAG_SHIFT <= 32);

/// RunSlot::intent_elem: an element of the pool (index + 1 and this bit), or a local one.
constexpr u32 INTENT_POOL = 1u << 31;
constexpr u32 intent_local(u32 bucket, u32 i) noexcept { return bucket * 8 + i; }

/// A Htab as one slot changes it. REQUIRES: the slot is the caller's, or its owner is gone and the caller recovers it.
struct HtabWriter {
  Htab table;
  RunSlot* slot;
  u32 slot_index;  ///< < MAX_RUN_SLOTS

  HtabWriter(const Window& w, MapDesc* desc, RunSlot* run_slot) noexcept
      : table{desc}, slot(run_slot), slot_index(skep::slot_index(w, run_slot)) {}

  HtabSlot* mine() const noexcept { return &table.state()->slots[slot_index]; }
  /// index + 1, always a valid one.
  u32 spare() const noexcept {
    const u32 index1 = load_relaxed(&mine()->spare);
    return index1 - 1 < table.desc->n_elems ? index1 : table.desc->max_entries + slot_index + 1;
  }

  void intent_begin(IntentOp op, u32 elem) const noexcept {
    store_relaxed(&slot->intent_elem, elem);
    store_relaxed(&slot->intent_op, Intent{op, false, 0}.pack());
    store_release(&slot->intent_map, reinterpret_cast<u64>(table.desc));
  }
  void intent_end() const noexcept { store_release(&slot->intent_map, 0); }

  /// Raises the live count; false: max_entries are live. REQUIRES: an intent Take has begun.
  bool take() const noexcept;
  /// Lowers it. The intent becomes Give. REQUIRES: an intent; the element is not live.
  void give() const noexcept;
  /// Takes the free list's top: index + 1, named by the intent, which is now Pop, or 0 when the list is empty. REQUIRES: take().
  u32 pop() const noexcept;
  /// The intent becomes Push before the element can be in the list. REQUIRES: an intent names the element; it is in no chain.
  void push(u32 index1) const noexcept;
  /// True when the change of its word that the intent describes took place.
  bool took_place(const Intent& intent) const noexcept;
};

}  // namespace skep
