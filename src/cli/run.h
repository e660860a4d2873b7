// cli: `skep run`.
#pragma once
#include <string>
#include <vector>

namespace skep::cli {

struct RunOptions {
  std::string session;
  std::vector<std::string> command;
};

/// Runs the command in a session; returns its exit status, 128+N when signal N ended it, 125 when skep itself failed, 126 and 127 as
/// env(1) has them.
int run_command(const RunOptions& options);
/// `skep doctor`.
int run_doctor(const std::string& session);
/// Where libskep-agent.so is; empty when it is not beside this program.
std::string agent_path();

}  // namespace skep::cli
