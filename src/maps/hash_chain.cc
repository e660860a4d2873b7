#include "maps/hash_chain.h"

#include "base/bytes.h"

namespace skep {
namespace {

/// The common sizes without a loop.
inline bool same_key(const HashTable& t, const HashElem* e, const void* key) noexcept {
  const u8* k = t.key(e);
  switch (t.desc->key_size) {
    case 4:
      return __builtin_memcmp(k, key, 4) == 0;
    case 8:
      return __builtin_memcmp(k, key, 8) == 0;
    default:
      return equal_bytes(k, key, t.desc->key_size);
  }
}

enum class Step : u8 { Found, Absent, Recycled, GaveUp };

/// One walk from the head, up to the first sign that an element was recycled under it.
Step walk_once(const HashTable& t, const HashBucket* b, const void* key, u32 hash, SeenElem* out, u64* budget) noexcept {
  u64 link = load_acquire(&b->head);
  while (link_index1(link) != 0) {
    if (*budget == 0) return Step::GaveUp;
    --*budget;
    HashElem* e = t.elem(link_index1(link));
    if (e == nullptr) return Step::Absent;  // a link that was read of the right incarnation and leads nowhere: scribbled
    const u64 next = load_acquire(&e->next);
    const bool hit = load_relaxed(&e->hash) == hash && same_key(t, e, key);
    if (!still_same(e, link_gen(link))) return Step::Recycled;
    if (hit) {
      *out = {e, link_gen(link), next};
      return Step::Found;
    }
    link = next;
  }
  return Step::Absent;
}

template <typename Hit>
LinkedElem walk_locked(const HashTable& t, u32 hash, Hit hit) noexcept {
  u64* link = &t.bucket(hash)->head;
  for (u64 budget = t.walk_budget(); budget != 0; --budget) {
    const u32 index1 = link_index1(load_acquire(link));
    HashElem* e = t.elem(index1);
    if (e == nullptr) break;
    if (hit(e, index1)) return {link, e, index1};
    link = &e->next;
  }
  return {nullptr, nullptr, 0};
}

}  // namespace

Walk find(const HashTable& t, const void* key, u32 hash, SeenElem* out, u64* budget) noexcept {
  const HashBucket* b = t.bucket(hash);
  for (;;) {
    switch (walk_once(t, b, key, hash, out, budget)) {
      case Step::Found:
        return Walk::Found;
      case Step::Absent:
        return Walk::Absent;
      case Step::GaveUp:
        return Walk::GaveUp;
      case Step::Recycled:
        break;  // took a step, so this ends
    }
  }
}

LinkedElem find_locked(const HashTable& t, const void* key, u32 hash) noexcept {
  return walk_locked(t, hash, [&](const HashElem* e, u32) { return load_relaxed(&e->hash) == hash && same_key(t, e, key); });
}

LinkedElem find_linked(const HashTable& t, u32 index1) noexcept {
  const HashElem* e = t.elem(index1);
  if (e == nullptr) return {nullptr, nullptr, 0};
  return walk_locked(t, load_relaxed(&e->hash), [&](const HashElem*, u32 at) { return at == index1; });
}

}  // namespace skep
