// agent: what /proc says of a task, for events that tell of others.
#pragma once
#include "base/types.h"

namespace skep::agent {

/// Of a task as other tasks see it. Linux: fs/proc/array.c
struct TaskFacts {
  char comm[16];
  u64 pending, shared_pending, blocked, ignored, caught;  ///< signal masks
};

/// False: there is none, or /proc does not show it.
bool facts_of_task(s32 pid, TaskFacts& out);

}  // namespace skep::agent
