#include "jit/ssa.h"

#include <bit>

#include "jit/operands.h"

namespace skep::jit {

SsaVars::SsaVars(Function& f, const Loops& loops) : f_(f), loops_(loops) {
  const std::size_t n = f.blocks.size();
  read_first_.assign(n, 0);
  written_.assign(n, 0);
  live_in_.assign(n, 0);
  live_out_.assign(n, 0);
  outs_at_.assign(n, 0);
}

void SsaVars::solve() {
  const u32 n = static_cast<u32>(f_.blocks.size());
  // A block is looked at again only when one of its successors reads more: at most once a variable and successor.
  Vec<BlockId> work;
  Vec<bool> waits(n, true);
  for (BlockId b = 0; b < n; ++b) work.push_back(b);
  while (!work.empty()) {
    const BlockId b = work.back();
    work.pop_back();
    waits[b] = false;
    u64 live = 0;
    for (const BlockId s : f_.blocks[b].succs)
      if (s != NONE) live |= live_in_[s];
    live_out_[b] = live;
    live = (live & ~written_[b]) | read_first_[b];
    if (live == live_in_[b]) continue;
    live_in_[b] = live;
    for (const BlockId p : f_.blocks[b].preds)
      if (!waits[p]) {
        waits[p] = true;
        work.push_back(p);
      }
  }
  u32 outs = 0;
  for (BlockId b = 0; b < n; ++b) {
    outs_at_[b] = outs;
    outs += static_cast<u32>(std::popcount(live_out_[b]));
  }
  outs_.assign(outs, NONE);
  written_in_loops(loops_);
}

void SsaVars::written_in_loops(const Loops& loops) {
  const u32 n = static_cast<u32>(f_.blocks.size());
  changed_.assign(n, loops.irreducible ? ~u64{0} : 0);
  if (loops.irreducible) return;
  // Inner loops stand behind the heads of outer ones: from the back they are complete when they are added.
  for (BlockId b = n; b-- > 0;) {
    if (loops.head[b] == NONE) continue;
    changed_[loops.head[b]] |= written_[b];
    if (loops.head[b] == b && loops.outer[b] != NONE) changed_[loops.outer[b]] |= changed_[b];
  }
}

ValueId SsaVars::out(BlockId b, u32 var) const noexcept {
  const u64 below = live_out_[b] & ((u64{1} << var) - 1);
  return outs_[outs_at_[b] + static_cast<u32>(std::popcount(below))];
}

ValueId SsaVars::add_phi(BlockId b) {
  Value v;
  v.op = Op::Phi;
  v.block = b;
  v.imm = static_cast<s64>(f_.phi_args.size());
  f_.phi_args.resize(f_.phi_args.size() + f_.blocks[b].preds.size(), NONE);
  const ValueId id = static_cast<ValueId>(f_.values.size());
  f_.values.push_back(v);
  f_.blocks[b].values.push_back(id);
  phis_.push_back(id);
  return id;
}

void SsaVars::begin(BlockId b) {
  if (b == 0) return;
  bool loops_back = false;
  for (const BlockId p : f_.blocks[b].preds) loops_back |= p >= b;
  const u64 changed = loops_back ? changed_[b] : 0;
  for (u64 vars = live_in_[b]; vars != 0; vars &= vars - 1) begin_var(b, static_cast<u32>(std::countr_zero(vars)), changed);
}

void SsaVars::begin_var(BlockId b, u32 var, u64 changed) {
  const auto& preds = f_.blocks[b].preds;
  ValueId one = NONE;
  bool differ = (changed >> var & 1) != 0;
  for (std::size_t i = 0; i < preds.size() && !differ; ++i) {
    if (preds[i] >= b) continue;
    const ValueId v = out(preds[i], var);
    differ = one != NONE && one != v;
    one = v;
  }
  if (!differ) {
    now[var] = one;
    return;
  }
  now[var] = add_phi(b);
  open_.push_back({now[var], var});
}

void SsaVars::end(BlockId b) {
  u32 at = outs_at_[b];
  for (u64 vars = live_out_[b]; vars != 0; vars &= vars - 1) outs_[at++] = now[std::countr_zero(vars)];
}

void SsaVars::finish(Vec<ValueId>& moved) {
  for (const Phi& p : open_) {
    const auto& preds = f_.blocks[f_.values[p.id].block].preds;
    ValueId* args = &f_.phi_args[static_cast<std::size_t>(f_.values[p.id].imm)];
    for (std::size_t i = 0; i < preds.size(); ++i) args[i] = out(preds[i], p.var);
  }
  const std::size_t known = moved.size();
  moved.resize(f_.values.size());
  for (std::size_t v = known; v < moved.size(); ++v) moved[v] = static_cast<ValueId>(v);
  bool any = known != 0, again = true;
  for (u32 turn = 0; again && turn < 4; ++turn) {
    again = false;
    for (const ValueId id : phis_) {
      if (moved[id] != id) continue;
      ValueId one = NONE;
      bool differ = false;
      each_operand(f_, f_.values[id], [&](ValueId& a) {
        a = resolve(moved, a);
        if (a == id || a == one) return;
        differ |= one != NONE;
        one = a;
      });
      if (differ || one == NONE) continue;
      moved[id] = one;
      any = again = true;
    }
  }
  if (!any) return;
  for (Block& b : f_.blocks) {
    std::erase_if(b.values, [&](ValueId v) { return moved[v] != v; });
    for (const ValueId v : b.values) each_operand(f_, f_.values[v], [&](ValueId& a) { a = resolve(moved, a); });
  }
}

}  // namespace skep::jit
