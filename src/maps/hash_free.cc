#include "maps/hash_free.h"

namespace skep {
namespace {

/// Free links: index + 1 of the next, or END; 0 in an element that was never used: the one behind it.
constexpr u64 FREE_END = 0xffffffff;
/// Tries before a lock-free loop believes that RAM is being scribbled over: each failure means that another slot has succeeded.
constexpr u32 MAX_TRIES = 1u << 16;

/// index + 1 of the element below the top, 0 when there is none. Garbage when the top has been taken meanwhile: then the exchange
/// fails.
u32 below(const Htab& t, const HtabNode* top, u32 index1) noexcept {
  const u64 next = load_acquire(&top->next) & 0xffffffff;
  if (next == FREE_END) return 0;
  if (next == 0) return index1 < t.desc->max_entries ? index1 + 1 : 0;
  return static_cast<u32>(next) & ((1u << TaggedWord::VALUE_BITS) - 1);
}

/// A TaggedWord and the member of HtabSlot in which its makers' tags are noted.
struct Counter {
  u64* word;
  u32 HtabSlot::* tag;
};
Counter counter_of(HtabState* state, IntentOp op) noexcept {
  if (op == IntentOp::Take || op == IntentOp::Give) return {&state->live, &HtabSlot::live_tag};
  return {&state->free_head, &HtabSlot::free_tag};
}

/// Notes that the slot which made the word `seen` did so, before it is overwritten (invariant 4); false: it no longer stands. The note
/// is read before the word is looked at again: while that stands, nobody can have noted a later tag of its maker, so notes never go
/// backwards. The exchange fails where another slot was late to note an earlier one.
bool note_maker(HtabState* state, const Counter& c, u64 seen, const TaggedWord& old) noexcept {
  u32* note = &(state->slots[old.slot1 - 1].*c.tag);
  for (u32 i = 0; i <= MAX_RUN_SLOTS; ++i) {
    u32 before = load_acquire(note);
    if (before == old.tag) return true;
    if (load_acquire(c.word) != seen) return false;
    if (compare_exchange(note, before, old.tag)) return true;
  }
  return false;
}

/// One try to change the word from `seen`: value, as `op`. A slot's own last change needs no note: the intent is of a new one.
bool try_change(const HtabWriter& w, IntentOp op, u64 seen, u32 value) noexcept {
  const Counter c = counter_of(w.table.state(), op);
  const TaggedWord old = TaggedWord::unpack(seen);
  const bool of_other = old.slot1 != 0 && old.slot1 <= MAX_RUN_SLOTS && old.slot1 != w.slot_index + 1;
  if (of_other && !note_maker(w.table.state(), c, seen, old)) return false;
  store_release(&w.slot->intent_op, Intent{op, true, old.tag}.pack());
  return compare_exchange(c.word, seen, TaggedWord{value, w.slot_index + 1, old.tag + 1}.pack());
}

}  // namespace

bool HtabWriter::take() const noexcept {
  const u64* word = &table.state()->live;
  for (u32 i = 0; i < MAX_TRIES; ++i) {
    const u64 seen = load_acquire(word);
    const u32 live = TaggedWord::unpack(seen).value;
    if (live >= table.desc->max_entries) return false;
    if (try_change(*this, IntentOp::Take, seen, live + 1)) return true;
  }
  return false;
}

void HtabWriter::give() const noexcept {
  const u64* word = &table.state()->live;
  for (u32 i = 0; i < MAX_TRIES; ++i) {
    const u64 seen = load_acquire(word);
    const u32 live = TaggedWord::unpack(seen).value;
    if (live == 0) return;  // scribbled
    if (try_change(*this, IntentOp::Give, seen, live - 1)) return;
  }
}

u32 HtabWriter::pop() const noexcept {
  const u64* word = &table.state()->free_head;
  for (u32 i = 0; i < MAX_TRIES; ++i) {
    const u64 seen = load_acquire(word);
    const u32 index1 = TaggedWord::unpack(seen).value;
    const HtabNode* top = table.node(index1);
    if (top == nullptr) return 0;
    // Until the exchange the intent names the last try's element or this one's with a tag under which neither was taken.
    store_release(&slot->intent_elem, index1 | INTENT_POOL);
    if (try_change(*this, IntentOp::Pop, seen, below(table, top, index1))) return index1;
  }
  return 0;
}

void HtabWriter::push(u32 index1) const noexcept {
  HtabNode* n = table.node(index1);
  if (n == nullptr) return;
  store_relaxed(&n->elem.gen, load_relaxed(&n->elem.gen) + 1);
  order_stores();
  const u64* word = &table.state()->free_head;
  for (u32 i = 0; i < MAX_TRIES; ++i) {
    const u64 seen = load_acquire(word);
    const u32 top = TaggedWord::unpack(seen).value;
    store_release(&n->next, top != 0 ? top : FREE_END);
    if (try_change(*this, IntentOp::Push, seen, index1)) return;
  }
}

bool HtabWriter::took_place(const Intent& intent) const noexcept {
  if (!intent.tried) return false;
  const Counter c = counter_of(table.state(), intent.op);
  const u32 tag = (intent.tag + 1) & TaggedWord::TAG_MASK;
  // The word first: when it is no longer this slot's, the note was written before it was overwritten.
  const TaggedWord now = TaggedWord::unpack(load_acquire(c.word));
  if (now.slot1 == slot_index + 1 && now.tag == tag) return true;
  return load_acquire(&(mine()->*c.tag)) == tag;
}

}  // namespace skep
