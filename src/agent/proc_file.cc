#include "agent/proc_file.h"

#include "agent/agent.h"
#include "agent/task_facts.h"
#include "base/bytes.h"

namespace skep::agent {
namespace {

/// A file of /proc/PID.
bool read_task_file(s32 pid, const char* name, char* out, u64 size) {
  char path[64] = "/proc/";
  append_number(path, sizeof path, pid);
  append(path, sizeof path, "/");
  append(path, sizeof path, name);
  return read_file(path, out, size);
}

/// What stands behind "NAME:" at the start of a line, as a hexadecimal number; 0 when there is no such line.
u64 hex_value(const char* text, const char* name) {
  for (const char* line = text; *line != '\0';) {
    if (starts_with(line, name)) return hex_number(line + length_of(name));
    while (*line != '\0' && *line != '\n') ++line;
    if (*line == '\n') ++line;
  }
  return 0;
}

}  // namespace

bool facts_of_task(s32 pid, TaskFacts& out) {
  zero_bytes(&out, sizeof out);
  char text[4096];
  if (!read_task_file(pid, "status", text, sizeof text)) return false;
  out.pending = hex_value(text, "SigPnd:");
  out.shared_pending = hex_value(text, "ShdPnd:");
  out.blocked = hex_value(text, "SigBlk:");
  out.ignored = hex_value(text, "SigIgn:");
  out.caught = hex_value(text, "SigCgt:");
  // Its name as it is: status escapes it.
  char comm[32];
  read_task_file(pid, "comm", comm, sizeof comm);
  const u64 n = length_of(comm);
  for (u64 i = 0; i < 15 && i + 1 < n; ++i) out.comm[i] = comm[i];
  return true;
}

}  // namespace skep::agent
