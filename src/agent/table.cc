// agent: the one table of what the agent looks at, and the C++ half of a trap.
#include "agent/agent.h"
#include "agent/task.h"
#include "base/atomic.h"

using namespace skep;
using namespace skep::agent;

u8 skep_interest_local[512];
static const u8 no_interest[512] = {};
const u8* skep_interest_session = no_interest;

namespace skep::agent {
namespace {

struct Entry {
  u32 nr;
  Handler enter;
  Handler leave;  ///< after the kernel has done it, when the action is Watched
  bool for_fake_root = false;  ///< looked at only there
};

constexpr Entry TABLE[] = {
    {NR_bpf, on_bpf, nullptr},
    {NR_perf_event_open, on_perf_event_open, nullptr},
    {NR_ioctl, on_ioctl, nullptr},
    {NR_mmap, on_mmap, nullptr},
    {NR_munmap, on_munmap, nullptr},
    {NR_fcntl, on_fcntl, nullptr},
    {NR_setrlimit, on_setrlimit, nullptr},
    {NR_prlimit64, on_prlimit64, nullptr},
    {NR_close, on_close, nullptr},
    {NR_close_range, on_close_range, nullptr},
    {272 /* unshare */, on_unshare, after_task_change},
    {308 /* setns */, watch_task_change, after_task_change},
    {105 /* setuid */, watch_task_change, after_task_change},
    {106 /* setgid */, watch_task_change, after_task_change},
    {113 /* setreuid */, watch_task_change, after_task_change},
    {114 /* setregid */, watch_task_change, after_task_change},
    {117 /* setresuid */, watch_task_change, after_task_change},
    {119 /* setresgid */, watch_task_change, after_task_change},
    {122 /* setfsuid */, watch_task_change, after_task_change},
    {123 /* setfsgid */, watch_task_change, after_task_change},
    {126 /* capset */, watch_task_change, after_task_change},
    {NR_dup2, on_dup_over, nullptr},
    {NR_dup3, on_dup_over, nullptr},
    {NR_poll, on_poll, after_poll},
    {NR_ppoll, on_poll, after_poll},
    {NR_select, on_select, after_select},
    {NR_pselect6, on_select, after_select},
    {NR_epoll_ctl, on_epoll_ctl, nullptr},
    {NR_epoll_wait, on_epoll_wait, after_epoll_wait},
    {NR_epoll_pwait, on_epoll_wait, after_epoll_wait},
    {NR_epoll_pwait2, on_epoll_wait, after_epoll_wait},
    {NR_clone, on_clone, after_fork},
    {NR_clone3, on_clone3, after_fork},
    {NR_fork, on_fork, after_fork},
    {NR_vfork, on_vfork, nullptr},
    {NR_execve, on_execve, nullptr},
    {NR_execveat, on_execveat, nullptr},
    {NR_exit, on_exit, nullptr},
    {NR_exit_group, on_exit, nullptr},
    {62 /* kill */, on_send_signal, nullptr},
    {200 /* tkill */, on_send_signal, nullptr},
    {NR_tgkill, on_send_signal, nullptr},
    {129 /* rt_sigqueueinfo */, on_send_signal, nullptr},
    {297 /* rt_tgsigqueueinfo */, on_send_signal, nullptr},
    {NR_rt_sigaction, on_rt_sigaction, nullptr},
    {NR_rt_sigprocmask, on_rt_sigprocmask, nullptr},
    {NR_sigaltstack, on_sigaltstack, after_sigaltstack},
    {151 /* mlockall */, on_mlockall, nullptr},
    {NR_rt_sigsuspend, on_rt_sigsuspend, nullptr},
    {NR_prctl, on_prctl, nullptr},
    {NR_seccomp, on_seccomp, nullptr},
    {NR_open, on_path0, nullptr},
    {NR_creat, on_path0, nullptr},
    {NR_stat, on_path0, nullptr},
    {NR_lstat, on_path0, nullptr},
    {NR_access, on_path0, nullptr},
    {NR_chdir, on_path0, nullptr},
    {NR_mkdir, on_mkdir, nullptr},
    {NR_mknod, on_mknod, nullptr},
    {NR_mknodat, on_mknodat, nullptr},
    {NR_rmdir, on_path0, nullptr},
    {NR_unlink, on_path0, nullptr},
    {NR_chmod, on_path0, nullptr},
    {NR_chown, on_path0, nullptr},
    {NR_getxattr, on_path0, nullptr},
    {NR_readlink, on_readlink, nullptr},
    {NR_readlinkat, on_readlinkat, nullptr},
    {NR_statfs, on_statfs, nullptr},
    {NR_fstatfs, on_fstatfs, nullptr},
    {NR_mount, on_mount, nullptr},
    {NR_umount2, on_umount2, nullptr},
    {NR_symlink, on_symlink, nullptr},
    {NR_symlinkat, on_symlinkat, nullptr},
    {76 /* truncate */, on_path0, nullptr},
    {94 /* lchown */, on_path0, nullptr},
    {260 /* fchownat */, on_pathat, nullptr},
    {280 /* utimensat */, on_pathat, nullptr},
    {188 /* setxattr */, on_path0, nullptr},
    {192 /* lgetxattr */, on_path0, nullptr},
    {NR_rename, on_two_paths, nullptr},
    {NR_link, on_two_paths, nullptr},
    {NR_openat, on_pathat, nullptr},
    {NR_openat2, on_pathat, nullptr},
    {NR_mkdirat, on_mkdirat, nullptr},
    {NR_newfstatat, on_pathat, nullptr},
    {NR_statx, on_pathat, nullptr},
    {NR_unlinkat, on_pathat, nullptr},
    {NR_fchmodat, on_pathat, nullptr},
    {NR_faccessat, on_pathat, nullptr},
    {NR_faccessat2, on_pathat, nullptr},
    {NR_renameat, on_two_pathsat, nullptr},
    {NR_renameat2, on_two_pathsat, nullptr},
    {NR_linkat, on_two_pathsat, nullptr},
    {NR_getuid, on_get_id, nullptr, true},
    {NR_getgid, on_get_id, nullptr, true},
    {NR_geteuid, on_get_id, nullptr, true},
    {NR_getegid, on_get_id, nullptr, true},
    {118 /* getresuid */, on_get_three_ids, nullptr, true},
    {120 /* getresgid */, on_get_three_ids, nullptr, true},
    {105 /* setuid */, on_set_id, nullptr, true},
    {106 /* setgid */, on_set_id, nullptr, true},
    {113 /* setreuid */, on_set_two_ids, nullptr, true},
    {114 /* setregid */, on_set_two_ids, nullptr, true},
    {117 /* setresuid */, on_set_three_ids, nullptr, true},
    {119 /* setresgid */, on_set_three_ids, nullptr, true},
    {125 /* capget */, on_capget, nullptr, true},
    {126 /* capset */, on_capset, nullptr, true},
};

/// Calls that do not come back, or come back twice on one stack: their exit is not ours to see.
bool never_watched(const TrapFrame* f) {
  switch (f->nr) {
    case NR_vfork:
    case NR_execve:
    case NR_execveat:
    case NR_exit:
    case NR_exit_group:
    case NR_rt_sigreturn:
      return true;
    case NR_clone:
    case NR_clone3:
    case NR_fork:
      return f->action != Action::Watched;  // on_new_task() has decided
    default:
      return false;
  }
}

const Entry* entry_of(u64 nr) { return nr < sizeof skep_interest_local && skep_interest_local[nr] != 0 ? &TABLE[skep_interest_local[nr] - 1] : nullptr; }

}  // namespace

void fill_table() {
  u8 i = 0;
  for (const Entry& e : TABLE) {
    ++i;
    if (!e.for_fake_root || session.fake_root == FakeRoot::On) skep_interest_local[e.nr] = i;
  }
}

}  // namespace skep::agent

static void trap(TrapFrame* f) {
  const u8 session_wants = f->nr < MAX_SYSCALLS ? load_relaxed(&skep_interest_session[f->nr]) : 0;
  const bool overridden = (session_wants & INTEREST_ENTER) != 0 && fire_enter(f);
  if (const Entry* e = entry_of(f->nr); e != nullptr && !overridden) e->enter(f);
  f->want_exit = session_wants & INTEREST_EXIT;
  if (f->want_exit == 0) return;
  if (f->action == Action::Answered)
    fire_exit(f, f->ax);
  else if (!never_watched(f))
    f->action = Action::Watched;
}

void skep_trap_c(TrapFrame* f) {
  f->nr = static_cast<u64>(f->ax);
  const bool left = leave_alternate_stack(f);
  trap(f);
  if (left) return_to_alternate_stack();
}

void skep_exit_c(TrapFrame* f) {
  const bool left = leave_alternate_stack(f);
  if (f->changed != 0) *f->slot(static_cast<int>(f->changed) - 1) = f->original;
  if (const Entry* e = entry_of(f->nr); e != nullptr && e->leave != nullptr) e->leave(f);
  if (f->want_exit != 0) fire_exit(f, f->ax);
  if (left) return_to_alternate_stack();
}
