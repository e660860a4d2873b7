// agent: the virtual files. Paths under a few directories stand for files in the session's private directory, which the host fills as
// they are asked for; the call is made there instead. Everything else of a path is the kernel's business: relative paths, links, rights.
#include "agent/agent.h"
#include "base/atomic.h"

namespace skep::agent {
namespace {

/// What stands under these is the session's. The host decides what each holds (host/virtual_files.cc).
constexpr const char* VIRTUAL[] = {
    "/sys/fs/bpf",
    "/sys/kernel/tracing",
    "/sys/kernel/debug/tracing",
    "/sys/kernel/debug/kprobes",
    "/sys/kernel/btf",
    "/sys/kernel/security/lockdown",
    "/sys/bus/event_source/devices/kprobe",
    "/sys/bus/event_source/devices/uprobe",
    "/sys/bus/event_source/devices/software",
    "/sys/bus/event_source/devices/tracepoint",
    "/proc/kallsyms",
    "/proc/config.gz",
    "/proc/sys/net/core/bpf_jit_enable",
    "/proc/sys/net/core/bpf_jit_harden",
    "/proc/sys/net/core/bpf_jit_kallsyms",
    "/proc/sys/net/core/bpf_jit_limit",
    "/proc/sys/kernel/unprivileged_bpf_disabled",
    "/proc/sys/kernel/perf_event_paranoid",
    "/proc/sys/kernel/perf_event_max_stack",
    "/proc/sys/kernel/kptr_restrict",
    "/boot/config-",  // and the kernel's release
    "/lib/modules/",  // likewise, and build or source
};

bool is_virtual(const char* path) {
  if (path[0] != '/' || (path[1] != 's' && path[1] != 'p' && path[1] != 'l' && path[1] != 'b')) return false;
  if (starts_with(path, "/proc/") && (path[6] < 'a' || starts_with(path + 6, "self/"))) return false;  // of processes: most are
  for (const char* v : VIRTUAL)
    if (starts_with(path, v)) {
      const u64 n = length_of(v);
      if (path[n] == '\0' || path[n] == '/' || v[n - 1] == '-' || v[n - 1] == '/') return true;
    }
  return false;
}

/// Cheap look at a path in the program's memory: most are none of ours.
bool may_be_virtual(u64 user) {
  char c[7] = {};
  if (user == 0 || read_user(c, user, 2) != 0 || c[0] != '/') return false;
  if (c[1] == 's' || c[1] == 'p') return true;
  if (c[1] != 'l' && c[1] != 'b') return false;
  // A path that ends before these six bytes do, and memory with it, is none of ours either.
  return read_user(c, user, sizeof c - 1) == 0 && (same(c, "/lib/m") || same(c, "/boot/"));
}

bool has_dot_dot(const char* path) {
  for (; *path != '\0'; ++path)
    if (starts_with(path, "/..")) return true;
  return false;
}

/// Compilers look at thousands of kernel headers. That the session has them, and all there are, is asked once: "/lib/modules/R/build".
char headers_dir[128];
u32 headers_known;

void remember_headers(const char* path) {
  if (load_acquire(&headers_known) != 0 || !starts_with(path, "/lib/modules/") || has_dot_dot(path)) return;
  constexpr u64 AT = 13;  // of the release
  u64 n = AT;
  while (path[n] != '/' && path[n] != '\0') ++n;
  if (!starts_with(path + n, "/build") || n + 7 > sizeof headers_dir) return;
  n += 6;
  if (path[n] != '/' && path[n] != '\0') return;
  for (u64 i = 0; i < n; ++i) store_relaxed(&headers_dir[i], path[i]);  // whoever else is here writes the same
  store_release(&headers_known, 1);
}

bool among_headers(const char* path) {
  if (load_acquire(&headers_known) == 0 || !starts_with(path, headers_dir)) return false;
  const char next = path[length_of(headers_dir)];
  return (next == '/' || next == '\0') && !has_dot_dot(path);
}

/// The real path into `out`: true. False: not ours, let the kernel look. `enters`: the path is to be opened or gone into, so that
/// what a directory has must be there, for readdir and for names relative to it.
bool resolve(u64 user, char (&out)[4096], bool enters = false) {
  if (!may_be_virtual(user)) return false;
  char path[4096];
  if (copy_path(path, user) < 0 || !is_virtual(path)) return false;
  if (among_headers(path)) {
    out[0] = '\0';
    return append(out, sizeof out, session.virtual_root) && append(out, sizeof out, path);
  }
  HostCall c{};
  c.op = WireOp::Path;
  c.a[0] = reinterpret_cast<u64>(path);
  c.a[1] = enters ? 1 : 0;
  c.payload = out;
  c.payload_cap = sizeof out - 1;
  if (host_call(c) <= 0) return false;
  out[c.payload_len] = '\0';
  remember_headers(path);
  return true;
}

s64 call_of(const TrapFrame* f) { return sys6(f->nr, f->di, f->si, f->dx, f->r10, f->r8, f->r9); }

s64 with_replaced(const TrapFrame* f, int i, const char* path) {
  TrapFrame g = *f;
  *g.slot(i) = reinterpret_cast<u64>(path);
  return call_of(&g);
}

void replace_one(TrapFrame* f, int i, bool enters = false) {
  char real[4096];
  if (resolve(f->arg(i), real, enters)) f->answer(with_replaced(f, i, real));
}

bool relative(u64 user) {
  char c = '/';
  return read_user(&c, user, 1) == 0 && c != '/';
}

bool is_under(const char* real, const char* dir) {
  const u64 n = length_of(session.virtual_root);
  return starts_with(real, session.virtual_root) && starts_with(real + n, dir);
}
bool on_bpffs(const char* real) { return is_under(real, "/sys/fs/bpf/"); }

/// Linux: kernel/bpf/inode.c:bpf_lookup(): dots in names are reserved.
bool has_dot(const char* real) {
  const char* name = real;
  for (const char* p = real; *p != '\0'; ++p)
    if (*p == '/') name = p + 1;
  for (; *name != '\0'; ++name)
    if (*name == '.') return true;
  return false;
}

/// Only directories open on a bpffs; a pin is for BPF_OBJ_GET, and nothing else is created there.
void open_on_bpffs(TrapFrame* f, int i, u64 open_flags, const char* real) {
  u64 st[18] = {};
  const s64 rc = sys(NR_stat, real, st);
  constexpr u64 O_CREAT_ = 0100, O_PATH_ = 010000000;
  if (rc == 0 && (static_cast<u32>(st[3]) & 0170000) != 0040000 && (open_flags & O_PATH_) == 0) return f->answer(-EIO_);
  if (rc != 0 && (open_flags & O_CREAT_) != 0) return f->answer(-EACCES_);
  f->answer(with_replaced(f, i, real));
}

/// The kernel's own files are there to be read: what one could do by writing there, skep does not do.
void open_to_write(TrapFrame* f, const char* real, u64 open_flags) {
  u64 st[18] = {};
  const s64 rc = sys(NR_stat, real, st);
  constexpr u64 O_CREAT_ = 0100;
  f->answer(rc == 0 || (open_flags & O_CREAT_) != 0 ? -EACCES_ : rc);
}

void open_path(TrapFrame* f, int i, u64 open_flags) {
  constexpr u64 ACCMODE = 3, O_PATH_ = 010000000;
  char real[4096];
  if (!resolve(f->arg(i), real, true)) return;
  if (on_bpffs(real)) return open_on_bpffs(f, i, open_flags, real);
  if ((open_flags & ACCMODE) != 0 && (open_flags & O_PATH_) == 0 && !is_under(real, "/lib/modules/"))
    return open_to_write(f, real, open_flags);
  f->answer(with_replaced(f, i, real));
}

void make_dir(TrapFrame* f, int i) {
  char real[4096];
  if (!resolve(f->arg(i), real)) return;
  f->answer(on_bpffs(real) && has_dot(real) ? -EPERM_ : with_replaced(f, i, real));
}

void make_node(TrapFrame* f, int i) {
  char real[4096];
  if (resolve(f->arg(i), real)) f->answer(-EPERM_);
}

void replace_two(TrapFrame* f, int i, int j) {
  char a[4096], b[4096];
  const bool first = resolve(f->arg(i), a), second = resolve(f->arg(j), b);
  if (!first && !second) return;
  if (first != second && !relative(f->arg(first ? j : i))) return f->answer(-18 /* EXDEV */);
  TrapFrame g = *f;
  if (first) *g.slot(i) = reinterpret_cast<u64>(a);
  if (second) *g.slot(j) = reinterpret_cast<u64>(b);
  f->answer(call_of(&g));
}

// /proc/self/fd/N, /proc/PID/fd/N, and the same with fdinfo.

/// Splits "/proc/X/DIR/N": X into `who` and N into `number`. DIR is "fd" or "fdinfo".
bool split_proc_fd(const char* path, const char* dir, char (&who)[32], char (&number)[16]) {
  if (!starts_with(path, "/proc/")) return false;
  const char* p = path + 6;
  u64 n = 0;
  while (*p != '/' && *p != '\0' && n + 1 < sizeof who) who[n++] = *p++;
  who[n] = '\0';
  if (n == 0 || *p++ != '/' || !starts_with(p, dir)) return false;
  p += length_of(dir);
  if (*p++ != '/') return false;
  for (n = 0; *p >= '0' && *p <= '9' && n + 1 < sizeof number; ++p) number[n++] = *p;
  number[n] = '\0';
  return n > 0 && *p == '\0';
}

/// The inode behind /proc/WHO/fd/NUMBER when that is a pipe.
bool pipe_inode(const char* who, const char* number, u64* ino) {
  char path[96] = "/proc/";
  append(path, sizeof path, who);
  append(path, sizeof path, "/fd/");
  append(path, sizeof path, number);
  u64 st[18] = {};
  if (sys(NR_stat, path, st) != 0 || (static_cast<u32>(st[3]) & 0170000) != 0010000) return false;
  *ino = st[1];
  return true;
}

s64 ask_text(WireOp op, u64 ino, char* out, u32 cap, u32* mode = nullptr) {
  HostCall c{};
  c.op = op;
  c.a[0] = ino;
  c.payload = out;
  c.payload_cap = cap;
  const s64 rc = host_call(c);
  if (mode != nullptr) *mode = static_cast<u32>(rc);
  return rc < 0 ? rc : static_cast<s64>(c.payload_len);
}

/// In "flags:\t0NNNNNNN" of a pipe's fdinfo: how the object was opened, in place of how the pipe was.
void correct_flags(char* text, u64 n, u32 mode) {
  for (u64 i = 0; i + 15 < n; ++i) {
    if (!starts_with(text + i, "flags:\t0")) continue;
    char* digits = text + i + 8;
    u64 last = 0;
    while (i + 8 + last < n && digits[last] >= '0' && digits[last] <= '7') ++last;
    if (last < 4) return;
    digits[last - 1] = mode == 1 ? '0' : mode == 2 ? '1' : '2';
    digits[last - 4] = static_cast<char>('0' + ((digits[last - 4] - '0') & 3));  // O_NONBLOCK is ours
    return;
  }
}

void readlink_fd(TrapFrame* f, u64 path_user, u64 buf, u64 size) {
  char path[4096], who[32], number[16], text[128];
  u64 ino;
  if (!may_be_virtual(path_user) || copy_path(path, path_user) < 0) return;
  if (!split_proc_fd(path, "fd", who, number) || !pipe_inode(who, number, &ino)) return;
  s64 n = ask_text(WireOp::FdLink, ino, text, sizeof text);
  if (n < 0) return;
  if (static_cast<u64>(n) > size) n = static_cast<s64>(size);
  f->answer(write_user(buf, text, static_cast<u64>(n)) != 0 ? -EFAULT_ : n);
}

/// The kernel's first lines (pos, flags, mnt_id, ino), then what the object says, in a file of its own.
bool open_fdinfo(TrapFrame* f, u64 path_user, u64 open_flags) {
  char path[4096], who[32], number[16], text[2048];
  u64 ino;
  if (copy_path(path, path_user) < 0) return false;
  if (!split_proc_fd(path, "fdinfo", who, number) || !pipe_inode(who, number, &ino)) return false;
  u32 mode = 3;
  const s64 n = ask_text(WireOp::FdInfo, ino, text, sizeof text, &mode);
  if (n < 0) return false;
  const s64 real = sys(NR_openat, AT_FDCWD_, path, 02000000, 0);
  if (real < 0) {
    f->answer(real);
    return true;
  }
  char head[1024];
  const s64 got = sys(NR_read, real, head, sizeof head);
  sys(NR_close, real);
  const s64 fd = sys(319 /* memfd_create */, "fdinfo", (open_flags & 02000000) != 0 ? 1 : 0);
  if (fd >= 0) {
    if (got > 0) {
      correct_flags(head, static_cast<u64>(got), mode);
      sys(NR_write, fd, head, got);
    }
    sys(NR_write, fd, text, n);
    sys(8 /* lseek */, fd, 0, 0);
  }
  f->answer(fd);
  return true;
}

constexpr u64 BPF_FS_MAGIC_ = 0xcafe4a11, TRACEFS_MAGIC_ = 0x74726163;

/// The magic number of the virtual file system that a real path stands for; 0: none.
u64 magic_of(const char* real) {
  if (!starts_with(real, session.virtual_root)) return 0;
  const char* rest = real + length_of(session.virtual_root);
  if (starts_with(rest, "/sys/fs/bpf")) return BPF_FS_MAGIC_;
  if (starts_with(rest, "/sys/kernel/tracing") || starts_with(rest, "/sys/kernel/debug/tracing")) return TRACEFS_MAGIC_;
  return 0;
}

void patch_statfs(u64 buf, u64 magic) {
  if (magic != 0) write_user(buf, &magic, sizeof magic);  // f_type is the first member
}

u64 magic_of_link(const char* link) {
  char real[4096];
  const s64 n = sys(NR_readlink, link, real, sizeof real - 1);
  if (n <= 0) return 0;
  real[n] = '\0';
  return magic_of(real);
}

}  // namespace

static void open_any(TrapFrame* f, int i, u64 flags) {
  const u64 path = f->arg(i);
  if (may_be_virtual(path) && !open_fdinfo(f, path, flags) && !open_mounts(f, path, flags) && !open_maps(f, path, flags))
    open_path(f, i, flags);
}

void on_path0(TrapFrame* f) {
  if (f->nr != NR_open && f->nr != NR_creat) return replace_one(f, 0, f->nr == NR_chdir);
  open_any(f, 0, f->nr == NR_creat ? 01101 : f->si);
}
void on_pathat(TrapFrame* f) {
  if (f->nr != NR_openat) return replace_one(f, 1, f->nr == NR_openat2);
  open_any(f, 1, f->dx);
}
void on_mkdir(TrapFrame* f) { make_dir(f, 0); }
void on_mkdirat(TrapFrame* f) { make_dir(f, 1); }
void on_mknod(TrapFrame* f) { make_node(f, 0); }
void on_mknodat(TrapFrame* f) { make_node(f, 1); }
void on_symlink(TrapFrame* f) { replace_one(f, 1); }
void on_symlinkat(TrapFrame* f) { replace_one(f, 2); }
void on_umount2(TrapFrame* f) {
  char real[4096];
  if (resolve(f->di, real)) f->answer(-16 /* EBUSY */);
}
void on_two_paths(TrapFrame* f) { replace_two(f, 0, 1); }
void on_two_pathsat(TrapFrame* f) { replace_two(f, 1, 3); }

void on_readlink(TrapFrame* f) {
  readlink_fd(f, f->di, f->si, f->dx);
  if (f->action == Action::Pass) replace_one(f, 0);
}
void on_readlinkat(TrapFrame* f) {
  readlink_fd(f, f->si, f->dx, f->r10);
  if (f->action == Action::Pass) replace_one(f, 1);
}

void on_statfs(TrapFrame* f) {
  char real[4096];
  if (resolve(f->di, real)) {
    const s64 rc = with_replaced(f, 0, real);
    if (rc == 0) patch_statfs(f->si, magic_of(real));
    return f->answer(rc);
  }
  char c = '/';
  if (read_user(&c, f->di, 1) != 0 || c == '/') return;
  // A relative path: the working directory tells.
  const u64 magic = magic_of_link("/proc/self/cwd");
  if (magic == 0) return;
  const s64 rc = call_of(f);
  if (rc == 0) patch_statfs(f->si, magic);
  f->answer(rc);
}

void on_fstatfs(TrapFrame* f) {
  char link[64] = "/proc/self/fd/";
  append_number(link, sizeof link, static_cast<s32>(f->di));
  const u64 magic = magic_of_link(link);
  if (magic == 0) return;
  const s64 rc = call_of(f);
  if (rc == 0) patch_statfs(f->si, magic);
  f->answer(rc);
}

/// Mounting a bpffs or a tracefs where the session already has one. Linux: fs/namespace.c: EBUSY for the same thing once more.
void on_mount(TrapFrame* f) {
  char target[4096];
  if (may_be_virtual(f->si) && copy_path(target, f->si) >= 0 && is_virtual(target)) f->answer(-16 /* EBUSY */);
}

}  // namespace skep::agent
