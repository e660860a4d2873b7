// jit: stack slots that nobody else reaches become variables.
#include <algorithm>
#include <array>

#include "jit/consts.h"
#include "jit/frame_use.h"
#include "jit/operands.h"
#include "jit/passes.h"
#include "jit/ssa.h"

namespace skep::jit {
namespace {

class Promotion {
 public:
  Promotion(Built& built, const Program& program) : f_(built.function), loops_(built.loops), use_(f_, program) {}

  void run() {
    if (use_.accesses.empty()) return;
    find_groups();
    for (const FrameUse::Access& a : use_.accesses) judge(a);
    choose();
    if (chosen_ == 0) return;
    ConstPool consts(f_);
    SsaVars vars(f_, loops_);
    for (const FrameUse::Access& a : use_.accesses) {
      const u32 var = var_of(a);
      if (var == NONE) continue;
      const BlockId b = f_.values[a.id].block;
      if (a.stores)
        vars.note_writes(b, u64{1} << var);
      else
        vars.note_reads(b, u64{1} << var);
    }
    vars.solve();
    for (u32 var = 0; var < SsaVars::MAX; ++var)
      if ((vars.live_on_entry() >> var & 1) != 0) vars.now[var] = consts.get(0);
    replace(vars, consts);
  }

 private:
  struct Group {
    u16 from, to;
    bool good;
    u32 var;
    u64 weight;
  };

  /// Accesses that overlap belong together.
  void find_groups() {
    std::array<u16, FrameUse::BYTES> end{};
    u16 first = FrameUse::BYTES, last = 0;
    for (const FrameUse::Access& a : use_.accesses) {
      end[a.at] = std::max<u16>(end[a.at], static_cast<u16>(a.at + a.size));
      first = std::min(first, a.at);
      last = std::max(last, a.at);
    }
    for (u16 at = first; at <= last; ++at) {
      if (end[at] == 0) continue;
      if (groups_.empty() || groups_.back().to <= at) groups_.push_back({at, at, true, NONE, 0});
      Group& g = groups_.back();
      g.to = std::max(g.to, end[at]);
      group_[at] = static_cast<u32>(groups_.size()) - 1;
    }
    for (Group& g : groups_)
      for (u16 at = g.from; at < g.to; ++at) g.good &= !use_.shared.test(at);
  }

  /// A variable is written as a whole, and read as a whole or in part.
  void judge(const FrameUse::Access& a) {
    Group& g = groups_[group_[a.at]];
    if (a.stores) g.good &= a.at == g.from && a.size == g.to - g.from;
    if (g.to - g.from > 8) g.good = false;
    g.weight += u64{1} << std::min<u32>(4 * f_.blocks[f_.values[a.id].block].loop_depth, 32);
  }

  void choose() {
    Vec<u32> good;
    for (u32 i = 0; i < groups_.size(); ++i)
      if (groups_[i].good) good.push_back(i);
    if (good.size() > SsaVars::MAX) {
      std::nth_element(good.begin(), good.begin() + SsaVars::MAX, good.end(),
                       [&](u32 a, u32 b) { return groups_[a].weight > groups_[b].weight; });
      good.resize(SsaVars::MAX);
    }
    for (const u32 i : good) groups_[i].var = chosen_++;
  }

  u32 var_of(const FrameUse::Access& a) const { return groups_[group_[a.at]].var; }

  void replace(SsaVars& vars, ConstPool& consts) {
    Vec<ValueId> moved(f_.values.size());
    for (ValueId v = 0; v < moved.size(); ++v) moved[v] = v;
    auto next = use_.accesses.begin();
    for (BlockId b = 0; b < f_.blocks.size(); ++b) {
      const Vec<ValueId> values = std::move(f_.blocks[b].values);
      f_.blocks[b].values.clear();
      f_.blocks[b].values.reserve(values.size() + 8);
      vars.begin(b);
      // New phis stand in front of what else there is: with the old ones.
      for (const ValueId id : values) {
        if (next == use_.accesses.end() || next->id != id) {
          f_.blocks[b].values.push_back(id);
          continue;
        }
        const FrameUse::Access a = *next++;
        const u32 var = var_of(a);
        if (var == NONE)
          f_.blocks[b].values.push_back(id);
        else if (a.stores)
          vars.now[var] = resolve(moved, f_.values[id].arg[2]);
        else
          take(a, id, vars.now[var], consts, moved);
      }
      vars.end(b);
    }
    consts.place();
    moved.resize(f_.values.size());
    for (std::size_t v = known_; v < moved.size(); ++v) moved[v] = static_cast<ValueId>(v);
    vars.finish(moved);
  }

  /// A load becomes the variable, or an extension of what of it was read.
  void take(const FrameUse::Access& a, ValueId id, ValueId whole, ConstPool& consts, Vec<ValueId>& moved) {
    const Group& g = groups_[group_[a.at]];
    Value& v = f_.values[id];
    if (a.size == 8) {
      moved[id] = whole;
      return;
    }
    if (a.at != g.from) {
      const s64 by = 8 * (a.at - g.from);
      Value shift;
      shift.op = Op::Shr;
      shift.block = v.block;
      shift.insn = v.insn;
      shift.arg[0] = whole;
      const ValueId n = consts.get(by);
      shift.arg[1] = n;
      whole = static_cast<ValueId>(f_.values.size());
      f_.blocks[shift.block].values.push_back(whole);
      f_.values.push_back(shift);
    }
    Value& load = f_.values[id];
    load.op = load.sign ? Op::Sext : Op::Zext;
    load.sign = load.probe = false;
    load.arg[0] = whole;
    load.disp = 0;
    f_.blocks[load.block].values.push_back(id);
  }

  Function& f_;
  const Loops& loops_;
  FrameUse use_;
  std::array<u32, FrameUse::BYTES> group_;  ///< of the byte that an access begins at
  Vec<Group> groups_;
  u32 chosen_ = 0;
  const std::size_t known_ = f_.values.size();
};

}  // namespace

void promote_stack(Built& built, const Program& program) { Promotion(built, program).run(); }

}  // namespace skep::jit
