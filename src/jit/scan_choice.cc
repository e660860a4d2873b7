// Which register a piece gets, and who has to go.
#include <algorithm>

#include "jit/scan.h"

namespace skep::jit {
namespace {

constexpr Reg ORDER[] = {RAX, RCX, RDX, RSI, RDI, R8, R9, R10, R11, RBX, RBP, R14, R15, R12, R13};
constexpr u32 PATIENCE = 64;
/// What it costs to save and restore a register once, in the frequency of the entry.
constexpr float SAVE_COST = 2;

}  // namespace

/// The lowest frequency of a place between two positions where a value might be moved.
float Scanner::lowest_freq(u32 min, u32 max) const noexcept {
  u32 b = live_.block_at(max);
  float lowest = live_.blocks[b].freq;
  for (u32 n = 0; b > 0 && live_.blocks[b].from > min && n < PATIENCE; --b, ++n)
    lowest = std::min({lowest, live_.blocks[b].freq, live_.blocks[b - 1].freq});
  return lowest;
}

/// The piece's next use behind `pos`, where a loop that comes round again counts. FOREVER: none. *freq: what fetching it for that
/// costs.
u32 Scanner::next_use_in_loops(const Piece& p, u32 pos, float* freq) const noexcept {
  const ValueId v = p.value;
  const Use* u = m_.remat(v) ? next_reg_use(v, pos) : next_use(v, pos);
  const u32 next = u && u->pos < p.to ? u->pos : FOREVER;
  for (u32 l = live_.blocks[live_.block_at(pos)].loop; l != NONE; l = live_.loops[l].parent) {
    const LaidBlock &first = live_.blocks[live_.loops[l].first], &last = live_.blocks[live_.loops[l].last];
    if (next < last.to) break;
    const Use* before = last_use_before(v, pos);
    if (before && before->pos >= first.from && covers(p, last.to - 1)) {
      *freq = last.freq;
      return last.to - 1;
    }
  }
  *freq = next == FOREVER ? 0 : lowest_freq(pos, next);
  return next;
}

/// What it costs when the piece is in memory from `pos` on, or from a better place before.
float Scanner::spill_cost(const Piece& p, u32 pos) const noexcept {
  float fetch = 0;
  next_use_in_loops(p, pos, &fetch);
  if (m_.remat(p.value)) return fetch / 2;
  if (stored_[p.value]) return fetch;
  const Use* last = last_use_before(p.value, base(pos));
  const float store = lowest_freq(last ? std::max(last->pos, p.from) : p.from, base(pos));
  return fetch + std::min(store, live_.freq_at(live_.position_of[p.value]));
}

void Scanner::gather_hints(const Piece& p) {
  n_hints_ = 0;
  const auto add = [&](Reg r) {
    if (r != NO_REG && n_hints_ < std::size(hints_)) hints_[n_hints_++] = r;
  };
  const ValueId v = p.value;
  const Value& value = m_.value(v);
  add(last_reg_[v]);
  if (value.op == Op::Param) add(m_.result_hint(value));
  add(class_reg_[out.phi_class[v]]);
  const auto uses = live_.uses(v);
  const Use* u = next_use(v, p.from);
  const Use* end = uses.data() + uses.size();
  Reg wanted = NO_REG, joined = NO_REG;
  for (u32 n = 0; u && u != end && u->pos < p.to && n < 6; ++u, ++n) {
    if (u->hint != NO_REG) wanted = u->hint;
    const Value& user = m_.value(u->user);
    if (joined == NO_REG && u->user != v && (is_binary(user.op) || is_unary(user.op)) && user.arg[0] == v)
      joined = class_reg_[out.phi_class[u->user]];
  }
  if (value.op != Op::Phi && !m_.remat(v)) {
    if (value.op == Op::Select) {
      add(last_reg_[value.arg[m_.select_first(value)]]);
      add(last_reg_[value.arg[5 - m_.select_first(value)]]);
    } else if (is_binary(value.op) || is_unary(value.op)) {
      add(joined);
      add(wanted);
      add(last_reg_[value.arg[0]]);
      if (is_commutative(value.op) && value.arg[1] != NONE) add(last_reg_[value.arg[1]]);
    } else if (value.op == Op::Atomic) {
      add(last_reg_[value.arg[2]]);
    }
  }
  add(wanted);
  add(joined);
}

bool Scanner::may_evict(u32 reg, u32 pos) const noexcept {
  const u32 a = active_[reg];
  if (a == NONE) return true;
  const Piece& p = out.pieces[a];
  if (p.from > base(pos)) return false;
  const Use* u = next_reg_use(p.value, base(pos));
  return !(u && u->pos < base(pos) + 4);
}

/// Whoever is in `reg` leaves it, before the instruction at `pos` at the latest.
void Scanner::evict(u32 reg, u32 pos) {
  const u32 a = active_[reg];
  if (a == NONE) return;
  const Piece& p = out.pieces[a];
  const Use* last = last_use_before(p.value, base(pos));
  const u32 at = best_split(last ? std::max(last->pos, p.from) : p.from, base(pos));
  active_[reg] = NONE;
  until_[reg] = FOREVER;
  spill_from(a, at);
}

/// The cheapest register that can be had by sending someone away, if that costs less than `worth`. `whole`: only for all of the
/// piece.
bool Scanner::take_by_force(u32 cur, bool whole, float worth) {
  const Piece& p = out.pieces[cur];
  const u32 needed = whole ? p.to : need_end(p);
  Reg best = NO_REG;
  float best_cost = 0;
  u32 best_next = 0;
  for (const Reg r : ORDER) {
    if (limit_[r] < needed || !may_evict(r, p.from)) continue;
    float cost = 0, fetch = 0;
    u32 next = FOREVER;
    if (active_[r] == NONE) {
      if (!(bit(r) & (CALLER_SAVED | out.used))) cost = SAVE_COST;
    } else {
      cost = spill_cost(out.pieces[active_[r]], p.from);
      next = next_use_in_loops(out.pieces[active_[r]], p.from, &fetch);
    }
    if (best != NO_REG && (cost > best_cost || (cost == best_cost && next <= best_next))) continue;
    best = r, best_cost = cost, best_next = next;
  }
  if (best == NO_REG || best_cost >= worth) return false;
  evict(best, out.pieces[cur].from);
  if (limit_[best] < out.pieces[cur].to) cut_at(cur, limit_[best]);
  assign(cur, best);
  return true;
}

/// A register that is free for all of the piece.
bool Scanner::take_free(u32 cur) {
  const Piece& p = out.pieces[cur];
  for (u32 i = 0; i < n_hints_; ++i)
    if (active_[hints_[i]] == NONE && limit_[hints_[i]] >= p.to && (bit(hints_[i]) & (CALLER_SAVED | out.used))) {
      assign(cur, hints_[i]);
      return true;
    }
  Reg unused = NO_REG, partly = NO_REG;
  for (const Reg r : ORDER) {
    if (active_[r] != NONE) continue;
    if (limit_[r] >= p.to) {
      if (bit(r) & (CALLER_SAVED | out.used)) {
        assign(cur, r);
        return true;
      }
      if (unused == NO_REG) unused = r;
    } else if (limit_[r] >= need_end(p) && limit_[r] > p.from && (partly == NO_REG || limit_[r] > limit_[partly])) {
      partly = r;
    }
  }
  if (unused == NO_REG) return false;
  // A register more to save in the prologue: not for the sake of a place that is seldom passed.
  if (partly != NO_REG && spill_cost(p, limit_[partly]) < SAVE_COST) return false;
  if (partly == NO_REG && !wants_reg_now(p) && spill_cost(p, p.from) < SAVE_COST) return false;
  assign(cur, unused);
  return true;
}

/// The register that is free longest, until it is lost.
void Scanner::take_partly_free(u32 cur, Reg reg) {
  const u32 limit = limit_[reg];
  cut_at(cur, limit);
  assign(cur, reg);
}

void Scanner::allocate(u32 cur) {
  const Piece& p = out.pieces[cur];
  const u32 from = p.from;
  // What is made from nothing is made where it is needed.
  if (m_.remat(p.value) && !wants_reg_now(p)) {
    const Use* u = next_reg_use(p.value, from);
    if (!u || u->pos >= p.to || (from & 3) != 0) {
      spill_from(cur, from);
      return;
    }
  }
  find_limits(cur);
  gather_hints(p);
  if (take_free(cur)) return;
  Reg partly = NO_REG;
  const u32 needed = need_end(p);
  for (const Reg r : ORDER)
    if (active_[r] == NONE && limit_[r] >= needed && limit_[r] > from && limit_[r] < p.to &&
        (partly == NO_REG || limit_[r] > limit_[partly]))
      partly = r;
  for (u32 i = 0; i < n_hints_ && partly != NO_REG; ++i)
    if (active_[hints_[i]] == NONE && limit_[hints_[i]] == limit_[partly]) {
      partly = hints_[i];
      break;
    }
  const bool wanted = wants_reg_now(p);
  if (partly != NO_REG && (wanted || limit_[partly] > base(from) + 4)) {
    const float cost = spill_cost(p, limit_[partly]);
    if (cost > SAVE_COST && take_by_force(cur, true, cost / 2)) return;
    take_partly_free(cur, partly);
    return;
  }
  const bool must = must_have_reg(p);
  if (take_by_force(cur, false, must ? 1e30F : spill_cost(p, from))) return;
  if (must) {
    out.ok = false;
    return;
  }
  spill_from(cur, from);
}

}  // namespace skep::jit
