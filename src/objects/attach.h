// objects: which programs run on which syscall: keeps the lists in ROM equal to Kernel::attachments.
// Linux: kernel/events/core.c:perf_event_set_bpf_prog(), kernel/trace/bpf_trace.c:perf_event_attach_bpf_prog()
#pragma once
#include "objects/objects.h"

namespace skep {

/// Appends `prog` to what runs at the event's target. EEXIST when the event already carries a program, E2BIG past 64 on one target.
Status attach_event(Kernel& kernel, PerfEvent* event, std::shared_ptr<Prog> prog, u64 cookie);
/// Removes what this event carries, if anything; runs that started before may end after.
void detach_event(Kernel& kernel, const PerfEvent* event);

}  // namespace skep
