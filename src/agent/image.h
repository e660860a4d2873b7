// agent: what execve is about to run, and whether it can carry the agent. Also used by `skep run` for its command. No libc.
#pragma once
#include "agent/sys.h"

namespace skep::agent {

enum class Image { Traced, Static, OtherLibc, Other32, Secure, Unreadable };

const char* image_text(Image i);
/// Looks at the file behind (dirfd, path, AT_* flags), through `#!` lines. `path` is in our memory.
Image classify_image(s32 dirfd, const char* path, u64 at_flags);
/// From now on bpf and perf_event_open answer EPERM, in this thread and what it becomes. Needs CAP_SYS_ADMIN, or no_new_privs, which would
/// take setuid programs their rights and is therefore only set where the machine lets anybody call bpf(2).
void fence_image(Image image);

}  // namespace skep::agent
