#include "probes/events.h"

#include <fmt/format.h>

#include <algorithm>

#include "probes/syscalls.h"

namespace skep {
namespace {

constexpr EventField SYS_ENTER[] = {{"long id", 8, 8, true}, {"unsigned long args[6]", 16, 48, false}};
constexpr EventField SYS_EXIT[] = {{"long id", 8, 8, true}, {"long ret", 16, 8, true}};
constexpr EventField PROCESS_EXEC[] = {
    {"__data_loc char[] filename", 8, 4, false}, {"pid_t pid", 12, 4, true}, {"pid_t old_pid", 16, 4, true}};
constexpr EventField PROCESS_FORK[] = {{"char parent_comm[16]", 8, 16, false},
                                       {"pid_t parent_pid", 24, 4, true},
                                       {"char child_comm[16]", 28, 16, false},
                                       {"pid_t child_pid", 44, 4, true}};
constexpr EventField PROCESS_EXIT[] = {{"char comm[16]", 8, 16, false}, {"pid_t pid", 24, 4, true}, {"int prio", 28, 4, true}};
constexpr EventField GENERATE[] = {{"int sig", 8, 4, true},         {"int errno", 12, 4, true}, {"int code", 16, 4, true},
                                   {"char comm[16]", 20, 16, false}, {"pid_t pid", 36, 4, true}, {"int group", 40, 4, true},
                                   {"int result", 44, 4, true}};
// The ids are those of the kernel that syscall_table.inc was read off: its numbers leave room for these in the order of its build.
constexpr EventInfo TABLE[] = {
    {"raw_syscalls", "sys_enter", 384, EventPlace::SysEnter, 2, SYS_ENTER,
     "\"NR %ld (%lx, %lx, %lx, %lx, %lx, %lx)\", REC->id, REC->args[0], REC->args[1], REC->args[2], REC->args[3], REC->args[4], "
     "REC->args[5]"},
    {"raw_syscalls", "sys_exit", 383, EventPlace::SysExit, 2, SYS_EXIT, "\"NR %ld = %ld\", REC->id, REC->ret"},
    {"sched", "sched_process_exec", 303, EventPlace::SchedProcessExec, 3, PROCESS_EXEC,
     "\"filename=%s pid=%d old_pid=%d\", __get_str(filename), REC->pid, REC->old_pid"},
    {"sched", "sched_process_fork", 304, EventPlace::SchedProcessFork, 2, PROCESS_FORK,
     "\"comm=%s pid=%d child_comm=%s child_pid=%d\", REC->parent_comm, REC->parent_pid, REC->child_comm, REC->child_pid"},
    {"sched", "sched_process_exit", 307, EventPlace::SchedProcessExit, 1, PROCESS_EXIT,
     "\"comm=%s pid=%d prio=%d\", REC->comm, REC->pid, REC->prio"},
    {"signal", "signal_generate", 193, EventPlace::SignalGenerate, 5, GENERATE,
     "\"sig=%d errno=%d code=%d comm=%s pid=%d grp=%d res=%d\", REC->sig, REC->errno, REC->code, REC->comm, REC->pid, REC->group, "
     "REC->result"},
};

template <typename P>
const EventInfo* find(P pred) {
  const auto* it = std::find_if(std::begin(TABLE), std::end(TABLE), pred);
  return it == std::end(TABLE) ? nullptr : it;
}

}  // namespace

std::span<const EventInfo> event_table() { return TABLE; }

const EventInfo* event_by_id(u32 id) {
  return find([&](const EventInfo& e) { return e.id == id; });
}
const EventInfo* event_by_name(std::string_view system, std::string_view name) {
  return find([&](const EventInfo& e) { return system == e.system && name == e.name; });
}
const EventInfo* event_by_raw_name(std::string_view name) {
  return find([&](const EventInfo& e) { return name == e.name; });
}
const EventInfo* event_by_place(EventPlace place) {
  return find([&](const EventInfo& e) { return place == e.place; });
}

std::string event_format_field(const EventField& f) {
  return fmt::format("\tfield:{};\toffset:{};\tsize:{};\tsigned:{};\n", f.declaration, f.offset, f.size, f.is_signed ? 1 : 0);
}

std::string event_format_head(std::string_view name, u32 id) {
  constexpr EventField COMMON[] = {{"unsigned short common_type", 0, 2, false},
                                   {"unsigned char common_flags", 2, 1, false},
                                   {"unsigned char common_preempt_count", 3, 1, false},
                                   {"int common_pid", 4, 4, true}};
  std::string out = fmt::format("name: {}\nID: {}\nformat:\n", name, id);
  for (const EventField& f : COMMON) out += event_format_field(f);
  return out + "\n";
}

std::string event_format(const EventInfo& event) {
  std::string out = event_format_head(event.name, event.id);
  for (const EventField& f : event.fields) out += event_format_field(f);
  return out + fmt::format("\nprint fmt: {}\n", event.print_fmt);
}

std::string event_file(std::string_view system, std::string_view name, std::string_view file) {
  if (system == "syscalls") return tracepoint_file(name, file);
  const EventInfo* event = event_by_name(system, name);
  if (event == nullptr) return {};
  if (file == "id") return fmt::format("{}\n", event->id);
  return file == "format" ? event_format(*event) : std::string();
}

}  // namespace skep
