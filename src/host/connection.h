// host: one process's control connection: frames in, replies out, never waiting. Everything that arrives is hostile.
#pragma once
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/unique_fd.h"
#include "syscall/context.h"
#include "wire/wire.h"

namespace skep {

/// A request, checked: every span lies inside `bytes`.
struct Request {
  WireRequest head{};
  struct Memory {
    u64 addr;
    std::span<const u8> bytes;
    bool fault;
  };
  std::vector<Memory> memory;
  std::vector<WireFd> fds;
};

/// Parses one whole frame; nothing when it is malformed (the connection is then ended).
std::optional<Request> parse_request(std::span<const u8> frame);

/// What the host lacks to serve a call.
struct Need {
  WireKind kind = WireKind::Return;
  u64 addr = 0, len = 0;
  s32 fd = -1;
};

/// The caller's memory and fds as far as the request brought them.
class RemoteCaller final : public UserMemory, public FdTable {
 public:
  explicit RemoteCaller(const Request& request) : request_(request) {}
  Status read(void* dst, u64 addr, u64 len) override;
  Result<std::string> read_string(u64 addr, u64 max) override;
  Status write(u64 addr, const void* src, u64 len) override;
  Result<FdIdentity> identify(s32 fd) override;

  const Need& need() const { return need_; }
  struct Write {
    u64 addr;
    std::vector<u8> bytes;
  };
  const std::vector<Write>& writes() const { return writes_; }

 private:
  const Request& request_;
  Need need_;
  std::vector<Write> writes_;
};

struct Reply {
  s64 rc = 0;
  std::vector<u8> payload;
  std::vector<UniqueFd> fds;
  u64 quiet_ino = 0;  ///< of a new fd whose close needs no Sync
};

/// One end of a control connection. Not thread-safe.
class Connection {
 public:
  explicit Connection(UniqueFd fd) : fd_(std::move(fd)) {}
  int fd() const { return fd_.get(); }
  /// Reads what is there. False: gone, or not to be kept.
  bool fill();
  /// The next whole frame, if one is there; valid until the next call. An impossible length sets broken().
  std::optional<std::span<const u8>> next_frame();
  bool broken() const { return broken_; }
  void send_need(const Need& need);
  void send_reply(Reply reply, const std::vector<RemoteCaller::Write>& writes);
  /// Sends what the socket takes. False: gone.
  bool flush();
  bool wants_write() const { return !out_.empty(); }

 private:
  struct Out {
    std::vector<u8> bytes;
    std::vector<UniqueFd> fds;
    std::size_t sent = 0;
  };
  void make_room(std::size_t n);
  UniqueFd fd_;
  std::unique_ptr<u8[]> in_;  ///< room_ bytes, of which those up to end_ have come, and those up to consumed_ are done with
  std::size_t room_ = 0, end_ = 0, consumed_ = 0;
  std::deque<Out> out_;
  bool broken_ = false;
};

}  // namespace skep
