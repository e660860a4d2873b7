#include "maps/lpm_write.h"

#include <cerrno>

#include "maps/lpm_bits.h"

namespace skep {
namespace {

/// The trie's lock for as long as this lives.
class Locked {
 public:
  Locked(const OpCtx& ctx, const LpmTrie& t) noexcept
      : lock_(&t.state()->lock), held_(robust_trylock(ctx.window, lock_, ctx.slot)) {}
  ~Locked() {
    if (held_) robust_unlock(lock_);
  }
  Locked(const Locked&) = delete;
  Locked& operator=(const Locked&) = delete;
  bool held() const noexcept { return held_; }

 private:
  RobustLock* lock_;
  bool held_;
};

/// A node and where the link to it stands. The node is null when there is none.
struct At {
  LpmPlace place = LPM_ROOT;
  u64 link = 0;
  LpmNode* node = nullptr;
};

/// Where the way down to a key ends.
struct Spot {
  At at;           ///< where the key's node stands or would have to
  At parent;       ///< place LPM_NOWHERE: there is none, `at` is the root
  At grandparent;  ///< the same
  u64 above = 0;   ///< the longest prefix of the key, shorter than it, that has a value
  u32 common = 0;  ///< bits that the key and at.node share
};

bool is_im(const LpmNode* n) noexcept { return (load_relaxed(&n->tag) & LPM_IM) != 0; }

Spot go_down(const LpmTrie& t, const u8* data, u32 len) noexcept {
  Spot s;
  s.parent.place = s.grandparent.place = LPM_NOWHERE;
  s.at.link = load_relaxed(&t.state()->root);
  for (u32 longer_than = 0;;) {
    const u32 at_len = lpm_len(s.at.link);
    s.at.node = at_len < longer_than || at_len > t.max_len() ? nullptr : t.node(lpm_index1(s.at.link));
    if (s.at.node == nullptr) return s;
    s.common = lpm_common(t.data(s.at.node), data, at_len < len ? at_len : len);
    if (s.common != at_len || at_len == len) return s;
    if (!is_im(s.at.node)) s.above = s.at.link;
    s.grandparent = s.parent;
    s.parent = s.at;
    const u32 bit = lpm_bit(data, at_len);
    s.at = {lpm_child_place(lpm_index1(s.parent.link), bit), load_relaxed(&s.parent.node->child[bit]), nullptr};
    longer_than = at_len + 1;
  }
}

/// The entries that stand for keys that begin with the first `len` bits of data. REQUIRES: len <= top bits.
void set_entries(const LpmTrie& t, const u8* data, u32 len, LpmChange* c) noexcept {
  const u32 below = t.top_bits() - len;
  const u32 word = LpmBits<0>(data, lpm_data_size(*t.desc)).top(len);
  c->first = word << below;
  c->last = c->first + (1u << below) - 1;
}

void carry_out_top(const LpmTrie& t, const LpmChange& c) noexcept {
  if (c.top == LpmTop::Exit) return store_release(&t.entry(c.first)->exit, c.top_link);
  if (c.top != LpmTop::Best && c.top != LpmTop::Replace) return;
  for (u32 i = c.first; i <= c.last && i < t.desc->n_buckets; ++i) {
    u64* best = &t.entry(i)->best;
    const u64 now = load_relaxed(best);
    const bool there = lpm_index1(now) != 0;
    const bool apply = c.top == LpmTop::Best ? !there || lpm_len(now) <= c.top_len : there && lpm_len(now) == c.top_len;
    if (apply) store_release(best, c.top_link);
  }
}

/// Plain stores, each of which may be done again (invariant 5).
void carry_out(const LpmTrie& t, const LpmChange& c) noexcept {
  if (LpmNode* n = t.node(c.mark)) store_release(&n->tag, load_relaxed(&n->tag) | LPM_IM);
  if (c.place != LPM_NOWHERE)
    if (u64* place = t.place(c.place)) store_release(place, c.link);  // pairs with the acquire loads of readers
  carry_out_top(t, c);
  LpmState* s = t.state();
  const u64 n_elems = t.desc->n_elems;
  u64 behind = static_cast<u64>(c.free_at) + c.free_count;  // the newest of the queue
  for (const u32 freed : c.freed) {
    if (freed == 0 || behind == 0) continue;
    store_relaxed(&t.queue()[--behind % n_elems], freed - 1);
  }
  store_relaxed(&s->entries, c.entries);
  store_relaxed(&s->free_at, c.free_at);
  store_relaxed(&s->free_count, c.free_count);
  store_relaxed(&s->fresh, c.fresh);
}

/// A change in the making.
class Change {
 public:
  explicit Change(const LpmTrie& t) noexcept : t_(t) {
    const LpmState* s = t.state();
    c_.place = LPM_NOWHERE;
    c_.entries = load_relaxed(&s->entries);
    c_.free_at = load_relaxed(&s->free_at);
    c_.free_count = load_relaxed(&s->free_count);
    c_.fresh = load_relaxed(&s->fresh);
    if (c_.free_at >= t.desc->n_elems) c_.free_at = 0;  // scribbled
    if (c_.free_count > t.desc->n_elems) c_.free_count = 0;
  }
  LpmChange* operator->() noexcept { return &c_; }

  /// index + 1 of a node to fill, 0 when there is none. It counts as free until commit().
  u32 take() noexcept {
    const u32 n = t_.desc->n_elems;
    if (c_.free_count <= LPM_REST && c_.fresh < n) return ++c_.fresh;
    if (c_.free_count == 0) return 0;
    const u32 index = load_relaxed(&t_.queue()[c_.free_at]);
    c_.free_at = c_.free_at + 1 < n ? c_.free_at + 1 : 0;
    --c_.free_count;
    return index < n ? index + 1 : 0;
  }
  void free(u32 index1) noexcept {
    c_.freed[c_.freed[0] == 0 ? 0 : 1] = index1;
    ++c_.free_count;
  }
  void set_link(LpmPlace place, u64 link) noexcept {
    c_.place = place;
    c_.link = link;
  }
  void set_exit(const u8* data, u64 link) noexcept {
    c_.top = LpmTop::Exit;
    c_.top_link = link;
    set_entries(t_, data, t_.top_bits(), &c_);
  }
  /// `len`: of the prefix that comes (Best) or goes (Replace).
  void set_best(LpmTop how, const u8* data, u32 len, u64 link) noexcept {
    c_.top = how;
    c_.top_link = link;
    c_.top_len = len;
    set_entries(t_, data, len, &c_);
  }

  void commit(const OpCtx& ctx) noexcept {
    t_.state()->change = c_;
    store_release(&ctx.slot->intent_map, reinterpret_cast<u64>(t_.desc));
    carry_out(t_, c_);
    store_release(&ctx.slot->intent_map, 0);
  }

 private:
  const LpmTrie& t_;
  LpmChange c_{};
};

void copy_small(u8* to, const u8* from, u32 n) noexcept {
  if (n > 64) return copy_bytes(to, from, n);
  for (; n >= 8; n -= 8, to += 8, from += 8) __builtin_memcpy(to, from, 8);
  for (; n > 0; --n) *to++ = *from++;
}

/// Fills in a node that counts as free; returns the link to it.
u64 fill(const LpmTrie& t, u32 index1, const u8* data, u32 len, bool im) noexcept {
  LpmNode* n = t.node(index1);
  const u64 gen = (load_relaxed(&n->tag) + 1) & LPM_GEN_MASK;
  store_relaxed(&n->tag, gen | (im ? LPM_IM : 0));
  __atomic_thread_fence(__ATOMIC_RELEASE);  // invariant 2
  store_relaxed(&n->child[0], 0);
  store_relaxed(&n->child[1], 0);
  copy_small(t.data(n), data, lpm_data_size(*t.desc));
  return lpm_link(index1, len, gen);
}

/// The key's own node is at spot.at: a new one takes its place.
void put_over(const LpmTrie& t, Change& c, const Spot& s, u32 index1, u64 link) noexcept {
  LpmNode* n = t.node(index1);
  for (u32 bit = 0; bit < 2; ++bit) store_relaxed(&n->child[bit], load_relaxed(&s.at.node->child[bit]));
  c.set_link(s.at.place, link);
  c.free(lpm_index1(s.at.link));
}

/// An im node above the new one and what is at spot.at; returns the link to it.
u64 put_beside(const LpmTrie& t, Change& c, const Spot& s, const u8* data, u32 im_index1, u64 link) noexcept {
  const u64 im = fill(t, im_index1, t.data(s.at.node), s.common, true);
  const u32 bit = lpm_bit(data, s.common);
  LpmNode* n = t.node(im_index1);
  store_relaxed(&n->child[bit], link);
  store_relaxed(&n->child[1 - bit], s.at.link);
  c.set_link(s.at.place, im);
  return im;
}

/// Linux: lpm_trie.c:trie_check_add_elem()
long check_add(const LpmTrie& t, Change& c, u64 flags) noexcept {
  if (flags == BPF_EXIST) return -ENOENT;
  if (c->entries >= t.desc->max_entries) return -ENOSPC;
  ++c->entries;
  return 0;
}

/// The first place on the way down whose link is longer than the top bits: `exit` changes with it.
bool is_exit(const LpmTrie& t, const At& parent) noexcept {
  return parent.place == LPM_NOWHERE || lpm_len(parent.link) < t.top_bits();
}

long put(const OpCtx& ctx, const LpmTrie& t, const void* key, const void* value, u64 flags) noexcept {
  const u8* data = lpm_key_data(key);
  const u32 len = lpm_key_len(key);
  const Spot s = go_down(t, data, len);
  const u32 at_len = lpm_len(s.at.link);
  const bool same = s.at.node != nullptr && s.common == at_len;  // then at_len == len too
  Change c(t);
  if (same && !is_im(s.at.node)) {
    if (flags == BPF_NOEXIST) return -EEXIST;
  } else if (const long err = check_add(t, c, flags); err != 0) {
    return err;
  }
  const bool beside = s.at.node != nullptr && !same && s.common != len;
  const u32 index1 = c.take(), im_index1 = beside ? c.take() : 0;
  if (index1 == 0 || (beside && im_index1 == 0)) return -ENOMEM;

  const u64 link = fill(t, index1, data, len, false);
  copy_small(t.value(index1), static_cast<const u8*>(value), t.desc->value_size);
  u64 upper = link;
  if (same) {
    put_over(t, c, s, index1, link);
  } else if (beside) {
    upper = put_beside(t, c, s, data, im_index1, link);
  } else {
    if (s.at.node != nullptr) store_relaxed(&t.node(index1)->child[lpm_bit(t.data(s.at.node), len)], s.at.link);
    c.set_link(s.at.place, link);
  }
  if (len < t.top_bits()) {
    c.set_best(LpmTop::Best, data, len, link);
  } else if (is_exit(t, s.parent)) {
    c.set_exit(data, lpm_len(upper) >= t.top_bits() ? upper : link);
  }
  c.commit(ctx);
  return 0;
}

/// The node at spot.at has no children, and its parent is there only to part it from another: that one moves up.
void take_out_both(const LpmTrie& t, Change& c, const Spot& s, const u8* data) noexcept {
  const u64 sibling = load_relaxed(&s.parent.node->child[1 - (s.at.place & 1)]);
  c.set_link(s.parent.place, sibling);
  c.free(lpm_index1(s.parent.link));
  c.free(lpm_index1(s.at.link));
  if (lpm_len(s.at.link) < t.top_bits()) return;
  if (lpm_len(s.parent.link) < t.top_bits()) return c.set_exit(data, 0);
  if (is_exit(t, s.grandparent)) c.set_exit(data, sibling);
}

long take_out(const OpCtx& ctx, const LpmTrie& t, const void* key) noexcept {
  const u8* data = lpm_key_data(key);
  const u32 len = lpm_key_len(key);
  const Spot s = go_down(t, data, len);
  if (s.at.node == nullptr || lpm_len(s.at.link) != len || s.common != len || is_im(s.at.node)) return -ENOENT;
  Change c(t);
  if (c->entries != 0) --c->entries;
  const u64 child[2] = {load_relaxed(&s.at.node->child[0]), load_relaxed(&s.at.node->child[1])};
  const bool has[2] = {lpm_index1(child[0]) != 0, lpm_index1(child[1]) != 0};
  if (len < t.top_bits()) c.set_best(LpmTop::Replace, data, len, s.above);
  if (has[0] && has[1]) {
    c->mark = lpm_index1(s.at.link);
  } else if (!has[0] && !has[1] && s.parent.place != LPM_NOWHERE && is_im(s.parent.node)) {
    take_out_both(t, c, s, data);
  } else {
    const u64 up = has[0] ? child[0] : has[1] ? child[1] : 0;
    c.set_link(s.at.place, up);
    c.free(lpm_index1(s.at.link));
    if (len >= t.top_bits() && is_exit(t, s.parent)) c.set_exit(data, up);
  }
  c.commit(ctx);
  return 0;
}

}  // namespace

long lpm_update(const OpCtx& ctx, MapDesc* desc, const void* key, const void* value, u64 flags) noexcept {
  const LpmTrie t(desc);
  if (flags > BPF_EXIST || lpm_key_len(key) > t.max_len()) return -EINVAL;
  const Locked lock(ctx, t);
  return lock.held() ? put(ctx, t, key, value, flags) : -EBUSY;
}

long lpm_erase(const OpCtx& ctx, MapDesc* desc, const void* key) noexcept {
  const LpmTrie t(desc);
  if (lpm_key_len(key) > t.max_len()) return -EINVAL;
  const Locked lock(ctx, t);
  return lock.held() ? take_out(ctx, t, key) : -EBUSY;
}

void lpm_recover(const Window& w, MapDesc* desc, RunSlot* slot) noexcept {
  const LpmTrie t(desc);
  // Intents are set under the lock only; an intent without it was scribbled.
  if (load_acquire(&t.state()->lock.word) != slot_lock_word(w, slot)) return;
  const LpmChange c = t.state()->change;
  carry_out(t, c);
}

}  // namespace skep
