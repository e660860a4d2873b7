// maps: an operation on a hash map that may change it: its slot, its intent, and the free list. See hash_layout.h, invariants 4
// and 5.
#pragma once
#include "maps/hash_layout.h"

namespace skep {

enum class IntentOp : u32 { None = 0, Insert = 1, Replace = 2, Erase = 3, Free = 4 };

/// RunSlot::intent_op: operation, whether it has tried the free list, and the tag it saw there the last time.
struct Intent {
  static constexpr u32 OP_MASK = 0xf, TRIED = 0x10, TAG_SHIFT = 5;
  IntentOp op;
  bool tried;
  u32 tag;

  static constexpr Intent unpack(u32 word) noexcept {
    return {static_cast<IntentOp>(word & OP_MASK), (word & TRIED) != 0, word >> TAG_SHIFT & FreeHead::TAG_MASK};
  }
  constexpr u32 pack() const noexcept { return static_cast<u32>(op) | (tried ? TRIED : 0) | tag << TAG_SHIFT; }
};
static_assert(FreeHead::TAG_BITS + Intent::TAG_SHIFT <= 32);

/// A HashTable as one slot changes it. REQUIRES: the slot is the caller's, or its owner is gone and the caller recovers it.
struct HashWriter {
  HashTable table;
  RunSlot* slot;
  u32 slot_index;  ///< < MAX_RUN_SLOTS

  HashWriter(const Window& w, MapDesc* desc, RunSlot* run_slot) noexcept
      : table{desc}, slot(run_slot), slot_index(skep::slot_index(w, run_slot)) {}

  HashSlot* mine() const noexcept { return &table.state()->slots[slot_index]; }
  /// index + 1, always a valid one.
  u32 spare() const noexcept {
    const u32 index1 = load_relaxed(&mine()->spare);
    return index1 - 1 < table.desc->n_elems ? index1 : table.desc->max_entries + slot_index + 1;
  }

  void intent_begin(IntentOp op, u32 index1) const noexcept;
  void intent_end() const noexcept { store_release(&slot->intent_map, 0); }

  /// Takes the top: index + 1, named by the intent, or 0 when the list is empty. REQUIRES: an intent Insert has begun.
  u32 pop() const noexcept;
  /// Turns the intent into Free before the element can be in the list. REQUIRES: an intent names the element; it is in no chain.
  void push(u32 index1) const noexcept;
  /// True when the push or pop that the intent describes took place.
  bool took_place(const Intent& intent) const noexcept;
};

}  // namespace skep
