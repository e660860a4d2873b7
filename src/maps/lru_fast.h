// maps: operations on hash maps that evict, as compiled programs call them. See lru_layout.h.
#pragma once
#include "maps/map_ops.h"

namespace skep {

/// The (first CPU's) value, or null. Leaves a use mark.
void* lru_lookup(MapDesc* desc, const void* key) noexcept;
/// MapOps::update and erase.
long lru_update(const OpCtx& ctx, MapDesc* desc, const void* key, const void* value, u64 flags) noexcept;
long lru_erase(const OpCtx& ctx, MapDesc* desc, const void* key) noexcept;

}  // namespace skep
