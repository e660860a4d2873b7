// probes: the dynamic PMU types that sysfs shows, as a 6.12 kernel numbers them.
#pragma once
#include "base/types.h"
#include "uapi/perf_event.h"

namespace skep {

constexpr u32 PERF_TYPE_KPROBE = 8;

}  // namespace skep
