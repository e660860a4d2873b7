// jit: values without use.
#include "jit/operands.h"
#include "jit/passes.h"

namespace skep::jit {

void remove_dead(Function& f) {
  for (Value& v : f.values) v.uses = 0, v.marked = false;
  // From the back a value's users come before it, but for the phis of loops: what those name further down, and what that is made of,
  // waits in `work`.
  Vec<ValueId> work;
  BlockId at = 0;
  const auto use = [&](ValueId v, bool passed) {
    Value& user = f.values[v];
    if (user.marked) return;
    user.marked = true;
    const bool look = passed || user.op == Op::Phi;
    each_operand(f, user, [&](ValueId a) {
      Value& used = f.values[a];
      ++used.uses;
      if (look && !used.marked && used.block >= at) work.push_back(a);
    });
  };
  for (at = static_cast<BlockId>(f.blocks.size()); at-- > 0;) {
    const auto& values = f.blocks[at].values;
    for (std::size_t i = values.size(); i-- > 0;) {
      const Value& v = f.values[values[i]];
      if (v.uses != 0 || has_effect(v)) use(values[i], false);
      while (!work.empty()) {
        const ValueId next = work.back();
        work.pop_back();
        use(next, true);
      }
    }
  }
  for (Block& b : f.blocks) std::erase_if(b.values, [&](ValueId v) { return !f.values[v].marked; });
}

void compact(Function& f) {
  std::size_t live = 0;
  for (const Block& b : f.blocks) live += b.values.size();
  if (live * 4 > f.values.size() * 3) return;
  for (Value& v : f.values) v.marked = false;
  for (const Block& b : f.blocks)
    for (const ValueId v : b.values) f.values[v].marked = true;
  Vec<ValueId> number(f.values.size());
  ValueId kept = 0;
  for (ValueId v = 0; v < f.values.size(); ++v) {
    if (!f.values[v].marked) continue;
    if (kept != v) f.values[kept] = f.values[v];
    number[v] = kept++;
  }
  f.values.resize(kept);
  for (Block& b : f.blocks)
    for (ValueId& v : b.values) {
      v = number[v];
      each_operand(f, f.values[v], [&](ValueId& a) { a = number[a]; });
    }
}

}  // namespace skep::jit
