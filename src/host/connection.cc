#include "host/connection.h"

#include <sys/socket.h>

#include <algorithm>
#include <cstring>

namespace skep {
namespace {

constexpr std::size_t READ_CHUNK = 64 << 10;
constexpr std::size_t KEPT = 1u << 20;  ///< more room than that is given back
constexpr std::size_t MAX_QUEUED = 256;

template <typename T>
bool take(std::span<const u8>& from, T* out) {
  if (from.size() < sizeof(T)) return false;
  std::memcpy(out, from.data(), sizeof(T));
  from = from.subspan(sizeof(T));
  return true;
}

template <typename T>
void put(std::vector<u8>& to, const T& v) {
  const auto* p = reinterpret_cast<const u8*>(&v);
  to.insert(to.end(), p, p + sizeof v);
}

}  // namespace

std::optional<Request> parse_request(std::span<const u8> frame) {
  Request r;
  if (!take(frame, &r.head)) return std::nullopt;
  for (u32 i = 0; i < r.head.n_memory; ++i) {
    WireMemory m;
    if (!take(frame, &m) || m.len > frame.size()) return std::nullopt;
    r.memory.push_back({m.addr, frame.first(m.len), m.fault != 0});
    frame = frame.subspan(m.len);
  }
  for (u32 i = 0; i < r.head.n_fds; ++i) {
    WireFd f;
    if (!take(frame, &f)) return std::nullopt;
    r.fds.push_back(f);
  }
  if (!frame.empty()) return std::nullopt;
  return r;
}

Status RemoteCaller::read(void* dst, u64 addr, u64 len) {
  if (len == 0) return ok_status();
  for (const Request::Memory& m : request_.memory) {
    if (m.fault && m.addr == addr) return Errno(EFAULT);
    if (addr < m.addr || addr - m.addr > m.bytes.size() || len > m.bytes.size() - (addr - m.addr)) continue;
    std::memcpy(dst, m.bytes.data() + (addr - m.addr), len);
    return ok_status();
  }
  if (addr == 0 || addr >= (1ULL << 47) || len > WIRE_MAX_FRAME / 2) return Errno(EFAULT);
  need_ = Need{WireKind::NeedMemory, addr, len, -1};
  return Errno(ERESTART_CALL);
}

Result<std::string> RemoteCaller::read_string(u64 addr, u64 max) {
  for (const Request::Memory& m : request_.memory) {
    if (m.addr != addr) continue;
    if (m.fault) return Errno(EFAULT);
    const auto end = std::find(m.bytes.begin(), m.bytes.end(), u8{0});
    if (end != m.bytes.end() && static_cast<u64>(end - m.bytes.begin()) < max) return std::string(m.bytes.begin(), end);
    if (m.bytes.size() >= max) return Errno(E2BIG);
  }
  if (addr == 0 || addr >= (1ULL << 47)) return Errno(EFAULT);
  need_ = Need{WireKind::NeedString, addr, max, -1};
  return Errno(ERESTART_CALL);
}

Status RemoteCaller::write(u64 addr, const void* src, u64 len) {
  if (len == 0) return ok_status();
  if (addr == 0 || addr >= (1ULL << 47)) return Errno(EFAULT);
  const auto* p = static_cast<const u8*>(src);
  writes_.push_back(Write{addr, std::vector<u8>(p, p + len)});
  return ok_status();
}

Result<FdIdentity> RemoteCaller::identify(s32 fd) {
  for (const WireFd& f : request_.fds) {
    if (f.fd != fd) continue;
    if (f.rc != 0) return Errno(EBADF);
    return FdIdentity{f.dev, f.ino, f.mode};
  }
  if (fd < 0) return Errno(EBADF);
  need_ = Need{WireKind::NeedFd, 0, 0, fd};
  return Errno(ERESTART_CALL);
}

void Connection::make_room(std::size_t n) {
  if (room_ - end_ >= n) return;
  room_ = std::max(2 * room_, end_ + n);
  auto more = std::make_unique_for_overwrite<u8[]>(room_);
  std::copy_n(in_.get(), end_, more.get());
  in_ = std::move(more);
}

bool Connection::fill() {
  for (;;) {
    make_room(READ_CHUNK);
    const ssize_t n = recv(fd_.get(), in_.get() + end_, READ_CHUNK, MSG_DONTWAIT);
    if (n < 0) return errno == EAGAIN || errno == EINTR;
    if (n == 0) return false;
    end_ += static_cast<std::size_t>(n);
    if (static_cast<std::size_t>(n) < READ_CHUNK) return true;
    if (end_ - consumed_ > 2 * std::size_t{WIRE_MAX_FRAME}) return false;
  }
}

std::optional<std::span<const u8>> Connection::next_frame() {
  if (consumed_ > 0 && (consumed_ == end_ || consumed_ > KEPT)) {
    std::memmove(in_.get(), in_.get() + consumed_, end_ - consumed_);
    end_ -= consumed_;
    consumed_ = 0;
    if (end_ == 0 && room_ > KEPT) {
      in_.reset();
      room_ = 0;
    }
  }
  WireRequest head;
  if (end_ - consumed_ < sizeof head) return std::nullopt;
  std::memcpy(&head, in_.get() + consumed_, sizeof head);
  if (head.magic != WIRE_MAGIC || head.length < sizeof head || head.length > WIRE_MAX_FRAME) {
    broken_ = true;
    return std::nullopt;
  }
  if (end_ - consumed_ < head.length) return std::nullopt;
  const std::span<const u8> frame(in_.get() + consumed_, head.length);
  consumed_ += head.length;
  return frame;
}

void Connection::send_need(const Need& need) {
  WireReply r{};
  r.magic = WIRE_MAGIC;
  r.length = sizeof r;
  r.kind = need.kind;
  r.rc = need.fd;
  r.addr = need.addr;
  r.len = need.len;
  Out o;
  put(o.bytes, r);
  out_.push_back(std::move(o));
  flush();
}

void Connection::send_reply(Reply reply, const std::vector<RemoteCaller::Write>& writes) {
  WireReply r{};
  r.magic = WIRE_MAGIC;
  r.kind = WireKind::Return;
  r.rc = reply.rc;
  r.addr = reply.quiet_ino;
  r.payload = static_cast<u32>(reply.payload.size());
  r.n_writes = static_cast<u16>(writes.size());
  r.n_fds = static_cast<u16>(reply.fds.size());
  Out o;
  put(o.bytes, r);
  o.bytes.insert(o.bytes.end(), reply.payload.begin(), reply.payload.end());
  for (const auto& w : writes) {
    put(o.bytes, WireMemory{w.addr, static_cast<u32>(w.bytes.size()), 0});
    o.bytes.insert(o.bytes.end(), w.bytes.begin(), w.bytes.end());
  }
  r.length = static_cast<u32>(o.bytes.size());
  std::memcpy(o.bytes.data(), &r, sizeof r);
  o.fds = std::move(reply.fds);
  out_.push_back(std::move(o));
  if (out_.size() > MAX_QUEUED) broken_ = true;  // asks and does not listen
  flush();
}

bool Connection::flush() {
  while (!out_.empty()) {
    Out& o = out_.front();
    iovec iov{o.bytes.data() + o.sent, o.bytes.size() - o.sent};
    msghdr m{};
    m.msg_iov = &iov;
    m.msg_iovlen = 1;
    alignas(cmsghdr) char control[CMSG_SPACE(4 * sizeof(int))] = {};
    if (o.sent == 0 && !o.fds.empty()) {
      m.msg_control = control;
      m.msg_controllen = CMSG_SPACE(o.fds.size() * sizeof(int));
      cmsghdr* c = CMSG_FIRSTHDR(&m);
      c->cmsg_level = SOL_SOCKET;
      c->cmsg_type = SCM_RIGHTS;
      c->cmsg_len = CMSG_LEN(o.fds.size() * sizeof(int));
      for (std::size_t i = 0; i < o.fds.size(); ++i) {
        const int fd = o.fds[i].get();
        std::memcpy(CMSG_DATA(c) + i * sizeof(int), &fd, sizeof fd);
      }
    }
    const ssize_t n = sendmsg(fd_.get(), &m, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN) return true;
      broken_ = true;
      return false;
    }
    o.fds.clear();
    o.sent += static_cast<std::size_t>(n);
    if (o.sent < o.bytes.size()) continue;
    out_.pop_front();
  }
  return true;
}

}  // namespace skep
