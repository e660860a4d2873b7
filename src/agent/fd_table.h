// agent: which map is behind an fd, without asking the kernel or the host.
//
// The kernel owns fds; this is only what we believe of some. So that a belief is not wrong:
//  1. Whatever takes a number from its file is trapped: close, close_range, dup2, dup3. The entry goes before the kernel is asked, and
//     `epoch` moves. Closes of pipes (all objects are pipes) are made by the agent, and the entry goes once more behind them.
//  2. An entry is made from what fstat says, and stays only if `epoch` has not moved since: a close that ran meanwhile undoes it.
//  3. The table is one for all threads, as their fds are. Where tasks share memory and not fds, or fds and not memory (clone), or a thread
//     gets fds of its own (unshare, CLOSE_RANGE_UNSHARE), it is given up for good. A vfork child never uses it: see map_calls.cc.
//  4. Its pages are wiped in a fork child; exec ends it.
//  5. A close that nobody traps (a raw system call outside libc, io_uring) is what is left. What changes a map asks fstat each time. A
//     look-up believes the entry for about a millisecond (FD_RECHECK), and at most eight look-ups longer, and then asks fstat again.
// A stale entry never leads to freed memory: who uses one holds a run slot, and looks in ROM whether this very map is still there.
#pragma once
#include "maps/map_ops.h"

namespace skep::agent {

struct KnownMap {
  MapDesc* desc;
  const MapOps* ops;  ///< null: its elements are the host's to touch
  u64 ino;         ///< of the open file's pipe
  u32 dev;
  u32 value_size;  ///< map_syscall_value_size()
  u32 id;
  u32 listed;      ///< index in RomHeader::maps
  u32 mode;        ///< MAP_MAY_*
};

struct alignas(64) FdEntry {
  u64 version;  ///< odd: being written. A reader's copy counts when this has not moved
  s32 fd;       ///< 0: none (that number is never kept)
  u32 mode;
  MapDesc* desc;
  const MapOps* ops;
  u64 ino;
  u32 dev, value_size, id, listed;
  u64 checked;  ///< time stamp counter when fstat was asked last
};
static_assert(sizeof(FdEntry) == 64);

constexpr u32 FD_ENTRIES = 512;            ///< by the fd's low bits
constexpr u64 FD_RECHECK = 3'000'000;      ///< cycles: about a millisecond

struct FdTable {
  u64 epoch;
  u64 pad[7];
  FdEntry entries[FD_ENTRIES];
};
extern FdTable* fd_table;  ///< null: nothing was ever kept, or it was given up

/// What is believed of `fd`. *checked: as in the entry. False: nothing.
inline bool fd_table_find(s32 fd, KnownMap* out, u64* checked) noexcept {
  const FdTable* t = __atomic_load_n(&fd_table, __ATOMIC_RELAXED);
  if (t == nullptr || fd <= 0) return false;
  const FdEntry& e = t->entries[static_cast<u32>(fd) % FD_ENTRIES];
  const u64 version = __atomic_load_n(&e.version, __ATOMIC_ACQUIRE);
  if (e.fd != fd || (version & 1) != 0) return false;
  *out = KnownMap{e.desc, e.ops, e.ino, e.dev, e.value_size, e.id, e.listed, e.mode};
  *checked = e.checked;
  __atomic_thread_fence(__ATOMIC_ACQUIRE);
  return __atomic_load_n(&e.version, __ATOMIC_RELAXED) == version;  // pairs with the stores in write_entry()
}

/// Before fstat is asked about an fd that is to be kept.
u64 fd_table_epoch() noexcept;
/// REQUIRES: `epoch` was read before fstat said what `map` has of the fd.
void fd_table_keep(s32 fd, const KnownMap& map, u64 epoch) noexcept;
/// fstat has just said the same as the entry.
void fd_table_checked(s32 fd) noexcept;
/// The number is about to lose its file, or has just lost it.
void fd_table_forget(s64 fd) noexcept;
void fd_table_forget_range(u64 first, u64 last) noexcept;
/// Tasks of this memory no longer share their fds: nothing is believed any more.
void fd_table_give_up() noexcept;

}  // namespace skep::agent
