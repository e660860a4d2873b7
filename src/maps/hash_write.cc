#include "maps/hash_write.h"

#include <cerrno>

namespace skep {

void write_special_value(const Htab& t, HtabElem* e, const NewValue& v, bool is_new) noexcept {
  const MapDesc& d = *t.desc;
  u8* to = t.value(e);
  const u64 cpus = t.per_cpu() ? d.nr_cpus : 1;
  // Linux: hashtab.c:pcpu_init_value(): the other CPUs' values may be leftovers of another key. So may special fields.
  if (is_new && t.per_cpu() && !v.all_cpus) zero_bytes(to, d.value_stride * cpus);
  if (is_new && d.fields != nullptr)
    for (u64 cpu = 0; cpu < cpus; ++cpu) init_special_fields(d, to + cpu * d.value_stride);
  if (!t.per_cpu()) return copy_map_value(d, to, v.bytes, d.value_size);
  if (!v.all_cpus) {
    to += static_cast<u64>(v.cpu) * d.value_stride;
    return d.fields == nullptr ? copy_value_bytes(to, v.bytes, d.value_size) : copy_map_value(d, to, v.bytes, d.value_size);
  }
  for (u64 at = 0; at < d.value_stride * cpus; at += d.value_stride)
    copy_map_value(d, to + at, static_cast<const u8*>(v.bytes) + at, d.value_stride);
}

namespace {

void mark_used(const Htab& t, u32 bucket) noexcept {
  u64* word = t.summary_word(bucket);
  const u64 bit = 1ULL << bucket % 64;
  if ((load_relaxed(word) & bit) == 0) fetch_or(word, bit);
}

/// The free local element to insert into, or CHAINED.
u32 local_room(const Htab& t, u64 tags) noexcept {
  const u64 free = t.has_local() ? tags_free(tags) : 0;
  return (free & (free - 1)) != 0 ? tag_index(free) : CHAINED;  // one stays free
}

template <u32 K>
long insert_chained(const HtabWriter& w, HtabBucket* b, const void* key, const NewValue& value) noexcept {
  w.intent_begin(IntentOp::Take, INTENT_POOL);
  if (!w.take()) {
    w.intent_end();
    return -E2BIG;
  }
  const u32 index1 = w.pop();
  HtabNode* n = w.table.node(index1);
  if (n == nullptr) {  // scribbled: the list has room for all that are counted
    w.give();
    w.intent_end();
    return -E2BIG;
  }
  const u32 gen = fill<K>(w.table, &n->elem, key, value);
  store_relaxed(&n->next, load_relaxed(&b->chain));
  store_release(&b->chain, link_make(index1, gen));  // pairs with the acquire loads of walks
  w.intent_end();
  return 0;
}

/// The element is in the slot's hand: either its push took place before the slot died, or it is done now.
void recover_push(const HtabWriter& w, const Intent& intent, u32 index1) noexcept {
  if (!w.took_place(intent)) w.push(index1);
  w.give();
}

/// Local elements: the bit of `elem` says all.
bool local_live(const Htab& t, u32 elem) noexcept {
  if (elem / 8 >= t.desc->n_buckets || elem % 8 >= LOCAL_ELEMS || !t.has_local()) return false;
  return (load_acquire(&t.bucket_at(elem / 8)->tags) & tag_byte(elem % 8)) != 0;
}

void recover_take(const HtabWriter& w, const Intent& intent, u32 elem) noexcept {
  if (w.took_place(intent) && ((elem & INTENT_POOL) != 0 || !local_live(w.table, elem))) w.give();
}

void recover_pop(const HtabWriter& w, const Intent& intent, u32 index1) noexcept {
  if (!w.took_place(intent)) return w.give();
  const HtabNode* n = w.table.node(index1);
  if (n == nullptr) return;
  // Inserted is at the head, and the bucket has stood still since. Not yet filled, the key is of an earlier life: then the element
  // is at no bucket's head, nor anywhere else.
  const HtabBucket* b = w.table.bucket(w.table.hash(w.table.key(&n->elem)));
  if (link_index1(load_acquire(&b->chain)) != index1) recover_push(w, {IntentOp::Push, false, 0}, index1);
}

void recover_replace(const HtabWriter& w, u32 index1) noexcept {
  if (w.table.node(index1) != nullptr && find_linked(w.table, index1).link == nullptr) store_release(&w.mine()->spare, index1);
}

void recover_erase(const HtabWriter& w, u32 elem) noexcept {
  if ((elem & INTENT_POOL) == 0) {
    if (!local_live(w.table, elem)) w.give();
  } else if (find_linked(w.table, elem & ~INTENT_POOL).link == nullptr) {  // unlinked
    recover_push(w, {IntentOp::Push, false, 0}, elem & ~INTENT_POOL);
  }
}

}  // namespace

template <u32 K>
long hash_insert(const HtabWriter& w, HtabBucket* b, const void* key, KeyHash h, const NewValue& value) noexcept {
  const u32 bucket = h.bucket(w.table.desc->n_buckets);
  const u64 tags = load_relaxed(&b->tags);
  const u32 i = local_room(w.table, tags);
  mark_used(w.table, bucket);
  if (i == CHAINED) return insert_chained<K>(w, b, key, value);
  w.intent_begin(IntentOp::Take, intent_local(bucket, i));
  const bool room = w.take();
  if (room) {
    fill<K>(w.table, w.table.local(b, i), key, value);
    store_release(&b->tags, tags | static_cast<u64>(h.tag()) << 8 * i);  // pairs with find_local()
  }
  w.intent_end();
  return room ? 0 : -E2BIG;
}
template long hash_insert<0>(const HtabWriter&, HtabBucket*, const void*, KeyHash, const NewValue&) noexcept;
template long hash_insert<4>(const HtabWriter&, HtabBucket*, const void*, KeyHash, const NewValue&) noexcept;
template long hash_insert<8>(const HtabWriter&, HtabBucket*, const void*, KeyHash, const NewValue&) noexcept;
template long hash_insert<16>(const HtabWriter&, HtabBucket*, const void*, KeyHash, const NewValue&) noexcept;

void hash_replace_chained(const HtabWriter& w, const FoundElem& old, const void* key, const NewValue& value) noexcept {
  const u32 index1 = w.spare();
  HtabNode* n = w.table.node(index1);
  const u32 gen = fill<0>(w.table, &n->elem, key, value);
  store_relaxed(&n->next, load_relaxed(&w.table.node(old.index1)->next));
  w.intent_begin(IntentOp::Replace, old.index1 | INTENT_POOL);
  store_release(old.link, link_make(index1, gen));  // pairs with the acquire loads of walks
  store_release(&w.mine()->spare, old.index1);
  w.intent_end();
}

void hash_erase(const HtabWriter& w, HtabBucket* b, u32 bucket, const FoundElem& old) noexcept {
  if (old.local != CHAINED) {
    w.intent_begin(IntentOp::Erase, intent_local(bucket, old.local));
    store_release(&b->tags, load_relaxed(&b->tags) & ~tag_byte(old.local));
  } else {
    w.intent_begin(IntentOp::Erase, old.index1 | INTENT_POOL);
    store_release(old.link, load_relaxed(&w.table.node(old.index1)->next));
    w.push(old.index1);
  }
  w.give();
  w.intent_end();
}

void hash_recover(const Window& window, MapDesc* desc, RunSlot* slot) noexcept {
  const HtabWriter w(window, desc, slot);
  const u32 elem = load_relaxed(&slot->intent_elem), index1 = elem & ~INTENT_POOL;
  const Intent intent = Intent::unpack(load_relaxed(&slot->intent_op));
  switch (intent.op) {
    case IntentOp::Take:
      return recover_take(w, intent, elem);
    case IntentOp::Pop:
      return recover_pop(w, intent, index1);
    case IntentOp::Replace:
      return recover_replace(w, index1);
    case IntentOp::Erase:
      return recover_erase(w, elem);
    case IntentOp::Push:
      return recover_push(w, intent, index1);
    case IntentOp::Give:
      if (!w.took_place(intent)) w.give();
      return;
    case IntentOp::None:
      return;
  }
}

}  // namespace skep
