// What the rows share: programs from object files, runs of them, where and how a thread runs.
#pragma once
#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace skep::bench {

/// This side does not have it: the row is left out, and says why.
struct Skip : std::runtime_error {
  using std::runtime_error::runtime_error;
};
/// The machine had no room for this measurement just now.
struct Busy : std::runtime_error {
  using std::runtime_error::runtime_error;
};
/// A wrong result, or something that must work and does not.
struct Wrong : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// "WHAT: text of errno"
std::string with_errno(const std::string& what, int err);

struct ObjectCloser {
  void operator()(bpf_object* o) const { bpf_object__close(o); }
};
using Object = std::unique_ptr<bpf_object, ObjectCloser>;

/// An object of this build, opened; not loaded yet. `name`: without folder and .bpf.o.
Object open_object(const std::string& name);
/// Skip when the machine refuses.
void load(const Object& object);
int program_fd(const Object& object, const char* name);
int map_fd(const Object& object, const char* name);
/// The map with the program's global variables.
int bss_fd(const Object& object);

struct RunResult {
  std::uint32_t retval;
  double ns;  ///< of one repetition
};
/// A packet of `mark`'s thread. Linux builds a socket buffer each time: all that is not in `ns`.
RunResult test_run(int fd, std::uint32_t repeat, std::uint32_t mark = 0, std::uint32_t priority = 0);
/// The packet that all programs get: Ethernet, IPv4, UDP with a right checksum.
const std::vector<std::uint8_t>& packet();

/// An empty program of the type that test_run() runs.
int empty_program();

// Threads.
std::vector<int> allowed_cpus();
void pin_to(int cpu);
/// SCHED_FIFO while it lives, where that is allowed.
class FirstInLine {
 public:
  FirstInLine();
  ~FirstInLine();

 private:
  bool is_ = false;
};

// Time.
double now_ns();
double median(std::vector<double> samples);
struct Effort {
  double sample_ns;  ///< how long one sample shall take
  double total_ns;   ///< how long one measurement shall take
  int min_samples;
};
inline Effort g_effort = {1e6, 15e6, 3};

/// Median of what `sample(repeat)` answers, in ns a repetition, with as many repetitions as fill a sample. First in line.
double measure(const std::function<double(std::uint32_t repeat)>& sample);
/// The same for what another process may have a part in: in line with all others.
double measure_calls(const std::function<double(std::uint32_t repeat)>& sample);
/// Repetitions that fill a sample, by trial.
std::uint32_t calibrate(const std::function<double(std::uint32_t repeat)>& sample);
/// The same on two processors at once: mean of the two threads. Rounds in which they did not run side by side for most of the time
/// (one was preempted, or came late) do not count. `between` runs after each round, in one thread.
double measure_on_two(
    const std::function<double(unsigned thread, std::uint32_t repeat)>& sample, std::uint32_t repeat,
    const std::function<void()>& between = [] {});
/// `work(0)` and `work(1)` on two processors. Throws what one of them threw.
void on_two(const std::function<void(unsigned thread)>& work);

}  // namespace skep::bench
