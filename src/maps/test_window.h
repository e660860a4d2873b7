// maps tests: a session window of the test's own, shared with the children it forks, and an exhaustive check of a hash map's RAM.
#pragma once
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cstring>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "maps/hash_free.h"
#include "maps/hash_key.h"
#include "maps/map_ops.h"

namespace skep::test {

constexpr u64 TEST_ROM = 1ULL << 20, TEST_WINDOW = 1ULL << 30;

/// MapDescs and MapDesc lookup for recovery: one table a process is enough for tests (children inherit it).
inline std::set<u64>& live_descs() {
  static std::set<u64> descs;
  return descs;
}
inline MapDesc* find_desc(const Window&, u64 addr) noexcept {
  return live_descs().count(addr) != 0 ? reinterpret_cast<MapDesc*>(addr) : nullptr;
}
inline void recover_intent(const Window& w, RunSlot* slot) noexcept { recover_map_intent(w, slot, find_desc); }
inline void no_ring_record(const Window&, u32, u64) noexcept {}
constexpr SlotRecovery RECOVERY{recover_intent, no_ring_record};

class TestWindow {
 public:
  explicit TestWindow(u32 nr_cpus = 4) {
    void* p = mmap(nullptr, TEST_WINDOW, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) std::abort();
    base_ = static_cast<u8*>(p);
    window_.rom = reinterpret_cast<RomHeader*>(base_);
    window_.ram = reinterpret_cast<RamHeader*>(base_ + TEST_ROM);
    window_.rom->magic = WINDOW_MAGIC;
    window_.rom->nr_cpus = nr_cpus;
    next_rom_ = base_ + round_up<u64>(sizeof(RomHeader), 64);
    next_ram_ = base_ + TEST_ROM + round_up<u64>(sizeof(RamHeader), PAGE_SIZE);
  }
  ~TestWindow() { munmap(base_, TEST_WINDOW); }
  TestWindow(const TestWindow&) = delete;
  TestWindow& operator=(const TestWindow&) = delete;

  const Window& window() const { return window_; }

  MapDesc* create(u32 type, u32 key_size, u32 value_size, u32 max_entries, u32 flags = 0) {
    const MapSpec spec{.type = type,
                       .key_size = key_size,
                       .value_size = value_size,
                       .max_entries = max_entries,
                       .map_flags = flags,
                       .map_extra = 0,
                       .numa_node = NUMA_NO_NODE};
    const MapOps* ops = map_ops(type);
    EXPECT_NE(ops, nullptr);
    EXPECT_EQ(ops->alloc_check(spec), 0);
    auto* desc = new (next_rom_) MapDesc{};
    next_rom_ += round_up<u64>(sizeof(MapDesc), 64);
    EXPECT_EQ(ops->layout(spec, window_.rom->nr_cpus, desc), 0);
    desc->hash_seed = 0x1234567;
    desc->ram = next_ram_;
    next_ram_ += round_up<u64>(desc->ram_bytes, PAGE_SIZE);
    if (next_rom_ > base_ + TEST_ROM || next_ram_ > base_ + TEST_WINDOW) std::abort();
    ops->init(window_, desc);
    live_descs().insert(reinterpret_cast<u64>(desc));
    return desc;
  }

  /// As if run slot `index` were taken by one operation. Tests that fork take slots with slot_acquire_*().
  OpCtx ctx(u32 index, u32 cpu = 0) const {
    RunSlot* slot = &window_.ram->slots[index];
    if (slot->owner == 0) slot->owner = 1000 + index;
    return {window_, slot, cpu};
  }

 private:
  u8* base_;
  Window window_;
  u8* next_rom_;
  u8* next_ram_;
};

/// Typed calls for maps of u32 keys.
struct Map {
  MapDesc* desc;
  const MapOps* ops;
  explicit Map(MapDesc* d) : desc(d), ops(map_ops(d->type)) {}
  long update(const OpCtx& c, u32 key, const void* value, u64 flags = BPF_ANY) const {
    return ops->update(c, desc, &key, value, flags);
  }
  long put(const OpCtx& c, u32 key, u64 value, u64 flags = BPF_ANY) const {
    std::vector<u8> bytes(desc->value_size + 8);
    for (u32 i = 0; i < desc->value_size; ++i) bytes[i] = reinterpret_cast<const u8*>(&value)[i % 8];
    return ops->update(c, desc, &key, bytes.data(), flags);
  }
  long erase(const OpCtx& c, u32 key) const { return ops->erase(c, desc, &key); }
  u64* lookup(const OpCtx& c, u32 key) const { return static_cast<u64*>(ops->lookup(c, desc, &key)); }
  long read(const OpCtx& c, u32 key, void* value, u64 flags = 0) const { return ops->read_value(c, desc, &key, value, flags); }
};

/// What check_hash() collects.
struct HashCheck {
  Htab t;
  std::vector<u8> where;  ///< each pool element's place
  u64 live = 0, chained = 0;

  explicit HashCheck(MapDesc* desc) : t{desc}, where(desc->n_elems, 0) {}

  std::string claim(u32 index1, u8 place) {
    if (index1 - 1 >= where.size()) return "index out of range " + std::to_string(index1) + " in place " + std::to_string(place);
    u8& at = where[index1 - 1];
    if (at != 0) return "element " + std::to_string(index1 - 1) + " in places " + std::to_string(at) + " and " + std::to_string(place);
    at = place;
    return "";
  }
  std::string bucket(u32 b) {
    HtabBucket* bucket = t.bucket_at(b);
    u32 local = 0;
    for (u32 i = 0; i < 8; ++i) {
      const u32 tag = static_cast<u32>(bucket->tags >> 8 * i) & 0xff;
      if (tag == 0) continue;
      if (i >= LOCAL_ELEMS || !t.has_local()) return "a tag without an element";
      const KeyHash h = t.hash(t.key(t.local(bucket, i)));
      if (h.tag() != tag) return "tag is not the key's";
      if (t.bucket(h) != bucket) return "in the wrong bucket";
      ++local;
    }
    if (local > LOCAL_LIVE) return "no local element is free";
    live += local;
    for (u64 link = bucket->chain; link_index1(link) != 0;) {
      if (auto e = claim(link_index1(link), 1); !e.empty()) return "chain: " + e;
      ++live, ++chained;
      HtabNode* n = t.node(link_index1(link));
      if (n->elem.gen != link_gen(link)) return "gen of a live element is not its link's";
      if (t.bucket(t.hash(t.key(&n->elem))) != bucket) return "chained in the wrong bucket";
      link = n->next;
    }
    if ((local != 0 || bucket->chain != 0) && (*t.summary_word(b) >> b % 64 & 1) == 0) return "not in the summary";
    return "";
  }
  std::string free_list() {
    for (u32 index1 = TaggedWord::unpack(t.state()->free_head).value; index1 != 0;) {
      if (auto e = claim(index1, 2); !e.empty()) return "free: " + e;
      const u64 next = t.node(index1)->next & 0xffffffff;
      index1 = next == 0xffffffff ? 0 : next != 0 ? static_cast<u32>(next) : index1 < t.desc->max_entries ? index1 + 1 : 0;
    }
    return "";
  }
};

/// Every element in exactly one place, every bucket what its hash says, counts right. Empty: all is well.
/// REQUIRES: nobody works on the map, and no slot has an intent.
inline std::string check_hash(const TestWindow& tw, MapDesc* desc) {
  HashCheck check(desc);
  for (u32 b = 0; b < desc->n_buckets; ++b)
    if (auto e = check.bucket(b); !e.empty()) return e;
  if (auto e = check.free_list(); !e.empty()) return e;
  for (u32 s = 0; s < MAX_RUN_SLOTS; ++s) {
    RunSlot* slot = &tw.window().ram->slots[s];
    if (slot->intent_map != 0) return "intent left";
    if (check.t.per_cpu()) continue;
    if (auto e = check.claim(HtabWriter(tw.window(), desc, slot).spare(), 3); !e.empty()) return "spare: " + e;
  }
  for (u32 i = 0; i < desc->n_elems; ++i)
    if (check.where[i] == 0) return "element " + std::to_string(i) + " leaked";
  if (check.live > desc->max_entries) return "more than max_entries";
  if (hash_live(*desc) != check.live)
    return "live count " + std::to_string(hash_live(*desc)) + " but found " + std::to_string(check.live);
  return "";
}

/// All keys and values, found by get_next_key and lookup.
inline std::map<u32, u64> contents(const TestWindow& tw, const Map& m) {
  const OpCtx c = tw.ctx(MAX_RUN_SLOTS - 1);
  std::map<u32, u64> all;
  u32 key = 0, next = 0;
  long r = m.ops->get_next_key(c, m.desc, nullptr, &next);
  while (r == 0 && all.size() <= m.desc->max_entries) {
    key = next;
    const u64* v = m.lookup(c, key);
    all[key] = v != nullptr ? *v : ~0ULL;
    r = m.ops->get_next_key(c, m.desc, &key, &next);
  }
  EXPECT_EQ(r, -ENOENT);
  return all;
}

/// Fills the map with fresh keys up to E2BIG, which must come at exactly max_entries live ones; then empties it.
inline std::string check_capacity(const TestWindow& tw, const Map& m) {
  const OpCtx c = tw.ctx(MAX_RUN_SLOTS - 1);
  for (u32 key = 1u << 30; hash_live(*m.desc) < m.desc->max_entries; ++key)
    if (const long r = m.put(c, key, key); r != 0)
      return "filling: " + std::to_string(r) + " at " + std::to_string(hash_live(*m.desc));
  if (m.put(c, 1u << 29, 0) != -E2BIG) return "more than max_entries";
  u32 key;
  while (m.ops->get_next_key(c, m.desc, nullptr, &key) == 0)
    if (const long r = m.erase(c, key); r != 0) return "emptying: " + std::to_string(r);
  if (hash_live(*m.desc) != 0) return "not empty";
  return check_hash(tw, m.desc);
}

struct Random {
  u64 state;
  u64 next() {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
  }
  u32 below(u32 n) { return static_cast<u32>((next() >> 16) % n); }
};

}  // namespace skep::test
