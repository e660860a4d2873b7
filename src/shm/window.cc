#include "shm/window.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/random.h>

#include <algorithm>
#include <cstdio>
#include <cstring>

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif
#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U
#endif

namespace skep {
namespace {

constexpr u64 GUARD = 1ULL << 30;
constexpr u64 CODE_ALIGN = 64, STATS_CELL = 64;
constexpr int HLT = 0xf4;  // SIGSEGV, which ends a run; not a signal that is the process's own
constexpr u64 WINDOW_SPAN = ROM_SIZE + GUARD + CODE_SIZE + GUARD + RAM_SIZE + GUARD + RINGS_SIZE;
// Away from where Linux puts programs, heaps, libraries and stacks, and from the shadow areas of ASan, TSan and MSan.
constexpr u64 LOWEST_BASE = 0x410000000000ULL, HIGHEST_BASE = 0x4f0000000000ULL;

u64 random_base() {
  u64 r = 0;
  if (getrandom(&r, sizeof r, 0) != static_cast<ssize_t>(sizeof r)) r = reinterpret_cast<u64>(&r) * 0x9e3779b97f4a7c15ULL;
  const u64 choices = (HIGHEST_BASE - LOWEST_BASE) >> 21;
  return LOWEST_BASE + ((r % choices) << 21);
}

void* map_at(u64 addr, u64 size, int prot, int flags, int fd, u64 offset) {
  return mmap(reinterpret_cast<void*>(addr), size, prot, flags | MAP_FIXED_NOREPLACE | MAP_NORESERVE, fd, static_cast<off_t>(offset));
}

UniqueFd reopen_read_only(int fd) {
  char path[64];
  std::snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  return UniqueFd(open(path, O_RDONLY | O_CLOEXEC));
}

/// Executable where the kernel asks (6.3 and later), plain where it does not know that or does not allow it: mapping tells then.
UniqueFd code_file() {
  UniqueFd file(memfd_create("skep-code", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC));
  return file ? std::move(file) : UniqueFd(memfd_create("skep-code", MFD_CLOEXEC | MFD_ALLOW_SEALING));
}

/// The first entry that begins at `addr` or behind; the end where there is none; null without an index.
CodeBlock* first_block_from(CodeIndex* index, u64 addr) {
  if (index == nullptr) return nullptr;
  return std::lower_bound(index->blocks, index->blocks + index->count, addr, [](const CodeBlock& b, u64 a) { return b.addr < a; });
}

u64 code_base_of(u64 base) { return base + ROM_SIZE + GUARD; }
u64 ram_base_of(u64 base) { return code_base_of(base) + CODE_SIZE + GUARD; }
u64 tasks_base_of(u64 base) { return ram_base_of(base) + round_up(sizeof(RamHeader), PAGE_SIZE); }
u64 ring_base_of(u64 base) { return ram_base_of(base) + RAM_SIZE + GUARD; }

}  // namespace

WindowHost::WindowHost(u64 base)
    : rom_arena_(base + round_up(sizeof(RomHeader), PAGE_SIZE), ROM_SIZE - round_up(sizeof(RomHeader), PAGE_SIZE)),
      ram_arena_(tasks_base_of(base) + sizeof(TaskTable), RAM_SIZE - (tasks_base_of(base) - ram_base_of(base)) - sizeof(TaskTable)),
      ring_arena_(ring_base_of(base), RINGS_SIZE),
      code_arena_(code_base_of(base) + GATES_SIZE, CODE_SIZE - GATES_SIZE) {}

Result<std::unique_ptr<WindowHost>> WindowHost::create(u32 nr_cpus) {
  if (nr_cpus == 0 || nr_cpus > MAX_CPUS) return Errno(EINVAL);
  UniqueFd rom(memfd_create("skep-rom", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  UniqueFd ram(memfd_create("skep-ram", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!rom || !ram) return Errno(errno);
  if (ftruncate(rom.get(), ROM_SIZE) != 0 || ftruncate(ram.get(), RAM_SIZE) != 0) return Errno(errno);
  for (int attempt = 0; attempt < 16; ++attempt) {
    const u64 base = random_base();
    if (mmap(reinterpret_cast<void*>(base), WINDOW_SPAN, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1,
             0) == MAP_FAILED) {
      if (errno == EEXIST) continue;
      return Errno(errno);
    }
    munmap(reinterpret_cast<void*>(base), WINDOW_SPAN);
    if (map_at(base, ROM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, rom.get(), 0) == MAP_FAILED) return Errno(errno);
    if (map_at(ram_base_of(base), RAM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, ram.get(), 0) == MAP_FAILED) return Errno(errno);
    if (map_at(ring_base_of(base), RINGS_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED) return Errno(errno);
    std::unique_ptr<WindowHost> w(new WindowHost(base));
    // Our own writable mapping stays; from here on nobody can make another one.
    fcntl(rom.get(), F_ADD_SEALS, F_SEAL_FUTURE_WRITE | F_SEAL_SHRINK | F_SEAL_GROW);
    // Nobody takes the pages from under the others.
    fcntl(ram.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
    w->rom_ro_fd_ = reopen_read_only(rom.get());
    w->ram_ro_fd_ = reopen_read_only(ram.get());
    if (!w->rom_ro_fd_ || !w->ram_ro_fd_) return Errno(errno);
    w->rom_fd_ = std::move(rom);
    w->ram_fd_ = std::move(ram);
    w->view_.rom = reinterpret_cast<RomHeader*>(base);
    w->view_.ram = reinterpret_cast<RamHeader*>(ram_base_of(base));
    madvise(w->view_.rom, ROM_SIZE, MADV_DONTDUMP);
    madvise(w->view_.ram, RAM_SIZE, MADV_DONTDUMP);
    RomHeader* h = w->view_.rom;
    h->magic = WINDOW_MAGIC;
    h->version = WINDOW_VERSION;
    h->nr_cpus = nr_cpus;
    h->rom_base = base;
    h->rom_size = ROM_SIZE;
    h->ram_base = ram_base_of(base);
    h->ram_size = RAM_SIZE;
    h->ring_base = ring_base_of(base);
    h->ring_size = RINGS_SIZE;
    h->tasks = reinterpret_cast<TaskTable*>(tasks_base_of(base));
    if (w->map_code(code_base_of(base))) {
      h->code_base = code_base_of(base);
      h->code_size = CODE_SIZE;
    }
    return w;
  }
  return Errno(ENOMEM);
}

WindowHost::~WindowHost() {
  if (!view_) return;
  // Whatever is still held back goes now, and what that lets go after it, while the window is there.
  reclaiming_ = true;
  while (!deferred_.empty()) {
    const auto run = std::move(deferred_.front().run);
    deferred_.pop_front();
    run();
  }
  const u64 base = view_.rom->rom_base;
  munmap(reinterpret_cast<void*>(ring_base_of(base)), RINGS_SIZE);
  munmap(reinterpret_cast<void*>(ram_base_of(base)), RAM_SIZE);
  if (has_code()) {
    munmap(reinterpret_cast<void*>(code_base_of(base)), CODE_SIZE);
    munmap(code_writable_, CODE_SIZE);
  }
  munmap(reinterpret_cast<void*>(base), ROM_SIZE);
}

bool WindowHost::map_code(u64 at) {
  const UniqueFd file = code_file();
  if (!file || ftruncate(file.get(), CODE_SIZE) != 0) return false;
  void* rw = mmap(nullptr, CODE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, file.get(), 0);
  if (rw == MAP_FAILED) return false;
  // That mapping was the last that writes. Without the seals others could write to what all execute: no code then.
  const int seals = F_SEAL_FUTURE_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
  UniqueFd ro = reopen_read_only(file.get());
  // Of a descriptor that cannot write, so no mprotect makes it writable.
  if (fcntl(file.get(), F_ADD_SEALS, seals) != 0 || !ro ||
      map_at(at, CODE_SIZE, PROT_READ | PROT_EXEC, MAP_SHARED, ro.get(), 0) == MAP_FAILED) {
    munmap(rw, CODE_SIZE);
    return false;
  }
  madvise(rw, CODE_SIZE, MADV_DONTDUMP);
  madvise(reinterpret_cast<void*>(at), CODE_SIZE, MADV_DONTDUMP);
  code_ro_fd_ = std::move(ro);
  code_writable_ = static_cast<u8*>(rw);
  code_page_used_.assign(CODE_SIZE / PAGE_SIZE, false);
  return true;
}

Status WindowHost::open_gates(void (*fill)(u64* gates) noexcept) {
  if (!has_code()) return Errno(ENOMEM);
  if (gates_open_) return ok_status();
  void* gates = mmap(reinterpret_cast<void*>(rom()->code_base), GATES_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  if (gates == MAP_FAILED) return Errno(errno);
  fill(static_cast<u64*>(gates));
  if (mprotect(gates, GATES_SIZE, PROT_READ) != 0) return Errno(errno);
  gates_open_ = true;
  return ok_status();
}

Result<u64> WindowHost::code_alloc(u64 size) {
  if (!has_code() || size == 0 || size >= CODE_SIZE) return Errno(ENOMEM);
  const u64 bytes = round_up(size + 1, CODE_ALIGN);
  const u64 at = TRY(code_arena_.allocate(bytes, CODE_ALIGN));
  const u64 first = (at - rom()->code_base) / PAGE_SIZE, last = (at + bytes - 1 - rom()->code_base) / PAGE_SIZE;
  for (u64 page = first; page <= last; ++page) {
    if (code_page_used_[page]) continue;
    std::memset(code_writable_ + page * PAGE_SIZE, HLT, PAGE_SIZE);
    code_page_used_[page] = true;
  }
  return at;
}

void WindowHost::code_free(u64 addr, u64 size) {
  const u64 bytes = round_up(size + 1, CODE_ALIGN);
  std::memset(code_writable(addr), HLT, bytes);
  code_arena_.release(addr, bytes);
}

Status WindowHost::code_publish(const CodeBlock& block) {
  CodeBlock* const at = place_in_index(block);
  if (at == nullptr) return rebuild_code_index(block);
  at->addr = block.addr;
  at->n_faults = block.n_faults;
  at->faults = block.faults;
  at->prog = block.prog;
  store_release(&at->size, block.size);
  if (at == code_index_->blocks + code_index_->count) store_release(&code_index_->count, code_index_->count + 1);
  return ok_status();
}

void WindowHost::code_withdraw(u64 addr) {
  CodeBlock* const block = first_block_from(code_index_, addr);
  if (block == nullptr || block == code_index_->blocks + code_index_->count || block->addr != addr || block->size == 0) return;
  const CodeBlock gone = *block;
  store_release(&block->size, 0u);  // no run is in there, so nobody looks for it
  rom_free(const_cast<CodeFault*>(gone.faults), gone.n_faults * sizeof(CodeFault));
  code_free(gone.addr, gone.size);
}

// Others may be in the middle of a search at any moment, on behalf of other blocks. So an entry keeps its address for as long as its index
// lives, whether or not there is code, and what begins at no known address goes to the end, or into a new index.
CodeBlock* WindowHost::place_in_index(const CodeBlock& block) {
  CodeBlock* const at = first_block_from(code_index_, block.addr);
  if (at == nullptr) return nullptr;
  CodeBlock* const end = code_index_->blocks + code_index_->count;
  if (at == end) return code_index_->count < code_index_room_ ? at : nullptr;
  // An entry inside of the block, of code that was there before, would lead a search past it.
  return at->addr == block.addr && (at + 1 == end || at[1].addr >= block.addr + block.size) ? at : nullptr;
}

Status WindowHost::rebuild_code_index(const CodeBlock& added) {
  constexpr u32 LEAST_ROOM = 64;
  const auto bytes_of = [](u64 count) { return round_up(sizeof(CodeIndex) + count * sizeof(CodeBlock), 16); };
  const CodeIndex* const old = code_index_;
  std::vector<CodeBlock> live{added};
  for (u32 i = 0; old != nullptr && i < old->count; ++i)
    if (old->blocks[i].size != 0) live.push_back(old->blocks[i]);
  std::sort(live.begin(), live.end(), [](const CodeBlock& a, const CodeBlock& b) { return a.addr < b.addr; });
  const u32 room = std::max(LEAST_ROOM, 2 * static_cast<u32>(live.size()));
  auto* next = static_cast<CodeIndex*>(TRY(rom_alloc(bytes_of(room))));
  std::copy(live.begin(), live.end(), next->blocks);
  next->count = static_cast<u32>(live.size());
  store_release(&rom()->code_index, next);  // pairs with the load in jit/run.cc:code_fault()
  if (old != nullptr) defer([this, old, bytes = code_index_bytes_] { rom_free(const_cast<CodeIndex*>(old), bytes); });
  code_index_ = next;
  code_index_room_ = room;
  code_index_bytes_ = bytes_of(room);
  return ok_status();
}

Result<void*> WindowHost::rom_alloc(u64 size, u64 align) {
  const u64 at = TRY(rom_arena_.allocate(round_up(size, 16), align < 16 ? 16 : align));
  std::memset(reinterpret_cast<void*>(at), 0, size);
  return reinterpret_cast<void*>(at);
}

void WindowHost::rom_free(void* p, u64 size) {
  if (p != nullptr) rom_arena_.release(reinterpret_cast<u64>(p), round_up(size, 16));
}

Result<u8*> WindowHost::ram_alloc(u64 size) {
  return reinterpret_cast<u8*>(TRY(ram_arena_.allocate(round_up(size, PAGE_SIZE), PAGE_SIZE)));
}

void WindowHost::ram_free(u8* p, u64 size) {
  if (p == nullptr) return;
  size = round_up(size, PAGE_SIZE);
  // Back to zero and to the system; whoever still maps these pages sees zeros, as after a kernel map's last page.
  fallocate(ram_fd_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(ram_offset(p)), static_cast<off_t>(size));
  ram_arena_.release(reinterpret_cast<u64>(p), size);
}

Result<ProgStats*> WindowHost::stats_alloc() {
  static_assert(sizeof(ProgStats) <= STATS_CELL && PAGE_SIZE / STATS_CELL == 64);
  if (open_stats_pages_.empty()) {
    const u64 page = reinterpret_cast<u64>(TRY(ram_alloc(PAGE_SIZE)));
    stats_pages_[page] = 0;
    open_stats_pages_.insert(page);
  }
  const u64 page = *open_stats_pages_.begin();
  u64& taken = stats_pages_[page];
  const u32 cell = static_cast<u32>(__builtin_ctzll(~taken));
  taken |= 1ULL << cell;
  if (taken == ~0ULL) open_stats_pages_.erase(page);
  if (page == spare_stats_page_) spare_stats_page_ = 0;
  return new (reinterpret_cast<void*>(page + cell * STATS_CELL)) ProgStats{};
}

void WindowHost::stats_free(ProgStats* stats) {
  if (stats == nullptr) return;
  const u64 page = reinterpret_cast<u64>(stats) & ~(PAGE_SIZE - 1);
  u64& taken = stats_pages_[page];
  if (taken == ~0ULL) open_stats_pages_.insert(page);
  taken &= ~(1ULL << (reinterpret_cast<u64>(stats) - page) / STATS_CELL);
  if (taken != 0) return;
  if (spare_stats_page_ == 0) {
    spare_stats_page_ = page;
    return;
  }
  stats_pages_.erase(page);
  open_stats_pages_.erase(page);
  ram_free(reinterpret_cast<u8*>(page), PAGE_SIZE);
}

Result<RingDesc*> WindowHost::ring_register(RingKind kind) {
  for (u32 i = 0; i < MAX_RINGS; ++i) {
    if (rom()->rings[i] != nullptr) continue;
    RingDesc* ring = TRY(rom_new<RingDesc>());
    ring->kind = kind;
    ring->index = i;
    ring->ctl = &ram()->ring_ctl[i];
    std::memset(static_cast<void*>(ring->ctl), 0, sizeof *ring->ctl);
    fetch_and(&ram()->ring_pending[i / 64], ~(1ULL << (i % 64)));  // a wake-up of the last ring of this number is not its
    store_release(&rom()->rings[i], ring);
    return ring;
  }
  return Errno(ENOSPC);
}

void WindowHost::ring_unregister(RingDesc* ring) {
  if (ring == nullptr) return;
  const u32 i = ring->index;
  const RingMapping m = rom()->ring_maps[i];
  if (m.addr != 0) {
    rom()->ring_maps[i] = RingMapping{};
    const u64 span = 2 * PAGE_SIZE + 2 * m.data_size;
    mmap(reinterpret_cast<void*>(m.addr), span, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
    ring_arena_.release(m.addr, span);
    store_release(&rom()->ring_generation, rom()->ring_generation + 1);
  }
  store_release(&rom()->rings[i], nullptr);
  rom_free(ring, sizeof *ring);
}

Status WindowHost::ring_map_doubled(RingDesc* ring, u8* ram_pages, u64 data_size) {
  const u64 head = 2 * PAGE_SIZE, span = head + 2 * data_size;
  const u64 at = TRY(ring_arena_.allocate(span, PAGE_SIZE));
  const u64 off = ram_offset(ram_pages);
  const auto map = [&](u64 addr, u64 len, u64 offset) {
    return mmap(reinterpret_cast<void*>(addr), len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED | MAP_NORESERVE, ram_fd_.get(),
                static_cast<off_t>(offset)) != MAP_FAILED;
  };
  if (!map(at, head + data_size, off) || !map(at + head + data_size, data_size, off + head)) {
    const int saved = errno;
    ring_arena_.release(at, span);
    return Errno(saved);
  }
  ring->user_page = reinterpret_cast<u8*>(at);
  ring->prod_page = ring->user_page + PAGE_SIZE;
  ring->data = ring->user_page + head;
  ring->data_size = data_size;
  ring->ram_offset = off;
  rom()->ring_maps[ring->index] = RingMapping{at, off, data_size};
  if (rom()->nr_ring_maps <= ring->index) rom()->nr_ring_maps = ring->index + 1;
  store_release(&rom()->ring_generation, rom()->ring_generation + 1);
  return ok_status();
}

void WindowHost::defer(std::function<void()> free_it) {
  Deferred d;
  // Pairs with the compare_exchange in slot_acquire_*: a run that took its slot after this point sees what was published before.
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  for (u32 i = 0; i < MAX_RUN_SLOTS; ++i) {
    const RunSlot& s = ram()->slots[i];
    if (load_seq_cst(&s.owner) != 0) d.waiting.emplace_back(i, load_seq_cst(&s.seq));
  }
  d.run = std::move(free_it);
  deferred_.push_back(std::move(d));
  reclaim();
}

void WindowHost::reclaim() {
  // What runs may free more (a program's maps): the nested call returns at once and the loop starts over.
  if (reclaiming_) return;
  reclaiming_ = true;
  for (auto it = deferred_.begin(); it != deferred_.end();) {
    std::erase_if(it->waiting, [&](const auto& w) {
      const RunSlot& s = ram()->slots[w.first];
      return load_seq_cst(&s.owner) == 0 || load_seq_cst(&s.seq) != w.second;
    });
    if (!it->waiting.empty()) {
      ++it;
      continue;
    }
    const auto run = std::move(it->run);
    deferred_.erase(it);
    run();
    it = deferred_.begin();
  }
  reclaiming_ = false;
}

void WindowHost::note_map(MapDesc* desc) {
  live_maps_.push_back(desc);
  for (u32 i = 0; i < MAX_LISTED_MAPS; ++i) {
    if (rom()->maps[i] != nullptr) continue;
    store_release(&rom()->maps[i], desc);
    if (rom()->nr_maps <= i) store_release(&rom()->nr_maps, i + 1);
    return;
  }
}

void WindowHost::forget_map(MapDesc* desc) {
  std::erase(live_maps_, desc);
  for (u32 i = 0; i < rom()->nr_maps; ++i)
    if (rom()->maps[i] == desc) store_release(&rom()->maps[i], nullptr);
}

bool WindowHost::is_live_map(u64 addr) const {
  return std::any_of(live_maps_.begin(), live_maps_.end(), [&](const MapDesc* m) { return reinterpret_cast<u64>(m) == addr; });
}

}  // namespace skep
