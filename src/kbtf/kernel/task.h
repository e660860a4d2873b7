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
struct dentry;
struct nsproxy;
struct proc_ns_operations;
struct sighand_struct;
struct signal_struct;
struct vm_area_struct;

struct thread_info {
  unsigned long flags, syscall_work;
  u32 status, cpu;
} KEEP(thread_info);

struct load_weight {
  unsigned long weight;
  u32 inv_weight;
} KEEP(load_weight);
struct sched_entity {
  struct load_weight load;
  struct rb_node run_node;
  struct list_head group_node;
  unsigned int on_rq;
  u64 exec_start, sum_exec_runtime, vruntime, prev_sum_exec_runtime, nr_migrations;
  int depth;
  struct sched_entity *parent;
  TO(256, 136);
} KEEP(sched_entity);
struct sched_info {
  unsigned long pcount;
  unsigned long long run_delay, last_arrival, last_queued;
} KEEP(sched_info);
struct task_io_accounting {
  u64 rchar, wchar, syscr, syscw, read_bytes, write_bytes, cancelled_write_bytes;
} KEEP(task_io_accounting);

/// Of x86. What lies behind is the processor's state, which nobody has here.
struct thread_struct {
  TO(24, 24);
  unsigned long sp;
  unsigned short es, ds, fsindex, gsindex;
  unsigned long fsbase, gsbase;
  TO(104, 48);
  unsigned long cr2, trap_nr, error_code;
  TO(192, 64);
} KEEP(thread_struct);

enum pid_type { PIDTYPE_PID, PIDTYPE_TGID, PIDTYPE_PGID, PIDTYPE_SID, PIDTYPE_MAX };

struct task_struct {
  struct thread_info thread_info;
  unsigned int __state, saved_state;
  void *stack;
  refcount_t usage;
  unsigned int flags, ptrace;
  int on_cpu;
  TO(96, 40);
  int recent_used_cpu, wake_cpu, on_rq;
  int prio, static_prio, normal_prio;
  unsigned int rt_priority;
  struct sched_entity se;
  TO(664, 280);
  struct task_group *sched_task_group;
  TO(972, 300);
  unsigned int policy;
  int nr_cpus_allowed;
  const cpumask_t *cpus_ptr;
  cpumask_t *user_cpus_ptr;
  cpumask_t cpus_mask;
  TO(2032, 8);
  unsigned short migration_disabled, migration_flags;
  TO(2160, 124);
  struct sched_info sched_info;
  struct list_head tasks;
  TO(2272, 64);
  struct mm_struct *mm, *active_mm;
  TO(2308, 20);
  int exit_state, exit_code, exit_signal, pdeath_signal;
  unsigned long jobctl;
  unsigned int personality;
  TO(2344, 4);
  unsigned int : 2, in_execve : 1, in_iowait : 1, restore_sigmask : 1, : 2, no_cgroup_migration : 1, frozen : 1;
  unsigned long atomic_flags;
  TO(2416, 56);
  pid_t pid, tgid;
  unsigned long stack_canary;
  struct task_struct __rcu *real_parent;
  struct task_struct __rcu *parent;
  struct list_head children, sibling;
  struct task_struct *group_leader;
  struct list_head ptraced, ptrace_entry;
  struct pid *thread_pid;
  struct hlist_node pid_links[PIDTYPE_MAX];
  TO(2608, 16);
  struct list_head thread_node;
  struct completion *vfork_done;
  int __user *set_child_tid;
  int __user *clear_child_tid;
  void *worker_private;
  u64 utime, stime, gtime;
  TO(2760, 80);
  unsigned long nvcsw, nivcsw;
  u64 start_time, start_boottime;
  unsigned long min_flt, maj_flt;
  TO(2944, 136);
  const struct cred __rcu *ptracer_cred;
  const struct cred __rcu *real_cred;
  const struct cred __rcu *cred;
  TO(2976, 8);
  char comm[16];
  TO(3024, 32);
  unsigned long last_switch_count, last_switch_time;
  struct fs_struct *fs;
  struct files_struct *files;
  TO(3064, 8);
  struct nsproxy *nsproxy;
  struct signal_struct *signal;
  struct sighand_struct __rcu *sighand;
  sigset_t blocked, real_blocked, saved_sigmask;
  TO(3136, 24);
  unsigned long sas_ss_sp;
  size_t sas_ss_size;
  unsigned int sas_ss_flags;
  struct callback_head *task_works;
  TO(3176, 8);
  kuid_t loginuid;
  unsigned int sessionid;
  TO(3232, 48);
  u64 parent_exec_id, self_exec_id;
  spinlock_t alloc_lock;
  TO(3296, 44);
  void *journal_info;
  TO(3368, 64);
  struct task_io_accounting ioac;
  TO(3600, 176);
  struct css_set __rcu *cgroups;
  struct list_head cg_list;
  TO(4968, 1344);
  union {
    refcount_t rcu_users;
    struct callback_head rcu;
  };
  TO(5032, 48);
  u64 timer_slack_ns, default_timer_slack_ns;
  TO(5144, 96);
  int pagefault_disabled;
  TO(5216, 68);
  void *security;
  struct bpf_local_storage __rcu *bpf_storage;
  struct bpf_run_ctx *bpf_ctx;
  TO(5376, 136);
  struct thread_struct thread;
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
  TO(80, 76);
  kuid_t uid;
  TO(144, 60);
} KEEP(user_struct);

struct rlimit {
  unsigned long rlim_cur, rlim_max;
} KEEP(rlimit);
struct tty_struct {
  TO(32, 32);
  int index;
  TO(352, 316);
  char name[64];
  TO(720, 304);
} KEEP(tty_struct);

struct signal_struct {
  refcount_t sigcnt;
  atomic_t live;
  int nr_threads, quick_threads;
  struct list_head thread_head;
  TO(56, 24);
  struct task_struct *curr_target;
  TO(96, 32);
  int group_exit_code, notify_count;
  struct task_struct *group_exec_task;
  int group_stop_count;
  unsigned int flags;
  TO(128, 8);
  unsigned int is_child_subreaper : 1, has_child_subreaper : 1;
  TO(360, 228);
  struct pid *pids[PIDTYPE_MAX];
  TO(400, 8);
  struct pid *tty_old_pgrp;
  int leader;
  struct tty_struct *tty;
  TO(440, 16);
  u64 utime, stime, cutime, cstime, gtime, cgtime;
  TO(512, 24);
  unsigned long nvcsw, nivcsw, cnvcsw, cnivcsw, min_flt, maj_flt, cmin_flt, cmaj_flt, inblock, oublock, cinblock, coublock;
  unsigned long maxrss, cmaxrss;
  struct task_io_accounting ioac;
  TO(688, 8);
  struct rlimit rlim[16];
  TO(1024, 80);
  bool oom_flag_origin;
  short oom_score_adj, oom_score_adj_min;
  TO(1112, 82);
} KEEP(signal_struct);
struct sighand_struct {
  spinlock_t siglock;
  refcount_t count;
  TO(2080, 2072);
} KEEP(sighand_struct);
struct kernel_siginfo {
  int si_signo, si_errno, si_code;
  TO(48, 36);
} KEEP(kernel_siginfo);
OPAQUE(k_sigaction);

struct upid {
  int nr;
  struct pid_namespace *ns;
} KEEP(upid);
/// 6.1 has no `ino`: it stands where nothing of 6.1's is read.
struct pid {
  refcount_t count;
  unsigned int level;
  spinlock_t lock;
  struct hlist_head tasks[PIDTYPE_MAX];
  struct hlist_head inodes;
  u64 ino;
  TO(80, 16);
  struct callback_head rcu;
  struct upid numbers[0];
} KEEP(pid);

struct ns_common {
  struct dentry *stashed;
  const struct proc_ns_operations *ops;
  unsigned int inum;
  refcount_t count;
} KEEP(ns_common);
struct pid_namespace {
  TO(40, 40);
  unsigned int pid_allocated;
  struct task_struct *child_reaper;
  TO(64, 8);
  unsigned int level;
  struct pid_namespace *parent;
  TO(88, 8);
  struct user_namespace *user_ns;
  TO(112, 16);
  struct ns_common ns;
} KEEP(pid_namespace);
struct uid_gid_extent {
  u32 first, lower_first, count;
} KEEP(uid_gid_extent);
struct uid_gid_map {
  u32 nr_extents;
  TO(8, 4);
  struct uid_gid_extent extent[5];
  TO(72, 4);
} KEEP(uid_gid_map);
struct user_namespace {
  struct uid_gid_map uid_map, gid_map, projid_map;
  struct user_namespace *parent;
  int level;
  kuid_t owner;
  kgid_t group;
  struct ns_common ns;
  unsigned long flags;
  TO(624, 352);
} KEEP(user_namespace);
struct new_utsname {
  char sysname[65], nodename[65], release[65], version[65], machine[65], domainname[65];
} KEEP(new_utsname);
struct uts_namespace {
  struct new_utsname name;
  struct user_namespace *user_ns;
  TO(408, 8);
  struct ns_common ns;
} KEEP(uts_namespace);
struct ipc_namespace {
  TO(1080, 1080);
  struct user_namespace *user_ns;
  TO(1104, 16);
  struct ns_common ns;
} KEEP(ipc_namespace);
struct mnt_namespace {
  struct ns_common ns;
  struct user_namespace *user_ns;
  u64 seq;
} KEEP(mnt_namespace);
struct time_namespace {
  struct user_namespace *user_ns;
  TO(16, 8);
  struct ns_common ns;
  TO(88, 48);
} KEEP(time_namespace);
struct cgroup_namespace {
  struct ns_common ns;
  struct user_namespace *user_ns;
  TO(40, 8);
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
  TO(32, 32);
  unsigned long mmap_base;
  TO(64, 24);
  unsigned long task_size;
  TO(84, 12);
  atomic_t mm_users, mm_count;
  TO(104, 12);
  int map_count;
  TO(176, 68);
  unsigned long hiwater_rss, hiwater_vm, total_vm, locked_vm;
  TO(216, 8);
  unsigned long data_vm, exec_vm, stack_vm;
  TO(256, 16);
  unsigned long start_code, end_code, start_data, end_data, start_brk, brk, start_stack;
  unsigned long arg_start, arg_end, env_start, env_end;
  unsigned long saved_auxv[48];
  TO(904, 176);
  unsigned long flags;
  TO(928, 16);
  struct task_struct __rcu *owner;
  struct user_namespace *user_ns;
  struct file __rcu *exe_file;
  TO(1096, 144);
} KEEP(mm_struct);
struct vm_area_struct {
  unsigned long vm_start, vm_end;
  struct mm_struct *vm_mm;
  TO(32, 8);
  union {
    const vm_flags_t vm_flags;
    vm_flags_t __vm_flags;
  };
  TO(104, 64);
  unsigned long vm_pgoff;
  struct file *vm_file;
  void *vm_private_data;
  TO(152, 24);
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
  TO(148, 148);
  int id;
  const char *name, *legacy_name;
  TO(240, 72);
} KEEP(cgroup_subsys);
struct cgroup_subsys_state {
  struct cgroup *cgroup;
  struct cgroup_subsys *ss;
  TO(32, 16);
  struct list_head sibling, children;
  TO(80, 16);
  int id;
  unsigned int flags;
  u64 serial_nr;
  atomic_t online_cnt;
  int nr_descendants;
  TO(192, 88);
  struct cgroup_subsys_state *parent;
} KEEP(cgroup_subsys_state);
struct kernfs_node {
  atomic_t count, active;
  struct kernfs_node *parent;
  const char *name;
  TO(48, 24);
  const void *ns;
  unsigned int hash;
  TO(96, 36);
  void *priv;
  u64 id;
  unsigned short flags;
  umode_t mode;
  TO(128, 12);
} KEEP(kernfs_node);
struct cgroup_bpf {
  TO(528, 528);
  u8 flags[38];
  TO(640, 74);
} KEEP(cgroup_bpf);
struct cgroup {
  struct cgroup_subsys_state self;
  unsigned long flags;
  int level, max_depth, nr_descendants, nr_dying_descendants, max_descendants;
  TO(248, 20);
  struct kernfs_node *kn;
  TO(536, 280);
  u16 subtree_control, subtree_ss_mask;
  struct cgroup_subsys_state __rcu *subsys[14];
  struct cgroup_root *root;
  struct list_head cset_links;
  TO(904, 224);
  struct cgroup *dom_cgrp, *old_dom_cgrp;
  TO(1128, 208);
  struct cgroup_bpf bpf;
  TO(1776, 8);
  struct bpf_local_storage __rcu *bpf_cgrp_storage;
  TO(1792, 8);
  struct cgroup *ancestors[0];
} KEEP(cgroup);
struct cgroup_root {
  TO(8, 8);
  unsigned int subsys_mask;
  int hierarchy_id;
  struct list_head root_list;
  TO(48, 16);
  struct cgroup cgrp;
  TO(1852, 12);
  unsigned int flags;
  TO(5952, 4096);
  char name[64];
} KEEP(cgroup_root);
struct css_set {
  struct cgroup_subsys_state *subsys[14];
  refcount_t refcount;
  struct css_set *dom_cset;
  struct cgroup *dfl_cgrp;
  int nr_tasks;
  struct list_head tasks;
  TO(464, 304);
  struct hlist_node hlist;
  TO(568, 88);
  bool dead;
  TO(592, 23);
} KEEP(css_set);
struct task_group {
  struct cgroup_subsys_state css;
  unsigned long shares;
  struct task_group *parent;
  struct list_head list, siblings, children;
} KEEP(task_group);
