#include "jit/live.h"

#include <algorithm>

namespace skep::jit {
namespace {

constexpr u32 HINT_SHIFT = 6;

float frequency(const Block& b) noexcept {
  constexpr float of[] = {1, 10, 100, 1e3F, 1e4F, 1e5F, 1e6F};
  const float f = of[std::min<u32>(b.loop_depth, 6)];
  return b.unlikely ? f / 64 : f;
}

}  // namespace

Live::Live(const Machine& machine) : m_(machine) {
  lay_out();
  find_loops();
  number();
  collect_uses();
  build_ranges();
}

void Live::lay_out() {
  const auto& all = m_.f.blocks;
  index_of.resize(all.size());
  blocks.reserve(all.size());
  for (const bool unlikely : {false, true})
    for (BlockId b = 0; b < all.size(); ++b) {
      if ((all[b].unlikely && b != 0) != unlikely) continue;
      index_of[b] = static_cast<u32>(blocks.size());
      blocks.push_back({b, 0, 0, NONE, frequency(all[b])});
    }
}

/// A loop reaches from its head to the last block that jumps back to it; those that are laid out behind everything do not count.
void Live::find_loops() {
  const auto& all = m_.f.blocks;
  Vec<u32> open;
  for (u32 i = 0; i < blocks.size(); ++i) {
    while (!open.empty() && loops[open.back()].last < i) open.pop_back();
    u32 last = NONE;
    for (const BlockId p : all[blocks[i].id].preds)
      if (index_of[p] >= i && (last == NONE || index_of[p] > last) && all[p].unlikely == all[blocks[i].id].unlikely)
        last = index_of[p];
    if (last != NONE) {
      if (!open.empty()) last = std::min(last, loops[open.back()].last);
      loops.push_back({i, last, open.empty() ? NONE : open.back()});
      open.push_back(static_cast<u32>(loops.size() - 1));
    }
    blocks[i].loop = open.empty() ? NONE : open.back();
  }
}

void Live::number() {
  position_of.assign(m_.f.values.size(), NONE);
  u32 pos = 0;
  for (u32 i = 0; i < blocks.size(); ++i) {
    LaidBlock& b = blocks[i];
    b.from = pos;
    for (const ValueId v : m_.f.blocks[b.id].values) {
      if (m_.skipped(m_.value(v)))
        position_of[v] = b.from;
      else
        position_of[v] = pos += 4;
    }
    pos += 4;
    b.to = pos;
    while (block_hint_.size() << HINT_SHIFT < pos) block_hint_.push_back(i);
  }
}

u32 Live::block_at(u32 pos) const noexcept {
  u32 i = block_hint_[std::min<std::size_t>(pos >> HINT_SHIFT, block_hint_.size() - 1)];
  while (blocks[i].to <= pos && i + 1 < blocks.size()) ++i;
  return i;
}

/// add(ValueId, Use) in the order of positions.
template <typename F>
void Live::each_use_in_order(F&& add) {
  for (const LaidBlock& b : blocks) {
    const Block& block = m_.f.blocks[b.id];
    for (const ValueId id : block.values) {
      const Value& v = m_.value(id);
      const u32 pos = position_of[id];
      if (!m_.skipped(v)) {
        m_.each_use(v, [&](ValueId used, Phase phase, Need need, Reg hint) { add(used, Use{pos + phase, need, hint, id}); });
        if (m_.is_kept(v)) add(id, Use{pos + DEF_PHASE, Need::Reg, m_.result_hint(v), id});
      }
    }
  }
}

void Live::collect_uses() {
  const std::size_t n = m_.f.values.size();
  use_start_.assign(n + 1, 0);
  const auto phi_uses = [&](auto&& add) {
    for (const Block& block : m_.f.blocks)
      for (const ValueId id : block.values) {
        const Value& phi = m_.value(id);
        if (phi.op != Op::Phi) break;
        if (!m_.is_kept(phi)) continue;
        for (std::size_t i = 0; i < block.preds.size(); ++i)
          add(m_.f.phi_args[static_cast<std::size_t>(phi.imm) + i],
              Use{blocks[index_of[block.preds[i]]].to - 1, Need::Any, NO_REG, id});
      }
  };
  struct Found {
    ValueId value;
    Use use;
  };
  Vec<Found> found;
  found.reserve(n * 2);
  const auto note = [&](ValueId v, const Use& u) {
    ++use_start_[v + 1];
    found.push_back({v, u});
  };
  each_use_in_order(note);
  const std::size_t in_order = found.size();
  phi_uses(note);
  for (std::size_t i = 0; i < n; ++i) use_start_[i + 1] += use_start_[i];
  uses_.resize(use_start_[n]);
  Vec<u32> at(use_start_.begin(), use_start_.end() - 1);
  for (const Found& x : found) uses_[at[x.value]++] = x.use;
  // Only those of phis are out of turn.
  const auto less = [](const Use& a, const Use& b) { return a.pos < b.pos; };
  for (std::size_t i = in_order; i < found.size(); ++i) {
    const auto first = uses_.begin() + use_start_[found[i].value], last = uses_.begin() + use_start_[found[i].value + 1];
    if (!std::is_sorted(first, last, less)) std::sort(first, last, less);
  }
  for (const LaidBlock& b : blocks)
    for (const ValueId id : m_.f.blocks[b.id].values) {
      const Value& v = m_.value(id);
      if (m_.skipped(v)) continue;
      const Lost lost = m_.lost(v);
      if (lost.regs == 0) continue;
      const Range r{position_of[id] + 1, position_of[id] + (lost.late ? 3 : 2)};
      if (is_call(v.op)) {
        calls_.push_back(r);
        continue;
      }
      for (u32 reg = 0; reg < NR_REGS; ++reg)
        if (lost.regs & bit(reg)) lost_[reg].push_back(r);
    }
}

u32 Live::def_pos(ValueId v) const noexcept { return m_.skipped(m_.value(v)) ? position_of[v] : position_of[v] + DEF_PHASE; }

/// The value is needed on entry of `block`, up to `to`.
void Live::visit(u32 block, u32 to) {
  end_[block] = std::max(end_[block], to);
  if (seen_[block] != 0) return;
  seen_[block] = 1;
  found_.push_back(block);
  work_.push_back(block);
}

void Live::build_ranges_of(ValueId v) {
  const u32 home = block_at(position_of[v]);
  const u32 def = def_pos(v);
  u32 home_end = def + 1;  // to where it lives in its own block
  for (const Use& u : uses(v)) {
    if (u.user == v && u.pos == def) continue;
    const u32 b = block_at(u.pos);
    if (b == home && u.pos >= def)
      home_end = std::max(home_end, u.pos + 1);
    else
      visit(b, u.pos + 1);
  }
  while (!work_.empty()) {
    const u32 b = work_.back();
    work_.pop_back();
    for (const BlockId pred : m_.f.blocks[blocks[b].id].preds) {
      const u32 p = index_of[pred];
      if (p == home)
        home_end = blocks[home].to;
      else
        visit(p, blocks[p].to);
    }
  }
  std::sort(found_.begin(), found_.end());
  const std::size_t first = ranges_.size();
  const auto add = [&](u32 from, u32 to) {
    if (ranges_.size() > first && ranges_.back().to == from)
      ranges_.back().to = to;
    else
      ranges_.push_back({from, to});
  };
  bool home_done = false;
  for (const u32 b : found_) {
    if (!home_done && b > home) add(def, home_end), home_done = true;
    add(blocks[b].from, end_[b]);
    seen_[b] = end_[b] = 0;
  }
  if (!home_done) add(def, home_end);
  found_.clear();
}

void Live::build_remat_ranges(ValueId v) {
  /// Made once for uses so near each other.
  constexpr u32 NEAR = 40;
  const std::size_t first = ranges_.size();
  for (const Use& u : uses(v)) {
    if (u.need == Need::Any) continue;
    if (ranges_.size() > first && u.pos < ranges_.back().to) continue;
    const LaidBlock& b = blocks[block_at(u.pos)];
    Range r{u.pos & ~3u, u.pos + 1};
    if (b.loop != NONE) r = {blocks[loops[b.loop].first].from, blocks[loops[b.loop].last].to};
    // A loop may be around loops that were met before.
    while (ranges_.size() > first && r.from <= ranges_.back().from) ranges_.pop_back();
    const bool near =
        ranges_.size() > first &&
        (r.from <= ranges_.back().to || (b.loop == NONE && ranges_.back().to > b.from && r.from - ranges_.back().to < NEAR));
    if (near)
      ranges_.back().to = std::max(r.to, ranges_.back().to);
    else
      ranges_.push_back(r);
  }
}

bool Live::covers(ValueId v, u32 pos) const noexcept {
  const auto r = ranges(v);
  const auto it = std::upper_bound(r.begin(), r.end(), pos, [](u32 x, const Range& y) { return x < y.to; });
  return it != r.end() && it->from <= pos;
}

void Live::build_ranges() {
  const std::size_t n = m_.f.values.size();
  range_start_.assign(n + 1, 0);
  seen_.assign(blocks.size(), 0);
  end_.assign(blocks.size(), 0);
  for (ValueId v = 0; v < n; ++v) {
    range_start_[v] = static_cast<u32>(ranges_.size());
    if (position_of[v] == NONE || !m_.is_kept(m_.value(v))) continue;  // NONE: stands in no block
    if (m_.remat(v))
      build_remat_ranges(v);
    else
      build_ranges_of(v);
  }
  range_start_[n] = static_cast<u32>(ranges_.size());
}

}  // namespace skep::jit
