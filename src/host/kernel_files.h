// host: the text of files that stand for the kernel's: under /proc, /boot and /sys/kernel/tracing. What they say is true of skep.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "probes/events.h"

namespace skep {

/// Of a file under /proc or /boot, `path` from "/" on. None: there is no such file.
std::optional<std::string> kernel_file(const std::string& path, const std::string& release, bool jit);

/// Of a file right under /sys/kernel/tracing. None: there is no such file.
std::optional<std::string> trace_file(const std::string& name);
/// The names that trace_file() has.
std::vector<std::string> trace_file_names();

struct EventName {
  std::string system, name;
};
/// All events, those of system calls too.
std::vector<EventName> all_events();
}  // namespace skep
