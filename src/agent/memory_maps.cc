// agent: the text of libc and of the loader is a copy of ours, in a file that has no name. /proc/PID/maps names the objects that they
// are of, as it would without us: symbolizers go by it.
#include "agent/agent.h"

namespace skep::agent {
namespace {

constexpr const char* COPY = "/memfd:libc.so.6 (deleted)";  // host/patched_objects.cc

/// "START-END PERMS OFFSET DEVICE INODE      PATH", the numbers in hex.
struct Line {
  u64 start, end, offset;
  const char* perms;   ///< four characters
  const char* device;  ///< and what follows, to the end of the line
  const char* path;    ///< empty: none
};

u64 hex(const char*& p) {
  u64 v = 0;
  for (;; ++p) {
    if (*p >= '0' && *p <= '9')
      v = v << 4 | static_cast<u64>(*p - '0');
    else if (*p >= 'a' && *p <= 'f')
      v = v << 4 | static_cast<u64>(*p - 'a' + 10);
    else
      return v;
  }
}

bool skip(const char*& p, char c) { return *p == c && ++p != nullptr; }

bool parse(const char* p, Line& out) {
  out.start = hex(p);
  if (!skip(p, '-')) return false;
  out.end = hex(p);
  if (!skip(p, ' ')) return false;
  out.perms = p;
  while (*p != ' ' && *p != '\0') ++p;
  if (p - out.perms != 4 || !skip(p, ' ')) return false;
  out.offset = hex(p);
  if (!skip(p, ' ')) return false;
  out.device = p;
  while (*p != '/' && *p != '[' && *p != '\0') ++p;
  out.path = p;
  return true;
}

void append_hex(char* out, u64 cap, u64 v, u32 least) {
  char digits[20];
  u32 at = sizeof digits - 1;
  digits[at] = '\0';
  for (u32 n = 0; v != 0 || n < least; ++n, v >>= 4) digits[--at] = "0123456789abcdef"[v & 15];
  append(out, cap, digits + at);
}

/// The object that the line before this one is of goes on here. Its text stands in the file where it stands in memory, seen from there.
void write_as_object(s64 to, const Line& line, u64 offset, const char* device) {
  char text[4400] = "";
  append_hex(text, sizeof text, line.start, 8);
  append(text, sizeof text, "-");
  append_hex(text, sizeof text, line.end, 8);
  append(text, sizeof text, " r-xp ");
  append_hex(text, sizeof text, offset, 8);
  append(text, sizeof text, " ");
  append(text, sizeof text, device);
  append(text, sizeof text, "\n");
  sys(NR_write, to, text, length_of(text));
}

/// What is known of the line before.
struct Before {
  u64 end, next_offset;
  char device[4352];  ///< empty: it names no file
};

void put_line(s64 to, const char* text, u64 length, Before& before) {
  Line line;
  const bool known = parse(text, line);
  if (known && same(line.path, COPY) && before.device[0] != '\0' && before.end == line.start && line.perms[2] == 'x') {
    write_as_object(to, line, before.next_offset, before.device);
  } else {
    sys(NR_write, to, text, length);
    sys(NR_write, to, "\n", 1);
  }
  before.device[0] = '\0';
  if (!known || line.path[0] != '/' || starts_with(line.path, "/memfd:")) return;
  before.end = line.end;
  before.next_offset = line.offset + (line.end - line.start);
  if (!append(before.device, sizeof before.device, line.device)) before.device[0] = '\0';
}

void copy_maps(s64 from, s64 to) {
  char text[8192];
  Before before;
  before.device[0] = '\0';
  u64 have = 0;
  for (s64 n; (n = sys(NR_read, from, text + have, sizeof text - have)) > 0;) {
    have += static_cast<u64>(n);
    u64 begin = 0;
    for (u64 i = 0; i < have; ++i) {
      if (text[i] != '\n') continue;
      text[i] = '\0';
      put_line(to, text + begin, i - begin, before);
      begin = i + 1;
    }
    if (begin == 0 && have == sizeof text) {  // a line that long is none of the kernel's
      sys(NR_write, to, text, have);
      begin = have;
    }
    for (u64 i = begin; i < have; ++i) text[i - begin] = text[i];
    have -= begin;
  }
  sys(NR_write, to, text, have);
}

/// "/proc/PID/maps", and the same of a thread.
bool names_maps(const char* path) {
  if (!starts_with(path, "/proc/")) return false;
  const u64 n = length_of(path);
  return n > 11 && same(path + n - 5, "/maps");
}

}  // namespace

bool may_make_copies() {
  constexpr u64 RLIMIT_FSIZE_ = 1, INFINITE = ~0ULL;
  u64 limit[2] = {0, 0};
  return !session.seccomp && sys(NR_prlimit64, 0, RLIMIT_FSIZE_, 0, limit) == 0 && limit[0] == INFINITE;
}

bool open_maps(TrapFrame* f, u64 path_user, u64 open_flags) {
  constexpr u64 ACCMODE = 3, CLOEXEC = 02000000;
  char path[64] = "";
  if ((open_flags & ACCMODE) != 0) return false;
  const s64 n = read_user_string(path, sizeof path - 1, path_user);
  if (n < 0 || n >= static_cast<s64>(sizeof path) || !names_maps(path)) return false;
  if (!may_make_copies()) return false;
  // The copy first: the program gets the lowest free number.
  const s64 fd = sys(319 /* memfd_create */, "maps", (open_flags & CLOEXEC) != 0 ? 1 : 0);
  if (fd < 0) return false;
  const s64 real = sys(NR_openat, AT_FDCWD_, path, CLOEXEC, 0);
  if (real < 0) {
    sys(NR_close, fd);
    return false;
  }
  copy_maps(real, fd);
  sys(NR_close, real);
  sys(8 /* lseek */, fd, 0, 0);
  f->answer(fd);
  return true;
}

}  // namespace skep::agent
