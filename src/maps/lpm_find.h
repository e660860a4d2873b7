// maps: lookups in an LPM trie, without a lock. See lpm_layout.h.
#pragma once
#include "maps/lpm_bits.h"

namespace skep {

/// index + 1 of the node with the longest prefix of the key, and the link it was found through; 0: none.
struct LpmFound {
  u32 index1;
  u64 link;
};
LpmFound lpm_find(MapDesc* desc, const void* key) noexcept;

/// True when what was read of the node before this call was of the incarnation that `link` names.
inline bool lpm_still_same(const LpmNode* n, u64 link) noexcept {
  __atomic_thread_fence(__ATOMIC_ACQUIRE);
  return lpm_same(load_relaxed(&n->tag), link);
}

/// MapOps::lookup, as compiled programs call it.
void* lpm_lookup(MapDesc* desc, const void* key) noexcept;
/// MapOps::get_next_key. Linux: lpm_trie.c:trie_get_next_key()
long lpm_next_key(MapDesc* desc, const void* key, void* next) noexcept;

}  // namespace skep
