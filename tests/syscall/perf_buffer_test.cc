// The perf buffer: one PERF_COUNT_SW_BPF_OUTPUT event a CPU, in a perf event array, read through mmap.
// Linux: kernel/events/core.c:perf_mmap(), perf_poll(), kernel/events/ring_buffer.c,
// kernel/trace/bpf_trace.c:bpf_perf_event_output().
#include <poll.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <thread>

#include "events.h"

namespace skep::test {
namespace {

struct Record {
  struct perf_event_header header;
  std::vector<unsigned char> body;
  template <typename T>
  T at(std::size_t offset) const {
    T value{};
    EXPECT_LE(offset + sizeof value, body.size());
    if (offset + sizeof value <= body.size()) std::memcpy(&value, body.data() + offset, sizeof value);
    return value;
  }
};

/// How an event wakes its readers: after so many events, or (watermark) after so many bytes.
struct Wakeup {
  bool watermark = false;
  std::uint32_t after = 1;
};

/// One event of one CPU and its ring.
class PerfRing {
 public:
  PerfRing(int cpu, std::size_t data_pages, const Wakeup& wakeup) : data_size_(data_pages * kPage) {
    struct perf_event_attr attr;
    std::memset(&attr, 0, sizeof attr);
    attr.size = sizeof attr;
    attr.type = PERF_TYPE_SOFTWARE;
    attr.config = PERF_COUNT_SW_BPF_OUTPUT;
    attr.sample_type = PERF_SAMPLE_RAW;
    attr.sample_period = 1;
    attr.watermark = wakeup.watermark;
    attr.wakeup_events = wakeup.after;
    event_ = Fd(perf_event_open(attr, -1, cpu));
    EXPECT_THAT(event_.get(), SyscallSucceeds());
  }
  void map() {
    mapping_ = Mapping(event_.get(), 0, kPage + data_size_, PROT_READ | PROT_WRITE);
    ASSERT_THAT(mapping_.result(), SyscallSucceeds());
  }
  void unmap() { mapping_.reset(); }
  int fd() const { return event_.get(); }
  const struct perf_event_mmap_page* page() const { return reinterpret_cast<struct perf_event_mmap_page*>(mapping_.bytes()); }
  std::uint64_t head() const { return __atomic_load_n(&page()->data_head, __ATOMIC_ACQUIRE); }

  std::vector<Record> drain() {
    std::vector<Record> records;
    auto* page = reinterpret_cast<struct perf_event_mmap_page*>(mapping_.bytes());
    std::uint64_t tail = page->data_tail;
    for (const std::uint64_t end = head(); tail < end;) {
      Record record;
      copy(tail, &record.header, sizeof record.header);
      EXPECT_GE(record.header.size, sizeof record.header);
      EXPECT_EQ(record.header.size % 8, 0u);
      if (record.header.size < sizeof record.header) break;
      record.body.resize(record.header.size - sizeof record.header);
      copy(tail + sizeof record.header, record.body.data(), record.body.size());
      tail += record.header.size;
      records.push_back(std::move(record));
    }
    __atomic_store_n(&page->data_tail, tail, __ATOMIC_RELEASE);
    return records;
  }

  static constexpr std::size_t kPage = 4096;

 private:
  void copy(std::uint64_t from, void* to, std::size_t size) const {
    const unsigned char* data = mapping_.bytes() + page()->data_offset;
    for (std::size_t i = 0; i < size; ++i) static_cast<unsigned char*>(to)[i] = data[(from + i) % page()->data_size];
  }
  std::size_t data_size_;
  Fd event_;
  Mapping mapping_;
};

class PerfBufferTest : public TracepointTest {
 protected:
  static constexpr std::size_t kSequence = 0;  // results: how many events were sent
  static constexpr std::size_t kAnswer = 1;    // results: what bpf_perf_event_output() answered last

  void SetUp() override {
    TracepointTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    events_ =
        Fd(map_create({.type = BPF_MAP_TYPE_PERF_EVENT_ARRAY, .value_size = 4, .max_entries = possible_cpus(), .name = "events"}));
    ASSERT_THAT(events_.get(), SyscallSucceeds());
  }
  void TearDown() override { rings_.clear(); }

  /// Rings for every CPU, mapped, in the map and enabled.
  void open_rings(std::size_t data_pages, const Wakeup& wakeup = {}) {
    for (const int cpu : online_cpus()) {
      rings_.push_back(std::make_unique<PerfRing>(cpu, data_pages, wakeup));
      rings_.back()->map();
      const int fd = rings_.back()->fd();
      ASSERT_THAT(map_update(events_.get(), &cpu, &fd), SyscallSucceeds());
      ASSERT_THAT(enable(fd), SyscallSucceeds());
    }
  }
  /// A program that sends `size` bytes (at most 64), the sequence number first, to the ring `flags` names.
  Attached sender(int size, std::uint64_t flags = BPF_F_CURRENT_CPU) {
    ProgramText text;
    text.only_process(getpid());
    for (int at = -64; at < 0; at += 8) text.imm64(R1, 0x1716151413121110).store(BPF_DW, R10, at, R1);
    text.map_value(R1, results_.fd(), 8 * kSequence).mov(R2, 1).fetch_add(R1, 0, R2).store(BPF_DW, R10, -64, R2);
    text.mov(R1, R6).map_fd(R2, events_.get()).imm64(R3, flags).mov(R4, R10).alu(BPF_ADD, R4, -64).mov(R5, size);
    text.call(BPF_FUNC_perf_event_output).mov(R7, R0).save(results_.fd(), 8 * kAnswer, R7).out();
    return Attached(open_tracepoint(kEnterGetppid), load(BPF_PROG_TYPE_TRACEPOINT, text));
  }
  std::int64_t answer() const { return static_cast<std::int64_t>(results_[kAnswer]); }
  std::vector<Record> drain() {
    std::vector<Record> all;
    for (const auto& ring : rings_)
      for (Record& record : ring->drain()) all.push_back(std::move(record));
    return all;
  }
  /// poll() over all rings; the events that came.
  std::vector<short> poll_rings(int timeout_ms) {
    std::vector<pollfd> fds;
    for (const auto& ring : rings_) fds.push_back({ring->fd(), POLLIN, 0});
    EXPECT_GE(poll(fds.data(), fds.size(), timeout_ms), 0);
    std::vector<short> came;
    for (const pollfd& fd : fds)
      if (fd.revents != 0) came.push_back(fd.revents);
    return came;
  }
  static std::uint64_t lost_in(const Record& record) {
    return record.header.type == PERF_RECORD_LOST ? record.at<std::uint64_t>(8) : 0;
  }

  Fd events_;
  std::vector<std::unique_ptr<PerfRing>> rings_;
};

constexpr int kLong = 10000;  // ms; only ever waited out by a failure

TEST_F(PerfBufferTest, SampleLayout) {
  open_rings(1);
  for (int size = 1; size <= 24; ++size) {
    results_.put(kSequence, 0x0706050403020100);
    const Attached attached = sender(size);
    fire();
    ASSERT_EQ(answer(), 0);
    const std::vector<Record> records = drain();
    ASSERT_EQ(records.size(), 1u) << size;
    const Record& record = records[0];
    EXPECT_EQ(record.header.type, static_cast<std::uint32_t>(PERF_RECORD_SAMPLE));
    const auto raw_size = static_cast<std::uint32_t>((size + 4 + 7) / 8 * 8 - 4);  // the size word and the data fill eights
    EXPECT_EQ(record.header.size, 8 + 4 + raw_size);
    EXPECT_EQ(record.at<std::uint32_t>(0), raw_size);
    for (int i = 0; i < size; ++i)
      EXPECT_EQ(record.body[static_cast<std::size_t>(4 + i)], i < 8 ? i : 0x10 + i % 8) << size << " " << i;
  }
}

TEST_F(PerfBufferTest, ControlPage) {
  open_rings(4);
  for (const auto& ring : rings_) {
    EXPECT_EQ(ring->page()->data_offset, PerfRing::kPage);
    EXPECT_EQ(ring->page()->data_size, 4 * PerfRing::kPage);
    EXPECT_EQ(ring->head(), 0u);
    EXPECT_EQ(ring->page()->data_tail, 0u);
  }
}

TEST_F(PerfBufferTest, EveryRecordOnceAndInOrderAroundTheRing) {
  const PinnedToOneCpu pinned;
  open_rings(1);
  const Attached attached = sender(44);
  std::uint64_t next = 0;
  for (int round = 0; round < 100; ++round) {
    fire(20);
    for (const Record& record : drain()) {
      ASSERT_EQ(record.header.type, static_cast<std::uint32_t>(PERF_RECORD_SAMPLE));
      ASSERT_EQ(record.at<std::uint64_t>(4), next++);
      ASSERT_EQ(record.body[4 + 43], 0x13);
    }
  }
  EXPECT_EQ(next, 2000u);
}

TEST_F(PerfBufferTest, ThreadsLoseNothing) {
  open_rings(64);
  const Attached attached = sender(16);
  std::jthread one(fire, 2000);
  std::jthread two(fire, 2000);
  one.join();
  two.join();
  std::vector<bool> seen(4000, false);
  for (const Record& record : drain()) {
    ASSERT_EQ(record.header.type, static_cast<std::uint32_t>(PERF_RECORD_SAMPLE));
    const auto number = record.at<std::uint64_t>(4);
    ASSERT_LT(number, 4000u);
    ASSERT_FALSE(seen[number]) << number << " came twice";
    seen[number] = true;
  }
  EXPECT_EQ(std::count(seen.begin(), seen.end(), true), 4000);
}

TEST_F(PerfBufferTest, FullRingSaysHowManyWereLost) {
  const PinnedToOneCpu pinned;
  open_rings(1);
  const Attached attached = sender(52);  // records of 64 bytes
  fire(200);
  EXPECT_EQ(answer(), -ENOSPC);
  std::uint64_t samples = 0;
  for (const Record& record : drain()) {
    EXPECT_EQ(record.header.type, static_cast<std::uint32_t>(PERF_RECORD_SAMPLE)) << "nothing is said before there is room";
    EXPECT_EQ(record.at<std::uint64_t>(4), samples++);
  }
  EXPECT_EQ(samples, 63u) << "a ring is never filled to the last byte";

  fire();
  EXPECT_EQ(answer(), 0);
  const std::vector<Record> records = drain();
  ASSERT_EQ(records.size(), 2u);
  EXPECT_EQ(records[0].header.type, static_cast<std::uint32_t>(PERF_RECORD_LOST));
  EXPECT_EQ(records[0].header.size, 24u);
  EXPECT_EQ(lost_in(records[0]), 200 - samples);
  EXPECT_EQ(records[1].header.type, static_cast<std::uint32_t>(PERF_RECORD_SAMPLE));
  EXPECT_EQ(records[1].at<std::uint64_t>(4), 200u);
  std::vector<std::uint64_t> ids;
  for (const auto& ring : rings_) {
    std::uint64_t id = 0;
    EXPECT_THAT(ioctl(ring->fd(), PERF_EVENT_IOC_ID, &id), SyscallSucceeds());
    ids.push_back(id);
  }
  EXPECT_THAT(ids, testing::Contains(records[0].at<std::uint64_t>(0))) << "the event that lost them";
}

TEST_F(PerfBufferTest, AnswersOfTheHelper) {
  open_rings(1);
  EXPECT_THAT(map_delete(events_.get(), &online_cpus()[0]), SyscallSucceeds());
  for (const int cpu : online_cpus()) map_delete(events_.get(), &cpu);
  {
    const Attached attached = sender(8);
    fire();
    EXPECT_EQ(answer(), -ENOENT) << "no event there";
  }
  {
    const Attached attached = sender(8, possible_cpus());
    fire();
    EXPECT_EQ(answer(), -E2BIG) << "no such place";
  }
  {
    const Attached attached = sender(8, 1ull << 40);
    fire();
    EXPECT_EQ(answer(), -EINVAL) << "flags";
  }
}

TEST_F(PerfBufferTest, EventThatIsNoBpfOutput) {
  struct perf_event_attr attr;
  std::memset(&attr, 0, sizeof attr);
  attr.size = sizeof attr;
  attr.type = PERF_TYPE_SOFTWARE;
  attr.config = PERF_COUNT_SW_DUMMY;
  const PinnedToOneCpu pinned;
  std::vector<Fd> events;
  for (const int cpu : online_cpus()) {
    events.emplace_back(perf_event_open(attr, -1, cpu));
    const int fd = events.back().get();
    ASSERT_THAT(map_update(events_.get(), &cpu, &fd), SyscallSucceeds());
  }
  const Attached attached = sender(8);
  fire();
  EXPECT_EQ(answer(), -EINVAL);
}

TEST_F(PerfBufferTest, MmapRules) {
  const PerfRing ring(online_cpus()[0], 1, {});
  const std::size_t page = PerfRing::kPage;
  const auto try_map = [&](std::uint64_t offset, std::size_t size, int flags) {
    return Mapping(ring.fd(), offset, size, PROT_READ | PROT_WRITE, flags).result();
  };
  EXPECT_THAT(try_map(0, 4 * page, MAP_SHARED), SyscallFailsWithErrno(EINVAL)) << "3 data pages";
  EXPECT_THAT(try_map(0, 2 * page, MAP_PRIVATE), SyscallFailsWithErrno(EINVAL)) << "private";
  EXPECT_THAT(try_map(page, 2 * page, MAP_SHARED), SyscallFailsWithErrno(EINVAL)) << "not from the start";
  EXPECT_THAT(try_map(0, page, MAP_SHARED), SyscallSucceeds()) << "the control page alone";
  const Mapping whole(ring.fd(), 0, 3 * page, PROT_READ | PROT_WRITE);
  EXPECT_THAT(whole.result(), SyscallSucceeds());
  EXPECT_THAT(try_map(0, 2 * page, MAP_SHARED), SyscallFailsWithErrno(EINVAL)) << "a second mapping of another size";
  EXPECT_THAT(try_map(0, 3 * page, MAP_SHARED), SyscallSucceeds()) << "a second one of the same size";
}

// ---- waiting
// ------------------------------------------------------------------------------------------------------------------------

TEST_F(PerfBufferTest, PollIsAnEdge) {
  const PinnedToOneCpu pinned;
  open_rings(1);
  const Attached attached = sender(8);
  EXPECT_TRUE(poll_rings(0).empty());
  fire();
  EXPECT_EQ(poll_rings(kLong), std::vector<short>{POLLIN});
  EXPECT_TRUE(poll_rings(0).empty()) << "told once, though nothing was read";
  fire();
  EXPECT_EQ(poll_rings(kLong), std::vector<short>{POLLIN}) << "told again of a new one";
  EXPECT_EQ(drain().size(), 2u);
  EXPECT_TRUE(poll_rings(0).empty());
}

TEST_F(PerfBufferTest, PollAfterReadingStillTells) {
  // The wake-up was not asked for before: reading does not take it back.
  const PinnedToOneCpu pinned;
  open_rings(1);
  const Attached attached = sender(8);
  fire();
  EXPECT_EQ(drain().size(), 1u);
  EXPECT_EQ(poll_rings(0), std::vector<short>{POLLIN});
  EXPECT_TRUE(poll_rings(0).empty());
}

TEST_F(PerfBufferTest, PollHangsUpWithoutAMapping) {
  PerfRing ring(online_cpus()[0], 1, {});
  pollfd fd = {ring.fd(), POLLIN, 0};
  EXPECT_EQ(poll(&fd, 1, 0), 1);
  EXPECT_EQ(fd.revents, POLLHUP) << "not mapped yet";
  ring.map();
  EXPECT_EQ(poll(&fd, 1, 0), 0);
  ring.unmap();
  EXPECT_EQ(poll(&fd, 1, 0), 1);
  EXPECT_EQ(fd.revents, POLLHUP) << "not mapped any more";
}

TEST_F(PerfBufferTest, PollSleepsUntilAnEvent) {
  open_rings(1);
  const Attached attached = sender(8);
  std::jthread other(fire, 1);
  EXPECT_EQ(poll_rings(kLong), std::vector<short>{POLLIN});
  other.join();
  EXPECT_EQ(drain().size(), 1u);
}

TEST_F(PerfBufferTest, PollTimesOut) {
  open_rings(1);
  const Attached attached = sender(8);
  EXPECT_TRUE(poll_rings(20).empty());
}

TEST_F(PerfBufferTest, Epoll) {
  const PinnedToOneCpu pinned;
  open_rings(1);
  const Attached attached = sender(8);
  const Fd epoll(epoll_create1(EPOLL_CLOEXEC));
  for (std::size_t i = 0; i < rings_.size(); ++i) {
    epoll_event want{};
    want.events = EPOLLIN;
    want.data.u64 = i;
    ASSERT_THAT(epoll_ctl(epoll.get(), EPOLL_CTL_ADD, rings_[i]->fd(), &want), SyscallSucceeds());
  }
  epoll_event got[8];
  EXPECT_EQ(epoll_wait(epoll.get(), got, 8, 0), 0);
  fire();
  ASSERT_EQ(epoll_wait(epoll.get(), got, 8, kLong), 1);
  EXPECT_EQ(got[0].events, static_cast<std::uint32_t>(EPOLLIN));
  ASSERT_LT(got[0].data.u64, rings_.size());
  EXPECT_EQ(epoll_wait(epoll.get(), got, 8, 0), 0) << "told once";
  EXPECT_EQ(rings_[got[0].data.u64]->drain().size(), 1u) << "of the ring that has it";
  std::jthread other(fire, 1);
  EXPECT_EQ(epoll_wait(epoll.get(), got, 8, kLong), 1);
  other.join();
  EXPECT_EQ(drain().size(), 1u);
}

TEST_F(PerfBufferTest, Select) {
  const PinnedToOneCpu pinned;
  open_rings(1);
  const Attached attached = sender(8);
  const auto ready = [&](long seconds) {
    fd_set set;
    FD_ZERO(&set);
    int top = 0;
    for (const auto& ring : rings_) {
      FD_SET(ring->fd(), &set);
      top = std::max(top, ring->fd());
    }
    timeval timeout = {seconds, 0};
    return select(top + 1, &set, nullptr, nullptr, &timeout);
  };
  EXPECT_EQ(ready(0), 0);
  fire();
  EXPECT_EQ(ready(10), 1);
  EXPECT_EQ(ready(0), 0);
}

TEST_F(PerfBufferTest, WakesAfterSoManyEvents) {
  const PinnedToOneCpu pinned;
  open_rings(1, {.watermark = false, .after = 3});
  const Attached attached = sender(8);
  for (int round = 0; round < 3; ++round) {
    fire(2);
    EXPECT_TRUE(poll_rings(0).empty()) << round;
    fire();
    EXPECT_EQ(poll_rings(kLong), std::vector<short>{POLLIN}) << round;
  }
  EXPECT_EQ(drain().size(), 9u);
}

TEST_F(PerfBufferTest, WakesAfterSoManyBytes) {
  const PinnedToOneCpu pinned;
  open_rings(1, {.watermark = true, .after = 1024});
  const Attached attached = sender(52);  // records of 64 bytes
  fire(10);
  EXPECT_TRUE(poll_rings(0).empty());
  fire(10);
  EXPECT_EQ(poll_rings(kLong), std::vector<short>{POLLIN});
  EXPECT_EQ(drain().size(), 20u);
}

}  // namespace
}  // namespace skep::test
