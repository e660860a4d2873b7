// What it takes to judge a program at load: the machine's kernel and skep side by side, sample by sample in turn. See
// scripts/bench.
//
//   verify_bench [--seconds S] [OBJECT.bpf.o ...]    S: about how long for each program; OBJECT: its programs too, those that are
//   large
#include <fmt/format.h>
#include <sched.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "base/heap.h"
#include "verify_programs.h"

namespace skep::bench {
namespace {

using Clock = std::chrono::steady_clock;
constexpr u32 LOG_STATS = 4;  ///< BPF_LOG_STATS
constexpr u32 LARGE = 150;    ///< instructions processed: programs of object files below that say nothing new
constexpr u32 MIN_SAMPLES = 9, MAX_SAMPLES = 2000;

/// One processor, ahead of others if that is allowed.
void settle() {
  cpu_set_t allowed, one;
  if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return;
  int cpu = CPU_SETSIZE - 1;
  while (!CPU_ISSET(cpu, &allowed)) --cpu;
  CPU_ZERO(&one);
  CPU_SET(cpu, &one);
  (void)sched_setaffinity(0, sizeof one, &one);
  const sched_param priority{.sched_priority = 1};
  (void)sched_setscheduler(0, SCHED_FIFO, &priority);
  rlimit files{};
  if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &files);
  }
}

double median(std::vector<double> samples) {
  if (samples.empty()) return NAN;
  const auto middle = samples.begin() + static_cast<std::ptrdiff_t>(samples.size() / 2);
  std::nth_element(samples.begin(), middle, samples.end());
  return *middle;
}

/// The mean of the middle half: for times that come in whole microseconds.
double middle_mean(std::vector<double> samples) {
  if (samples.empty()) return NAN;
  std::sort(samples.begin(), samples.end());
  const std::size_t from = samples.size() / 4, to = samples.size() - from;
  double sum = 0;
  for (std::size_t i = from; i < to; ++i) sum += samples[i];
  return sum / static_cast<double>(to - from);
}

template <typename Fn>
double us(Fn&& fn) {
  const auto start = Clock::now();
  fn();
  return std::chrono::duration<double, std::micro>(Clock::now() - start).count();
}

struct LinuxFigures {
  double verify_us = 0;
  u32 processed = 0;
};

/// What the log of level 4 tells: whole microseconds, so half of one is added.
LinuxFigures linux_figures(const std::string& log) {
  LinuxFigures f;
  if (const auto at = log.find("verification time "); at != log.npos) f.verify_us = std::atof(log.c_str() + at + 18) + 0.5;
  if (const auto at = log.find("processed "); at != log.npos) f.processed = static_cast<u32>(std::atoi(log.c_str() + at + 10));
  return f;
}

struct Row {
  std::string name;
  std::string refused;  ///< not empty: by whom
  double linux_load = NAN, linux_verify = NAN, skep_load = NAN, skep_verify = NAN;
  u32 linux_processed = 0, skep_processed = 0;
};

class Measure {
 public:
  Measure(TwoKernels& kernels, const LoadedProgram& program, double seconds)
      : kernels_(kernels), program_(program), seconds_(seconds), input_(kernels.verifier_input(program)) {
    row_.name = program.name;
  }

  Row run() {
    const Result<VerifiedProg> verified = judge();
    if (!verified.ok())
      row_.refused = fmt::format("skep {}", verified.error().value());
    else
      row_.skep_processed = verified->report().insn_processed;
    loads_on_skep_ = kernels_.load_on_skep(program_) == 0;
    if (kernels_.with_linux())
      if (const int rc = kernels_.load_on_linux(program_, 0, nullptr, 0); rc != 0) row_.refused += fmt::format(" Linux {}", -rc);
    if (row_.refused.empty()) sample();
    return row_;
  }

 private:
  Result<VerifiedProg> judge() const {
    VerifierLog log(0, 0);
    return verify(input_, log);
  }

  void sample() {
    std::vector<double> linux_load, linux_verify, skep_load, skep_verify;
    const auto start = Clock::now();
    while (skep_verify.size() < MIN_SAMPLES ||
           (skep_verify.size() < MAX_SAMPLES && std::chrono::duration<double>(Clock::now() - start).count() < seconds_)) {
      skep_verify.push_back(us([&] { (void)judge(); }));
      if (loads_on_skep_) skep_load.push_back(us([&] { (void)kernels_.load_on_skep(program_); }));
      if (!kernels_.with_linux()) continue;
      linux_load.push_back(us([&] { (void)kernels_.load_on_linux(program_, 0, nullptr, 0); }));
      std::string log(4096, '\0');
      (void)kernels_.load_on_linux(program_, LOG_STATS, log.data(), static_cast<u32>(log.size()));
      const LinuxFigures f = linux_figures(log);
      linux_verify.push_back(f.verify_us);
      row_.linux_processed = f.processed;
    }
    row_.skep_verify = median(skep_verify);
    row_.skep_load = median(skep_load);
    row_.linux_load = median(linux_load);
    row_.linux_verify = middle_mean(linux_verify);
  }

  TwoKernels& kernels_;
  const LoadedProgram& program_;
  const double seconds_;
  const VerifierInput input_;
  bool loads_on_skep_ = false;
  Row row_;
};

std::string figure(double value) { return std::isnan(value) ? "-" : fmt::format("{:.{}f}", value, value < 10 ? 2 : 0); }

void print_row(const Row& r) {
  if (!r.refused.empty()) return fmt::print("{:<34} refused: {}\n", r.name, r.refused);
  const std::string processed = r.linux_processed == 0 || r.linux_processed == r.skep_processed
                                    ? fmt::format("{}", r.skep_processed)
                                    : fmt::format("{} / {}", r.linux_processed, r.skep_processed);
  fmt::print("{:<34} {:>15} {:>9} {:>9} {:>6} {:>9} {:>9} {:>6}\n", r.name, processed, figure(r.linux_verify),
             figure(r.skep_verify), figure(r.skep_verify / r.linux_verify), figure(r.linux_load), figure(r.skep_load),
             figure(r.skep_load / r.linux_load));
}

/// Geometric means of the two ratios.
void print_means(const std::vector<Row>& rows) {
  double sums[2] = {}, worst[2] = {};
  u32 counts[2] = {};
  for (const Row& r : rows) {
    const double ratios[2] = {r.skep_verify / r.linux_verify, r.skep_load / r.linux_load};
    for (u32 i = 0; i < 2; ++i) {
      if (std::isnan(ratios[i])) continue;
      sums[i] += std::log(ratios[i]);
      worst[i] = std::max(worst[i], ratios[i]);
      ++counts[i];
    }
  }
  for (u32 i = 0; i < 2; ++i)
    if (counts[i] != 0)
      fmt::print("{}: geometric mean of the ratios {:.2f}, worst {:.2f}, {} programs\n", i == 0 ? "verifier" : "whole load",
                 std::exp(sums[i] / counts[i]), worst[i], counts[i]);
}

void measure_all(TwoKernels& kernels, const std::vector<LoadedProgram>& programs, double seconds, std::vector<Row>* rows) {
  for (const LoadedProgram& p : programs) {
    rows->push_back(Measure(kernels, p, seconds).run());
    print_row(rows->back());
    std::fflush(stdout);
  }
}

bool is_large(TwoKernels& kernels, const LoadedProgram& p) {
  VerifierLog log(0, 0);
  const Result<VerifiedProg> verified = verify(kernels.verifier_input(p), log);
  return !verified.ok() || verified->report().insn_processed >= LARGE;
}

/// The large programs of one object file.
std::vector<LoadedProgram> object_programs(TwoKernels& kernels, const char* path) {
  std::string_view file(path);
  file = file.substr(file.rfind('/') + 1);
  g_libbpf_target = &kernels;
  (void)load_object(path);
  g_libbpf_target = nullptr;
  std::vector<LoadedProgram> programs = kernels.take_loads();
  std::erase_if(programs, [&](const LoadedProgram& p) { return !is_large(kernels, p); });
  for (LoadedProgram& p : programs) p.name = fmt::format("{}: {}", file.substr(0, file.find('.')), p.name);
  return programs;
}

bool linux_answers() {
  TwoKernels probe(true);
  return probe.make_map(BPF_MAP_TYPE_ARRAY, 4, 4, 1) >= 0;
}

/// How a program is judged must not hang on whether somebody reads along: with the log off the verifier takes short cuts.
int check_all() {
  TwoKernels kernels(false);
  int failed = 0;
  for (const LoadedProgram& p : verify_programs(kernels)) {
    const VerifierInput input = kernels.verifier_input(p);
    VerifierLog none(0, 0), full(2, 1u << 29);
    const Result<VerifiedProg> quiet = verify(input, none), shown = verify(input, full);
    const bool same = quiet.ok() && shown.ok() && quiet->report().insn_processed == shown->report().insn_processed &&
                      quiet->insns().size() == shown->insns().size();
    if (!same) fmt::print("{}: not the same with and without a log, or refused\n", p.name);
    failed += !same;
  }
  return failed != 0;
}

int run(int argc, char** argv) {
  double seconds = 0.3;
  std::vector<const char*> objects;
  for (int i = 1; i < argc; ++i) {
    if (std::string_view(argv[i]) == "--check") return check_all();
    if (std::string_view(argv[i]) == "--seconds" && i + 1 < argc)
      seconds = std::atof(argv[++i]);
    else
      objects.push_back(argv[i]);
  }
  settle();
  keep_freed_memory();  // as the host does
  TwoKernels kernels(linux_answers());
  fmt::print("{:<34} {:>15} {:>26} {:>26}\n", "microseconds to judge a program", "", "------- verifier ---------",
             "------- whole load -------");
  fmt::print("{:<34} {:>15} {:>9} {:>9} {:>6} {:>9} {:>9} {:>6}\n", "", "insns processed", "Linux", "skep", "ratio", "Linux",
             "skep", "ratio");
  std::vector<Row> rows;
  measure_all(kernels, verify_programs(kernels), seconds, &rows);
  print_means(rows);
  if (!kernels.with_linux()) return 0;
  rows.clear();
  for (const char* path : objects) {
    measure_all(kernels, object_programs(kernels, path), seconds, &rows);
    kernels.close_all();
  }
  if (!rows.empty()) print_means(rows);
  return 0;
}

}  // namespace
}  // namespace skep::bench

int main(int argc, char** argv) { return skep::bench::run(argc, argv); }
