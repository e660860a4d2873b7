// agent: what a program's run asks of this process, and the slots it needs: shared by events (fire.cc) and runs on demand (test_run.cc).
#pragma once
#include "agent/task.h"
#include "helpers/run_ctx.h"

namespace skep::agent {

/// What runs ask of this process. Good for the calling thread's next runs, until it is called again; `spare` stays as long, and is their
/// task where there is no other.
RunEnv* env_of_run(SyntheticTask* spare);
/// The calling thread's name, NUL-terminated.
void current_comm(char (&out)[16]);

/// Around runs on demand: afterwards this thread's task is again that of the run which the caller, a signal handler, may have interrupted.
class KeepTaskOfRun {
 public:
  KeepTaskOfRun();
  ~KeepTaskOfRun();
  KeepTaskOfRun(const KeepTaskOfRun&) = delete;
  KeepTaskOfRun& operator=(const KeepTaskOfRun&) = delete;

 private:
  SyntheticTask* spare_;
  u64 task_;
};

/// Helpers that this process has in a shorter form, over what jit/gates.h:fill_gates() has put there.
void fill_own_gates(u64* gates);

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
