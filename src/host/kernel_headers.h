// host: the kernel headers that bcc and bpftrace compile against. They look in /lib/modules/$(uname -r)/build and read task_struct by what
// stands there. skep's own tasks are laid out as Debian 12's headers say, so these are what a session shows, whichever kernel runs.
#pragma once
#include <string>

namespace skep {

struct KernelHeaders {
  std::string build;   ///< a whole tree, or Debian's half of it for one processor; empty: none to be shown
  std::string common;  ///< Debian's other half; empty when `build` is whole
  bool ours = false;   ///< the layout that skep's tasks follow
  bool wanted = false;  ///< named by the user
  std::string release() const;  ///< as its directory is called; empty when it is called otherwise
};

/// uname -r
std::string running_release();

/// `wanted` (SKEP_KERNEL_HEADERS) if it is a tree, else Debian 12's newest, else none when /lib/modules/RELEASE/build has the machine's
/// own, else Debian's newest of any kernel. `root` stands for "/".
KernelHeaders find_kernel_headers(const std::string& root, const std::string& wanted, const std::string& release);

/// True when a client can compile with `build`, a directory like /lib/modules/RELEASE/build.
bool usable_headers(const std::string& build);

/// Makes `tree`: links to what both halves have. A directory that both have is made and joined in turn. False on a file system error.
bool join_headers(const KernelHeaders& headers, const std::string& tree);

}  // namespace skep
