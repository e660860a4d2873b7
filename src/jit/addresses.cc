// jit: sums that are only looked through as addresses become part of the access; others that the machine's address unit can do
// become Lea.
#include "jit/operands.h"
#include "jit/passes.h"

namespace skep::jit {
namespace {

class Addresses {
 public:
  explicit Addresses(Function& f) : f_(f), looked_through_(f.values.size(), 0) {}

  /// True where it changed who is used.
  bool run() {
    for (const Block& b : f_.blocks)
      for (const ValueId id : b.values) {
        const Value& v = f_.values[id];
        if (!is_memory(v.op)) continue;
        for (u32 i = 0; i < 2; ++i)
          if (v.arg[i] != NONE) ++looked_through_[v.arg[i]];
        // Also stored or compared: then it is needed as it is.
        for (u32 i = 2; i < 4; ++i)
          if (v.arg[i] != NONE && (v.arg[i] == v.arg[0] || v.arg[i] == v.arg[1])) looked_through_[v.arg[i]] = 0;
      }
    for (Block& b : f_.blocks)
      for (const ValueId id : b.values) {
        Value& v = f_.values[id];
        if (is_memory(v.op)) {
          fold(v);
          anchor(v);
        } else
          make_lea(v);
      }
    return changed_;
  }

 private:
  static constexpr std::size_t MAX_ANCHORS = 16;
  static constexpr u32 MAX_INDEXED = 3;  ///< accesses that each do a sum of two again

  const Value& at(ValueId v) const { return f_.values[v]; }
  bool is_const(ValueId v) const { return v != NONE && at(v).op == Op::Const; }

  /// Nobody needs the sum but accesses, so that it goes.
  bool vanishes(ValueId v, u32 others) const { return at(v).uses <= looked_through_[v] + others; }

  void fold(Value& v) {
    u32 others = 0;  // a sum inside one that vanishes has that as a user
    for (u32 turn = 0; turn < 4; ++turn) {
      const ValueId base = v.arg[0];
      if (base == NONE || !vanishes(base, others) || !fold_base(v, at(base), base)) break;
      others = 1;
      changed_ = true;
    }
    others = 0;
    for (u32 turn = 0; turn < 3; ++turn) {
      const ValueId index = v.arg[1];
      if (index == NONE || (at(index).uses > 1 && !vanishes(index, others)) || !fold_index(v, at(index))) break;
      others = 1;
      changed_ = true;
    }
  }

  static bool add_disp(Value& v, s64 more) {
    if (more < -(s64{1} << 31) || more >= s64{1} << 31) return false;
    const s64 disp = v.disp + more;
    if (disp != static_cast<s32>(disp)) return false;
    v.disp = static_cast<s32>(disp);
    return true;
  }

  bool fold_base(Value& v, const Value& base, ValueId id) {
    if (base.op != Op::Add || base.width != 8) return false;
    if (is_const(base.arg[1]) && add_disp(v, at(base.arg[1]).imm)) {
      v.arg[0] = base.arg[0];
      return true;
    }
    if (v.arg[1] != NONE || looked_through_[id] > MAX_INDEXED) return false;
    v.arg[0] = base.arg[0];
    v.arg[1] = base.arg[1];
    // The shifted one is the index, and what is known already best the base.
    if (is_scaling(v.arg[0], 8) && !is_scaling(v.arg[1], 8)) std::swap(v.arg[0], v.arg[1]);
    if (is_const(v.arg[1])) std::swap(v.arg[0], v.arg[1]);
    return true;
  }

  bool is_scaling(ValueId v, u8 width) const {
    const Value& s = at(v);
    return s.op == Op::Shl && s.width == width && is_const(s.arg[1]) && at(s.arg[1]).imm >= 1 && at(s.arg[1]).imm <= 3;
  }

  bool fold_index(Value& v, const Value& index) {
    if (index.op == Op::Shl && index.width == 8 && is_const(index.arg[1]) && at(index.arg[1]).imm + v.scale <= 3) {
      v.scale = static_cast<u8>(v.scale + at(index.arg[1]).imm);
      v.arg[1] = index.arg[0];
      return true;
    }
    if (index.op != Op::Add || index.width != 8 || !is_const(index.arg[1])) return false;
    const s64 by = at(index.arg[1]).imm;
    if (by < -(s64{1} << 27) || by > s64{1} << 27 || !add_disp(v, by * (s64{1} << v.scale))) return false;
    v.arg[1] = index.arg[0];
    return true;
  }

  /// Constants near one another are one of them and a displacement.
  void anchor(Value& v) {
    for (u32 i = 0; i < 2; ++i) {
      if (!is_const(v.arg[i]) || (i == 1 && v.scale != 0) || is_small(at(v.arg[i]).imm)) continue;
      for (const ValueId a : anchors_) {
        if (a == v.arg[i]) return;
        const u64 apart = static_cast<u64>(at(v.arg[i]).imm) - static_cast<u64>(at(a).imm);
        if (static_cast<u64>(static_cast<s64>(static_cast<s32>(apart))) != apart || !add_disp(v, static_cast<s64>(apart))) continue;
        v.arg[i] = a;
        changed_ = true;
        return;
      }
      if (anchors_.size() < MAX_ANCHORS) anchors_.push_back(v.arg[i]);
      return;
    }
  }
  static bool is_small(s64 imm) { return imm == static_cast<s32>(imm); }

  void make_lea(Value& v) {
    if (v.op == Op::Mul && is_const(v.arg[1])) {
      const s64 c = at(v.arg[1]).imm;
      if (c == 3 || c == 5 || c == 9) become_lea(v, v.arg[0], v.arg[0], c == 3 ? 1 : c == 5 ? 2 : 3);
      return;
    }
    if (v.op != Op::Add || is_const(v.arg[1])) return;
    for (u32 i = 0; i < 2; ++i) {
      const ValueId s = v.arg[i], other = v.arg[1 - i];
      if (s == other || !is_scaling(s, v.width) || at(s).uses > 1 || is_const(other) || at(other).op == Op::FrameAddr) continue;
      become_lea(v, other, at(s).arg[0], static_cast<u8>(at(at(s).arg[1]).imm));
      return;
    }
  }

  void become_lea(Value& v, ValueId base, ValueId index, u8 scale) {
    v.op = Op::Lea;
    v.arg[0] = base;
    v.arg[1] = index;
    v.scale = scale;
    changed_ = true;
  }

  Function& f_;
  bool changed_ = false;
  Vec<ValueId> anchors_;
  Vec<u32> looked_through_;  ///< times that a value is the base or index of an access
};

}  // namespace

bool fold_addresses(Function& f) { return Addresses(f).run(); }

}  // namespace skep::jit
