// maps: a hash map bucket by bucket, for BPF_MAP_LOOKUP_BATCH and BPF_MAP_LOOKUP_AND_DELETE_BATCH. Freestanding.
#pragma once
#include "maps/map_ops.h"

namespace skep {

/// Positions that a walk by buckets goes through; 0: no kind that is walked so.
u32 hash_batch_positions(const MapDesc& desc) noexcept;

/// Where the elements of one bucket go: `room` keys of key_size and as many values of map_syscall_value_size().
struct BucketCopy {
  u8* keys;
  u8* values;
  u32 room;
  u32 count;  ///< out: elements that are there. More than `room`: nothing was done
};
/// Copies all elements of one bucket, and erases them, at one moment (kinds that evict: each at one moment). -EBUSY where Linux's bucket lock gives that.
/// REQUIRES: position < hash_batch_positions(); `flags` 0, or BPF_F_LOCK where values have a lock.
long hash_copy_bucket(const OpCtx& ctx, MapDesc* desc, u32 position, u64 flags, bool erase, BucketCopy* out) noexcept;

}  // namespace skep
