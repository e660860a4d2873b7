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
    const bool rest = at + size < end;
    if (at > start) {
      it->second = at - start;
      if (rest) free_.emplace(at + size, end - at - size);
    } else if (rest) {
      auto node = free_.extract(it++);  // its place in the order stays
      node.key() = at + size;
      node.mapped() = end - at - size;
      free_.insert(it, std::move(node));
    } else {
      free_.erase(it);
    }
    in_use_ += size;
    return at;
  }
  return Errno(ENOMEM);
}

void Arena::release(u64 addr, u64 size) {
  in_use_ -= size;
  const auto next = free_.upper_bound(addr);
  const auto prev = next != free_.begin() ? std::prev(next) : free_.end();
  const bool joins_prev = prev != free_.end() && prev->first + prev->second == addr;
  const bool joins_next = next != free_.end() && addr + size == next->first;
  if (joins_prev) {
    prev->second += size + (joins_next ? next->second : 0);
    if (joins_next) free_.erase(next);
  } else if (joins_next) {
    const auto behind = std::next(next);
    auto node = free_.extract(next);
    node.key() = addr;
    node.mapped() += size;
    free_.insert(behind, std::move(node));
  } else {
    free_.emplace_hint(next, addr, size);
  }
}

}  // namespace skep
