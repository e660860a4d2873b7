#include "events.h"

#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdlib>

namespace skep::test {
namespace {

constexpr const char* kKprobePmu = "/sys/bus/event_source/devices/kprobe/";

struct perf_event_attr event_attr(std::uint32_t type, std::uint64_t config) {
  struct perf_event_attr attr;
  std::memset(&attr, 0, sizeof attr);
  attr.size = sizeof attr;
  attr.type = type;
  attr.config = config;
  attr.sample_period = 1;
  attr.wakeup_events = 1;
  return attr;
}

}  // namespace

std::uint64_t tracepoint_id(const std::string& name) {
  std::string why;
  return std::strtoull(read_file(tracefs_dir(&why) + "/events/" + name + "/id").c_str(), nullptr, 10);
}

Fd open_tracepoint(const std::string& name) {
  const std::uint64_t id = tracepoint_id(name);
  EXPECT_GT(id, 0u) << name;
  struct perf_event_attr attr = event_attr(PERF_TYPE_TRACEPOINT, id);
  attr.sample_type = PERF_SAMPLE_RAW;
  Fd event(perf_event_open(attr, -1, 0));
  EXPECT_THAT(event.get(), SyscallSucceeds()) << name;
  return event;
}

std::string kprobe_refusal() {
  return read_file(std::string(kKprobePmu) + "type").empty() ? "no kprobe PMU (a kernel without kprobes)" : "";
}

long open_kprobe(const char* symbol, bool at_return, std::uint64_t offset) {
  const std::string type = read_file(std::string(kKprobePmu) + "type");
  EXPECT_FALSE(type.empty());
  EXPECT_EQ(read_file(std::string(kKprobePmu) + "format/retprobe"), "config:0\n");
  struct perf_event_attr attr = event_attr(static_cast<std::uint32_t>(std::atoi(type.c_str())), at_return ? 1 : 0);
  attr.config1 = user_ptr(symbol);
  attr.config2 = offset;
  return perf_event_open(attr, -1, 0);
}

long set_bpf(int event, int prog) { return ioctl(event, PERF_EVENT_IOC_SET_BPF, prog); }
long enable(int event) { return ioctl(event, PERF_EVENT_IOC_ENABLE, 0); }
long disable(int event) { return ioctl(event, PERF_EVENT_IOC_DISABLE, 0); }

void fire(int times) {
  for (int i = 0; i < times; ++i) syscall(SYS_getppid);
}

std::uint64_t Results::operator[](std::size_t i) const {
  std::uint64_t numbers[kNumbers] = {};
  const std::uint32_t key = 0;
  EXPECT_THAT(map_lookup(fd(), &key, numbers), SyscallSucceeds());
  return numbers[i];
}

void Results::put(std::size_t i, std::uint64_t number) const {
  std::uint64_t numbers[kNumbers] = {};
  const std::uint32_t key = 0;
  EXPECT_THAT(map_lookup(fd(), &key, numbers), SyscallSucceeds());
  numbers[i] = number;
  EXPECT_THAT(map_update(fd(), &key, numbers), SyscallSucceeds());
}

Fd load(std::uint32_t type, const ProgramText& text, const char* name) {
  std::string log;
  Fd prog(prog_load({.type = type, .insns = text.build(), .name = name}, &log));
  EXPECT_THAT(prog.get(), SyscallSucceeds()) << log;
  return prog;
}

Attached::Attached(Fd event, Fd prog) : event_(std::move(event)), prog_(std::move(prog)) {
  EXPECT_THAT(set_bpf(event_.get(), prog_.get()), SyscallSucceeds());
  EXPECT_THAT(enable(event_.get()), SyscallSucceeds());
}

void TracepointTest::SetUp() {
  BpfTest::SetUp();
  if (IsSkipped() || HasFatalFailure()) return;
  std::string why;
  tracefs_dir(&why);
  SKEP_NEEDS(why);
  ASSERT_THAT(results_.fd(), SyscallSucceeds());
}

ProgramText TracepointTest::counter() const { return ProgramText().only_process(getpid()).count(results_.fd()).out(); }

void KprobeTest::SetUp() {
  BpfTest::SetUp();
  if (IsSkipped() || HasFatalFailure()) return;
  SKEP_NEEDS(kprobe_refusal());
  ASSERT_THAT(results_.fd(), SyscallSucceeds());
}

}  // namespace skep::test
