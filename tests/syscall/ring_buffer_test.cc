// BPF_MAP_TYPE_RINGBUF: its mapping, its records, its helpers and its waiting. Linux: kernel/bpf/ringbuf.c.
#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <unistd.h>

#include <algorithm>
#include <thread>

#include "events.h"

namespace skep::test {
namespace {

constexpr int kLong = 10000;  // ms; only ever waited out by a failure

struct RingRecord {
  std::uint32_t length;
  bool discarded;
  std::vector<unsigned char> data;
  std::uint64_t number() const {
    std::uint64_t value = 0;
    std::memcpy(&value, data.data(), std::min(sizeof value, data.size()));
    return value;
  }
};

/// The map and its three mappings: consumer page, producer page, data twice.
class Ring {
 public:
  explicit Ring(std::uint32_t size)
      : size_(size),
        map_(map_create({.type = BPF_MAP_TYPE_RINGBUF, .key_size = 0, .value_size = 0, .max_entries = size, .name = "ring"})),
        consumer_(map_.get(), 0, kPage, PROT_READ | PROT_WRITE),
        producer_(map_.get(), kPage, kPage + 2 * std::size_t{size}, PROT_READ) {
    EXPECT_THAT(consumer_.result(), SyscallSucceeds());
    EXPECT_THAT(producer_.result(), SyscallSucceeds());
  }
  int fd() const { return map_.get(); }
  unsigned char* data() const { return producer_.bytes() + kPage; }
  std::uint64_t consumed() const { return __atomic_load_n(position(consumer_), __ATOMIC_ACQUIRE); }
  std::uint64_t produced() const { return __atomic_load_n(position(producer_), __ATOMIC_ACQUIRE); }
  void consume_to(std::uint64_t at) { __atomic_store_n(position(consumer_), at, __ATOMIC_RELEASE); }

  /// Takes what is committed, as libbpf does.
  std::vector<RingRecord> drain() {
    std::vector<RingRecord> records;
    std::uint64_t at = consumed();
    while (at < produced()) {
      const unsigned char* header = data() + at % size_;
      const std::uint32_t length = __atomic_load_n(reinterpret_cast<const std::uint32_t*>(header), __ATOMIC_ACQUIRE);
      if ((length & BPF_RINGBUF_BUSY_BIT) != 0) break;
      const std::uint32_t bytes = length & ~(BPF_RINGBUF_BUSY_BIT | BPF_RINGBUF_DISCARD_BIT);
      records.push_back(
          {bytes, (length & BPF_RINGBUF_DISCARD_BIT) != 0, {header + BPF_RINGBUF_HDR_SZ, header + BPF_RINGBUF_HDR_SZ + bytes}});
      at += (bytes + BPF_RINGBUF_HDR_SZ + 7) / 8 * 8;
      consume_to(at);
    }
    return records;
  }

  static constexpr std::size_t kPage = 4096;

 private:
  static std::uint64_t* position(const Mapping& page) { return reinterpret_cast<std::uint64_t*>(page.bytes()); }
  std::uint32_t size_;
  Fd map_;
  Mapping consumer_, producer_;
};

class RingBufferTest : public TracepointTest {
 protected:
  static constexpr std::size_t kSequence = 0;  // results: how many records were tried
  static constexpr std::size_t kAnswer = 1;    // results: what the helper answered last

  /// Puts a new sequence number into r8.
  ProgramText next_number() const {
    return ProgramText().only_process(getpid()).map_value(R1, results_.fd(), 8 * kSequence).mov(R8, 1).fetch_add(R1, 0, R8);
  }
  Attached attach(const ProgramText& text) {
    return Attached(open_tracepoint(kEnterGetppid), load(BPF_PROG_TYPE_TRACEPOINT, text));
  }
  /// bpf_ringbuf_output() of `size` bytes (at most 64), the sequence number first.
  Attached sender(const Ring& ring, int size, std::int32_t flags = 0) {
    ProgramText text = next_number();
    for (int at = -64; at < 0; at += 8) text.imm64(R1, 0x1716151413121110).store(BPF_DW, R10, at, R1);
    text.store(BPF_DW, R10, -64, R8).map_fd(R1, ring.fd()).mov(R2, R10).alu(BPF_ADD, R2, -64).mov(R3, size).mov(R4, flags);
    return attach(text.call(BPF_FUNC_ringbuf_output).mov(R7, R0).save(results_.fd(), 8 * kAnswer, R7).out());
  }
  /// bpf_ringbuf_reserve() of `size` bytes, filled, then submitted or discarded. kAnswer: 0, or 1 when nothing could be reserved.
  Attached reserver(const Ring& ring, int size, int then, std::int32_t flags = 0) {
    ProgramText text = next_number();
    text.map_fd(R1, ring.fd()).mov(R2, size).mov(R3, 0).call(BPF_FUNC_ringbuf_reserve).mov(R7, 1);
    text.jump_if(BPF_JEQ, R0, 0, "answer").store(BPF_DW, R0, 0, R8).mov(R1, R0).mov(R2, flags).call(then).mov(R7, 0);
    return attach(text.label("answer").save(results_.fd(), 8 * kAnswer, R7).out());
  }
  std::int64_t answer() const { return static_cast<std::int64_t>(results_[kAnswer]); }
  static short polled(const Ring& ring, int timeout_ms) {
    pollfd fd = {ring.fd(), POLLIN, 0};
    EXPECT_GE(poll(&fd, 1, timeout_ms), 0);
    return fd.revents;
  }
};

// ---- mapping
// ------------------------------------------------------------------------------------------------------------------------

TEST_F(RingBufferTest, OnlyTheConsumerPageIsWritable) {
  const std::size_t page = Ring::kPage;
  const Ring ring(4096);
  const auto try_map = [&](std::size_t offset, std::size_t size, int prot, int flags = MAP_SHARED) {
    return Mapping(ring.fd(), offset, size, prot, flags).result();
  };
  EXPECT_THAT(try_map(0, page, PROT_READ | PROT_WRITE), SyscallSucceeds());
  EXPECT_THAT(try_map(page, page, PROT_READ | PROT_WRITE), SyscallFailsWithErrno(EPERM)) << "producer page";
  EXPECT_THAT(try_map(2 * page, page, PROT_READ | PROT_WRITE), SyscallFailsWithErrno(EPERM)) << "data";
  EXPECT_THAT(try_map(0, 2 * page, PROT_READ | PROT_WRITE), SyscallFailsWithErrno(EPERM)) << "consumer and producer pages";
  EXPECT_THAT(try_map(0, 4 * page, PROT_READ), SyscallSucceeds()) << "everything, to read";
  EXPECT_THAT(try_map(0, 5 * page, PROT_READ), SyscallFailsWithErrno(EINVAL)) << "more than there is";
  EXPECT_THAT(try_map(4 * page, page, PROT_READ), SyscallFailsWithErrno(EINVAL)) << "behind the end";
  EXPECT_THAT(try_map(0, page, PROT_READ | PROT_WRITE, MAP_PRIVATE), SyscallFailsWithErrno(EINVAL)) << "private";
  const Mapping producer(ring.fd(), page, page, PROT_READ);
  EXPECT_THAT(mprotect(producer.bytes(), page, PROT_READ | PROT_WRITE), SyscallFailsWithErrno(EACCES)) << "later neither";
}

TEST_F(RingBufferTest, DataStandsTwice) {
  Ring ring(4096);
  const Attached attached = sender(ring, 64);
  fire(10);
  EXPECT_EQ(std::memcmp(ring.data(), ring.data() + 4096, 4096), 0);
  EXPECT_NE(ring.data()[0], 0);
}

// ---- records
// ------------------------------------------------------------------------------------------------------------------------

TEST_F(RingBufferTest, RecordLayout) {
  Ring ring(4096);
  for (int size = 1; size <= 24; ++size) {
    results_.put(kSequence, 0x0706050403020100);
    const Attached attached = sender(ring, size);
    const std::uint64_t before = ring.produced();
    fire();
    ASSERT_EQ(answer(), 0);
    EXPECT_EQ(ring.produced() - before, static_cast<std::uint64_t>((size + 8 + 7) / 8 * 8));
    const std::vector<RingRecord> records = ring.drain();
    ASSERT_EQ(records.size(), 1u);
    ASSERT_EQ(records[0].length, static_cast<std::uint32_t>(size));
    for (int i = 0; i < size; ++i)
      EXPECT_EQ(records[0].data[static_cast<std::size_t>(i)], i < 8 ? i : 0x10 + i % 8) << size << " " << i;
  }
}

TEST_F(RingBufferTest, EveryRecordOnceAndInOrderAcrossTheEnd) {
  Ring ring(4096);
  const Attached attached = sender(ring, 40);  // 48 bytes do not divide 4096: records run past the end
  std::uint64_t next = 0;
  for (int round = 0; round < 100; ++round) {
    fire(20);
    for (const RingRecord& record : ring.drain()) {
      ASSERT_EQ(record.length, 40u);
      ASSERT_EQ(record.number(), next++);
      ASSERT_EQ(record.data[39], 0x17);
    }
  }
  EXPECT_EQ(next, 2000u);
  EXPECT_EQ(ring.produced(), 2000u * 48);
}

TEST_F(RingBufferTest, ReserveAndSubmit) {
  Ring ring(4096);
  const Attached attached = reserver(ring, 24, BPF_FUNC_ringbuf_submit);
  fire(3);
  const std::vector<RingRecord> records = ring.drain();
  ASSERT_EQ(records.size(), 3u);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(records[i].length, 24u);
    EXPECT_FALSE(records[i].discarded);
    EXPECT_EQ(records[i].number(), i);
  }
}

TEST_F(RingBufferTest, ReserveAndDiscard) {
  Ring ring(4096);
  const Attached attached = reserver(ring, 24, BPF_FUNC_ringbuf_discard);
  fire(3);
  const std::vector<RingRecord> records = ring.drain();
  ASSERT_EQ(records.size(), 3u);
  for (const RingRecord& record : records) EXPECT_TRUE(record.discarded);
}

TEST_F(RingBufferTest, FullRingRefuses) {
  Ring ring(4096);
  {
    const Attached attached = sender(ring, 56);  // 64 bytes a record
    fire(63);
    EXPECT_EQ(answer(), 0);
    fire();
    EXPECT_EQ(answer(), -EAGAIN) << "a ring is never filled to the last byte";
    EXPECT_EQ(ring.produced(), 63u * 64);
  }
  {
    const Attached attached = reserver(ring, 56, BPF_FUNC_ringbuf_submit);
    fire();
    EXPECT_EQ(answer(), 1) << "nor can anything be reserved";
    EXPECT_EQ(ring.drain().size(), 63u);
    fire();
    EXPECT_EQ(answer(), 0) << "but after reading it can";
    EXPECT_EQ(ring.drain().size(), 1u);
  }
}

TEST_F(RingBufferTest, RecordLargerThanTheRing) {
  Ring ring(4096);
  const Attached attached = reserver(ring, 8192, BPF_FUNC_ringbuf_submit);
  fire();
  EXPECT_EQ(answer(), 1);
  EXPECT_EQ(ring.produced(), 0u);
}

TEST_F(RingBufferTest, BadFlags) {
  Ring ring(4096);
  const Attached attached = sender(ring, 8, 1 << 10);
  fire();
  EXPECT_EQ(answer(), -EINVAL);
  EXPECT_EQ(ring.produced(), 0u);
}

TEST_F(RingBufferTest, Query) {
  Ring ring(8192);
  ProgramText text;
  text.only_process(getpid());
  for (std::int32_t what = 0; what <= 4; ++what)
    text.map_fd(R1, ring.fd())
        .mov(R2, what)
        .call(BPF_FUNC_ringbuf_query)
        .mov(R7, R0)
        .save(results_.fd(), 8 * static_cast<std::uint32_t>(what + 2), R7);
  text.out();
  {
    const Attached attached = sender(ring, 8);
    fire(4);
  }
  ring.consume_to(16);
  const Attached attached = attach(text);
  fire();
  EXPECT_EQ(results_[2 + BPF_RB_AVAIL_DATA], 48u);
  EXPECT_EQ(results_[2 + BPF_RB_RING_SIZE], 8192u);
  EXPECT_EQ(results_[2 + BPF_RB_CONS_POS], 16u);
  EXPECT_EQ(results_[2 + BPF_RB_PROD_POS], 64u);
  EXPECT_EQ(results_[2 + 4], 0u) << "an unknown question";
}

TEST_F(RingBufferTest, ConsumerThatLiesHarmsOnlyItself) {
  Ring ring(4096);
  const Attached attached = sender(ring, 8);
  for (const std::uint64_t lie : {std::uint64_t{1} << 40, std::uint64_t{8192}, std::uint64_t{1} << 63}) {
    ring.consume_to(lie);
    fire();
    EXPECT_EQ(answer(), -EAGAIN) << lie;
  }
  ring.consume_to(0);
  fire();
  EXPECT_EQ(answer(), 0);
  EXPECT_EQ(ring.drain().size(), 1u);
}

TEST_F(RingBufferTest, ThreadsLoseNothing) {
  Ring ring(1 << 17);
  const Attached attached = sender(ring, 16);
  std::jthread one(fire, 2000);
  std::jthread two(fire, 2000);
  one.join();
  two.join();
  std::vector<bool> seen(4000, false);
  std::size_t count = 0;
  for (const RingRecord& record : ring.drain()) {
    ASSERT_LT(record.number(), 4000u);
    ASSERT_FALSE(seen[record.number()]);
    seen[record.number()] = true;
    ++count;
  }
  // Linux: __bpf_ringbuf_reserve() in NMI only trylocks; here both threads wait for the lock, so nothing is refused.
  EXPECT_EQ(count, 4000u);
}

// ---- waiting
// ------------------------------------------------------------------------------------------------------------------------

TEST_F(RingBufferTest, PollTellsTheState) {
  Ring ring(4096);
  const Attached attached = sender(ring, 8);
  EXPECT_EQ(polled(ring, 0), 0);
  fire();
  EXPECT_EQ(polled(ring, kLong), POLLIN);
  EXPECT_EQ(polled(ring, 0), POLLIN) << "as long as there is data";
  ring.consume_to(8);
  EXPECT_EQ(polled(ring, 0), POLLIN) << "even half a record";
  ring.consume_to(16);
  EXPECT_EQ(polled(ring, 0), 0) << "reading is one store to memory, no call";
}

TEST_F(RingBufferTest, DiscardedRecordsAreDataToo) {
  Ring ring(4096);
  const Attached attached = reserver(ring, 8, BPF_FUNC_ringbuf_discard);
  fire();
  EXPECT_EQ(polled(ring, kLong), POLLIN);
}

TEST_F(RingBufferTest, PollSleepsUntilARecord) {
  Ring ring(4096);
  const Attached attached = sender(ring, 8);
  std::jthread other(fire, 1);
  EXPECT_EQ(polled(ring, kLong), POLLIN);
  other.join();
  EXPECT_EQ(ring.drain().size(), 1u);
  EXPECT_EQ(polled(ring, 20), 0) << "and times out";
}

TEST_F(RingBufferTest, Select) {
  Ring ring(4096);
  const Attached attached = sender(ring, 8);
  const auto ready = [&](long seconds) {
    fd_set set;
    FD_ZERO(&set);
    FD_SET(ring.fd(), &set);
    timeval timeout = {seconds, 0};
    return select(ring.fd() + 1, &set, nullptr, nullptr, &timeout);
  };
  EXPECT_EQ(ready(0), 0);
  fire();
  EXPECT_EQ(ready(10), 1);
  EXPECT_EQ(ready(0), 1);
  ring.drain();
  EXPECT_EQ(ready(0), 0);
}

class RingBufferEpollTest : public RingBufferTest {
 protected:
  void SetUp() override {
    RingBufferTest::SetUp();
    epoll_ = Fd(epoll_create1(EPOLL_CLOEXEC));
  }
  void watch(const Ring& ring, std::uint32_t events) {
    epoll_event want{};
    want.events = events;
    want.data.u64 = 77;
    ASSERT_THAT(epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, ring.fd(), &want), SyscallSucceeds());
  }
  /// 1 when the ring was reported within the time.
  int told(int timeout_ms) {
    epoll_event got[2];
    const int n = epoll_wait(epoll_.get(), got, 2, timeout_ms);
    EXPECT_TRUE(n != 1 || got[0].data.u64 == 77u);
    return n;
  }
  Fd epoll_;
};

TEST_F(RingBufferEpollTest, LevelTriggered) {
  Ring ring(4096);
  const Attached attached = sender(ring, 8);
  watch(ring, EPOLLIN);
  EXPECT_EQ(told(0), 0);
  fire();
  EXPECT_EQ(told(kLong), 1);
  EXPECT_EQ(told(0), 1) << "still there";
  ring.drain();
  EXPECT_EQ(told(0), 0);
  std::jthread other(fire, 1);
  EXPECT_EQ(told(kLong), 1);
  other.join();
}

TEST_F(RingBufferEpollTest, EdgeTriggered) {
  Ring ring(4096);
  const Attached attached = sender(ring, 8);
  watch(ring, EPOLLIN | EPOLLET);
  fire();
  EXPECT_EQ(told(kLong), 1);
  EXPECT_EQ(told(0), 0) << "no new wake-up";
  for (int round = 0; round < 10; ++round) {
    ring.drain();
    fire();
    EXPECT_EQ(told(kLong), 1) << "each wake-up is a fresh edge, round " << round;
  }
}

TEST_F(RingBufferEpollTest, DataFromBeforeTheWatchIsAnEdge) {
  Ring ring(4096);
  const Attached attached = sender(ring, 8);
  fire();
  watch(ring, EPOLLIN | EPOLLET);
  EXPECT_EQ(told(kLong), 1);
  EXPECT_EQ(told(0), 0);
}

TEST_F(RingBufferEpollTest, WakesOnlyAReaderWhoCaughtUp) {
  // Linux: bpf_ringbuf_commit() wakes when the consumer stands at this very record.
  Ring ring(4096);
  const Attached attached = sender(ring, 8);
  watch(ring, EPOLLIN | EPOLLET);
  fire();
  EXPECT_EQ(told(kLong), 1);
  fire(5);
  EXPECT_EQ(told(20), 0) << "the reader is awake already";
  ring.drain();
  fire();
  EXPECT_EQ(told(kLong), 1);
}

TEST_F(RingBufferEpollTest, NoWakeup) {
  Ring ring(4096);
  const Attached attached = sender(ring, 8, BPF_RB_NO_WAKEUP);
  watch(ring, EPOLLIN | EPOLLET);
  fire();
  EXPECT_EQ(told(20), 0);
  EXPECT_EQ(polled(ring, 0), POLLIN) << "though it is there for whoever asks";
}

TEST_F(RingBufferEpollTest, ForceWakeup) {
  Ring ring(4096);
  const Attached attached = sender(ring, 8, BPF_RB_FORCE_WAKEUP);
  watch(ring, EPOLLIN | EPOLLET);
  for (int round = 0; round < 5; ++round) {
    fire();
    EXPECT_EQ(told(kLong), 1) << "even of a reader who is behind, round " << round;
  }
  EXPECT_EQ(ring.drain().size(), 5u);
}

TEST_F(RingBufferEpollTest, FlagsOfSubmit) {
  Ring ring(4096);
  watch(ring, EPOLLIN | EPOLLET);
  {
    const Attached attached = reserver(ring, 8, BPF_FUNC_ringbuf_submit, BPF_RB_NO_WAKEUP);
    fire();
    EXPECT_EQ(told(20), 0);
  }
  const Attached attached = reserver(ring, 8, BPF_FUNC_ringbuf_submit, BPF_RB_FORCE_WAKEUP);
  fire();
  EXPECT_EQ(told(kLong), 1);
}

TEST_F(RingBufferEpollTest, ReaderSeesEveryRecordOfABusyWriter) {
  Ring ring(4096);
  const Attached attached = sender(ring, 8);
  watch(ring, EPOLLIN);
  constexpr int kRounds = 200;
  constexpr int kBurst = 50;  // fits the ring, so nothing is refused
  std::uint64_t next = 0;
  for (int round = 0; round < kRounds; ++round) {
    std::jthread writer(fire, kBurst);
    while (next < static_cast<std::uint64_t>(round + 1) * kBurst) {
      ASSERT_EQ(told(kLong), 1);
      for (const RingRecord& record : ring.drain()) ASSERT_EQ(record.number(), next++);
    }
    writer.join();
  }
}

}  // namespace
}  // namespace skep::test
