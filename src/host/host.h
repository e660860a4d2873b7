// host: the process that stands for the kernel: one Kernel, its clients' connections, the pipes behind their fds, wake-ups, the dead.
// One thread does all of it; a second one only sleeps on the doorbell and passes each ring on.
#pragma once
#include <sys/epoll.h>

#include <chrono>
#include <memory>
#include <string>
#include <unordered_map>

#include "host/connection.h"
#include "host/gdb_jit.h"
#include "host/patched_objects.h"
#include "host/perf_map.h"
#include "host/virtual_files.h"
#include "host/worker.h"
#include "objects/objects.h"
#include "objects/pins.h"
#include "syscall/dispatch.h"
#include "wire/spin.h"

namespace skep {

struct HostOptions {
  std::string session_dir;  ///< exists, private; gets `ctl` and `root/`
  u64 token[2] = {};        ///< what another user's process has to show
  u32 nr_cpus = 1;
  bool jit = true;          ///< compile programs
  bool perf_map = false;    ///< write /tmp/perf-PID.map
  std::string kernel_headers{};  ///< a tree to show to clients before all others; empty: none
  bool gdb_jit = false;     ///< show gdb compiled programs
  WorkerOptions worker = {};
};

class Host {
 public:
  /// ENOMEM and the like when a session cannot be had.
  static Result<std::unique_ptr<Host>> create(const HostOptions& options);
  ~Host();
  /// A write end of the liveness pipe, for the first process of the session.
  UniqueFd liveness_end();
  /// Serves until the last process of the session has gone.
  void run();

 private:
  Host(std::unique_ptr<WindowHost> window, const HostOptions& options);

  /// A process's identity: owner of run slots. Outlives its connection until the process itself is known to be gone.
  struct Owner {
    OwnerId id = 0;
    pid_t pid = 0;
    UniqueFd pidfd;
  };
  struct Mapping {
    u64 addr, len;
    ObjectRef object;
    bool writable;
  };
  struct Client {
    std::unique_ptr<Connection> conn;
    Credentials who;
    u32 owner = 0;  ///< index into owners_, 0: no hello yet
    bool waits_to_write = false;
    bool trusted = false;
    OwnerId owner_id = 0;  ///< as it was told, kept after the owner is gone: a fork child names it
    std::vector<Mapping> mappings;
    std::unordered_map<u64, std::pair<ObjectRef, bool>> planned;  ///< mmap tokens
  };
  struct Pipe {
    UniqueFd write_end;
    std::shared_ptr<File> file;
    u64 ino;
  };
  /// A pipe that is nobody's yet, watched for its last close.
  struct SparePipe {
    UniqueFd read_end, write_end;
    u64 dev, ino;
  };

  /// Another user's process that has not shown the token may only say hello.
  bool may_ask(const Client& client, const WireRequest& r) const;
  Status start_listening(const std::string& dir);
  Status start_trace();
  void watch(int fd, u32 events);
  /// An event of `fd` is something's end: drain() looks at it.
  bool watch_death(int fd, u32 events);
  /// epoll_wait(); with a look around first when a client is likely to ask again at once.
  int wait(epoll_event* events, int most, int timeout_ms);
  void accept_all();
  /// False: the client is to be dropped.
  /// Beside the session's own worker.
  bool somebody_is_connected() const;
  bool serve(Client& client);
  void handle(Client& client, const Request& request);
  Reply dispatch(Client& client, const Request& request, RemoteCaller& caller);
  Reply hello(Client& client, const Request& request);
  Reply call_bpf(Client& client, const Request& request, RemoteCaller& caller);
  Reply plan_mmap(Client& client, const Request& request, RemoteCaller& caller);
  void mapped(Client& client, const WireRequest& r);
  void unmapped(Client& client, u64 addr, u64 len);
  void release_mappings(Client& client);
  void hold_mapping(const ObjectRef& object, bool writable, int change);
  Reply identify(const Request& request, RemoteCaller& caller);
  Result<UniqueFd> make_fd(const std::shared_ptr<File>& file);
  Result<SparePipe> make_pipe();
  /// Makes pipes while nobody waits for them.
  void lay_in_pipes();
  void make_readable(u64 ino);
  /// Sees every close, unlink and death up to now. Called before each request is served: ids are gone when close() returns.
  void drain();
  void drop_client(int fd);
  void owner_gone(u32 index);
  void recover_slots(OwnerId owner);
  void recover_slot(u32 index);
  void recover_orphans();
  void serve_doorbell();
  void wake_ring(u32 index);
  void kick(const File& file);  ///< a consumer's own wish to be woken
  void pump_trace();
  std::string doctor_text() const;
  std::string explain_text(u64 first, bool json) const;
  WireCounts counts() const;

  u64 token_[2];
  Worker worker_;
  Kernel kernel_;
  VirtualFiles files_;
  PinStore pins_;
  PatchedObjects patched_;
  PerfMaps perf_maps_;
  GdbJit gdb_jit_;
  UniqueFd epoll_, deaths_, listener_, liveness_, doorbell_event_, trace_fifo_;
  std::unordered_map<int, Client> clients_;   ///< by connection fd
  std::unordered_map<int, Pipe> pipes_;       ///< by write end
  std::unordered_map<int, u32> pidfds_;       ///< pidfd -> owner index
  std::unordered_map<u64, int> pipe_of_;      ///< inode -> write end
  std::vector<SparePipe> spare_pipes_;
  SpinGuess spin_guess_;
  bool talking_ = false;  ///< the last thing that happened was a client's request
  bool alone_ = false;    ///< one processor only: whom we wait for needs it
  std::vector<Owner> owners_{1};
  std::vector<u32> free_owners_;
  u32 generation_ = 1;
  u64 next_token_ = 1;
  RingDesc* trace_ring_ = nullptr;
  std::string trace_backlog_;
  bool started_ = false;  ///< somebody has connected
  struct Orphan {
    OwnerId owner;
    u64 seq;
    std::chrono::steady_clock::time_point since;
  };
  std::unordered_map<u32, Orphan> orphans_;  ///< owned slots of processes that are gone, by index
  std::chrono::steady_clock::time_point orphans_seen_{};
  struct DoorbellThread;
  std::unique_ptr<DoorbellThread> doorbell_;
};

}  // namespace skep
