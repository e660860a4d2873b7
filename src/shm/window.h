// shm: the host's side of the session window: the files behind it, allocation in it, and freeing once no run can still look.
#pragma once
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <set>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "shm/arena.h"
#include "shm/layout.h"
#include "shm/slot.h"
#include "shm/tasks.h"

namespace skep {

/// Owns the window of one session. Not thread-safe: one thread allocates and frees. Several instances live side by side.
class WindowHost {
 public:
  /// Maps a window of `nr_cpus` virtual CPUs at a random base (ENOMEM, or the errno of memfd_create/mmap).
  static Result<std::unique_ptr<WindowHost>> create(u32 nr_cpus);
  ~WindowHost();
  WindowHost(const WindowHost&) = delete;
  WindowHost& operator=(const WindowHost&) = delete;

  const Window& view() const { return view_; }
  RomHeader* rom() const { return view_.rom; }
  RamHeader* ram() const { return view_.ram; }
  /// Descriptors for other processes. The ROM one was opened read-only and its file refuses new writable mappings.
  int rom_fd() const { return rom_ro_fd_.get(); }
  int ram_fd() const { return ram_fd_.get(); }
  /// Opened read-only: mappings of it can never be made writable.
  int ram_ro_fd() const { return ram_ro_fd_.get(); }
  u64 ram_offset(const void* p) const { return reinterpret_cast<u64>(p) - view_.rom->ram_base; }
  /// False: nothing executable can be mapped here, and RomHeader::code_size is 0.
  bool has_code() const { return code_writable_ != nullptr; }
  /// Opened read-only, as the ROM one; its file refuses writable mappings. -1 without code.
  int code_fd() const { return code_ro_fd_.get(); }

  Result<void*> rom_alloc(u64 size, u64 align = 16);
  void rom_free(void* p, u64 size);
  /// Whole pages, zero-filled, untouched (costs no memory until written).
  Result<u8*> ram_alloc(u64 size);
  void ram_free(u8* p, u64 size);
  /// All zero, on a cache line of its own.
  Result<ProgStats*> stats_alloc();
  void stats_free(ProgStats* stats);
  template <typename T>
  Result<T*> rom_new() {
    return static_cast<T*>(new (TRY(rom_alloc(sizeof(T), alignof(T)))) T{});
  }

  /// Registers a ring (perf or bpf): picks its index and control block, zeroed. EMFILE... ENOSPC when MAX_RINGS live.
  Result<RingDesc*> ring_register(RingKind kind);
  void ring_unregister(RingDesc* ring);
  /// Maps the ring's pages (allocated from RAM: consumer, producer, data) doubled in the RINGS area, and tells every process to.
  Status ring_map_doubled(RingDesc* ring, u8* ram_pages, u64 data_size);

  /// A block of CODE for `size` bytes, filled with hlt, one at least behind them; 64-byte aligned. ENOMEM: no room, or no code at all.
  Result<u64> code_alloc(u64 size);
  /// Makes this process's own gates: `fill` gets GATES_SIZE writable bytes, which are read-only afterwards. Once; later calls do nothing.
  Status open_gates(void (*fill)(u64* gates) noexcept);
  /// Where the host writes what stands at `addr` in CODE.
  u8* code_writable(u64 addr) const { return code_writable_ + (addr - rom()->code_base); }
  /// hlt again. REQUIRES: from code_alloc(size), in no index, and no run can still be in there.
  void code_free(u64 addr, u64 size);
  /// Puts a block into the index that all processes look up; its table of faults, from rom_alloc(), is the index's from then on.
  /// ENOMEM: no room in ROM, nothing changed.
  Status code_publish(const CodeBlock& block);
  /// Takes it out and frees code and table. REQUIRES: as code_free().
  void code_withdraw(u64 addr);

  /// Runs `free_it` once every slot that is owned now has been released or recovered (grace period).
  void defer(std::function<void()> free_it);
  /// Runs what is due. Cheap when nothing is.
  void reclaim();
  bool has_deferred() const { return !deferred_.empty(); }
  /// Without the index of CODE, and pages of counters that nobody uses, which are kept for the next program.
  u64 rom_in_use() const { return rom_arena_.bytes_in_use() - code_index_bytes_; }
  u64 ram_in_use() const { return ram_arena_.bytes_in_use() - (spare_stats_page_ != 0 ? PAGE_SIZE : 0); }
  u64 code_in_use() const { return code_arena_.bytes_in_use(); }
  /// True when `addr` is a MapDesc handed out by rom_new and not yet freed (intents of the dead are hostile).
  void note_map(MapDesc* desc);
  void forget_map(MapDesc* desc);
  bool is_live_map(u64 addr) const;

 private:
  WindowHost(u64 base);
  /// False: refused, all is as it was.
  bool map_code(u64 at);
  /// The place of `block` in the index as it stands, or null where it has to be built anew.
  CodeBlock* place_in_index(const CodeBlock& block);
  Status rebuild_code_index(const CodeBlock& added);
  Window view_;
  UniqueFd rom_fd_, rom_ro_fd_, ram_fd_, ram_ro_fd_, code_ro_fd_;
  Arena rom_arena_, ram_arena_, ring_arena_, code_arena_;
  u8* code_writable_ = nullptr;
  bool gates_open_ = false;
  std::vector<bool> code_page_used_;          ///< pages that have been filled with hlt
  CodeIndex* code_index_ = nullptr;           ///< RomHeader::code_index, which we write
  u32 code_index_room_ = 0;                   ///< blocks that it may hold
  u64 code_index_bytes_ = 0;
  std::unordered_map<u64, u64> stats_pages_;  ///< page of ProgStats -> which of its 64 cells are taken
  std::set<u64> open_stats_pages_;            ///< those with a free cell
  u64 spare_stats_page_ = 0;                  ///< that one of them of which no cell is taken
  struct Deferred {
    std::vector<std::pair<u32, u64>> waiting;  ///< slot index, its seq
    std::function<void()> run;
  };
  std::list<Deferred> deferred_;
  bool reclaiming_ = false;
  std::vector<MapDesc*> live_maps_;
};

}  // namespace skep
