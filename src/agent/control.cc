// agent: the control connection. One a process; requests are whole frames and so are replies, see wire/wire.h.
//
// While a request is under way all signals but our two are blocked: nothing can jump out of the middle of a frame.
#include "agent/agent.h"
#include "agent/quiet_fds.h"
#include "base/atomic.h"
#include "base/bytes.h"
#include "uapi/bpf.h"
#include "wire/spin.h"

namespace skep::agent {
namespace {

constexpr u32 MAX_SEGMENTS = 160, MAX_FDS_ASKED = 96;
constexpr u64 CHUNK = 8192;
constexpr u64 ALL_BUT_FAULTS = ~(1ULL << 10 | 1ULL << 6 | 1ULL << 8 | 1ULL << 18);  // SIGSEGV, SIGBUS, SIGKILL, SIGSTOP

struct Iovec {
  void* base;
  u64 len;
};
struct Msghdr {
  void* name;
  u32 namelen, pad0;
  Iovec* iov;
  u64 iovlen;
  void* control;
  u64 controllen;
  s32 flags, pad1;
};
struct CmsgFds {
  u64 len;
  s32 level, type;
  s32 fds[4];
};

struct Segment {
  u64 addr;
  u64 len;
};

/// All that a request names of the caller, growing from one try to the next.
struct Asked {
  Segment memory[MAX_SEGMENTS];
  u32 n_memory;
  s32 fds[MAX_FDS_ASKED];
  u32 n_fds;
};

/// Gathers what is sent, so that a frame that fits goes in one call.
class Sender {
 public:
  Sender(s32 fd, u8* room) noexcept : fd_(fd), room_(room) {}

  bool put(const void* p, u64 n) noexcept {
    if (CHUNK - used_ < n && !flush()) return false;
    copy_bytes(room_ + used_, p, n);
    used_ += n;
    return true;
  }
  /// Memory of the program's. What was unmapped meanwhile by another thread is as good as anything.
  bool put_memory(u64 addr, u64 n) noexcept {
    while (n > 0) {
      if (used_ == CHUNK && !flush()) return false;
      const u64 part = n < CHUNK - used_ ? n : CHUNK - used_;
      if (read_user(room_ + used_, addr, part) != 0) zero_bytes(room_ + used_, part);
      used_ += part;
      addr += part;
      n -= part;
    }
    return true;
  }
  bool flush() noexcept {
    for (u64 at = 0; at < used_;) {
      Iovec iov{room_ + at, used_ - at};
      Msghdr m{};
      m.iov = &iov;
      m.iovlen = 1;
      const s64 rc = sys(NR_sendmsg, fd_, &m, 0x4000 /* MSG_NOSIGNAL */);
      if (rc == -EINTR_) continue;
      if (rc <= 0) return false;
      at += static_cast<u64>(rc);
    }
    used_ = 0;
    return true;
  }

 private:
  s32 fd_;
  u8* room_;
  u64 used_ = 0;
};

SpinGuess spin_guess;  ///< under process->lock

/// Takes a reply apart. As much as is there is read at once: one reply is all that can be under way.
class Receiver {
 public:
  /// `room`: CHUNK bytes. Descriptors that come are added to `c`.
  Receiver(s32 fd, u8* room, HostCall& c) noexcept : fd_(fd), room_(room), c_(c) {}

  /// 1 to `max` bytes that stand there until the next call, *n of them; null: the connection has ended.
  const u8* some(u64 max, u64* n) noexcept {
    if (at_ == end_ && !refill(false)) return nullptr;
    *n = max < end_ - at_ ? max : end_ - at_;
    const u8* p = room_ + at_;
    at_ += *n;
    return p;
  }
  bool take(void* to, u64 n) noexcept {
    for (u64 done = 0; done < n;) {
      u64 part = 0;
      const u8* p = some(n - done, &part);
      if (p == nullptr) return false;
      copy_bytes(static_cast<u8*>(to) + done, p, part);
      done += part;
    }
    return true;
  }
  /// The first part of a reply, for which the host may have to work. `brief`: not for long, as far as the request tells.
  bool first(WireReply* r, bool brief) noexcept { return wait(brief) && take(r, sizeof *r) && r->magic == WIRE_MAGIC; }
  bool empty() const noexcept { return at_ == end_; }

 private:
  bool wait(bool brief) noexcept {
    if (!brief) return refill(false);
    const u64 start = __builtin_ia32_rdtsc();
    const bool spin = spin_guess.worthwhile();
    while (spin && __builtin_ia32_rdtsc() - start < SpinGuess::SPIN) {
      if (!refill(true)) return false;
      if (at_ != end_) break;
      cpu_relax();
    }
    const bool there = at_ != end_ || refill(false);
    spin_guess.waited(spin, __builtin_ia32_rdtsc() - start);
    return there;
  }

  /// `look`: if nothing is there, nothing comes.
  bool refill(bool look) noexcept {
    for (;;) {
      Iovec iov{room_, CHUNK};
      CmsgFds cmsg;
      Msghdr m{};
      m.iov = &iov;
      m.iovlen = 1;
      m.control = &cmsg;
      m.controllen = sizeof cmsg;
      const s64 rc = sys(NR_recvmsg, fd_, &m, 0x40000000 /* MSG_CMSG_CLOEXEC */ | (look ? 0x40 /* MSG_DONTWAIT */ : 0));
      if (rc == -EINTR_) continue;
      if (look && rc == -EAGAIN_) return true;
      if (rc <= 0) return false;
      if (m.controllen >= 16 && cmsg.level == 1 && cmsg.type == 1) keep_fds(cmsg);
      at_ = 0;
      end_ = static_cast<u64>(rc);
      return true;
    }
  }
  void keep_fds(const CmsgFds& cmsg) noexcept {
    const u64 count = (cmsg.len - 16) / 4;
    for (u64 i = 0; i < count && i < 4; ++i) {
      if (c_.n_fds < 4)
        c_.fds[c_.n_fds++] = cmsg.fds[i];
      else
        sys(NR_close, cmsg.fds[i]);
    }
  }

  s32 fd_;
  u8* room_;
  HostCall& c_;
  u64 at_ = 0, end_ = 0;
};

/// How much of the range can be read: all of it, or nothing.
u64 readable_length(const Segment& s) {
  u8 b;
  for (u64 at = 0; at < s.len; at += PAGE_SIZE)
    if (read_user(&b, s.addr + at, 1) != 0) return 0;
  return s.len > 0 && read_user(&b, s.addr + s.len - 1, 1) != 0 ? 0 : s.len;
}

bool send_request(s32 fd, const HostCall& c, const Asked& asked, u8* chunk) {
  Sender out(fd, chunk);
  WireRequest r{};
  r.magic = WIRE_MAGIC;
  r.op = c.op;
  r.n_memory = static_cast<u16>(asked.n_memory);
  r.n_fds = static_cast<u16>(asked.n_fds);
  for (int i = 0; i < 6; ++i) r.a[i] = c.a[i];
  u64 readable[MAX_SEGMENTS];
  u64 length = sizeof r + asked.n_fds * sizeof(WireFd);
  for (u32 i = 0; i < asked.n_memory; ++i) {
    readable[i] = readable_length(asked.memory[i]);
    length += sizeof(WireMemory) + readable[i];
  }
  if (length > WIRE_MAX_FRAME) return false;
  r.length = static_cast<u32>(length);
  if (!out.put(&r, sizeof r)) return false;
  for (u32 i = 0; i < asked.n_memory; ++i) {
    const WireMemory h{asked.memory[i].addr, static_cast<u32>(readable[i]), readable[i] != asked.memory[i].len ? 1u : 0u};
    if (!out.put(&h, sizeof h) || !out.put_memory(h.addr, h.len)) return false;
  }
  for (u32 i = 0; i < asked.n_fds; ++i) {
    WireFd w{};
    FdStat st;
    w.fd = asked.fds[i];
    w.rc = static_cast<s32>(stat_fd(w.fd, &st));
    if (w.rc == 0) {
      w.dev = st.dev;
      w.ino = st.ino;
      w.mode = st.mode;
    }
    if (!out.put(&w, sizeof w)) return false;
  }
  return out.flush();
}

/// Reads the rest of a Return: payload, then what goes into the caller's memory.
bool receive_results(Receiver& in, const WireReply& r, HostCall& c, bool* fault) {
  u64 at = 0, n = 0;
  for (u64 left = r.payload; left > 0; left -= n) {
    const u8* p = in.some(left, &n);
    if (p == nullptr) return false;
    const u64 kept = n < c.payload_cap - at ? n : c.payload_cap - at;
    copy_bytes(static_cast<u8*>(c.payload) + at, p, kept);
    at += kept;
  }
  c.payload_len = static_cast<u32>(at);
  for (u32 i = 0; i < r.n_writes; ++i) {
    WireMemory h;
    if (!in.take(&h, sizeof h)) return false;
    for (u64 done = 0; done < h.len; done += n) {
      const u8* p = in.some(h.len - done, &n);
      if (p == nullptr) return false;
      if (write_user(h.addr + done, p, n) != 0) *fault = true;
    }
  }
  return in.empty();
}

void add_string(Asked& asked, u64 addr, u64 max, u8* chunk) {
  // As long as it is, NUL included, or as far as asked; unreadable: one byte at the place, which then reports the fault.
  u64 n = 0;
  while (n < max) {
    u64 step = PAGE_SIZE - (addr + n) % PAGE_SIZE;
    if (step > 256) step = 256;
    if (step > max - n) step = max - n;
    if (read_user(chunk, addr + n, step) != 0) {
      n += 1;  // the fault is part of the range
      break;
    }
    u64 i = 0;
    while (i < step && chunk[i] != 0) ++i;
    n += i;
    if (i < step) {
      ++n;
      break;
    }
  }
  asked.memory[asked.n_memory++] = Segment{addr, n};
}

void add_fd(Asked& asked, s32 fd) {
  constexpr u32 FORESEEN = 64;
  if (asked.n_fds >= FORESEEN) return;
  for (u32 i = 0; i < asked.n_fds; ++i)
    if (asked.fds[i] == fd) return;
  asked.fds[asked.n_fds++] = fd;
}

/// The descriptors that a program's instructions name.
void add_maps_of(Asked& asked, u64 insns, u64 count) {
  constexpr u64 LOOKED_AT = 1 << 14;
  bpf_insn some[32];
  constexpr u64 AT_ONCE = sizeof some / sizeof some[0];
  for (u64 at = 0; at < count && at < LOOKED_AT; at += AT_ONCE) {
    const u64 n = count - at < AT_ONCE ? count - at : AT_ONCE;
    if (read_user(some, insns + at * sizeof(bpf_insn), n * sizeof(bpf_insn)) != 0) return;
    for (u64 i = 0; i < n; ++i) {
      const bool names_map = some[i].src_reg == BPF_PSEUDO_MAP_FD || some[i].src_reg == BPF_PSEUDO_MAP_VALUE;
      if (some[i].code == (BPF_LD | BPF_IMM | BPF_DW) && names_map) add_fd(asked, some[i].imm);
    }
  }
}

/// What the host is going to ask for, as far as the attributes tell: each thing more saves a round. Only a guess: it may be wrong, and the
/// host asks for what is missing.
void foresee(Asked& asked, const HostCall& c, u8* chunk) {
  if (c.op != WireOp::Bpf || c.a[2] == 0 || c.a[2] > PAGE_SIZE) return;
  asked.memory[asked.n_memory++] = Segment{c.a[1], c.a[2]};
  bpf_attr attr{};
  if (c.a[0] != BPF_PROG_LOAD && c.a[0] != BPF_BTF_LOAD) return;
  if (read_user(&attr, c.a[1], c.a[2] < sizeof attr ? c.a[2] : sizeof attr) != 0) return;
  if (c.a[0] == BPF_BTF_LOAD) {
    constexpr u32 MOST = 16u << 20;
    if (attr.btf_load.btf_size != 0 && attr.btf_load.btf_size <= MOST)
      asked.memory[asked.n_memory++] = Segment{attr.btf_load.btf, attr.btf_load.btf_size};
    return;
  }
  const auto& load = attr.prog_load;
  if (load.insn_cnt == 0 || load.insn_cnt > BPF_COMPLEXITY_LIMIT_INSNS) return;
  asked.memory[asked.n_memory++] = Segment{load.insns, u64{load.insn_cnt} * sizeof(bpf_insn)};
  add_string(asked, load.license, 128, chunk);
  if (load.func_info_cnt != 0 || load.line_info_cnt != 0) add_fd(asked, static_cast<s32>(load.prog_btf_fd));
  add_maps_of(asked, load.insns, load.insn_cnt);
}

/// What the host does for it takes a moment only.
bool is_brief(const Asked& asked) {
  constexpr u64 MUCH = 4096;
  u64 bytes = 0;
  for (u32 i = 0; i < asked.n_memory; ++i) bytes += asked.memory[i].len;
  return bytes < MUCH;
}

s64 exchange_frames(s32 fd, HostCall& c) {
  u8 chunk[CHUNK];
  Asked asked;
  asked.n_memory = asked.n_fds = 0;
  foresee(asked, c, chunk);
  for (u32 tries = 0; tries < MAX_SEGMENTS + MAX_FDS_ASKED; ++tries) {
    if (!send_request(fd, c, asked, chunk)) return -EIO_;
    Receiver in(fd, chunk, c);
    WireReply r;
    if (!in.first(&r, is_brief(asked)) || (r.kind != WireKind::Return && !in.empty())) return -EIO_;
    switch (r.kind) {
      case WireKind::NeedMemory:
        if (asked.n_memory == MAX_SEGMENTS) return -EIO_;
        asked.memory[asked.n_memory++] = Segment{r.addr, r.len};
        break;
      case WireKind::NeedString:
        if (asked.n_memory == MAX_SEGMENTS) return -EIO_;
        add_string(asked, r.addr, r.len, chunk);
        break;
      case WireKind::NeedFd:
        if (asked.n_fds == MAX_FDS_ASKED) return -EIO_;
        asked.fds[asked.n_fds++] = static_cast<s32>(r.rc);
        break;
      case WireKind::Return: {
        bool fault = false;
        if (!receive_results(in, r, c, &fault)) return -EIO_;
        if (r.n_fds != 0 && r.addr != 0) quiet_fd_note(r.addr);
        if (!fault) return r.n_fds > c.n_fds ? -24 /* EMFILE: no room for what was sent */ : r.rc;
        for (u32 i = 0; i < c.n_fds; ++i) sys(NR_close, c.fds[i]);
        c.n_fds = 0;
        return -EFAULT_;
      }
      default:
        return -EIO_;
    }
  }
  return -EIO_;
}

bool lock_control() {
  // As long as a call of another thread may take: a moment by yielding, then 30 s in steps of a millisecond.
  for (u32 i = 0; i < 31000; ++i) {
    u32 expected = 0;
    if (compare_exchange(&process->lock, expected, 1)) return true;
    const s64 step[2] = {0, 1000000};
    if (i < 1000)
      sys(NR_sched_yield);
    else
      sys(35 /* nanosleep */, step, 0);
  }
  return false;  // its holder was killed in a vfork child or is stopped: do without
}

void drop_connection() {
  if (in_vfork_child()) return;  // the parent will see for itself
  if (process->control != 0) sys(NR_close, process->control - 1);
  process->control = 0;
  session.inherited_control = -1;
  process->owner = 0;
  process->dead = 1;
}

s32 open_control() {
  const s64 fd = sys(NR_socket, 1 /* AF_UNIX */, 1 | 02000000 /* STREAM | CLOEXEC */, 0);
  if (fd < 0) return static_cast<s32>(fd);
  struct {
    u16 family;
    char path[108];
  } addr{};
  addr.family = 1;
  append(addr.path, sizeof addr.path, session.dir);
  if (!append(addr.path, sizeof addr.path, "/ctl")) return -1;
  const s64 timeout[2] = {30, 0};
  sys(NR_setsockopt, fd, 1, 20 /* SO_RCVTIMEO */, timeout, sizeof timeout);
  sys(NR_setsockopt, fd, 1, 21 /* SO_SNDTIMEO */, timeout, sizeof timeout);
  if (const s64 rc = sys(NR_connect, fd, &addr, sizeof addr); rc != 0) {
    sys(NR_close, fd);
    return static_cast<s32>(rc);
  }
  return park_fd(static_cast<s32>(fd), true);
}

}  // namespace

s64 connect_host(bool first, HostCall* hello) {
  const s32 fd = open_control();
  if (fd < 0) {
    process->dead = 1;
    return -EIO_;
  }
  process->control = fd + 1;
  session.inherited_control = fd;
  hello->a[3] = first ? 0 : session.last_owner;
  hello->op = WireOp::Hello;
  hello->a[0] = first ? HELLO_EXEC : 0;
  hello->a[1] = session.token[0];
  hello->a[2] = session.token[1];
  const s64 rc = exchange_frames(fd, *hello);
  if (rc < 0) {
    drop_connection();
    return -EIO_;
  }
  process->owner = static_cast<const WireHello*>(hello->payload)->owner;
  session.last_owner = process->owner;
  return 0;
}

s64 host_call(HostCall& c) {
  if (!session.active || load_relaxed(&process->dead) != 0) return -EIO_;
  const u64 block = ALL_BUT_FAULTS;
  u64 old = 0;
  sys(NR_rt_sigprocmask, 0 /* SIG_BLOCK */, &block, &old, 8);
  s64 rc = -EIO_;
  if (lock_control()) {
    if (process->control == 0 && in_vfork_child()) {
      rc = -EIO_;  // its fds are not its parent's: nothing to connect with
    } else if (process->control == 0) {
      WireHello w{};
      HostCall hello{};
      hello.payload = &w;
      hello.payload_cap = sizeof w;
      rc = connect_host(false, &hello);
      for (u32 i = 0; i < hello.n_fds; ++i) sys(NR_close, hello.fds[i]);
    } else {
      rc = 0;
    }
    if (rc == 0 && c.op != WireOp::Hello) {
      rc = exchange_frames(process->control - 1, c);
      if (rc == -EIO_) drop_connection();
    }
    store_release(&process->lock, 0);
  }
  sys(NR_rt_sigprocmask, 2 /* SIG_SETMASK */, &old, 0, 8);
  return rc;
}

bool registered() {
  if (load_relaxed(&process->owner) != 0) return true;
  HostCall c{};
  c.op = WireOp::Hello;
  return host_call(c) == 0 && process->owner != 0;
}

void note(const char* text) {
  HostCall c{};
  c.op = WireOp::Note;
  c.a[0] = reinterpret_cast<u64>(text);
  host_call(c);
}

}  // namespace skep::agent
