// syscall: a map behind an fd, and the caller's memory as the maps room asks for it (maps/elem_call.h).
#pragma once
#include "syscall/context.h"

namespace skep {

struct OpenMap {
  std::shared_ptr<File> file;
  std::shared_ptr<Map> map;
};

/// Linux: syscall.c:map_get_sys_perms(): a frozen map cannot be written by syscalls.
inline u32 sys_perms(const File& f, const Map& m) { return m.frozen ? f.mode & ~FILE_WRITE : f.mode; }

/// EBADF, EINVAL, EPERM.
inline Result<OpenMap> open_map(CallContext& ctx, u32 fd, u32 need) {
  OpenMap o;
  o.file = TRY(ctx.file(static_cast<s32>(fd)));
  o.map = object_as<Map>(o.file->object);
  if (o.map == nullptr) return Errno(EINVAL);
  if ((sys_perms(*o.file, *o.map) & need) != need) return Errno(EPERM);
  return o;
}

class CallerMemory {
 public:
  explicit CallerMemory(UserMemory& mem) : mem_(mem) {}
  long read(void* dst, u64 addr, u64 n) { return code(mem_.read(dst, addr, n)); }
  long write(u64 addr, const void* src, u64 n) { return code(mem_.write(addr, src, n)); }

 private:
  static long code(Status s) { return s.ok() ? 0 : -long{s.error().value()}; }
  UserMemory& mem_;
};

/// Elements of a map whose elements are named by fd: PERF_EVENT_ARRAY, PROG_ARRAY, *_OF_MAPS. `via` is the file, held as long as what is
/// put in stays. Linux: arraymap.c:bpf_fd_array_map_update_elem(), hashtab.c:bpf_fd_htab_map_update_elem()
Result<s64> fd_map_update(CallContext& ctx, const OpenMap& via, const std::vector<u8>& key, u32 fd, u64 flags);
Result<s64> fd_map_delete(Map& map, const std::vector<u8>& key);
/// User space sees ids.
Result<u32> fd_map_lookup(const Map& map, const std::vector<u8>& key);

}  // namespace skep
