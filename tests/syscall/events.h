// tests/syscall: the events programs run on, and what they leave for the test to read.
#pragma once

#include <cstdint>
#include <string>

#include "bpf_calls.h"
#include "program_text.h"

namespace skep::test {

constexpr const char* kEnterGetppid = "syscalls/sys_enter_getppid";
constexpr const char* kExitGetppid = "syscalls/sys_exit_getppid";

/// A perf event on a tracepoint, as libbpf opens it: every process, CPU 0.
Fd open_tracepoint(const std::string& name);
/// The number tracefs gives the tracepoint; 0 when there is no such one.
std::uint64_t tracepoint_id(const std::string& name);

/// Empty when the machine has a PMU for kprobes, else why not.
std::string kprobe_refusal();
/// A perf event on a kernel function through the kprobe PMU. Raw result.
long open_kprobe(const char* symbol, bool at_return, std::uint64_t offset = 0);

long set_bpf(int event, int prog);
long enable(int event);
long disable(int event);

/// Calls getppid() `times` times: the event all the suite's programs wait for.
void fire(int times = 1);

/// An array map of one value of eight numbers, which programs fill.
class Results {
 public:
  static constexpr std::size_t kNumbers = 8;
  Results() : map_(map_create({.type = BPF_MAP_TYPE_ARRAY, .value_size = 8 * kNumbers, .max_entries = 1, .name = "results"})) {}
  int fd() const { return map_.get(); }
  std::uint64_t operator[](std::size_t i) const;
  void put(std::size_t i, std::uint64_t number) const;

 private:
  Fd map_;
};

/// Loads a program of `type`; the verifier's log explains a refusal.
Fd load(std::uint32_t type, const ProgramText& text, const char* name = "");

/// A program on an event through PERF_EVENT_IOC_SET_BPF, running.
class Attached {
 public:
  Attached() = default;
  Attached(Fd event, Fd prog);
  int event() const { return event_.get(); }
  int prog() const { return prog_.get(); }
  void reset() {
    event_.reset();
    prog_.reset();
  }

 private:
  Fd event_, prog_;
};

/// Fixture of tests on tracepoints.
class TracepointTest : public BpfTest {
 protected:
  void SetUp() override;
  /// Counts this process's events into results[0].
  ProgramText counter() const;
  Results results_;
};

/// Fixture of tests on kprobes.
class KprobeTest : public BpfTest {
 protected:
  void SetUp() override;
  Results results_;
};

}  // namespace skep::test
