#include "jit/consts.h"

namespace skep::jit {

namespace {

constexpr std::size_t MIN_TABLE = 32;

}  // namespace

ConstPool::ConstPool(Function& f) : f_(f), table_(MIN_TABLE, {0, NONE, Op::Const}) {
  if (f.blocks.empty()) return;
  for (const ValueId v : f.blocks[0].values) {
    const Value& value = f.values[v];
    if (!is_free(value.op)) continue;
    if (++count_ * 2 > table_.size()) grow();
    table_[slot(value.op, value.imm)] = {value.imm, v, value.op};
  }
}

std::size_t ConstPool::slot(Op op, s64 imm) const noexcept {
  const u64 hash = (static_cast<u64>(imm) + static_cast<u64>(op)) * 0x9e3779b97f4a7c15ULL;
  const std::size_t mask = table_.size() - 1;
  std::size_t at = static_cast<std::size_t>(hash >> 32) & mask;
  while (table_[at].value != NONE && (table_[at].imm != imm || table_[at].op != op)) at = (at + 1) & mask;
  return at;
}

void ConstPool::grow() {
  const Vec<Known> old = std::move(table_);
  table_.assign(old.size() * 2, {0, NONE, Op::Const});
  for (const Known& k : old)
    if (k.value != NONE) table_[slot(k.op, k.imm)] = k;
}

ValueId ConstPool::get(Op op, s64 imm) {
  std::size_t at = slot(op, imm);
  if (table_[at].value != NONE) return table_[at].value;
  if (++count_ * 2 > table_.size()) {
    grow();
    at = slot(op, imm);
  }
  Value v;
  v.op = op;
  v.imm = imm;
  v.block = 0;
  v.nonzero = op == Op::FrameAddr || op == Op::FuncAddr;
  const ValueId id = static_cast<ValueId>(f_.values.size());
  f_.values.push_back(v);
  table_[at] = {imm, id, op};
  fresh_.push_back(id);
  return id;
}

void ConstPool::place() {
  auto& values = f_.blocks[0].values;
  values.insert(values.begin(), fresh_.begin(), fresh_.end());
  fresh_.clear();
}

}  // namespace skep::jit
