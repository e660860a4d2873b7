// maps tests: what the death of an operation leaves behind, instruction by instruction. See test_stepper.h.
#pragma once
#include "maps/test_stepper.h"
#include "maps/test_window.h"

namespace skep::test {

/// Everything of one map that outlives a process: its RAM and the first slots.
struct DeathImage {
  std::vector<u8> ram, slots;
  bool operator==(const DeathImage&) const = default;
};

class DeathLab {
 public:
  static constexpr u32 DYING = 1, OTHER = 2, USED_SLOTS = 4;

  DeathLab(const TestWindow& tw, MapDesc* desc) : tw_(tw), desc_(desc) {
    tw.ctx(DYING);
    tw.ctx(OTHER);
  }
  OpCtx dying() const { return tw_.ctx(DYING); }
  OpCtx other() const { return tw_.ctx(OTHER); }
  RunSlot* slot() const { return &tw_.window().ram->slots[DYING]; }

  DeathImage take() const {
    const u8* s = slots();
    return {{desc_->ram, desc_->ram + desc_->ram_bytes}, {s, s + USED_SLOTS * sizeof(RunSlot)}};
  }
  void put_back(const DeathImage& i) const {
    std::memcpy(desc_->ram, i.ram.data(), i.ram.size());
    std::memcpy(slots(), i.slots.data(), i.slots.size());
  }
  void recover() const { slot_recover(tw_.window(), slot(), RECOVERY); }

  /// Single-steps `op` in a child and keeps an image after each change of shared memory.
  std::vector<DeathImage> images(const std::function<void()>& op) const {
    std::vector<DeathImage> all;
    DeathImage last = take();
    step_through(op, [&](u32) {
      if (same(last)) return true;
      all.push_back(last = take());
      return true;
    });
    return all;
  }

  /// `op` dies at each of its instructions, its recovery too: `whole(what)` is called after each recovery.
  void each_death(const std::function<void()>& op, const std::function<void(const std::string&)>& whole, bool recovery_too = true) const {
    const auto left = images(op);
    ASSERT_GE(left.size(), 2u);  // at least the lock, taken and given back
    for (size_t i = 0; i < left.size(); ++i) {
      put_back(left[i]);
      recover();
      ASSERT_NO_FATAL_FAILURE(whole("image " + std::to_string(i)));
      put_back(left[i]);
      if (!recovery_too || slot()->intent_map == 0) continue;
      const auto again = images([this] { recover(); });
      for (size_t j = 0; j < again.size(); ++j) {
        put_back(again[j]);
        if (slot()->owner != 0) recover();
        ASSERT_NO_FATAL_FAILURE(whole("image " + std::to_string(i) + " recovery " + std::to_string(j)));
      }
    }
  }

 private:
  u8* slots() const { return reinterpret_cast<u8*>(&tw_.window().ram->slots[0]); }
  bool same(const DeathImage& i) const {
    return std::memcmp(i.ram.data(), desc_->ram, i.ram.size()) == 0 && std::memcmp(i.slots.data(), slots(), i.slots.size()) == 0;
  }
  const TestWindow& tw_;
  MapDesc* desc_;
};

}  // namespace skep::test
