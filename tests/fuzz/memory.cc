#include "function_writer.h"
#include "uapi/contexts.h"

namespace skep::fuzz {
namespace {

constexpr u8 SIZES[] = {BPF_B, BPF_H, BPF_W, BPF_DW};
constexpr s32 BYTES[] = {1, 2, 4, 8};

}  // namespace

s32 FunctionWriter::object_size(const Reg& r) const {
  if (r.kind == Kind::Value) return static_cast<s32>(MAP_SHAPES[r.map].value_size);
  return static_cast<s32>(r.size);
}

u32 FunctionWriter::pointer(Kind kind) {
  u32 found = NO_REG, count = 0;
  for (u32 r = 0; r < 10; ++r)
    if (now_.regs[r].kind == kind && rng_.below(++count) == 0) found = r;
  return found;
}

void FunctionWriter::note_store(s32 off, u32 size, const Reg& what) {
  const s32 first = 512 + off;
  if (first < 0 || first + static_cast<s32>(size) > 512) return;
  for (u32 i = 0; i < size; ++i) {
    now_.written[static_cast<u32>(first) + i] = true;
    now_.spilled[(static_cast<u32>(first) + i) / 8] = {};
  }
  if (size == 8 && first % 8 == 0) now_.spilled[static_cast<u32>(first) / 8] = what;
}

/// A load, or a store where the memory is for that.
void FunctionWriter::access(u32 ptr, s32 off, u32 size_index, bool may_write) {
  const u8 size = SIZES[size_index];
  if (may_write && rng_.coin()) {
    if (rng_.coin()) return emit(st(size, ptr, off, static_cast<s32>(rng_.edge())));
    const u32 value = scalar();
    return emit(stx(size, ptr, off, value));
  }
  const u32 dst = fresh(rng_.coin() ? ptr : NO_REG);
  if (may_write && dst != ptr && rng_.chance(25)) return change(ptr, off, size, dst);
  const bool extend = size_index < 3 && rng_.chance(25);
  emit(extend ? ldsx(size, dst, ptr, off) : ldx(size, dst, ptr, off));
  set_scalar(dst, extend ? ~0ULL : ~0ULL >> (64 - 8 * BYTES[size_index]));
}

/// Memory changed where it is. The operation's width is any.
void FunctionWriter::change(u32 ptr, s32 off, u8 size, u32 dst) {
  static constexpr u8 OPS[] = {BPF_ADD, BPF_SUB, BPF_AND, BPF_OR, BPF_XOR};
  const u8 op = rng_.of(OPS), cls = rng_.coin() ? BPF_ALU64 : BPF_ALU;
  u32 other = NO_REG;
  for (u32 r = 0, count = 0; r < 10; ++r)
    if (r != dst && now_.regs[r].kind == Kind::Scalar && rng_.below(++count) == 0) other = r;
  emit(ldx(size, dst, ptr, off));
  if (other != NO_REG && rng_.coin())
    emit(raw(static_cast<u8>(cls | op | BPF_X), dst, other));
  else
    emit(raw(static_cast<u8>(cls | op | BPF_K), dst, 0, 0, static_cast<s32>(rng_.edge())));
  emit(stx(size, ptr, off, dst));
  if (rng_.chance(60)) emit(mov(dst, static_cast<s32>(rng_.edge())));
  set_scalar(dst);
}

void FunctionWriter::stack_store() {
  const u32 s = rng_.below(4);
  const s32 slot = -8 * static_cast<s32>(1 + rng_.below(rng_.chance(5) ? 65 : 8));
  s32 off = slot + static_cast<s32>(rng_.below(static_cast<u32>(8 / BYTES[s]))) * BYTES[s];
  if (rng_.chance(2)) off += static_cast<s32>(rng_.below(3)) - 1;
  Reg what{.kind = Kind::Scalar};
  if (rng_.coin()) {
    const u32 src = scalar();
    what.max = now_.regs[src].max;
    emit(stx(SIZES[s], 10, off, src));
  } else {
    emit(st(SIZES[s], 10, off, rng_.coin() ? 0 : static_cast<s32>(rng_.edge())));
  }
  note_store(off, static_cast<u32>(BYTES[s]), what);
}

void FunctionWriter::stack_load() {
  for (u32 tries = 0; tries < 6; ++tries) {
    const u32 s = rng_.below(4);
    const s32 off = -static_cast<s32>((1 + rng_.below(static_cast<u32>(72 / BYTES[s]))) * static_cast<u32>(BYTES[s]));
    const u32 at = static_cast<u32>(512 + off);
    bool good = true;
    for (u32 i = 0; i < static_cast<u32>(BYTES[s]); ++i) good &= now_.written[at + i];
    const Kind kind = now_.spilled[at / 8].kind;
    if (kind != Kind::None && kind != Kind::Scalar) good = false;
    if (!good && !rng_.chance(4)) continue;
    const u32 dst = fresh();
    const bool extend = s < 3 && rng_.chance(25);
    emit(extend ? ldsx(SIZES[s], dst, 10, off) : ldx(SIZES[s], dst, 10, off));
    return set_scalar(dst, s == 3 ? now_.spilled[at / 8].max : ~0ULL >> (64 - 8 * BYTES[s]));
  }
  stack_store();
}

/// Any register to a slot and back, perhaps with a piece overwritten in between.
void FunctionWriter::spill_fill() {
  const u32 slot = 56 + rng_.below(8);
  const s32 off = static_cast<s32>(8 * slot) - 512;
  if (now_.spilled[slot].kind != Kind::None && rng_.coin()) {
    const u32 dst = rng_.coin() ? kept() : fresh();
    emit(ldx(BPF_DW, dst, 10, off));
    now_.regs[dst] = now_.spilled[slot];
    return;
  }
  const u32 src = rng_.below(11);
  if (now_.regs[src].kind == Kind::None) return stack_store();
  const bool whole = now_.regs[src].kind != Kind::Scalar || rng_.chance(70);
  emit(stx(whole ? BPF_DW : BPF_W, 10, whole ? off : off + 4 * static_cast<s32>(rng_.below(2)), src));
  note_store(off, whole ? 8 : 4, now_.regs[src]);
  if (rng_.chance(15)) {
    const s32 piece = off + static_cast<s32>(rng_.below(8));
    emit(st(BPF_B, 10, piece, static_cast<s32>(rng_.below(3))));
    note_store(piece, 1, {.kind = Kind::Scalar});
  }
}

void FunctionWriter::stack_variable() {
  const u32 s = rng_.below(4);
  const s32 room = 8 * static_cast<s32>(1 + rng_.below(6));
  // The bytes may be anywhere in there, so all of them are written first, mostly.
  if (rng_.chance(70))
    for (s32 off = -room; off < 0; off += 8) {
      emit(st(BPF_DW, 10, off, static_cast<s32>(rng_.below(2))));
      note_store(off, 8, {.kind = Kind::Scalar});
    }
  const u32 index = bounded(static_cast<u64>(room - BYTES[s]));
  const u32 ptr = fresh(index);
  if (ptr == index) return;
  if (rng_.coin())
    emit(Prog{movr(ptr, 10), alu64k(BPF_ADD, ptr, -room), alu64x(BPF_ADD, ptr, index)});
  else
    emit(Prog{movr(ptr, 10), alu64x(BPF_ADD, ptr, index), alu64k(BPF_ADD, ptr, -room)});
  now_.regs[ptr] = {};
  for (s32 off = -room; off < 0; off += 8) now_.spilled[static_cast<u32>(512 + off) / 8] = {};
  access(ptr, 0, s, true);
}

void FunctionWriter::ctx_access() {
  if (!has_ctx()) return alu();
  const u32 dst = fresh();
  const auto field32 = [&](std::size_t off) { emit(ldx(BPF_W, dst, 6, static_cast<s32>(off))); };
  set_scalar(dst, 0xffffffff);
  if (xdp()) return field32(rng_.coin() ? offsetof(xdp_md, rx_queue_index) : offsetof(xdp_md, ingress_ifindex));
  if (w_.type == BPF_PROG_TYPE_KPROBE) {
    emit(ldx(BPF_DW, dst, 6, static_cast<s32>(8 * rng_.below(rng_.chance(4) ? 22 : 21))));
    return set_scalar(dst);
  }
  const s32 cb = static_cast<s32>(offsetof(__sk_buff, cb) + 4 * rng_.below(5));
  switch (rng_.below(7)) {
    case 0:
      return field32(offsetof(__sk_buff, len));
    case 1:
      return field32(offsetof(__sk_buff, mark));
    case 2:
      return field32(offsetof(__sk_buff, protocol));
    case 3:
      return emit(ldx(BPF_B, dst, 6, static_cast<s32>(offsetof(__sk_buff, len) + rng_.below(5))));
    case 4:
      return emit(ldx(BPF_H, dst, 6, cb + 2 * static_cast<s32>(rng_.below(2))));
    case 5:
      return emit(ldx(BPF_W, dst, 6, cb));
    default:
      set_scalar(dst);
      emit(mov(dst, static_cast<s32>(rng_.edge())));
      return emit(stx(BPF_W, 6, rng_.chance(20) ? static_cast<s32>(offsetof(__sk_buff, mark)) : cb, dst));
  }
}

/// At or near the edges of a map value.
void FunctionWriter::value_access() {
  const u32 ptr = pointer(Kind::Value);
  if (ptr == NO_REG) return lookup();
  object_access();
}

void FunctionWriter::object_access() {
  u32 ptr = pointer(Kind::Value);
  if (ptr == NO_REG || rng_.chance(30)) {
    const u32 mem = pointer(Kind::Mem);
    if (mem != NO_REG) ptr = mem;
  }
  if (ptr == NO_REG) return stack_load();
  const Reg object = now_.regs[ptr];
  const u32 s = rng_.below(4);
  const s32 last = object_size(object) - BYTES[s];
  if (last < 0) return;
  if (rng_.coin()) {
    const s32 places[] = {0, last, last, static_cast<s32>(rng_.below(static_cast<u32>(last + 1)))};
    s32 off = rng_.of(places);
    if (rng_.chance(3)) off += rng_.coin() ? 1 : -1 - last;
    return access(ptr, off - object.off, s, !object.read_only);
  }
  const s32 fixed = static_cast<s32>(rng_.below(static_cast<u32>(last + 1)));
  const u32 index = bounded(static_cast<u64>(last - fixed));
  const u32 moved = fresh(index);
  if (moved == index || moved == ptr || now_.regs[ptr].kind != object.kind) return;
  emit(movr(moved, ptr));
  const u32 order = rng_.below(3);
  if (order == 0) emit(alu64k(BPF_ADD, moved, fixed - object.off));
  if (order == 2 && rng_.chance(30)) {
    // From the end backwards.
    emit(Prog{alu64k(BPF_ADD, moved, last - object.off), alu64x(BPF_SUB, moved, index)});
    now_.regs[moved] = {};
    return access(moved, 0, s, !object.read_only);
  }
  emit(alu64x(BPF_ADD, moved, index));
  now_.regs[moved] = {};
  access(moved, order == 0 ? 0 : fixed - object.off, s, !object.read_only);
}

/// data and data_end, and a look at how much there is.
void FunctionWriter::packet_begin() {
  if (!has_packet()) return ctx_access();
  const u32 end = fresh(), data = kept();
  if (data == end) return;
  const s32 data_off = xdp() ? 0 : static_cast<s32>(offsetof(__sk_buff, data));
  const s32 end_off = xdp() ? 4 : static_cast<s32>(offsetof(__sk_buff, data_end));
  emit(Prog{ldx(BPF_W, data, 6, data_off), ldx(BPF_W, end, 6, end_off)});
  u32 at = fresh(end);
  for (u32 tries = 0; at == data && tries < 20; ++tries) at = fresh(end);
  if (at == data || at == end) return;
  const s32 size = 1 + static_cast<s32>(rng_.below(24));
  emit(Prog{movr(at, data), alu64k(BPF_ADD, at, size)});
  u32 known = static_cast<u32>(size);
  const u32 way = holding_ ? 9 : rng_.below(6);
  switch (way) {
    case 0:
      jump_out(jx(BPF_JGT, at, end, 0));
      break;
    case 1:
      jump_out(jx(BPF_JLT, end, at, 0));
      break;
    case 2:
      jump_out(jx(BPF_JGE, at, end, 0));
      known += rng_.chance(80) ? 1 : 0;
      break;
    case 3:
      emit(jx(BPF_JGE, end, at, 1));
      jump_out(ja(0));
      break;
    case 4:
      emit(jx(BPF_JLE, at, end, 1));
      jump_out(ja(0));
      break;
    case 5:
      jump_out(jx(BPF_JLE, end, at, 0)), known += rng_.coin() ? 1 : 0;
      break;
    default:
      known = 0;
      break;
  }
  now_.regs[data] = {.kind = Kind::Packet, .size = known};
  now_.regs[end] = {.kind = Kind::PacketEnd};
  now_.regs[at] = {};
}

/// LD_ABS, LD_IND: beyond the packet's end they end the program.
void FunctionWriter::packet_load() {
  if (!has_ctx() || xdp() || w_.type == BPF_PROG_TYPE_KPROBE || depth_ != 0 || holding_) return unary();
  const u8 size = SIZES[rng_.below(3)];
  if (rng_.coin())
    emit(raw(BPF_LD | BPF_ABS | size, 0, 0, 0, static_cast<s32>(rng_.below(70))));
  else
    emit(raw(BPF_LD | BPF_IND | size, 0, bounded(40), 0, static_cast<s32>(rng_.below(30))));
  clobber();
  set_scalar(0, 0xffffffff);
}

void FunctionWriter::packet_access() {
  const u32 ptr = pointer(Kind::Packet);
  if (ptr == NO_REG) return packet_begin();
  const Reg packet = now_.regs[ptr];
  const u32 s = rng_.below(4);
  const s32 last = static_cast<s32>(packet.size) - BYTES[s];
  const u32 end = pointer(Kind::PacketEnd);
  if (end != NO_REG && !holding_ && rng_.coin()) {
    // A variable distance first, then a look at the end.
    const u32 index = bounded(rng_.coin() ? 40 : 0xfff0);
    const u32 moved = fresh(index);
    u32 probe = fresh(moved);
    for (u32 tries = 0; probe == index && tries < 20; ++tries) probe = fresh(moved);
    const bool clash =
        moved == index || probe == index || probe == moved || moved == ptr || probe == ptr || probe == end || moved == end;
    if (clash || now_.regs[ptr].kind != Kind::Packet || now_.regs[end].kind != Kind::PacketEnd) return;
    emit(Prog{movr(moved, ptr), alu64x(BPF_ADD, moved, index), movr(probe, moved), alu64k(BPF_ADD, probe, BYTES[s] + 2)});
    jump_out(jx(BPF_JGT, probe, end, 0));
    now_.regs[moved] = now_.regs[probe] = {};
    return access(moved, static_cast<s32>(rng_.below(rng_.chance(5) ? 5 : 3)), s, true);
  }
  if (last < 0 && !rng_.chance(10)) return packet_begin();
  s32 off = last < 0 || rng_.coin() ? last : static_cast<s32>(rng_.below(static_cast<u32>(last + 1)));
  if (rng_.chance(3)) ++off;
  access(ptr, off - packet.off, s, true);
}

void FunctionWriter::atomic_op() {
  static constexpr s32 OPS[] = {
      BPF_ADD,  BPF_AND,    BPF_OR, BPF_XOR, BPF_ADD | BPF_FETCH, BPF_AND | BPF_FETCH, BPF_OR | BPF_FETCH, BPF_XOR | BPF_FETCH,
      BPF_XCHG, BPF_CMPXCHG};
  const s32 op = rng_.of(OPS);
  const bool wide = rng_.coin();
  const u32 value = pointer(Kind::Value);
  const u32 src = scalar();
  if (op == BPF_CMPXCHG && now_.regs[0].kind != Kind::Scalar) {
    if (value == 0) return;
    emit(mov(0, static_cast<s32>(rng_.below(3))));
    set_scalar(0);
  }
  if (value != NO_REG && rng_.coin() && !now_.regs[value].read_only && now_.regs[value].kind == Kind::Value) {
    emit(atomic(wide ? BPF_DW : BPF_W, op, value, -now_.regs[value].off, src));
  } else {
    const s32 off = -8 * static_cast<s32>(1 + rng_.below(8));
    if (!now_.written[static_cast<u32>(512 + off)]) {
      emit(st(BPF_DW, 10, off, static_cast<s32>(rng_.below(100))));
    }
    note_store(off, 8, {.kind = Kind::Scalar});
    emit(atomic(wide ? BPF_DW : BPF_W, op, 10, off, src));
  }
  if (op == BPF_CMPXCHG)
    set_scalar(0);
  else if ((op & BPF_FETCH) != 0)
    set_scalar(src);
}

}  // namespace skep::fuzz
