#include "jit/scan.h"

#include <algorithm>

namespace skep::jit {
namespace {

/// Looked at by value before a long list is given up; keeps all of this linear.
constexpr u32 PATIENCE = 64;
/// The same for pieces in holes: each is looked at for each register.
constexpr u32 HOLES = 16;

/// Values that phis join, as far as they have a register of their own.
Vec<u32> phi_classes(const Machine& m) {
  Vec<u32> of(m.f.values.size());
  for (u32 i = 0; i < of.size(); ++i) of[i] = i;
  const auto root = [&](u32 v) {
    while (of[v] != v) v = of[v] = of[of[v]];
    return v;
  };
  for (const Block& b : m.f.blocks)
    for (const ValueId id : b.values) {
      const Value& phi = m.value(id);
      if (phi.op != Op::Phi) break;
      for (std::size_t i = 0; i < b.preds.size(); ++i) {
        const ValueId arg = m.f.phi_args[static_cast<std::size_t>(phi.imm) + i];
        if (!m.remat(arg)) of[root(arg)] = root(id);
      }
    }
  for (u32 i = 0; i < of.size(); ++i) of[i] = root(i);
  return of;
}

}  // namespace

Scanner::Scanner(const Machine& machine, const Live& live) : m_(machine), live_(live) {
  const std::size_t n = m_.f.values.size();
  out.phi_class = phi_classes(m_);
  class_reg_.assign(n, NO_REG);
  last_reg_.assign(n, NO_REG);
  stored_.assign(n, false);
  for (u32 r = 0; r < NR_REGS; ++r) active_[r] = NONE, until_[r] = FOREVER, last_end_[r] = 0;
  out.live_out.assign(live_.blocks.size(), 0);
  reg_use_start_.resize(n + 1);
  for (ValueId v = 0; v < n; ++v) {
    reg_use_start_[v] = static_cast<u32>(reg_uses_.size());
    for (const Use& u : live_.uses(v))
      if (u.need != Need::Any) reg_uses_.push_back(u);
  }
  reg_use_start_[n] = static_cast<u32>(reg_uses_.size());
  make_pieces();
}

/// By counting: positions are many and small.
void Scanner::make_pieces() {
  const std::size_t n = m_.f.values.size();
  out.first_piece.assign(n, NONE);
  out.pieces.reserve(n + n / 4);
  Vec<u32> start(live_.blocks.back().to + 2, 0);
  for (ValueId v = 0; v < n; ++v) {
    const auto ranges = live_.ranges(v);
    if (ranges.empty()) continue;
    out.first_piece[v] = static_cast<u32>(out.pieces.size());
    out.pieces.push_back({v, ranges.front().from, ranges.back().to, 0, NONE, NO_REG});
    ++start[ranges.front().from + 1];
  }
  for (std::size_t i = 1; i < start.size(); ++i) start[i] += start[i - 1];
  sorted_.resize(out.pieces.size());
  for (u32 p = 0; p < out.pieces.size(); ++p) sorted_[start[out.pieces[p].from]++] = p;
}

u32 Scanner::pop() {
  const u32 first = next_sorted_ < sorted_.size() ? out.pieces[sorted_[next_sorted_]].from : FOREVER;
  if (!children_.empty() && children_.top().first <= first) {
    const u32 p = children_.top().second;
    children_.pop();
    return p;
  }
  return next_sorted_ < sorted_.size() ? sorted_[next_sorted_++] : NONE;
}

void Scanner::advance_reg(u32 r, u32 pos) {
  for (;;) {
    if (active_[r] != NONE) {
      if (until_[r] > pos) return;
      Piece& p = out.pieces[active_[r]];
      const auto ranges = live_.ranges(p.value);
      while (p.cursor < ranges.size() && ranges[p.cursor].to <= pos) ++p.cursor;
      last_end_[r] = std::max(last_end_[r], until_[r]);
      if (p.cursor < ranges.size() && ranges[p.cursor].from < p.to && p.to > pos) {
        if (ranges[p.cursor].from <= pos) {
          until_[r] = std::min(ranges[p.cursor].to, p.to);
          return;
        }
        inactive_[r].push({ranges[p.cursor].from, active_[r]});
      }
      active_[r] = NONE;
      until_[r] = FOREVER;
    }
    if (inactive_[r].empty() || inactive_[r].top().first > pos) return;
    const auto [from, piece] = inactive_[r].top();
    inactive_[r].pop();
    const Piece& p = out.pieces[piece];
    if (p.reg != r || from >= p.to) continue;  // cut since
    active_[r] = piece;
    until_[r] = std::min(live_.ranges(p.value)[p.cursor].to, p.to);
  }
}

void Scanner::advance(u32 pos) {
  for (u32 r = 0; r < NR_REGS; ++r) {
    if (until_[r] <= pos || (!inactive_[r].empty() && inactive_[r].top().first <= pos)) advance_reg(r, pos);
  }
}

/// Notes what is in registers at the ends of blocks up to `pos`.
void Scanner::leave_blocks(u32 pos) {
  while (left_ < live_.blocks.size() && live_.blocks[left_].to <= pos) {
    advance(live_.blocks[left_].to - 1);
    RegMask mask = 0;
    for (u32 r = 0; r < NR_REGS; ++r)
      if (active_[r] != NONE) mask = static_cast<RegMask>(mask | bit(r));
    out.live_out[left_++] = mask;
  }
}

void Scanner::run() {
  for (u32 cur = pop(); cur != NONE && out.ok; cur = pop()) {
    leave_blocks(out.pieces[cur].from);
    position_ = out.pieces[cur].from;
    advance(position_);
    allocate(cur);
  }
  leave_blocks(FOREVER);
}

bool Scanner::covers(const Piece& p, u32 pos) const noexcept { return pos >= p.from && pos < p.to && live_.covers(p.value, pos); }

/// Ends `piece` at `pos`, which is inside of it; what follows is a new piece, which is returned. NONE: nothing follows.
u32 Scanner::split(u32 piece, u32 pos) {
  const ValueId v = out.pieces[piece].value;
  const auto ranges = live_.ranges(v);
  const u32 end = out.pieces[piece].to;
  // From the start: it may be a place that has been passed.
  const auto it = std::upper_bound(ranges.begin(), ranges.end(), pos, [](u32 x, const Range& r) { return x < r.to; });
  const u32 cursor = static_cast<u32>(it - ranges.begin());
  out.pieces[piece].to = pos;
  if (cursor == ranges.size() || ranges[cursor].from >= end) return NONE;
  const u32 from = std::max(pos, ranges[cursor].from);
  const u32 child = static_cast<u32>(out.pieces.size());
  out.pieces.push_back({v, from, end, cursor, out.pieces[piece].next, NO_REG});
  out.pieces[piece].next = child;
  return child;
}

void Scanner::assign(u32 piece, Reg reg) {
  Piece& p = out.pieces[piece];
  p.reg = reg;
  active_[reg] = piece;
  until_[reg] = std::min(live_.ranges(p.value)[p.cursor].to, p.to);
  out.used = static_cast<RegMask>(out.used | bit(reg));
  class_reg_[out.phi_class[p.value]] = reg;
  last_reg_[p.value] = reg;
}

const Use* Scanner::next_use(ValueId v, u32 pos) const noexcept {
  const auto uses = live_.uses(v);
  const auto it = std::lower_bound(uses.begin(), uses.end(), pos, [](const Use& u, u32 x) { return u.pos < x; });
  return it == uses.end() ? nullptr : &*it;
}

const Use* Scanner::next_reg_use(ValueId v, u32 pos) const noexcept {
  const auto first = reg_uses_.begin() + reg_use_start_[v], last = reg_uses_.begin() + reg_use_start_[v + 1];
  const auto it = std::lower_bound(first, last, pos, [](const Use& u, u32 x) { return u.pos < x; });
  return it == last ? nullptr : &*it;
}

const Use* Scanner::last_use_before(ValueId v, u32 pos) const noexcept {
  const auto uses = live_.uses(v);
  const auto it = std::lower_bound(uses.begin(), uses.end(), pos, [](const Use& u, u32 x) { return u.pos < x; });
  return it == uses.begin() ? nullptr : &*(it - 1);
}

/// The piece's uses by the instruction at its start that are better, or must be, in a register.
std::span<const Use> Scanner::uses_now(const Piece& p) const noexcept {
  const Use* first = next_reg_use(p.value, p.from);
  if (!first) return {};
  const Use* last = first;
  const Use* end = reg_uses_.data() + reg_use_start_[p.value + 1];
  while (last != end && last->pos < std::min(base(p.from) + 4, p.to)) ++last;
  return {first, last};
}

/// Up to where the instruction at the piece's start wants it in a register.
u32 Scanner::need_end(const Piece& p) const noexcept {
  const auto uses = uses_now(p);
  return uses.empty() ? p.from + 1 : uses.back().pos + 1;
}

bool Scanner::must_have_reg(const Piece& p) const noexcept {
  for (const Use& u : uses_now(p))
    if (u.need == Need::Reg) return true;
  return false;
}

/// A place in (min, max] where the moves that a split needs cost least: max itself, or the border of a block that is run less
/// often.
u32 Scanner::best_split(u32 min, u32 max) const noexcept {
  u32 b = live_.block_at(max), best = max;
  float cost = live_.blocks[b].freq;
  for (u32 n = 0; b > 0 && live_.blocks[b].from > min && n < PATIENCE; --b, ++n) {
    const float here = std::min(live_.blocks[b].freq, live_.blocks[b - 1].freq);
    if (here < cost) cost = here, best = live_.blocks[b].from;
  }
  return best;
}

/// From `pos` on the piece is in memory, until a little before it is wanted in a register.
void Scanner::spill_from(u32 piece, u32 pos) {
  const u32 rest = pos > out.pieces[piece].from ? split(piece, pos) : piece;
  if (rest == NONE) return;
  Piece& p = out.pieces[rest];
  p.reg = NO_REG;
  const ValueId v = p.value;
  stored_[v] = true;
  const u32 now = std::max(p.from, position_);
  const Use* u = next_reg_use(v, base(now) + 4);
  if (!u || u->pos >= p.to) return;
  const u32 at = best_split(now, base(u->pos));
  const u32 child = split(rest, at);
  if (child != NONE) children_.push({out.pieces[child].from, child});
}

/// The piece's register is lost at `conflict`: what comes then is a piece of its own.
void Scanner::cut_at(u32 piece, u32 conflict) {
  const Piece& p = out.pieces[piece];
  const ValueId v = p.value;
  const u32 from = p.from;
  u32 at = conflict;
  const Use* used = next_reg_use(v, conflict);
  // An instruction that reads it after its register is lost wants it elsewhere before it begins.
  if (used && used->pos < base(conflict) + 4 && base(conflict) > from) at = base(conflict);
  const Use* last = last_use_before(v, at);
  const u32 best = best_split(std::max(from, last ? std::max(last->pos, from) : from), at);
  const u32 child = split(piece, best > from ? best : at);
  if (child != NONE) children_.push({out.pieces[child].from, child});
}

// --- What stands in the way ---

/// The first position of `cur` at which one of the ranges `lost` lies, if it is below `bound`, else `bound`.
u32 Scanner::conflict_with(const Piece& cur, std::span<const Range> lost, u32 bound) const noexcept {
  const auto ranges = live_.ranges(cur.value);
  auto at = lost.begin();
  for (u32 i = cur.cursor; i < ranges.size(); ++i) {
    const u32 from = std::max(ranges[i].from, cur.from), to = std::min({ranges[i].to, cur.to, bound});
    if (from >= to) {
      if (ranges[i].from >= std::min(cur.to, bound)) break;
      continue;
    }
    at = std::upper_bound(at, lost.end(), from, [](u32 x, const Range& r) { return x < r.to; });
    if (at == lost.end()) break;
    if (at->from < to) return std::max(at->from, from);
  }
  return bound;
}

u32 Scanner::intersection(const Piece& a, const Piece& b, u32 bound) const noexcept {
  const auto ra = live_.ranges(a.value), rb = live_.ranges(b.value);
  u32 i = a.cursor, j = b.cursor;
  for (u32 n = 0; i < ra.size() && j < rb.size(); ++n) {
    const u32 from = std::max({ra[i].from, rb[j].from, a.from, b.from}), to = std::min({ra[i].to, rb[j].to, a.to, b.to});
    if (from >= bound || from >= a.to || from >= b.to) return bound;
    if (from < to || n == PATIENCE) return from;
    if (ra[i].to < rb[j].to)
      ++i;
    else
      ++j;
  }
  return bound;
}

u32 Scanner::conflict_with_inactive(const Piece& cur, u32 reg, u32 bound) {
  Heap& heap = inactive_[reg];
  while (!heap.empty() && (out.pieces[heap.top().second].reg != reg || heap.top().first >= out.pieces[heap.top().second].to))
    heap.pop();
  if (heap.empty() || heap.top().first >= bound) return bound;
  // The heap's own order is of no use beyond its top: a few are looked at one by one, of many the first is taken to be in the way.
  if (heap.size() > HOLES) return std::max(heap.top().first, cur.from);
  struct Open : Heap {
    static const Vec<Waiting>& all(const Heap& h) { return h.*&Open::c; }
  };
  for (const auto& [from, piece] : Open::all(heap)) {
    const Piece& p = out.pieces[piece];
    if (p.reg == reg && from < p.to && from < bound) bound = intersection(cur, p, bound);
  }
  return bound;
}

/// limit_[r]: up to where r is free for the piece; its start: not at all.
void Scanner::find_limits(u32 cur) {
  const Piece& p = out.pieces[cur];
  const u32 call = conflict_with(p, live_.calls(), p.to);
  for (u32 r = 0; r < NR_REGS; ++r) {
    limit_[r] = p.from;
    if (r == RSP) continue;
    u32 limit = CALLER_SAVED & bit(r) ? call : p.to;
    if (!live_.lost(r).empty()) limit = conflict_with(p, live_.lost(r), limit);
    limit_[r] = conflict_with_inactive(p, r, limit);
    // A piece that begins inside of an instruction is moved there before it: whoever was in the register must have left by then.
    if ((p.from & 3) == 1 && last_end_[r] > base(p.from)) limit_[r] = p.from;
    // The other way round: who comes with a result wants the register empty when the instruction begins to write.
    if (limit_[r] < p.to && (limit_[r] & 3) == DEF_PHASE) limit_[r] = std::max(p.from, limit_[r] - 1);
  }
}

Scan scan_registers(const Machine& machine, const Live& live) {
  Scanner scanner(machine, live);
  scanner.run();
  return std::move(scanner.out);
}

}  // namespace skep::jit
