// cli: sessions: where they live, joining one, starting one, and asking its host.
#pragma once
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "wire/wire.h"

namespace skep::cli {

/// A session's directory, <runtime>/NAME.RANDOM, and a write end of its liveness pipe, which keeps it alive.
struct SessionHandle {
  std::string name, dir;
  std::string token;  ///< 32 hex digits
  UniqueFd liveness;
};

/// What a session is started with.
struct SessionOptions {
  bool jit = true;        ///< compile programs. Off also where SKEP_NO_JIT is in the environment, and not empty
  bool perf_map = false;  ///< write /tmp/perf-PID.map. On also by SKEP_PERF_MAP
  bool gdb_jit = false;   ///< show gdb compiled programs. On also by SKEP_GDB_JIT
};

/// Text of what went wrong, for one line; empty when all is well.
using Problem = std::string;

/// $SKEP_RUNTIME_DIR, or /run/skep for root, $XDG_RUNTIME_DIR/skep, /tmp/skep-UID.
std::string runtime_dir();
/// Joins the session of that name, as it is, or starts one; with an empty name a new one of its own.
Problem open_session(const std::string& name, SessionHandle* out, const SessionOptions& options = {});
/// Directories of sessions whose host answers.
std::vector<std::string> live_sessions();
/// One request to a session's host: its answer, or -errno; payload and fd as they came.
s64 ask_host(const std::string& dir, WireOp op, std::string* payload, UniqueFd* fd, u64 a0 = 0, u64 a1 = 0);
/// The name in a session's directory.
std::string session_name(const std::string& dir);

}  // namespace skep::cli
