// host: the virtual files: what processes of a session see under /sys/fs/bpf, /sys/kernel/tracing and a few more. One table serves path
// rewriting by the agent (paths.cc there lists the same prefixes); files are written to the session's private directory when first asked.
#pragma once
#include <string>

namespace skep {

class VirtualFiles {
 public:
  /// `root`: private directory that stands for "/".
  explicit VirtualFiles(std::string root) : root_(std::move(root)) {}
  /// Makes the directories and files that are there from the start. False on a file system error (errno).
  bool create();
  /// The real path for a virtual one, its file made if the table has it; empty: not ours.
  std::string resolve(const std::string& path);
  const std::string& root() const { return root_; }
  std::string bpffs() const { return root_ + "/sys/fs/bpf"; }
  std::string trace_pipe() const { return root_ + "/sys/kernel/tracing/trace_pipe"; }

 private:
  void materialize(const std::string& path);
  std::string root_;
  bool all_events_ = false;
};

}  // namespace skep
