// jit: blocks that are not reached go, blocks that only follow one another become one.
#include <algorithm>

#include "jit/operands.h"
#include "jit/passes.h"
#include "jit/ssa.h"

namespace skep::jit {
namespace {

constexpr u32 MAX_PREDS = 64;  ///< looking for one among more takes too long

class Cleanup {
 public:
  explicit Cleanup(Function& f) : f_(f), n_(static_cast<u32>(f.blocks.size())) {}

  void run() {
    find_reached();
    drop_edges();
    if (skip_empty()) {
      find_reached();
      drop_edges();
    }
    merge_chains();
    renumber();
    replace_phis();
  }

 private:
  void find_reached() {
    reached_.assign(n_, false);
    Vec<BlockId> work{0};
    reached_[0] = true;
    while (!work.empty()) {
      const BlockId b = work.back();
      work.pop_back();
      for (const BlockId s : f_.blocks[b].succs) {
        if (s == NONE || reached_[s]) continue;
        reached_[s] = true;
        work.push_back(s);
      }
    }
  }

  bool is_edge(BlockId from, BlockId to) const {
    return reached_[from] && (f_.blocks[from].succs[0] == to || f_.blocks[from].succs[1] == to);
  }

  /// Predecessors that are none any more, with what phis say of them.
  void drop_edges() {
    for (BlockId b = 0; b < n_; ++b) {
      Block& block = f_.blocks[b];
      if (!reached_[b]) continue;
      auto& preds = block.preds;
      if (std::all_of(preds.begin(), preds.end(), [&](BlockId p) { return is_edge(p, b); })) continue;
      std::size_t kept = 0;
      for (std::size_t i = 0; i < preds.size(); ++i) {
        if (!is_edge(preds[i], b)) continue;
        for (const ValueId v : block.values) {
          if (f_.values[v].op != Op::Phi) break;
          ValueId* args = &f_.phi_args[static_cast<std::size_t>(f_.values[v].imm)];
          args[kept] = args[i];
        }
        preds[kept++] = preds[i];
      }
      preds.resize(kept);
    }
  }

  /// Ways through blocks that only jump on lead there at once. True where it found one.
  bool skip_empty() {
    bool any = false;
    for (BlockId b = 1; b < n_; ++b) {
      Block& empty = f_.blocks[b];
      if (!reached_[b] || empty.values.size() != 1 || f_.n_succs(empty) != 1 || empty.succs[0] == b) continue;
      const BlockId to = empty.succs[0];
      Block& target = f_.blocks[to];
      if (empty.preds.size() != 1 || target.preds.size() > MAX_PREDS) continue;
      const BlockId p = empty.preds[0];
      Block& from = f_.blocks[p];
      if (from.succs[0] == to || from.succs[1] == to) continue;
      std::replace(from.succs, from.succs + 2, b, to);
      std::replace(target.preds.begin(), target.preds.end(), b, p);
      empty.preds.clear();
      empty.succs[0] = NONE;
      reached_[b] = false;
      any = true;
    }
    return any;
  }

  /// A block whose only predecessor leads nowhere else becomes that one's end.
  void merge_chains() {
    into_.resize(n_);
    for (BlockId b = 0; b < n_; ++b) {
      into_[b] = b;
      if (!reached_[b] || b == 0 || f_.blocks[b].preds.size() != 1) continue;
      const BlockId p = f_.blocks[b].preds[0];
      if (p >= b || f_.n_succs(f_.blocks[p]) != 1) continue;
      single_phis(b);
      into_[b] = into_[p];
    }
    for (BlockId b = 0; b < n_; ++b) {
      if (into_[b] == b) continue;
      Block& head = f_.blocks[into_[b]];
      head.values.pop_back();
      head.values.insert(head.values.end(), f_.blocks[b].values.begin(), f_.blocks[b].values.end());
      for (const ValueId v : f_.blocks[b].values) f_.values[v].block = into_[b];
      std::copy(f_.blocks[b].succs, f_.blocks[b].succs + 2, head.succs);
      f_.blocks[b].values.clear();
      for (const BlockId s : head.succs)
        if (s != NONE) std::replace(f_.blocks[s].preds.begin(), f_.blocks[s].preds.end(), b, into_[b]);
    }
  }

  void single_phis(BlockId b) {
    for (const ValueId v : f_.blocks[b].values) {
      if (f_.values[v].op != Op::Phi) break;
      if (moved_.empty()) {
        moved_.resize(f_.values.size());
        for (ValueId i = 0; i < moved_.size(); ++i) moved_[i] = i;
      }
      moved_[v] = f_.phi_args[static_cast<std::size_t>(f_.values[v].imm)];
    }
  }

  void renumber() {
    Vec<BlockId> number(n_, NONE);
    u32 kept = 0;
    for (BlockId b = 0; b < n_; ++b)
      if (reached_[b] && into_[b] == b) number[b] = kept++;
    if (kept == n_) return;
    for (BlockId b = 0; b < n_; ++b) {
      if (number[b] == NONE) continue;
      Block& block = f_.blocks[b];
      for (BlockId& p : block.preds) p = number[p];
      for (BlockId& s : block.succs) s = s == NONE ? NONE : number[s];
      for (const ValueId v : block.values) f_.values[v].block = number[b];
      if (number[b] != b) f_.blocks[number[b]] = std::move(block);
    }
    f_.blocks.resize(kept);
  }

  void replace_phis() {
    if (moved_.empty()) return;
    for (Block& b : f_.blocks) {
      std::erase_if(b.values, [&](ValueId v) { return moved_[v] != v; });
      for (const ValueId v : b.values) each_operand(f_, f_.values[v], [&](ValueId& a) { a = resolve(moved_, a); });
    }
  }

  Function& f_;
  const u32 n_;
  Vec<bool> reached_;
  Vec<BlockId> into_;
  Vec<ValueId> moved_;
};

}  // namespace

void clean_blocks(Function& f) { Cleanup(f).run(); }

}  // namespace skep::jit
