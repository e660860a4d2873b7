// agent: tasks that begin, turn into another image and end. Linux: include/trace/events/sched.h
//
// Told by the task itself (fork: by the parent), in the middle of the system call that does it. So what the kernel does to a task, death by
// a signal above all, is not told; nor are the other threads of a process that exit_group() ends, and the children of vfork().
#include "agent/fire_context.h"
#include "agent/agent.h"
#include "agent/identity.h"
#include "agent/task.h"
#include "base/bytes.h"

namespace skep::agent {
namespace {

constexpr u32 NR_getpriority = 140;

struct ExecRecord {
  u64 common;
  u32 filename_loc;  ///< length << 16 | offset
  s32 pid, old_pid;
  char filename[4096];
};
static_assert(offsetof(ExecRecord, filename) == 20 && sizeof(ExecRecord) <= MAX_EVENT_RECORD + 8);

struct ForkRecord {
  u64 common;
  char parent_comm[16];
  s32 parent_pid;
  char child_comm[16];
  s32 child_pid;
};
static_assert(sizeof(ForkRecord) == 48);

struct ExitRecord {
  u64 common;
  char comm[16];
  s32 pid, prio;
};
static_assert(sizeof(ExitRecord) == 32);

void get_comm(char (&out)[16]) {
  zero_bytes(out, sizeof out);
  sys(NR_prctl, 16 /* PR_GET_NAME */, out);
}
s32 tid() { return static_cast<s32>(current_pid_tgid()); }

/// Of normal scheduling classes. Linux: include/linux/sched/prio.h:DEFAULT_PRIO, NICE_TO_PRIO(); getpriority answers 20 - nice
s32 priority() {
  const s64 p = sys(NR_getpriority, 0, 0);
  return p > 0 ? static_cast<s32>(140 - p) : 120;
}

void tell(EventPlace place, EventSource& source, const void* record, u64 size, const TrapFrame& at) {
  source.frame = &at;
  source.record = record;
  source.record_size = static_cast<u32>(size);
  source.current_args = 1;
  fire_event(place, source, at);
}

}  // namespace

void tell_exec(const char* filename, const TrapFrame& at) {
  if (!is_watched(EventPlace::SchedProcessExec, at)) return;
  ExecRecord r;
  r.common = 0;
  r.filename[0] = '\0';
  if (filename != nullptr) append(r.filename, sizeof r.filename, filename);
  const u64 n = length_of(r.filename) + 1;
  r.filename_loc = static_cast<u32>(n << 16 | offsetof(ExecRecord, filename));
  r.pid = r.old_pid = tid();
  EventSource source;
  source.args[1] = static_cast<u64>(r.old_pid);
  tell(EventPlace::SchedProcessExec, source, &r, round_up(offsetof(ExecRecord, filename) + n, 8), at);
}

void tell_fork(s32 child, const TrapFrame& at) {
  if (!is_watched(EventPlace::SchedProcessFork, at)) return;
  ForkRecord r;
  r.common = 0;
  get_comm(r.parent_comm);
  get_comm(r.child_comm);
  r.parent_pid = tid();
  r.child_pid = child;
  EventSource source;
  source.args[1] = task_of_child(child, false);
  tell(EventPlace::SchedProcessFork, source, &r, sizeof r, at);
}

/// Linux: kernel/exit.c:do_exit()
static void tell_exit(TrapFrame* f) {
  if (!is_watched(EventPlace::SchedProcessExit, *f)) return;
  task_set_exit_code((static_cast<u32>(f->di) & 0xff) << 8);
  ExitRecord r;
  r.common = 0;
  get_comm(r.comm);
  r.pid = tid();
  r.prio = priority();
  EventSource source;
  tell(EventPlace::SchedProcessExit, source, &r, sizeof r, *f);
}

void on_exit(TrapFrame* f) {
  tell_exit(f);
  if (f->nr == NR_exit) task_ends();
}

}  // namespace skep::agent
