#include "agent/task_facts.h"

#include "agent/agent.h"
#include "base/bytes.h"

namespace skep::agent {
bool read_file(const char* path, char* out, u64 size) {
  const s64 fd = sys(NR_openat, AT_FDCWD_, path, 02000000 /* O_CLOEXEC */, 0);
  u64 have = 0;
  if (fd >= 0) {
    for (s64 n = 1; n > 0 && have + 1 < size; have += n > 0 ? static_cast<u64>(n) : 0)
      n = sys(NR_read, fd, out + have, size - 1 - have);
    sys(NR_close, fd);
  }
  out[have] = '\0';
  return have != 0;
}

namespace {

const char* skip_blanks(const char* p) {
  while (*p == ' ' || *p == '\t') ++p;
  return p;
}

/// Reads a number and moves behind it. False: there is none.
bool take_number(const char** at, u64* out) {
  const char* p = skip_blanks(*at);
  const bool negative = *p == '-';
  p += negative;
  if (*p < '0' || *p > '9') return false;
  u64 v = 0;
  for (; *p >= '0' && *p <= '9'; ++p) v = v * 10 + static_cast<u64>(*p - '0');
  *out = negative ? 0 - v : v;
  *at = p;
  return true;
}

}  // namespace

u64 hex_number(const char* p) {
  u64 v = 0;
  for (p = skip_blanks(p);; ++p) {
    const u32 digit = *p >= '0' && *p <= '9'   ? static_cast<u32>(*p - '0')
                      : *p >= 'a' && *p <= 'f' ? static_cast<u32>(*p - 'a') + 10
                                               : 16;
    if (digit == 16) return v;
    v = v << 4 | digit;
  }
}

namespace {

/// A name may hold blanks and brackets: it ends at the last bracket. Returns what stands behind it.
const char* take_name(const char* text, char (&comm)[16]) {
  const char *open = text, *close = nullptr;
  while (*open != '\0' && *open != '(') ++open;
  for (const char* p = open; *p != '\0'; ++p)
    if (*p == ')') close = p;
  if (close == nullptr) return nullptr;
  for (u64 i = 0; i < 15 && open + 1 + i < close; ++i) comm[i] = open[1 + i];
  return close + 1;
}

void take_status_line(const char* line, StatusFacts& out) {
  const auto four = [](const char* p, u32(&ids)[4]) {
    for (u32& id : ids)
      if (u64 v = 0; take_number(&p, &v)) id = static_cast<u32>(v);
  };
  if (starts_with(line, "Uid:")) return four(line + 4, out.uid);
  if (starts_with(line, "Gid:")) return four(line + 4, out.gid);
  if (starts_with(line, "CapInh:")) out.cap_inheritable = hex_number(line + 7);
  if (starts_with(line, "CapPrm:")) out.cap_permitted = hex_number(line + 7);
  if (starts_with(line, "CapEff:")) out.cap_effective = hex_number(line + 7);
  if (starts_with(line, "CapBnd:")) out.cap_bset = hex_number(line + 7);
  if (starts_with(line, "CapAmb:")) out.cap_ambient = hex_number(line + 7);
  if (!starts_with(line, "NSpid:")) return;
  line += 6;
  for (u64 v = 0; out.levels < MAX_NS_PIDS && take_number(&line, &v);) out.ns_pid[out.levels++] = static_cast<s32>(v);
}

}  // namespace

bool read_stat(const char* path, StatFacts& out) {
  zero_bytes(&out, sizeof out);
  char text[1024];
  const char* p = read_file(path, text, sizeof text) ? take_name(text, out.comm) : nullptr;
  if (p == nullptr) return false;
  p = skip_blanks(p);
  if (*p != '\0') ++p;  // the state, a letter: field 3
  out.count = 4;
  for (u64 v = 0; out.count < 64 && take_number(&p, &v);) out.field[out.count++] = static_cast<s64>(v);
  return true;
}

bool read_status(const char* path, StatusFacts& out) {
  zero_bytes(&out, sizeof out);
  char text[4096];
  if (!read_file(path, text, sizeof text)) return false;
  for (const char* line = text; *line != '\0';) {
    take_status_line(line, out);
    while (*line != '\0' && *line != '\n') ++line;
    if (*line == '\n') ++line;
  }
  return true;
}

u64 read_number(const char* path, u64 none) {
  char text[32];
  u64 v = 0;
  const char* p = text;
  return read_file(path, text, sizeof text) && take_number(&p, &v) ? v : none;
}

u32 read_inum(const char* path) {
  char text[64];
  const s64 n = sys(NR_readlink, path, text, sizeof text - 1);
  text[n > 0 ? n : 0] = '\0';
  const char* p = text;
  while (*p != '\0' && *p != '[') ++p;
  u64 v = 0;
  if (*p == '[') ++p;
  return take_number(&p, &v) ? static_cast<u32>(v) : 0;
}

}  // namespace skep::agent
