// What a program sees of the task it runs in: by helper reads and by BTF loads, relocated by the session's vmlinux BTF.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#include "task_facts.h"

#define CORE __attribute__((preserve_access_index))
struct ns_common {
  unsigned inum;
} CORE;
struct mnt_namespace {
  struct ns_common ns;
} CORE;
struct net {
  struct ns_common ns;
} CORE;
struct ipc_namespace {
  struct ns_common ns;
} CORE;
struct user_namespace {
  struct ns_common ns;
} CORE;
struct cgroup_namespace {
  struct ns_common ns;
} CORE;
struct pid_namespace {
  struct ns_common ns;
  unsigned level;
} CORE;
struct new_utsname {
  char nodename[65];
} CORE;
struct uts_namespace {
  struct new_utsname name;
  struct ns_common ns;
} CORE;
struct nsproxy {
  struct mnt_namespace *mnt_ns;
  struct pid_namespace *pid_ns_for_children;
  struct net *net_ns;
  struct ipc_namespace *ipc_ns;
  struct uts_namespace *uts_ns;
  struct cgroup_namespace *cgroup_ns;
} CORE;
struct id {
  unsigned val;
};
typedef struct id kuid_t;
struct cred {
  struct id uid, gid, euid, suid, fsuid;
  struct {
    unsigned long long val;
  } cap_effective;
  struct user_namespace *user_ns;
} CORE;
struct upid {
  int nr;
  struct pid_namespace *ns;
} CORE;
struct pid {
  unsigned level;
  struct upid numbers[1];
} CORE;
struct mm_struct {
  unsigned long arg_start, arg_end, env_start;
} CORE;
struct signal_struct {
  struct pid *pids[4];
} CORE;
struct task_struct {
  int pid, tgid, exit_code;
  unsigned flags;
  char comm[16];
  unsigned long long start_time, start_boottime;
  struct task_struct *real_parent, *group_leader;
  struct cred *cred;
  struct nsproxy *nsproxy;
  struct mm_struct *mm;
  struct signal_struct *signal;
  struct pid *thread_pid;
} CORE;
struct trace_event_raw_sys_enter {
  unsigned long args[6];
} CORE;

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 4096);
  __type(key, unsigned);
  __type(value, struct facts);
} tasks SEC(".maps");
struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, 1);
  __type(key, unsigned);
  __type(value, struct facts);
} scratch SEC(".maps");

static void namespaces_of(struct facts *f, struct task_struct *t) {
  f->mnt = BPF_CORE_READ(t, nsproxy, mnt_ns, ns.inum);
  f->pid_ns = BPF_CORE_READ(t, nsproxy, pid_ns_for_children, ns.inum);
  f->net = BPF_CORE_READ(t, nsproxy, net_ns, ns.inum);
  f->ipc = BPF_CORE_READ(t, nsproxy, ipc_ns, ns.inum);
  f->uts = BPF_CORE_READ(t, nsproxy, uts_ns, ns.inum);
  f->cgroup = BPF_CORE_READ(t, nsproxy, cgroup_ns, ns.inum);
  f->user = BPF_CORE_READ(t, cred, user_ns, ns.inum);
  BPF_CORE_READ_STR_INTO(&f->nodename, t, nsproxy, uts_ns, name.nodename);
}

static void cred_of(struct facts *f, struct task_struct *t) {
  f->uid = BPF_CORE_READ(t, cred, uid.val);
  f->euid = BPF_CORE_READ(t, cred, euid.val);
  f->suid = BPF_CORE_READ(t, cred, suid.val);
  f->fsuid = BPF_CORE_READ(t, cred, fsuid.val);
  f->gid = BPF_CORE_READ(t, cred, gid.val);
  f->cap_effective = BPF_CORE_READ(t, cred, cap_effective.val);
}

/// The number that the namespace of the task itself gives.
static int innermost(struct pid *pid) {
  const unsigned level = BPF_CORE_READ(pid, level) & 31;
  const unsigned long at = __builtin_preserve_field_info(pid->numbers, BPF_FIELD_BYTE_OFFSET);
  const unsigned long step = bpf_core_type_size(struct upid);
  int nr = 0;
  bpf_probe_read_kernel(&nr, sizeof nr, (const char *)pid + at + level * step);
  return nr;
}

static void relatives_of(struct facts *f, struct task_struct *t) {
  f->leader = (unsigned long)BPF_CORE_READ(t, group_leader);
  f->leader_pid = BPF_CORE_READ(t, group_leader, pid);
  f->parent = (unsigned long)BPF_CORE_READ(t, real_parent);
  f->parent_tgid = BPF_CORE_READ(t, real_parent, tgid);
  f->grandparent_tgid = BPF_CORE_READ(t, real_parent, real_parent, tgid);
  BPF_CORE_READ_STR_INTO(&f->parent_comm, t, real_parent, comm);
  f->level = BPF_CORE_READ(t, thread_pid, level);
  f->inner_pid = innermost(BPF_CORE_READ(t, thread_pid));
  f->pgrp = innermost(BPF_CORE_READ(t, signal, pids[2]));
}

/// getpgid() of a pid that there is not: the test's own mark.
SEC("tracepoint/syscalls/sys_enter_getpgid")
int look(struct trace_event_raw_sys_enter *ctx) {
  if ((int)ctx->args[0] != MARK) return 0;
  unsigned zero = 0;
  struct facts *f = bpf_map_lookup_elem(&scratch, &zero);
  if (!f) return 0;
  struct task_struct *t = (void *)bpf_get_current_task();
  f->address = (unsigned long)t;
  f->pid = BPF_CORE_READ(t, pid);
  f->tgid = BPF_CORE_READ(t, tgid);
  f->flags = BPF_CORE_READ(t, flags);
  f->start_boottime = BPF_CORE_READ(t, start_boottime);
  f->arg_start = BPF_CORE_READ(t, mm, arg_start);
  f->arg_end = BPF_CORE_READ(t, mm, arg_end);
  f->env_start = BPF_CORE_READ(t, mm, env_start);
  BPF_CORE_READ_STR_INTO(&f->comm, t, comm);
  cred_of(f, t);
  namespaces_of(f, t);
  relatives_of(f, t);
  struct task_struct *typed = bpf_get_current_task_btf();
  f->typed_tgid = typed->real_parent->tgid;
  f->typed_uid = typed->cred->uid.val;
  f->typed_mnt = typed->nsproxy->mnt_ns->ns.inum;
  unsigned key = (unsigned)bpf_get_current_pid_tgid();
  bpf_map_update_elem(&tasks, &key, f, 0);
  return 0;
}

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 4096);
  __type(key, unsigned);
  __type(value, struct child_facts);
} children SEC(".maps");
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 4096);
  __type(key, unsigned);
  __type(value, int);
} exits SEC(".maps");

SEC("raw_tp/sched_process_fork")
int forked(struct bpf_raw_tracepoint_args *ctx) {
  struct task_struct *parent = (void *)ctx->args[0], *child = (void *)ctx->args[1];
  struct child_facts f = {.address = (unsigned long)child, .parent = (unsigned long)parent};
  f.tgid = BPF_CORE_READ(child, tgid);
  f.parent_tgid = BPF_CORE_READ(child, real_parent, tgid);
  BPF_CORE_READ_STR_INTO(&f.comm, child, comm);
  const unsigned key = (unsigned)BPF_CORE_READ(child, pid);
  bpf_map_update_elem(&children, &key, &f, 0);
  return 0;
}

SEC("raw_tp/sched_process_exit")
int exited(struct bpf_raw_tracepoint_args *ctx) {
  struct task_struct *task = (void *)ctx->args[0];
  const int code = BPF_CORE_READ(task, exit_code);
  const unsigned key = (unsigned)BPF_CORE_READ(task, pid);
  bpf_map_update_elem(&exits, &key, &code, 0);
  return 0;
}

char LICENSE[] SEC("license") = "GPL";
