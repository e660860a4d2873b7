// agent: the calls that the host answers: bpf(2), perf_event_open(2), ioctl and mmap on our fds. Never the machine's own.
#include "agent/agent.h"
#include "agent/fd_table.h"
#include "agent/map_calls.h"
#include "base/atomic.h"
#include "jit/run.h"

namespace skep::agent {
namespace {

constexpr u64 PERF_FLAG_FD_CLOEXEC_ = 8;
constexpr u64 MAP_FIXED_ = 0x10, MAP_ANONYMOUS_ = 0x20, MAP_SHARED_ = 1, MAP_TYPE_ = 0xf, MAP_FIXED_NOREPLACE_ = 0x100000;

/// The result of a call that may come with a new fd.
s64 take_fd(HostCall& c, s64 rc) {
  if (rc < 0 || c.n_fds == 0) return rc;
  if (load_relaxed(&bpf_client) == 0) store_relaxed(&bpf_client, 1);
  fd_table_forget(c.fds[0]);  // the number's last file was closed where nobody saw it
  return c.fds[0];
}

HostCall call_with(TrapFrame* f, WireOp op) {
  HostCall c{};
  c.op = op;
  for (int i = 0; i < 6; ++i) c.a[i] = f->arg(i);
  return c;
}

/// Maps the parts of a plan one behind the other. The whole range is reserved first, so that nothing else of the RAM file shows, and
/// nothing of the program's is unmapped before the plan is known to hold (the caller has asked the host already).
s64 map_parts(u64 addr, u64 len, u64 prot, u64 flags, const WireMmap& plan, s32 ram_fd) {
  const u64 place = flags & (MAP_FIXED_ | MAP_FIXED_NOREPLACE_);
  const s64 at = sys(NR_mmap, addr, len, 0, 0x4022 | place, -1, 0);
  if (at < 0 && at > -4096) return at;
  u64 to = static_cast<u64>(at);
  for (u32 i = 0; i < plan.n_parts; ++i) {
    const s64 rc = sys(NR_mmap, to, plan.parts[i].len, prot, 0x4000 | MAP_SHARED_ | MAP_FIXED_ | (flags & 0x8000 /* POPULATE */), ram_fd,
                       plan.parts[i].ram_offset);
    if (rc < 0 && rc > -4096) {
      sys(NR_munmap, at, len);
      return rc;
    }
    to += plan.parts[i].len;
  }
  return at;
}

void tell_unmapped(u64 addr, u64 len) {
  HostCall c{};
  c.op = WireOp::Unmapped;
  c.a[0] = addr;
  c.a[1] = len;
  host_call(c);
}

/// Something else, at an address of its choice: it may take the place of a mapping of ours.
void map_over(TrapFrame* f) {
  if ((f->r10 & MAP_FIXED_) == 0 || load_relaxed(&has_mappings) == 0) return;
  const s64 rc = sys6(NR_mmap, f->di, f->si, f->dx, f->r10, f->r8, f->r9);
  if (rc >= 0 || rc < -4095) tell_unmapped(f->di, f->si);
  f->answer(rc);
}

}  // namespace

u32 bpf_client;

void on_bpf(TrapFrame* f) {
  if (static_cast<u32>(f->di) == BPF_PROG_TEST_RUN) return on_test_run(f);
  store_relaxed(&bpf_client, 1);
  if (map_call(f)) return;
  HostCall c = call_with(f, WireOp::Bpf);
  c.a[0] = static_cast<u32>(f->di);
  c.a[2] = static_cast<u32>(f->dx);
  f->answer(take_fd(c, host_call(c)));
}

void on_perf_event_open(TrapFrame* f) {
  HostCall c = call_with(f, WireOp::PerfEventOpen);
  const s64 fd = take_fd(c, host_call(c));
  if (fd >= 0 && (f->r8 & PERF_FLAG_FD_CLOEXEC_) == 0) sys(NR_fcntl, fd, 2 /* F_SETFD */, 0);
  f->answer(fd);
}

void on_ioctl(TrapFrame* f) {
  // Perf's requests are of type '$'; a terminal's or a socket's are not worth a look.
  if ((f->si >> 8 & 0xff) != '$') return;
  WireObject o;
  if (!identify(static_cast<s32>(f->di), &o)) return;
  HostCall c = call_with(f, WireOp::Ioctl);
  f->answer(host_call(c));
}

void on_mmap(TrapFrame* f) {
  if ((f->r10 & (MAP_ANONYMOUS_ | MAP_TYPE_)) != MAP_SHARED_ && load_relaxed(&bpf_client) == 0) return;
  WireObject o;
  if ((f->r10 & MAP_ANONYMOUS_) != 0 || !identify(static_cast<s32>(f->r8), &o)) return map_over(f);
  WireMmap plan{};
  HostCall c{};
  c.op = WireOp::Mmap;
  c.a[0] = f->si;
  c.a[1] = f->dx;
  c.a[2] = f->r10;
  c.a[3] = f->r8;
  c.a[4] = f->r9;
  c.payload = &plan;
  c.payload_cap = sizeof plan;
  s64 rc = host_call(c);
  const u64 len = round_up(f->si, PAGE_SIZE);
  if (rc < 0) {
    // Linux looks at file and rights first, then makes room, then asks the file's own mmap: a refusal of that leaves the hole.
    if ((f->r10 & MAP_FIXED_) != 0 && (f->r10 & MAP_FIXED_NOREPLACE_) == 0 && rc != -19 /* ENODEV */ && rc != -EACCES_ && rc != -EBADF_ && rc != -EIO_)
      sys(NR_munmap, f->di, len);
    return f->answer(rc);
  }
  rc = c.n_fds == 1 ? map_parts(f->di, len, f->dx, f->r10, plan, c.fds[0]) : -EIO_;
  for (u32 i = 0; i < c.n_fds; ++i) sys(NR_close, c.fds[i]);
  HostCall m{};
  m.op = WireOp::Mapped;
  m.a[0] = rc < 0 ? 0 : static_cast<u64>(rc);
  m.a[1] = rc < 0 ? 0 : len;  // 0: it came to nothing
  m.a[2] = plan.token;
  host_call(m);
  if (rc >= 0) store_relaxed(&has_mappings, 1);
  f->answer(rc);
}

void on_munmap(TrapFrame* f) {
  if (load_relaxed(&has_mappings) == 0) return;
  const s64 rc = sys(NR_munmap, f->di, f->si);
  if (rc == 0) tell_unmapped(f->di, f->si);
  f->answer(rc);
}

/// F_GETFL: an object's fd reads as it was opened, not as the pipe it is. Linux: syscall.c:bpf_map_new_fd() and its like
void on_fcntl(TrapFrame* f) {
  WireObject o;
  if (f->si != 3 /* F_GETFL */ || !identify(static_cast<s32>(f->di), &o)) return;
  f->answer(o.mode == 1 ? 0 : o.mode == 2 ? 1 : 2);
}

u32 has_mappings;

/// The window is no address space of the program's: limits on it are set and read without it.
static void limit_address_space(TrapFrame* f) {
  constexpr u64 WINDOW = ROM_SIZE + CODE_SIZE + RAM_SIZE + RINGS_SIZE, INFINITE = ~0ULL;
  u64 next[2], old[2];
  if (f->dx != 0 && read_user(next, f->dx, sizeof next) != 0) return f->answer(-EFAULT_);
  for (u64& v : next)
    if (v < INFINITE - WINDOW) v += WINDOW;
  const s64 rc = sys(NR_prlimit64, 0, 9, f->dx != 0 ? next : nullptr, old);
  if (rc != 0) return f->answer(rc);
  for (u64& v : old)
    if (v != INFINITE && v >= WINDOW) v -= WINDOW;
  f->answer(f->r10 != 0 && write_user(f->r10, old, sizeof old) != 0 ? -EFAULT_ : 0);
}

/// The window is not to be filled with pages: those that are touched are locked, and it is let go again.
void on_mlockall(TrapFrame* f) {
  if (!session.window) return;
  const RomHeader* rom = session.window.rom;
  const s64 rc = sys(151 /* mlockall */, f->di | 4 /* MCL_ONFAULT */);
  if (rc == 0) {
    sys(150 /* munlock */, rom->rom_base, rom->rom_size);
    if (code_is_mapped) sys(150, rom->code_base, rom->code_size);
    sys(150, rom->ram_base, rom->ram_size);
    sys(150, rom->ring_base, rom->ring_size);
  }
  f->answer(rc);
}

/// Raising RLIMIT_MEMLOCK must not fail: BPF programs do it before anything else, and nothing of ours is locked memory.
/// Linux up to 5.10 charged maps to it; clients still ask.
void on_prlimit64(TrapFrame* f) {
  constexpr u64 RLIMIT_MEMLOCK_ = 8, RLIMIT_AS_ = 9;
  if (f->si == RLIMIT_AS_ && (f->di == 0 || static_cast<s64>(f->di) == sys(NR_getpid))) return limit_address_space(f);
  if (f->si != RLIMIT_MEMLOCK_ || f->dx == 0) return;
  const s64 rc = sys(NR_prlimit64, f->di, f->si, f->dx, f->r10);
  f->answer(rc == -EPERM_ ? 0 : rc);
}
void on_setrlimit(TrapFrame* f) {
  if (f->di != 8) return;
  const s64 rc = sys(NR_setrlimit, f->di, f->si);
  f->answer(rc == -EPERM_ ? 0 : rc);
}

}  // namespace skep::agent
