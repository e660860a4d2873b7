#include "agent/proc_file.h"

#include "agent/agent.h"
#include "base/bytes.h"

namespace skep::agent {
namespace {

/// The whole of a small file of /proc/PID, cut at `size` - 1 bytes and ended by a NUL: its length, or -errno.
s64 read_task_file(s32 pid, const char* name, char* out, u64 size) {
  char path[64];
  path[0] = '\0';
  append(path, sizeof path, "/proc/");
  append_number(path, sizeof path, pid);
  append(path, sizeof path, "/");
  append(path, sizeof path, name);
  const s64 fd = sys(NR_openat, AT_FDCWD_, path, 02000000 /* O_CLOEXEC */, 0);
  if (fd < 0) return fd;
  s64 have = 0;
  for (s64 n = 0; have + 1 < static_cast<s64>(size); have += n)
    if ((n = sys(NR_read, fd, out + have, size - 1 - static_cast<u64>(have))) <= 0) break;
  sys(NR_close, fd);
  out[have] = '\0';
  return have;
}

/// What stands behind "NAME:" and blanks at the start of a line; null when there is no such line.
const char* value_of(const char* text, const char* name) {
  for (const char* line = text; *line != '\0';) {
    if (starts_with(line, name)) {
      line += length_of(name);
      while (*line == ' ' || *line == '\t') ++line;
      return line;
    }
    while (*line != '\0' && *line != '\n') ++line;
    if (*line == '\n') ++line;
  }
  return nullptr;
}

u64 hex_value(const char* text, const char* name) {
  u64 v = 0;
  const char* p = value_of(text, name);
  for (; p != nullptr; ++p) {
    const char c = *p;
    if (c >= '0' && c <= '9')
      v = v << 4 | static_cast<u64>(c - '0');
    else if (c >= 'a' && c <= 'f')
      v = v << 4 | static_cast<u64>(c - 'a' + 10);
    else
      break;
  }
  return v;
}

s32 decimal_value(const char* text, const char* name) {
  s32 v = 0;
  const char* p = value_of(text, name);
  for (; p != nullptr && *p >= '0' && *p <= '9'; ++p) v = v * 10 + (*p - '0');
  return v;
}

}  // namespace

bool facts_of_task(s32 pid, TaskFacts& out) {
  zero_bytes(&out, sizeof out);
  char text[4096];
  if (read_task_file(pid, "status", text, sizeof text) <= 0) return false;
  out.tgid = decimal_value(text, "Tgid:");
  out.pending = hex_value(text, "SigPnd:");
  out.shared_pending = hex_value(text, "ShdPnd:");
  out.blocked = hex_value(text, "SigBlk:");
  out.ignored = hex_value(text, "SigIgn:");
  out.caught = hex_value(text, "SigCgt:");
  // Its name as it is: status escapes it.
  char comm[32];
  const s64 n = read_task_file(pid, "comm", comm, sizeof comm);
  for (s64 i = 0; i < 15 && i + 1 < n; ++i) out.comm[i] = comm[i];
  return true;
}

}  // namespace skep::agent
