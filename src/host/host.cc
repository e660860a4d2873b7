#include "host/host.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/futex.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <thread>

#include "buffers/doorbell.h"
#include "buffers/perf_ring.h"
#include "buffers/ringbuf.h"
#include "helpers/trace_record.h"
#include "host/kernel_headers.h"
#include "maps/map_ops.h"
#include "objects/describe.h"
#include "probes/syscalls.h"

namespace skep {
namespace {

constexpr u32 TRACE_RING_SIZE = 1u << 20;
constexpr std::size_t TRACE_BACKLOG = 4u << 20;
constexpr int RECLAIM_EVERY_MS = 5;
constexpr std::chrono::milliseconds ORPHANS_EVERY{500}, ORPHAN_PATIENCE{3000};
constexpr int STARTUP_ROUNDS = 50;  ///< of 200 ms
constexpr std::size_t SPARE_PIPES = 2;

template <typename T>
void put_payload(Reply& r, const T& v) {
  const auto* p = reinterpret_cast<const u8*>(&v);
  r.payload.assign(p, p + sizeof v);
}
void put_text(Reply& r, const std::string& text) { r.payload.assign(text.begin(), text.end()); }
Reply failed(int error) {
  Reply r;
  r.rc = -error;
  return r;
}
/// Linux: kernel/bpf/btf.c:bpf_find_btf_id(), kernel/kallsyms.c:kallsyms_lookup_name()
Reply find_symbol(const Kernel& kernel, const std::string& name, u32 kind) {
  Reply reply;
  u64 address = 0;
  if (kind == 0) {
    const SyscallInfo* s = syscall_by_function(name);
    if (s == nullptr) return failed(ENOENT);
    address = syscall_symbol_addr(*s);
  } else {
    if (kernel.vmlinux == nullptr) return failed(EINVAL);
    const Result<u32> id = kernel.vmlinux->find_by_name_kind(name, kind);
    if (!id.ok()) return failed(id.error().value());
    reply.rc = *id;
  }
  put_payload(reply, address);
  return reply;
}
bool has_one_cpu() {
  cpu_set_t set;
  return sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) == 1;
}
UniqueFd dup_of(int fd) { return UniqueFd(fcntl(fd, F_DUPFD_CLOEXEC, 3)); }

/// The ring that a file's fd is readable for; null for objects that are none.
const RingDesc* ring_of(const File& file) {
  if (const auto map = object_as<Map>(file.object)) return map->desc->ring;
  const auto event = object_as<PerfEvent>(file.object);
  return event != nullptr ? event->ring : nullptr;
}

/// Where runs and clients find that the map lives; ~0: nowhere.
u32 listed_at(const RomHeader& rom, const MapDesc* desc) {
  for (u32 i = 0; i < rom.nr_maps; ++i)
    if (rom.maps[i] == desc) return i;
  return ~0u;
}

/// Set for the length of slot recovery: which window's maps are alive.
thread_local WindowHost* recovering = nullptr;
MapDesc* find_live_map(const Window&, u64 addr) noexcept {
  return recovering != nullptr && recovering->is_live_map(addr) ? reinterpret_cast<MapDesc*>(addr) : nullptr;
}
void recover_intent(const Window& w, RunSlot* slot) noexcept { recover_map_intent(w, slot, find_live_map); }

}  // namespace

/// Sleeps on the window's futex and turns each ring of the doorbell into an event of the main loop.
struct Host::DoorbellThread {
  DoorbellThread(const Window& w, int event) : window(w), event_fd(event), thread([this] { loop(); }) {}
  ~DoorbellThread() {
    stop.store(true);
    fetch_add(&window.ram->doorbell, 1);
    syscall(SYS_futex, &window.ram->doorbell, FUTEX_WAKE, 1, nullptr, nullptr, 0);
    thread.join();
  }
  void loop() {
    while (!stop.load()) {
      const u32 seen = doorbell_prepare_wait(window);
      bool pending = false;
      for (u32 i = 0; i < PENDING_WORDS; ++i) pending = pending || load_relaxed(&window.ram->ring_pending[i]) != 0;
      if (!pending) {
        // A scribbled word makes this return early or sleep on; the timeout bounds both.
        const timespec wait{1, 0};
        syscall(SYS_futex, &window.ram->doorbell, FUTEX_WAIT, seen, &wait, nullptr, 0);
      }
      doorbell_awake(window);
      const u64 one = 1;
      if (write(event_fd, &one, sizeof one) < 0) return;
      if (pending) std::this_thread::yield();
    }
  }
  Window window;
  int event_fd;
  std::atomic<bool> stop{false};
  std::thread thread;
};

Host::Host(std::unique_ptr<WindowHost> window, const HostOptions& options)
    : token_{options.token[0], options.token[1]},
      kernel_(std::move(window)),
      files_(options.session_dir + "/root", {running_release(), options.kernel_headers, options.jit}),
      pins_(options.session_dir + "/root/sys/fs/bpf") {}

bool Host::may_ask(const Client& client, const WireRequest& r) const {
  if (client.trusted || client.who.uid == geteuid() || client.who.uid == 0) return true;
  return r.op == WireOp::Hello && r.a[1] == token_[0] && r.a[2] == token_[1];
}

Host::~Host() {
  doorbell_.reset();
  clients_.clear();
}

Result<std::unique_ptr<Host>> Host::create(const HostOptions& options) {
  rlimit nofile{};
  getrlimit(RLIMIT_NOFILE, &nofile);
  nofile.rlim_cur = nofile.rlim_max;
  setrlimit(RLIMIT_NOFILE, &nofile);
  signal(SIGPIPE, SIG_IGN);
  std::unique_ptr<Host> host(new Host(TRY(WindowHost::create(options.nr_cpus)), options));
  host->kernel_.jit = options.jit;
  host->kernel_.clock_attached = [h = host.get(), options] {
    if (const Status s = h->worker_.start(options.worker, options.session_dir, options.token); !s.ok())
      h->kernel_.doctor.note(fmt::format("software clocks do not go off: the session's worker cannot start: {}", std::strerror(s.error().value())));
  };
  if (options.perf_map) host->perf_maps_ = PerfMaps("/tmp");
  if (options.gdb_jit) TRY(host->gdb_jit_.open(host->kernel_));
  if (!host->files_.create()) return Errno(errno);
  host->patched_ = TRY(PatchedObjects::build());
  if (host->patched_.loader.text_size == 0)
    host->kernel_.doctor.note("dlopen's system calls are not seen: this machine's ld.so cannot be patched");
  int pipe_fds[2];
  if (pipe2(pipe_fds, O_CLOEXEC | O_NONBLOCK) != 0) return Errno(errno);
  host->liveness_ = UniqueFd(pipe_fds[0]);
  const UniqueFd first(pipe_fds[1]);
  host->epoll_ = UniqueFd(epoll_create1(EPOLL_CLOEXEC));
  host->deaths_ = UniqueFd(epoll_create1(EPOLL_CLOEXEC));
  host->doorbell_event_ = UniqueFd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!host->epoll_ || !host->deaths_ || !host->doorbell_event_) return Errno(errno);
  TRY(host->start_listening(options.session_dir));
  TRY(host->start_trace());
  host->watch(host->doorbell_event_.get(), EPOLLIN);
  host->watch(host->deaths_.get(), EPOLLIN);
  if (host->pins_.event_fd() >= 0 && !host->watch_death(host->pins_.event_fd(), EPOLLIN)) return Errno(errno);
  host->alone_ = has_one_cpu();
  host->lay_in_pipes();
  host->doorbell_ = std::make_unique<DoorbellThread>(host->kernel_.window().view(), host->doorbell_event_.get());
  return host;
}

void Host::watch(int fd, u32 events) {
  epoll_event e{};
  e.events = events;
  e.data.fd = fd;
  epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &e);
}

bool Host::watch_death(int fd, u32 events) {
  epoll_event e{};
  e.events = events;
  e.data.fd = fd;
  return epoll_ctl(deaths_.get(), EPOLL_CTL_ADD, fd, &e) == 0;
}

Status Host::start_listening(const std::string& dir) {
  listener_ = UniqueFd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_un addr{};
  addr.sun_family = AF_UNIX;
  const std::string path = dir + "/ctl", temp = path + ".new";
  if (!listener_ || path.size() >= sizeof addr.sun_path) return Errno(ENAMETOOLONG);
  if (temp.size() >= sizeof addr.sun_path) return Errno(ENAMETOOLONG);
  std::memcpy(addr.sun_path, temp.c_str(), temp.size() + 1);
  if (bind(listener_.get(), reinterpret_cast<const sockaddr*>(&addr), sizeof addr) != 0) return Errno(errno);
  chmod(temp.c_str(), 0666);
  // Under its name only once it answers: whoever sweeps up after dead hosts looks for sockets that do not.
  if (listen(listener_.get(), 4096) != 0 || rename(temp.c_str(), path.c_str()) != 0) return Errno(errno);
  watch(listener_.get(), EPOLLIN);
  return ok_status();
}

Status Host::start_trace() {
  WindowHost& w = kernel_.window();
  trace_ring_ = TRY(w.ring_register(RingKind::Bpf));  // the first: RomHeader::rings[0]
  u8* pages = TRY(w.ram_alloc(2 * PAGE_SIZE + TRACE_RING_SIZE));
  TRY(w.ring_map_doubled(trace_ring_, pages, TRACE_RING_SIZE));
  ring_arm(*trace_ring_);
  trace_fifo_ = UniqueFd(open(files_.trace_pipe().c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC));
  if (trace_fifo_) fcntl(trace_fifo_.get(), F_SETPIPE_SZ, 1 << 20);
  return ok_status();
}

UniqueFd Host::liveness_end() {
  return UniqueFd(open(("/proc/self/fd/" + std::to_string(liveness_.get())).c_str(), O_WRONLY | O_CLOEXEC));
}

void Host::accept_all() {
  for (;;) {
    UniqueFd fd(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!fd) return;
    ucred cred{};
    socklen_t len = sizeof cred;
    if (getsockopt(fd.get(), SOL_SOCKET, SO_PEERCRED, &cred, &len) != 0) continue;
    // A session is its user's. One that root started is open to all who were told its token.
    if (geteuid() != 0 && cred.uid != geteuid() && cred.uid != 0) continue;
    const int n = fd.get();
    Client c;
    c.conn = std::make_unique<Connection>(std::move(fd));
    c.who = Credentials{cred.pid, cred.uid, cred.gid};
    clients_.emplace(n, std::move(c));
    started_ = true;
    watch(n, EPOLLIN | EPOLLRDHUP);
  }
}

int Host::wait(epoll_event* events, int most, int timeout_ms) {
  if (!talking_ || alone_) return epoll_wait(epoll_.get(), events, most, timeout_ms);
  const u64 start = __builtin_ia32_rdtsc();
  const bool spin = spin_guess_.worthwhile();
  int n = 0;
  while (spin && n == 0 && __builtin_ia32_rdtsc() - start < SpinGuess::SPIN) n = epoll_wait(epoll_.get(), events, most, 0);
  if (n == 0) n = epoll_wait(epoll_.get(), events, most, timeout_ms);
  spin_guess_.waited(spin, __builtin_ia32_rdtsc() - start);
  return n;
}

void Host::run() {
  for (int idle = 0;;) {
    kernel_.window().reclaim();
    lay_in_pipes();
    epoll_event events[64];
    const bool deferred = kernel_.window().has_deferred();
    const int n = wait(events, 64, deferred ? RECLAIM_EVERY_MS : clients_.empty() ? 200 : 2000);
    const bool died = std::any_of(events, events + std::max(n, 0), [&](const epoll_event& e) { return e.data.fd == deaths_.get(); });
    if (died || deferred) drain();
    if (deferred) recover_orphans();
    talking_ = talking_ && died;
    for (int i = 0; i < n; ++i) {
      const int fd = events[i].data.fd;
      if (fd == listener_.get()) {
        accept_all();
      } else if (fd == doorbell_event_.get()) {
        u64 count;
        if (read(fd, &count, sizeof count) > 0) serve_doorbell();
      } else if (const auto it = clients_.find(fd); it != clients_.end()) {
        Client& c = it->second;
        if ((events[i].events & EPOLLOUT) != 0) c.conn->flush();
        talking_ = true;
        const bool open = c.conn->fill();
        if (!serve(c) || !open) drop_client(fd);
      }
    }
    if (!trace_backlog_.empty()) pump_trace();
    // The session is over when nobody holds a write end of the liveness pipe and nobody is connected.
    pollfd live{liveness_.get(), 0, 0};
    const bool connected = somebody_is_connected();
    if (!connected) poll(&live, 1, 0);
    const bool held = (live.revents & POLLHUP) == 0;
    if (held || connected) {
      idle = 0;
      continue;
    }
    // Nobody yet: whoever started us may still be on the way. Nobody any more: once more round, for a process between two images.
    if (++idle > (started_ ? 1 : STARTUP_ROUNDS)) break;
  }
}

bool Host::somebody_is_connected() const {
  return std::any_of(clients_.begin(), clients_.end(), [&](const auto& c) { return c.second.who.pid != worker_.pid(); });
}

bool Host::serve(Client& client) {
  while (!client.conn->broken()) {
    const auto frame = client.conn->next_frame();
    if (!frame) break;
    const std::optional<Request> request = parse_request(*frame);
    if (!request) return false;
    if (!may_ask(client, request->head)) return false;
    client.trusted = true;
    drain();
    handle(client, *request);
  }
  if (const bool waits = client.conn->wants_write(); waits != client.waits_to_write) {
    epoll_event e{};
    e.events = EPOLLIN | EPOLLRDHUP | (waits ? u32{EPOLLOUT} : 0u);
    e.data.fd = client.conn->fd();
    epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, client.conn->fd(), &e);
    client.waits_to_write = waits;
  }
  return !client.conn->broken();
}

void Host::handle(Client& client, const Request& request) {
  RemoteCaller caller(request);
  Reply reply = dispatch(client, request, caller);
  if (reply.rc == -ERESTART_CALL) {
    client.conn->send_need(caller.need());
    return;
  }
  client.conn->send_reply(std::move(reply), caller.writes());
}

Reply Host::dispatch(Client& client, const Request& request, RemoteCaller& caller) {
  const WireRequest& r = request.head;
  Reply reply;
  switch (r.op) {
    case WireOp::Hello:
      return hello(client, request);
    case WireOp::Bpf:
    case WireOp::PerfEventOpen:
    case WireOp::Ioctl:
      return call_bpf(client, request, caller);
    case WireOp::Mmap:
      return plan_mmap(client, request, caller);
    case WireOp::Mapped:
      mapped(client, r);
      return reply;
    case WireOp::Unmapped:
      unmapped(client, r.a[0], r.a[1]);
      return reply;
    case WireOp::Identify:
      return identify(request, caller);
    case WireOp::Kick:
      if (const auto it = kernel_.files.find(r.a[0]); it != kernel_.files.end()) kick(*it->second);
      return reply;
    case WireOp::Sync:
      return reply;
    case WireOp::RamFile:
      reply.fds.push_back(dup_of(kernel_.window().ram_fd()));
      return reply;
    case WireOp::Liveness:
      reply.fds.push_back(liveness_end());
      return reply;
    case WireOp::Doctor:
      put_text(reply, doctor_text());
      return reply;
    case WireOp::Explain:
      put_text(reply, explain_text(r.a[0], r.a[1] != 0));
      reply.rc = static_cast<s64>(kernel_.refusals.count());
      return reply;
    case WireOp::Counts:
      put_payload(reply, counts());
      return reply;
    case WireOp::FdInfo:
    case WireOp::FdLink: {
      const auto it = kernel_.files.find(r.a[0]);
      if (it == kernel_.files.end()) return failed(ENOENT);
      put_text(reply, r.op == WireOp::FdInfo ? fdinfo_text(*it->second) : fd_link_text(*it->second));
      reply.rc = it->second->mode;
      return reply;
    }
    case WireOp::FindSymbol: {
      constexpr u64 KSYM_NAME_LEN = 512;
      const Result<std::string> name = caller.read_string(r.a[0], KSYM_NAME_LEN);
      return name.ok() ? find_symbol(kernel_, *name, static_cast<u32>(r.a[1])) : failed(name.error().value() == ERESTART_CALL ? ERESTART_CALL : ENOENT);
    }
    case WireOp::Path:
    case WireOp::Note: {
      const Result<std::string> text = caller.read_string(r.a[0], 4096);
      if (!text.ok()) return failed(text.error().value());
      if (r.op == WireOp::Note) {
        kernel_.doctor.note(*text);
        return reply;
      }
      const std::string real = files_.resolve(*text, r.a[1] != 0 ? PathUse::Enter : PathUse::Look);
      if (const std::string line = files_.take_note(); !line.empty()) kernel_.doctor.note(line);
      reply.rc = real.empty() ? 0 : 1;
      put_text(reply, real);
      return reply;
    }
  }
  return failed(EINVAL);
}

Reply Host::hello(Client& client, const Request& request) {
  Reply reply;
  WindowHost& w = kernel_.window();
  // The same process again: an exec, or a connection made anew. What an old image held is void.
  if ((request.head.a[0] & HELLO_EXEC) != 0 && client.who.pid != 0)
    for (u32 i = 1; i < owners_.size(); ++i)
      if (owners_[i].id != 0 && owners_[i].pid == client.who.pid) owner_gone(i);
  if (client.owner == 0) {
    u32 index;
    if (!free_owners_.empty()) {
      index = free_owners_.back();
      free_owners_.pop_back();
    } else {
      index = static_cast<u32>(owners_.size());
      if (index >= MAX_PROC_SLOTS) return failed(EAGAIN);
      owners_.emplace_back();
    }
    Owner& o = owners_[index];
    o.id = u64{index} | u64{++generation_} << 32;
    o.pid = client.who.pid;
    o.pidfd = UniqueFd(static_cast<int>(syscall(SYS_pidfd_open, client.who.pid, 0)));
    if (o.pidfd) {
      watch_death(o.pidfd.get(), EPOLLIN);
      pidfds_[o.pidfd.get()] = index;
    }
    client.owner = index;
  }
  client.owner_id = owners_[client.owner].id;
  perf_maps_.add_process(client.who.pid);
  // A fork child has its parent's mappings: what they hold, it holds.
  if ((request.head.a[0] & HELLO_EXEC) == 0 && request.head.a[3] != 0)
    for (auto& [fd, parent] : clients_) {
      if (&parent == &client || parent.owner_id != request.head.a[3] || parent.who.uid != client.who.uid) continue;
      for (const Mapping& m : parent.mappings) {
        hold_mapping(m.object, m.writable, +1);
        client.mappings.push_back(m);
      }
    }
  WireHello h{};
  const RomHeader* rom = w.rom();
  h.rom_base = rom->rom_base;
  h.rom_size = rom->rom_size;
  h.ram_base = rom->ram_base;
  h.ram_size = rom->ram_size;
  h.ring_base = rom->ring_base;
  h.ring_size = rom->ring_size;
  h.code_base = rom->code_base;
  h.code_size = rom->code_size;
  h.owner = owners_[client.owner].id;
  h.libc = patched_.libc.wire();
  h.loader = patched_.loader.wire();
  std::snprintf(h.virtual_root, sizeof h.virtual_root, "%s", files_.root().c_str());
  put_payload(reply, h);
  if ((request.head.a[0] & HELLO_EXEC) != 0) {
    reply.fds.push_back(dup_of(w.rom_fd()));
    reply.fds.push_back(dup_of(w.ram_fd()));
    reply.fds.push_back(dup_of(patched_.image.get()));
    if (w.has_code()) reply.fds.push_back(dup_of(w.code_fd()));
  }
  return reply;
}

Reply Host::call_bpf(Client& client, const Request& request, RemoteCaller& caller) {
  const WireRequest& r = request.head;
  RunSlot* slot = slot_acquire_client(kernel_.window().view(), kernel_.host_owner(), 0);
  if (slot == nullptr) return failed(EBUSY);
  CallContext ctx{kernel_, client.who, caller, caller, pins_, OpCtx{kernel_.window().view(), slot, 0}, nullptr};
  Reply reply;
  ctx.run_test = [&reply](const TestRunPlan& plan) -> Result<s64> {
    WireTestRun w{reinterpret_cast<u64>(plan.prog), plan.uattr, plan.expected_attach_type, plan.max_ctx_offset, {}};
    static_assert(sizeof w.attr == sizeof plan.attr);
    std::memcpy(w.attr, &plan.attr, sizeof w.attr);
    put_payload(reply, w);
    return s64{0};
  };
  switch (r.op) {
    case WireOp::Bpf:
      reply.rc = skep_bpf(ctx, static_cast<u32>(r.a[0]), r.a[1], static_cast<u32>(r.a[2]));
      break;
    case WireOp::PerfEventOpen:
      reply.rc = skep_perf_event_open(ctx, r.a[0], static_cast<s32>(r.a[1]), static_cast<s32>(r.a[2]), static_cast<s32>(r.a[3]), r.a[4]);
      break;
    default:
      reply.rc = skep_ioctl(ctx, static_cast<s32>(r.a[0]), r.a[1], r.a[2]);
  }
  slot_release(slot);
  if (reply.rc < 0 || ctx.new_file == nullptr) return reply;
  if (const auto prog = object_as<Prog>(ctx.new_file->object); prog != nullptr && r.a[0] == BPF_PROG_LOAD) {
    perf_maps_.add_program(*prog);
    gdb_jit_.add_program(prog);
  }
  Result<UniqueFd> fd = make_fd(ctx.new_file);
  if (!fd.ok()) return failed(fd.error().value());
  reply.fds.push_back(std::move(*fd));
  // What its close ends is seen by those alone who ask us, and we look at all closes before we answer.
  const ObjectRef& object = ctx.new_file->object;
  if (object_as<Prog>(object) != nullptr || object_as<BtfObject>(object) != nullptr) reply.quiet_ino = ctx.new_file->ino;
  return reply;
}

Result<Host::SparePipe> Host::make_pipe() {
  int fds[2];
  if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) != 0) return Errno(errno);
  SparePipe p{UniqueFd(fds[0]), UniqueFd(fds[1]), 0, 0};
  fcntl(fds[1], F_SETPIPE_SZ, 4096);
  struct stat st {};
  if (fstat(fds[0], &st) != 0 || !watch_death(fds[1], EPOLLERR)) return Errno(errno);
  p.dev = st.st_dev;
  p.ino = st.st_ino;
  return p;
}

void Host::lay_in_pipes() {
  while (spare_pipes_.size() < SPARE_PIPES) {
    Result<SparePipe> p = make_pipe();
    if (!p.ok()) return;  // whoever needs one is told
    spare_pipes_.push_back(std::move(*p));
  }
}

/// The read end of a new pipe is the fd; its write end, which we keep, tells of the last close.
Result<UniqueFd> Host::make_fd(const std::shared_ptr<File>& file) {
  if (spare_pipes_.empty()) spare_pipes_.push_back(TRY(make_pipe()));
  SparePipe p = std::move(spare_pipes_.back());
  spare_pipes_.pop_back();
  file->dev = p.dev;
  file->ino = p.ino;
  const int w = p.write_end.get();
  kernel_.files[p.ino] = file;
  pipe_of_[p.ino] = w;
  pipes_.emplace(w, Pipe{std::move(p.write_end), file, p.ino});
  return std::move(p.read_end);
}

void Host::make_readable(u64 ino) {
  const auto it = pipe_of_.find(ino);
  if (it == pipe_of_.end()) return;
  const u8 byte = 1;
  (void)!write(it->second, &byte, 1);  // a full pipe is readable
}

Reply Host::plan_mmap(Client& client, const Request& request, RemoteCaller& caller) {
  const WireRequest& r = request.head;
  CallContext ctx{kernel_, client.who, caller, caller, pins_, OpCtx{}, nullptr};
  const Result<MmapPlan> plan = skep_mmap(ctx, static_cast<s32>(r.a[3]), r.a[0], static_cast<u32>(r.a[1]), static_cast<u32>(r.a[2]), r.a[4]);
  if (!plan.ok()) return failed(plan.error().value());
  WireMmap w{};
  w.token = next_token_++;
  if (plan->parts.size() > std::size(w.parts)) return failed(ENOMEM);
  w.n_parts = static_cast<u32>(plan->parts.size());
  w.prot_max = plan->prot_max;
  for (std::size_t i = 0; i < plan->parts.size(); ++i) w.parts[i] = WireMmapPart{plan->parts[i].ram_offset, plan->parts[i].len};
  const bool writable = (r.a[1] & PROT_WRITE) != 0;
  // Held from now on: the agent says what became of it.
  hold_mapping(plan->object, writable, +1);
  client.planned[w.token] = {plan->object, writable};
  Reply reply;
  put_payload(reply, w);
  // What was not mapped writable cannot be made so by mprotect, as on Linux (VM_MAYWRITE).
  reply.fds.push_back(dup_of((w.prot_max & PROT_WRITE) != 0 ? kernel_.window().ram_fd() : kernel_.window().ram_ro_fd()));
  return reply;
}

void Host::hold_mapping(const ObjectRef& object, bool writable, int change) {
  if (const auto map = object_as<Map>(object)) {
    if (writable) map->writable_mappings += static_cast<u32>(change);
    return;
  }
  const auto event = object_as<PerfEvent>(object);
  if (event == nullptr) return;
  event->mappings += static_cast<u32>(change);
  if (event->mappings != 0 || event->ring == nullptr || event->ring_ram == nullptr) return;
  // The last mapping of a perf ring is gone, and the ring with it. Linux: kernel/events/core.c:perf_mmap_close()
  store_release(&event->ring->data_size, 0);
  WindowHost& w = kernel_.window();
  w.defer([&w, ram = event->ring_ram, bytes = (1 + u64{event->ring_pages}) * PAGE_SIZE] { w.ram_free(ram, bytes); });
  event->ring_ram = nullptr;
  event->ring_pages = 0;
}

void Host::mapped(Client& client, const WireRequest& r) {
  const auto it = client.planned.find(r.a[2]);
  if (it == client.planned.end()) return;
  auto [object, writable] = std::move(it->second);
  client.planned.erase(it);
  if (r.a[1] == 0) return hold_mapping(object, writable, -1);
  unmapped(client, r.a[0], r.a[1]);  // MAP_FIXED over something of ours
  client.mappings.push_back(Mapping{r.a[0], r.a[1], std::move(object), writable});
}

void Host::unmapped(Client& client, u64 addr, u64 len) {
  const u64 end = addr + round_up(len, PAGE_SIZE);
  std::vector<Mapping> kept;
  for (Mapping& m : client.mappings) {
    const u64 m_end = m.addr + m.len;
    if (m_end <= addr || m.addr >= end) {
      kept.push_back(std::move(m));
      continue;
    }
    int pieces = 0;
    if (m.addr < addr) {
      kept.push_back(Mapping{m.addr, addr - m.addr, m.object, m.writable});
      ++pieces;
    }
    if (m_end > end) {
      kept.push_back(Mapping{end, m_end - end, m.object, m.writable});
      ++pieces;
    }
    if (pieces != 1) hold_mapping(m.object, m.writable, pieces - 1);
  }
  client.mappings = std::move(kept);
}

Reply Host::identify(const Request& request, RemoteCaller&) {
  const auto it = kernel_.files.find(request.head.a[0]);
  if (it == kernel_.files.end() || it->second->dev != request.head.a[1]) return failed(ENOENT);
  WireObject o{};
  o.ino = request.head.a[0];
  o.mode = it->second->mode;
  const ObjectRef& ref = it->second->object;
  if (const auto m = object_as<Map>(ref)) {
    o.kind = m->desc->ring != nullptr ? WireObjectKind::RingMap : WireObjectKind::Map;
    o.id = m->id;
    o.ring = reinterpret_cast<u64>(m->desc->ring);
    o.desc = reinterpret_cast<u64>(m->desc);
    o.listed = listed_at(*kernel_.window().rom(), m->desc);
  } else if (const auto p = object_as<Prog>(ref)) {
    o.kind = WireObjectKind::Prog;
    o.id = p->id;
  } else if (const auto b = object_as<BtfObject>(ref)) {
    o.kind = WireObjectKind::Btf;
    o.id = b->id;
  } else if (const auto l = object_as<Link>(ref)) {
    o.kind = WireObjectKind::Link;
    o.id = l->id;
  } else if (const auto e = object_as<PerfEvent>(ref)) {
    o.kind = e->ring != nullptr ? WireObjectKind::PerfRing : WireObjectKind::Event;
    o.ring = reinterpret_cast<u64>(e->ring);
  }
  Reply reply;
  put_payload(reply, o);
  return reply;
}

void Host::drain() {
  constexpr int MOST = 64;
  epoll_event events[MOST];
  for (int n = MOST; n == MOST;) {
    n = epoll_wait(deaths_.get(), events, MOST, 0);
    for (int i = 0; i < n; ++i) {
      const int fd = events[i].data.fd;
      if (const auto p = pipes_.find(fd); p != pipes_.end()) {
        const u64 ino = p->second.ino;
        const Pipe gone = std::move(p->second);  // nobody else holds its write end: nobody watches it any more
        pipes_.erase(p);
        pipe_of_.erase(ino);
        kernel_.file_released(ino);
      } else if (const auto o = pidfds_.find(fd); o != pidfds_.end()) {
        owner_gone(o->second);
      } else if (fd == pins_.event_fd()) {
        pins_.drain();
      } else {
        epoll_ctl(deaths_.get(), EPOLL_CTL_DEL, fd, nullptr);
      }
    }
  }
}

void Host::owner_gone(u32 index) {
  Owner& o = owners_[index];
  if (o.id == 0) return;
  recover_slots(o.id);
  if (o.pidfd) {
    epoll_ctl(deaths_.get(), EPOLL_CTL_DEL, o.pidfd.get(), nullptr);
    pidfds_.erase(o.pidfd.get());
  }
  const bool was_worker = o.pid == worker_.pid() && o.pid != 0;
  o = Owner{};
  free_owners_.push_back(index);
  if (was_worker && kernel_.window().rom()->events[static_cast<u32>(EventPlace::Clock)] != nullptr) kernel_.clock_attached();
  // Its mappings go with its connection, which a fork child keeps open until it has made them its own.
  for (auto& [fd, c] : clients_) {
    if (c.owner != index) continue;
    c.owner = 0;
    pollfd end{fd, POLLRDHUP, 0};
    if (poll(&end, 1, 0) > 0 && (end.revents & (POLLRDHUP | POLLHUP)) != 0) release_mappings(c);
  }
}

void Host::release_mappings(Client& client) {
  unmapped(client, 0, ~0ULL & ~(PAGE_SIZE - 1));
  for (auto& [token, plan] : client.planned) hold_mapping(plan.first, plan.second, -1);
  client.planned.clear();
}

void Host::recover_slot(u32 index) {
  const Window& w = kernel_.window().view();
  recovering = &kernel_.window();
  // A run that found no free virtual CPU may have written to any CPU's ring.
  for (u32 cpu = 0; cpu < w.rom->nr_cpus; ++cpu)
    if (index == cpu || index >= w.rom->nr_cpus) perf_ring_recover(w, cpu);
  slot_recover(w, &w.ram->slots[index], SlotRecovery{recover_intent, ringbuf_recover_record});
  recovering = nullptr;
}

void Host::recover_slots(OwnerId owner) {
  for (u32 i = 0; i < MAX_RUN_SLOTS; ++i)
    if (process_of(load_acquire(&kernel_.window().ram()->slots[i].owner)) == owner) recover_slot(i);
  tasks_release_all(*kernel_.window().rom()->tasks, owner);
  serve_doorbell();  // a wake-up whose producer died is still owed
}

/// A vfork child runs under its parent's identity. Killed after its parent, it leaves a slot that nobody is seen to leave.
void Host::recover_orphans() {
  const auto now = std::chrono::steady_clock::now();
  if (now - orphans_seen_ < ORPHANS_EVERY) return;
  orphans_seen_ = now;
  for (u32 i = 0; i < MAX_RUN_SLOTS; ++i) {
    const RunSlot& slot = kernel_.window().ram()->slots[i];
    const OwnerId owner = load_acquire(&slot.owner);
    const u32 process = static_cast<u32>(owner) & (MAX_PROC_SLOTS - 1);
    if (owner == 0 || (process < owners_.size() && owners_[process].id == process_of(owner))) {
      orphans_.erase(i);
      continue;
    }
    Orphan& orphan = orphans_.try_emplace(i, Orphan{owner, load_acquire(&slot.seq), now}).first->second;
    if (orphan.owner != owner || orphan.seq != load_acquire(&slot.seq)) orphan = Orphan{owner, load_acquire(&slot.seq), now};
    if (now - orphan.since < ORPHAN_PATIENCE) continue;
    recover_slot(i);
    orphans_.erase(i);
    serve_doorbell();
  }
}

void Host::drop_client(int fd) {
  const auto it = clients_.find(fd);
  if (it == clients_.end()) return;
  epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
  Client gone = std::move(it->second);
  clients_.erase(it);
  release_mappings(gone);
  // Its slots are looked at when the process itself is known to be gone (pidfd) or to have another image (hello).
  if (gone.owner != 0 && !owners_[gone.owner].pidfd) owner_gone(gone.owner);
}

void Host::kick(const File& file) {
  if (const RingDesc* ring = ring_of(file)) wake_ring(ring->index);
}

void Host::wake_ring(u32 index) {
  if (trace_ring_ != nullptr && index == trace_ring_->index) {
    pump_trace();
    return;
  }
  for (const auto& [fd, pipe] : pipes_) {
    const RingDesc* ring = ring_of(*pipe.file);
    if (ring != nullptr && ring->index == index) make_readable(pipe.ino);
  }
}

void Host::serve_doorbell() {
  for (u32 word = 0; word < PENDING_WORDS; ++word) {
    u64 bits = take_pending(kernel_.window().view(), word);
    for (; bits != 0; bits &= bits - 1) wake_ring(word * 64 + static_cast<u32>(__builtin_ctzll(bits)));
  }
}

/// Linux: kernel/trace/trace_output.c:trace_print_context()
static bool append_trace_line(void* arg, const void* data, u32 size) {
  auto* out = static_cast<std::string*>(arg);
  TraceRecord r;
  if (size < sizeof r) return true;
  std::memcpy(&r, data, sizeof r);
  const u64 room = size - sizeof r;
  const char* text = static_cast<const char*>(data) + sizeof r;
  const std::string line(text, std::min<u64>(r.len, room));
  r.comm[sizeof r.comm - 1] = '\0';
  *out += fmt::format("{:>16}-{:<7d} [{:03d}] ....1 {:5d}.{:06d}: bpf_trace_printk: {}", r.comm, r.pid, r.cpu, r.ts_ns / 1000000000,
                      r.ts_ns / 1000 % 1000000, line);
  if (out->back() != '\n') *out += '\n';
  return true;
}

void Host::pump_trace() {
  if (!trace_fifo_) return;
  // Bounded: a record that is never committed, or positions that lie, must not keep us here.
  for (int round = 0; round < 8; ++round) {
    const long taken = ringbuf_consume(trace_ring_, append_trace_line, &trace_backlog_, 100000);
    ring_arm(*trace_ring_);
    if (taken <= 0 || !bpf_ring_readable(*trace_ring_)) break;
  }
  while (!trace_backlog_.empty()) {
    const std::size_t line = trace_backlog_.find('\n') + 1;
    if (write(trace_fifo_.get(), trace_backlog_.data(), line) < 0) break;
    trace_backlog_.erase(0, line);
  }
  if (trace_backlog_.size() <= TRACE_BACKLOG) return;
  // Nobody reads: the oldest go, as in Linux's ring.
  trace_backlog_.erase(0, trace_backlog_.find('\n', trace_backlog_.size() - TRACE_BACKLOG) + 1);
  kernel_.doctor.note("trace_pipe: lines were lost: nobody reads it");
}

std::string Host::doctor_text() const {
  std::string out;
  for (const auto& [line, count] : kernel_.doctor.lines()) out += fmt::format("{}{}\n", line, count > 1 ? fmt::format(" ({} times)", count) : "");
  const RamHeader* ram = const_cast<Kernel&>(kernel_).window().ram();
  if (ram->missed != 0) out += fmt::format("events that found no free virtual CPU: {}\n", u64{ram->missed});
  if (ram->skipped != 0)
    out += fmt::format("events skipped in processes that filter their own system calls, or cloned without their own thread state: {}\n",
                       u64{ram->skipped});
  if (ram->recursion_misses != 0) out += fmt::format("events inside a program's run (recursion): {}\n", u64{ram->recursion_misses});
  return out;
}

std::string Host::explain_text(u64 first, bool json) const {
  std::string out;
  if (!json && kernel_.refusals.forgotten() >= first) out = fmt::format("the newest {} refusals, earlier ones are forgotten:\n", kernel_.refusals.entries().size());
  for (const Refusals::Entry& e : kernel_.refusals.entries()) {
    if (e.serial < first) continue;
    if (json)
      out += fmt::format("{{\"times\":{},{}\n", e.times, e.json.substr(1));
    else
      out += fmt::format("{}{}{}", out.empty() ? "" : "\n", e.text, e.times > 1 ? fmt::format("  ({} times)\n", e.times) : "");
  }
  return out;
}

WireCounts Host::counts() const {
  WireCounts c{};
  c.maps = kernel_.maps.size();
  c.progs = kernel_.progs.size();
  c.btfs = kernel_.btfs.size() - (kernel_.vmlinux != nullptr ? 1 : 0);  // its own is always there
  c.links = kernel_.links.size();
  c.files = kernel_.files.size();
  c.pins = pins_.size();
  c.connections = clients_.size();
  c.attachments = kernel_.attachments.size();
  c.rom_bytes = const_cast<Kernel&>(kernel_).window().rom_in_use();
  c.ram_bytes = const_cast<Kernel&>(kernel_).window().ram_in_use();
  return c;
}

}  // namespace skep
