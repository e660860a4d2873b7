// probes: the tracepoints that are not one system call's: where they stand, what their records hold. Linux: include/trace/events/
// {syscalls,sched,signal}.h. kbtf/kernel/trace.h has the same records as types.
#pragma once
#include <span>
#include <string>
#include <string_view>

#include "shm/layout.h"

namespace skep {

/// One field of an event's record, as its `format` file lists it.
struct EventField {
  const char* declaration;  ///< "char comm[16]"
  u32 offset, size;
  bool is_signed;
};

struct EventInfo {
  const char* system;
  const char* name;
  u32 id;  ///< common_type of its records
  EventPlace place;
  u32 raw_args;  ///< 64-bit arguments of its raw tracepoint
  std::span<const EventField> fields;  ///< behind the common ones, ascending
  const char* print_fmt;

  /// What a program may read: to the end of the last field. Linux: kernel/trace/trace_events.c:trace_event_get_offsets()
  u32 record_size() const { return fields.back().offset + fields.back().size; }
};

std::span<const EventInfo> event_table();
// Null when there is none.
const EventInfo* event_by_id(u32 id);
const EventInfo* event_by_name(std::string_view system, std::string_view name);
const EventInfo* event_by_raw_name(std::string_view name);  ///< as BPF_RAW_TRACEPOINT_OPEN names it: without its system
const EventInfo* event_by_place(EventPlace place);

/// The text of an event's `format` file.
std::string event_format(const EventInfo& event);
/// A file of /sys/kernel/tracing/events/SYSTEM/NAME/, system calls' events too: "id" or "format"; empty when there is none.
std::string event_file(std::string_view system, std::string_view name, std::string_view file);
/// The first lines of every format file: the event's name and id, the common fields, and an empty line.
std::string event_format_head(std::string_view name, u32 id);
/// One line for a field.
std::string event_format_field(const EventField& field);

}  // namespace skep
