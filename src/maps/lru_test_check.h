// maps tests: an exhaustive check of the RAM of a hash map that evicts.
#pragma once
#include "maps/lru_move.h"
#include "maps/test_window.h"

namespace skep::test {

/// Every element in exactly one place, every chain what its hash says. Empty: all is well.
/// REQUIRES: nobody works on the map, and no slot has an intent.
class LruCheck {
 public:
  LruCheck(const TestWindow& tw, MapDesc* desc) : tw_(tw), t_(desc), where_(desc->n_elems, 0) {}
  std::string run() {
    const MapDesc& d = *t_.desc;
    for (u32 b = 0; b < d.n_buckets; ++b) chain(t_.bucket(b));
    for (u32 p = 0; p < d.nr_cpus; ++p) {
      const LruPool* pool = t_.pool(p);
      for (u32 i = 0; i < pool->ends >> 16; ++i) claim(pool->at[((pool->ends & 0xffff) + i) % LruPool::ROOM], 2);
    }
    for (u32 i = 0; i < d.n_elems; ++i)
      if ((*t_.free_word(i) >> i % 64 & 1) != 0) {
        claim(i + 1, 3);
        if (t_.part(t_.part_of_elem(i + 1))->free_hint == 0) fail("a free element that nobody will look for");
      }
    for (u32 p = 0; p < t_.n_parts(); ++p)
      for (u32 i = t_.part(p)->fresh; i < t_.part_size(); ++i) claim(p * t_.part_size() + i + 1, 4);
    for (u32 i = 0; i < d.n_elems; ++i)
      if (where_[i] == 0) fail("element " + std::to_string(i) + " leaked");
    for (const RunSlot& slot : tw_.window().ram->slots)
      if (slot.intent_map != 0) fail("intent left");
    return wrong_;
  }
  u32 live() const { return live_; }

 private:
  void fail(const std::string& what) {
    if (wrong_.empty()) wrong_ = what;
  }
  bool claim(u32 index1, u8 place) {
    if (index1 - 1 >= where_.size()) return fail("no such element " + std::to_string(index1)), false;
    u8& was = where_[index1 - 1];
    if (was != 0) return fail("element " + std::to_string(index1) + " in places " + std::to_string(was) + " and " + std::to_string(place)), false;
    was = place;
    return true;
  }
  void chain(HashBucket* b) {
    for (u64 link = b->head; link_index1(link) != 0;) {
      if (!claim(link_index1(link), 1)) return;
      ++live_;
      HashElem* e = t_.elem(link_index1(link));
      if (e->gen != link_gen(link)) fail("gen of a live element is not its link's");
      if (e->hash != hash_key(t_.key(e), t_.desc->key_size, t_.desc->hash_seed) || t_.bucket(e->hash) != b) fail("in the wrong bucket");
      if (t_.mark(e)->live == 0) fail("the hand will never see element " + std::to_string(link_index1(link)));
      link = e->next;
    }
  }
  const TestWindow& tw_;
  LruTable t_;
  std::vector<u8> where_;
  u32 live_ = 0;
  std::string wrong_;
};
inline std::string check_lru(const TestWindow& tw, MapDesc* desc) { return LruCheck(tw, desc).run(); }

}  // namespace skep::test
