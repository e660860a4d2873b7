// agent: whose fd is it, and waiting on rings.
//
// An object fd is the read end of a pipe; the host makes it readable by a byte. That byte is a hint: the truth is in shared memory. So
// when a wait begins each ring-like fd in it is prepared:
//
//   ready already   -> there has to be a byte: if none is there, the host is asked for one (Kick)
//   not ready       -> stale bytes are read away, the ring is armed (the next producer rings the doorbell), and readiness is looked at
//                      once more: what came between the two looks and found the ring unarmed is kicked
//
// BPF ring buffers are ready while data is there; perf rings once per wake-up, whether or not the data was read (seen = wake_seq).
#include "agent/agent.h"
#include "agent/quiet_fds.h"
#include "base/atomic.h"
#include "base/bytes.h"
#include "buffers/doorbell.h"

namespace skep::agent {
namespace {

constexpr u32 S_IFMT_ = 0170000, S_IFIFO_ = 0010000;
constexpr u32 MAX_OBJECTS = 512, MAX_REGISTRATIONS = 512, MAX_POLL = 256;
constexpr u16 POLLIN_ = 1, POLLHUP_ = 0x10, POLLRDNORM_ = 0x40;

struct Known {
  WireObject object;
  u32 seen;  ///< wake-ups that have been reported
  u32 used;
};
Known known[MAX_OBJECTS];

struct Registration {
  s32 epfd, fd;
  u64 ino, data;
  u32 edge;  ///< EPOLLET
  u32 used;
};
Registration registrations[MAX_REGISTRATIONS];

Known* find_known(u64 ino) {
  const u32 start = static_cast<u32>(ino % MAX_OBJECTS);
  for (u32 i = 0; i < 8; ++i) {
    Known* k = &known[(start + i) % MAX_OBJECTS];
    if (load_acquire(&k->used) == 2 && k->object.ino == ino) return k;
  }
  return nullptr;
}

const RingDesc* ring_of(const WireObject& o) {
  return o.kind == WireObjectKind::RingMap || o.kind == WireObjectKind::PerfRing ? reinterpret_cast<const RingDesc*>(o.ring) : nullptr;
}

bool has_byte(s32 fd) {
  s32 n = 0;
  return sys(NR_ioctl, fd, 0x541B /* FIONREAD */, &n) == 0 && n > 0;
}
void drain(s32 fd) {
  u8 bytes[64];
  struct {
    void* base;
    u64 len;
  } iov{bytes, sizeof bytes};
  while (sys(327 /* preadv2 */, fd, &iov, 1, -1, -1, 8 /* RWF_NOWAIT */) == static_cast<s64>(sizeof bytes)) {
  }
}
void kick(u64 ino) {
  HostCall c{};
  c.op = WireOp::Kick;
  c.a[0] = ino;
  host_call(c);
}

bool ring_ready(const Known& k, const RingDesc& ring) {
  return k.object.kind == WireObjectKind::RingMap ? bpf_ring_readable(ring) : perf_ring_ready(ring, k.seen);
}

bool ring_ready_now(const Known& k) {
  return sync_ring_maps() && ring_ready(k, *ring_of(k.object));
}

/// `edge`: each wake-up has to be an edge of its own, whether or not data was left unread.
void prepare(s32 fd, Known* k, bool edge) {
  const RingDesc* ring = ring_of(k->object);
  if (ring == nullptr) return;
  if (!sync_ring_maps()) return;  // a BPF ring buffer made since stands in the RINGS area
  if (!ring_ready(*k, *ring)) {
    drain(fd);
    ring_arm(*ring);
    if (!ring_ready(*k, *ring)) return;
  } else if (edge) {
    ring_arm(*ring);
  }
  const u32 seq = perf_ring_seq(*ring);
  // A level needs a byte to be there; an edge a new one, and only for a wake-up (or what was there when the fd was added).
  const bool owed = edge && k->object.kind == WireObjectKind::RingMap ? seq != k->seen : !has_byte(fd);
  if (owed) {
    // The doorbell may be on its way for the same wake-up: not to be told twice, it is taken back. Kick wakes every file of the ring.
    fetch_and(&session.window.ram->ring_pending[ring->index / 64 % (MAX_RINGS / 64)], ~(1ULL << (ring->index % 64)));
    kick(k->object.ino);
  }
  if (k->object.kind == WireObjectKind::RingMap) k->seen = seq;
}

/// A perf ring has been reported: nothing more until the next wake-up.
void reported(s32 fd, Known* k) {
  const RingDesc* ring = ring_of(k->object);
  if (ring == nullptr) return;
  k->seen = perf_ring_seq(*ring);
  if (k->object.kind == WireObjectKind::PerfRing) drain(fd);  // the next byte is the next edge
}

Known* ring_behind(s32 fd) {
  WireObject o;
  if (fd < 0 || !identify(fd, &o) || ring_of(o) == nullptr) return nullptr;
  return find_known(o.ino);
}

struct PollFd {
  s32 fd;
  u16 events, revents;
};

bool unmapped_event(const Known& k) {
  const RingDesc* ring = ring_of(k.object);
  return k.object.kind == WireObjectKind::PerfRing && load_acquire(&ring->data_size) == 0;
}

/// A poll set with an event that nobody has mapped never waits. Linux: kernel/events/core.c:perf_poll() without a buffer.
void answer_hung_up(TrapFrame* f, PollFd* fds, u64 n) {
  s64 rc = sys(NR_poll, f->di, n, 0);
  if (rc >= 0 && read_user(fds, f->di, n * sizeof(PollFd)) == 0) {
    for (u64 i = 0; i < n; ++i) {
      Known* k = ring_behind(fds[i].fd);
      if (k == nullptr || !unmapped_event(*k)) continue;
      rc += fds[i].revents == 0 ? 1 : 0;
      fds[i].revents = POLLHUP_;
    }
    if (write_user(f->di, fds, n * sizeof(PollFd)) != 0) rc = -EFAULT_;
  }
  f->answer(rc);
}

template <typename F>
void each_selected(u64 set_addr, u64 nfds, F&& visit) {
  if (set_addr == 0 || nfds > 1024) return;
  u64 words[16] = {};
  if (read_user(words, set_addr, (nfds + 63) / 64 * 8) != 0) return;
  for (u64 fd = 0; fd < nfds; ++fd)
    if ((words[fd / 64] >> (fd % 64) & 1) != 0) visit(static_cast<s32>(fd));
}

}  // namespace

u32 ring_users;

s64 stat_fd(s32 fd, FdStat* out) {
  u64 st[18] = {};  // struct stat: dev, ino, nlink, mode+uid, ...
  const s64 rc = sys(NR_fstat, fd, st);
  if (rc != 0) return rc;
  out->dev = st[0];
  out->ino = st[1];
  out->mode = static_cast<u32>(st[3]);
  return 0;
}

void remember_object(const WireObject& o) {
  const u32 start = static_cast<u32>(o.ino % MAX_OBJECTS);
  Known* k = nullptr;
  for (u32 i = 0; i < 8 && k == nullptr; ++i) {
    Known* at = &known[(start + i) % MAX_OBJECTS];
    u32 free = 0;
    if (compare_exchange(&at->used, free, 1)) k = at;
  }
  if (k == nullptr) {  // the oldest guess goes; its fd is asked for again when it is next seen
    k = &known[start];
    u32 full = 2;
    if (!compare_exchange(&k->used, full, 1)) return;
  }
  k->object = o;
  k->seen = 0;
  store_release(&k->used, 2);
  if (ring_of(o) != nullptr) store_relaxed(&ring_users, 1);
}

bool identify(s32 fd, WireObject* out) {
  FdStat st;
  if (stat_fd(fd, &st) != 0 || (st.mode & S_IFMT_) != S_IFIFO_) return false;
  if (const Known* k = find_known(st.ino)) {
    *out = k->object;
    return true;
  }
  HostCall c{};
  c.op = WireOp::Identify;
  c.a[0] = st.ino;
  c.a[1] = st.dev;
  c.payload = out;
  c.payload_cap = sizeof *out;
  if (host_call(c) < 0 || c.payload_len != sizeof *out) return false;
  remember_object(*out);
  return true;
}

void after_close_of(TrapFrame* f, s64 fd) {
  FdStat st;
  if (load_relaxed(&bpf_client) == 0 || fd < 0 || stat_fd(static_cast<s32>(fd), &st) != 0 || (st.mode & S_IFMT_) != S_IFIFO_) return;
  if (!quiet_fd(st.ino)) sync_closes(f);
}

void sync_closes(TrapFrame* f) {
  if (load_relaxed(&bpf_client) == 0) return;
  if (f->action != Action::Answered) {
    if (f->nr == NR_close_range)
      f->answer(sys(NR_close_range, f->di, f->si, f->dx));
    else
      f->answer(sys6(f->nr, f->di, f->si, f->dx, f->r10, f->r8, f->r9));
  }
  if (f->ax < 0) return;
  HostCall c{};
  c.op = WireOp::Sync;
  host_call(c);
}

void on_poll(TrapFrame* f) {
  if (f->nr == NR_ppoll) widen_mask(f, 3);
  if (load_relaxed(&ring_users) == 0 || f->si == 0 || f->si > MAX_POLL) return;
  PollFd fds[MAX_POLL];
  if (read_user(fds, f->di, f->si * sizeof(PollFd)) != 0) return;
  bool any = false;
  for (u64 i = 0; i < f->si; ++i) {
    Known* k = ring_behind(fds[i].fd);
    if (k == nullptr) continue;
    if (unmapped_event(*k)) return answer_hung_up(f, fds, f->si);
    prepare(fds[i].fd, k, false);
    any = true;
  }
  if (!any) return;
  f->note = 1;
  f->action = Action::Watched;
}

void after_poll(TrapFrame* f) {
  if (f->note == 0 || f->ax <= 0 || f->si > MAX_POLL) return;
  PollFd fds[MAX_POLL];
  if (read_user(fds, f->di, f->si * sizeof(PollFd)) != 0) return;
  for (u64 i = 0; i < f->si; ++i)
    if ((fds[i].revents & (POLLIN_ | POLLRDNORM_)) != 0)
      if (Known* k = ring_behind(fds[i].fd)) reported(fds[i].fd, k);
}

void on_select(TrapFrame* f) {
  // pselect6's mask hides behind a pointer and a size.
  if (f->nr == NR_pselect6 && f->r9 != 0) {
    u64 pair[2];
    if (read_user(pair, f->r9, sizeof pair) == 0 && pair[0] != 0) {
      u64 mask;
      constexpr u64 OUR_BITS = 1ULL << 10 | 1ULL << 6;
      if (read_user(&mask, pair[0], sizeof mask) == 0 && (mask & OUR_BITS) != 0) {
        f->mask = mask & ~OUR_BITS;
        f->pair[0] = reinterpret_cast<u64>(&f->mask);
        f->pair[1] = pair[1];
        f->replace(5, reinterpret_cast<u64>(f->pair));
      }
    }
  }
  if (load_relaxed(&ring_users) == 0) return;
  bool any = false;
  each_selected(f->si, f->di, [&](s32 fd) {
    Known* k = ring_behind(fd);
    if (k == nullptr) return;
    prepare(fd, k, false);
    any = true;
  });
  if (!any) return;
  f->note = 1;
  f->action = Action::Watched;
}

void after_select(TrapFrame* f) {
  if (f->note == 0 || f->ax <= 0) return;
  each_selected(f->si, f->di, [&](s32 fd) {
    if (Known* k = ring_behind(fd)) reported(fd, k);
  });
}

void on_epoll_ctl(TrapFrame* f) {
  constexpr u64 ADD = 1, DEL = 2;
  const s32 epfd = static_cast<s32>(f->di), fd = static_cast<s32>(f->dx);
  u8 event[12];  // packed: events, data
  u64 data = 0;
  u32 events = 0;
  if (f->r10 != 0 && read_user(event, f->r10, sizeof event) == 0) {
    copy_bytes(&events, event, sizeof events);
    copy_bytes(&data, event + 4, sizeof data);
  }
  const u32 edge = events >> 31;
  for (Registration& r : registrations)
    if (load_acquire(&r.used) == 2 && r.epfd == epfd && r.fd == fd) {
      if (f->si == DEL)
        store_release(&r.used, 0);
      else
        r.data = data, r.edge = edge;
      if (f->si != ADD) return;
      store_release(&r.used, 0);
    }
  WireObject o;
  if (f->si != ADD || !identify(fd, &o) || ring_of(o) == nullptr) return;
  for (Registration& r : registrations) {
    u32 free = 0;
    if (!compare_exchange(&r.used, free, 1)) continue;
    r.epfd = epfd;
    r.fd = fd;
    r.ino = o.ino;
    r.data = data;
    r.edge = edge;
    store_release(&r.used, 2);
    if (Known* k = find_known(o.ino); k != nullptr && edge != 0 && ring_ready_now(*k)) kick(o.ino);
    return;
  }
}

void on_epoll_wait(TrapFrame* f) {
  if (f->nr == NR_epoll_pwait || f->nr == NR_epoll_pwait2) widen_mask(f, 4);
  if (load_relaxed(&ring_users) == 0) return;
  for (Registration& r : registrations) {
    if (load_acquire(&r.used) != 2) continue;
    FdStat st;
    if (stat_fd(r.fd, &st) != 0 || st.ino != r.ino) {
      store_release(&r.used, 0);
      continue;
    }
    Known* k = find_known(r.ino);
    if (k == nullptr) continue;
    prepare(r.fd, k, r.edge != 0);
    f->note = 1;
  }
  if (f->note != 0) f->action = Action::Watched;
}

void after_epoll_wait(TrapFrame* f) {
  if (f->note == 0 || f->ax <= 0) return;
  const bool all = static_cast<u64>(f->ax) < f->dx;  // nobody was left out for want of room
  for (Registration& r : registrations) {
    if (load_acquire(&r.used) != 2 || r.epfd != static_cast<s32>(f->di)) continue;
    Known* k = find_known(r.ino);
    if (k == nullptr) continue;
    bool mine = all && has_byte(r.fd);
    for (s64 i = 0; i < f->ax && !mine; ++i) {
      u8 event[12];
      u64 data;
      if (read_user(event, f->si + static_cast<u64>(i) * sizeof event, sizeof event) != 0) break;
      copy_bytes(&data, event + 4, sizeof data);
      mine = data == r.data;
      if (!mine || (event[0] & POLLHUP_) == 0) continue;
      // The host is gone. It is told once; a reader that goes on waiting waits, instead of being told for ever.
      sys(NR_epoll_ctl, r.epfd, 2 /* EPOLL_CTL_DEL */, r.fd, 0);
      store_release(&r.used, 0);
    }
    if (mine) reported(r.fd, k);
  }
}

}  // namespace skep::agent
