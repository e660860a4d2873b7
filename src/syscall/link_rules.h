// syscall: which program may sit on which event: shared by ioctl SET_BPF and LINK_CREATE.
#pragma once
#include "objects/objects.h"

namespace skep {

/// EINVAL; EACCES for a program that reads beyond the event's record. Linux: kernel/events/core.c:perf_event_set_bpf_prog()
Status check_event_prog(const PerfEvent& event, const Prog& prog);

}  // namespace skep
