#include "agent/fd_table.h"

#include "agent/sys.h"
#include "base/atomic.h"

namespace skep::agent {

FdTable* fd_table;

namespace {

bool given_up;  ///< kept by fork: a child may share its fds with its parent

/// Null: no memory, or given up.
FdTable* make_table() noexcept {
  if (load_relaxed(&given_up)) return nullptr;
  if (FdTable* t = load_acquire(&fd_table); t != nullptr) return t;
  const u64 size = round_up(sizeof(FdTable), PAGE_SIZE);
  const s64 p = sys(NR_mmap, 0, size, 3, 0x22 /* PRIVATE | ANONYMOUS */, -1, 0);
  if (p < 0 && p > -4096) return nullptr;
  FdTable* none = nullptr;
  auto* t = reinterpret_cast<FdTable*>(p);
  if (sys(NR_madvise, p, size, 18 /* MADV_WIPEONFORK */) == 0 && compare_exchange(&fd_table, none, t)) return t;
  sys(NR_munmap, p, size);
  return none;
}

/// One writer at a time: false when there is another.
bool write_entry(FdEntry& e, const FdEntry& next) noexcept {
  u64 version = load_relaxed(&e.version);
  if ((version & 1) != 0 || !compare_exchange(&e.version, version, version + 1)) return false;
  store_relaxed(&e.fd, next.fd);
  e.mode = next.mode;
  e.desc = next.desc;
  e.ops = next.ops;
  e.ino = next.ino;
  e.dev = next.dev;
  e.value_size = next.value_size;
  e.id = next.id;
  e.listed = next.listed;
  e.checked = next.checked;
  store_release(&e.version, version + 2);
  return true;
}

void clear_entry(FdEntry& e) noexcept {
  // A writer in the middle looks at the epoch when it is done, and finds that it has moved.
  const FdEntry none{};
  write_entry(e, none);
}

}  // namespace

u64 fd_table_epoch() noexcept {
  const FdTable* t = make_table();
  return t != nullptr ? load_seq_cst(&t->epoch) : 0;
}

void fd_table_keep(s32 fd, const KnownMap& map, u64 epoch) noexcept {
  FdTable* t = make_table();
  if (t == nullptr || fd <= 0) return;
  FdEntry next{};
  next.fd = fd;
  next.mode = map.mode;
  next.desc = map.desc;
  next.ops = map.ops;
  next.ino = map.ino;
  next.dev = map.dev;
  next.value_size = map.value_size;
  next.id = map.id;
  next.listed = map.listed;
  next.checked = __builtin_ia32_rdtsc();
  FdEntry& e = t->entries[static_cast<u32>(fd) % FD_ENTRIES];
  if (!write_entry(e, next)) return;
  // Pairs with fd_table_forget(): either that clears what was written here, or its epoch is seen.
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  if (load_seq_cst(&t->epoch) != epoch || load_relaxed(&given_up)) clear_entry(e);
}

void fd_table_checked(s32 fd) noexcept {
  FdTable* t = load_relaxed(&fd_table);
  if (t != nullptr) store_relaxed(&t->entries[static_cast<u32>(fd) % FD_ENTRIES].checked, __builtin_ia32_rdtsc());
}

void fd_table_forget(s64 fd) noexcept {
  FdTable* t = load_relaxed(&fd_table);
  if (t == nullptr || fd <= 0) return;
  fetch_add(&t->epoch, 1);
  FdEntry& e = t->entries[static_cast<u64>(fd) % FD_ENTRIES];
  if (load_relaxed(&e.fd) == fd) clear_entry(e);
}

void fd_table_forget_range(u64 first, u64 last) noexcept {
  FdTable* t = load_relaxed(&fd_table);
  if (t == nullptr) return;
  fetch_add(&t->epoch, 1);
  for (FdEntry& e : t->entries) {
    const s32 fd = load_relaxed(&e.fd);
    if (fd > 0 && static_cast<u64>(fd) >= first && static_cast<u64>(fd) <= last) clear_entry(e);
  }
}

void fd_table_give_up() noexcept {
  store_seq_cst(&given_up, true);
  // Its memory stays: another thread may be reading.
  fd_table_forget_range(0, ~0u);
  store_release(&fd_table, nullptr);
}

}  // namespace skep::agent
