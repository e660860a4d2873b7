// syscall: what a call knows of its caller: credentials, memory, fds, and where a new fd goes.
#pragma once
#include <sys/types.h>

#include <functional>
#include <memory>
#include <string>

#include "shm/op_ctx.h"
#include "objects/objects.h"
#include "objects/pins.h"
#include "testrun/test_run.h"

namespace skep {

/// "Ask the client for more and start over": never leaves the host. Linux's own ERESTARTNOINTR has this number.
constexpr int ERESTART_CALL = 513;

/// The caller's memory. Every call copies in all that it needs before its first side effect (as Linux does), so that a call whose input
/// is not here yet can be given up with ERESTART_CALL and started over.
class UserMemory {
 public:
  virtual ~UserMemory() = default;
  /// EFAULT.
  virtual Status read(void* dst, u64 addr, u64 len) = 0;
  /// Up to `max` bytes, without the NUL. EFAULT; E2BIG when no NUL is found within `max`.
  virtual Result<std::string> read_string(u64 addr, u64 max) = 0;
  /// EFAULT as far as that can be told now.
  virtual Status write(u64 addr, const void* src, u64 len) = 0;

  template <typename T>
  Result<T> read_as(u64 addr) {
    T v;
    TRY(read(&v, addr, sizeof v));
    return v;
  }
};

struct FdIdentity {
  u64 dev = 0, ino = 0;
  u32 mode = 0;
};

class FdTable {
 public:
  virtual ~FdTable() = default;
  /// EBADF when the caller has no such fd.
  virtual Result<FdIdentity> identify(s32 fd) = 0;
};

struct Credentials {
  pid_t pid = 0;  ///< thread group, in the host's pid namespace
  uid_t uid = 0;
  gid_t gid = 0;
};

struct CallContext {
  Kernel& kernel;
  Credentials who;
  UserMemory& mem;
  FdTable& fds;
  PinStore& pins;
  OpCtx op;  ///< a client slot for map operations
  std::shared_ptr<File> new_file;  ///< set when the call's result is a new fd; who serves the call makes it
  /// Finishes BPF_PROG_TEST_RUN where the caller's memory is; its answer is the call's. Empty: not here.
  std::function<Result<s64>(const TestRunPlan&)> run_test = {};

  /// Our file behind an fd: EBADF when not open, EINVAL when it is no object of ours.
  Result<std::shared_ptr<File>> file(s32 fd);
  /// The object of one kind behind an fd: EBADF, EINVAL. Linux: kernel/bpf/syscall.c:__bpf_map_get() and its like.
  template <typename T>
  Result<std::shared_ptr<T>> object(s32 fd) {
    std::shared_ptr<T> p = object_as<T>(TRY(file(fd))->object);
    if (p == nullptr) return Errno(EINVAL);
    return p;
  }
  /// Hands a new fd of `object` to the caller; its number is the call's result.
  s64 install(ObjectRef object, u32 mode) {
    new_file = kernel.make_file(std::move(object), mode);
    return 0;
  }
};

}  // namespace skep
