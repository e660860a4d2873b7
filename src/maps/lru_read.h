// maps: what user space reads of a hash map that evicts. See lru_layout.h.
#pragma once
#include "maps/hash_key.h"
#include "maps/lru_layout.h"

namespace skep {

inline u32 lru_hash_of(const MapDesc* desc, const void* key) noexcept { return hash_key(key, desc->key_size, desc->hash_seed); }

/// The element's value or values, as user space gets to see them.
void lru_show_values(const LruTable& t, HashElem* e, void* to) noexcept;

/// MapOps::read_value, get_next_key, holds_value.
long lru_read_value(const OpCtx& ctx, MapDesc* desc, const void* key, void* value, u64 flags) noexcept;
long lru_next_key(const OpCtx& ctx, MapDesc* desc, const void* key, void* next) noexcept;
bool lru_holds_value(const MapDesc* desc, u64 addr, u64 size) noexcept;

}  // namespace skep
