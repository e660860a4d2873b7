#include "maps/hash_find.h"

namespace skep {

Step find_chained(const Htab& t, const HtabBucket* b, const void* key, SeenHtabElem* out, u64* budget) noexcept {
  for (u64 link = load_acquire(&b->chain); link_index1(link) != 0;) {
    if (*budget == 0) return Step::Again;
    --*budget;
    HtabNode* n = t.node(link_index1(link));
    if (n == nullptr) return Step::Absent;  // a link that was read of the right incarnation and leads nowhere: scribbled
    const u64 next = load_acquire(&n->next);
    const bool hit = equal_bytes(t.key(&n->elem), key, t.desc->key_size);
    if (!still_same(&n->elem, link_gen(link))) return Step::Again;
    if (hit) {
      *out = {&n->elem, link_gen(link)};
      return Step::Found;
    }
    link = next;
  }
  return Step::Absent;
}

namespace {

template <typename Hit>
FoundElem walk_locked(const Htab& t, HtabBucket* b, Hit hit) noexcept {
  u64* link = &b->chain;
  for (u64 budget = t.walk_budget(); budget != 0; --budget) {
    const u32 index1 = link_index1(load_acquire(link));
    HtabNode* n = t.node(index1);
    if (n == nullptr) break;
    if (hit(&n->elem, index1)) return {&n->elem, CHAINED, index1, link};
    link = &n->next;
  }
  return {nullptr, 0, 0, nullptr};
}

}  // namespace

FoundElem find_chained_locked(const Htab& t, HtabBucket* b, const void* key) noexcept {
  return walk_locked(t, b, [&](const HtabElem* e, u32) { return equal_bytes(t.key(e), key, t.desc->key_size); });
}

FoundElem find_linked(const Htab& t, u32 index1) noexcept {
  const HtabNode* n = t.node(index1);
  if (n == nullptr) return {nullptr, 0, 0, nullptr};
  return walk_locked(t, t.bucket(t.hash(t.key(&n->elem))), [&](const HtabElem*, u32 at) { return at == index1; });
}

u32 BucketWalk::next(SeenHtabElem* out, u32 room, u64* budget) noexcept {
  u32 n = 0;
  if (!begun_) {
    begun_ = true;
    const u64 tags = local_ ? load_acquire(&b_->tags) : 0;
    for (u64 left = ~tags_free(tags) & TAG_HIGH_BITS; left != 0; left &= left - 1) {
      HtabElem* e = t_.local(b_, tag_index(left));
      const u32 gen = load_acquire(&e->gen);
      // The gen of a live element, as find_local() has it.
      if (still_tagged(b_, tags, tag_index(left))) out[n++] = {e, gen};
    }
    link_ = load_acquire(&b_->chain);
  }
  for (HtabNode* node; n < room && *budget > 0 && (node = t_.node(link_index1(link_))) != nullptr; --*budget) {
    const u64 next = load_acquire(&node->next);
    if (!still_same(&node->elem, link_gen(link_))) {
      link_ = 0;
      break;
    }
    out[n++] = {&node->elem, link_gen(link_)};
    link_ = next;
  }
  return n;
}

}  // namespace skep
