// agent: which cgroups the calling thread is in.
#pragma once
#include "helpers/run_ctx.h"

namespace skep::agent {

/// As /proc says, not more than a millisecond ago. Good until this thread asks again.
/// DIFFERS: levels are counted from the root that the process can see, which in a cgroup namespace is not the machine's; where the
/// hierarchy of version 2 is not mounted at its usual place there are none.
const CgroupPath* current_cgroups();

/// The process's pid namespace, as stat() shows it. False: /proc does not tell.
bool current_pid_namespace(u64* dev, u64* ino);

}  // namespace skep::agent
