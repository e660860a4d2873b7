#include "claims.h"

#include <fmt/format.h>

#include <cstring>
#include <map>

#include "buffers/ringbuf.h"
#include "maps/map_ops.h"

namespace skep::fuzz {
namespace {

bool within64(const ScalarBounds& b, u64 v) {
  const s64 s = static_cast<s64>(v);
  return (v & ~b.var_off.mask) == b.var_off.value && v >= b.umin_value && v <= b.umax_value && s >= b.smin_value &&
         s <= b.smax_value;
}

bool within32(const ScalarBounds& b, u32 v) {
  const s32 s = static_cast<s32>(v);
  return v >= b.u32_min_value && v <= b.u32_max_value && s >= b.s32_min_value && s <= b.s32_max_value;
}

/// The registers of one moment, held against one state.
class Look {
 public:
  Look(RunCtx& run, const World& world) : run_(run), world_(world) {}

  bool fits(const RegState& reg, u64 value) {
    if (reg.type == NOT_INIT) return true;
    if (reg.type == SCALAR_VALUE) return scalar_fits(reg, value);
    if (type_may_be_null(reg.type)) {
      if (!same_for_id(null_of_id_, reg.id, value == 0)) return false;
      if (value == 0) return true;
    }
    return pointer_fits(reg, value);
  }

 private:
  template <typename T>
  static bool same_for_id(std::map<u32, T>& seen, u32 id, T what) {
    return id == 0 || seen.emplace(id, what).first->second == what;
  }

  bool scalar_fits(const RegState& reg, u64 value) {
    if (!within64(reg, value) || !within32(reg, static_cast<u32>(value))) return false;
    const bool added = (reg.id & BPF_ADD_CONST) != 0;
    const u64 origin = value - (added ? static_cast<u64>(s64{reg.off}) : 0);
    return same_for_id(value_of_id_, reg.id & ~BPF_ADD_CONST, origin);
  }

  bool pointer_fits(const RegState& reg, u64 value) {
    const u64 fixed = static_cast<u64>(s64{reg.off});
    const auto from = [&](u64 base) { return within64(reg, value - base - fixed); };
    switch (base_type(reg.type)) {
      case PTR_TO_CTX:
        return from(reinterpret_cast<u64>(run_.ctx));
      case PTR_TO_STACK:
        return from(frame_pointer(reg.frameno));
      case CONST_PTR_TO_MAP:
        return value == reinterpret_cast<u64>(world_.desc_of(reg.map_ptr));
      case PTR_TO_MAP_VALUE:
        return value_fits(reg, value);
      case PTR_TO_PACKET:
        return from(packet_data()) && packet_reaches(reg, value);
      case PTR_TO_PACKET_META:
        return from(packet_meta());
      case PTR_TO_PACKET_END:
        return value == packet_end();
      case PTR_TO_MEM:
        return memory_fits(reg, value);
      default:
        return true;
    }
  }

  bool value_fits(const RegState& reg, u64 value) {
    const MapDesc* map = world_.desc_of(reg.map_ptr);
    if (map == nullptr) return false;
    if (map->type == BPF_MAP_TYPE_ARRAY_OF_MAPS) return value == reinterpret_cast<u64>(world_.inner_map());
    // A value of that size fits at its own beginning alone.
    const u64 most = reg.umax_value < map->value_size ? reg.umax_value : map->value_size;
    for (u64 at = 0; at <= most; ++at)
      if (within64(reg, at) && map_ops(map->type)->holds_value(map, value - static_cast<u64>(s64{reg.off}) - at, map->value_size)) return true;
    return false;
  }

  bool memory_fits(const RegState& reg, u64 value) {
    if ((reg.type & MEM_RINGBUF) == 0 || !tnum_is_const(reg.var_off)) return true;
    const u64 start = value - static_cast<u64>(s64{reg.off}) - reg.var_off.value;
    return ringbuf_owns(run_.op, start, reg.mem_size);
  }

  /// `range` bytes are there behind the pointer without its fixed part.
  bool packet_reaches(const RegState& reg, u64 value) {
    if (reg.range <= 0) return true;
    return value - static_cast<u64>(s64{reg.off}) + static_cast<u64>(reg.range) <= packet_end();
  }

  u64 frame_pointer(u32 frame) const { return reinterpret_cast<u64>(run_.stack[frame]) + RUN_FRAME_BYTES; }
  bool xdp() const { return run_.packet == PacketKind::Xdp; }
  u64 packet_data() const { return reinterpret_cast<u64>(xdp() ? packet_xdp(run_).data : packet_skb(run_).data); }
  u64 packet_meta() const {
    return xdp() ? reinterpret_cast<u64>(packet_xdp(run_).data_meta) : packet_data() - skb_shared_info(packet_skb(run_)).meta_len;
  }
  u64 packet_end() const {
    return xdp() ? reinterpret_cast<u64>(packet_xdp(run_).data_end) : packet_data() + skb_headlen(packet_skb(run_));
  }

  RunCtx& run_;
  const World& world_;
  std::map<u32, u64> value_of_id_;
  std::map<u32, bool> null_of_id_;
};

std::string bounds_text(const RegState& r) {
  return fmt::format("type {:#x} off {} id {} var_off ({:#x};{:#x}) u64 [{:#x},{:#x}] s64 [{},{}] u32 [{:#x},{:#x}] s32 [{},{}]",
                     r.type, r.off, r.id, r.var_off.value, r.var_off.mask, r.umin_value, r.umax_value, r.smin_value, r.smax_value,
                     r.u32_min_value, r.u32_max_value, r.s32_min_value, r.s32_max_value);
}

/// Bytes of a slot that hold the low end of what was spilled.
u32 spilled_bytes(const StackSlot& slot) {
  u32 n = 0;
  while (n < BPF_REG_SIZE && slot.slot_type[BPF_REG_SIZE - 1 - n] == STACK_SPILL) ++n;
  return n;
}

bool slot_fits(Look& look, const StackSlot& slot, const u8* bytes) {
  for (u32 i = 0; i < BPF_REG_SIZE; ++i)
    if (slot.slot_type[BPF_REG_SIZE - 1 - i] == STACK_ZERO && bytes[i] != 0) return false;
  const u32 n = spilled_bytes(slot);
  if (n != 1 && n != 2 && n != 4 && n != 8) return true;
  u64 value = 0;
  std::memcpy(&value, bytes, n);
  if (n == 8) return look.fits(slot.spilled_ptr, value);
  // What was spilled may have been wider than its place: only a fill says what is left of it.
  RegState filled = slot.spilled_ptr;
  coerce_reg_to_size(&filled, n);
  filled.id = 0;
  return look.fits(filled, value);
}

}  // namespace

bool Claims::observe(u32 insn, const VerifierState& state) {
  if (++count_ > LIMIT) return false;
  Snapshot s;
  s.curframe = state.curframe;
  s.regs = state.cur_func().regs;
  for (u32 i = 0; i <= state.curframe; ++i)
    s.stack[i].assign(state.frame[i]->stack, state.frame[i]->stack + state.frame[i]->stack_slots());
  at_[insn].push_back(std::move(s));
  return true;
}

std::string Claims::miss(u32 insn, RunCtx& run, const u64* regs, const World& world, bool with_stack) const {
  std::string nearest = "no path of the verifier's comes here";
  u32 most = 0;
  for (const Snapshot& s : at_[insn]) {
    if (s.curframe != run.frame) continue;
    Look look(run, world);
    u32 fitting = 0;
    std::string wrong;
    for (u32 r = 0; r < MAX_BPF_REG; ++r, ++fitting)
      if (!look.fits(s.regs[r], regs[r])) {
        wrong = fmt::format("r{} = {:#x} is not {}", r, regs[r], bounds_text(s.regs[r]));
        break;
      }
    for (u32 f = 0; wrong.empty() && with_stack && f <= s.curframe; ++f)
      for (u32 i = 0; wrong.empty() && i < s.stack[f].size(); ++i, ++fitting) {
        const u8* bytes = run.stack[f] + RUN_FRAME_BYTES - BPF_REG_SIZE * (i + 1);
        u64 value;
        std::memcpy(&value, bytes, sizeof value);
        if (!slot_fits(look, s.stack[f][i], bytes))
          wrong = fmt::format("frame {} fp-{} = {:#x} is not {}", f, 8 * (i + 1), value, bounds_text(s.stack[f][i].spilled_ptr));
      }
    if (wrong.empty()) return "";
    if (fitting >= most) nearest = wrong, most = fitting;
  }
  return nearest;
}

}  // namespace skep::fuzz
