// agent: fds whose close nobody can see but by asking the host, which looks at all closes first (programs, BTF): close() need not wait for
// it. By inode, which is safe as in rings.cc; what has been forgotten is waited for.
#pragma once
#include "base/atomic.h"

namespace skep::agent {

constexpr u32 MAX_QUIET = 256;
inline u64 quiet_inodes[MAX_QUIET];

inline void quiet_fd_note(u64 ino) noexcept { store_relaxed(&quiet_inodes[ino % MAX_QUIET], ino); }
inline bool quiet_fd(u64 ino) noexcept { return ino != 0 && load_relaxed(&quiet_inodes[ino % MAX_QUIET]) == ino; }

}  // namespace skep::agent
