// jit: values without use.
#include "jit/operands.h"
#include "jit/passes.h"

namespace skep::jit {

void remove_dead(Function& f) {
  for (Value& v : f.values) v.uses = 0;
  std::vector<bool> used(f.values.size(), false);
  std::vector<ValueId> work;
  for (const Block& b : f.blocks)
    for (const ValueId v : b.values)
      if (has_effect(f.values[v])) {
        used[v] = true;
        work.push_back(v);
      }
  while (!work.empty()) {
    const ValueId v = work.back();
    work.pop_back();
    each_operand(f, f.values[v], [&](ValueId a) {
      ++f.values[a].uses;
      if (used[a]) return;
      used[a] = true;
      work.push_back(a);
    });
  }
  for (Block& b : f.blocks) std::erase_if(b.values, [&](ValueId v) { return !used[v]; });
}

}  // namespace skep::jit
