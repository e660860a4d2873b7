// syscall: the batch commands on maps. What they do: maps/batch_call.h. Clients mostly do it themselves; here it is done for maps whose
// elements are named by fd, and for callers that cannot.
//
// A call may be given up for want of the caller's memory and started over, so nothing may have changed by then: keys, values and fds that
// a command will look at are fetched first, as far as they can be read.
//
// DIFFERS: what cannot be written to the caller is known only when all is over: EFAULT then, but with the count and the token written.
#include <fmt/format.h>

#include <cstring>

#include "maps/batch_call.h"
#include "maps/object_maps.h"
#include "objects/map_elems.h"
#include "syscall/commands.h"
#include "syscall/map_file.h"

namespace skep {
namespace {

constexpr u32 MAX_NAMED = 64;  ///< objects that one call can name: each is asked of the caller

/// Bytes of the caller from `addr` on, as many whole elements as can be read.
struct Fetched {
  u64 addr = 0;
  std::vector<u8> bytes;
  bool holds(u64 at, u64 n) const { return at >= addr && at - addr <= bytes.size() && n <= bytes.size() - (at - addr); }
};

/// True or false, or ERESTART_CALL.
Result<bool> readable(UserMemory& mem, u64 addr) {
  u8 byte;
  const Status s = mem.read(&byte, addr, 1);
  if (!s.ok() && s.error() != Errno(EFAULT)) return s.error();
  return s.ok();
}

/// How many of `size` bytes can be read, by whole pages: the first that cannot be is looked for by halves.
Result<u64> readable_length(UserMemory& mem, u64 addr, u64 size) {
  if (size == 0 || TRY(readable(mem, addr + size - 1))) return size;
  const u64 first_end = round_up(addr + 1, PAGE_SIZE) - addr;
  u64 good = 0, bad = (size - first_end + PAGE_SIZE - 1) / PAGE_SIZE + 1;  // pages that end before the last byte
  if (size <= first_end) return u64{0};
  while (good + 1 < bad) {
    const u64 pages = (good + bad) / 2;
    (TRY(readable(mem, addr + first_end + (pages - 1) * PAGE_SIZE - 1)) ? good : bad) = pages;
  }
  return good == 0 ? u64{0} : first_end + (good - 1) * PAGE_SIZE;
}

/// Linux copies one by one and stops at the first that it cannot read.
Result<Fetched> fetch(UserMemory& mem, u64 addr, u64 size, u32 count) {
  Fetched f;
  f.addr = addr;
  const u64 whole = TRY(readable_length(mem, addr, size * count)) / size * size;
  f.bytes.resize(whole);
  const Status s = mem.read(f.bytes.data(), addr, whole);
  if (!s.ok() && s.error() != Errno(EFAULT)) return s.error();
  if (!s.ok()) f.bytes.clear();
  return f;
}

/// Reads what was fetched, collects what is written.
class BatchMemory {
 public:
  explicit BatchMemory(UserMemory& mem) : mem_(mem) {}

  Status fetch_elems(u64 addr, u64 size, u32 count) {
    fetched_.push_back(TRY(fetch(mem_, addr, size, count)));
    return ok_status();
  }
  long read(void* dst, u64 addr, u64 n) {
    if (fetched_.empty()) {  // a token, before anything is done
      const Status s = mem_.read(dst, addr, n);
      return s.ok() ? 0 : -long{s.error().value()};
    }
    for (const Fetched& f : fetched_) {
      if (!f.holds(addr, n)) continue;
      std::memcpy(dst, f.bytes.data() + (addr - f.addr), n);
      return 0;
    }
    return -EFAULT;
  }
  long write(u64 addr, const void* src, u64 n) {
    if (addr == 0) return -EFAULT;
    const auto* p = static_cast<const u8*>(src);
    for (Fetched& w : writes_)
      if (addr == w.addr + w.bytes.size()) {
        w.bytes.insert(w.bytes.end(), p, p + n);
        return 0;
      }
    writes_.push_back(Fetched{addr, {p, p + n}});
    return 0;
  }
  u8* room(u64 n) {
    room_.resize(n);
    return room_.data();
  }
  /// EFAULT.
  Status flush() {
    for (const Fetched& w : writes_) TRY(mem_.write(w.addr, w.bytes.data(), w.bytes.size()));
    return ok_status();
  }
  const std::vector<Fetched>& fetched() const { return fetched_; }

 private:
  UserMemory& mem_;
  std::vector<Fetched> fetched_, writes_;
  std::vector<u8> room_;
};

long code_of(const Result<s64>& r) { return r.ok() ? 0 : -long{r.error().value()}; }

/// A map whose elements are named by fd, and shown by id.
struct FdMapElems {
  CallContext& ctx;
  const OpenMap& map;
  u64 value_size = sizeof(u32);

  const MapDesc& desc() const { return *map.map->desc; }
  u32 type() const { return desc().type; }
  u64 key_size() const { return desc().key_size; }
  u64 value_room() const { return 8; }
  bool has_lock() const { return false; }
  std::vector<u8> key_of(const void* key) const {
    const auto* p = static_cast<const u8*>(key);
    return {p, p + key_size()};
  }
  long next_key(const void* key, void* next) { return map.map->ops->get_next_key(ctx.op, map.map->desc, key, next); }
  long read(const void* key, void* value, u64) {
    const Result<u32> id = fd_map_lookup(*map.map, key_of(key));
    if (!id.ok()) return -long{id.error().value()};
    std::memcpy(value, &*id, sizeof *id);
    return 0;
  }
  long write(const void* key, const void* value, u64 flags) {
    u32 fd;
    std::memcpy(&fd, value, sizeof fd);
    return code_of(fd_map_update(ctx, map, key_of(key), fd, flags));
  }
  long erase(const void* key) { return code_of(fd_map_delete(*map.map, key_of(key))); }
  u32 positions() const { return desc().n_buckets; }
  long copy_bucket(u32 position, u64, bool take, BucketCopy* out) {
    std::vector<std::vector<u8>> keys;
    for (const InnerMapNode* n = static_cast<InnerMapNode**>(desc().buckets)[position]; n != nullptr; n = n->next) keys.push_back(key_of(n->key));
    out->count = static_cast<u32>(keys.size());
    if (out->count > out->room) return 0;
    for (std::size_t i = 0; i < keys.size(); ++i) {
      std::memcpy(out->keys + i * key_size(), keys[i].data(), key_size());
      if (const long err = read(keys[i].data(), out->values + i * value_size, 0); err != 0) return err;
    }
    for (const auto& key : keys)
      if (take) erase(key.data());
    return 0;
  }
};

/// Asks which files the values name before anything is changed. ENOMEM: too many for one call.
Status fetch_named(CallContext& ctx, const BatchMemory& mem) {
  if (mem.fetched().size() < 2) return ok_status();
  const std::vector<u8>& values = mem.fetched()[1].bytes;
  if (values.size() / sizeof(s32) > MAX_NAMED) {
    ctx.kernel.doctor.note(fmt::format("BPF_MAP_UPDATE_BATCH of more than {} maps at once: not here: ENOMEM", MAX_NAMED));
    return Errno(ENOMEM);
  }
  for (std::size_t at = 0; at + sizeof(s32) <= values.size(); at += sizeof(s32)) {
    s32 fd;
    std::memcpy(&fd, values.data() + at, sizeof fd);
    const Result<FdIdentity> id = ctx.fds.identify(fd);
    if (!id.ok() && id.error() == Errno(ERESTART_CALL)) return id.error();
  }
  return ok_status();
}

Result<s64> batch_command(CallContext& ctx, u32 cmd, const bpf_attr& attr, const UserAttr& uattr) {
  const OpenMap o = TRY(open_map(ctx, attr.batch.map_fd, batch_needs(cmd)));
  MapDesc* d = o.map->desc;
  BatchMemory mem(ctx.mem);
  const bool changes = cmd == BPF_MAP_UPDATE_BATCH || cmd == BPF_MAP_DELETE_BATCH, named = is_fd_map(d->type);
  if (changes && has_batch(cmd, d->type)) {
    TRY(mem.fetch_elems(attr.batch.keys, d->key_size, attr.batch.count));
    if (cmd == BPF_MAP_UPDATE_BATCH) TRY(mem.fetch_elems(attr.batch.values, map_syscall_value_size(*d), attr.batch.count));
    if (named) TRY(fetch_named(ctx, mem));
  }
  long rc;
  if (named) {
    FdMapElems elems{ctx, o};
    rc = batch_call(cmd, elems, attr, uattr.addr, mem);
  } else {
    MapElems elems{ctx.op, d, o.map->ops, map_syscall_value_size(*d)};
    rc = batch_call(cmd, elems, attr, uattr.addr, mem);
  }
  if (rc == -ERESTART_CALL) return Errno(ERESTART_CALL);
  TRY(mem.flush());
  if (rc < 0) return Errno(static_cast<int>(-rc));
  return s64{rc};
}

}  // namespace

Result<s64> map_lookup_batch(CallContext& ctx, const bpf_attr& attr, const UserAttr& uattr) {
  return batch_command(ctx, BPF_MAP_LOOKUP_BATCH, attr, uattr);
}
Result<s64> map_lookup_and_delete_batch(CallContext& ctx, const bpf_attr& attr, const UserAttr& uattr) {
  return batch_command(ctx, BPF_MAP_LOOKUP_AND_DELETE_BATCH, attr, uattr);
}
Result<s64> map_update_batch(CallContext& ctx, const bpf_attr& attr, const UserAttr& uattr) {
  return batch_command(ctx, BPF_MAP_UPDATE_BATCH, attr, uattr);
}
Result<s64> map_delete_batch(CallContext& ctx, const bpf_attr& attr, const UserAttr& uattr) {
  return batch_command(ctx, BPF_MAP_DELETE_BATCH, attr, uattr);
}

}  // namespace skep
