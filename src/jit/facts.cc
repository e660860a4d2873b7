#include "jit/facts.h"

namespace skep::jit {

void Facts::add(Vec<u32>& heads, u32 key, Fact fact) {
  if (heads.size() <= key) heads.resize(key + 1 + heads.size(), NONE);
  fact.next = heads[key];
  heads[key] = static_cast<u32>(facts_.size());
  facts_.push_back(fact);
}

void Facts::below(BlockId block, ValueId value, ValueId is) {
  add(of_value_, value, {value, is, s_.dominators().first(block), s_.dominators().last(block), NONE});
}

void Facts::on_edge(BlockId from, BlockId to, ValueId value, ValueId is) { add(of_block_, from, {value, is, from, to, NONE}); }

ValueId Facts::in_block(BlockId block, ValueId value) const noexcept {
  if (value >= of_value_.size()) return value;
  const u32 at = s_.dominators().first(block);
  // A value that is compared over and over has many facts: a few looks are enough.
  u32 looks = 0;
  for (u32 i = of_value_[value]; i != NONE && looks < 8; i = facts_[i].next, ++looks)
    if (facts_[i].first <= at && at <= facts_[i].last) return facts_[i].is;
  return value;
}

ValueId Facts::at_edge(BlockId from, BlockId to, ValueId value) const noexcept {
  if (from < of_block_.size())
    for (u32 i = of_block_[from]; i != NONE; i = facts_[i].next)
      if (facts_[i].last == to && facts_[i].value == value) return facts_[i].is;
  return in_block(from, value);
}

}  // namespace skep::jit
