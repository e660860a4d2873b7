// agent: what a program's run asks of this process, and the slots it needs: shared by events (fire.cc) and runs on demand (test_run.cc).
#pragma once
#include "helpers/run_ctx.h"

namespace skep::agent {

/// The part of a task_struct that is filled so far. All zero until a program asks for its address.
struct SyntheticTask {
  u64 state;
  s32 pid, tgid;
  char comm[16];
};

/// What runs ask of this process. Good for the calling thread's next runs, until it is called again; `task`, all zero, stays as long.
RunEnv* env_of_run(SyntheticTask* task);

/// The processor this thread is on, without a syscall.
u32 this_cpu();
/// A virtual CPU, for a program with per-CPU data: its holders may have been preempted in the middle, so they are let finish, a few
/// times. Null: none to be had.
RunSlot* take_cpu();
/// The same of just this one.
RunSlot* take_this_cpu(u32 cpu);
/// A virtual CPU if one is free, else a client slot: good for every program that keeps nothing per CPU.
RunSlot* take_slot();
RunSlot* take_client_slot();

}  // namespace skep::agent
