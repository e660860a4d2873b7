// jit: values made simpler as they are put down. Internal to the room.
#pragma once

#include "jit/consts.h"
#include "jit/dom.h"
#include "jit/fold.h"

namespace skep::jit {

/// Puts values into a block, each in the simplest form known, and not at all where an equal one is there already. What it knows:
/// constants, which bits of a value may be set, what stands in dominating blocks.
class Simplifier {
 public:
  /// REQUIRES: count_uses(f).
  explicit Simplifier(Function& f);

  /// From here on values go to the end of `out`, the values of block b.
  void enter(BlockId b, Vec<ValueId>* out) noexcept {
    block_ = b;
    out_ = out;
  }
  /// The value that is what v is: v itself (under the number `own`, where there is one), another, or one there already.
  /// REQUIRES: v has no effect, and is neither phi nor load.
  ValueId put(Value v, ValueId own = NONE);
  /// Puts v down as it is.
  ValueId keep(const Value& v, ValueId own = NONE);
  /// The comparison of a Branch or Select in its simplest form. 1 or 0 where it is known how it comes out, else -1.
  int simplify_condition(Value& v);

  ValueId constant(u64 imm) { return consts_.get(static_cast<s64>(imm)); }
  ValueId free_value(Op op, s64 imm) { return consts_.get(op, imm); }
  bool is_const(ValueId v) const noexcept { return f_.values[v].op == Op::Const; }
  bool is_const(ValueId v, u64 imm) const noexcept { return is_const(v) && const_of(v) == imm; }
  u64 const_of(ValueId v) const noexcept { return static_cast<u64>(f_.values[v].imm); }
  const Value& at(ValueId v) const noexcept { return f_.values[v]; }
  /// Bits that may be set in v.
  u64 ones(ValueId v) const noexcept { return v < ones_.size() && seen_[v] != 0 ? ones_[v] : shallow_ones(f_.values[v]); }
  void set_ones(ValueId v, u64 mask);
  bool is_nonzero(ValueId v) const noexcept { return f_.values[v].nonzero || (is_const(v) && const_of(v) != 0); }
  const Dominators& dominators() const noexcept { return dom_; }

  /// What a value has been replaced by.
  ValueId moved(ValueId v) const noexcept {
    while (v < moved_.size() && moved_[v] != v) v = moved_[v];
    return v;
  }
  void move(ValueId from, ValueId to) {
    grow();
    moved_[from] = to;
  }
  void place_constants() { consts_.place(); }

  // Shorthands, simplified.
  ValueId binary(Op op, u8 width, ValueId a, ValueId b);
  ValueId with_const(Op op, u8 width, ValueId a, u64 b) { return binary(op, width, a, constant(b & low_bytes(width))); }
  ValueId unary(Op op, u8 size, ValueId a, u8 width = 8);
  ValueId zext(u8 size, ValueId a) { return unary(Op::Zext, size, a); }
  ValueId select(Cond cond, u8 width, ValueId a, ValueId b, ValueId yes, ValueId no);
  /// v, or where only its low `size` bytes count, what it was made of.
  ValueId strip(ValueId v, u8 size) const noexcept;

 private:
  // Each answers with a value, or NONE where there is none simpler; it may have changed `v` then.
  ValueId simpler(Value& v, ValueId own);
  ValueId simpler_binary(Value& v, ValueId own);
  ValueId add(Value& v, ValueId own);
  ValueId sub(Value& v, ValueId own);
  ValueId mul(Value& v, ValueId own);
  ValueId bit_and(Value& v, ValueId own);
  ValueId bit_or(Value& v, ValueId own);
  ValueId bit_xor(Value& v, ValueId own);
  ValueId shift(Value& v, ValueId own);
  ValueId shift_left(Value& v, ValueId own, u32 n);
  ValueId shift_right(Value& v, ValueId own, u32 n);
  ValueId rotation(const Value& v);
  ValueId zero_extend(Value& v, ValueId own);
  ValueId sign_extend_(Value& v, ValueId own);
  ValueId swap_bytes(Value& v, ValueId own);
  ValueId choose(Value& v, ValueId own);
  ValueId add_chosen(const Value& v, ValueId sum, ValueId bare, bool negated);
  ValueId divide(Value& v, ValueId own);
  ValueId divide_unsigned(const Value& v, u64 by);
  ValueId divide_signed(const Value& v, s64 by);
  void strip_count(Value& v);
  void narrow_condition(Value& v);
  void shift_condition(Value& v);
  int known_condition(const Value& v) const;
  bool condition_of_select(Value& v);

  u64 shallow_ones(const Value& v) const noexcept;
  u64 ones_of(const Value& v) const noexcept;
  ValueId find_equal(const Value& v, u32 hash, std::size_t* slot);
  void grow();
  void grow_table();
  static u32 hash(const Value& v) noexcept;
  ValueId at_width(u8 width, ValueId v) { return width == 8 ? v : zext(4, v); }
  bool has_op(ValueId v, Op op, u8 width) const noexcept { return f_.values[v].op == op && f_.values[v].width == width; }

  Function& f_;
  ConstPool consts_;
  Dominators dom_;
  Vec<ValueId> moved_;
  Vec<u64> ones_;
  Vec<u8> seen_;
  struct Known {
    ValueId value;
    u32 hash;
  };
  Vec<Known> table_;  ///< of equal values; open addressing, a power of two
  std::size_t table_count_ = 0;
  BlockId block_ = 0;
  Vec<ValueId>* out_ = nullptr;
};

}  // namespace skep::jit
