#include "buffers/ringbuf.h"

#include <cerrno>
#include <map>
#include <random>
#include <stdexcept>
#include <thread>

#include "buffers/test_window.h"

namespace skep {
namespace {
using namespace test;

constexpr u64 SIZE = 4096;

/// A reader written from the ABI alone, as libbpf's is. Stops at a BUSY record. Fails the test on a length that leaves the ring.
std::vector<std::vector<u8>> read_all(const RingDesc* d) {
  std::vector<std::vector<u8>> out;
  u64 cons = cons_pos(d);
  const u64 prod = __atomic_load_n(&prod_pos(d), __ATOMIC_ACQUIRE);  // once: fast producers would keep us here for ever
  while (cons < prod) {
    const u8* hdr = d->data + (cons & (d->data_size - 1));
    const u32 len = __atomic_load_n(reinterpret_cast<const u32*>(hdr), __ATOMIC_ACQUIRE);
    if ((len >> 31) != 0) break;
    const u32 size = len & 0x3fffffff;
    if (size > d->data_size) {
      ADD_FAILURE() << "length " << size;
      break;
    }
    if ((len >> 30 & 1) == 0) out.emplace_back(hdr + 8, hdr + 8 + size);
    cons += (size + 8 + 7) / 8 * 8;
    __atomic_store_n(&cons_pos(d), cons, __ATOMIC_RELEASE);
  }
  return out;
}

struct RingbufTest : testing::Test {
  TestWindow t;
  RingDesc* ring = t.add_bpf_ring(SIZE);
  OpCtx ctx = t.run_on(1);
  bool wake = false;
  long output(const std::vector<u8>& bytes, u64 flags = 0) {
    return ringbuf_output(ctx, ring, bytes.data(), bytes.size(), flags, &wake);
  }
};

TEST_F(RingbufTest, HeaderBytes) {
  const u8 bytes[5] = {1, 2, 3, 4, 5};
  u8* sample = static_cast<u8*>(ringbuf_reserve(ctx, ring, 5, 0));
  ASSERT_EQ(sample, ring->data + 8);
  const u8 busy[8] = {5, 0, 0, 0x80, 3, 0, 0, 0};
  EXPECT_EQ(0, memcmp(ring->data, busy, 8));
  EXPECT_EQ(prod_pos(ring), 16u);
  memcpy(sample, bytes, 5);
  ringbuf_commit(ctx, ring, sample, 0, false, &wake);
  const u8 done[16] = {5, 0, 0, 0, 3, 0, 0, 0, 1, 2, 3, 4, 5, 0, 0, 0};
  EXPECT_EQ(0, memcmp(ring->data, done, 16));
  sample = static_cast<u8*>(ringbuf_reserve(ctx, ring, 0, 0));
  ringbuf_commit(ctx, ring, sample, 0, true, &wake);
  const u8 discarded[8] = {0, 0, 0, 0x40, 3, 0, 0, 0};
  EXPECT_EQ(0, memcmp(ring->data + 16, discarded, 8));
  EXPECT_EQ(prod_pos(ring), 24u);
  EXPECT_FALSE(wake);
}

TEST_F(RingbufTest, FlagsSizesAndSpace) {
  EXPECT_EQ(ringbuf_reserve(ctx, ring, 8, 1), nullptr);
  EXPECT_EQ(ringbuf_output(ctx, ring, "x", 1, 4, &wake), -EINVAL);
  EXPECT_EQ(ring->ctl->lost_total, 0u);                         // wrong calls are not lost records
  EXPECT_EQ(ringbuf_reserve(ctx, ring, SIZE - 8, 0), nullptr);  // the whole ring: never ahead by data_size
  EXPECT_EQ(ringbuf_reserve(ctx, ring, SIZE - 7, 0), nullptr);
  EXPECT_EQ(ringbuf_reserve(ctx, ring, 0x3fffffff, 0), nullptr);
  EXPECT_EQ(ringbuf_reserve(ctx, ring, 0x40000000, 0), nullptr);
  EXPECT_EQ(ringbuf_reserve(ctx, ring, ~u64{0}, 0), nullptr);
  EXPECT_EQ(ring->ctl->lost_total, 5u);
  void* sample = ringbuf_reserve(ctx, ring, SIZE - 16, 0);
  ASSERT_NE(sample, nullptr);
  EXPECT_EQ(output({1}), -EAGAIN);
  EXPECT_EQ(ring->ctl->lost_total, 6u);
  EXPECT_EQ(ring->ctl->lost, 6u);
  ringbuf_commit(ctx, ring, sample, 0, false, &wake);
  EXPECT_EQ(output({1}), -EAGAIN);
  EXPECT_EQ(read_all(ring).size(), 1u);
  EXPECT_EQ(output({1}), 0);
}

TEST_F(RingbufTest, Query) {
  output(std::vector<u8>(20));
  cons_pos(ring) = 8;
  EXPECT_EQ(ringbuf_query(ring, BPF_RB_AVAIL_DATA), 24u);
  EXPECT_EQ(ringbuf_query(ring, BPF_RB_RING_SIZE), SIZE);
  EXPECT_EQ(ringbuf_query(ring, BPF_RB_CONS_POS), 8u);
  EXPECT_EQ(ringbuf_query(ring, BPF_RB_PROD_POS), 32u);
  EXPECT_EQ(ringbuf_query(ring, 4), 0u);
}

TEST_F(RingbufTest, RecordPastTheEndIsContiguous) {
  for (u32 i = 0; i < 300; ++i) {
    const std::vector<u8> want = stamped(7, i, 8 + i * 37 % 3000);
    ASSERT_EQ(output(want), 0) << i;
    const auto got = read_all(ring);
    ASSERT_EQ(got.size(), 1u) << i;
    ASSERT_EQ(got[0], want) << i;
  }
  EXPECT_GT(prod_pos(ring), 50 * SIZE);
}

TEST_F(RingbufTest, PageOffsetOfLaterPages) {
  RingDesc* big = t.add_bpf_ring(4 * PAGE_SIZE);
  for (u32 i = 0; i < 3; ++i) ASSERT_EQ(ringbuf_output(ctx, big, std::vector<u8>(4088).data(), 4088, 0, &wake), 0);
  for (u32 i = 0; i < 3; ++i) EXPECT_EQ(*reinterpret_cast<u32*>(big->data + i * 4096 + 4), 3 + i);
}

TEST_F(RingbufTest, CommitInAnyOrderAndConsumerWaits) {
  void* a = ringbuf_reserve(ctx, ring, 8, 0);
  void* b = ringbuf_reserve(ctx, ring, 8, 0);
  ringbuf_commit(ctx, ring, b, 0, false, &wake);
  EXPECT_TRUE(read_all(ring).empty());
  EXPECT_TRUE(bpf_ring_readable(*ring));
  ringbuf_commit(ctx, ring, a, 0, true, &wake);
  EXPECT_EQ(read_all(ring).size(), 1u);
  EXPECT_FALSE(bpf_ring_readable(*ring));
}

TEST_F(RingbufTest, BusyRecordIsNeverOverwrittenWhateverTheConsumerSays) {
  void* open = ringbuf_reserve(ctx, ring, 1000, 0);
  memset(open, 0xab, 1000);
  u32 accepted = 0;
  for (u32 i = 0; i < 100; ++i) {
    cons_pos(ring) = prod_pos(ring);  // "all read", though the first record is still open
    accepted += output(std::vector<u8>(200, 0xcd)) == 0;
  }
  EXPECT_EQ(accepted, (SIZE - 1 - 1008) / 208);
  EXPECT_EQ(pending_pos_word(ring), 0u);
  for (u32 i = 0; i < 1000; ++i) ASSERT_EQ(static_cast<u8*>(open)[i], 0xab);
  ringbuf_commit(ctx, ring, open, 0, false, &wake);
  EXPECT_EQ(output(std::vector<u8>(200, 0xcd)), 0);
  EXPECT_GT(pending_pos_word(ring), 1000u);
}

TEST_F(RingbufTest, SlotHoldsSixteenReservations) {
  void* open[MAX_RESERVATIONS];
  for (auto& p : open) ASSERT_NE(p = ringbuf_reserve(ctx, ring, 8, 0), nullptr);
  EXPECT_EQ(ringbuf_reserve(ctx, ring, 8, 0), nullptr);
  EXPECT_EQ(ring->ctl->lost_total, 1u);
  ringbuf_commit(ctx, ring, open[3], 0, false, &wake);
  EXPECT_NE(ringbuf_reserve(ctx, ring, 8, 0), nullptr);
}

TEST_F(RingbufTest, OwnsAndOf) {
  RingDesc* other = t.add_bpf_ring(SIZE);
  EXPECT_EQ(output(std::vector<u8>(SIZE - 64)), 0);
  read_all(ring);
  u8* a = static_cast<u8*>(ringbuf_reserve(ctx, ring, 100, 0));  // runs past the end
  u8* b = static_cast<u8*>(ringbuf_reserve(ctx, other, 10, 0));
  const auto owns = [&](const u8* p, u64 n) { return ringbuf_owns(ctx, reinterpret_cast<u64>(p), n); };
  EXPECT_TRUE(owns(a, 100));
  EXPECT_TRUE(owns(a + 99, 1));
  EXPECT_FALSE(owns(a + 99, 2));
  EXPECT_FALSE(owns(a - 1, 1));
  EXPECT_FALSE(owns(a, ~u64{0}));
  EXPECT_TRUE(owns(b, 10));
  EXPECT_FALSE(owns(b, 11));
  EXPECT_EQ(ringbuf_of(ctx, a), ring);
  EXPECT_EQ(ringbuf_of(ctx, b), other);
  EXPECT_EQ(ringbuf_of(ctx, a + 8), nullptr);
  ringbuf_commit(ctx, other, a, 0, false, &wake);  // not that ring's: nothing happens
  ringbuf_commit(ctx, ring, a + 8, 0, false, &wake);
  EXPECT_TRUE(owns(a, 100));
  ringbuf_commit(ctx, ring, a, 0, false, &wake);
  EXPECT_FALSE(owns(a, 1));
  OpCtx stranger = t.run_on(2);
  EXPECT_FALSE(ringbuf_owns(stranger, reinterpret_cast<u64>(b), 1));
  ringbuf_commit(stranger, other, b, 0, false, &wake);
  EXPECT_TRUE(owns(b, 10));
}

TEST_F(RingbufTest, WakesWhenConsumerHasCaughtUpOnly) {
  const auto rung = [&](u64 flags) {
    ring_arm(*ring);
    EXPECT_EQ(output({1, 2, 3}, flags), 0);
    return t.take_pending_of(ring);
  };
  EXPECT_TRUE(rung(0));
  EXPECT_EQ(ring->ctl->armed, 0u);
  EXPECT_EQ(t.w.ram->doorbell, 1u);
  EXPECT_FALSE(rung(0));  // one behind
  EXPECT_TRUE(rung(BPF_RB_FORCE_WAKEUP));
  read_all(ring);
  EXPECT_FALSE(rung(BPF_RB_NO_WAKEUP));
  EXPECT_EQ(ring->ctl->armed, 1u);
  read_all(ring);
  EXPECT_TRUE(rung(BPF_RB_NO_WAKEUP | BPF_RB_FORCE_WAKEUP));
  EXPECT_FALSE(wake);  // nobody slept on the doorbell
  doorbell_prepare_wait(t.w);
  read_all(ring);
  EXPECT_TRUE(rung(0));
  EXPECT_TRUE(wake);
  wake = false;
  read_all(ring);
  ring_disarm(*ring);
  EXPECT_EQ(output({1}), 0);  // awake: left alone
  EXPECT_FALSE(wake);
  EXPECT_FALSE(t.take_pending_of(ring));
}

TEST_F(RingbufTest, ConsumeStopsAtBudgetBusyAndCallback) {
  for (u32 i = 0; i < 10; ++i) output(stamped(1, i, 16));
  void* gone = ringbuf_reserve(ctx, ring, 8, 0);
  ringbuf_commit(ctx, ring, gone, 0, true, &wake);
  void* busy = ringbuf_reserve(ctx, ring, 8, 0);
  std::vector<u32> seqs;
  const auto take = [](void* arg, const void* data, u32 size) {
    u32 producer = 0, seq = 0;
    EXPECT_TRUE(stamp_holds(static_cast<const u8*>(data), size, &producer, &seq));
    static_cast<std::vector<u32>*>(arg)->push_back(seq);
    return seq != 5;
  };
  EXPECT_EQ(ringbuf_consume(ring, take, &seqs, 4), 4);
  EXPECT_EQ(ringbuf_consume(ring, take, &seqs, 100), 2);  // the callback stops at 5
  EXPECT_EQ(ringbuf_consume(ring, take, &seqs, 100), 4);
  EXPECT_EQ(cons_pos(ring) + 16, prod_pos(ring));
  EXPECT_EQ(ringbuf_consume(ring, take, &seqs, 100), 0);
  ringbuf_commit(ctx, ring, busy, 0, true, &wake);
  EXPECT_EQ(ringbuf_consume(ring, take, &seqs, 100), 0);
  EXPECT_EQ(cons_pos(ring), prod_pos(ring));
  EXPECT_EQ(seqs, (std::vector<u32>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}));
}

TEST_F(RingbufTest, ConsumeSkipsNonsense) {
  const auto never = [](void*, const void*, u32) { return ADD_FAILURE(), true; };
  for (u64 prod : {u64{3}, u64{8}, u64{4096 + 8}, ~u64{0}, u64{1} << 63}) {
    cons_pos(ring) = 0;
    prod_pos(ring) = prod;
    *reinterpret_cast<u32*>(ring->data) = 4000;
    EXPECT_EQ(ringbuf_consume(ring, never, nullptr, 10), -EBADMSG) << prod;
    EXPECT_EQ(cons_pos(ring), round_up(prod, 8)) << prod;
  }
  cons_pos(ring) = 4;
  prod_pos(ring) = 16;
  EXPECT_EQ(ringbuf_consume(ring, never, nullptr, 10), -EBADMSG);
  EXPECT_EQ(cons_pos(ring), 16u);
}

TEST_F(RingbufTest, RecoverIgnoresNonsense) {
  void* mine = ringbuf_reserve(ctx, ring, 8, 0);
  (void)mine;
  const std::vector<u8> before(ring->data, ring->data + SIZE);
  t.w.rom->rings[77] = t.add_perf_ring(4096, 0);
  for (u32 index : {MAX_RINGS, ~0u, 0u, 77u})
    for (u64 pos : {u64{0}, u64{8}, ~u64{7}}) ringbuf_recover_record(t.w, index, pos);
  for (u64 pos : {u64{1}, u64{4}, u64{16}, u64{24}, u64{1} << 40, ~u64{7}, u64{0} - SIZE, u64{0} - 2 * SIZE})
    ringbuf_recover_record(t.w, ring->index, pos);
  EXPECT_EQ(0, memcmp(before.data(), ring->data, SIZE));
  ringbuf_recover_record(t.w, ring->index, 0);
  EXPECT_EQ(*reinterpret_cast<u32*>(ring->data), 8 | 0x40000000u);
  EXPECT_TRUE(t.take_pending_of(ring));
}

TEST_F(RingbufTest, RecoverLeavesTheSuccessorOfAnOverwrittenRecordAlone) {
  // Killed after the commit, before the reservation was un-named. Meanwhile the record was read and its place is being taken again:
  // the successor's header is there, prod_pos is not past it yet.
  ASSERT_EQ(output(std::vector<u8>(SIZE - 16)), 0);
  ASSERT_EQ(output({}, 0), -EAGAIN);
  read_all(ring);
  ASSERT_EQ(output({}, 0), 0);
  ASSERT_EQ(prod_pos(ring), SIZE);
  *reinterpret_cast<u32*>(ring->data) = 100 | 0x80000000u;
  ringbuf_recover_record(t.w, ring->index, 0);
  EXPECT_EQ(*reinterpret_cast<u32*>(ring->data), 100 | 0x80000000u);
}

// ---- death

/// What must hold after any death, once recovered: the ring can be read to the end, all records are whole, a sleeping consumer was
/// rung if there is anything to read, and the next producer gets through.
void expect_ring_survived(TestWindow& t, RingDesc* ring, std::size_t max_records, long step) {
  if (bpf_ring_readable(*ring)) {
    EXPECT_TRUE(t.take_pending_of(ring)) << "lost wake-up, step " << step;
  }
  const auto got = read_all(ring);
  ASSERT_EQ(cons_pos(ring), prod_pos(ring)) << "stuck, step " << step;
  EXPECT_LE(got.size(), max_records);
  for (const auto& r : got) {
    u32 producer = 0, seq = 0;
    ASSERT_TRUE(stamp_holds(r.data(), r.size(), &producer, &seq)) << "step " << step;
  }
  OpCtx next = t.run_on(1);
  bool wake = false;
  const auto more = stamped(2, 2, 40);
  ASSERT_EQ(ringbuf_output(next, ring, more.data(), more.size(), 0, &wake), 0) << "step " << step;
  ASSERT_EQ(read_all(ring), std::vector<std::vector<u8>>{more}) << "step " << step;
  slot_release(next.slot);
}

TEST(RingbufDeath, AtEveryInstructionOfOutput) {
  TestWindow t;
  RingDesc* ring = t.add_bpf_ring(SIZE);
  const auto bytes = stamped(1, 1, 24);
  OpCtx ctx = t.run_on(1, 99);
  ring_arm(*ring);
  const auto run = [&] {
    bool wake = false;
    ringbuf_output(ctx, ring, bytes.data(), bytes.size(), 0, &wake);
  };
  const long steps = die_at_every_instruction(t, ring, run, [&](long step, bool early) {
    const std::size_t read = early ? read_all(ring).size() : 0;
    ASSERT_LE(read, 1u);
    t.recover(ctx.slot);
    expect_ring_survived(t, ring, 1 - read, step);
  });
  EXPECT_GT(steps, 100);
}

TEST(RingbufDeath, AtEveryInstructionOfReserveCommitAndDiscard) {
  TestWindow t;
  RingDesc* ring = t.add_bpf_ring(SIZE);
  const auto bytes = stamped(1, 1, 24);
  OpCtx ctx = t.run_on(1, 99);
  ring_arm(*ring);
  const auto run = [&] {
    bool wake = false;
    void* a = ringbuf_reserve(ctx, ring, bytes.size(), 0);
    void* b = ringbuf_reserve(ctx, ring, bytes.size(), 0);
    void* c = ringbuf_reserve(ctx, ring, 64, 0);
    __builtin_memcpy(a, bytes.data(), 24);
    __builtin_memcpy(b, bytes.data(), 24);
    ringbuf_commit(ctx, ring, b, BPF_RB_FORCE_WAKEUP, false, &wake);
    ringbuf_commit(ctx, ring, a, 0, false, &wake);
    ringbuf_commit(ctx, ring, c, 0, true, &wake);
  };
  const long steps = die_at_every_instruction(t, ring, run, [&](long step, bool early) {
    const std::size_t read = early ? read_all(ring).size() : 0;
    ASSERT_LE(read, 2u);
    t.recover(ctx.slot);
    expect_ring_survived(t, ring, 2 - read, step);
  });
  EXPECT_GT(steps, 300);
}

/// The same with real kills, every so many instructions.
TEST(RingbufDeath, KilledInTheMiddle) {
  TestWindow t;
  RingDesc* ring = t.add_bpf_ring(SIZE);
  const auto bytes = stamped(1, 1, 24);
  for (long stop_at = 0;; stop_at += 7) {
    OpCtx ctx = t.run_on(1, 99);
    ring_arm(*ring);
    take_pending(t.w, ring->index / 64);
    bool ended = false;
    {
      Stepped child([&] {
        bool wake = false;
        ringbuf_output(ctx, ring, bytes.data(), bytes.size(), 0, &wake);
      });
      for (long i = 0; i < stop_at && !ended; ++i) ended = !child.step();
    }
    t.recover(ctx.slot);
    expect_ring_survived(t, ring, 1, stop_at);
    if (HasFatalFailure() || ended) break;
  }
}

void produce_for_ever(const OpCtx& ctx, RingDesc* ring, u32 producer) {
  bool wake = false;
  for (u32 seq = 0;; ++seq) {
    const auto bytes = stamped(producer, seq, 8 + seq * 13 % 400);
    if (seq % 3 == 0) {
      void* p = ringbuf_reserve(ctx, ring, bytes.size(), 0);
      if (p != nullptr) memcpy(p, bytes.data(), bytes.size());
      if (p != nullptr) ringbuf_commit(ctx, ring, p, 0, seq % 2 == 0, &wake);
    } else {
      ringbuf_output(ctx, ring, bytes.data(), bytes.size(), 0, &wake);
    }
  }
}

TEST(RingbufDeath, ProducersKilledAtRandomWhileOthersGoOn) {
  TestWindow t;
  RingDesc* ring = t.add_bpf_ring(4 * PAGE_SIZE);
  std::mt19937 rng(7);
  u64 records = 0;
  const auto drain = [&] {
    for (const auto& r : read_all(ring)) {
      u32 producer = 0, seq = 0;
      ASSERT_TRUE(stamp_holds(r.data(), r.size(), &producer, &seq));
      ++records;
    }
  };
  for (u32 round = 0; round < 150; ++round) {
    OpCtx ctx[2] = {t.run_on(0, 10), t.run_on(1, 11)};
    pid_t pid[2];
    for (u32 i = 0; i < 2; ++i) pid[i] = fork_child([&] { produce_for_ever(ctx[i], ring, i); });
    for (u32 i = 0; i < 2; ++i) {
      for (const u64 until = records + rng() % 50; records < until && !HasFailure();) drain();
      kill(pid[i], SIGKILL);
      waitpid(pid[i], nullptr, 0);
      t.recover(ctx[i].slot);
    }
    drain();
    ASSERT_EQ(cons_pos(ring), prod_pos(ring)) << round;
  }
  EXPECT_GT(records, 1000u);
}

// ---- two producers, one consumer

TEST(RingbufMany, TwoProcessesOneConsumerLosesNothingAndKeepsOrder) {
  constexpr u32 COUNT = 50000;
  TestWindow t;
  RingDesc* ring = t.add_bpf_ring(2 * PAGE_SIZE);
  pid_t pid[2];
  for (u32 i = 0; i < 2; ++i) {
    pid[i] = fork_child([&] {
      OpCtx ctx = t.run_on(i, 10 + i);
      for (u32 seq = 0; seq < COUNT; ++seq) {
        const auto bytes = stamped(i, seq, 8 + seq * 13 % 300);
        bool wake = false;
        while (ringbuf_output(ctx, ring, bytes.data(), bytes.size(), 0, &wake) != 0) std::this_thread::yield();
        if (wake) futex_wake_host(t.w);
      }
      slot_release(ctx.slot);
    });
  }
  u32 next[2] = {0, 0};
  while (next[0] < COUNT || next[1] < COUNT) {
    ring_arm(*ring);
    if (!bpf_ring_readable(*ring)) {
      ASSERT_TRUE(host_wait(t, ring, 10)) << "a wake-up was lost";
    }
    ring_disarm(*ring);
    for (const auto& r : read_all(ring)) {
      u32 producer = 0, seq = 0;
      ASSERT_TRUE(stamp_holds(r.data(), r.size(), &producer, &seq));
      ASSERT_LT(producer, 2u);
      ASSERT_EQ(seq, next[producer]++);
    }
  }
  for (const pid_t p : pid) {
    int status = -1;
    waitpid(p, &status, 0);
    EXPECT_EQ(status, 0);
  }
}

/// One record at a time, the consumer asleep before each: the whole handshake of doorbell.h, ten thousand times.
TEST(RingbufMany, NoWakeUpIsLost) {
  constexpr u32 COUNT = 10000;
  TestWindow t;
  RingDesc* ring = t.add_bpf_ring(SIZE);
  const pid_t pid = fork_child([&] {
    OpCtx ctx = t.run_on(1, 10);
    for (u32 seq = 0; seq < COUNT; ++seq) {
      bool wake = false;
      while (__atomic_load_n(&cons_pos(ring), __ATOMIC_SEQ_CST) != prod_pos(ring)) std::this_thread::yield();
      if (ringbuf_output(ctx, ring, &seq, 4, 0, &wake) != 0) _exit(1);
      if (wake) futex_wake_host(t.w);
    }
  });
  u32 got = 0;
  while (got < COUNT) {
    ring_arm(*ring);
    if (!bpf_ring_readable(*ring)) {
      ASSERT_TRUE(host_wait(t, ring, 10)) << got;
    }
    got += static_cast<u32>(read_all(ring).size());
  }
  int status = -1;
  waitpid(pid, &status, 0);
  EXPECT_EQ(status, 0);
}

// ---- hostile neighbours

TEST(RingbufHostile, ScribbledControlNeverLeavesTheRing) {
  TestWindow t;
  RingDesc* ring = t.add_bpf_ring(SIZE);
  OpCtx ctx = t.run_on(1);
  std::mt19937_64 rng(11);
  const auto value = [&]() -> u64 {
    const u64 edge[] = {0, 1, 7, 8, SIZE - 8, SIZE, SIZE + 8, ~u64{0}, ~u64{7}, u64{1} << 63, prod_pos(ring), cons_pos(ring)};
    return rng() % 3 == 0 ? rng() : edge[rng() % std::size(edge)] + (rng() % 4 == 0 ? rng() % 64 : 0);
  };
  const auto scribble = [&] {
    auto& entry = ctx.slot->reserved[rng() % MAX_RESERVATIONS];
    switch (rng() % 10) {
      case 0:
        cons_pos(ring) = value();
        break;
      case 1:
        prod_pos(ring) = value();
        break;
      case 2:
        pending_pos_word(ring) = value();
        break;
      case 3:
        entry.pos = value();
        break;
      case 4:
        entry.ring = rng() % 2 ? ring->index + 1 : static_cast<u32>(value());
        break;
      case 5:
        word_at(ring->prod_page, RINGBUF_LOCK_OFFSET) = rng() % 2 ? 0 : value();
        break;
      case 6:
        ring->ctl->armed = static_cast<u32>(value());
        break;
      default:
        word_at(ring->data, rng() % (SIZE / 8) * 8) = rng() % 2 ? value() : value() << 32 | value();
        break;
    }
  };
  bool wake = false;
  u8 bytes[512] = {};
  u64 done = 0;
  for (u32 i = 0; i < 300000; ++i) {
    scribble();
    if (i % 16 == 0) {  // let something happen between two messes
      cons_pos(ring) = prod_pos(ring) = pending_pos_word(ring) = value() & ~u64{7};
      word_at(ring->prod_page, RINGBUF_LOCK_OFFSET) = 0;
      for (auto& r : ctx.slot->reserved) r.ring = 0;
    }
    void* p = ringbuf_reserve(ctx, ring, rng() % 600, 0);
    scribble();
    if (p != nullptr) {
      ++done;
      EXPECT_GE(p, ring->data + 8);
      EXPECT_LT(p, ring->data + SIZE + 8);
      ringbuf_commit(ctx, ring, p, rng() % 4, rng() % 2, &wake);
    }
    done += ringbuf_output(ctx, ring, bytes, rng() % 512, 0, &wake) == 0;
    ringbuf_owns(ctx, reinterpret_cast<u64>(ring->data) + rng() % (2 * SIZE), rng() % 64);
    if (i % 8 == 0) ringbuf_recover_record(t.w, static_cast<u32>(value()), value());
    ringbuf_recover_record(t.w, ring->index, value());
    ringbuf_consume(
        ring,
        [](void* arg, const void* data, u32 size) {
          const u8* from = static_cast<const u8*>(data);
          const u8* base = static_cast<u8*>(arg);
          return from >= base + 8 && from + size <= base + 2 * SIZE ? true : (ADD_FAILURE(), false);
        },
        ring->data, 600);
  }
  EXPECT_GT(done, 10000u);
}

}  // namespace
}  // namespace skep
