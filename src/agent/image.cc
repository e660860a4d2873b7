#include "agent/image.h"

#include "agent/text.h"
#include "base/bytes.h"

namespace skep::agent {
namespace {

constexpr u64 HEAD = 4096;

bool ends_with(const char* s, const char* tail) {
  const u64 n = length_of(s), m = length_of(tail);
  return n >= m && same(s + n - m, tail);
}

Image classify_elf(const u8* head, u64 n, s32 fd) {
  if (head[4] != 2) return Image::Other32;
  u16 machine, phentsize, phnum;
  u64 phoff;
  copy_bytes(&machine, head + 18, 2);
  copy_bytes(&phoff, head + 32, 8);
  copy_bytes(&phentsize, head + 54, 2);
  copy_bytes(&phnum, head + 56, 2);
  if (machine != 62) return Image::Other32;
  if (phentsize != 56) return Image::Traced;  // the kernel will refuse it
  for (u32 i = 0; i < phnum && i < 64; ++i) {
    u8 ph[56];
    const u64 at = phoff + i * 56u;
    if (at + 56 <= n)
      copy_bytes(ph, head + at, 56);
    else if (sys(17 /* pread64 */, fd, ph, 56, at) != 56)
      return Image::Traced;
    u32 type;
    u64 offset, size;
    copy_bytes(&type, ph, 4);
    copy_bytes(&offset, ph + 8, 8);
    copy_bytes(&size, ph + 32, 8);
    if (type != 3 /* PT_INTERP */) continue;
    char interp[256] = {};
    if (size >= sizeof interp || sys(17, fd, interp, size, offset) != static_cast<s64>(size)) return Image::OtherLibc;
    return ends_with(interp, "/ld-linux-x86-64.so.2") ? Image::Traced : Image::OtherLibc;
  }
  return Image::Static;
}

/// Looks at what execve would run, through `#!` lines. `path` is in our memory.
Image classify(s32 dirfd, const char* path, u64 at_flags, u32 depth) {
  const s64 fd = path[0] == '\0' && (at_flags & 0x1000 /* AT_EMPTY_PATH */) != 0 ? sys(NR_fcntl, dirfd, 1030, 3)
                                                                                   : sys(NR_openat, dirfd, path, 02004400 /* CLOEXEC|NONBLOCK|NOCTTY */, 0);
  if (fd < 0) return fd == -EACCES_ && sys(NR_faccessat, dirfd, path, 1 /* X_OK */) == 0 ? Image::Unreadable : Image::Traced;
  u8 head[HEAD];
  u64 st[18] = {};
  sys(NR_fstat, fd, st);
  const bool runs = (static_cast<u32>(st[3]) & 0170000) == 0100000 && (static_cast<u32>(st[3]) & 0111) != 0;
  const s64 n = runs ? sys(17 /* pread64 */, fd, head, HEAD, 0) : 0;  // whatever else it is, the kernel refuses it
  Image result = Image::Traced;
  if (n >= 64 && head[0] == 0x7f && head[1] == 'E' && head[2] == 'L' && head[3] == 'F') {
    result = classify_elf(head, static_cast<u64>(n), static_cast<s32>(fd));
    // The dynamic loader, called by name, has no interpreter of its own and preloads all the same.
    if (result == Image::Static && ends_with(path, "ld-linux-x86-64.so.2")) result = Image::Traced;
    const u32 mode = static_cast<u32>(st[3]), uid = static_cast<u32>(st[3] >> 32), gid = static_cast<u32>(st[4]);
    const bool setuid = (mode & 04000) != 0 && uid != static_cast<u32>(sys(NR_geteuid));
    const bool setgid = (mode & 02010) == 02010 && gid != static_cast<u32>(sys(NR_getegid));
    if (result == Image::Traced && (setuid || setgid)) result = Image::Secure;
  } else if (n > 2 && head[0] == '#' && head[1] == '!' && depth < 5) {
    char interp[256];
    u64 from = 2, len = 0;
    while (from < static_cast<u64>(n) && (head[from] == ' ' || head[from] == '\t')) ++from;
    while (from < static_cast<u64>(n) && len + 1 < sizeof interp && head[from] != ' ' && head[from] != '\t' && head[from] != '\n')
      interp[len++] = static_cast<char>(head[from++]);
    interp[len] = '\0';
    if (len > 0) result = classify(AT_FDCWD_, interp, 0, depth + 1);
  }
  sys(NR_close, fd);
  return result;
}

}  // namespace

const char* image_text(Image i) {
  switch (i) {
    case Image::Static: return "statically linked";
    case Image::OtherLibc: return "not linked to glibc";
    case Image::Other32: return "not an x86-64 program";
    case Image::Secure: return "setuid or setgid";
    case Image::Unreadable: return "not readable";
    default: return "";
  }
}

Image classify_image(s32 dirfd, const char* path, u64 at_flags) { return classify(dirfd, path, at_flags, 0); }

void fence_image(Image image) {
  struct Insn {
    u16 code;
    u8 jt, jf;
    u32 k;
  };
  static const Insn filter[] = {
      {0x20, 0, 0, 4},                    // ld arch
      {0x15, 0, 5, 0xc000003e},           // x86-64?
      {0x20, 0, 0, 0},                    // ld nr
      {0x54, 0, 0, 0xbfffffff},           // x32 numbers too
      {0x15, 5, 0, NR_bpf},               //
      {0x15, 4, 0, NR_perf_event_open},   //
      {0x06, 0, 0, 0x7fff0000},           // allow
      {0x20, 0, 0, 0},                    // i386
      {0x15, 1, 0, 357},                  //
      {0x15, 0, 1, 336},                  //
      {0x06, 0, 0, 0x00050000 | 1},       // errno EPERM
      {0x06, 0, 0, 0x7fff0000},
  };
  struct {
    u16 len;
    const Insn* at;
  } prog{sizeof filter / sizeof filter[0], filter};
  if (sys(NR_seccomp, 1, 0, &prog) == 0) return;
  char level[2] = {'2', 0};
  const s64 fd = sys(NR_openat, AT_FDCWD_, "/proc/sys/kernel/unprivileged_bpf_disabled", 02000000, 0);
  if (fd >= 0) {
    sys(NR_read, fd, level, 1);
    sys(NR_close, fd);
  }
  if (level[0] != '0' || image == Image::Secure) return;
  sys(NR_prctl, 38 /* PR_SET_NO_NEW_PRIVS */, 1, 0, 0, 0);
  sys(NR_seccomp, 1, 0, &prog);
}

}  // namespace skep::agent
