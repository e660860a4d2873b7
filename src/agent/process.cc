// agent: fork and its kin, and the two descriptors of our own that the program must neither see go nor close.
#include "agent/agent.h"
#include "agent/identity.h"
#include "agent/fd_table.h"
#include "agent/map_calls.h"
#include "agent/task.h"
#include "base/atomic.h"

namespace skep::agent {
namespace {

constexpr u64 CLONE_VM_ = 0x100, CLONE_FILES_ = 0x400, CLONE_VFORK_ = 0x4000, CLONE_SETTLS_ = 0x80000;
constexpr u64 CLOSE_RANGE_UNSHARE_ = 2;
constexpr s32 PARKED_AT_MOST = 1023;  // within everybody's select() and default RLIMIT_NOFILE

/// A child in an address space of its own and on the same stack: it may come back through our frame. Others must not.
void on_new_task(TrapFrame* f, u64 flags, u64 stack) {
  // A child with our memory and fds of its own could connect only for itself: the connection has to be there before.
  if ((flags & CLONE_VM_) != 0 && (flags & CLONE_FILES_) == 0) registered();
  if ((flags & CLONE_VM_) != 0 && (flags & (CLONE_VFORK_ | CLONE_SETTLS_)) == 0) session.shared_tls = true;
  if ((flags & CLONE_VM_) != 0 && (flags & CLONE_SETTLS_) == 0) identity_before_vfork();
  if ((flags & CLONE_VM_) == 0 && stack == 0) f->action = Action::Watched;
  // What is known of fds is known of one table of fds in one memory. A vfork child is there for a while, on this thread's state.
  const bool memory = (flags & CLONE_VM_) != 0, fds = (flags & CLONE_FILES_) != 0;
  const bool sleeps = (flags & CLONE_VFORK_) != 0 && (flags & CLONE_SETTLS_) == 0;
  if (memory != fds && !(memory && sleeps)) {
    if (memory || fds) fd_table_give_up();
  } else if (memory && sleeps) {
    map_calls_before_vfork();
  }
}

}  // namespace

s32 park_fd(s32 fd, bool cloexec) {
  u64 limit[2] = {1024, 1024};
  sys(NR_prlimit64, 0, 7 /* RLIMIT_NOFILE */, 0, limit);
  const s32 top = limit[0] > static_cast<u64>(PARKED_AT_MOST) ? PARKED_AT_MOST : static_cast<s32>(limit[0]) - 1;
  for (s32 at = top - 7; at > 2; at -= 64) {
    const s64 to = sys(NR_fcntl, fd, cloexec ? 1030 /* F_DUPFD_CLOEXEC */ : 0 /* F_DUPFD */, at);
    if (to < 0) continue;
    sys(NR_close, fd);
    return static_cast<s32>(to);
  }
  return fd;
}

bool in_vfork_child() { return process->pid != 0 && sys(NR_getpid) != process->pid; }

bool own_fd(s64 fd) { return fd >= 0 && (fd == process->control - 1 || fd == session.liveness); }

void on_clone(TrapFrame* f) { on_new_task(f, f->di, f->si); }
void on_fork(TrapFrame* f) { on_new_task(f, 0, 0); }
void on_vfork(TrapFrame* f) { on_new_task(f, CLONE_VM_ | CLONE_VFORK_, 0); }
void on_clone3(TrapFrame* f) {
  u64 args[8] = {};  // struct clone_args: flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls
  if (f->si < sizeof args || read_user(args, f->di, sizeof args) != 0) return;
  on_new_task(f, args[0], args[5]);
}

void after_fork(TrapFrame* f) {
  if (f->ax > 0) tell_fork(static_cast<s32>(f->ax), *f);
  if (f->ax != 0) return;
  // The kernel has wiped *process. What is left of the parent's connection is its descriptor; while that is open the host keeps what the
  // parent has mapped, so a child that has the mappings too says hello before it closes it.
  process->pid = static_cast<s32>(sys(NR_getpid));
  const s32 inherited = session.inherited_control;
  session.inherited_control = -1;
  if (has_mappings != 0) registered();
  if (inherited >= 0) sys(NR_close, inherited);
  thread.in_run = 0;  // a run that a signal handler's fork interrupted is the parent's
  map_calls_after_fork();
}

void on_close(TrapFrame* f) {
  const s64 fd = static_cast<s32>(f->di);
  if (own_fd(fd)) return f->answer(-EBADF_);
  fd_table_forget(fd);
  after_close_of(f, fd);
  fd_table_forget(fd);
}

void on_close_range(TrapFrame* f) {
  // Carve our own out of the range: at most three pieces.
  u64 first = static_cast<u32>(f->di);
  const u64 last = static_cast<u32>(f->si);
  if (first > last) return;
  if ((f->dx & CLOSE_RANGE_UNSHARE_) != 0) fd_table_give_up();
  fd_table_forget_range(first, last);
  s64 ours[2] = {process->control - 1, session.liveness};
  if (ours[0] > ours[1]) {
    const s64 t = ours[0];
    ours[0] = ours[1];
    ours[1] = t;
  }
  bool touched = false;
  for (const s64 fd : ours)
    if (fd >= 0 && static_cast<u64>(fd) >= first && static_cast<u64>(fd) <= last) touched = true;
  if (touched) {
    s64 rc = 0;
    for (const s64 fd : ours) {
      if (fd < 0 || static_cast<u64>(fd) < first || static_cast<u64>(fd) > last) continue;
      if (static_cast<u64>(fd) > first && (rc = sys(NR_close_range, first, fd - 1, f->dx)) != 0) return f->answer(rc);
      first = static_cast<u64>(fd) + 1;
    }
    if (first <= last) rc = sys(NR_close_range, first, last, f->dx);
    f->answer(rc);
  }
  sync_closes(f);
  fd_table_forget_range(static_cast<u32>(f->di), last);
}

void on_unshare(TrapFrame* f) {
  watch_task_change(f);
  if ((f->di & CLONE_FILES_) != 0) fd_table_give_up();
}

/// dup2 and dup3 close their target.
void on_dup_over(TrapFrame* f) {
  if (own_fd(static_cast<s32>(f->di)) || own_fd(static_cast<s32>(f->si))) return f->answer(-EBADF_);
  const s32 to = static_cast<s32>(f->si);
  // dup2 of a number onto itself closes nothing.
  if (static_cast<s32>(f->di) != to) fd_table_forget(to);
  after_close_of(f, to);
  if (static_cast<s32>(f->di) != to) fd_table_forget(to);
}

void on_prctl(TrapFrame* f) {
  constexpr u64 PR_SET_SECCOMP_ = 22;
  if (f->di == PR_SET_SECCOMP_) session.seccomp = true;
}
void on_seccomp(TrapFrame*) { session.seccomp = true; }

}  // namespace skep::agent
