// syscall: the ioctls of a perf event. Linux: kernel/events/core.c:_perf_ioctl()
#include <fmt/format.h>

#include <algorithm>

#include "objects/attach.h"
#include "syscall/commands.h"
#include "syscall/link_rules.h"
#include "syscall/perf_calls.h"

namespace skep {
namespace {

constexpr u32 MAX_QUERIED = 64;  // Linux: kernel/trace/bpf_trace.c:BPF_TRACE_MAX_PROGS

/// Programs on tracepoints and kprobes run whatever their event's state, as on Linux; rings and clocks follow it.
void set_enabled(PerfEvent& event, bool enabled) {
  event.enabled = enabled;
  if (event.ring != nullptr) store_release(&event.ring->enabled, enabled ? 1u : 0u);
  if (event.probe && event.probe->kind == ProbeKind::Clock) set_owner_enabled(*event.kernel, &event, enabled);
}

Errno refuse(CallContext& ctx, const char* what) {
  ctx.kernel.doctor.note(fmt::format("ioctl {} on a perf event: not here: EINVAL", what));
  return Errno(EINVAL);
}

Result<s64> set_bpf(CallContext& ctx, PerfEvent& event, s32 fd) {
  std::shared_ptr<Prog> prog = TRY(ctx.object<Prog>(fd));
  TRY(check_event_prog(event, *prog));
  TRY(check_runnable(ctx.kernel, *prog));
  TRY(attach_event(ctx.kernel, &event, prog, 0));
  event.prog = std::move(prog);
  return s64{0};
}

/// Linux: core.c:_perf_event_period(). What a probe's samples are like is nobody's concern here.
Result<s64> set_period(CallContext& ctx, PerfEvent& event, u64 arg) {
  const u64 value = TRY(ctx.mem.read_as<u64>(arg));
  if (!event.samples || value == 0) return Errno(EINVAL);
  perf_event_attr attr{};
  attr.freq = event.freq;
  attr.sample_period = value;
  TRY(check_sampling(attr));
  if (event.clock != nullptr) {
    store_relaxed(&event.clock->period_ns, event.clock_period_ns = clock_period_ns(attr));
    clocks_changed(ctx.kernel);
  }
  return s64{0};
}

/// Linux: core.c:perf_event_set_output(). No event's samples go to another's ring here.
Result<s64> set_output(CallContext& ctx, const PerfEvent& event, u64 arg) {
  if (arg == ~0ULL) return event.mappings != 0 ? Result<s64>(Errno(EINVAL)) : Result<s64>(s64{0});
  const Result<std::shared_ptr<File>> file = ctx.file(static_cast<s32>(arg));
  if (!file.ok()) return file.error() == Errno(EINVAL) ? Errno(EBADF) : file.error();
  const std::shared_ptr<PerfEvent> output = object_as<PerfEvent>((*file)->object);
  if (output == nullptr) return Errno(EBADF);
  if (output.get() == &event || output->cpu != event.cpu || event.mappings != 0 || output->mappings == 0) return Errno(EINVAL);
  return refuse(ctx, "SET_OUTPUT");
}

bool is_same_tracepoint(const ProbeTarget& a, const ProbeTarget& b) { return a.kind == b.kind && a.tracepoint_id == b.tracepoint_id; }

/// All programs of the event's tracepoint, other events' too. Linux: kernel/trace/bpf_trace.c:perf_event_query_prog_array()
Result<s64> query_bpf(CallContext& ctx, const PerfEvent& event, u64 arg) {
  if (event.type != PERF_TYPE_TRACEPOINT) return Errno(EINVAL);
  const u32 room = TRY(ctx.mem.read_as<u32>(arg + offsetof(perf_event_query_bpf, ids_len)));
  if (room > MAX_QUERIED) return Errno(E2BIG);
  std::vector<u32> ids;
  for (const Attachment& a : ctx.kernel.attachments)
    if (is_same_tracepoint(a.target, *event.probe)) ids.push_back(a.prog->id);
  const u32 count = static_cast<u32>(ids.size());
  ids.resize(room);
  TRY(ctx.mem.write(arg + offsetof(perf_event_query_bpf, prog_cnt), &count, sizeof count));
  if (room != 0) TRY(ctx.mem.write(arg + sizeof(perf_event_query_bpf), ids.data(), room * sizeof(u32)));
  return room != 0 && count > room ? Result<s64>(Errno(ENOSPC)) : Result<s64>(s64{0});
}

/// Linux: core.c:perf_event_modify_attr(): of breakpoints only.
Result<s64> modify_attributes(CallContext& ctx, const PerfEvent& event, u64 arg) {
  const perf_event_attr attr = TRY(copy_perf_attr(ctx, arg));
  return Errno(attr.type != event.type ? EINVAL : EOPNOTSUPP);
}

}  // namespace

Result<s64> perf_ioctl(CallContext& ctx, const std::shared_ptr<PerfEvent>& event, u64 request, u64 arg) {
  switch (request) {
    case PERF_EVENT_IOC_ENABLE:
    case PERF_EVENT_IOC_DISABLE:
      set_enabled(*event, request == PERF_EVENT_IOC_ENABLE);
      return s64{0};
    case PERF_EVENT_IOC_RESET:
      return s64{0};
    case PERF_EVENT_IOC_ID:
      TRY(ctx.mem.write(arg, &event->id, sizeof event->id));
      return s64{0};
    case PERF_EVENT_IOC_SET_BPF:
      return set_bpf(ctx, *event, static_cast<s32>(arg));
    case PERF_EVENT_IOC_PERIOD:
      return set_period(ctx, *event, arg);
    case PERF_EVENT_IOC_QUERY_BPF:
      return query_bpf(ctx, *event, arg);
    case PERF_EVENT_IOC_SET_OUTPUT:
      return set_output(ctx, *event, arg);
    case PERF_EVENT_IOC_MODIFY_ATTRIBUTES:
      return modify_attributes(ctx, *event, arg);
    case PERF_EVENT_IOC_REFRESH:
      return event->samples ? refuse(ctx, "REFRESH") : Errno(EINVAL);
    case PERF_EVENT_IOC_PAUSE_OUTPUT:
      return event->mappings != 0 ? refuse(ctx, "PAUSE_OUTPUT") : Errno(EINVAL);
    case PERF_EVENT_IOC_SET_FILTER:
      return refuse(ctx, "SET_FILTER");
    default:
      ctx.kernel.doctor.note(fmt::format("ioctl {:#x} on a perf event: not here: ENOTTY", request));
      return Errno(ENOTTY);
  }
}

}  // namespace skep
