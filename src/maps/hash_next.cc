#include "maps/hash_next.h"

namespace skep {
namespace {

/// Looks at a bucket that changes all the time: after this many, it is locked.
constexpr u32 MAX_LOOKS = 64;

bool key_less(const u8* a, const u8* b, u32 n) noexcept {
  for (; n >= 8; n -= 8, a += 8, b += 8) {
    const u64 x = load_bytes<u64>(a), y = load_bytes<u64>(b);
    if (x != y) return __builtin_bswap64(x) < __builtin_bswap64(y);
  }
  for (; n != 0; --n, ++a, ++b)
    if (*a != *b) return *a < *b;
  return false;
}

/// The least key of a bucket that is more than `after` (null: the least of all).
class LeastKey {
 public:
  LeastKey(const Htab& t, u32 bucket, const void* after, u64* budget) noexcept
      : t_(t), b_(t.bucket_at(bucket)), after_(static_cast<const u8*>(after)), budget_(budget) {}

  /// Again: the bucket changed under the look.
  Step copy_to(void* next) noexcept {
    const u64 tags = t_.has_local() ? load_acquire(&b_->tags) : 0;
    const u64 live = ~tags_free(tags) & TAG_HIGH_BITS;
    best_ = {nullptr, 0};
    u32 gens = 0;
    for (u64 left = live; left != 0; left &= left - 1) {
      HtabElem* e = t_.local(b_, tag_index(left));
      const u32 gen = load_acquire(&e->gen);
      if (!still_tagged(b_, tags, tag_index(left))) return Step::Again;
      gens += gen;
      offer(e, gen);
    }
    if (!offer_chain() || !absent_for_sure(t_, b_, tags, live, gens)) return Step::Again;
    if (best_.elem == nullptr) return Step::Absent;
    copy_bytes(next, t_.key(best_.elem), t_.desc->key_size);
    return still_same(best_.elem, best_.gen) ? Step::Found : Step::Again;
  }

 private:
  void offer(HtabElem* e, u32 gen) noexcept {
    const u8* key = t_.key(e);
    if (after_ != nullptr && !key_less(after_, key, t_.desc->key_size)) return;
    if (best_.elem == nullptr || key_less(key, t_.key(best_.elem), t_.desc->key_size)) best_ = {e, gen};
  }
  bool offer_chain() noexcept {
    for (u64 link = load_acquire(&b_->chain); link_index1(link) != 0;) {
      HtabNode* n = t_.node(link_index1(link));
      if (n == nullptr) return true;  // scribbled
      if (*budget_ == 0) return false;
      --*budget_;
      const u64 next = load_acquire(&n->next);
      offer(&n->elem, link_gen(link));
      if (!still_same(&n->elem, link_gen(link))) return false;
      link = next;
    }
    return true;
  }

  Htab t_;
  HtabBucket* b_;
  const u8* after_;
  u64* budget_;
  SeenHtabElem best_{nullptr, 0};
};

/// 0, -ENOENT: no such key in this bucket, or -EBUSY.
long next_in_bucket(const OpCtx& ctx, const Htab& t, u32 bucket, const void* after, void* next, u64* budget) noexcept {
  LeastKey least(t, bucket, after, budget);
  Step step = Step::Again;
  for (u32 i = 0; i < MAX_LOOKS && step == Step::Again; ++i) step = least.copy_to(next);
  if (step == Step::Again) {
    const LockedBucket locked(ctx, t.bucket_at(bucket));
    if (locked.held()) step = least.copy_to(next);
  }
  return step == Step::Found ? 0 : step == Step::Absent ? -ENOENT : -EBUSY;
}

/// First key of the buckets from `first` on.
long first_key_from(const OpCtx& ctx, const Htab& t, u64 first, void* next, u64* budget) noexcept {
  for (u64 i = first; i < t.desc->n_buckets; ++i) {
    const u64 used = load_acquire(t.summary_word(static_cast<u32>(i))) >> i % 64;
    if (used == 0) {
      i |= 63;
      continue;
    }
    i += static_cast<u64>(__builtin_ctzll(used));
    if (i >= t.desc->n_buckets) break;
    if (const long r = next_in_bucket(ctx, t, static_cast<u32>(i), nullptr, next, budget); r != -ENOENT) return r;
  }
  return -ENOENT;
}

}  // namespace

long hash_get_next_key(const OpCtx& ctx, MapDesc* desc, const void* key, void* next) noexcept {
  const Htab t{desc};
  u64 budget = t.walk_budget();
  if (key == nullptr) return first_key_from(ctx, t, 0, next, &budget);
  const KeyHash h = t.hash(key);
  SeenHtabElem seen;
  const Walk walk = find<0>(t, key, h, &seen, &budget);
  if (walk == Walk::GaveUp) return -EBUSY;
  if (walk == Walk::Absent) return first_key_from(ctx, t, 0, next, &budget);
  const u32 bucket = h.bucket(desc->n_buckets);
  const long r = next_in_bucket(ctx, t, bucket, key, next, &budget);
  return r != -ENOENT ? r : first_key_from(ctx, t, bucket + 1ULL, next, &budget);
}

}  // namespace skep
