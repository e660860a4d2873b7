#include "jit/simplifier.h"

#include <utility>

#include "jit/operands.h"

namespace skep::jit {

Simplifier::Simplifier(Function& f) : f_(f), consts_(f), dom_(f) {
  std::size_t size = 64;
  while (size < f.values.size()) size *= 2;
  table_.assign(size, {NONE, 0});
  grow();
}

void Simplifier::grow() {
  std::size_t v = moved_.size();
  if (v >= f_.values.size()) return;
  // With room for some that are to come.
  moved_.resize(f_.values.size() + f_.values.size() / 8 + 16);
  for (; v < moved_.size(); ++v) moved_[v] = static_cast<ValueId>(v);
  ones_.resize(moved_.size(), ~u64{0});
  seen_.resize(moved_.size(), false);
}

void Simplifier::set_ones(ValueId v, u64 mask) {
  grow();
  ones_[v] = mask;
  seen_[v] = true;
}

u32 Simplifier::hash(const Value& v) noexcept {
  u64 h = static_cast<u64>(v.op) | static_cast<u64>(v.width) << 8 | static_cast<u64>(v.size) << 16 |
          static_cast<u64>(v.cond) << 24 | static_cast<u64>(v.scale) << 32;
  for (u32 i = 0; i < 4; ++i) h = (h ^ v.arg[i]) * 0x9e3779b97f4a7c15ULL;
  return static_cast<u32>((h ^ static_cast<u64>(s64{v.disp})) * 0x9e3779b97f4a7c15ULL >> 32);
}

namespace {

bool equal(const Value& a, const Value& b) noexcept {
  return a.op == b.op && a.width == b.width && a.size == b.size && a.cond == b.cond && a.scale == b.scale && a.arg[0] == b.arg[0] &&
         a.arg[1] == b.arg[1] && a.arg[2] == b.arg[2] && a.arg[3] == b.arg[3] && a.disp == b.disp;
}

}  // namespace

ValueId Simplifier::find_equal(const Value& v, u32 hash, std::size_t* slot) {
  const std::size_t mask = table_.size() - 1;
  std::size_t i = hash & mask;
  for (; table_[i].value != NONE; i = (i + 1) & mask) {
    const ValueId known = table_[i].value;
    if (table_[i].hash != hash || !equal(f_.values[known], v)) continue;
    *slot = i;
    return dom_.dominates(f_.values[known].block, block_) ? known : NONE;
  }
  *slot = i;
  return NONE;
}

void Simplifier::grow_table() {
  const Vec<Known> old = std::move(table_);
  table_.assign(old.size() * 2, {NONE, 0});
  const std::size_t mask = table_.size() - 1;
  for (const Known& k : old) {
    if (k.value == NONE) continue;
    std::size_t i = k.hash & mask;
    while (table_[i].value != NONE) i = (i + 1) & mask;
    table_[i] = k;
  }
}

ValueId Simplifier::keep(const Value& v, ValueId own) {
  ValueId id = own;
  if (id == NONE) {
    id = static_cast<ValueId>(f_.values.size());
    f_.values.push_back(v);
    f_.values[id].uses = 1;
  } else {
    f_.values[id] = v;
  }
  f_.values[id].block = block_;
  out_->push_back(id);
  set_ones(id, ones_of(f_.values[id]));
  return id;
}

ValueId Simplifier::put(Value v, ValueId own) {
  if (const ValueId r = simpler(v, own); r != NONE) return r;
  std::size_t slot = 0;
  const u32 key = hash(v);
  if (const ValueId there = find_equal(v, key, &slot); there != NONE) return there;
  const bool fresh = table_[slot].value == NONE;
  const ValueId id = keep(v, own);
  table_[slot] = {id, key};
  if (fresh && ++table_count_ * 2 > table_.size()) grow_table();
  return id;
}

ValueId Simplifier::binary(Op op, u8 width, ValueId a, ValueId b) {
  Value v;
  v.op = op;
  v.width = width;
  v.arg[0] = a;
  v.arg[1] = b;
  return put(v);
}

ValueId Simplifier::unary(Op op, u8 size, ValueId a, u8 width) {
  Value v;
  v.op = op;
  v.width = width;
  v.size = size;
  v.arg[0] = a;
  return put(v);
}

ValueId Simplifier::select(Cond cond, u8 width, ValueId a, ValueId b, ValueId yes, ValueId no) {
  Value v;
  v.op = Op::Select;
  v.cond = cond;
  v.width = width;
  v.arg[0] = a, v.arg[1] = b, v.arg[2] = yes, v.arg[3] = no;
  return put(v);
}

ValueId Simplifier::strip(ValueId v, u8 size) const noexcept {
  const u64 counts = low_bytes(size);
  while (true) {
    const Value& value = f_.values[v];
    const bool extends = (value.op == Op::Zext || value.op == Op::Sext) && value.size >= size;
    const bool masks =
        value.op == Op::And && value.width >= size && is_const(value.arg[1]) && (const_of(value.arg[1]) & counts) == counts;
    if (!extends && !masks) return v;
    v = value.arg[0];
  }
}

ValueId Simplifier::simpler(Value& v, ValueId own) {
  if (is_binary(v.op)) return simpler_binary(v, own);
  if (is_unary(v.op) && is_const(v.arg[0])) return constant(fold_unary(v, const_of(v.arg[0])));
  switch (v.op) {
    case Op::Neg:
    case Op::Not:
      if (v.width == 4) v.arg[0] = strip(v.arg[0], 4);
      if (has_op(v.arg[0], v.op, v.width)) return at_width(v.width, at(v.arg[0]).arg[0]);
      return NONE;
    case Op::Bswap:
      return swap_bytes(v, own);
    case Op::Zext:
      return zero_extend(v, own);
    case Op::Sext:
      return sign_extend_(v, own);
    case Op::Select:
      return choose(v, own);
    default:
      return NONE;
  }
}

ValueId Simplifier::simpler_binary(Value& v, ValueId own) {
  if (v.width == 4) {
    for (u32 i = 0; i < 2; ++i) {
      v.arg[i] = strip(v.arg[i], 4);
      if (is_const(v.arg[i])) v.arg[i] = constant(static_cast<u32>(const_of(v.arg[i])));
    }
  }
  if (is_const(v.arg[0]) && is_const(v.arg[1])) return constant(fold_binary(v.op, v.width, const_of(v.arg[0]), const_of(v.arg[1])));
  if (is_commutative(v.op) && is_const(v.arg[0])) std::swap(v.arg[0], v.arg[1]);
  switch (v.op) {
    case Op::Add:
      return add(v, own);
    case Op::Sub:
      return sub(v, own);
    case Op::Mul:
      return mul(v, own);
    case Op::And:
      return bit_and(v, own);
    case Op::Or:
      return bit_or(v, own);
    case Op::Xor:
      return bit_xor(v, own);
    case Op::Shl:
    case Op::Shr:
    case Op::Sar:
    case Op::Rotl:
      return shift(v, own);
    case Op::UDiv:
    case Op::UMod:
    case Op::SDiv:
    case Op::SMod:
      return divide(v, own);
    default:
      return NONE;
  }
}

}  // namespace skep::jit
