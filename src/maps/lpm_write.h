// maps: the changes of an LPM trie, and what finishes them when their maker has died. See lpm_layout.h, invariant 5.
#pragma once
#include "maps/lpm_layout.h"

namespace skep {

/// MapOps::update and erase. Linux: lpm_trie.c:trie_update_elem(), trie_delete_elem()
long lpm_update(const OpCtx& ctx, MapDesc* desc, const void* key, const void* value, u64 flags) noexcept;
long lpm_erase(const OpCtx& ctx, MapDesc* desc, const void* key) noexcept;

/// MapOps::recover.
void lpm_recover(const Window& w, MapDesc* desc, RunSlot* slot) noexcept;

}  // namespace skep
