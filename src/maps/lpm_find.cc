#include "maps/lpm_find.h"

#include <cerrno>

namespace skep {
namespace {

/// Walks that met a node in another life before a reader gives up. One needs LPM_REST changes under it.
constexpr u32 MAX_WALKS = 1000;

enum class Step : u8 { Done, Recycled };

/// From `link` down. *best: the last node with a value.
template <u32 SIZE>
[[gnu::always_inline]] inline Step descend(const LpmTrie& t, const LpmBits<SIZE>& bits, u32 key_len, u64 link, u64* best) noexcept {
  const u32 max_len = SIZE != 0 ? SIZE * 8 : t.max_len();
  for (u32 longer_than = 0;;) {
    const u32 len = lpm_len(link);
    const LpmNode* n = t.node(lpm_index1(link));
    if (n == nullptr || len > key_len || len < longer_than) return Step::Done;
    const bool covered = bits.covered(t.data(n), len);
    const u64 next = load_acquire(&n->child[bits.bit(len)]);
    const u64 tag = load_acquire(&n->tag);  // after the node's contents, before what is made of them
    if (!lpm_same(tag, link)) return Step::Recycled;
    if (!covered) return Step::Done;
    if ((tag & LPM_IM) == 0) *best = link;
    if (len == max_len) return Step::Done;
    longer_than = len + 1;
    link = next;
  }
}

template <u32 SIZE>
[[gnu::always_inline]] inline LpmFound find(MapDesc* desc, const void* key) noexcept {
  const LpmTrie t(desc, lpm_node_size(SIZE != 0 ? SIZE : lpm_data_size(*desc)));
  const u32 key_len = lpm_key_len(key);
  if (key_len > t.max_len()) return {0, 0};
  const LpmBits<SIZE> bits(lpm_key_data(key), lpm_data_size(*desc));
  const u32 top = t.top_bits();
  for (u32 walks = 0; walks < MAX_WALKS; ++walks) {
    u64 best = 0, link;
    if (key_len >= top) {
      const LpmEntry* e = t.entry(bits.top(top));
      best = load_acquire(&e->best);  // before the exit: invariant 4
      link = load_acquire(&e->exit);
    } else {
      link = load_acquire(&t.state()->root);
    }
    const u64 entry_best = best;
    if (descend(t, bits, key_len, link, &best) == Step::Recycled) continue;
    const LpmNode* n = t.node(lpm_index1(best));
    if (n == nullptr) return {0, 0};
    if (best == entry_best && !lpm_same(load_acquire(&n->tag), best)) continue;
    return {lpm_index1(best), best};
  }
  return {0, 0};
}

// ---- the walk over all keys

/// The first node with a value below `link`, in the order of get_next_key: more specific ones first, smaller ones first.
Step leftmost(const LpmTrie& t, u64 link, u64* found) noexcept {
  for (u32 longer_than = 0;;) {
    const LpmNode* n = t.node(lpm_index1(link));
    if (n == nullptr || lpm_len(link) < longer_than) return Step::Done;
    longer_than = lpm_len(link) + 1;
    u64 next = load_acquire(&n->child[0]);
    const u64 other = load_acquire(&n->child[1]);
    const u64 tag = load_acquire(&n->tag);
    if (!lpm_same(tag, link)) return Step::Recycled;
    if ((tag & LPM_IM) == 0) {
      *found = link;
      if (lpm_index1(next) == 0) next = other;
    }
    link = next;
  }
}

/// What comes behind a key: a subtree's first, or one node.
struct Behind {
  u64 link = 0;
  bool subtree = false;
};

/// Goes down to exactly the key. *exact: it is there, and *behind is right.
Step find_behind(const LpmTrie& t, const void* key, bool* exact, Behind* behind) noexcept {
  const u32 key_len = lpm_key_len(key);
  u64 link = load_acquire(&t.state()->root);
  for (u32 longer_than = 0;;) {
    const LpmNode* n = t.node(lpm_index1(link));
    const u32 len = lpm_len(link);
    if (n == nullptr || len > key_len || len < longer_than) return Step::Done;
    longer_than = len + 1;
    const bool covered = lpm_common(t.data(n), lpm_key_data(key), len) == len;
    const u64 child[2] = {load_acquire(&n->child[0]), load_acquire(&n->child[1])};
    const u64 tag = load_acquire(&n->tag);
    if (!lpm_same(tag, link)) return Step::Recycled;
    if (!covered) return Step::Done;
    if (len == key_len) {
      *exact = (tag & LPM_IM) == 0;
      return Step::Done;
    }
    const u32 bit = lpm_bit(lpm_key_data(key), len);
    if (bit == 0 && lpm_index1(child[1]) != 0) {
      *behind = {child[1], true};
    } else if ((tag & LPM_IM) == 0) {
      *behind = {link, false};
    }
    link = child[bit];
  }
}

Step next_key_once(const LpmTrie& t, const void* key, void* next, long* answer) noexcept {
  Behind behind{load_acquire(&t.state()->root), true};
  if (key != nullptr && lpm_key_len(key) <= t.max_len()) {
    bool exact = false;
    Behind after;
    if (find_behind(t, key, &exact, &after) == Step::Recycled) return Step::Recycled;
    if (exact) behind = after;
  }
  u64 found = behind.link;
  if (behind.subtree) {
    found = 0;
    if (leftmost(t, behind.link, &found) == Step::Recycled) return Step::Recycled;
  }
  const LpmNode* n = t.node(lpm_index1(found));
  *answer = n != nullptr ? 0 : -ENOENT;
  if (n == nullptr) return Step::Done;
  const u32 len = lpm_len(found);
  copy_bytes(next, &len, sizeof len);
  copy_bytes(static_cast<u8*>(next) + LPM_PREFIX, t.data(n), lpm_data_size(*t.desc));
  return lpm_still_same(n, found) ? Step::Done : Step::Recycled;
}

}  // namespace

LpmFound lpm_find(MapDesc* desc, const void* key) noexcept {
  switch (lpm_data_size(*desc)) {
    case 4:
      return find<4>(desc, key);
    case 16:
      return find<16>(desc, key);
    default:
      return find<0>(desc, key);
  }
}

void* lpm_lookup(MapDesc* desc, const void* key) noexcept {
  const u32 index1 = lpm_find(desc, key).index1;
  return index1 != 0 ? LpmTrie(desc).value(index1) : nullptr;
}

long lpm_next_key(MapDesc* desc, const void* key, void* next) noexcept {
  const LpmTrie t(desc);
  long answer = -EBUSY;
  for (u32 walks = 0; walks < MAX_WALKS; ++walks)
    if (next_key_once(t, key, next, &answer) == Step::Done) return answer;
  return -EBUSY;
}

}  // namespace skep
