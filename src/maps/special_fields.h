// maps: values with special fields. Neither bpf(2) nor a helper that takes a whole value copies such a field: what user space reads
// there is what a new one looks like, and what it writes there is not stored. Linux: include/linux/bpf.h:copy_map_value(),
// check_and_init_map_value()
//
// The four bytes of a bpf_spin_lock could not say who holds them, so they are never written: the lock of a value is a RobustLock of
// its map, chosen by the value's place. Values may share one. That is sound because a program holds at most one spin lock and calls
// nothing while it does (the verifier sees to that), and because these locks are leaves.
//
// Freestanding.
#pragma once
#include "base/bytes.h"
#include "shm/op_ctx.h"

namespace skep {

/// Of a map whose values have a spin lock; they take the last page of its RAM.
constexpr u32 VALUE_LOCKS = 512;

inline bool has_spin_lock(const MapDesc& desc) noexcept { return desc.fields != nullptr && desc.fields->spin_lock_off >= 0; }

/// Calls f(offset, size) for each piece of the first `size` bytes of a value that is no special field.
template <typename F>
void each_plain_piece(const MapDesc& desc, u64 size, F&& f) noexcept {
  u64 at = 0;
  const u32 count = desc.fields == nullptr ? 0 : desc.fields->count;
  for (u32 i = 0; i < count; ++i) {
    const MapFields::Range& field = desc.fields->at[i];
    if (field.offset > at) f(at, field.offset - at);
    at = static_cast<u64>(field.offset) + field.size;
  }
  if (at < size) f(at, size - at);
}

/// Stores one value (`size`: value_size, or value_stride where the padding counts) and leaves the special fields alone.
inline void copy_map_value(const MapDesc& desc, void* to, const void* from, u64 size) noexcept {
  if (desc.fields == nullptr) return copy_bytes(to, from, size);
  each_plain_piece(desc, size, [&](u64 off, u64 n) { copy_bytes(static_cast<u8*>(to) + off, static_cast<const u8*>(from) + off, n); });
}

/// Makes the special fields those of a value nobody has used. Linux: include/linux/bpf.h:bpf_obj_init()
inline void init_special_fields(const MapDesc& desc, void* value) noexcept {
  if (desc.fields == nullptr) return;
  for (u32 i = 0; i < desc.fields->count; ++i)
    zero_bytes(static_cast<u8*>(value) + desc.fields->at[i].offset, desc.fields->at[i].size);
  const u32 one = 1;
  if (desc.fields->refcount_off >= 0) copy_bytes(static_cast<u8*>(value) + desc.fields->refcount_off, &one, sizeof one);
}

/// One value as user space gets to see it.
inline void show_map_value(const MapDesc& desc, void* to, const void* from, u64 size) noexcept {
  copy_map_value(desc, to, from, size);
  init_special_fields(desc, to);
}

/// The lock of the value at `value`. REQUIRES: has_spin_lock(desc); value lies in the map's elements.
inline RobustLock* value_lock(const MapDesc& desc, const void* value) noexcept {
  const u64 index = (reinterpret_cast<u64>(value) - reinterpret_cast<u64>(desc.elems)) / desc.elem_size;
  return &desc.fields->locks[index & (desc.fields->n_locks - 1)];
}

/// A value's lock for as long as this lives.
class LockedValue {
 public:
  LockedValue(const OpCtx& ctx, const MapDesc& desc, const void* value) noexcept
      : lock_(value_lock(desc, value)), held_(robust_trylock(ctx.window, lock_, ctx.slot)) {}
  ~LockedValue() {
    if (held_) robust_unlock(lock_);
  }
  LockedValue(const LockedValue&) = delete;
  LockedValue& operator=(const LockedValue&) = delete;
  /// False: a live run holds it and does not let go. Linux would spin on; here that answers -EBUSY.
  bool held() const noexcept { return held_; }

 private:
  RobustLock* lock_;
  bool held_;
};

}  // namespace skep
