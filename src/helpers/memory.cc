#include "helpers/memory.h"

#include "base/atomic.h"
#include "buffers/ringbuf.h"
#include "maps/map_ops.h"

namespace skep {
namespace {

enum class Access { Read, Write };

bool on_stack(const RunCtx& run, u64 addr, u64 size) noexcept {
  const u64 base = reinterpret_cast<u64>(run.stack);
  if (addr < base || addr - base >= sizeof(run.stack)) return false;
  const u64 frame = (addr - base) / MAX_BPF_STACK;
  return frame <= run.frame && size <= (frame + 1) * MAX_BPF_STACK - (addr - base);
}

bool in_ctx(const RunCtx& run, u64 addr, u64 size) noexcept {
  return AddrRange{reinterpret_cast<u64>(run.ctx), run.ctx_size}.holds(addr, size);
}

/// Linux: kernel/bpf/verifier.c:check_map_access_type()
bool map_allows(const MapDesc& map, Access access) noexcept {
  return (map.map_flags & (access == Access::Write ? BPF_F_RDONLY_PROG : BPF_F_WRONLY_PROG)) == 0;
}

bool map_holds(const MapDesc* map, u64 addr, u64 size) noexcept {
  const MapOps* ops = map_ops(map->type);
  return ops != nullptr && ops->holds_value != nullptr && ops->holds_value(map, addr, size);
}

const MapDesc* value_map(RunCtx& run, u64 addr, u64 size) noexcept {
  const ProgImage& prog = *run.prog;
  if (run.last_map < prog.n_maps && map_holds(prog.maps[run.last_map], addr, size)) return prog.maps[run.last_map];
  for (u32 i = 0; i < prog.n_maps; ++i) {
    if (!map_holds(prog.maps[i], addr, size)) continue;
    run.last_map = i;
    return prog.maps[i];
  }
  return nullptr;
}

bool run_may(RunCtx& run, u64 addr, u64 size, Access access) noexcept {
  if (on_stack(run, addr, size)) return true;
  if (access == Access::Read && in_ctx(run, addr, size)) return true;
  if (const MapDesc* map = value_map(run, addr, size)) return map_allows(*map, access);
  return ringbuf_owns(run.op, addr, size);
}

/// The sample of the reservation that `open` names, or null. Entries stand in shared memory: ring and position are anything.
void* reserved_sample(const RunCtx& run, u32 ring, u64 pos) noexcept {
  if (ring == 0 || ring > MAX_RINGS) return nullptr;
  const RingDesc* desc =
      load_acquire(&run.op.window.rom->rings[ring - 1]);  // pairs with the host's release when it registers a ring
  if (desc == nullptr || desc->kind != RingKind::Bpf) return nullptr;
  return desc->data + (pos & (desc->data_size - 1)) + BPF_RINGBUF_HDR_SZ;
}

}  // namespace

bool run_may_read(RunCtx& run, u64 addr, u64 size) noexcept { return run_may(run, addr, size, Access::Read); }
bool run_may_write(RunCtx& run, u64 addr, u64 size) noexcept { return run_may(run, addr, size, Access::Write); }

MapDesc* run_map(const RunCtx& run, u64 addr) noexcept {
  for (u32 i = 0; i < run.prog->n_maps; ++i)
    if (reinterpret_cast<u64>(run.prog->maps[i]) == addr) return run.prog->maps[i];
  return nullptr;
}

void run_discard_reservations(RunCtx& run) noexcept {
  bool futex_wake = false;
  for (auto& open : run.op.slot->reserved) {
    if (load_relaxed(&open.ring) == 0) continue;
    void* sample = reserved_sample(run, load_relaxed(&open.ring), load_relaxed(&open.pos));
    const RingDesc* ring = sample != nullptr ? ringbuf_of(run.op, sample) : nullptr;
    if (ring != nullptr) ringbuf_commit(run.op, ring, sample, 0, true, &futex_wake);
    store_release(&open.ring, 0);  // what was no reservation was scribbled
  }
  if (futex_wake) run.env->futex_wake_host(run.env);
}

AddrRange kernel_range(const RunCtx& run, u64 addr) noexcept {
  const RomHeader& rom = *run.op.window.rom;
  const AddrRange ranges[] = {
      {rom.rom_base, rom.rom_size},
      {rom.ram_base, rom.ram_size},
      {rom.ring_base, rom.ring_size},
      run.extra,
      {reinterpret_cast<u64>(run.ctx), run.ctx_size},
      {reinterpret_cast<u64>(run.stack), (run.frame + 1) * u64{MAX_BPF_STACK}},
  };
  for (const AddrRange& range : ranges)
    if (addr - range.addr < range.len) return range;
  return {0, 0};
}

}  // namespace skep
