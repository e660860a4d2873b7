#include "jit/frame_use.h"

#include <algorithm>

#include "jit/operands.h"

namespace skep::jit {
namespace {

/// Addresses of the frame stand in the entry.
bool has_frame(const Function& f) {
  return std::any_of(f.blocks[0].values.begin(), f.blocks[0].values.end(),
                     [&](ValueId v) { return f.values[v].op == Op::FrameAddr; });
}

}  // namespace

FrameUse::FrameUse(const Function& f, const Program& program) : f_(f), program_(program) {
  if (!has_frame(f)) return;
  for (const Block& b : f.blocks)
    for (const ValueId v : b.values) visit(v);
}

void FrameUse::share(s64 off, u64 len) {
  const s64 from = std::clamp<s64>(off + BYTES, 0, BYTES);
  const s64 to = len >= static_cast<u64>(BYTES - from) ? BYTES : from + static_cast<s64>(len);
  for (s64 i = from; i < to; ++i) shared.set(static_cast<std::size_t>(i));
}

void FrameUse::visit(ValueId id) {
  const Value& v = f_.values[id];
  bool any = false;
  each_operand(f_, v, [&](ValueId a) { any |= f_.values[a].op == Op::FrameAddr; });
  if (!any) return;
  const bool direct = is_memory(v.op) && v.arg[0] != NONE && f_.values[v.arg[0]].op == Op::FrameAddr && v.arg[1] == NONE;
  if (!direct) {
    each_operand(f_, v, [&](ValueId a) {
      if (f_.values[a].op == Op::FrameAddr) give_away(v, a);
    });
    return;
  }
  const s64 off = f_.values[v.arg[0]].imm + v.disp;
  for (u32 i = 2; i < 4; ++i)
    if (v.arg[i] != NONE && f_.values[v.arg[i]].op == Op::FrameAddr) share_all();
  if (off < -BYTES || off + v.size > 0) return;
  if (v.op == Op::Load || v.op == Op::Store)
    accesses.push_back({id, static_cast<u16>(off + BYTES), v.size, v.op == Op::Store});
  else
    share(off, v.size);
}

void FrameUse::give_away(const Value& user, ValueId frame) {
  if (user.op == Op::Branch) return;  // asks where it is, not what is there
  if (user.op != Op::CallHelper && user.op != Op::CallGate) return share_all();
  for (u32 i = 0; i < 5; ++i) {
    if (user.arg[i] != frame) continue;
    if (user.op == Op::CallHelper)
      call_helper(user, i, f_.values[frame].imm);
    else
      call_gate(user, i, f_.values[frame].imm);
  }
}

const MapDesc* FrameUse::map_of(ValueId v) const {
  if (v == NONE || f_.values[v].op != Op::Const) return nullptr;
  return program_.map_at(static_cast<u64>(f_.values[v].imm));
}

void FrameUse::call_helper(const Value& call, u32 arg, s64 off) {
  const HelperInfo h = program_.helper(static_cast<u32>(call.imm));
  if (h.proto == nullptr || arg >= h.n_args) return share_all();
  const u32 type = h.proto->args[arg];
  const MapDesc* map = nullptr;
  for (u32 i = 0; i < arg; ++i)
    if (base_type(h.proto->args[i]) == ARG_CONST_MAP_PTR) map = map_of(call.arg[i]);
  switch (base_type(type)) {
    case ARG_PTR_TO_MAP_KEY:
      return map != nullptr ? share(off, map->key_size) : share_from(off);
    case ARG_PTR_TO_MAP_VALUE:
      return map != nullptr ? share(off, map->value_size) : share_from(off);
    case ARG_PTR_TO_MEM: {
      if ((type & MEM_FIXED_SIZE) != 0) return share(off, h.proto->arg_size[arg]);
      const u32 next = arg + 1 < 5 ? base_type(h.proto->args[arg + 1]) : u32{ARG_DONTCARE};
      const bool sized = next == ARG_CONST_SIZE || next == ARG_CONST_SIZE_OR_ZERO;
      if (sized && call.arg[arg + 1] != NONE && f_.values[call.arg[arg + 1]].op == Op::Const)
        return share(off, static_cast<u64>(f_.values[call.arg[arg + 1]].imm));
      return share_from(off);
    }
    case ARG_ANYTHING:
    case ARG_DONTCARE:
    case ARG_PTR_TO_DYNPTR:
      return share_from(off);
    default:
      return share_all();
  }
}

/// A gate's arguments are the map, the key, and the value; the run's before them.
void FrameUse::call_gate(const Value& call, u32 arg, s64 off) {
  for (u32 i = 0; i < arg; ++i) {
    const MapDesc* map = map_of(call.arg[i]);
    if (map == nullptr) continue;
    if (arg == i + 1) return share(off, map->key_size);
    if (arg == i + 2) return share(off, map->value_size);
  }
  share_all();
}

}  // namespace skep::jit
