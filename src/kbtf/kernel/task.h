// kbtf: tasks and what hangs off them. Linux: include/linux/{sched,cred,sched/signal,nsproxy,pid,fdtable,mm_types}.h
#pragma once
#include "kbtf/kernel/base.h"

struct bpf_local_storage;
struct bpf_run_ctx;
struct completion;
struct cgroup;
struct css_set;
struct file;
struct key;
struct mm_struct;
struct nsproxy;
struct sighand_struct;
struct signal_struct;
struct vm_area_struct;

struct thread_info {
  unsigned long flags, syscall_work;
  u32 status, cpu;
} KEEP(thread_info);

struct sched_entity {
  u64 exec_start, sum_exec_runtime, prev_sum_exec_runtime, vruntime;
} KEEP(sched_entity);
struct sched_info {
  unsigned long pcount;
  unsigned long long run_delay, last_arrival, last_queued;
} KEEP(sched_info);
struct task_io_accounting {
  u64 rchar, wchar, syscr, syscw, read_bytes, write_bytes, cancelled_write_bytes;
} KEEP(task_io_accounting);

enum pid_type { PIDTYPE_PID, PIDTYPE_TGID, PIDTYPE_PGID, PIDTYPE_SID, PIDTYPE_MAX };

/// The first 32 bytes are what a run fills: see the README.
struct task_struct {
  unsigned int __state, saved_state;
  pid_t pid, tgid;
  char comm[16];

  struct thread_info thread_info;
  void *stack;
  refcount_t usage;
  unsigned int flags, ptrace;
  int on_cpu, wake_cpu, on_rq;
  int prio, static_prio, normal_prio;
  unsigned int rt_priority, policy;
  struct sched_entity se;
  int recent_used_cpu, nr_cpus_allowed;
  const cpumask_t *cpus_ptr;
  cpumask_t *user_cpus_ptr;
  cpumask_t cpus_mask;
  unsigned short migration_disabled, migration_flags;
  struct sched_info sched_info;
  struct list_head tasks;
  struct mm_struct *mm, *active_mm;
  int exit_state, exit_code, exit_signal, pdeath_signal;
  unsigned long jobctl;
  unsigned int personality;
  unsigned int in_execve : 1, in_iowait : 1, restore_sigmask : 1, no_cgroup_migration : 1, frozen : 1;
  unsigned long atomic_flags, stack_canary;
  struct task_struct __rcu *real_parent;
  struct task_struct __rcu *parent;
  struct list_head children, sibling;
  struct task_struct *group_leader;
  struct list_head ptraced, ptrace_entry;
  struct pid *thread_pid;
  struct hlist_node pid_links[PIDTYPE_MAX];
  struct list_head thread_node;
  struct completion *vfork_done;
  int __user *set_child_tid;
  int __user *clear_child_tid;
  void *worker_private;
  u64 utime, stime, gtime;
  unsigned long nvcsw, nivcsw;
  u64 start_time, start_boottime;
  unsigned long min_flt, maj_flt;
  const struct cred __rcu *ptracer_cred;
  const struct cred __rcu *real_cred;
  const struct cred __rcu *cred;
  unsigned long last_switch_count, last_switch_time;
  struct fs_struct *fs;
  struct files_struct *files;
  struct nsproxy *nsproxy;
  struct signal_struct *signal;
  struct sighand_struct __rcu *sighand;
  sigset_t blocked, real_blocked, saved_sigmask;
  unsigned long sas_ss_sp;
  size_t sas_ss_size;
  unsigned int sas_ss_flags;
  struct callback_head *task_works;
  kuid_t loginuid;
  unsigned int sessionid;
  u64 parent_exec_id, self_exec_id;
  spinlock_t alloc_lock;
  void *journal_info;
  struct task_io_accounting ioac;
  struct css_set __rcu *cgroups;
  struct list_head cg_list;
  u64 timer_slack_ns, default_timer_slack_ns;
  struct callback_head rcu;
  refcount_t rcu_users;
  int pagefault_disabled;
  void *security;
  struct bpf_local_storage __rcu *bpf_storage;
  struct bpf_run_ctx *bpf_ctx;
} KEEP(task_struct);

struct cred {
  atomic_long_t usage;
  kuid_t uid;
  kgid_t gid;
  kuid_t suid;
  kgid_t sgid;
  kuid_t euid;
  kgid_t egid;
  kuid_t fsuid;
  kgid_t fsgid;
  unsigned int securebits;
  kernel_cap_t cap_inheritable, cap_permitted, cap_effective, cap_bset, cap_ambient;
  unsigned char jit_keyring;
  struct key *session_keyring, *process_keyring, *thread_keyring, *request_key_auth;
  void *security;
  struct user_struct *user;
  struct user_namespace *user_ns;
  struct ucounts *ucounts;
  struct group_info *group_info;
  union {
    int non_rcu;
    struct callback_head rcu;
  };
} KEEP(cred);
struct group_info {
  refcount_t usage;
  int ngroups;
  kgid_t gid[0];
} KEEP(group_info);
struct user_struct {
  refcount_t __count;
  kuid_t uid;
} KEEP(user_struct);

struct rlimit {
  unsigned long rlim_cur, rlim_max;
} KEEP(rlimit);
struct tty_struct {
  int index;
  char name[64];
} KEEP(tty_struct);

struct signal_struct {
  refcount_t sigcnt;
  atomic_t live;
  int nr_threads, quick_threads;
  struct list_head thread_head;
  struct task_struct *curr_target;
  int group_exit_code, notify_count;
  struct task_struct *group_exec_task;
  int group_stop_count;
  unsigned int flags;
  unsigned int is_child_subreaper : 1, has_child_subreaper : 1;
  struct pid *pids[PIDTYPE_MAX];
  struct pid *tty_old_pgrp;
  int leader;
  struct tty_struct *tty;
  u64 utime, stime, cutime, cstime, gtime, cgtime;
  unsigned long nvcsw, nivcsw, cnvcsw, cnivcsw, min_flt, maj_flt, cmin_flt, cmaj_flt, maxrss, cmaxrss;
  struct task_io_accounting ioac;
  struct rlimit rlim[16];
  bool oom_flag_origin;
  short oom_score_adj, oom_score_adj_min;
} KEEP(signal_struct);
struct sighand_struct {
  spinlock_t siglock;
  refcount_t count;
} KEEP(sighand_struct);
struct kernel_siginfo {
  int si_signo, si_errno, si_code;
} KEEP(kernel_siginfo);
OPAQUE(k_sigaction);

struct upid {
  int nr;
  struct pid_namespace *ns;
} KEEP(upid);
struct pid {
  refcount_t count;
  unsigned int level;
  spinlock_t lock;
  u64 ino;
  struct hlist_head tasks[PIDTYPE_MAX];
  struct callback_head rcu;
  struct upid numbers[0];
} KEEP(pid);

struct ns_common {
  unsigned int inum;
  refcount_t count;
} KEEP(ns_common);
struct pid_namespace {
  unsigned int pid_allocated;
  struct task_struct *child_reaper;
  unsigned int level;
  struct pid_namespace *parent;
  struct user_namespace *user_ns;
  struct ns_common ns;
} KEEP(pid_namespace);
struct uid_gid_extent {
  u32 first, lower_first, count;
} KEEP(uid_gid_extent);
struct uid_gid_map {
  u32 nr_extents;
  struct uid_gid_extent extent[5];
} KEEP(uid_gid_map);
struct user_namespace {
  struct uid_gid_map uid_map, gid_map, projid_map;
  struct user_namespace *parent;
  int level;
  kuid_t owner;
  kgid_t group;
  struct ns_common ns;
  unsigned long flags;
} KEEP(user_namespace);
struct new_utsname {
  char sysname[65], nodename[65], release[65], version[65], machine[65], domainname[65];
} KEEP(new_utsname);
struct uts_namespace {
  struct new_utsname name;
  struct user_namespace *user_ns;
  struct ns_common ns;
} KEEP(uts_namespace);
struct ipc_namespace {
  struct user_namespace *user_ns;
  struct ns_common ns;
} KEEP(ipc_namespace);
struct mnt_namespace {
  struct ns_common ns;
  struct user_namespace *user_ns;
  u64 seq;
} KEEP(mnt_namespace);
struct time_namespace {
  struct user_namespace *user_ns;
  struct ns_common ns;
} KEEP(time_namespace);
struct cgroup_namespace {
  struct ns_common ns;
  struct user_namespace *user_ns;
  struct css_set *root_cset;
} KEEP(cgroup_namespace);
struct nsproxy {
  refcount_t count;
  struct uts_namespace *uts_ns;
  struct ipc_namespace *ipc_ns;
  struct mnt_namespace *mnt_ns;
  struct pid_namespace *pid_ns_for_children;
  struct net *net_ns;
  struct time_namespace *time_ns, *time_ns_for_children;
  struct cgroup_namespace *cgroup_ns;
} KEEP(nsproxy);

struct mm_struct {
  atomic_t mm_count, mm_users;
  int map_count;
  unsigned long mmap_base, task_size;
  unsigned long hiwater_rss, hiwater_vm, total_vm, locked_vm, data_vm, exec_vm, stack_vm;
  unsigned long start_code, end_code, start_data, end_data, start_brk, brk, start_stack;
  unsigned long arg_start, arg_end, env_start, env_end;
  unsigned long saved_auxv[52];
  unsigned long flags;
  struct task_struct __rcu *owner;
  struct user_namespace *user_ns;
  struct file __rcu *exe_file;
} KEEP(mm_struct);
struct vm_area_struct {
  unsigned long vm_start, vm_end;
  struct mm_struct *vm_mm;
  union {
    const vm_flags_t vm_flags;
    vm_flags_t __vm_flags;
  };
  unsigned long vm_pgoff;
  struct file *vm_file;
  void *vm_private_data;
} KEEP(vm_area_struct);

struct pt_regs {
  unsigned long r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di, orig_ax, ip;
  union {
    u16 cs;
    u64 csx;
  };
  unsigned long flags, sp;
  union {
    u16 ss;
    u64 ssx;
  };
} KEEP(pt_regs);
#ifndef __cplusplus
typedef struct pt_regs bpf_user_pt_regs_t;
bpf_user_pt_regs_t kept_bpf_user_pt_regs_t;
#endif

struct task_group;
struct psi_group;
struct cgroup_subsys {
  int id;
  const char *name, *legacy_name;
} KEEP(cgroup_subsys);
struct cgroup_subsys_state {
  struct cgroup *cgroup;
  struct cgroup_subsys *ss;
  struct list_head sibling, children;
  int id;
  unsigned int flags;
  u64 serial_nr;
  atomic_t online_cnt;
  struct cgroup_subsys_state *parent;
  int nr_descendants;
} KEEP(cgroup_subsys_state);
struct kernfs_node {
  atomic_t count, active;
  struct kernfs_node *parent;
  const char *name;
  const void *ns;
  unsigned int hash;
  unsigned short flags;
  umode_t mode;
  u64 id;
  void *priv;
} KEEP(kernfs_node);
struct cgroup_bpf {
  u8 flags[38];
} KEEP(cgroup_bpf);
struct cgroup {
  struct cgroup_subsys_state self;
  unsigned long flags;
  int level, max_depth, nr_descendants, nr_dying_descendants, max_descendants;
  struct kernfs_node *kn;
  u16 subtree_control, subtree_ss_mask;
  struct cgroup_subsys_state __rcu *subsys[14];
  struct cgroup_root *root;
  struct list_head cset_links;
  struct cgroup *dom_cgrp, *old_dom_cgrp;
  struct cgroup_bpf bpf;
  struct bpf_local_storage __rcu *bpf_cgrp_storage;
  struct cgroup *ancestors[0];
} KEEP(cgroup);
struct cgroup_root {
  unsigned int subsys_mask;
  int hierarchy_id;
  struct list_head root_list;
  unsigned int flags;
  char name[64];
  struct cgroup cgrp;
} KEEP(cgroup_root);
struct css_set {
  struct cgroup_subsys_state *subsys[14];
  refcount_t refcount;
  struct css_set *dom_cset;
  struct cgroup *dfl_cgrp;
  int nr_tasks;
  struct list_head tasks;
  struct hlist_node hlist;
  bool dead;
} KEEP(css_set);
struct task_group {
  struct cgroup_subsys_state css;
  unsigned long shares;
  struct task_group *parent;
  struct list_head list, siblings, children;
} KEEP(task_group);
