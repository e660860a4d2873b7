#include "maps/lru_fast.h"

#include "maps/fast_kinds.h"
#include "maps/key_bytes.h"
#include "maps/lru_read.h"

namespace skep {
namespace {

/// One walk, which nearly always meets no recycled element; if it does, or the chain is long, lru_lookup() starts over.
template <u32 K>
void* lookup(MapDesc* desc, const void* key) noexcept {
  const LruTable t(desc);
  const u32 hash = static_cast<u32>(key_hash<K>(key, desc->key_size, desc->hash_seed).bits >> 32);
  u64 link = load_acquire(&t.bucket(hash)->head);
  for (u32 steps = 0; steps < 64; ++steps) {
    HashElem* e = t.elem(link_index1(link));
    if (e == nullptr) return nullptr;
    const u64 next = load_acquire(&e->next);
    const bool hit = load_relaxed(&e->hash) == hash && same_key_bytes<K>(t.key(e), key, K);
    if (!still_same(e, link_gen(link))) break;
    if (hit) {
      u8* used = &t.mark(e)->used;
      if (load_relaxed(used) == 0) store_relaxed(used, 1);
      return t.value(e);
    }
    link = next;
  }
  return lru_lookup(desc, key);
}

long update(const OpCtx* ctx, MapDesc* desc, const void* key, const void* value, u64 flags) noexcept {
  return lru_update(*ctx, desc, key, value, flags);
}
long erase(const OpCtx* ctx, MapDesc* desc, const void* key) noexcept { return lru_erase(*ctx, desc, key); }

template <typename F>
const void* address(F* f) noexcept {
  return reinterpret_cast<const void*>(f);
}

}  // namespace

u32 lru_map_gate(const MapDesc& desc, MapCall call) noexcept {
  if (call == MapCall::Update) return MAP_GATE_LRU_UPDATE;
  if (call == MapCall::Delete) return MAP_GATE_LRU_DELETE;
  switch (desc.key_size) {
    case 4: return MAP_GATE_LRU_LOOKUP_4;
    case 8: return MAP_GATE_LRU_LOOKUP_8;
    case 16: return MAP_GATE_LRU_LOOKUP_16;
    default: return MAP_GATE_LRU_LOOKUP;
  }
}

const void* lru_map_gate_fn(u32 gate) noexcept {
  switch (gate) {
    case MAP_GATE_LRU_LOOKUP_4: return address(lookup<4>);
    case MAP_GATE_LRU_LOOKUP_8: return address(lookup<8>);
    case MAP_GATE_LRU_LOOKUP_16: return address(lookup<16>);
    case MAP_GATE_LRU_LOOKUP: return address(lru_lookup);
    case MAP_GATE_LRU_UPDATE: return address(update);
    case MAP_GATE_LRU_DELETE: return address(erase);
    default: return nullptr;
  }
}

}  // namespace skep
