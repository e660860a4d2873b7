// syscall: perf_event_open(2) in parts: what attributes say, and the ioctls of an event.
#pragma once
#include "syscall/context.h"
#include "uapi/perf_event.h"

namespace skep {

/// EFAULT; E2BIG, and the size that is known here written back. Linux: kernel/events/core.c:perf_copy_attr()
Result<perf_event_attr> copy_perf_attr(CallContext&, u64 addr);
/// How often an event samples. EINVAL. Linux: kernel/events/core.c:perf_event_open()
Status check_sampling(const perf_event_attr&);
/// Makes the event a software clock (CPU_CLOCK, TASK_CLOCK) of one process or of one processor. ESRCH for a process that is not there.
Status make_clock(CallContext&, PerfEvent*, const perf_event_attr&, s32 pid, s32 cpu);
/// Nanoseconds from one time it goes off to the next; 0: it only counts. Linux: kernel/events/core.c:perf_swevent_init_hrtimer()
u64 clock_period_ns(const perf_event_attr&);

/// Linux: kernel/events/core.c:_perf_ioctl()
Result<s64> perf_ioctl(CallContext&, const std::shared_ptr<PerfEvent>&, u64 request, u64 arg);

}  // namespace skep
