// ring/HOW/SIZE and perf/output/SIZE: records of SIZE bytes, by one thread ("1"), by two on two processors into one ring or each
// into its own perf buffer ("2"), by one while a reader on the other processor keeps up ("reader"), and while one sleeps in epoll
// ("epoll"). "1" and "2" wake nobody: the reader's position moves on between the runs.
#include <linux/perf_event.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <thread>

#include "../programs/buffer_state.h"
#include "bpf_calls.h"
#include "rows.h"

namespace skep::bench {
namespace {

constexpr std::size_t PAGE = 4096;
constexpr std::uint32_t RING_HEADER = 8, PERF_HEADER = 12;
constexpr int POLL_MS = 20;

template <typename T>
std::atomic_ref<T> atomic_at(void* p) {
  return std::atomic_ref<T>(*static_cast<T*>(p));
}

std::uint64_t round_up_8(std::uint64_t n) { return (n + 7) & ~std::uint64_t{7}; }

/// Looks at each record as it comes: the numbers of a thread go up by one.
class Reader {
 public:
  void take(const std::uint64_t* record, std::uint32_t size) {
    const std::uint64_t thread = record[0] >> 56, number = record[0] << 8 >> 8;
    const std::uint64_t last = size == 8 ? record[0] : record[size / 8 - 1];
    if (thread > 1 || number != next_[thread]++ || last << 8 >> 8 != number) broken_ = true;
    ++count_;
  }
  std::uint64_t count() const { return count_; }
  bool broken() const { return broken_; }
  void start(const buffer_work& work) {
    for (int i = 0; i < 2; ++i) next_[i] = work.producer[i].number;
    broken_ = false;
    count_ = 0;
  }

 private:
  std::uint64_t next_[2] = {}, count_ = 0;
  bool broken_ = false;
};

/// A ring buffer, mapped as Linux lays it out.
class Ring {
 public:
  explicit Ring(int fd) {
    consumer_ = mmap(nullptr, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    producer_ = mmap(nullptr, PAGE + 2 * RING_BYTES, PROT_READ, MAP_SHARED, fd, PAGE);
    if (consumer_ == MAP_FAILED || producer_ == MAP_FAILED) throw Skip(with_errno("mmap of the ring", errno));
  }
  ~Ring() {
    munmap(consumer_, PAGE);
    munmap(producer_, PAGE + 2 * RING_BYTES);
  }
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;

  void skip() { consumed().store(produced(), std::memory_order_release); }

  void read(Reader* reader) {
    std::uint64_t at = consumed().load(std::memory_order_relaxed);
    for (const std::uint64_t end = produced(); at < end;) {
      char* header = static_cast<char*>(producer_) + PAGE + (at & (RING_BYTES - 1));
      const std::uint32_t length = atomic_at<std::uint32_t>(header).load(std::memory_order_acquire);
      if ((length & BPF_RINGBUF_BUSY_BIT) != 0) break;
      if ((length & BPF_RINGBUF_DISCARD_BIT) == 0) reader->take(reinterpret_cast<std::uint64_t*>(header + RING_HEADER), length);
      at += round_up_8((length & ~BPF_RINGBUF_DISCARD_BIT) + RING_HEADER);
      consumed().store(at, std::memory_order_release);
    }
  }

 private:
  std::atomic_ref<std::uint64_t> consumed() { return atomic_at<std::uint64_t>(consumer_); }
  std::uint64_t produced() { return atomic_at<std::uint64_t>(producer_).load(std::memory_order_acquire); }

  void *consumer_, *producer_;
};

/// One processor's perf buffer.
class PerfRing {
 public:
  PerfRing(int map, int cpu) {
    perf_event_attr attr;
    std::memset(&attr, 0, sizeof attr);
    attr.size = sizeof attr;
    attr.type = PERF_TYPE_SOFTWARE;
    attr.config = PERF_COUNT_SW_BPF_OUTPUT;
    attr.sample_type = PERF_SAMPLE_RAW;
    attr.sample_period = 1;
    attr.watermark = 1;
    attr.wakeup_watermark = RING_BYTES / 2;
    fd_ = static_cast<int>(syscall(SYS_perf_event_open, &attr, -1, cpu, -1, PERF_FLAG_FD_CLOEXEC));
    if (fd_ < 0) throw Skip(with_errno("perf_event_open", errno));
    base_ = static_cast<char*>(mmap(nullptr, PAGE + RING_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd_, 0));
    if (base_ == MAP_FAILED) throw Skip(with_errno("mmap of the perf buffer", errno));
    if (ioctl(fd_, PERF_EVENT_IOC_ENABLE, 0) != 0) throw Skip(with_errno("PERF_EVENT_IOC_ENABLE", errno));
    const auto key = static_cast<std::uint32_t>(cpu);
    if (const int err = bpf_map_update_elem(map, &key, &fd_, 0); err != 0) throw Skip(with_errno("perf event into the map", -err));
  }
  ~PerfRing() {
    munmap(base_, PAGE + RING_BYTES);
    close(fd_);
  }
  PerfRing(const PerfRing&) = delete;
  PerfRing& operator=(const PerfRing&) = delete;

  void skip() { tail().store(head(), std::memory_order_release); }

  void read(Reader* reader) {
    std::uint64_t at = tail().load(std::memory_order_relaxed);
    for (const std::uint64_t end = head(); at < end;) {
      perf_event_header header;
      copy(&header, at, sizeof header);
      if (header.type == PERF_RECORD_SAMPLE) {
        std::uint32_t size;
        copy(&size, at + sizeof header, sizeof size);
        // What is behind the record's end is padding: the size counts it.
        const std::uint32_t whole = (size - 4) / 8 * 8;
        copy(record_, at + sizeof header + sizeof size, whole + 4);
        reader->take(record_, whole);
      }
      at += header.size;
      tail().store(at, std::memory_order_release);
    }
  }

 private:
  perf_event_mmap_page* page() { return reinterpret_cast<perf_event_mmap_page*>(base_); }
  std::atomic_ref<__u64> tail() { return std::atomic_ref<__u64>(page()->data_tail); }
  std::uint64_t head() { return std::atomic_ref<__u64>(page()->data_head).load(std::memory_order_acquire); }
  void copy(void* to, std::uint64_t at, std::size_t n) {
    const char* data = base_ + PAGE;
    for (std::size_t i = 0; i < n; ++i) static_cast<char*>(to)[i] = data[(at + i) & (RING_BYTES - 1)];
  }

  int fd_;
  char* base_;
  std::uint64_t record_[130];
};

class Buffer : public Group {
 public:
  explicit Buffer(const std::string& group) {
    const std::size_t first = group.find('/') + 1, second = group.find('/', first);
    is_perf_ = group.starts_with("perf/");
    size_ = static_cast<std::uint32_t>(std::stoul(group.substr(second + 1)));
    name_ = (is_perf_ ? "perf" : group.substr(first, second - first)) + "_" + std::to_string(size_);
    record_bytes_ = static_cast<std::uint32_t>(round_up_8(size_ + (is_perf_ ? PERF_HEADER : RING_HEADER)));
  }

  Figures measure(const std::string& operation) override {
    prepare();
    const buffer_work before = work();
    const double ns = operation == "1"        ? alone()
                      : operation == "2"      ? by_two()
                      : operation == "reader" ? with_reader()
                                              : with_poll();
    const buffer_work after = work();
    double went_in = 0, lost = 0;
    for (int i = 0; i < 2; ++i) {
      went_in += static_cast<double>(after.producer[i].number - before.producer[i].number);
      lost += static_cast<double>(after.producer[i].lost - before.producer[i].lost);
    }
    if (went_in == 0) throw Wrong("no record went in");
    // The time of those that were refused counts for those that were taken.
    const double taken = went_in / (lost + went_in);
    return {{"ns", ns / taken}, {"lost", 1 - taken}};
  }

  /// As many as went in come out, in order; and none is lost while there is room.
  void check() override {
    prepare();
    for (unsigned threads = 1; threads <= 2; ++threads) {
      if (threads == 2 && allowed_cpus().size() < 2) return;
      const buffer_work before = work();
      Reader reader;
      reader.start(before);
      const auto produce = [this](unsigned thread) { (void)test_run(program_, runs_that_fit() / 4, thread); };
      if (threads == 1)
        produce(0);
      else
        on_two(produce);
      read(&reader);
      const buffer_work after = work();
      std::uint64_t numbers = 0;
      for (int i = 0; i < 2; ++i) {
        numbers += after.producer[i].number - before.producer[i].number;
        if (after.producer[i].lost != before.producer[i].lost) throw Wrong("a record was lost while there was room");
      }
      if (reader.count() != numbers || numbers != threads * (runs_that_fit() / 4) * RECORDS_A_RUN || reader.broken())
        throw Wrong("other records came out than went in");
    }
    check_full();
  }

 private:
  /// A full buffer takes no more, counts what it did not take, and what is in it is whole.
  void check_full() {
    const buffer_work before = work();
    Reader reader;
    reader.start(before);
    (void)test_run(program_, runs_that_fit() * 2);
    read(&reader);
    const buffer_work after = work();
    const std::uint64_t in = after.producer[0].number - before.producer[0].number,
                        lost = after.producer[0].lost - before.producer[0].lost;
    if (in + lost != std::uint64_t{runs_that_fit()} * 2 * RECORDS_A_RUN || lost == 0 || reader.count() != in || reader.broken())
      throw Wrong("a full buffer took other records than it said");
  }

  void prepare() {
    if (object_ != nullptr) return;
    Object object = open_object("buffers");
    bpf_program* p;
    bpf_object__for_each_program(p, object.get()) bpf_program__set_autoload(p, name_ == bpf_program__name(p));
    load(object);
    program_ = program_fd(object, name_.c_str());
    bss_ = bss_fd(object);
    if (is_perf_) {
      for (const int cpu : allowed_cpus()) perf_.push_back(std::make_unique<PerfRing>(map_fd(object, "perf"), cpu));
    } else {
      ring_ = std::make_unique<Ring>(map_fd(object, "ring"));
    }
    object_ = std::move(object);
  }

  buffer_work work() const {
    buffer_work w;
    const std::uint32_t zero = 0;
    if (const int err = bpf_map_lookup_elem(bss_, &zero, &w); err != 0) throw Wrong(with_errno("read the work", -err));
    return w;
  }

  void skip() {
    if (ring_ != nullptr) ring_->skip();
    for (const auto& p : perf_) p->skip();
  }
  void read(Reader* reader) {
    if (ring_ != nullptr) ring_->read(reader);
    for (const auto& p : perf_) p->read(reader);
  }

  std::uint32_t runs_that_fit() const { return RING_BYTES / (record_bytes_ * RECORDS_A_RUN) - 2; }
  std::uint32_t quiet() const { return is_perf_ ? 0 : BPF_RB_NO_WAKEUP; }

  /// As often as asked, but only as much at a time as there is room for; the place is given back between.
  double fill(std::uint32_t repeat, std::uint32_t flags) {
    double sum = 0;
    const std::uint32_t most = runs_that_fit() / 2;
    for (std::uint32_t left = repeat; left > 0;) {
      const std::uint32_t n = std::min(left, most);
      sum += test_run(program_, n, 0, flags).ns * n;
      left -= n;
      skip();
    }
    return sum / repeat;
  }

  double alone() {
    return bench::measure([this](std::uint32_t repeat) { return fill(repeat, quiet()); }) / RECORDS_A_RUN;
  }

  /// Both fill half of what there is room for, then the place is given back.
  double by_two() {
    const auto sample = [this](unsigned thread, std::uint32_t repeat) { return test_run(program_, repeat, thread, quiet()).ns; };
    skip();
    return measure_on_two(sample, runs_that_fit() / 2, [this] { skip(); }) / RECORDS_A_RUN;
  }

  /// `consume` runs on the other processor until the producer is done.
  template <typename Consume>
  double beside(std::uint32_t flags, Consume&& consume) {
    const std::vector<int> cpus = allowed_cpus();
    if (cpus.size() < 2) throw Skip("one processor only");
    skip();
    std::atomic<bool> here = false, done = false;
    std::thread reader([&] {
      pin_to(cpus[0]);
      const FirstInLine first;
      here = true;
      here.notify_one();
      while (!done.load(std::memory_order_relaxed)) consume();
    });
    here.wait(false);
    std::exception_ptr failure;
    double ns = 0;
    try {
      ns = bench::measure([&](std::uint32_t repeat) { return test_run(program_, repeat, 0, flags).ns; }) / RECORDS_A_RUN;
    } catch (...) {
      failure = std::current_exception();
    }
    done = true;
    reader.join();
    if (failure != nullptr) std::rethrow_exception(failure);
    return ns;
  }

  double with_reader() {
    Reader reader;
    reader.start(work());
    const double ns = beside(quiet(), [&] { read(&reader); });
    read(&reader);
    if (reader.broken()) throw Wrong("the reader saw a broken row of records");
    return ns;
  }

  /// libbpf's own reader, asleep until it is woken.
  double with_poll() {
    if (is_perf_) throw Skip("not measured");
    ring_buffer* rb = ring_buffer__new(
        map_fd(object_, "ring"), [](void*, void*, std::size_t) { return 0; }, nullptr, nullptr);
    if (rb == nullptr) throw Skip(with_errno("ring_buffer__new", errno));
    const std::unique_ptr<ring_buffer, decltype(&ring_buffer__free)> holder(rb, ring_buffer__free);
    return beside(0, [rb] { (void)ring_buffer__poll(rb, POLL_MS); });
  }

  bool is_perf_;
  std::string name_;
  std::uint32_t size_, record_bytes_;
  Object object_;
  int program_ = -1, bss_ = -1;
  std::unique_ptr<Ring> ring_;
  std::vector<std::unique_ptr<PerfRing>> perf_;
};

}  // namespace

void add_buffer_rows(std::vector<GroupSpec>* rows) {
  const auto add = [rows](const std::string& group, std::vector<std::string> operations) {
    for (const char* size : {"8", "64", "512"})
      rows->push_back({group + "/" + size, operations,
                       [](const std::string& name) -> std::unique_ptr<Group> { return std::make_unique<Buffer>(name); }});
  };
  add("ring/reserve", {"1", "2", "reader", "epoll"});
  add("ring/output", {"1", "2", "reader"});
  add("perf/output", {"1", "2", "reader"});
}

}  // namespace skep::bench
