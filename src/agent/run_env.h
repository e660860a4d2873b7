// agent: what a program's run asks of this process, and the slots it needs: shared by events (fire.cc) and runs on demand (test_run.cc).
#pragma once
#include "helpers/run_ctx.h"
#include "progtypes/kernel_ctx.h"

namespace skep::agent {

/// A task_struct of our own vmlinux BTF, of which these are filled and the rest is zero. Nothing at all is set before a program asks for
/// its address; from then on programs may read all of it.
struct SyntheticTask {
  u64 state;
  s32 pid, tgid;
  char comm[16];
  u8 rest[TASK_STRUCT_BYTES - 32];
};
static_assert(sizeof(SyntheticTask) == TASK_STRUCT_BYTES);

/// What runs ask of this process. Good for the calling thread's next runs, until it is called again; `task` stays as long.
RunEnv* env_of_run(SyntheticTask* task);

/// Around runs on demand: afterwards this thread's task is again that of the run which the caller, a signal handler, may have interrupted.
class KeepTaskOfRun {
 public:
  KeepTaskOfRun();
  ~KeepTaskOfRun();
  KeepTaskOfRun(const KeepTaskOfRun&) = delete;
  KeepTaskOfRun& operator=(const KeepTaskOfRun&) = delete;

 private:
  SyntheticTask* task_;
  bool is_filled_;
};

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
/// A slot that this very thread left by siglongjmp, put right. REQUIRES: as slot_recover().
void recover_own_slot(RunSlot* slot);

}  // namespace skep::agent
