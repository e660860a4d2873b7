// maps tests: an LPM trie with keys of bits, a naive model of one, and an exhaustive check of a trie's RAM.
#pragma once
#include <cstdlib>

#include "maps/lpm_bits.h"
#include "maps/test_window.h"

namespace skep::test {

/// The first `len` bits as text.
inline std::string bits_of(const u8* data, u32 len) {
  std::string bits;
  for (u32 i = 0; i < len; ++i) bits += lpm_bit(data, i) != 0 ? '1' : '0';
  return bits;
}

/// More specific prefixes first, smaller ones first: Linux's order.
struct PostOrder {
  bool operator()(const std::string& a, const std::string& b) const {
    if (a.size() > b.size() && a.compare(0, b.size(), b) == 0) return true;
    if (b.size() > a.size() && b.compare(0, a.size(), a) == 0) return false;
    return a < b;
  }
};

struct LpmKey {
  std::vector<u8> bytes;
  LpmKey(u32 len, std::vector<u8> data) : bytes(4 + data.size()) {
    std::memcpy(bytes.data(), &len, 4);
    std::copy(data.begin(), data.end(), bytes.begin() + 4);
  }
  /// Bits as text, the rest of the data `fill`.
  LpmKey(const std::string& bits, u32 data_size, u8 fill = 0) : LpmKey(static_cast<u32>(bits.size()), std::vector<u8>(data_size, fill)) {
    for (u32 i = 0; i < bits.size(); ++i) {
      const u8 mask = static_cast<u8>(0x80 >> i % 8);
      bytes[4 + i / 8] = static_cast<u8>(bits[i] == '1' ? bytes[4 + i / 8] | mask : bytes[4 + i / 8] & ~mask);
    }
  }
  u32 len() const { return lpm_key_len(bytes.data()); }
  std::string bits() const { return bits_of(bytes.data() + 4, len()); }
  const void* get() const { return bytes.data(); }
};

struct LpmMap {
  MapDesc* desc;
  const MapOps* ops;
  LpmMap(TestWindow* tw, u32 data_size, u32 max_entries, u32 value_size = 8)
      : desc(tw->create(BPF_MAP_TYPE_LPM_TRIE, 4 + data_size, value_size, max_entries, BPF_F_NO_PREALLOC)), ops(map_ops(desc->type)) {}
  long put(const OpCtx& c, const LpmKey& key, u64 value, u64 flags = BPF_ANY) const {
    std::vector<u8> bytes(desc->value_size + 8);
    for (u32 i = 0; i < desc->value_size; ++i) bytes[i] = reinterpret_cast<const u8*>(&value)[i % 8];
    return ops->update(c, desc, key.get(), bytes.data(), flags);
  }
  long erase(const OpCtx& c, const LpmKey& key) const { return ops->erase(c, desc, key.get()); }
  u64* lookup(const OpCtx& c, const LpmKey& key) const { return static_cast<u64*>(ops->lookup(c, desc, key.get())); }
  u32 data_size() const { return desc->key_size - 4; }
};

/// Prefixes as bits with their values, found by get_next_key and lookup.
inline std::map<std::string, u64> lpm_contents(const TestWindow& tw, const LpmMap& m) {
  const OpCtx c = tw.ctx(MAX_RUN_SLOTS - 1);
  std::map<std::string, u64> all;
  LpmKey key("", m.data_size()), next = key;
  long r = m.ops->get_next_key(c, m.desc, nullptr, next.bytes.data());
  while (r == 0 && all.size() <= m.desc->max_entries) {
    key = next;
    const u64* v = m.lookup(c, key);
    all[key.bits()] = v != nullptr ? *v : ~0ULL;
    r = m.ops->get_next_key(c, m.desc, key.get(), next.bytes.data());
  }
  EXPECT_EQ(r, -ENOENT);
  return all;
}

/// Every node in exactly one place, links, counts and entries right. Empty: all is well. REQUIRES: nobody works on the map.
class LpmCheck {
 public:
  explicit LpmCheck(const LpmMap& m) : t_(m.desc), where_(m.desc->n_elems, 0) {}
  std::string run() {
    const LpmState* s = t_.state();
    below(s->root, 0, "");
    for (u32 i = 0; i < s->free_count; ++i) claim(t_.queue()[(s->free_at + i) % t_.desc->n_elems] + 1, 2);
    for (u32 i = s->fresh; i < t_.desc->n_elems; ++i) claim(i + 1, 3);
    for (u32 i = 0; i < t_.desc->n_elems; ++i)
      if (where_[i] == 0) fail("node " + std::to_string(i) + " leaked");
    if (real_ != s->entries) fail("entries " + std::to_string(s->entries) + " but " + std::to_string(real_));
    if (real_ > t_.desc->max_entries) fail("too many");
    for (u32 i = 0; i < t_.desc->n_buckets; ++i) top(i);
    return wrong_;
  }

 private:
  void fail(const std::string& what) {
    if (wrong_.empty()) wrong_ = what;
  }
  bool claim(u32 index1, u8 place) {
    if (index1 - 1 >= where_.size()) return fail("no such node " + std::to_string(index1)), false;
    if (where_[index1 - 1] != 0) return fail("node " + std::to_string(index1) + " in two places"), false;
    where_[index1 - 1] = place;
    return true;
  }
  void below(u64 link, u32 at_least, const std::string& begin) {
    if (lpm_index1(link) == 0 || !claim(lpm_index1(link), 1)) return;
    LpmNode* n = t_.node(lpm_index1(link));
    const u32 len = lpm_len(link);
    if (len < at_least || len > t_.max_len()) return fail("length");
    if (!lpm_same(n->tag, link)) fail("gen of a live node is not its link's");
    const std::string bits = bits_of(t_.data(n), len);
    if (bits.compare(0, begin.size(), begin) != 0) fail("child is none of its parent's");
    const bool im = (n->tag & LPM_IM) != 0;
    if (im && (lpm_index1(n->child[0]) == 0 || lpm_index1(n->child[1]) == 0)) fail("im without two children");
    real_ += !im;
    if (len == t_.max_len()) return;
    below(n->child[0], len + 1, bits + "0");
    below(n->child[1], len + 1, bits + "1");
  }
  void top(u32 i) {
    const u32 bits = t_.top_bits();
    std::vector<u8> data(t_.max_len() / 8 + 2);
    const u32 word = i << (16 - bits);
    data[0] = static_cast<u8>(word >> 8);
    data[1] = static_cast<u8>(word);
    u64 link = t_.state()->root, best = 0;
    while (lpm_index1(link) != 0) {
      LpmNode* n = t_.node(lpm_index1(link));
      const u32 len = lpm_len(link), common = lpm_common(t_.data(n), data.data(), std::min(len, bits));
      if (common < std::min(len, bits)) link = 0;
      if (lpm_index1(link) == 0 || len >= bits) break;
      if ((n->tag & LPM_IM) == 0) best = link;
      link = n->child[lpm_bit(data.data(), len)];
    }
    if (t_.entry(i)->exit != link) fail("exit of entry " + std::to_string(i));
    if (t_.entry(i)->best != best) fail("best of entry " + std::to_string(i));
  }

  LpmTrie t_;
  std::vector<u8> where_;
  u32 real_ = 0;
  std::string wrong_;
};
inline std::string check_lpm(const LpmMap& m) { return LpmCheck(m).run(); }

}  // namespace skep::test
