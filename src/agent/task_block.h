// agent: what a block of shm/tasks.h holds, and who fills which part. Only for task*.cc: the kernel's words are in here.
#pragma once
#include "shm/tasks.h"

namespace skep::agent {

namespace kernel {
#include "kbtf/kernel/net.h"
}  // namespace kernel

constexpr u32 MAX_PID_LEVELS = 32;  ///< Linux: include/linux/pid_namespace.h:MAX_PID_NS_LEVEL

struct PidBlock {
  kernel::pid pid;
  kernel::upid numbers[MAX_PID_LEVELS + 1];
};

/// What hangs off nsproxy. A thread that has left its process's namespaces has its own.
struct NamespaceBlock {
  kernel::nsproxy proxy;
  kernel::uts_namespace uts;
  kernel::ipc_namespace ipc;
  kernel::mnt_namespace mnt;
  kernel::pid_namespace pid, pid_for_children;
  kernel::time_namespace time, time_for_children;
  kernel::cgroup_namespace cgroup;
  kernel::user_namespace user;
  kernel::net net;
};

struct CgroupBlock {
  kernel::css_set set;
  kernel::cgroup cgroup;
  kernel::kernfs_node node;
};

struct TaskBlock {
  // Of every task.
  kernel::task_struct task;
  kernel::cred cred;
  kernel::user_struct user;
  PidBlock pid;
  /// The parent's block as it was when it was found: it is believed while it has that owner and is of that pid. `ppid` 0: none.
  s32 ppid;
  u32 parent;
  u64 parent_owner;
  // Of a process: in its leader's block.
  PidBlock group, session;
  kernel::signal_struct signal;
  kernel::mm_struct mm;
  CgroupBlock cgroups;
  // Last: most of a struct net is never touched.
  NamespaceBlock namespaces;
};
static_assert(sizeof(TaskBlock) <= TASK_BLOCK_BYTES && sizeof(kernel::task_struct) == TASK_STRUCT_BYTES);

inline TaskBlock& task_block(TaskTable& t, u32 index) { return *reinterpret_cast<TaskBlock*>(t.blocks[index]); }

constexpr u64 task_key(u64 pid_namespace, s32 tid) { return pid_namespace << 32 | static_cast<u32>(tid); }

/// Which of the two a thread is: /proc tells of both under other names.
enum class Who { Leader, Thread };

// task_fill.cc.
/// What programs follow without a look, since the verifier knows that a kernel's tasks have it.
void fill_needed(kernel::task_struct& task, CgroupBlock& c);
// Each of these writes all of its part, whatever a former owner has left there.
/// The thread, without its ties to others. REQUIRES: the caller is of that process, and the very thread where `who` says so.
void fill_task(TaskBlock& b, Who who, s32 pid, s32 tgid);
void fill_cred(TaskBlock& b, Who who);
/// What is the process's, for a leader's block: signal, mm, cgroups, namespaces. REQUIRES: fill_task() was here.
void fill_process(TaskBlock& leader);
void fill_namespaces(TaskBlock& b, Who who);
/// Another process, by what /proc says.
void fill_stranger(TaskBlock& b, s32 pid);
/// Points a thread's block at what its process has.
void join_process(TaskBlock& b, TaskBlock& leader);

}  // namespace skep::agent
