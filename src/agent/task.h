// agent: the calling thread as a task_struct of our own vmlinux BTF, whose layout is that of Debian 12's kernel headers
// (kbtf/kernel).
//
// A thread's task is a block of the session window (shm/tasks.h): one address while the thread lives, the same in all processes. It
// is described when a program first asks for it; what may change since is looked up each time one asks (name, parent) or after the
// system calls that change it (credentials, namespaces). What nobody fills reads as zero. A child of vfork has a block
// too, until exec its parent's to free. Where none can be had a task on the event's stack has {pid, tgid, comm}.
//
//   task_struct --group_leader--> the leader's block: signal, mm, nsproxy and namespaces, cgroups of the whole process
//        \------real_parent-----> the parent's own block if it has one, else one that says what /proc does: pid, comm; and so on up
#pragma once
#include "agent/trap.h"
#include "progtypes/kernel_ctx.h"

namespace skep::agent {

/// On the stack, for want of a block. Nothing at all is set before a program asks for its address; from then on all of it.
struct alignas(16) SyntheticTask {
  u8 bytes[TASK_STRUCT_BYTES + 2560];  ///< and the cgroups that a task must have
};

/// The address of the calling thread's task, as it is now. `spare` is used where there is no block.
u64 describe_current_task(SyntheticTask& spare);
/// The task of a child that the calling thread has just made, which may not have run yet: 0 when no block can be had.
/// `same_process`: it is a thread.
u64 task_of_child(s32 pid, bool same_process);
/// The calling thread ends, with this wait status: what task->exit_code says from now on.
void task_set_exit_code(u32 code);
/// Gives the calling thread's block back: programs do not see it any more.
void task_ends();

/// Around calls that may change credentials or namespaces: the next program that asks finds them as they are then.
void watch_task_change(TrapFrame* f);
void after_task_change(TrapFrame* f);

}  // namespace skep::agent
