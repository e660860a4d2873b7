// maps: iteration over a hash map. See htab_layout.h.
#pragma once
#include "maps/hash_op.h"

namespace skep {

/// MapOps::get_next_key. Order: buckets, and in a bucket the keys as byte strings. So a walk from key to key meets every key that stays,
/// however often it is updated meanwhile. DIFFERS: Linux walks chains, at whose head it puts what is updated, and may pass it by.
long hash_get_next_key(const OpCtx& ctx, MapDesc* desc, const void* key, void* next) noexcept;

}  // namespace skep
