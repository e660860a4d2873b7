// syscall: perf_event_open(2) and the ioctls of its fds, as far as BPF users go. Linux: kernel/events/core.c
#include <fmt/format.h>
#include <signal.h>

#include <algorithm>
#include <cstring>

#include "buffers/perf_ring.h"
#include "probes/events.h"
#include "probes/pmu.h"
#include "probes/syscalls.h"
#include "syscall/dispatch.h"
#include "syscall/perf_calls.h"

namespace skep {
namespace {

constexpr u64 MAX_SAMPLE_RATE = 100000;  // Linux: kernel/events/core.c:DEFAULT_MAX_SAMPLE_RATE

}  // namespace

Result<perf_event_attr> copy_perf_attr(CallContext& ctx, u64 addr) {
  u32 size = TRY(ctx.mem.read_as<u32>(addr + 4));
  if (size == 0) size = PERF_ATTR_SIZE_VER0;
  if (size < PERF_ATTR_SIZE_VER0 || size > PAGE_SIZE) {
    const u32 ours = sizeof(perf_event_attr);
    TRY(ctx.mem.write(addr + 4, &ours, sizeof ours));
    return Errno(E2BIG);
  }
  std::vector<u8> raw(size);
  TRY(ctx.mem.read(raw.data(), addr, size));
  for (std::size_t i = sizeof(perf_event_attr); i < size; ++i)
    if (raw[i] != 0) return Errno(E2BIG);
  perf_event_attr attr{};
  std::memcpy(&attr, raw.data(), std::min<std::size_t>(size, sizeof attr));
  attr.size = size;
  return attr;
}

Status check_sampling(const perf_event_attr& attr) {
  if (attr.freq != 0) return attr.sample_freq > MAX_SAMPLE_RATE ? Status(Errno(EINVAL)) : ok_status();
  return (attr.sample_period >> 63) != 0 ? Status(Errno(EINVAL)) : ok_status();
}

u64 clock_period_ns(const perf_event_attr& attr) {
  constexpr u64 SECOND = 1000000000, LEAST = 10000;
  if (attr.sample_period == 0) return 0;
  return std::max(attr.freq != 0 ? SECOND / attr.sample_freq : u64{attr.sample_period}, LEAST);
}

/// DIFFERS: a clock is a whole process's, Linux's a thread's.
Status make_clock(CallContext& ctx, PerfEvent* event, const perf_event_attr& attr, s32 pid, s32 cpu) {
  ProbeTarget t;
  t.kind = ProbeKind::Clock;
  t.place = EventPlace::Clock;
  t.tracepoint_id = static_cast<u32>(event->id);
  t.symbol = attr.config == PERF_COUNT_SW_TASK_CLOCK ? "task-clock" : "cpu-clock";
  if (pid == 0) t.tgid = ctx.who.pid;
  if (pid > 0) t.tgid = pid;
  if (pid > 0 && kill(pid, 0) != 0 && errno == ESRCH) return Errno(ESRCH);
  event->clock_period_ns = clock_period_ns(attr);
  event->clock_cpu = cpu;
  event->kernel = &ctx.kernel;
  event->clock = static_cast<ClockDesc*>(TRY(ctx.kernel.window().rom_alloc(sizeof(ClockDesc))));
  *event->clock = ClockDesc{event->clock_period_ns, cpu < 0 ? 0 : static_cast<u32>(cpu), 0};
  t.symbol_addr = reinterpret_cast<u64>(event->clock);
  event->probe = std::move(t);
  return ok_status();
}

namespace {

/// A clock that works as an alarm, as bpftrace's interval: it goes off in the session's worker, where nobody runs. One that is there to
/// find out who runs on each processor would only ever find that worker.
bool is_alarm(const perf_event_attr& attr, s32 pid, s32 cpu) {
  constexpr u64 LEAST = 5000000;
  return attr.type == PERF_TYPE_SOFTWARE && attr.config == PERF_COUNT_SW_CPU_CLOCK && pid == -1 && cpu == 0 && clock_period_ns(attr) >= LEAST;
}

constexpr u64 KSYM_NAME_LEN = 512;

/// Linux: kernel/trace/trace_event_perf.c:perf_kprobe_init(), trace_kprobe.c:create_local_trace_kprobe()
Result<ProbeTarget> kprobe_target(CallContext& ctx, const perf_event_attr& attr) {
  if ((attr.config & ~1ULL) != 0) return Errno(EINVAL);
  ProbeTarget t;
  t.kind = (attr.config & 1) != 0 ? ProbeKind::Kretprobe : ProbeKind::Kprobe;
  const SyscallInfo* s = nullptr;
  u64 offset = 0;
  if (attr.config1 != 0) {
    const Result<std::string> name = ctx.mem.read_string(attr.config1, KSYM_NAME_LEN);
    if (!name.ok()) return name.error();
    t.symbol = *name;
  }
  if (t.symbol.empty() && attr.config2 == 0) return Errno(EINVAL);
  if (!t.symbol.empty()) {
    s = syscall_by_function(t.symbol);
    // DIFFERS: ENOENT on Linux. bcc's get_syscall_fnname() says so where its user is not root, since it does not ask kallsyms then.
    if (s == nullptr && t.symbol.starts_with("sys_")) s = syscall_by_function("__x64_" + t.symbol);
    offset = attr.config2;
  } else {
    s = syscall_by_address(attr.config2);
  }
  if (s == nullptr) {
    ctx.kernel.doctor.note(fmt::format("kprobe on {}: only system call functions (__x64_sys_*) can be probed from user space: ENOENT",
                                       t.symbol.empty() ? fmt::format("{:#x}", u64{attr.config2}) : t.symbol));
    return Errno(ENOENT);
  }
  if (offset != 0) return Errno(t.kind == ProbeKind::Kretprobe ? EINVAL : EILSEQ);  // no instructions behind the entry
  t.syscall_nr = s->nr;
  if (t.symbol.empty()) t.symbol = fmt::format("__x64_sys_{}", s->name);
  t.symbol_addr = syscall_symbol_addr(*s);
  return t;
}

ProbeTarget syscall_tracepoint(const SyscallInfo& s, u32 id) {
  ProbeTarget t;
  const bool enter = s.enter_id == id;
  t.kind = enter ? ProbeKind::TpEnter : ProbeKind::TpExit;
  t.syscall_nr = s.nr;
  t.tracepoint_id = id;
  t.symbol = fmt::format("{}{}", enter ? "sys_enter_" : "sys_exit_", s.name);
  t.symbol_addr = syscall_symbol_addr(s);
  return t;
}

Result<ProbeTarget> tracepoint_target(CallContext& ctx, u64 config) {
  const u32 id = config > 0xffffffffULL ? 0 : static_cast<u32>(config);
  if (const SyscallInfo* s = syscall_by_tracepoint(id)) return syscall_tracepoint(*s, id);
  const EventInfo* event = event_by_id(id);
  if (event == nullptr) {
    ctx.kernel.doctor.note(fmt::format("tracepoint with id {}: not here: EINVAL", config));
    return Errno(EINVAL);
  }
  ProbeTarget t;
  t.kind = ProbeKind::Tracepoint;
  t.place = event->place;
  t.tracepoint_id = id;
  t.symbol = event->name;
  return t;
}

Status make_output_ring(Kernel& kernel, PerfEvent* event, const perf_event_attr& attr, s32 cpu) {
  RingDesc* r = TRY(kernel.window().ring_register(RingKind::Perf));
  r->cpu = cpu < 0 ? 0 : static_cast<u32>(cpu);
  r->watermark = attr.watermark;
  r->wakeup_events = attr.watermark != 0 ? 0 : attr.wakeup_events;
  r->wakeup_watermark = attr.watermark != 0 ? attr.wakeup_watermark : 0;
  r->sample_type = attr.sample_type;
  r->event_id = event->id;
  r->enabled = attr.disabled == 0;
  r->no_output = attr.config != PERF_COUNT_SW_BPF_OUTPUT;
  event->ring = r;
  return ok_status();
}

Result<s64> open_event(CallContext& ctx, u64 attr_addr, s32 pid, s32 cpu, s32 group_fd, u64 flags) {
  if ((flags & ~u64{PERF_FLAG_FD_NO_GROUP | PERF_FLAG_FD_OUTPUT | PERF_FLAG_PID_CGROUP | PERF_FLAG_FD_CLOEXEC}) != 0) return Errno(EINVAL);
  const perf_event_attr attr = TRY(copy_perf_attr(ctx, attr_addr));
  TRY(check_sampling(attr));
  if ((flags & PERF_FLAG_PID_CGROUP) != 0 && (pid == -1 || cpu == -1)) return Errno(EINVAL);
  if (group_fd != -1) (void)TRY(ctx.object<PerfEvent>(group_fd));
  if (cpu != -1 && (cpu < 0 || static_cast<u32>(cpu) >= ctx.kernel.nr_cpus())) return Errno(EINVAL);
  if (cpu == -1 && pid == -1) return Errno(EINVAL);

  auto event = std::make_shared<PerfEvent>();
  event->id = ctx.kernel.next_event_id();
  event->type = attr.type;
  event->config = attr.config;
  event->cpu = cpu;
  event->samples = attr.sample_period != 0;
  event->freq = attr.freq != 0;
  event->enabled = attr.disabled == 0;
  if (attr.type == PERF_TYPE_KPROBE) {
    event->probe = TRY(kprobe_target(ctx, attr));
  } else if (attr.type == PERF_TYPE_TRACEPOINT) {
    event->probe = TRY(tracepoint_target(ctx, attr.config));
  } else if (attr.type == PERF_TYPE_SOFTWARE && (attr.config == PERF_COUNT_SW_BPF_OUTPUT || attr.config == PERF_COUNT_SW_DUMMY)) {
    event->kernel = &ctx.kernel;
    TRY(make_output_ring(ctx.kernel, event.get(), attr, cpu));
  } else if (is_alarm(attr, pid, cpu)) {
    TRY(make_clock(ctx, event.get(), attr, pid, cpu));
  } else {
    ctx.kernel.doctor.note(fmt::format("perf_event_open type {} config {:#x}: not here: ENOENT", u32{attr.type}, u64{attr.config}));
    return Errno(ENOENT);
  }
  event->kernel = &ctx.kernel;
  return ctx.install(event, FILE_READ | FILE_WRITE);
}

}  // namespace

s64 skep_perf_event_open(CallContext& ctx, u64 attr_addr, s32 pid, s32 cpu, s32 group_fd, u64 flags) {
  const Result<s64> r = open_event(ctx, attr_addr, pid, cpu, group_fd, flags);
  return r.ok() ? *r : -s64{r.error().value()};
}

s64 skep_ioctl(CallContext& ctx, s32 fd, u64 request, u64 arg) {
  const auto run = [&]() -> Result<s64> {
    const std::shared_ptr<File> f = TRY(ctx.file(fd));
    const std::shared_ptr<PerfEvent> event = object_as<PerfEvent>(f->object);
    if (event == nullptr) return Errno(ENOTTY);
    return perf_ioctl(ctx, event, request, arg);
  };
  const Result<s64> r = run();
  return r.ok() ? *r : -s64{r.error().value()};
}

}  // namespace skep
