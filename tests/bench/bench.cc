// Measures one thing and prints its median in ns, to be run bare, under skep, or beside a loader: see scripts/bench.
//
//   bench spawn COUNT COMMAND [ARG...]   posix_spawn() of the command until it is reaped
//   bench getppid                        a call of libc's getppid()
//   bench getppid-probed                 the same with an empty program attached to it by bpf(2)
#include <linux/bpf.h>
#include <linux/perf_event.h>
#include <sched.h>
#include <spawn.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string_view>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

[[noreturn]] void die(const char* what) {
  std::perror(what);
  std::exit(1);
}

double ns_since(Clock::time_point start) { return std::chrono::duration<double, std::nano>(Clock::now() - start).count(); }

double median(std::vector<double> samples) {
  const auto middle = samples.begin() + static_cast<std::ptrdiff_t>(samples.size() / 2);
  std::nth_element(samples.begin(), middle, samples.end());
  return *middle;
}

/// On one processor, with what it starts: where a child lands is otherwise most of the noise.
void pin() {
  cpu_set_t allowed, one;
  if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) die("sched_getaffinity");
  int cpu = CPU_SETSIZE - 1;
  while (!CPU_ISSET(cpu, &allowed)) --cpu;
  CPU_ZERO(&one);
  CPU_SET(cpu, &one);
  if (sched_setaffinity(0, sizeof one, &one) != 0) die("sched_setaffinity");
}

double spawn_once(char** argv) {
  const auto start = Clock::now();
  pid_t pid;
  errno = posix_spawnp(&pid, argv[0], nullptr, nullptr, argv, environ);
  if (errno != 0) die(argv[0]);
  int status;
  if (waitpid(pid, &status, 0) != pid || status != 0) die("the command failed");
  return ns_since(start);
}

double spawn(std::size_t count, char** argv) {
  constexpr int WARM_UP = 10;
  for (int i = 0; i < WARM_UP; ++i) spawn_once(argv);
  std::vector<double> samples(count);
  for (double& sample : samples) sample = spawn_once(argv);
  return median(std::move(samples));
}

double calls() {
  constexpr std::size_t BATCHES = 301, CALLS = 5000;
  std::vector<double> samples(BATCHES);
  for (double& sample : samples) {
    const auto start = Clock::now();
    for (std::size_t i = 0; i < CALLS; ++i) getppid();
    sample = ns_since(start) / CALLS;
  }
  return median(std::move(samples));
}

int load_empty_program() {
  const bpf_insn code[] = {{BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 0}, {BPF_JMP | BPF_EXIT, 0, 0, 0, 0}};
  bpf_attr attr;
  std::memset(&attr, 0, sizeof attr);
  attr.prog_type = BPF_PROG_TYPE_KPROBE;
  attr.insns = reinterpret_cast<std::uintptr_t>(code);
  attr.insn_cnt = sizeof code / sizeof code[0];
  attr.license = reinterpret_cast<std::uintptr_t>("GPL");
  const long fd = syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof attr);
  if (fd < 0) die("BPF_PROG_LOAD");
  return static_cast<int>(fd);
}

/// Stays attached until this process ends.
void probe_getppid() {
  perf_event_attr attr;
  std::memset(&attr, 0, sizeof attr);
  attr.size = sizeof attr;
  if (!(std::ifstream("/sys/bus/event_source/devices/kprobe/type") >> attr.type)) die("the kprobe PMU's type");
  attr.config1 = reinterpret_cast<std::uintptr_t>("__x64_sys_getppid");
  const long event = syscall(SYS_perf_event_open, &attr, -1, 0, -1, PERF_FLAG_FD_CLOEXEC);
  if (event < 0) die("perf_event_open");
  const int fd = static_cast<int>(event);
  if (ioctl(fd, PERF_EVENT_IOC_SET_BPF, load_empty_program()) != 0) die("PERF_EVENT_IOC_SET_BPF");
  if (ioctl(fd, PERF_EVENT_IOC_ENABLE, 0) != 0) die("PERF_EVENT_IOC_ENABLE");
}

double measure(int argc, char** argv) {
  const std::string_view what = argc > 1 ? argv[1] : "";
  std::size_t count = 0;
  if (what == "spawn" && argc > 3) std::from_chars(argv[2], argv[2] + std::strlen(argv[2]), count);
  if (count > 0) return spawn(count, argv + 3);
  if (what == "getppid-probed") probe_getppid();
  if (what == "getppid" || what == "getppid-probed") return calls();
  std::fprintf(stderr, "usage: bench spawn COUNT COMMAND [ARG...] | getppid | getppid-probed\n");
  std::exit(2);
}

}  // namespace

int main(int argc, char** argv) {
  pin();
  std::printf("%.1f\n", measure(argc, argv));
}
