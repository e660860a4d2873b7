#include "helpers/memory.h"

#include "base/atomic.h"
#include "buffers/ringbuf.h"
#include "helpers/packet.h"
#include "maps/map_ops.h"
#include "maps/special_fields.h"
#include "shm/tasks.h"

namespace skep {
namespace {

enum class Access { Read, Write };

bool on_stack(const RunCtx& run, u64 addr, u64 size) noexcept {
  const u64 base = reinterpret_cast<u64>(run.stack);
  if (addr < base || addr - base >= sizeof(run.stack)) return false;
  const u64 frame = (addr - base) / RUN_FRAME_BYTES;
  return frame <= run.frame && size <= (frame + 1) * RUN_FRAME_BYTES - (addr - base);
}

/// The frames so far, and of compiled code all that it has between here and where the run began.
AddrRange stack_range(const RunCtx& run) noexcept {
  if (run.native_sp == 0) return {reinterpret_cast<u64>(run.stack), (run.frame + u64{1}) * RUN_FRAME_BYTES};
  const u64 here = reinterpret_cast<u64>(__builtin_frame_address(0));
  return {here, run.native_sp - here};
}

void mark_written(RunCtx& run, u64 addr, u64 size) noexcept {
  const u64 first = addr - reinterpret_cast<u64>(run.stack);
  u8* bits = &run.written[0][0];
  for (u64 i = first; i < first + size; ++i) bits[i / 8] = static_cast<u8>(bits[i / 8] | 1u << i % 8);
}

bool in_ctx(const RunCtx& run, u64 addr, u64 size) noexcept {
  return AddrRange{reinterpret_cast<u64>(run.ctx), run.ctx_size}.holds(addr, size);
}

/// What the current task leads to: programs load through typed pointers.
bool in_tasks(const RunCtx& run, u64 addr, u64 size) noexcept {
  const TaskTable* tasks = run.op.window.rom->tasks;
  if (tasks != nullptr && AddrRange{reinterpret_cast<u64>(tasks), sizeof *tasks}.holds(addr, size)) return true;
  return run.extra.holds(addr, size);
}

bool in_shown_key(const RunCtx& run, u64 addr, u64 size) noexcept {
  for (const ShownKey* key = run.keys; key != nullptr; key = key->outer)
    if (key->bytes.holds(addr, size)) return true;
  return false;
}

/// Linux: kernel/bpf/verifier.c:check_map_access_type()
bool map_allows(const MapDesc& map, Access access) noexcept {
  return (map.map_flags & (access == Access::Write ? BPF_F_RDONLY_PROG : BPF_F_WRONLY_PROG)) == 0;
}

bool map_holds(const MapDesc* map, u64 addr, u64 size) noexcept {
  const MapOps* ops = map_ops(map->type);
  return ops != nullptr && ops->holds_value != nullptr && ops->holds_value(map, addr, size);
}

bool run_may(RunCtx& run, u64 addr, u64 size, Access access) noexcept {
  if (on_stack(run, addr, size)) {
    if (run.check_uninit && access == Access::Write) mark_written(run, addr, size);
    return true;
  }
  if ((access == Access::Read || run.ctx_writable) && in_ctx(run, addr, size)) return true;
  if (run.kernel.holds(addr, size) || run_packet(run).holds(addr, size)) return true;
  if (const MapDesc* map = run_value_map(run, addr, size)) return map_allows(*map, access);
  if (access == Access::Read && (in_shown_key(run, addr, size) || in_tasks(run, addr, size))) return true;
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

bool run_reads_uninit(const RunCtx& run, u64 addr, u64 size) noexcept {
  if (!run.check_uninit || !on_stack(run, addr, size)) return false;
  const u64 first = addr - reinterpret_cast<u64>(run.stack);
  const u8* bits = &run.written[0][0];
  for (u64 i = first; i < first + size; ++i)
    if ((bits[i / 8] >> i % 8 & 1) == 0) return true;
  return false;
}

bool run_on_stack(const RunCtx& run, u64 addr) noexcept { return stack_range(run).holds(addr, 0); }

AddrRange run_packet(const RunCtx& run) noexcept {
  const auto between = [](const u8* from, const u8* to) {
    return to > from ? AddrRange{reinterpret_cast<u64>(from), static_cast<u64>(to - from)} : AddrRange{0, 0};
  };
  switch (run.packet) {
    case PacketKind::Skb: {
      const PacketSkb& skb = packet_skb(run);
      return between(skb.data - skb_shared_info(skb).meta_len, skb_tail(skb));
    }
    case PacketKind::Xdp: return between(packet_xdp(run).data_meta, packet_xdp(run).data_end);
    case PacketKind::Flow: {
      const auto* flow = reinterpret_cast<const FlowDissectorKern*>(run.ctx);
      return between(flow->data, flow->data_end);
    }
    default: return {0, 0};
  }
}

MapDesc* run_map(const RunCtx& run, u64 addr) noexcept {
  for (u32 i = 0; i < run.prog->n_maps; ++i)
    if (reinterpret_cast<u64>(run.prog->maps[i]) == addr) return run.prog->maps[i];
  for (u32 i = 0; i < run.n_inner_maps && i < RUN_INNER_MAPS; ++i)
    if (reinterpret_cast<u64>(run.inner_maps[i]) == addr) return run.inner_maps[i];
  return nullptr;
}

void run_add_inner_map(RunCtx& run, MapDesc* map) noexcept {
  if (map == nullptr || run_map(run, reinterpret_cast<u64>(map)) != nullptr) return;
  if (run.n_inner_maps == RUN_INNER_MAPS) {
    for (u32 i = 1; i < RUN_INNER_MAPS; ++i) run.inner_maps[i - 1] = run.inner_maps[i];
    --run.n_inner_maps;
  }
  run.inner_maps[run.n_inner_maps++] = map;
}

const MapDesc* run_value_map(RunCtx& run, u64 addr, u64 size) noexcept {
  const ProgImage& prog = *run.prog;
  if (run.last_map < prog.n_maps && map_holds(prog.maps[run.last_map], addr, size)) return prog.maps[run.last_map];
  for (u32 i = 0; i < prog.n_maps; ++i) {
    if (!map_holds(prog.maps[i], addr, size)) continue;
    run.last_map = i;
    return prog.maps[i];
  }
  for (u32 i = run.n_inner_maps; i > 0; --i)
    if (map_holds(run.inner_maps[i - 1], addr, size)) return run.inner_maps[i - 1];
  return nullptr;
}

namespace {

/// In any map of the session. Compiled code has its address from a map that the verifier has seen, and may be back in a program that is
/// not run.prog: a function of it has made a tail call and has returned. It also makes lookups in maps of maps that nobody notes.
const MapDesc* session_value_map(const RunCtx& run, u64 addr, u64 size) noexcept {
  const RomHeader& rom = *run.op.window.rom;
  const u32 n = load_acquire(&rom.nr_maps);
  for (u32 i = 0; i < n && i < MAX_LISTED_MAPS; ++i) {
    // Pairs with the release in WindowHost::note_map(). The run's slot keeps what is found.
    const MapDesc* map = load_acquire(&rom.maps[i]);
    if (map != nullptr && map_holds(map, addr, size)) return map;
  }
  return nullptr;
}

}  // namespace

RobustLock* run_value_lock(RunCtx& run, u64 addr) noexcept {
  const MapDesc* map = run_value_map(run, addr, sizeof(u32));
  if (map == nullptr && run.native_sp != 0) map = session_value_map(run, addr, sizeof(u32));
  if (map == nullptr || !has_spin_lock(*map)) return nullptr;
  const u64 value = addr - static_cast<u32>(map->fields->spin_lock_off);
  // The whole value lies around it only when it begins there.
  return map_holds(map, value, map->value_size) ? value_lock(*map, reinterpret_cast<const void*>(value)) : nullptr;
}

s64 run_const_string(RunCtx& run, u64 addr) noexcept {
  const MapDesc* map = run_value_map(run, addr, 1);
  if (map == nullptr || (map->map_flags & BPF_F_RDONLY_PROG) == 0) return -1;
  for (u64 len = 0; map_holds(map, addr, len + 1); ++len)
    if (reinterpret_cast<const char*>(addr)[len] == 0) return static_cast<s64>(len);
  return -1;
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
      run.kernel,
      {reinterpret_cast<u64>(run.ctx), run.ctx_size},
      run_packet(run),
      {rom.code_base, rom.code_size},
      stack_range(run),
  };
  for (const AddrRange& range : ranges)
    if (addr - range.addr < range.len) return range;
  return {0, 0};
}

}  // namespace skep
