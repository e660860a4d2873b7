// jit tests: whether each operand finds its value where the allocation says, on every way to it. Walks places and names, not
// numbers.
#pragma once
#include <fmt/format.h>

#include <optional>
#include <set>
#include <string>

#include "jit/alloc.h"

namespace skep::jit::test {

class AllocChecker {
 public:
  AllocChecker(const Machine& m, const Live& live, Allocation& a) : m_(m), live_(live), a_(a) {}

  /// Empty, or what is wrong first.
  std::string check() {
    in_.resize(m_.f.blocks.size());
    std::vector<BlockId> work = {0};
    in_[0] = State(NR_REGS + a_.n_slots);
    while (!work.empty()) {
      const BlockId b = work.back();
      work.pop_back();
      State s = *in_[b];
      block(b, s, false);
      for (u32 k = 0; k < m_.f.n_succs(m_.f.blocks[b]); ++k) {
        const BlockId to = m_.f.blocks[b].succs[k];
        State t = s;
        edge(b, k, t, false);
        if (meet(to, t)) work.push_back(to);
      }
    }
    for (const LaidBlock& b : live_.blocks) {
      State s = *in_[b.id];
      block(b.id, s, true);
      for (u32 k = 0; k < m_.f.n_succs(m_.f.blocks[b.id]); ++k) {
        State t = s;
        edge(b.id, k, t, true);
      }
    }
    return error_;
  }

 private:
  using State = std::vector<std::set<ValueId>>;  ///< of each place: the values that are there

  void fail(std::string what) {
    if (error_.empty()) error_ = std::move(what);
  }
  static std::string name(Loc l) {
    return l.is_reg() ? fmt::format("r{}", l.code) : l.is_slot() ? fmt::format("s{}", l.slot_index()) : "anew";
  }
  void expect(const State& s, ValueId v, Loc l, const char* where, u32 pos) {
    if (l.is_remat()) {
      if (l.value() != v || !m_.remat(v)) fail(fmt::format("{} at {}: v{} is made anew", where, pos, v));
    } else if (!s[l.code].contains(v)) {
      fail(fmt::format("{} at {}: v{} is not in {}", where, pos, v, name(l)));
    }
  }
  void apply(State& s, std::span<const Move> moves, const char* where, u32 pos) {
    const State before = s;
    std::set<u32> written;
    for (const Move& m : moves) {
      if (!written.insert(m.dst.code).second) fail(fmt::format("{} at {}: {} is written twice", where, pos, name(m.dst)));
      s[m.dst.code] = m.src.is_remat() ? std::set<ValueId>{m.src.value()} : before[m.src.code];
    }
  }
  void define(State& s, ValueId v, Loc l) {
    for (auto& place : s) place.erase(v);
    s[l.code] = {v};
  }
  bool meet(BlockId to, const State& s) {
    if (!in_[to]) {
      in_[to] = s;
      return true;
    }
    bool changed = false;
    for (std::size_t i = 0; i < s.size(); ++i)
      changed |= std::erase_if((*in_[to])[i], [&](ValueId v) { return !s[i].contains(v); }) != 0;
    return changed;
  }

  void block(BlockId b, State& s, bool report) {
    for (const ValueId id : m_.f.blocks[b].values) {
      const Value& v = m_.value(id);
      const u32 pos = live_.position_of[id];
      if (v.op == Op::Param && m_.is_kept(v)) define(s, id, a_.loc(id, pos));
      if (m_.skipped(v)) continue;
      apply(s, a_.moves_before(pos), "move", pos);
      const auto uses = [&](Phase wanted) {
        m_.each_use(v, [&](ValueId used, Phase phase, Need need, Reg) {
          if (phase != wanted || !report) return;
          const Loc l = need == Need::Any && m_.remat(used) ? Loc::remat(used) : a_.loc(used, pos + phase);
          expect(s, used, l, "use", pos);
          if (need == Need::Reg && !l.is_reg()) fail(fmt::format("use at {}: v{} is not in a register", pos, used));
        });
      };
      uses(EARLY);
      const Lost lost = m_.lost(v);
      for (u32 r = 0; r < NR_REGS; ++r)
        if (lost.regs & bit(r)) s[r].clear();
      uses(MID);
      uses(LATE);
      if (!m_.is_kept(v)) continue;
      const Loc d = a_.loc(id, pos + DEF_PHASE);
      if (!d.is_reg()) {
        fail(fmt::format("v{} at {} has no register", id, pos));
        continue;
      }
      if (lost.late && (lost.regs & bit(d.code))) fail(fmt::format("v{} at {} is in a register that is lost", id, pos));
      // A late operand must still be there when the result is written.
      m_.each_use(v, [&](ValueId used, Phase phase, Need, Reg) {
        if (phase == LATE && used != id && !(m_.remat(used) && !live_.covers(used, pos + LATE)) && a_.loc(used, pos + LATE) == d)
          fail(fmt::format("v{} at {} overwrites an operand", id, pos));
      });
      define(s, id, d);
    }
  }

  void edge(BlockId from, u32 k, State& s, bool report) {
    const Block& p = m_.f.blocks[from];
    const BlockId to = p.succs[k];
    const auto& preds = m_.f.blocks[to].preds;
    u32 i = 0, seen = 0;
    const u32 nth = k == 1 && p.succs[0] == p.succs[1];
    for (; i < preds.size(); ++i)
      if (preds[i] == from && seen++ == nth) break;
    const u32 pos = live_.blocks[live_.index_of[to]].from;
    apply(s, a_.edge_moves(to, i), "edge", pos);
    std::vector<std::pair<ValueId, Loc>> phis;
    for (const ValueId id : m_.f.blocks[to].values) {
      const Value& phi = m_.value(id);
      if (phi.op != Op::Phi) break;
      if (!m_.is_kept(phi)) continue;
      const Loc l = a_.loc(id, pos);
      if (report) expect(s, m_.f.phi_args[static_cast<std::size_t>(phi.imm) + i], l, "phi", pos);
      phis.emplace_back(id, l);
    }
    for (const auto& [id, l] : phis)
      for (auto& place : s) place.erase(id);
    for (const auto& [id, l] : phis) s[l.code].insert(id);
  }

  const Machine& m_;
  const Live& live_;
  Allocation& a_;
  std::vector<std::optional<State>> in_;
  std::string error_;
};

}  // namespace skep::jit::test
