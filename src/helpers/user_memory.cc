#include "helpers/user_memory.h"

#include <cerrno>

#include "base/bytes.h"
#include "helpers/memory.h"

namespace skep {
namespace {

/// Bytes from src on that lie in the half of the address space that `space` names: at most `size`, 0 when src itself does not.
u64 readable_span(const RunCtx& run, u64 size, u64 src, Space space) noexcept {
  const AddrRange range = kernel_range(run, src);
  if (range.len != 0) {
    const u64 left = range.len - (src - range.addr);
    return space == Space::User ? 0 : left < size ? left : size;
  }
  if (space == Space::Kernel) return 0;
  // A read from user memory may not run into the window either: the last byte tells. What is smaller than a read and inside it (the
  // run's own context or registers) the program may read anyway.
  const u64 last = src + size - 1;
  if (last < src || run.hidden.holds(src, 1) || run.hidden.holds(last, 1)) return 0;
  const AddrRange end = kernel_range(run, last);
  return end.len == 0 || end.addr <= src ? size : end.addr - src;
}

const void* as_mem(u64 addr) noexcept { return reinterpret_cast<const void*>(addr); }

/// A string in a stretch of `span` < size bytes: it must end there.
long read_string_within(RunCtx& run, void* dst, u64 span, u64 src) noexcept {
  const long len = run.env->read_string(run.env, dst, span, as_mem(src));
  if (len != static_cast<long>(span)) return len;
  // Cut or just fitting? Only the byte itself tells.
  char last = 1;
  const long err = run.env->read_memory(run.env, &last, as_mem(src + span - 1), 1);
  return err == 0 && last == 0 ? len : -EFAULT;
}

}  // namespace

long read_bytes(RunCtx& run, void* dst, u64 size, u64 src, Space space) noexcept {
  if (size == 0) return 0;
  long err = -EFAULT;
  if (readable_span(run, size, src, space) == size) err = run.env->read_memory(run.env, dst, as_mem(src), size);
  if (err < 0) zero_bytes(dst, size);
  return err;
}

long write_user_bytes(RunCtx& run, u64 dst, const void* src, u64 size) noexcept {
  if (readable_span(run, size, dst, Space::User) != size) return -EFAULT;
  return run.env->write_memory(run.env, reinterpret_cast<void*>(dst), src, size);
}

long read_string(RunCtx& run, void* dst, u64 size, u64 src, Space space) noexcept {
  if (size == 0) return 0;
  const u64 span = readable_span(run, size, src, space);
  if (span == 0) return -EFAULT;
  if (span < size) return read_string_within(run, dst, span, src);
  return run.env->read_string(run.env, dst, size, as_mem(src));
}

}  // namespace skep
