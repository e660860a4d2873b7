#include "shm/arena.h"

#include <iterator>

namespace skep {

Arena::Arena(u64 base, u64 size) { free_.emplace(base, size); }

Result<u64> Arena::allocate(u64 size, u64 align) {
  if (size == 0) return Errno(EINVAL);
  for (auto it = free_.begin(); it != free_.end(); ++it) {
    const u64 start = it->first, end = start + it->second;
    const u64 at = round_up(start, align);
    if (at < start || at > end || end - at < size) continue;
    free_.erase(it);
    if (at > start) free_.emplace(start, at - start);
    if (at + size < end) free_.emplace(at + size, end - at - size);
    in_use_ += size;
    return at;
  }
  return Errno(ENOMEM);
}

void Arena::release(u64 addr, u64 size) {
  in_use_ -= size;
  auto next = free_.upper_bound(addr);
  if (next != free_.begin()) {
    auto prev = std::prev(next);
    if (prev->first + prev->second == addr) {
      addr = prev->first;
      size += prev->second;
      free_.erase(prev);
    }
  }
  if (next != free_.end() && addr + size == next->first) {
    size += next->second;
    free_.erase(next);
  }
  free_.emplace(addr, size);
}

}  // namespace skep
