// objects: what /proc says of our fds. Linux: kernel/bpf/syscall.c:bpf_map_show_fdinfo() and its like
#pragma once
#include <string>

#include "objects/objects.h"

namespace skep {

/// readlink(/proc/self/fd/N): "anon_inode:bpf-map".
std::string fd_link_text(const File& file);
/// What /proc/self/fdinfo/N adds behind pos, flags, mnt_id and ino.
std::string fdinfo_text(const File& file);

}  // namespace skep
