// agent: the parts of the agent, and what each offers the others. Everything here runs inside other people's processes: general
// registers only, no libc, no allocation, silent. See README.md for the rules and the check that keeps them.
#pragma once
#include "agent/state.h"
#include "agent/sys.h"
#include "agent/text.h"
#include "agent/trap.h"
#include "helpers/run_ctx.h"
#include "wire/wire.h"

namespace skep::agent {

/// Copies a path from the program: its length, or -EFAULT / -ENAMETOOLONG.
s64 copy_path(char (&out)[4096], u64 user);

// stacks.cc
bool map_stacks();
/// All of them.
AddrRange agent_stacks();
/// True when a thread whose stack pointer is `sp` cannot be inside anything of ours any more.
bool left_behind(u64 sp);
void on_sigaltstack(TrapFrame* f);
void after_sigaltstack(TrapFrame* f);
bool leave_alternate_stack(const TrapFrame* f);
void return_to_alternate_stack();

// control.cc: the control connection
struct HostCall {
  WireOp op;
  u64 a[6];
  void* payload = nullptr;  ///< reply payload goes here, cut at payload_cap
  u32 payload_cap = 0;
  u32 payload_len = 0;  ///< out: what came
  s32 fds[4] = {-1, -1, -1, -1};  ///< out: received, close-on-exec
  u32 n_fds = 0;
};
/// Asks the host, connecting first if need be. >= 0 or -errno; -EIO when there is no host.
s64 host_call(HostCall& c);
/// True once this process has an identity. Connects if it has not.
bool registered();
/// Says hello for a new image or a fork child. REQUIRES: the connection is made and locked, or nobody else can be running.
s64 connect_host(bool first, HostCall* hello);
void note(const char* text);

// signals.cc: SIGSEGV and SIGBUS stay ours for guarded copies; the program's own view of them is kept beside.
void take_fault_signals();
/// What exec would keep of the program's view of the two, were they its own: one character for the new image, NUL: nothing.
char inheritable_signals();
void inherit_signals(const char* digit);
void on_rt_sigaction(TrapFrame* f);
void on_rt_sigprocmask(TrapFrame* f);
void on_rt_sigsuspend(TrapFrame* f);
/// Replaces the mask that argument i points to, for the length of the call, if it would block SIGSEGV or SIGBUS.
void widen_mask(TrapFrame* f, int i);

// memory.cc: guarded access to the program's memory: 0 or -EFAULT
s64 read_user(void* dst, u64 src, u64 n);
s64 write_user(u64 dst, const void* src, u64 n);
s64 read_user_string(char* dst, u64 size, u64 src);

// fire.cc: programs run
struct EventSource;
/// True: a program has answered the call, which is not to be made.
bool fire_enter(TrapFrame* f);
void fire_exit(TrapFrame* f, s64 ret);
void fire_exec_exit(const char* filename);
/// Somebody runs at this place, and this process may run programs in the middle of `at`: worth making the event.
bool is_watched(EventPlace place, const TrapFrame& at);
/// In the middle of the system call `at`.
void fire_event(EventPlace place, const EventSource& source, const TrapFrame& at);
/// Maps the BPF ring buffers made since the last time. False: cannot, so no program that may use one runs.
bool sync_ring_maps();

// gdb_jit.cc
/// Where it was asked for: tells a debugger of code that has come and gone since the last time. False: it is not told now, and is to be later.
bool tell_debugger();

// sched_events.cc, signal_events.cc: what happens to tasks, beside their system calls
void tell_exec(const char* filename, const TrapFrame& at);  ///< this image has begun; the name as it was asked for, null: not known
void tell_fork(s32 child, const TrapFrame& at);
void on_exit(TrapFrame* f);
void on_send_signal(TrapFrame* f);

// test_run.cc
void on_test_run(TrapFrame* f);

// exec.cc
void on_execve(TrapFrame* f);
void on_execveat(TrapFrame* f);

// process.cc: fork and friends, and our own descriptors
void on_clone(TrapFrame* f);
void on_clone3(TrapFrame* f);
void on_fork(TrapFrame* f);
void on_vfork(TrapFrame* f);
void after_fork(TrapFrame* f);
void on_close(TrapFrame* f);
void on_close_range(TrapFrame* f);
void on_dup_over(TrapFrame* f);
void on_unshare(TrapFrame* f);
void on_prctl(TrapFrame* f);
void on_seccomp(TrapFrame* f);
/// Closes of a BPF client are seen by the host before they return: ids are gone then, as on Linux.
void after_close_of(TrapFrame* f, s64 fd);
void sync_closes(TrapFrame* f);
bool own_fd(s64 fd);
/// True in a child that shares this memory but not the fds and signal dispositions: it must change nothing of its parent's.
bool in_vfork_child();
/// Moves a descriptor out of the program's way. Returns its new number.
s32 park_fd(s32 fd, bool cloexec);

// bpf.cc: the calls that the host answers
/// Non-zero once this process has had a BPF fd from us (or may have inherited one): only then its other calls are looked at.
extern u32 bpf_client;
extern u32 has_mappings;  ///< non-zero once it has mapped one
void on_bpf(TrapFrame* f);
void on_perf_event_open(TrapFrame* f);
void on_ioctl(TrapFrame* f);
void on_mmap(TrapFrame* f);
void on_munmap(TrapFrame* f);
void on_fcntl(TrapFrame* f);
void on_setrlimit(TrapFrame* f);
void on_prlimit64(TrapFrame* f);
void on_mlockall(TrapFrame* f);

// rings.cc: waiting on ring buffers and perf events
struct FdStat {
  u64 dev, ino;
  u32 mode;
};
s64 stat_fd(s32 fd, FdStat* out);
/// The object behind an fd of ours, from a small cache by inode or from the host; false when it is none.
bool identify(s32 fd, WireObject* out);
void remember_object(const WireObject& o);
void on_poll(TrapFrame* f);
void after_poll(TrapFrame* f);
void on_select(TrapFrame* f);
void after_select(TrapFrame* f);
void on_epoll_ctl(TrapFrame* f);
void on_epoll_wait(TrapFrame* f);
void after_epoll_wait(TrapFrame* f);
extern u32 ring_users;  ///< non-zero once this process knows a ring-like object: only then its waits are looked at

// paths.cc: the virtual files
void on_path0(TrapFrame* f);    ///< path is the first argument
void on_pathat(TrapFrame* f);   ///< dirfd, path
void on_two_paths(TrapFrame* f);
void on_two_pathsat(TrapFrame* f);
void on_symlink(TrapFrame* f);
void on_symlinkat(TrapFrame* f);
void on_umount2(TrapFrame* f);
void on_statfs(TrapFrame* f);
void on_fstatfs(TrapFrame* f);
void on_readlink(TrapFrame* f);
void on_readlinkat(TrapFrame* f);
void on_mount(TrapFrame* f);
void on_mknod(TrapFrame* f);
void on_mknodat(TrapFrame* f);
void on_mkdir(TrapFrame* f);
void on_mkdirat(TrapFrame* f);

// memory_maps.cc
/// A file of our own may stand in for one of /proc: writing it is no system call too many, nor beyond a limit that kills.
bool may_make_copies();
/// An open of a /proc/PID/maps has been answered.
bool open_maps(TrapFrame* f, u64 path, u64 open_flags);
// mounts.cc
/// An open of the list of mounts has been answered.
bool open_mounts(TrapFrame* f, u64 path, u64 open_flags);

// fake_root.cc: only where --fake-root is on
void on_get_id(TrapFrame* f);
void on_get_three_ids(TrapFrame* f);
void on_set_id(TrapFrame* f);
void on_set_two_ids(TrapFrame* f);
void on_set_three_ids(TrapFrame* f);
void on_capget(TrapFrame* f);
void on_capset(TrapFrame* f);

// table.cc
using Handler = void (*)(TrapFrame*);
void fill_table();

}  // namespace skep::agent
