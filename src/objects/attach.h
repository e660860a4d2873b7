// objects: which programs run at which event: keeps the lists in ROM equal to Kernel::attachments.
// Linux: kernel/events/core.c:perf_event_set_bpf_prog(), kernel/trace/bpf_trace.c:perf_event_attach_bpf_prog()
#pragma once
#include <span>

#include "objects/objects.h"

namespace skep {

/// One place that a program is to run at, and what bpf_get_attach_cookie() says there.
struct AttachPoint {
  ProbeTarget target;
  u64 cookie = 0;
};

/// Appends `prog` to what runs at each of `points`, for `owner` (a PerfEvent or a Link), which lets go of all of it by detach_owner().
/// All or nothing: E2BIG past 64 programs of one kind at one place, ENOMEM. Not `enabled`: it runs once set_owner_enabled() says so.
Status attach_points(Kernel& kernel, const void* owner, const std::shared_ptr<Prog>& prog, std::span<const AttachPoint> points, bool enabled = true);
/// What the event watches; of a clock that is not enabled, from when it is. EEXIST when the event already carries a program.
Status attach_event(Kernel& kernel, PerfEvent* event, std::shared_ptr<Prog> prog, u64 cookie);
/// Removes what this owner attached, if anything; runs that started before may end after.
void detach_owner(Kernel& kernel, const void* owner);
/// The worker looks at its clocks anew.
void clocks_changed(Kernel& kernel);
/// PERF_EVENT_IOC_ENABLE and DISABLE of a probe: what a disabled owner attached stays its own and does not run. Never fails.
void set_owner_enabled(Kernel& kernel, const void* owner, bool enabled);

}  // namespace skep
