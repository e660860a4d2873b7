// shm: hands out ranges of an area of the window. Bookkeeping stays in private memory of its owner, so nothing shared is trusted.
#pragma once
#include <map>

#include "base/result.h"
#include "base/types.h"

namespace skep {

/// First-fit over [base, base + size). Not thread-safe.
class Arena {
 public:
  Arena(u64 base, u64 size);
  /// `align` is a power of two. ENOMEM when nothing fits.
  Result<u64> allocate(u64 size, u64 align);
  /// REQUIRES: [addr, addr + size) came from one allocate(size, ...).
  void release(u64 addr, u64 size);
  u64 bytes_in_use() const { return in_use_; }

 private:
  std::map<u64, u64> free_;  ///< start -> length, neighbours merged
  u64 in_use_ = 0;
};

}  // namespace skep
