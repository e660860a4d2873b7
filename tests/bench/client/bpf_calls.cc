#include "bpf_calls.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <barrier>
#include <cerrno>
#include <chrono>
#include <climits>
#include <cstring>
#include <optional>
#include <thread>

namespace skep::bench {
namespace {

std::string directory() {
  char path[PATH_MAX];
  const ssize_t n = readlink("/proc/self/exe", path, sizeof path);
  const std::string whole(path, n > 0 ? static_cast<std::size_t>(n) : 0);
  return whole.substr(0, whole.rfind('/'));
}

std::uint16_t ones_sum(const std::uint8_t* p, std::size_t n, std::uint32_t sum) {
  for (std::size_t i = 0; i + 1 < n; i += 2) sum += static_cast<std::uint32_t>(p[i] << 8 | p[i + 1]);
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(sum);
}

void put_half(std::uint8_t* p, unsigned v) {
  p[0] = static_cast<std::uint8_t>(v >> 8);
  p[1] = static_cast<std::uint8_t>(v);
}

std::vector<std::uint8_t> make_packet() {
  constexpr std::size_t SIZE = 1414, IP = 14, UDP = 34;
  std::vector<std::uint8_t> p(SIZE);
  put_half(&p[12], 0x0800);
  p[IP] = 0x45;
  put_half(&p[IP + 2], SIZE - IP);
  p[IP + 8] = 64;
  p[IP + 9] = 17;
  for (std::size_t i = 0; i < 8; ++i) p[IP + 12 + i] = static_cast<std::uint8_t>(10 + 31 * i);
  put_half(&p[IP + 10], 0xffffu - ones_sum(&p[IP], 20, 0));
  put_half(&p[UDP], 40000);
  put_half(&p[UDP + 2], 53);
  put_half(&p[UDP + 4], SIZE - UDP);
  for (std::size_t i = UDP + 8; i < SIZE; ++i) p[i] = static_cast<std::uint8_t>(i * i >> 3 ^ i);
  const std::uint32_t pseudo = 17 + (SIZE - UDP) + ones_sum(&p[IP + 12], 8, 0);
  put_half(&p[UDP + 6], 0xffffu - ones_sum(&p[UDP], SIZE - UDP, pseudo));
  return p;
}

}  // namespace

std::string with_errno(const std::string& what, int err) { return what + ": " + std::strerror(err); }

Object open_object(const std::string& name) {
  const std::string path = directory() + "/programs/" + name + ".bpf.o";
  Object object(bpf_object__open_file(path.c_str(), nullptr));
  if (object == nullptr) throw Wrong(with_errno(path, errno));
  return object;
}

void load(const Object& object) {
  if (const int err = bpf_object__load(object.get()); err != 0)
    throw Skip(with_errno(std::string("load ") + bpf_object__name(object.get()), -err));
}

int program_fd(const Object& object, const char* name) {
  const bpf_program* p = bpf_object__find_program_by_name(object.get(), name);
  if (p == nullptr) throw Wrong(std::string("no program ") + name);
  return bpf_program__fd(p);
}

int map_fd(const Object& object, const char* name) { return bpf_object__find_map_fd_by_name(object.get(), name); }

int bss_fd(const Object& object) {
  bpf_map* map;
  bpf_object__for_each_map(map, object.get()) {
    const std::string_view name = bpf_map__name(map);
    if (name.ends_with(".bss")) return bpf_map__fd(map);
  }
  return -ENOENT;
}

const std::vector<std::uint8_t>& packet() {
  static const std::vector<std::uint8_t> bytes = make_packet();
  return bytes;
}

RunResult test_run(int fd, std::uint32_t repeat, std::uint32_t mark, std::uint32_t priority) {
  __sk_buff ctx;
  std::memset(&ctx, 0, sizeof ctx);
  ctx.mark = mark;
  ctx.priority = priority;
  bpf_test_run_opts opts;
  std::memset(&opts, 0, sizeof opts);
  opts.sz = sizeof opts;
  opts.data_in = packet().data();
  opts.data_size_in = static_cast<std::uint32_t>(packet().size());
  opts.ctx_in = &ctx;
  opts.ctx_size_in = sizeof ctx;
  opts.repeat = static_cast<int>(repeat);
  if (const int err = bpf_prog_test_run_opts(fd, &opts); err != 0) throw Skip(with_errno("BPF_PROG_TEST_RUN", -err));
  return {opts.retval, static_cast<double>(opts.duration)};
}

int empty_program() {
  static int fd = -1;
  if (fd >= 0) return fd;
  const bpf_insn code[] = {{BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 0}, {BPF_JMP | BPF_EXIT, 0, 0, 0, 0}};
  fd = bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "empty", "GPL", code, 2, nullptr);
  if (fd < 0) throw Skip(with_errno("BPF_PROG_LOAD", -fd));
  return fd;
}

std::vector<int> allowed_cpus() {
  static const std::vector<int> cpus = [] {
    std::vector<int> out;
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0) return out;
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
      if (CPU_ISSET(cpu, &set)) out.push_back(cpu);
    return out;
  }();
  return cpus;
}

void pin_to(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  if (sched_setaffinity(0, sizeof set, &set) != 0) throw Wrong(with_errno("sched_setaffinity", errno));
}

FirstInLine::FirstInLine() {
  const sched_param param = {1};
  is_ = sched_setscheduler(0, SCHED_FIFO, &param) == 0;
}

FirstInLine::~FirstInLine() {
  const sched_param param = {0};
  if (is_) (void)sched_setscheduler(0, SCHED_OTHER, &param);
}

double now_ns() { return std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

double median(std::vector<double> samples) {
  const auto middle = samples.begin() + static_cast<std::ptrdiff_t>(samples.size() / 2);
  std::nth_element(samples.begin(), middle, samples.end());
  return *middle;
}

std::uint32_t calibrate(const std::function<double(std::uint32_t repeat)>& sample) {
  constexpr double MOST = 1e6;
  std::uint32_t repeat = 1;
  for (;;) {
    const double ns = std::max(sample(repeat), 0.5) * repeat;
    if (ns >= g_effort.sample_ns / 4 || repeat >= MOST)
      return static_cast<std::uint32_t>(std::clamp(repeat * g_effort.sample_ns / ns, 1.0, MOST));
    repeat *= 4;
  }
}

double measure(const std::function<double(std::uint32_t repeat)>& sample) {
  const FirstInLine first;
  return measure_calls(sample);
}

double measure_calls(const std::function<double(std::uint32_t repeat)>& sample) {
  const std::uint32_t repeat = calibrate(sample);
  std::vector<double> samples;
  const double end = now_ns() + g_effort.total_ns;
  while (static_cast<int>(samples.size()) < g_effort.min_samples || now_ns() < end) samples.push_back(sample(repeat));
  return median(std::move(samples));
}

void on_two(const std::function<void(unsigned thread)>& work) {
  const std::vector<int> cpus = allowed_cpus();
  if (cpus.size() < 2) throw Skip("one processor only");
  std::exception_ptr failure[2];
  const auto run = [&](unsigned thread) {
    try {
      pin_to(cpus[thread]);
      work(thread);
    } catch (...) {
      failure[thread] = std::current_exception();
    }
  };
  std::thread other(run, 0), mine(run, 1);
  other.join();
  mine.join();
  for (const std::exception_ptr& f : failure)
    if (f != nullptr) std::rethrow_exception(f);
}

namespace {

/// One round of two threads: when each ran, and what it measured.
struct Round {
  double start[2], end[2], ns[2];
  std::exception_ptr failure[2];

  bool side_by_side() const {
    constexpr double MOST = 0.8;
    const double both = std::min(end[0], end[1]) - std::max(start[0], start[1]);
    return both >= MOST * std::max(end[0] - start[0], end[1] - start[1]);
  }
};

}  // namespace

double measure_on_two(const std::function<double(unsigned thread, std::uint32_t repeat)>& sample, std::uint32_t repeat,
                      const std::function<void()>& between) {
  constexpr double PATIENCE_NS = 300e6;
  Round round;
  std::vector<double> means;
  bool more = true;
  const double end = now_ns() + g_effort.total_ns, at_last = now_ns() + PATIENCE_NS;
  const auto after = [&]() noexcept {
    if (round.failure[0] == nullptr && round.failure[1] == nullptr && round.side_by_side())
      means.push_back((round.ns[0] + round.ns[1]) / 2);
    between();
    const bool enough = static_cast<int>(means.size()) >= g_effort.min_samples && now_ns() >= end;
    more = !enough && now_ns() < at_last && round.failure[0] == nullptr && round.failure[1] == nullptr;
  };
  std::barrier begin(2);
  std::barrier done(2, after);
  on_two([&](unsigned thread) {
    // Who is first in line may keep a process that the other thread waits for from running: so not for ever.
    std::optional<FirstInLine> first(std::in_place);
    do {
      if (first.has_value() && now_ns() > at_last - PATIENCE_NS / 2) first.reset();
      begin.arrive_and_wait();
      round.start[thread] = now_ns();
      try {
        round.ns[thread] = sample(thread, repeat);
      } catch (...) {
        round.failure[thread] = std::current_exception();
      }
      round.end[thread] = now_ns();
      done.arrive_and_wait();
    } while (more);
  });
  for (const std::exception_ptr& f : round.failure)
    if (f != nullptr) std::rethrow_exception(f);
  if (means.empty()) throw Busy("the two threads never ran side by side");
  return median(std::move(means));
}

}  // namespace skep::bench
