// maps: what ARRAY shares with kinds that are arrays of something else.
#pragma once
#include "maps/kinds.h"

namespace skep {

/// Linux: arraymap.c:array_map_alloc_check(). Judges spec.type too.
long array_alloc_check(const MapSpec& spec) noexcept;
u32 array_index(const void* key) noexcept;
long array_get_next_key(const OpCtx& ctx, MapDesc* desc, const void* key, void* next) noexcept;

}  // namespace skep
