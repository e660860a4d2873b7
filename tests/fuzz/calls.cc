#include "function_writer.h"
#include "progtypes/func_ids.h"

namespace skep::fuzz {

void FunctionWriter::call_helper(s32 id) {
  emit(call(id));
  clobber();
}

void FunctionWriter::clobber() {
  for (u32 r = 0; r <= 5; ++r) now_.regs[r] = {};
  set_scalar(0);
}

void FunctionWriter::map_pointer(u32 reg, u32 map) {
  emit(ldimm64(reg, static_cast<u32>(MAP_FD_BASE + static_cast<s32>(map)), BPF_PSEUDO_MAP_FD));
  now_.regs[reg] = {.kind = Kind::MapPtr, .map = map};
}

/// Writes a small key and says where.
s32 FunctionWriter::key_on_stack(u32 bytes) {
  const s32 off = -8 * static_cast<s32>(1 + rng_.below(6));
  if (rng_.chance(30)) {
    const u32 key = bounded(5);
    emit(stx(bytes == 8 ? BPF_DW : BPF_W, 10, off, key));
  } else if (!rng_.chance(2)) {
    emit(st(bytes == 8 ? BPF_DW : BPF_W, 10, off, static_cast<s32>(rng_.below(5))));
  }
  note_store(off, bytes, {.kind = Kind::Scalar});
  return off;
}

void FunctionWriter::scalar_argument(u32 reg) {
  const u32 from = scalar();
  if (from != reg) emit(movr(reg, from));
  set_scalar(reg, now_.regs[from].max);
}

void FunctionWriter::stack_argument(u32 reg, u32 bytes) {
  for (u32 i = 0; i < bytes; i += 8) {
    const s32 off = -static_cast<s32>(bytes) + static_cast<s32>(i);
    if (!now_.written[static_cast<u32>(512 + off)] && !rng_.chance(1)) emit(st(BPF_DW, 10, off, static_cast<s32>(rng_.below(2))));
    note_store(off, 8, {.kind = Kind::Scalar});
  }
  emit(Prog{movr(reg, 10), alu64k(BPF_ADD, reg, -static_cast<s32>(bytes))});
  now_.regs[reg] = {.kind = Kind::Mem, .size = bytes};
}

void FunctionWriter::lookup() {
  static constexpr u32 MAPS[] = {MAP_ARRAY16, MAP_ARRAY1, MAP_HASH8, MAP_HASH24, MAP_CONSTANT};
  const u32 map = rng_.of(MAPS);
  const s32 key = key_on_stack(MAP_SHAPES[map].key_size);
  map_pointer(1, map);
  emit(Prog{movr(2, 10), alu64k(BPF_ADD, 2, key)});
  call_helper(func::map_lookup_elem);
  now_.regs[0] = {.kind = Kind::ValueOrNull, .map = map, .read_only = map == MAP_CONSTANT};
  if (rng_.chance(20)) return;
  check_null();
}

void FunctionWriter::check_null() {
  u32 ptr = pointer(Kind::ValueOrNull);
  if (ptr == NO_REG) return lookup();
  Reg found = now_.regs[ptr];
  found.kind = Kind::Value;
  if (rng_.coin() && ptr < 6) {
    const u32 to = kept();
    emit(movr(to, ptr));
    now_.regs[to] = now_.regs[ptr];
    if (rng_.coin()) ptr = to;
  }
  if (!holding_ && rng_.chance(70)) {
    jump_out(jk(rng_.chance(97) ? BPF_JEQ : BPF_JNE, ptr, 0, 0));
  } else {
    const Beliefs before = now_;
    const u32 jump = at();
    emit(jk(BPF_JEQ, ptr, 0, 0));
    now_.regs[ptr] = found;
    object_access();
    land(jump);
    now_.meet(before);
    return;
  }
  for (Reg& r : now_.regs)
    if (r.kind == Kind::ValueOrNull && r.map == found.map) r.kind = Kind::Value;
}

void FunctionWriter::update_or_delete() {
  static constexpr u32 MAPS[] = {MAP_ARRAY16, MAP_HASH8, MAP_HASH24};
  const u32 map = rng_.of(MAPS);
  const MapShape& shape = MAP_SHAPES[map];
  const bool update = rng_.chance(60);
  const u32 value = pointer(Kind::Value);
  if (update && value != NO_REG && now_.regs[value].map == map && now_.regs[value].off == 0 && value > 5) {
    emit(movr(3, value));
  } else if (update) {
    stack_argument(3, (shape.value_size + 7) / 8 * 8);
  }
  emit(Prog{st(shape.key_size == 8 ? BPF_DW : BPF_W, 10, -32, static_cast<s32>(rng_.below(5))), movr(2, 10),
            alu64k(BPF_ADD, 2, -32)});
  note_store(-32, shape.key_size, {.kind = Kind::Scalar});
  map_pointer(1, map);
  if (update) emit(mov(4, static_cast<s32>(rng_.below(3))));
  call_helper(update ? func::map_update_elem : func::map_delete_elem);
}

void FunctionWriter::plain_helper() {
  static constexpr s32 IDS[] = {func::get_prandom_u32, func::get_prandom_u32, func::ktime_get_ns, func::get_smp_processor_id};
  const s32 id = rng_.of(IDS);
  call_helper(id);
  if (id == func::get_prandom_u32) set_scalar(0);
  if (rng_.coin()) {
    const u32 to = kept();
    emit(movr(to, 0));
    set_scalar(to);
  }
}

/// A record reserved, written, and given back on every way.
void FunctionWriter::ringbuf() {
  if (holding_) return;
  const u32 size = 8 * (1 + rng_.below(4)), to = kept();
  map_pointer(1, MAP_RINGBUF);
  emit(Prog{mov(2, static_cast<s32>(size)), mov(3, 0)});
  call_helper(func::ringbuf_reserve);
  emit(movr(to, 0));
  now_.regs[to] = {};
  const Beliefs before = now_;
  const u32 jump = at();
  emit(jk(BPF_JEQ, to, 0, 0));
  now_.regs[to] = {.kind = Kind::Mem, .size = size};
  const u32 pinned = pinned_;
  pinned_ |= 1u << to;
  holding_ = true;
  for (u32 n = rng_.below(3); n-- > 0;) object_access();
  if (rng_.chance(30)) block(1);
  holding_ = rng_.chance(2);  // now and then a way out in between, which leaks
  if (holding_) holding_ = false, jump_out(jk(BPF_JEQ, scalar(), 0, 0));
  pinned_ = pinned;
  emit(Prog{movr(1, to), mov(2, 0)});
  call_helper(rng_.chance(60) ? func::ringbuf_submit : func::ringbuf_discard);
  now_.regs[0] = {};
  now_.regs[to] = {};
  if (rng_.chance(2)) emit(ldx(BPF_B, 0, to, 0));
  land(jump);
  now_.meet(before);
}

void FunctionWriter::ringbuf_output() {
  const u32 room = 8 * (1 + rng_.below(5));
  stack_argument(2, room);
  emit(mov(3, static_cast<s32>(off_by(rng_.coin() ? room : 1 + rng_.below(room)))));
  map_pointer(1, MAP_RINGBUF);
  emit(mov(4, 0));
  call_helper(func::ringbuf_output);
}

/// Memory and its size, which only ranges tell.
void FunctionWriter::memory_helper() {
  const u32 room = 8 * (1 + rng_.below(5));
  u32 size = kept();
  if (now_.regs[size].kind != Kind::Scalar) {
    const u32 from = scalar();
    emit(movr(size, from));
    set_scalar(size);
  }
  bound(size, room);
  if (!holding_ && rng_.chance(80)) jump_out(jk(BPF_JEQ, size, 0, 0));
  if (w_.type == BPF_PROG_TYPE_KPROBE) {
    stack_argument(1, room);
    emit(movr(2, size));
    if (rng_.coin()) return call_helper(func::get_current_comm);
    scalar_argument(3);
    return call_helper(func::probe_read_kernel);
  }
  if (xdp() || !has_ctx()) return ringbuf_output();
  stack_argument(3, room);
  emit(Prog{movr(1, 6), mov(2, static_cast<s32>(rng_.below(20))), movr(4, size)});
  call_helper(func::skb_load_bytes);
}

/// Moves the packet: pointers into it are gone.
void FunctionWriter::packet_helper() {
  if (!has_packet()) return memory_helper();
  emit(Prog{movr(1, 6), mov(2, static_cast<s32>(rng_.below(9)) - 4)});
  call_helper(xdp() ? (rng_.coin() ? func::xdp_adjust_head : func::xdp_adjust_tail) : func::skb_pull_data);
  if (rng_.chance(3)) return;
  for (Reg& r : now_.regs)
    if (r.kind == Kind::Packet || r.kind == Kind::PacketEnd) r = {};
  for (Reg& r : now_.spilled)
    if (r.kind == Kind::Packet || r.kind == Kind::PacketEnd) r = {};
}

void FunctionWriter::tail_call() {
  if (holding_ || !has_ctx()) return;
  const u32 index = bounded(3);
  if (index != 3) emit(movr(3, index));
  emit(movr(1, 6));
  map_pointer(2, MAP_PROGS);
  call_helper(func::tail_call);
  now_.regs[0] = {.kind = Kind::Scalar};
}

void FunctionWriter::subprogram() {
  if (depth_ >= 3 || w_.calls.size() > 4) return alu();
  Beliefs entry;
  if (has_ctx() && rng_.coin()) {
    emit(movr(1, 6));
    entry.regs[1] = now_.regs[6];
  } else {
    scalar_argument(1);
    entry.regs[1] = now_.regs[1];
  }
  if (rng_.coin()) {
    stack_argument(2, 16);
    entry.regs[2] = now_.regs[2];
  } else if (const u32 value = pointer(Kind::Value); value != NO_REG && value > 2) {
    emit(movr(2, value));
    entry.regs[2] = now_.regs[value];
  } else {
    emit(mov(2, static_cast<s32>(rng_.below(5))));
    entry.regs[2] = {.kind = Kind::Scalar, .max = 4};
  }
  entry.regs[10] = {.kind = Kind::Stack};
  w_.calls.push_back({at(), entry, depth_ + 1, false});
  emit(call_pc(0));
  clobber();
}

void FunctionWriter::loop_helper() {
  if (depth_ >= 2 || w_.calls.size() > 4) return plain_helper();
  stack_argument(3, 16);
  w_.calls.push_back({at(), {}, depth_ + 1, true});
  Beliefs& entry = w_.calls.back().entry;
  entry.regs[1] = {.kind = Kind::Scalar, .max = 20};
  entry.regs[2] = {.kind = Kind::Mem, .size = 16};
  entry.regs[10] = {.kind = Kind::Stack};
  emit(ldimm64(2, 0, BPF_PSEUDO_FUNC));
  if (rng_.coin()) {
    emit(mov(1, static_cast<s32>(rng_.below(20))));
  } else {
    const u32 count = bounded(15);
    if (count == 2 || count == 3) return emit(mov(0, 0));
    emit(movr(1, count));
  }
  emit(mov(4, rng_.chance(2) ? 1 : 0));
  call_helper(func::loop);
}

void FunctionWriter::each_element() {
  if (depth_ >= 2 || w_.calls.size() > 4) return lookup();
  const u32 map = rng_.coin() ? MAP_ARRAY16 : MAP_HASH8;
  stack_argument(3, 8);
  w_.calls.push_back({at(), {}, depth_ + 1, true});
  Beliefs& entry = w_.calls.back().entry;
  entry.regs[1] = {.kind = Kind::MapPtr, .map = map};
  entry.regs[2] = {.kind = Kind::Mem, .size = MAP_SHAPES[map].key_size, .read_only = true};
  entry.regs[3] = {.kind = Kind::Value, .map = map};
  entry.regs[4] = {.kind = Kind::Mem, .size = 8};
  entry.regs[10] = {.kind = Kind::Stack};
  emit(ldimm64(2, 0, BPF_PSEUDO_FUNC));
  map_pointer(1, map);
  emit(mov(4, 0));
  call_helper(func::for_each_map_elem);
}

void FunctionWriter::queue() {
  const u32 way = rng_.below(3);
  if (way != 0 && rng_.coin()) {
    emit(Prog{movr(2, 10), alu64k(BPF_ADD, 2, -16)});
    note_store(-16, 8, {.kind = Kind::Scalar});
  } else {
    stack_argument(2, 8);
  }
  map_pointer(1, MAP_QUEUE);
  if (way == 0) emit(mov(3, static_cast<s32>(2 * rng_.below(2))));
  call_helper(way == 0 ? func::map_push_elem : way == 1 ? func::map_pop_elem : func::map_peek_elem);
}

/// The address of a value, known at load.
void FunctionWriter::direct_value() {
  const u32 map = rng_.coin() ? MAP_ARRAY1 : MAP_CONSTANT, reg = rng_.coin() ? kept() : fresh();
  const u32 off = rng_.chance(70) ? 0 : rng_.below(rng_.chance(90) ? MAP_SHAPES[map].value_size : 50);
  emit(ldimm64(reg, static_cast<u32>(MAP_FD_BASE + static_cast<s32>(map)) | static_cast<u64>(off) << 32, BPF_PSEUDO_MAP_VALUE));
  now_.regs[reg] = {.kind = Kind::Value, .map = map, .off = static_cast<s32>(off), .read_only = map == MAP_CONSTANT};
}

void FunctionWriter::inner_map() {
  if (holding_) return;
  const s32 key = key_on_stack(4);
  map_pointer(1, MAP_OUTER);
  emit(Prog{movr(2, 10), alu64k(BPF_ADD, 2, key)});
  call_helper(func::map_lookup_elem);
  jump_out(jk(BPF_JEQ, 0, 0, 0));
  emit(Prog{st(BPF_W, 10, -8, static_cast<s32>(rng_.below(5))), movr(1, 0), movr(2, 10), alu64k(BPF_ADD, 2, -8)});
  note_store(-8, 4, {.kind = Kind::Scalar});
  call_helper(func::map_lookup_elem);
  now_.regs[0] = {.kind = Kind::ValueOrNull, .map = MAP_ARRAY16};
  check_null();
}

/// A register kept over a call that does not need it kept.
void FunctionWriter::fastcall() {
  const u32 reg = 1 + rng_.below(5);
  const s32 off = -8 * static_cast<s32>(rng_.chance(60) ? 20 : 1 + rng_.below(10));
  if (now_.regs[reg].kind != Kind::Scalar) {
    emit(mov(reg, static_cast<s32>(rng_.edge())));
    set_scalar(reg);
  }
  const Reg what = now_.regs[reg];
  emit(stx(BPF_DW, 10, off, reg));
  call_helper(func::get_smp_processor_id);
  emit(ldx(BPF_DW, reg, 10, off));
  now_.regs[reg] = what;
  now_.spilled[static_cast<u32>(512 + off) / 8] = {};
}

}  // namespace skep::fuzz
