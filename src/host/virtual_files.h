// host: the virtual files: what processes of a session see under /sys/fs/bpf, /sys/kernel/tracing and a few more. One table serves path
// rewriting by the agent (paths.cc there lists the same prefixes); files are written to the session's private directory when first asked.
#pragma once
#include <set>
#include <string>
#include <utility>

#include "base/types.h"

namespace skep {

struct KernelFacts {
  std::string release;  ///< uname -r
  std::string headers;  ///< SKEP_KERNEL_HEADERS, may be empty
  bool jit = true;
};

/// Somebody looks at a path, or opens it or goes into it: a directory then has all its entries, for readdir and for relative names.
enum class PathUse { Look, Enter };

class VirtualFiles {
 public:
  /// `root`: private directory that stands for "/".
  VirtualFiles(std::string root, KernelFacts facts) : root_(std::move(root)), facts_(std::move(facts)) {}
  /// Makes the directories and files that are there from the start. False on a file system error (errno).
  bool create();
  /// The real path for a virtual one, its file made if the table has it; empty: not ours.
  std::string resolve(const std::string& path, PathUse use);
  /// A line for doctor about what was asked for since the last call; empty: none.
  std::string take_note() { return std::exchange(note_, {}); }
  const std::string& root() const { return root_; }
  std::string bpffs() const { return root_ + "/sys/fs/bpf"; }
  std::string trace_pipe() const { return root_ + "/sys/kernel/tracing/trace_pipe"; }

 private:
  void make_trace_file(const std::string& inside, PathUse use);
  void make_trace_root();
  void make_event(const std::string& system, const std::string& name);
  void make_events(const std::string& system);
  std::string resolve_headers(const std::string& path);
  void look_for_headers();
  std::string root_;
  KernelFacts facts_;
  std::string note_;
  std::set<std::string> whole_;  ///< event systems that are there with all their files
  enum class Headers : u8 { Unknown, Ours, Machine } headers_ = Headers::Unknown;
};

}  // namespace skep
