// cli: the process that a session's host starts for software clocks; not for people.
#pragma once
#include <sys/types.h>

namespace skep::cli {

/// `host`: pid of the session's host, this process's parent.
int worker_main(pid_t host);

}  // namespace skep::cli
