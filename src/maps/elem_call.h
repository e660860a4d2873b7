// maps: what bpf(2) does with one element, once it is known which map is meant and that the fd allows it: the caller's key and value
// are copied, the kind is asked, the answer is copied back. The host does this for callers it serves, the agent where the caller is:
// both by these functions, so that each errno is the same. Linux: kernel/bpf/syscall.c:map_lookup_elem() and its like
//
// Memory is the caller's: `long read(void* dst, u64 addr, u64 n)` and `long write(u64 addr, const void* src, u64 n)`, 0 or -errno.
//
// Freestanding: also compiled into the agent.
#pragma once
#include <cerrno>

#include "maps/map_ops.h"
#include "maps/special_fields.h"

namespace skep {

constexpr u32 MAP_MAY_READ = 1, MAP_MAY_WRITE = 2;  ///< as objects/objects.h has FILE_READ and FILE_WRITE

/// Linux: syscall.c:IS_FD_MAP: elements are named by fd.
constexpr bool is_fd_map(u32 type) noexcept {
  return type == BPF_MAP_TYPE_PERF_EVENT_ARRAY || type == BPF_MAP_TYPE_PROG_ARRAY || type == BPF_MAP_TYPE_ARRAY_OF_MAPS ||
         type == BPF_MAP_TYPE_HASH_OF_MAPS || type == BPF_MAP_TYPE_CGROUP_ARRAY;
}

/// What an element command needs of the fd; 0: not an element command.
constexpr u32 elem_needs(u32 cmd) noexcept {
  switch (cmd) {
    case BPF_MAP_LOOKUP_ELEM:
    case BPF_MAP_GET_NEXT_KEY: return MAP_MAY_READ;
    case BPF_MAP_UPDATE_ELEM:
    case BPF_MAP_DELETE_ELEM: return MAP_MAY_WRITE;
    case BPF_MAP_LOOKUP_AND_DELETE_ELEM: return MAP_MAY_READ | MAP_MAY_WRITE;
    default: return 0;
  }
}

/// End of the command's last attr field: what stands behind it must be zero. Linux: syscall.c:CHECK_ATTR
constexpr u32 elem_attr_end(u32 cmd) noexcept {
  return cmd == BPF_MAP_DELETE_ELEM ? 16 : cmd == BPF_MAP_GET_NEXT_KEY ? 24 : 32;
}

/// Flags that Linux refuses before it looks at the fd.
constexpr bool elem_flags_known(u32 cmd, u64 flags) noexcept {
  return (cmd != BPF_MAP_LOOKUP_ELEM && cmd != BPF_MAP_LOOKUP_AND_DELETE_ELEM) || (flags & ~u64{BPF_F_LOCK}) == 0;
}

/// One operation on a map that is known. REQUIRES: !is_fd_map(desc->type).
struct ElemCall {
  OpCtx op;  ///< with a client slot
  MapDesc* desc;
  const MapOps* ops;
  u64 value_size;  ///< map_syscall_value_size()
  u8* scratch;     ///< elem_scratch_size() bytes
};

struct ElemAttr {
  u64 key, value, flags;  ///< value: also next_key
};

/// Room for a key, and behind it a value or another key.
constexpr u64 elem_scratch_size(u64 key_size, u64 value_size, u64 value_stride) noexcept {
  const u64 key = round_up(key_size, u64{8});
  const u64 value = round_up(value_size > value_stride ? value_size : value_stride, u64{8});
  return key + (key > value ? key : value);
}
inline u8* elem_second(const ElemCall& c) noexcept { return c.scratch + round_up(c.desc->key_size, 8); }

/// Linux: syscall.c:__bpf_copy_key()
template <typename Memory>
long elem_read_key(const ElemCall& c, u64 key, Memory& mem) noexcept {
  if (c.desc->key_size == 0) return key != 0 ? -EINVAL : 0;
  return mem.read(c.scratch, key, c.desc->key_size);
}
inline bool elem_lock_ok(const ElemCall& c, u64 flags) noexcept { return (flags & BPF_F_LOCK) == 0 || has_spin_lock(*c.desc); }

template <typename Memory>
long elem_lookup(const ElemCall& c, const ElemAttr& a, Memory& mem) noexcept {
  if (!elem_lock_ok(c, a.flags)) return -EINVAL;
  if (const long err = elem_read_key(c, a.key, mem); err != 0) return err;
  u8* value = elem_second(c);
  // Linux: the value of a bloom filter is what is asked for.
  const bool asks = c.desc->type == BPF_MAP_TYPE_BLOOM_FILTER;
  if (asks)
    if (const long err = mem.read(value, a.value, c.value_size); err != 0) return err;
  if (c.ops->read_value == nullptr) return -MAP_ENOTSUPP;
  if (const long err = c.ops->read_value(c.op, c.desc, c.scratch, value, a.flags); err != 0) return err;
  return asks ? 0 : mem.write(a.value, value, c.value_size);
}

template <typename Memory>
long elem_update(const ElemCall& c, const ElemAttr& a, Memory& mem) noexcept {
  if (!elem_lock_ok(c, a.flags)) return -EINVAL;
  if (const long err = elem_read_key(c, a.key, mem); err != 0) return err;
  if (const long err = mem.read(elem_second(c), a.value, c.value_size); err != 0) return err;
  if (c.ops->write_value == nullptr) return -MAP_ENOTSUPP;
  return c.ops->write_value(c.op, c.desc, c.scratch, elem_second(c), a.flags);
}

template <typename Memory>
long elem_delete(const ElemCall& c, const ElemAttr& a, Memory& mem) noexcept {
  if (const long err = elem_read_key(c, a.key, mem); err != 0) return err;
  if (c.ops->erase == nullptr) return -MAP_ENOTSUPP;
  return c.ops->erase(c.op, c.desc, c.scratch);
}

template <typename Memory>
long elem_next_key(const ElemCall& c, const ElemAttr& a, Memory& mem) noexcept {
  if (a.key != 0)
    if (const long err = elem_read_key(c, a.key, mem); err != 0) return err;
  if (c.ops->get_next_key == nullptr) return -MAP_ENOTSUPP;
  u8* next = elem_second(c);
  if (const long err = c.ops->get_next_key(c.op, c.desc, a.key != 0 ? c.scratch : nullptr, next); err != 0) return err;
  return mem.write(a.value, next, c.desc->key_size);
}

template <typename Memory>
long elem_take(const ElemCall& c, const ElemAttr& a, Memory& mem) noexcept {
  if (a.flags != 0 && (c.desc->type == BPF_MAP_TYPE_QUEUE || c.desc->type == BPF_MAP_TYPE_STACK)) return -EINVAL;
  if (!elem_lock_ok(c, a.flags)) return -EINVAL;
  if (const long err = elem_read_key(c, a.key, mem); err != 0) return err;
  if (c.ops->take_value == nullptr) return -MAP_ENOTSUPP;
  if (const long err = c.ops->take_value(c.op, c.desc, c.scratch, elem_second(c), a.flags); err != 0) return err;
  return mem.write(a.value, elem_second(c), c.value_size);
}

/// REQUIRES: elem_needs(cmd) != 0, and the fd gives it; elem_flags_known().
template <typename Memory>
long elem_call(u32 cmd, const ElemCall& c, const ElemAttr& a, Memory& mem) noexcept {
  switch (cmd) {
    case BPF_MAP_LOOKUP_ELEM: return elem_lookup(c, a, mem);
    case BPF_MAP_UPDATE_ELEM: return elem_update(c, a, mem);
    case BPF_MAP_DELETE_ELEM: return elem_delete(c, a, mem);
    case BPF_MAP_GET_NEXT_KEY: return elem_next_key(c, a, mem);
    default: return elem_take(c, a, mem);
  }
}

}  // namespace skep
