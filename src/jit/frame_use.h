// jit: what happens to a function's frame. Internal to the room.
#pragma once
#include <bitset>

#include "helpers/run_ctx.h"
#include "jit/program.h"

namespace skep::jit {

/// Bytes of the frame by their distance from its lowest, and what they are needed for.
class FrameUse {
 public:
  static constexpr s64 BYTES = RUN_FRAME_BYTES;
  struct Access {
    ValueId id;
    u16 at;
    u8 size;
    bool stores;
  };

  FrameUse(const Function& f, const Program& program);

  /// Loads and stores at known places, in the order they stand in.
  Vec<Access> accesses;
  /// Reached by others: by helpers, by functions, through pointers reckoned at run time.
  std::bitset<BYTES> shared;

 private:
  void visit(ValueId id);
  void give_away(const Value& user, ValueId frame);
  void call_helper(const Value& call, u32 arg, s64 off);
  void call_gate(const Value& call, u32 arg, s64 off);
  void share(s64 off, u64 len);
  void share_from(s64 off) { share(off, BYTES); }
  void share_all() { shared.set(); }
  const MapDesc* map_of(ValueId v) const;

  const Function& f_;
  const Program& program_;
};

}  // namespace skep::jit
