// cli: `skep run`.
#pragma once
#include <string>
#include <vector>

#include "base/types.h"

namespace skep::cli {

/// Whether, and how, refused programs are explained.
enum class Explain { No, Text, Json };

struct RunOptions {
  std::string session;
  std::vector<std::string> command;
  bool fake_root = false;  ///< tell the command and its children that they are root
  // Of a session that is started.
  bool jit = true;
  bool perf_map = false;
  bool gdb_jit = false;
  Explain explain = Explain::No;  ///< when the command has ended: of what was refused meanwhile
};

/// Runs the command in a session; returns its exit status, 128+N when signal N ended it, 125 when skep itself failed, 126 and 127 as
/// env(1) has them.
int run_command(const RunOptions& options);
/// `skep doctor`.
int run_doctor(const std::string& session);
/// `skep explain` without a command: what was refused in this session, or in all.
int explain_sessions(const std::string& session, Explain how);
/// How many programs a session has refused so far.
u64 refusal_count(const std::string& dir);
/// Prints what a session has refused after the first `before` ones; with a command's own output, so on stderr.
void explain_since(const std::string& dir, u64 before, Explain how);
/// Where libskep-agent.so is; empty when it is not beside this program.
std::string agent_path();

}  // namespace skep::cli
