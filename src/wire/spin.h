// wire: whether to look again and again for what the other side is about to send, instead of sleeping until it wakes us. Between two
// processors of a virtual machine a wake-up costs some 30 us, often more than what was asked for. Freestanding.
#pragma once
#include "base/types.h"

namespace skep {

/// Guesses from how long the last waits took. A guess that was wrong costs SPIN; the more in a row, the longer none is made: both sides
/// may have one processor between them, where looking only keeps the other from answering.
class SpinGuess {
 public:
  static constexpr u64 SPIN = 150'000;  ///< cycles of the time stamp counter: some 50 us

  /// Look for SPIN before you sleep.
  bool worthwhile() const noexcept { return soon_ && skip_ == 0; }
  /// A wait is over. `spun`: it was looked; `cycles`: how long it took in all.
  void waited(bool spun, u64 cycles) noexcept {
    const bool failed = spun && cycles >= SPIN;
    if (failed) {
      skip_ = pause_;
      pause_ = pause_ < MOST_PAUSE ? 2 * pause_ : MOST_PAUSE;
    } else if (spun) {
      pause_ = LEAST_PAUSE;
    } else if (skip_ > 0) {
      --skip_;
    }
    soon_ = cycles < SOON;
  }

 private:
  static constexpr u64 SOON = 3 * SPIN;  ///< with two wake-ups in it
  static constexpr u32 LEAST_PAUSE = 16, MOST_PAUSE = 64;
  bool soon_ = false;
  u32 skip_ = 0, pause_ = LEAST_PAUSE;  ///< waits
};

}  // namespace skep
