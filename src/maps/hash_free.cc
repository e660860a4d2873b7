#include "maps/hash_free.h"

namespace skep {
namespace {

/// Free links: index + 1 of the next, or END; 0 in an element that was never used: the one behind it.
constexpr u64 FREE_END = 0xffffffff;
/// Tries before a lock-free loop believes that RAM is being scribbled over: each failure means that another slot has succeeded.
constexpr u32 MAX_TRIES = 1u << 16;

/// index + 1 of the element below the top, 0 when there is none. Garbage when the top has been taken meanwhile: then the exchange
/// fails.
u32 below(const HashTable& t, const HashElem* top, u32 index1) noexcept {
  const u64 next = load_acquire(&top->next) & 0xffffffff;
  if (next == FREE_END) return 0;
  if (next == 0) return index1 < t.desc->max_entries ? index1 + 1 : 0;
  return static_cast<u32>(next) & ((1u << FreeHead::INDEX_BITS) - 1);
}

/// Notes, before the head `seen` is overwritten, that the slot which made it did so (invariant 4). `confirmed` is read before the
/// head is looked at again: while the head stands, nobody can have confirmed a later tag of that slot, so the exchange never goes
/// backwards.
void confirm(HashState* state, u64 seen) noexcept {
  const FreeHead head = FreeHead::unpack(seen);
  if (head.slot1 == 0 || head.slot1 > MAX_RUN_SLOTS) return;
  u32* confirmed = &state->slots[head.slot1 - 1].confirmed;
  u32 before = load_acquire(confirmed);
  if (before == head.tag || load_acquire(&state->free_head) != seen) return;
  compare_exchange(confirmed, before, head.tag);
}

}  // namespace

void HashWriter::intent_begin(IntentOp op, u32 index1) const noexcept {
  store_release(&slot->intent_elem, index1);
  store_release(&slot->intent_op, Intent{op, false, 0}.pack());
  store_release(&slot->intent_map, reinterpret_cast<u64>(table.desc));
}

u32 HashWriter::pop() const noexcept {
  HashState* state = table.state();
  for (u32 i = 0; i < MAX_TRIES; ++i) {
    u64 seen = load_acquire(&state->free_head);
    const FreeHead head = FreeHead::unpack(seen);
    const HashElem* top = table.elem(head.index1);
    if (top == nullptr) return 0;
    const u32 next = below(table, top, head.index1);
    confirm(state, seen);
    // Between the two stores the intent is half the last try's and half this one's; neither tag's exchange has taken place.
    store_release(&slot->intent_elem, head.index1);
    store_release(&slot->intent_op, Intent{IntentOp::Insert, true, head.tag}.pack());
    if (compare_exchange(&state->free_head, seen, FreeHead{next, slot_index + 1, head.tag + 1}.pack())) return head.index1;
  }
  return 0;
}

void HashWriter::push(u32 index1) const noexcept {
  HashState* state = table.state();
  HashElem* e = table.elem(index1);
  if (e == nullptr) return;
  store_relaxed(&e->gen, load_relaxed(&e->gen) + 1);
  order_stores();
  for (u32 i = 0; i < MAX_TRIES; ++i) {
    u64 seen = load_acquire(&state->free_head);
    const FreeHead head = FreeHead::unpack(seen);
    store_release(&e->next, head.index1 != 0 ? head.index1 : FREE_END);
    confirm(state, seen);
    store_release(&slot->intent_op, Intent{IntentOp::Free, true, head.tag}.pack());
    if (compare_exchange(&state->free_head, seen, FreeHead{index1, slot_index + 1, head.tag + 1}.pack())) return;
  }
}

bool HashWriter::took_place(const Intent& intent) const noexcept {
  if (!intent.tried) return false;
  const u32 tag = (intent.tag + 1) & FreeHead::TAG_MASK;
  // The head first: when it is no longer this slot's, `confirmed` was written before it was overwritten.
  const FreeHead head = FreeHead::unpack(load_acquire(&table.state()->free_head));
  if (head.slot1 == slot_index + 1 && head.tag == tag) return true;
  return load_acquire(&mine()->confirmed) == tag;
}

}  // namespace skep
