// agent: tasks, described. See task.h for what points where, and task_block.h for what lies where.
#include "agent/agent.h"
#include "agent/cgroups.h"
#include "agent/task.h"
#include "agent/task_block.h"
#include "agent/task_facts.h"
#include "agent/vdso.h"
#include "base/bytes.h"

namespace skep::agent {
namespace {

constexpr s32 CLOCK_MONOTONIC_ = 1, CLOCK_BOOTTIME_ = 7, SIGCHLD_ = 17;
constexpr u64 NS_PER_TICK = 10'000'000;  ///< what /proc counts in is USER_HZ, 100 a second
constexpr s32 DEFAULT_PRIO = 120, MAX_RT_PRIO = 100;

/// "/proc/self/NAME" or "/proc/thread-self/NAME".
struct ProcPath {
  char text[48] = "";
  ProcPath(Who who, const char* name) {
    append(text, sizeof text, who == Who::Thread ? "/proc/thread-self/" : "/proc/self/");
    append(text, sizeof text, name);
  }
};

void fill_times(kernel::task_struct& task, const StatFacts& stat) {
  const u64 awake = clock_ns(CLOCK_MONOTONIC_), slept = clock_ns(CLOCK_BOOTTIME_) - awake;
  task.start_boottime = static_cast<u64>(stat[stat_field::starttime]) * NS_PER_TICK;
  task.start_time = task.start_boottime > slept ? task.start_boottime - slept : 0;
}

void fill_by_stat(kernel::task_struct& task, const StatFacts& stat) {
  copy_bytes(task.comm, stat.comm, sizeof task.comm);
  task.flags = static_cast<u32>(stat[stat_field::flags]);
  task.prio = task.normal_prio = static_cast<s32>(stat[stat_field::priority]) + MAX_RT_PRIO;
  task.static_prio = static_cast<s32>(stat[stat_field::nice]) + DEFAULT_PRIO;
  task.rt_priority = static_cast<u32>(stat[stat_field::rt_priority]);
  task.policy = static_cast<u32>(stat[stat_field::policy]);
  task.exit_signal = stat.count > stat_field::exit_signal ? static_cast<s32>(stat[stat_field::exit_signal]) : SIGCHLD_;
  fill_times(task, stat);
}

/// Of the calling thread, which others of its process start with.
void fill_processors(kernel::task_struct& task) {
  constexpr u32 NR_sched_getaffinity = 204;
  if (sys(NR_sched_getaffinity, 0, sizeof task.cpus_mask, &task.cpus_mask) < 0) return;
  for (unsigned long word : task.cpus_mask.bits)
    for (; word != 0; word &= word - 1) ++task.nr_cpus_allowed;
}

/// The number is known in the task's own namespace, which is the last; `status` knows it in those around too, if it is of the same
/// task.
void fill_pid(PidBlock& p, s32 nr, const StatusFacts& status, kernel::pid_namespace* ns) {
  zero_bytes(&p, sizeof p);
  const u32 level = status.levels != 0 ? status.levels - 1 : 0;
  p.pid.level = level;
  p.pid.count.refs.counter = 1;
  if (status.levels != 0 && status.ns_pid[level] == nr)
    for (u32 i = 0; i < level; ++i) p.numbers[i].nr = status.ns_pid[i];
  p.numbers[level].nr = nr;
  p.numbers[level].ns = ns;
}

void fill_cred_by(TaskBlock& b, const StatusFacts& status) {
  kernel::cred& c = b.cred;
  zero_bytes(&b.cred, sizeof b.cred);
  zero_bytes(&b.user, sizeof b.user);
  c.usage.counter = 1;
  c.uid.val = status.uid[0];
  c.euid.val = status.uid[1];
  c.suid.val = status.uid[2];
  c.fsuid.val = status.uid[3];
  c.gid.val = status.gid[0];
  c.egid.val = status.gid[1];
  c.sgid.val = status.gid[2];
  c.fsgid.val = status.gid[3];
  c.cap_inheritable.val = status.cap_inheritable;
  c.cap_permitted.val = status.cap_permitted;
  c.cap_effective.val = status.cap_effective;
  c.cap_bset.val = status.cap_bset;
  c.cap_ambient.val = status.cap_ambient;
  c.user = &b.user;
  b.user.uid.val = status.uid[0];
  b.task.cred = b.task.real_cred = &c;
}

/// /proc not to be read: what system calls say.
void status_by_calls(StatusFacts& s) {
  constexpr u32 NR_getresuid = 118, NR_getresgid = 120;
  sys(NR_getresuid, &s.uid[0], &s.uid[1], &s.uid[2]);
  sys(NR_getresgid, &s.gid[0], &s.gid[1], &s.gid[2]);
  s.uid[3] = s.uid[1];
  s.gid[3] = s.gid[1];
}

void read_own_status(Who who, StatusFacts& s) {
  if (!read_status(ProcPath(who, "status").text, s)) status_by_calls(s);
}

void fill_mm(TaskBlock& b, const StatFacts& stat) {
  kernel::mm_struct& mm = b.mm;
  zero_bytes(&mm, sizeof mm);
  const auto at = [&](u32 number) { return static_cast<u64>(stat[number]); };
  mm.mm_users.counter = mm.mm_count.counter = 1;
  mm.start_code = at(stat_field::startcode);
  mm.end_code = at(stat_field::endcode);
  mm.start_stack = at(stat_field::startstack);
  mm.start_data = at(stat_field::start_data);
  mm.end_data = at(stat_field::end_data);
  mm.start_brk = mm.brk = at(stat_field::start_brk);
  mm.arg_start = at(stat_field::arg_start);
  mm.arg_end = at(stat_field::arg_end);
  mm.env_start = at(stat_field::env_start);
  mm.env_end = at(stat_field::env_end);
  mm.owner = &b.task;
  mm.user_ns = &b.namespaces.user;
}

void fill_signal(TaskBlock& b, const StatFacts& stat) {
  kernel::signal_struct& s = b.signal;
  zero_bytes(&s, sizeof s);
  s.nr_threads = s.live.counter = s.quick_threads = static_cast<s32>(stat[stat_field::num_threads]);
  s.sigcnt.refs.counter = s.nr_threads;
  s.leader = stat[stat_field::session] == b.task.tgid;
  s.curr_target = &b.task;
  s.pids[kernel::PIDTYPE_PID] = s.pids[kernel::PIDTYPE_TGID] = &b.pid.pid;
  s.pids[kernel::PIDTYPE_PGID] = &b.group.pid;
  s.pids[kernel::PIDTYPE_SID] = &b.session.pid;
}

/// As far as the hierarchy of version 2 goes: the subsystems of version 1 are told the same.
void fill_cgroups(TaskBlock& b) {
  CgroupBlock& c = b.cgroups;
  fill_needed(b.task, c);
  const CgroupPath& path = *current_cgroups();
  c.set.dom_cset = &c.set;
  c.cgroup.level = path.levels != 0 ? static_cast<s32>(path.levels) - 1 : 0;
  c.node.id = path.levels != 0 ? path.ids[path.levels - 1] : 0;
}

void fill_time_namespace(kernel::time_namespace& ns, u32 inum, kernel::user_namespace* user) {
  ns.ns.inum = inum;
  ns.user_ns = user;
}

}  // namespace

void fill_needed(kernel::task_struct& task, CgroupBlock& c) {
  zero_bytes(&c, sizeof c);
  c.set.dfl_cgrp = &c.cgroup;
  c.cgroup.self.cgroup = &c.cgroup;
  c.cgroup.kn = &c.node;
  for (auto& css : c.set.subsys) css = &c.cgroup.self;
  task.cgroups = &c.set;
  task.cpus_ptr = &task.cpus_mask;
}

void fill_task(TaskBlock& b, Who who, s32 pid, s32 tgid) {
  StatFacts stat;
  StatusFacts status;
  read_stat(ProcPath(who, "stat").text, stat);
  read_own_status(who, status);
  zero_bytes(&b, offsetof(TaskBlock, group));
  b.parent = NO_TASK;
  kernel::task_struct& task = b.task;
  fill_needed(task, b.cgroups);
  task.pid = pid;
  task.tgid = tgid;
  task.usage.refs.counter = 1;
  task.on_cpu = task.on_rq = 1;
  fill_by_stat(task, stat);
  fill_cred_by(b, status);
  fill_pid(b.pid, pid, status, &b.namespaces.pid);
  task.thread_pid = &b.pid.pid;
  task.group_leader = task.real_parent = task.parent = &task;
  task.cpus_ptr = &task.cpus_mask;
  fill_processors(task);
  if (who == Who::Thread) task.thread.fsbase = reinterpret_cast<u64>(__builtin_thread_pointer());
}

void fill_cred(TaskBlock& b, Who who) {
  StatusFacts status;
  read_own_status(who, status);
  fill_cred_by(b, status);
}

void fill_namespaces(TaskBlock& b, Who who) {
  NamespaceBlock& n = b.namespaces;
  // Of the last, which is large, only what stands in front is ever written.
  zero_bytes(&n, offsetof(NamespaceBlock, net) + offsetof(kernel::net, hash_mix));
  const auto inum = [who](const char* name) { return read_inum(ProcPath(who, name).text); };
  kernel::user_namespace* user = &n.user;
  n.user.ns.inum = inum("ns/user");
  n.mnt.ns.inum = inum("ns/mnt");
  n.mnt.user_ns = user;
  n.uts.ns.inum = inum("ns/uts");
  n.uts.user_ns = user;
  sys(NR_uname, &n.uts.name);
  n.ipc.ns.inum = inum("ns/ipc");
  n.ipc.user_ns = user;
  n.net.ns.inum = inum("ns/net");
  n.net.user_ns = user;
  n.cgroup.ns.inum = inum("ns/cgroup");
  n.cgroup.user_ns = user;
  n.pid.ns.inum = inum("ns/pid");
  n.pid_for_children.ns.inum = inum("ns/pid_for_children");
  n.pid.level = b.pid.pid.level;
  n.pid.user_ns = n.pid_for_children.user_ns = user;
  fill_time_namespace(n.time, inum("ns/time"), user);
  fill_time_namespace(n.time_for_children, inum("ns/time_for_children"), user);
  const bool same_pid = n.pid_for_children.ns.inum == n.pid.ns.inum || n.pid_for_children.ns.inum == 0;
  n.pid_for_children.level = n.pid.level + 1;
  n.proxy = {.count = {.refs = {.counter = 1}},
             .uts_ns = &n.uts,
             .ipc_ns = &n.ipc,
             .mnt_ns = &n.mnt,
             .pid_ns_for_children = same_pid ? &n.pid : &n.pid_for_children,
             .net_ns = &n.net,
             .time_ns = &n.time,
             .time_ns_for_children = n.time_for_children.ns.inum == n.time.ns.inum ? &n.time : &n.time_for_children,
             .cgroup_ns = &n.cgroup};
  b.cred.user_ns = user;
  b.task.nsproxy = &n.proxy;
  b.pid.numbers[b.pid.pid.level].ns = &n.pid;
}

void fill_process(TaskBlock& leader) {
  StatFacts stat;
  StatusFacts status;
  read_stat(ProcPath(Who::Leader, "stat").text, stat);
  read_own_status(Who::Leader, status);
  fill_namespaces(leader, Who::Leader);
  fill_pid(leader.group, static_cast<s32>(stat[stat_field::pgrp]), status, &leader.namespaces.pid);
  fill_pid(leader.session, static_cast<s32>(stat[stat_field::session]), status, &leader.namespaces.pid);
  fill_signal(leader, stat);
  fill_mm(leader, stat);
  fill_cgroups(leader);
  kernel::task_struct& task = leader.task;
  task.signal = &leader.signal;
  task.mm = task.active_mm = &leader.mm;
  constexpr u32 UNSET = ~0u;
  task.loginuid.val = static_cast<u32>(read_number("/proc/self/loginuid", UNSET));
  task.sessionid = static_cast<u32>(read_number("/proc/self/sessionid", UNSET));
}

void join_process(TaskBlock& b, TaskBlock& leader) {
  kernel::task_struct &task = b.task, &first = leader.task;
  task.group_leader = &first;
  task.signal = first.signal;
  task.mm = task.active_mm = first.mm;
  task.nsproxy = first.nsproxy;
  task.cgroups = first.cgroups;
  task.loginuid = first.loginuid;
  task.sessionid = first.sessionid;
  b.cred.user_ns = leader.cred.user_ns;
  b.pid.numbers[b.pid.pid.level].ns = &leader.namespaces.pid;
}

void fill_stranger(TaskBlock& b, s32 pid) {
  zero_bytes(&b, offsetof(TaskBlock, group));
  b.parent = NO_TASK;
  kernel::task_struct& task = b.task;
  task.pid = task.tgid = pid;
  task.group_leader = task.real_parent = task.parent = &task;
  fill_needed(task, b.cgroups);
  // Its number means something to a /proc that is of this process's namespace only.
  char text[64];
  const s64 n = sys(NR_readlink, "/proc/self", text, sizeof text - 1);
  text[n > 0 ? n : 0] = '\0';
  char own[24] = "";
  append_number(own, sizeof own, sys(NR_getpid));
  if (!same(text, own)) return;
  char path[48] = "/proc/";
  append_number(path, sizeof path, pid);
  append(path, sizeof path, "/stat");
  StatFacts stat;
  if (!read_stat(path, stat)) return;
  fill_by_stat(task, stat);
  b.ppid = static_cast<s32>(stat[stat_field::ppid]);
}

}  // namespace skep::agent
