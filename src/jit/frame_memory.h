// jit: what is known to stand in the frame, from one store to the next load. Internal to the room.
#pragma once

#include "jit/ir.h"

namespace skep::jit {

/// The frame's bytes that stores and loads of the block under way have shown. The frame is the function's own: nobody else writes
/// it between two of its instructions, other than through pointers that it was given away by.
class FrameMemory {
 public:
  void forget() noexcept { count_ = 0; }
  void stored(s64 off, u8 size, ValueId value) noexcept;
  /// What a load of these bytes yields, as a stored or zero-extended value whose low `size` bytes they are; NONE: not known.
  ValueId load(s64 off, u8 size) const noexcept;
  void loaded(s64 off, u8 size, ValueId value) noexcept;

 private:
  struct Entry {
    s64 off;
    u8 size;
    ValueId value;
  };
  static constexpr u32 MAX = 16;
  Entry entries_[MAX];
  u32 count_ = 0, oldest_ = 0;
};

}  // namespace skep::jit
