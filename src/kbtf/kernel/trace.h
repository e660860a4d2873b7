// kbtf: records of tracepoints and contexts of iterators. Linux: include/linux/trace_events.h, include/trace/events/{syscalls,
// sched,task,signal}.h, kernel/bpf/*_iter.c
#pragma once
#include "kbtf/kernel/contexts.h"

struct trace_entry {
  unsigned short type;
  unsigned char flags, preempt_count;
  int pid;
} KEEP(trace_entry);
struct trace_event_raw_sys_enter {
  struct trace_entry ent;
  long id;
  unsigned long args[6];
  char __data[0];
} KEEP(trace_event_raw_sys_enter);
struct trace_event_raw_sys_exit {
  struct trace_entry ent;
  long id, ret;
  char __data[0];
} KEEP(trace_event_raw_sys_exit);
struct syscall_trace_enter {
  struct trace_entry ent;
  int nr;
  unsigned long args[0];
} KEEP(syscall_trace_enter);
struct syscall_trace_exit {
  struct trace_entry ent;
  int nr;
  long ret;
} KEEP(syscall_trace_exit);
struct trace_event_raw_sched_process_exec {
  struct trace_entry ent;
  u32 __data_loc_filename;
  pid_t pid, old_pid;
  char __data[0];
} KEEP(trace_event_raw_sched_process_exec);
struct trace_event_raw_sched_process_fork {
  struct trace_entry ent;
  char parent_comm[16];
  pid_t parent_pid;
  char child_comm[16];
  pid_t child_pid;
  char __data[0];
} KEEP(trace_event_raw_sched_process_fork);
struct trace_event_raw_sched_process_template {
  struct trace_entry ent;
  char comm[16];
  pid_t pid;
  int prio;
  char __data[0];
} KEEP(trace_event_raw_sched_process_template);
struct trace_event_raw_sched_switch {
  struct trace_entry ent;
  char prev_comm[16];
  pid_t prev_pid;
  int prev_prio;
  long prev_state;
  char next_comm[16];
  pid_t next_pid;
  int next_prio;
  char __data[0];
} KEEP(trace_event_raw_sched_switch);
struct trace_event_raw_sched_wakeup_template {
  struct trace_entry ent;
  char comm[16];
  pid_t pid;
  int prio, target_cpu;
  char __data[0];
} KEEP(trace_event_raw_sched_wakeup_template);
struct trace_event_raw_task_newtask {
  struct trace_entry ent;
  pid_t pid;
  char comm[16];
  unsigned long clone_flags;
  short oom_score_adj;
  char __data[0];
} KEEP(trace_event_raw_task_newtask);
struct trace_event_raw_task_rename {
  struct trace_entry ent;
  pid_t pid;
  char oldcomm[16], newcomm[16];
  short oom_score_adj;
  char __data[0];
} KEEP(trace_event_raw_task_rename);
#ifndef __cplusplus  // errno and sa_handler are macros of libc's
struct trace_event_raw_signal_generate {
  struct trace_entry ent;
  int sig, errno, code;
  char comm[16];
  pid_t pid;
  int group, result;
  char __data[0];
} KEEP(trace_event_raw_signal_generate);
struct trace_event_raw_signal_deliver {
  struct trace_entry ent;
  int sig, errno, code;
  unsigned long sa_handler, sa_flags;
  char __data[0];
} KEEP(trace_event_raw_signal_deliver);
#endif

struct bpf_iter_meta {
  MD_PTR(struct seq_file *, seq);
  u64 session_id, seq_num;
} KEEP(bpf_iter_meta);
/// Every iterator's context begins with its meta; the rest is what one step shows.
#define ITER_CTX(target, ...)              \
  struct bpf_iter__##target {              \
    MD_PTR(struct bpf_iter_meta *, meta);  \
    __VA_ARGS__                            \
  } KEEP(bpf_iter__##target)
ITER_CTX(task, MD_PTR(struct task_struct *, task););
ITER_CTX(task_file, MD_PTR(struct task_struct *, task); u32 fd __attribute__((aligned(8))); MD_PTR(struct file *, file););
ITER_CTX(task_vma, MD_PTR(struct task_struct *, task); MD_PTR(struct vm_area_struct *, vma););
ITER_CTX(bpf_map, MD_PTR(struct bpf_map *, map););
ITER_CTX(bpf_map_elem, MD_PTR(struct bpf_map *, map); MD_PTR(void *, key); MD_PTR(void *, value););
ITER_CTX(bpf_prog, MD_PTR(struct bpf_prog *, prog););
ITER_CTX(bpf_link, MD_PTR(struct bpf_link *, link););
ITER_CTX(cgroup, MD_PTR(struct cgroup *, cgroup););
ITER_CTX(sockmap, MD_PTR(struct bpf_map *, map); MD_PTR(void *, key); MD_PTR(struct sock *, sk););
ITER_CTX(bpf_sk_storage_map, MD_PTR(struct bpf_map *, map); MD_PTR(struct sock *, sk); MD_PTR(void *, value););
ITER_CTX(tcp, MD_PTR(struct sock_common *, sk_common); uid_t uid __attribute__((aligned(8))););
ITER_CTX(udp, MD_PTR(struct udp_sock *, udp_sk); uid_t uid __attribute__((aligned(8))); int bucket __attribute__((aligned(8))););
ITER_CTX(netlink, MD_PTR(struct netlink_sock *, sk););
ITER_CTX(unix, MD_PTR(struct unix_sock *, unix_sk); uid_t uid __attribute__((aligned(8))););
ITER_CTX(ipv6_route, MD_PTR(struct fib6_info *, rt););
ITER_CTX(ksym, MD_PTR(struct kallsym_iter *, ksym););
