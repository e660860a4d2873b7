// maps: what bpf(2) does with many elements in one call, once it is known which map is meant and that the fd allows it. As elem_call.h:
// the host and the agent do it by these functions. Linux: kernel/bpf/syscall.c:bpf_map_do_batch()
//
// Memory is the caller's, as in elem_call.h, and room for copies: `u8* room(u64 bytes)`, or null; what an earlier call gave is gone then.
//
// Freestanding: also compiled into the agent.
#pragma once
#include "maps/elem_call.h"
#include "maps/hash_batch.h"

namespace skep {

constexpr u32 BATCH_ATTR_END = 56, BATCH_COUNT_AT = 32;  ///< in union bpf_attr
static_assert(offsetof(bpf_attr, batch.count) == BATCH_COUNT_AT && offsetof(bpf_attr, batch.flags) + 8 == BATCH_ATTR_END);

/// What a batch command needs of the fd; 0: not a batch command.
constexpr u32 batch_needs(u32 cmd) noexcept {
  switch (cmd) {
    case BPF_MAP_LOOKUP_BATCH: return MAP_MAY_READ;
    case BPF_MAP_LOOKUP_AND_DELETE_BATCH: return MAP_MAY_READ | MAP_MAY_WRITE;
    case BPF_MAP_UPDATE_BATCH:
    case BPF_MAP_DELETE_BATCH: return MAP_MAY_WRITE;
    default: return 0;
  }
}

constexpr bool is_hash_kind(u32 type) noexcept {
  return type == BPF_MAP_TYPE_HASH || type == BPF_MAP_TYPE_PERCPU_HASH || type == BPF_MAP_TYPE_LRU_HASH ||
         type == BPF_MAP_TYPE_LRU_PERCPU_HASH || type == BPF_MAP_TYPE_HASH_OF_MAPS;
}
/// Linux: the map_*_batch members of each kind's bpf_map_ops.
constexpr bool has_batch(u32 cmd, u32 type) noexcept {
  if (is_hash_kind(type)) return true;
  switch (type) {
    case BPF_MAP_TYPE_ARRAY:
    case BPF_MAP_TYPE_PERCPU_ARRAY:
    case BPF_MAP_TYPE_ARRAY_OF_MAPS: return cmd == BPF_MAP_LOOKUP_BATCH || cmd == BPF_MAP_UPDATE_BATCH;
    case BPF_MAP_TYPE_LPM_TRIE: return cmd != BPF_MAP_LOOKUP_AND_DELETE_BATCH;
    default: return false;
  }
}

/// The elements of a map of bytes. (Maps whose elements are named by fd: syscall/batch_cmds.cc.)
struct MapElems {
  OpCtx op;  ///< with a client slot
  MapDesc* desc;
  const MapOps* ops;
  u64 value_size;  ///< map_syscall_value_size()

  u32 type() const noexcept { return desc->type; }
  u64 key_size() const noexcept { return desc->key_size; }
  /// What the kind may write of a value.
  u64 value_room() const noexcept { return round_up(value_size > desc->value_stride ? value_size : desc->value_stride, u64{8}); }
  bool has_lock() const noexcept { return has_spin_lock(*desc); }
  long next_key(const void* key, void* next) noexcept { return ops->get_next_key(op, desc, key, next); }
  long read(const void* key, void* value, u64 flags) noexcept { return ops->read_value(op, desc, key, value, flags); }
  long write(const void* key, const void* value, u64 flags) noexcept { return ops->write_value(op, desc, key, value, flags); }
  long erase(const void* key) noexcept { return ops->erase(op, desc, key); }
  u32 positions() const noexcept { return hash_batch_positions(*desc); }
  long copy_bucket(u32 position, u64 flags, bool take, BucketCopy* out) noexcept {
    return hash_copy_bucket(op, desc, position, flags, take, out);
  }
};

/// The batch of one call.
template <typename Elems, typename Memory>
class Batch {
 public:
  /// `uattr`: the caller's attr; the count goes there.
  Batch(Elems& elems, const bpf_attr& attr, u64 uattr, Memory& mem) noexcept
      : e_(elems), a_(attr), uattr_(uattr), mem_(mem), key_size_(elems.key_size()), key_room_(round_up(key_size_, u64{8})) {}

  long run(u32 cmd) noexcept {
    if (!has_batch(cmd, e_.type())) return -MAP_ENOTSUPP;
    const bool looks = cmd == BPF_MAP_LOOKUP_BATCH || cmd == BPF_MAP_LOOKUP_AND_DELETE_BATCH;
    if ((a_.batch.elem_flags & ~u64{BPF_F_LOCK}) != 0 || (a_.batch.elem_flags != 0 && !e_.has_lock())) return -EINVAL;
    if (looks && is_hash_kind(e_.type()) && a_.batch.flags != 0) return -EINVAL;
    if (a_.batch.count == 0) return 0;
    if (put_count(0) != 0) return -EFAULT;
    if (!looks) return change(cmd == BPF_MAP_UPDATE_BATCH);
    return is_hash_kind(e_.type()) ? look_by_bucket(cmd == BPF_MAP_LOOKUP_AND_DELETE_BATCH) : look_by_key();
  }

 private:
  long put_count(u32 n) noexcept { return mem_.write(uattr_ + BATCH_COUNT_AT, &n, sizeof n); }
  u64 key_at(u32 n) const noexcept { return a_.batch.keys + n * key_size_; }
  u64 value_at(u32 n) const noexcept { return a_.batch.values + n * e_.value_size; }

  long change_one(u32 n, bool update, u8* key, u8* value) noexcept {
    if (const long err = mem_.read(key, key_at(n), key_size_); err != 0) return err;
    if (!update) return e_.erase(key);
    if (const long err = mem_.read(value, value_at(n), e_.value_size); err != 0) return err;
    return e_.write(key, value, a_.batch.elem_flags);
  }

  /// Linux: syscall.c:generic_map_update_batch(), generic_map_delete_batch()
  long change(bool update) noexcept {
    u8* key = mem_.room(key_room_ + e_.value_room());
    if (key == nullptr) return -ENOMEM;
    long err = 0;
    u32 n = 0;
    for (; n < a_.batch.count; ++n)
      if (err = change_one(n, update, key, key + key_room_); err != 0) break;
    return put_count(n) != 0 ? -EFAULT : err;
  }

  /// From key to key; the token is the last key. Linux: syscall.c:generic_map_lookup_batch()
  long look_by_key() noexcept {
    u8* key = mem_.room(2 * key_room_ + e_.value_room());
    if (key == nullptr) return -ENOMEM;
    u8 *last = key + key_room_, *value = last + key_room_;
    bool first = a_.batch.in_batch == 0;
    if (!first)
      if (const long err = mem_.read(last, a_.batch.in_batch, key_size_); err != 0) return err;
    long err = 0;
    u32 n = 0;
    while (n < a_.batch.count) {
      if (err = e_.next_key(first ? nullptr : last, key); err != 0) break;
      err = e_.read(key, value, a_.batch.elem_flags);
      if (err != 0 && err != -ENOENT) return err;
      if (err == 0) {
        if (mem_.write(key_at(n), key, key_size_) != 0 || mem_.write(value_at(n), value, e_.value_size) != 0) return -EFAULT;
        ++n;
      }
      first = false;
      u8* const found = key;
      key = last;
      last = found;
    }
    if (put_count(n) != 0 || (n != 0 && mem_.write(a_.batch.out_batch, last, key_size_) != 0)) return -EFAULT;
    return err;
  }

  /// Room for `n` elements, keys first. -ENOMEM.
  long make_room(u32 n) noexcept {
    const u64 keys = round_up(n * key_size_, u64{8});
    copy_.keys = mem_.room(keys + n * e_.value_size);
    if (copy_.keys == nullptr) return -ENOMEM;
    copy_.values = copy_.keys + keys;
    copy_.room = n;
    return 0;
  }

  /// Copies a bucket, with as much room as it takes. -ENOSPC: it is too large for what is left of the caller's.
  long copy_bucket(u32 position, u32 left, bool take) noexcept {
    for (;;) {
      BucketCopy copy = copy_;
      if (left < copy.room) copy.room = left;
      if (const long err = e_.copy_bucket(position, a_.batch.elem_flags, take, &copy); err != 0) return err;
      copy_.count = copy.count;
      if (copy.count <= copy.room) return 0;
      if (copy.count > left) return -ENOSPC;
      if (const long err = make_room(copy.count); err != 0) return err;
    }
  }

  /// Bucket by bucket; the token is the number of the next. A bucket is copied whole or not at all.
  /// Linux: hashtab.c:__htab_map_lookup_and_delete_batch()
  long look_by_bucket(bool take) noexcept {
    u32 position = 0, n = 0;
    if (a_.batch.in_batch != 0)
      if (const long err = mem_.read(&position, a_.batch.in_batch, sizeof position); err != 0) return err;
    if (position >= e_.positions()) return -ENOENT;
    long err = make_room(BUCKET_ROOM);
    while (err == 0) {
      err = copy_bucket(position, a_.batch.count - n, take);
      if (err != 0) break;
      if (copy_.count != 0 && (mem_.write(key_at(n), copy_.keys, copy_.count * key_size_) != 0 ||
                               mem_.write(value_at(n), copy_.values, copy_.count * e_.value_size) != 0))
        return -EFAULT;
      n += copy_.count;
      if (++position >= e_.positions()) err = -ENOENT;
    }
    if (mem_.write(a_.batch.out_batch, &position, sizeof position) != 0 || put_count(n) != 0) return -EFAULT;
    return err == -ENOSPC && n != 0 ? 0 : err;  // the next call's
  }

  /// Linux: __htab_map_lookup_and_delete_batch(), which begins with as many.
  static constexpr u32 BUCKET_ROOM = 5;

  Elems& e_;
  const bpf_attr& a_;
  u64 uattr_;
  Memory& mem_;
  u64 key_size_, key_room_;
  BucketCopy copy_{};
};

/// REQUIRES: batch_needs(cmd) != 0, and the fd gives it.
template <typename Elems, typename Memory>
long batch_call(u32 cmd, Elems& elems, const bpf_attr& attr, u64 uattr, Memory& mem) noexcept {
  return Batch<Elems, Memory>(elems, attr, uattr, mem).run(cmd);
}

}  // namespace skep
