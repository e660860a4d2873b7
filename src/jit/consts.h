// jit: constants and addresses that cost nothing: one value each, at the beginning of the entry. Internal to the room.
#pragma once

#include "jit/ir.h"

namespace skep::jit {

class ConstPool {
 public:
  /// Takes up the values that the function has already.
  explicit ConstPool(Function& f);

  ValueId get(s64 imm) { return get(Op::Const, imm); }
  /// Op: Const, FrameAddr, FuncAddr or Param.
  ValueId get(Op op, s64 imm);
  /// Puts what is new in front of the entry's values. Once, when all is done; the entry's list may be changed until then.
  void place();

 private:
  struct Known {
    s64 imm;
    ValueId value;
    Op op;
  };
  std::size_t slot(Op op, s64 imm) const noexcept;
  void grow();

  Function& f_;
  Vec<Known> table_;  ///< open addressing, a power of two
  Vec<ValueId> fresh_;
  u32 count_ = 0;
};

constexpr bool is_free(Op op) noexcept { return op <= Op::Param; }

}  // namespace skep::jit
