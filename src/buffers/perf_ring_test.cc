#include "buffers/perf_ring.h"

#include <cerrno>
#include <random>
#include <thread>

#include "buffers/test_window.h"

namespace skep {
namespace {
using namespace test;

constexpr u64 SIZE = 4096;

struct Record {
  u32 type;
  u16 misc;
  std::vector<u8> body;
  template <typename T>
  T at(std::size_t offset) const {
    T v{};
    if (offset + sizeof v > body.size())
      ADD_FAILURE() << "short record";
    else
      memcpy(&v, body.data() + offset, sizeof v);
    return v;
  }
};

/// A reader written from the ABI alone. Fails the test on a record that leaves the ring.
std::vector<Record> read_all(const RingDesc* d) {
  std::vector<Record> out;
  const u64 head = __atomic_load_n(&data_head(d), __ATOMIC_ACQUIRE);
  u64 tail = data_tail(d);
  const auto copy = [&](u64 pos, void* to, u64 n) {
    for (u64 i = 0; i < n; ++i) static_cast<u8*>(to)[i] = d->data[(pos + i) & (d->data_size - 1)];
  };
  while (tail < head) {
    u8 hdr[8];
    copy(tail, hdr, 8);
    Record r{};
    u16 size = 0;
    memcpy(&r.type, hdr, 4);
    memcpy(&r.misc, hdr + 4, 2);
    memcpy(&size, hdr + 6, 2);
    if (size < 8 || size % 8 != 0 || tail + size > head) {
      ADD_FAILURE() << "record of " << size << " bytes at " << tail << ", head " << head;
      break;
    }
    r.body.resize(size - 8u);
    copy(tail + 8, r.body.data(), r.body.size());
    out.push_back(r);
    tail += size;
  }
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  __atomic_store_n(&data_tail(d), tail, __ATOMIC_RELEASE);
  return out;
}

struct PerfRingTest : testing::Test {
  TestWindow t;
  OpCtx ctx = t.run_on(1);
  bool wake = false;
  long output(RingDesc* d, const std::vector<u8>& raw) {
    PerfSample s;
    s.ip = 0x1111, s.time = 0x2222, s.addr = 0x3333, s.period = 0x4444, s.pid = 55, s.tid = 66;
    s.raw = raw.data();
    s.raw_size = raw.size();
    return perf_ring_output(ctx, d, s, &wake);
  }
};

TEST_F(PerfRingTest, RawRecordBytes) {
  RingDesc* d = t.add_perf_ring(SIZE, 1);
  ASSERT_EQ(output(d, {1, 2, 3, 4, 5}), 0);
  // type 9, misc kernel, size 24; raw size 12, five bytes, padding
  const u8 want[24] = {9, 0, 0, 0, 1, 0, 24, 0, 12, 0, 0, 0, 1, 2, 3, 4, 5};
  EXPECT_EQ(0, memcmp(d->data, want, 24));
  EXPECT_EQ(data_head(d), 24u);
  for (u32 n = 0; n <= 64; ++n) {
    ASSERT_EQ(output(d, std::vector<u8>(n, 7)), 0);
    const auto got = read_all(d);
    EXPECT_EQ(got.back().body.size(), (n + 4 + 7) / 8 * 8) << n;
    EXPECT_EQ(got.back().at<u32>(0), (n + 4 + 7) / 8 * 8 - 4) << n;
  }
}

TEST_F(PerfRingTest, AllFieldsInOrder) {
  RingDesc* d = t.add_perf_ring(SIZE, 1, PERF_RING_SAMPLE_TYPES);
  ASSERT_EQ(output(d, {9, 9, 9, 9}), 0);
  const Record r = read_all(d).at(0);
  const u64 id = d->event_id;
  const u64 want[] = {id, 0x1111, 55 | u64{66} << 32, 0x2222, 0x3333, id, id, 1, 0x4444};
  for (std::size_t i = 0; i < std::size(want); ++i) EXPECT_EQ(r.at<u64>(8 * i), want[i]) << i;
  EXPECT_EQ(r.at<u32>(72), 4u);
  EXPECT_EQ(r.at<u32>(76), 0x09090909u);
  EXPECT_EQ(r.body.size(), 80u);
}

TEST_F(PerfRingTest, RefusalsInOrder) {
  RingDesc* d = t.add_perf_ring(SIZE, 1);
  EXPECT_EQ(output(d, std::vector<u8>(65536)), -E2BIG);
  EXPECT_EQ(output(d, std::vector<u8>(65516)), -ENOSPC);
  EXPECT_EQ(d->ctl->lost_total, 2u);
  d->data_size = 0;
  EXPECT_EQ(output(d, {1}), -ENOSPC);
  EXPECT_EQ(d->ctl->lost_total, 2u);  // no ring, nothing to count in: as Linux
  d->sample_type |= PERF_SAMPLE_CALLCHAIN;
  EXPECT_EQ(output(d, {1}), -EINVAL);
  d->enabled = 0;
  EXPECT_EQ(output(d, {1}), -EOPNOTSUPP);
  d->enabled = 1;
  d->cpu = 2;
  EXPECT_EQ(output(d, {1}), -EOPNOTSUPP);
}

TEST_F(PerfRingTest, LostRecordBeforeTheNextThatFits) {
  for (const bool id_all : {false, true}) {
    RingDesc* d =
        t.add_perf_ring(SIZE, 1, PERF_SAMPLE_RAW | PERF_SAMPLE_TIME | PERF_SAMPLE_TID | (id_all ? PERF_RING_SAMPLE_ID_ALL : 0));
    u32 written = 0;
    while (output(d, std::vector<u8>(100)) == 0) ++written;
    EXPECT_EQ(output(d, std::vector<u8>(100)), -ENOSPC);
    EXPECT_EQ(d->ctl->lost, 2u);
    EXPECT_EQ(read_all(d).size(), written);
    ASSERT_EQ(output(d, {1}), 0);
    ASSERT_EQ(output(d, {1}), 0);
    const auto got = read_all(d);
    ASSERT_EQ(got.size(), 3u);
    EXPECT_EQ(got[0].type, PERF_RECORD_LOST);
    EXPECT_EQ(got[0].misc, 0u);
    EXPECT_EQ(got[0].at<u64>(0), d->event_id);
    EXPECT_EQ(got[0].at<u64>(8), 2u);
    EXPECT_EQ(got[0].body.size(), id_all ? 32u : 16u);
    if (id_all) {
      EXPECT_EQ(got[0].at<u64>(24), 0x2222u);
    }
    EXPECT_EQ(got[1].type, PERF_RECORD_SAMPLE);
    EXPECT_EQ(got[2].type, PERF_RECORD_SAMPLE);
    EXPECT_EQ(d->ctl->lost, 0u);
    EXPECT_EQ(d->ctl->lost_total, 2u);
  }
}

TEST_F(PerfRingTest, WrapsByteForByte) {
  RingDesc* d = t.add_perf_ring(SIZE, 1);
  for (u32 i = 0; i < 500; ++i) {
    const auto want = stamped(3, i, 8 + i * 37 % 2000);
    ASSERT_EQ(output(d, want), 0);
    const auto got = read_all(d);
    ASSERT_EQ(got.size(), 1u);
    ASSERT_EQ(0, memcmp(got[0].body.data() + 4, want.data(), want.size())) << i;
  }
  EXPECT_GT(data_head(d), 50 * SIZE);
}

TEST_F(PerfRingTest, OverwriteModeNeverBlocks) {
  RingDesc* d = t.add_perf_ring(SIZE, 1);
  d->overwrite = 1;
  for (u32 i = 0; i < 500; ++i) ASSERT_EQ(output(d, stamped(3, i, 100)), 0);
  EXPECT_EQ(data_head(d), 500u * 112);
  EXPECT_EQ(d->ctl->lost_total, 0u);
  data_tail(d) = data_head(d) - 36 * 112;  // the last that are whole
  const auto got = read_all(d);
  ASSERT_EQ(got.size(), 36u);
  EXPECT_EQ(got.back().at<u32>(8), 499u);
}

TEST_F(PerfRingTest, InitPage) {
  RingDesc* d = t.add_perf_ring(2 * PAGE_SIZE, 1);
  memset(d->user_page, 0xff, PAGE_SIZE);
  d->ctl->head = 77;
  perf_ring_init_page(d);
  std::vector<u8> want(PAGE_SIZE);
  want[40] = 2;   // cap_bit0_is_deprecated
  want[72] = 96;  // size
  want[1040 + 1] = 0x10;
  want[1048 + 1] = 0x20;
  EXPECT_EQ(0, memcmp(want.data(), d->user_page, PAGE_SIZE));
  EXPECT_EQ(d->ctl->head, 0u);
}

TEST_F(PerfRingTest, WakesAsAskedAndOnlySleepers) {
  RingDesc* d = t.add_perf_ring(SIZE, 1);
  d->wakeup_events = 3;
  const auto rung = [&](u32 n) {
    ring_arm(*d);
    EXPECT_EQ(output(d, std::vector<u8>(n)), 0);
    return t.take_pending_of(d);
  };
  EXPECT_FALSE(rung(4));
  EXPECT_FALSE(rung(4));
  EXPECT_TRUE(rung(4));
  EXPECT_EQ(perf_ring_seq(*d), 1u);
  EXPECT_TRUE(perf_ring_ready(*d, 0));
  EXPECT_FALSE(perf_ring_ready(*d, 1));
  EXPECT_TRUE(rung(2100));  // past half of the ring
  read_all(d);
  ring_disarm(*d);
  doorbell_prepare_wait(t.w);
  for (u32 i = 0; i < 6; ++i) output(d, {1});
  EXPECT_EQ(perf_ring_seq(*d), 4u);  // the edge is counted for those who are awake
  EXPECT_FALSE(t.take_pending_of(d));
  EXPECT_FALSE(wake);
}

// ---- death

void expect_ring_survived(TestWindow& t, RingDesc* d, u32 max_samples, long step) {
  if (data_head(d) != data_tail(d)) {
    EXPECT_TRUE(t.take_pending_of(d)) << "lost wake-up, step " << step;
  }
  u32 samples = 0;
  for (const Record& r : read_all(d)) {
    if (r.type == PERF_RECORD_LOST) {
      EXPECT_EQ(r.at<u64>(8), 5u);
      continue;
    }
    u32 producer = 0, seq = 0;
    ASSERT_TRUE(stamp_holds(r.body.data() + 4, r.body.size() - 4, &producer, &seq)) << "step " << step;
    ++samples;
  }
  ASSERT_LE(samples, max_samples);
  ASSERT_EQ(data_head(d), data_tail(d)) << "step " << step;
  OpCtx next = t.run_on(1);
  bool wake = false;
  const auto bytes = stamped(2, 2, 44);
  PerfSample s;
  s.raw = bytes.data(), s.raw_size = bytes.size();
  ASSERT_EQ(perf_ring_output(next, d, s, &wake), 0);
  const auto got = read_all(d);
  ASSERT_FALSE(got.empty());
  ASSERT_EQ(0, memcmp(got.back().body.data() + 4, bytes.data(), 44)) << "step " << step;
  slot_release(next.slot);
}

TEST(PerfRingDeath, AtEveryInstructionOfOutput) {
  TestWindow t;
  RingDesc* d = t.add_perf_ring(SIZE, 1);
  const auto bytes = stamped(1, 1, 28);
  for (const u64 lost : {u64{0}, u64{5}}) {
    OpCtx ctx = t.run_on(1, 99);
    ring_arm(*d);
    d->ctl->lost = lost;
    const long steps = die_at_every_instruction(
        t, d,
        [&] {
          bool wake = false;
          PerfSample s;
          s.raw = bytes.data(), s.raw_size = bytes.size();
          perf_ring_output(ctx, d, s, &wake);
        },
        [&](long step, bool early) {
          u32 read = 0;
          for (const Record& r : early ? read_all(d) : std::vector<Record>{}) read += r.type == PERF_RECORD_SAMPLE;
          t.recover(ctx.slot);
          expect_ring_survived(t, d, 1 - read, step);
        });
    EXPECT_GT(steps, 100);
    t.recover(ctx.slot);
    read_all(d);
  }
}

TEST(PerfRingDeath, ProducerKilledAtRandomLeavesWholeRecordsInOrder) {
  TestWindow t;
  RingDesc* d = t.add_perf_ring(2 * PAGE_SIZE, 1);
  std::mt19937 rng(5);
  u64 records = 0;
  for (u32 round = 0; round < 150; ++round) {
    OpCtx ctx = t.run_on(1, 10);
    u32 last = 0;
    const auto drain = [&] {
      for (const Record& r : read_all(d)) {
        if (r.type == PERF_RECORD_LOST) continue;
        u32 producer = 0, seq = 0;
        ASSERT_TRUE(stamp_holds(r.body.data() + 4, r.body.size() - 4, &producer, &seq));
        ASSERT_EQ(producer, round);
        ASSERT_GT(seq, last);
        last = seq;
        ++records;
      }
    };
    const pid_t pid = fork_child([&] {
      for (u32 seq = 1;; ++seq) {
        const auto bytes = stamped(round, seq, 12 + seq * 8 % 400);
        PerfSample s;
        s.raw = bytes.data(), s.raw_size = bytes.size();
        bool wake = false;
        perf_ring_output(ctx, d, s, &wake);
      }
    });
    for (const u64 until = records + rng() % 50; records < until && !HasFailure();) drain();
    kill(pid, SIGKILL);
    waitpid(pid, nullptr, 0);
    t.recover(ctx.slot);
    drain();
  }
  EXPECT_GT(records, 1000u);
}

TEST(PerfRingMany, OneProducerOneConsumerSeesEveryRecordOrItsLoss) {
  constexpr u32 COUNT = 100000;
  TestWindow t;
  RingDesc* d = t.add_perf_ring(2 * PAGE_SIZE, 1);
  const pid_t pid = fork_child([&] {
    OpCtx ctx = t.run_on(1, 10);
    for (u32 seq = 0; seq <= COUNT; ++seq) {
      const auto bytes = stamped(1, seq, 12 + seq * 8 % 400);
      PerfSample s;
      s.raw = bytes.data(), s.raw_size = bytes.size();
      bool wake = false;
      while (perf_ring_output(ctx, d, s, &wake) != 0 && seq == COUNT) std::this_thread::yield();  // the last one has to arrive
      if (wake) futex_wake_host(t.w);
    }
  });
  u64 seen = 0, lost = 0;
  for (bool more = true; more;) {
    const u32 seq_before = perf_ring_seq(*d);
    for (const Record& r : read_all(d)) {
      if (r.type == PERF_RECORD_LOST) {
        lost += r.at<u64>(8);
        continue;
      }
      u32 producer = 0, seq = 0;
      ASSERT_TRUE(stamp_holds(r.body.data() + 4, r.body.size() - 4, &producer, &seq));
      if (seq < COUNT) {
        ASSERT_EQ(seq, seen + lost);
      }
      ++seen;
      more = seq != COUNT;
    }
    ring_arm(*d);
    if (more && !perf_ring_ready(*d, seq_before)) {
      ASSERT_TRUE(host_wait(t, d, 10)) << "a wake-up was lost";
    }
    ring_disarm(*d);
  }
  EXPECT_EQ(lost, d->ctl->lost_total - d->ctl->lost);
  int status = -1;
  waitpid(pid, &status, 0);
  EXPECT_EQ(status, 0);
}

TEST(PerfRingHostile, ScribbledPositionsNeverLeaveTheRing) {
  TestWindow t;
  RingDesc* d = t.add_perf_ring(SIZE, 1, PERF_RING_SAMPLE_TYPES | PERF_RING_SAMPLE_ID_ALL);
  OpCtx ctx = t.run_on(1);
  std::mt19937_64 rng(3);
  std::vector<u8> raw(70000);
  u64 done = 0;
  for (u32 i = 0; i < 200000; ++i) {
    data_tail(d) = rng() % 2 ? rng() : d->ctl->head - rng() % 64;
    if (rng() % 4 == 0) d->ctl->head = rng();
    if (rng() % 4 == 0) data_head(d) = rng();
    if (rng() % 4 == 0) d->ctl->lost = rng();
    if (rng() % 8 == 0) d->ctl->wakeup_at = rng();
    if (rng() % 8 == 0) d->ctl->events = static_cast<u32>(rng());
    d->overwrite = i % 100 == 0;
    PerfSample s;
    s.raw = raw.data(), s.raw_size = rng() % (d->overwrite != 0 ? 70000 : 1000);
    bool wake = false;
    done += perf_ring_output(ctx, d, s, &wake) == 0;
    if (i % 100 == 0) perf_ring_recover(t.w, 1);
  }
  EXPECT_GT(done, 10000u);
  s64 far[] = {0, -1, INT64_MIN};
  for (const s64 v : far) {  // the longest record that there is, in overwrite mode: goes round the ring, and nowhere else
    d->overwrite = 1;
    d->ctl->head = static_cast<u64>(v);
    PerfSample s;
    s.raw = raw.data(), s.raw_size = 65444;
    bool wake = false;
    EXPECT_EQ(perf_ring_output(ctx, d, s, &wake), 0);
  }
}

}  // namespace
}  // namespace skep
