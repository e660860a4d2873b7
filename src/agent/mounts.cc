// agent: the list of mounts has the session's file systems, whether or not the machine has them: tools look there for a bpffs or a tracefs.
#include "agent/agent.h"

namespace skep::agent {
namespace {

struct Mount {
  const char *point, *type, *source;
  const char* more;  ///< options of the file system itself, behind a comma
};
constexpr Mount OURS[] = {
    {"/sys/fs/bpf", "bpf", "bpf", ",mode=700"},
    {"/sys/kernel/debug", "debugfs", "debugfs", ""},
    {"/sys/kernel/tracing", "tracefs", "tracefs", ""},
};
constexpr u32 NR_OURS = sizeof OURS / sizeof OURS[0];

/// What has been read of the real list so far.
struct Seen {
  bool have[NR_OURS];
  char parent[16];  ///< number of the mount that /sys is in
  u64 highest;      ///< of the mounts' numbers
};

/// Word `n` of a line into `out`; false when it has not so many, or too long a one.
bool word(const char* line, u32 n, char* out, u64 cap) {
  for (; n > 0; --n) {
    while (*line != ' ' && *line != '\0') ++line;
    if (*line++ == '\0') return false;
  }
  u64 i = 0;
  while (line[i] != ' ' && line[i] != '\0' && i + 1 < cap) {
    out[i] = line[i];
    ++i;
  }
  out[i] = '\0';
  return i + 1 < cap;
}

/// The type stands third in the one file, behind a lone dash in the other.
bool type_of(const char* line, bool info, char* out, u64 cap) {
  if (!info) return word(line, 2, out, cap);
  for (; *line != '\0'; ++line)
    if (starts_with(line, " - ")) return word(line, 2, out, cap);
  return false;
}

void look_at(const char* line, bool info, Seen* seen) {
  char point[64], type[32], number[16];
  if (!word(line, info ? 4 : 1, point, sizeof point) || !type_of(line, info, type, sizeof type)) return;
  for (u32 i = 0; i < NR_OURS; ++i)
    if (same(point, OURS[i].point)) seen->have[i] = same(type, OURS[i].type);  // the last one there is the one that is seen
  if (!info || !word(line, 0, number, sizeof number)) return;
  u64 n = 0;
  for (const char* p = number; *p >= '0' && *p <= '9'; ++p) n = n * 10 + static_cast<u64>(*p - '0');
  if (n > seen->highest) seen->highest = n;
  if (same(point, "/sys") || (same(point, "/") && seen->parent[0] == '\0')) {
    seen->parent[0] = '\0';
    append(seen->parent, sizeof seen->parent, number);
  }
}

void write_line(s64 fd, const Mount& m, bool info, Seen* seen) {
  constexpr const char* FLAGS = "rw,nosuid,nodev,noexec,relatime";
  char line[256] = "";
  const auto add = [&](const char* text) { append(line, sizeof line, text); };
  if (info) {
    append_number(line, sizeof line, static_cast<s64>(++seen->highest));
    add(" ");
    add(seen->parent[0] != '\0' ? seen->parent : "1");
    add(" 0:0 / ");
    add(m.point);
    add(" ");
    add(FLAGS);
    add(" - ");
    add(m.type);
    add(" ");
    add(m.source);
    add(" rw");
    add(m.more);
    add("\n");
  } else {
    add(m.source);
    add(" ");
    add(m.point);
    add(" ");
    add(m.type);
    add(" ");
    add(FLAGS);
    add(m.more);
    add(" 0 0\n");
  }
  sys(NR_write, fd, line, length_of(line));
}

/// Copies the list and looks at each line. A line that is too long for us is copied and not looked at.
void copy_list(s64 from, s64 to, bool info, Seen* seen) {
  char text[8192];
  u64 have = 0;
  bool whole = true;
  for (s64 n; (n = sys(NR_read, from, text + have, sizeof text - have)) > 0;) {
    sys(NR_write, to, text + have, n);
    have += static_cast<u64>(n);
    u64 begin = 0;
    for (u64 i = begin; i < have; ++i) {
      if (text[i] != '\n') continue;
      text[i] = '\0';
      if (whole) look_at(text + begin, info, seen);
      whole = true;
      begin = i + 1;
    }
    for (u64 i = begin; i < have; ++i) text[i - begin] = text[i];
    have -= begin;
    if (have == sizeof text) {
      have = 0;
      whole = false;
    }
  }
}

}  // namespace

bool open_mounts(TrapFrame* f, u64 path_user, u64 open_flags) {
  constexpr u64 ACCMODE = 3, CLOEXEC = 02000000;
  char path[32] = "";
  if ((open_flags & ACCMODE) != 0 || read_user_string(path, sizeof path - 1, path_user) < 0) return false;
  const bool info = same(path, "/proc/self/mountinfo");
  if (!info && !same(path, "/proc/mounts") && !same(path, "/proc/self/mounts")) return false;
  if (!may_make_copies()) return false;
  // The copy first: the program gets the lowest free number.
  const s64 fd = sys(319 /* memfd_create */, "mounts", (open_flags & CLOEXEC) != 0 ? 1 : 0);
  if (fd < 0) return false;
  const s64 real = sys(NR_openat, AT_FDCWD_, path, CLOEXEC, 0);
  if (real < 0) {
    sys(NR_close, fd);
    return false;
  }
  Seen seen{};
  copy_list(real, fd, info, &seen);
  sys(NR_close, real);
  bool added = false;
  for (u32 i = 0; i < NR_OURS; ++i) {
    if (seen.have[i]) continue;
    write_line(fd, OURS[i], info, &seen);
    added = true;
  }
  if (!added) {
    // The machine's own says it all, and can be watched for changes.
    sys(NR_close, fd);
    return false;
  }
  sys(8 /* lseek */, fd, 0, 0);
  f->answer(fd);
  return true;
}

}  // namespace skep::agent
