#include "maps/hash_write.h"

#include <cerrno>

#include "maps/special_fields.h"

namespace skep {
namespace {

void write_value(const HashTable& t, HashElem* e, const NewValue& v, bool is_new) noexcept {
  const MapDesc& d = *t.desc;
  u8* to = t.value(e);
  const u64 cpus = t.per_cpu() ? d.nr_cpus : 1;
  // Linux: hashtab.c:pcpu_init_value(): the other CPUs' values may be leftovers of another key. So may special fields.
  if (is_new && t.per_cpu() && !v.all_cpus) zero_bytes(to, d.value_stride * cpus);
  if (is_new && d.fields != nullptr)
    for (u64 cpu = 0; cpu < cpus; ++cpu) init_special_fields(d, to + cpu * d.value_stride);
  if (!t.per_cpu()) return copy_map_value(d, to, v.bytes, d.value_size);
  if (!v.all_cpus) return copy_map_value(d, to + static_cast<u64>(v.cpu) * d.value_stride, v.bytes, d.value_size);
  for (u64 at = 0; at < d.value_stride * cpus; at += d.value_stride)
    copy_map_value(d, to + at, static_cast<const u8*>(v.bytes) + at, d.value_stride);
}

/// Makes an element that is in nobody's chain ready to be linked; returns the link to it.
u64 fill(const HashTable& t, u32 index1, const void* key, u32 hash, const NewValue& v, u64 next) noexcept {
  HashElem* e = t.elem(index1);
  const u32 gen = load_relaxed(&e->gen) + 1;
  store_relaxed(&e->gen, gen);
  order_stores();
  store_relaxed(&e->next, next);
  store_relaxed(&e->hash, hash);
  copy_bytes(t.key(e), key, t.desc->key_size);
  write_value(t, e, v, true);
  return link_make(index1, gen);
}

void set_live_next(const HashWriter& w, u64 live) noexcept { store_relaxed(&w.mine()->live_next, live); }
void settle_live(const HashWriter& w) noexcept { store_relaxed(&w.mine()->live, load_relaxed(&w.mine()->live_next)); }

/// The element is in the slot's hand: either its push took place before the slot died, or it is done now.
void recover_free(const HashWriter& w, const Intent& intent, u32 index1) noexcept {
  if (!w.took_place(intent)) w.push(index1);
  settle_live(w);
}

void recover_insert(const HashWriter& w, const Intent& intent, u32 index1) noexcept {
  if (!w.took_place(intent)) return;  // never popped
  // Inserted is at the head, and the bucket has stood still since. Not yet filled, the hash is of an earlier life: then the element
  // is at no bucket's head, nor anywhere else.
  const HashElem* e = w.table.elem(index1);
  if (e == nullptr) return;
  if (link_index1(load_acquire(&w.table.bucket(load_relaxed(&e->hash))->head)) == index1) return settle_live(w);
  set_live_next(w, load_relaxed(&w.mine()->live));
  recover_free(w, {IntentOp::Free, false, 0}, index1);
}

void recover_replace(const HashWriter& w, u32 index1) noexcept {
  if (w.table.elem(index1) != nullptr && find_linked(w.table, index1).link == nullptr) store_release(&w.mine()->spare, index1);
}

void recover_erase(const HashWriter& w, u32 index1) noexcept {
  if (find_linked(w.table, index1).link != nullptr) return;  // not yet unlinked
  recover_free(w, {IntentOp::Free, false, 0}, index1);
}

}  // namespace

long hash_insert(const HashWriter& w, const void* key, u32 hash, const NewValue& value) noexcept {
  HashBucket* b = w.table.bucket(hash);
  set_live_next(w, load_relaxed(&w.mine()->live) + 1);
  w.intent_begin(IntentOp::Insert, 0);
  const u32 index1 = w.pop();
  if (index1 == 0) {
    w.intent_end();
    return -E2BIG;
  }
  const u64 link = fill(w.table, index1, key, hash, value, load_relaxed(&b->head));
  store_release(&b->head, link);  // pairs with the acquire loads of walks
  settle_live(w);
  w.intent_end();
  return 0;
}

void hash_replace(const HashWriter& w, const LinkedElem& old, const void* key, u32 hash, const NewValue& value) noexcept {
  if (w.table.per_cpu()) return write_value(w.table, old.elem, value, false);
  const u64 link = fill(w.table, w.spare(), key, hash, value, load_relaxed(&old.elem->next));
  w.intent_begin(IntentOp::Replace, old.index1);
  store_release(old.link, link);  // pairs with the acquire loads of walks
  store_release(&w.mine()->spare, old.index1);
  w.intent_end();
}

void hash_erase(const HashWriter& w, const LinkedElem& old) noexcept {
  set_live_next(w, load_relaxed(&w.mine()->live) - 1);
  w.intent_begin(IntentOp::Erase, old.index1);
  store_release(old.link, load_relaxed(&old.elem->next));
  w.push(old.index1);
  settle_live(w);
  w.intent_end();
}

void hash_recover(const Window& window, MapDesc* desc, RunSlot* slot) noexcept {
  const HashWriter w(window, desc, slot);
  const u32 index1 = load_relaxed(&slot->intent_elem);
  const Intent intent = Intent::unpack(load_relaxed(&slot->intent_op));
  switch (intent.op) {
    case IntentOp::Insert:
      return recover_insert(w, intent, index1);
    case IntentOp::Replace:
      return recover_replace(w, index1);
    case IntentOp::Erase:
      return recover_erase(w, index1);
    case IntentOp::Free:
      return recover_free(w, intent, index1);
    case IntentOp::None:
      return;
  }
}

}  // namespace skep
