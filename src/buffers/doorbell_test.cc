#include "buffers/doorbell.h"

#include "buffers/test_window.h"

namespace skep {
namespace {
using namespace test;

TEST(Doorbell, BitsOfEveryRing) {
  TestWindow t;
  for (u32 index : {0u, 63u, 64u, MAX_RINGS - 1}) {
    RingDesc d{};
    d.kind = RingKind::Bpf;
    d.index = index;
    d.ctl = &t.w.ram->ring_ctl[index];
    EXPECT_FALSE(ring_notify(t.w, d));
    EXPECT_EQ(take_pending(t.w, index / 64), 0u);
    ring_arm(d);
    EXPECT_FALSE(ring_notify(t.w, d));
    EXPECT_EQ(take_pending(t.w, index / 64), u64{1} << (index % 64));
    EXPECT_EQ(take_pending(t.w, index / 64), 0u);
    EXPECT_FALSE(ring_notify_always(t.w, d));
    EXPECT_EQ(take_pending(t.w, index / 64), u64{1} << (index % 64));
    EXPECT_EQ(d.ctl->wake_seq, 3u);
  }
  EXPECT_EQ(t.w.ram->doorbell, 8u);
  EXPECT_EQ(take_pending(t.w, PENDING_WORDS), 0u);
  EXPECT_EQ(take_pending(t.w, ~0u), 0u);
}

TEST(Doorbell, FutexOnlyForASleepingHost) {
  TestWindow t;
  RingDesc* d = t.add_perf_ring(4096, 0);
  EXPECT_FALSE(doorbell_must_wake(t.w));
  EXPECT_EQ(doorbell_prepare_wait(t.w), 0u);
  EXPECT_TRUE(doorbell_must_wake(t.w));
  ring_arm(*d);
  EXPECT_TRUE(ring_notify(t.w, *d));
  EXPECT_FALSE(ring_notify(t.w, *d));  // disarmed by the first
  EXPECT_EQ(perf_ring_seq(*d), 2u);
  doorbell_awake(t.w);
  ring_arm(*d);
  EXPECT_FALSE(ring_notify(t.w, *d));
  EXPECT_EQ(doorbell_prepare_wait(t.w), 2u);
}

/// A producer that dies between any two instructions of ring_notify() leaves the ring armed, or its bit: the host, told of the
/// death, finds it.
TEST(Doorbell, DeathLeavesTheBitOrTheArm) {
  TestWindow t;
  RingDesc* d = t.add_bpf_ring(4096);
  ring_arm(*d);
  bool bit_seen = false, arm_seen = false;
  const long steps = die_at_every_instruction(
      t, d, [&] { ring_notify(t.w, *d); },
      [&](long step, bool) {
        const bool armed = d->ctl->armed != 0, bit = t.take_pending_of(d);
        ASSERT_TRUE(armed || bit) << step;
        arm_seen |= armed;
        bit_seen |= bit;
      });
  EXPECT_GT(steps, 10);
  EXPECT_TRUE(bit_seen && arm_seen);
}

}  // namespace
}  // namespace skep
