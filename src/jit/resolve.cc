// From pieces to places and moves: stack slots, what is moved inside of blocks and on edges, where values are stored.
#include <algorithm>
#include <queue>

#include "jit/alloc.h"

namespace skep::jit {

class Resolver {
 public:
  Resolver(Allocation& a, const Machine& m, const Live& live, const Scan& scan) : a_(a), m_(m), live_(live), scan_(scan) {}
  void run() {
    number_edges();
    assign_slots();
    place();
    for (ValueId v = 0; v < m_.f.values.size(); ++v) moves_of(v);
    phi_moves();
    sort_moves();
  }

 private:
  struct Inner {
    u32 pos;
    Move move;
  };
  struct OnEdge {
    u32 edge;
    Move move;
  };

  void number_edges();
  void assign_slots();
  bool in_memory(ValueId v) const;
  void place();
  void moves_of(ValueId v);
  void make_anew(ValueId v);
  void inner_moves(ValueId v);
  void moves_on_edges(ValueId v);
  void choose_stores(ValueId v, std::size_t first_inner, std::size_t first_edge);
  void phi_moves();
  void sort_moves();

  Allocation& a_;
  const Machine& m_;
  const Live& live_;
  const Scan& scan_;
  Vec<u32> slot_of_;
  Vec<Inner> inner_;
  Vec<OnEdge> on_edges_;
  float stores_ = 0;  ///< of the value at hand: how often it would be stored if each of its splits did
};

void Resolver::number_edges() {
  a_.edge_base_.resize(m_.f.blocks.size());
  u32 n = 0;
  for (BlockId b = 0; b < m_.f.blocks.size(); ++b) {
    a_.edge_base_[b] = n;
    n += static_cast<u32>(m_.f.blocks[b].preds.size());
  }
  a_.edge_start_.assign(n + 1, 0);
}

bool Resolver::in_memory(ValueId v) const {
  if (m_.remat(v)) return false;
  for (u32 p = scan_.first_piece[v]; p != NONE; p = scan_.pieces[p].next)
    if (scan_.pieces[p].reg == NO_REG) return true;
  return false;
}

/// A slot is a value's from its first position to its last. What phis join gets the same one where that goes.
void Resolver::assign_slots() {
  slot_of_.assign(m_.f.values.size(), NONE);
  Vec<ValueId> values;
  for (ValueId v = 0; v < m_.f.values.size(); ++v)
    if (in_memory(v)) values.push_back(v);
  std::sort(values.begin(), values.end(),
            [&](ValueId a, ValueId b) { return live_.ranges(a).front().from < live_.ranges(b).front().from; });
  using Busy = std::pair<u32, u32>;
  std::priority_queue<Busy, Vec<Busy>, std::greater<Busy>> busy;  // end, slot
  Vec<u32> end, free, class_slot(m_.f.values.size(), NONE);
  for (const ValueId v : values) {
    const u32 from = live_.ranges(v).front().from, to = live_.ranges(v).back().to;
    while (!busy.empty() && busy.top().first <= from) {
      if (end[busy.top().second] == busy.top().first) free.push_back(busy.top().second);
      busy.pop();
    }
    u32& wanted = class_slot[scan_.phi_class[v]];
    u32 slot = wanted != NONE && end[wanted] <= from ? wanted : NONE;
    // The list of free ones may name some that were taken out of turn.
    while (slot == NONE && !free.empty()) {
      if (end[free.back()] <= from) slot = free.back();
      free.pop_back();
    }
    if (slot == NONE) {
      slot = static_cast<u32>(end.size());
      end.push_back(0);
    }
    end[slot] = to;
    busy.push({to, slot});
    slot_of_[v] = wanted = slot;
  }
  a_.n_slots = static_cast<u32>(end.size());
}

void Resolver::place() {
  const std::size_t n = m_.f.values.size();
  a_.placed_start_.resize(n + 1);
  a_.placed_.reserve(scan_.pieces.size());
  for (ValueId v = 0; v < n; ++v) {
    a_.placed_start_[v] = static_cast<u32>(a_.placed_.size());
    for (u32 p = scan_.first_piece[v]; p != NONE; p = scan_.pieces[p].next) {
      const Piece& piece = scan_.pieces[p];
      const Loc loc = piece.reg != NO_REG ? Loc::in(piece.reg) : m_.remat(v) ? Loc::remat(v) : Loc::slot(slot_of_[v]);
      a_.placed_.push_back({piece.from, loc});
    }
  }
  a_.placed_start_[n] = static_cast<u32>(a_.placed_.size());
}

void Resolver::moves_of(ValueId v) {
  const u32 first = scan_.first_piece[v];
  if (first == NONE || (!m_.remat(v) && scan_.pieces[first].next == NONE && scan_.pieces[first].reg != NO_REG)) return;
  const std::size_t first_inner = inner_.size(), first_edge = on_edges_.size();
  stores_ = 0;
  inner_moves(v);
  moves_on_edges(v);
  if (slot_of_[v] != NONE) choose_stores(v, first_inner, first_edge);
}

/// Where a range begins in the middle of a block.
void Resolver::make_anew(ValueId v) {
  for (const Range& r : live_.ranges(v)) {
    const Loc dst = a_.loc(v, r.from);
    if (dst.is_reg() && live_.blocks[live_.block_at(r.from)].from != r.from) inner_.push_back({r.from & ~3u, {dst, Loc::remat(v)}});
  }
}

/// Where one piece follows another in the middle of a block.
void Resolver::inner_moves(ValueId v) {
  const std::size_t first = inner_.size();
  const bool remat = m_.remat(v);
  if (remat) make_anew(v);
  for (u32 p = scan_.first_piece[v]; scan_.pieces[p].next != NONE; p = scan_.pieces[p].next) {
    const Piece &before = scan_.pieces[p], &after = scan_.pieces[before.next];
    if (before.to != after.from) continue;
    const LaidBlock& block = live_.blocks[live_.block_at(after.from)];
    if (block.from == after.from || (remat && !live_.covers(v, after.from - 1))) continue;
    const u32 pos = after.from & ~3u;
    const Loc dst = a_.loc(v, after.from);
    Loc src = remat ? Loc::remat(v) : a_.loc(v, before.to - 1);
    if (src == dst || a_.loc(v, before.to - 1) == dst) continue;
    // What is moved on at once comes from where it was before all moves at this place.
    if (inner_.size() > first && inner_.back().pos == pos && inner_.back().move.dst == src) src = inner_.back().move.src;
    if (src == dst || dst.is_remat()) continue;
    inner_.push_back({pos, {dst, src}});
    if (dst.is_slot()) stores_ += block.freq;
  }
}

void Resolver::moves_on_edges(ValueId v) {
  const u32 def = live_.position_of[v];
  const bool remat = m_.remat(v), at_start = !remat && m_.skipped(m_.value(v));
  for (const Range& r : live_.ranges(v)) {
    for (u32 b = live_.block_at(r.from); b < live_.blocks.size() && live_.blocks[b].from < r.to; ++b) {
      const LaidBlock& block = live_.blocks[b];
      if (block.from < r.from || (at_start && block.from == def)) continue;
      const Loc dst = a_.loc(v, block.from);
      const auto& preds = m_.f.blocks[block.id].preds;
      for (u32 i = 0; i < preds.size(); ++i) {
        const LaidBlock& pred = live_.blocks[live_.index_of[preds[i]]];
        const Loc src = remat && !live_.covers(v, pred.to - 1) ? Loc::remat(v) : a_.loc(v, pred.to - 1);
        if (src == dst || dst.is_remat()) continue;
        on_edges_.push_back({a_.edge_base_[block.id] + i, {dst, src}});
        if (dst.is_slot()) stores_ += std::min(pred.freq, block.freq);
      }
    }
  }
}

/// A value is stored where it is split, or once and for all where it is written, whichever costs less.
void Resolver::choose_stores(ValueId v, std::size_t first_inner, std::size_t first_edge) {
  const u32 def = live_.position_of[v];
  const bool at_start = m_.skipped(m_.value(v));
  const Loc slot = Loc::slot(slot_of_[v]), born = a_.loc(v, at_start ? def : def + DEF_PHASE);
  if (born.is_reg() && stores_ < live_.freq_at(def)) return;
  const auto is_store = [&](const auto& x) { return x.move.dst == slot; };
  inner_.erase(std::remove_if(inner_.begin() + static_cast<std::ptrdiff_t>(first_inner), inner_.end(), is_store), inner_.end());
  on_edges_.erase(std::remove_if(on_edges_.begin() + static_cast<std::ptrdiff_t>(first_edge), on_edges_.end(), is_store),
                  on_edges_.end());
  if (born.is_reg()) inner_.push_back({def + 4, {slot, born}});
}

void Resolver::phi_moves() {
  for (BlockId b = 0; b < m_.f.blocks.size(); ++b)
    for (const ValueId id : m_.f.blocks[b].values) {
      const Value& phi = m_.value(id);
      if (phi.op != Op::Phi) break;
      if (!m_.is_kept(phi)) continue;
      const Loc dst = a_.loc(id, live_.position_of[id]);
      const auto& preds = m_.f.blocks[b].preds;
      for (u32 i = 0; i < preds.size(); ++i) {
        const ValueId arg = m_.f.phi_args[static_cast<std::size_t>(phi.imm) + i];
        const Loc src = m_.remat(arg) ? Loc::remat(arg) : a_.loc(arg, live_.blocks[live_.index_of[preds[i]]].to - 1);
        if (src != dst) on_edges_.push_back({a_.edge_base_[b] + i, {dst, src}});
      }
    }
}

void Resolver::sort_moves() {
  std::sort(inner_.begin(), inner_.end(),
            [](const Inner& a, const Inner& b) { return a.pos != b.pos ? a.pos < b.pos : a.move.dst.code < b.move.dst.code; });
  for (const Inner& x : inner_) {
    a_.move_pos_.push_back(x.pos);
    a_.moves_.push_back(x.move);
  }
  auto& start = a_.edge_start_;
  for (const OnEdge& x : on_edges_) ++start[x.edge + 1];
  for (std::size_t i = 1; i < start.size(); ++i) start[i] += start[i - 1];
  a_.edge_moves_.resize(on_edges_.size());
  Vec<u32> at(start.begin(), start.end() - 1);
  for (const OnEdge& x : on_edges_) a_.edge_moves_[at[x.edge]++] = x.move;
}

Allocation::Allocation(const Machine& machine, const Live& live) {
  Scan scan = scan_registers(machine, live);
  ok = scan.ok;
  if (!ok) return;
  used = scan.used;
  live_out = std::move(scan.live_out);
  Resolver(*this, machine, live, scan).run();
}

Loc Allocation::loc(ValueId v, u32 pos) const noexcept {
  const auto first = placed_.begin() + placed_start_[v], last = placed_.begin() + placed_start_[v + 1];
  if (last - first <= 1) return first == last ? Loc::remat(v) : first->loc;
  const auto it = std::upper_bound(first, last, pos, [](u32 x, const Placed& p) { return x < p.from; });
  return it == first ? first->loc : (it - 1)->loc;
}

std::span<const Move> Allocation::moves_before(u32 pos) noexcept {
  if (next_move_ > 0 && move_pos_[next_move_ - 1] >= pos)
    next_move_ = static_cast<std::size_t>(std::lower_bound(move_pos_.begin(), move_pos_.end(), pos) - move_pos_.begin());
  while (next_move_ < moves_.size() && move_pos_[next_move_] < pos) ++next_move_;
  const std::size_t first = next_move_;
  while (next_move_ < moves_.size() && move_pos_[next_move_] == pos) ++next_move_;
  return {moves_.data() + first, next_move_ - first};
}

std::span<const Move> Allocation::edge_moves(BlockId block, u32 i) const noexcept {
  const u32 e = edge_base_[block] + i;
  return {edge_moves_.data() + edge_start_[e], edge_start_[e + 1] - edge_start_[e]};
}

}  // namespace skep::jit
