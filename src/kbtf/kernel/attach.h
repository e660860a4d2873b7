// kbtf: functions and tracepoints that programs attach to by BTF id. Only what skep can show: a kernel function that cannot be
// watched from user space is not here, so that attaching answers as a kernel without it does. Linux: include/trace/events/*.h,
// kernel/bpf/bpf_iter.c
#pragma once
#include "kbtf/kernel/func.h"
#include "kbtf/kernel/security.h"

/// The model of every __x64_sys_ function: kbtf/make_kbtf.cc repeats it for each name of probes/syscall_table.inc.
FUNC(long __x64_sys_(const struct pt_regs *regs))

#define ITERATOR(target, ...) FUNC(int bpf_iter_##target(struct bpf_iter_meta *meta, __VA_ARGS__))
ITERATOR(task, struct task_struct *task)
ITERATOR(task_file, struct task_struct *task, u32 fd, struct file *file)
ITERATOR(task_vma, struct task_struct *task, struct vm_area_struct *vma)
ITERATOR(bpf_map, struct bpf_map *map)
ITERATOR(bpf_map_elem, struct bpf_map *map, void *key, void *value)
ITERATOR(bpf_prog, struct bpf_prog *prog)
ITERATOR(bpf_link, struct bpf_link *link)
ITERATOR(cgroup, struct cgroup *cgroup)
ITERATOR(sockmap, struct bpf_map *map, void *key, struct sock *sk)
ITERATOR(bpf_sk_storage_map, struct bpf_map *map, struct sock *sk, void *value)
ITERATOR(tcp, struct sock_common *sk_common, uid_t uid)
ITERATOR(udp, struct udp_sock *udp_sk, uid_t uid, int bucket)
ITERATOR(netlink, struct netlink_sock *sk)
ITERATOR(unix, struct unix_sock *unix_sk, uid_t uid)
ITERATOR(ipv6_route, struct fib6_info *rt)
ITERATOR(ksym, struct kallsym_iter *ksym)

enum skb_drop_reason { SKB_NOT_DROPPED_YET, SKB_CONSUMED, SKB_DROP_REASON_NOT_SPECIFIED };

/// A raw tracepoint is a typedef for whoever attaches, and a function that has the names of the parameters.
#define TRACEPOINT(event, ...)                                       \
  typedef void (*btf_trace_##event)(void *, __VA_ARGS__);            \
  btf_trace_##event kept_btf_trace_##event;                          \
  FUNC(void __bpf_trace_##event(void *__data, __VA_ARGS__))
/// The same with more than four: the first four in parentheses.
#define TRACEPOINT_MORE(event, four, ...)                            \
  typedef void (*btf_trace_##event)(void *, BARE four, __VA_ARGS__); \
  btf_trace_##event kept_btf_trace_##event;                          \
  FUNC(void __bpf_trace_##event(void *__data, BARE four))            \
  MORE(__bpf_trace_##event, __VA_ARGS__)
#define BARE(...) __VA_ARGS__
TRACEPOINT(sys_enter, struct pt_regs *regs, long id)
TRACEPOINT(sys_exit, struct pt_regs *regs, long ret)
TRACEPOINT(task_newtask, struct task_struct *task, unsigned long clone_flags)
TRACEPOINT(task_rename, struct task_struct *task, const char *comm)
TRACEPOINT(sched_process_exec, struct task_struct *p, pid_t old_pid, struct linux_binprm *bprm)
TRACEPOINT(sched_process_fork, struct task_struct *parent, struct task_struct *child)
TRACEPOINT(sched_process_exit, struct task_struct *p)
TRACEPOINT(sched_process_free, struct task_struct *p)
TRACEPOINT(sched_process_wait, struct pid *pid)
TRACEPOINT(sched_switch, bool preempt, struct task_struct *prev, struct task_struct *next, unsigned int prev_state)
TRACEPOINT(sched_wakeup, struct task_struct *p)
TRACEPOINT(sched_wakeup_new, struct task_struct *p)
TRACEPOINT(sched_pi_setprio, struct task_struct *tsk, struct task_struct *pi_task)
TRACEPOINT_MORE(signal_generate, (int sig, struct kernel_siginfo *info, struct task_struct *task, int group), int result)
TRACEPOINT(signal_deliver, int sig, struct kernel_siginfo *info, struct k_sigaction *ka)
TRACEPOINT(cgroup_mkdir, struct cgroup *cgrp, const char *path)
TRACEPOINT(cgroup_rmdir, struct cgroup *cgrp, const char *path)
TRACEPOINT(cgroup_attach_task, struct cgroup *dst_cgrp, const char *path, struct task_struct *task, bool threadgroup)
TRACEPOINT(consume_skb, struct sk_buff *skb, void *location)
TRACEPOINT(kfree_skb, struct sk_buff *skb, void *location, enum skb_drop_reason reason, struct sock *rx_sk)
TRACEPOINT(netif_receive_skb, struct sk_buff *skb)
TRACEPOINT(inet_sock_set_state, const struct sock *sk, const int oldstate, const int newstate)
TRACEPOINT(tcp_probe, struct sock *sk, struct sk_buff *skb)
TRACEPOINT(tcp_bad_csum, const struct sk_buff *skb)
TRACEPOINT(tcp_destroy_sock, struct sock *sk)
TRACEPOINT(tcp_retransmit_skb, const struct sock *sk, const struct sk_buff *skb)
TRACEPOINT(tcp_retransmit_synack, const struct sock *sk, const struct request_sock *req)
TRACEPOINT(xdp_exception, const struct net_device *dev, const struct bpf_prog *xdp, u32 act)
TRACEPOINT_MORE(xdp_devmap_xmit, (const struct net_device *from_dev, const struct net_device *to_dev, int sent, int drops), int err)
TRACEPOINT_MORE(xdp_cpumap_kthread, (int map_id, unsigned int processed, unsigned int drops, int sched),
                struct xdp_cpumap_stats *xdp_stats)
TRACEPOINT(bpf_trace_printk, const char *bpf_string)
TRACEPOINT(bpf_test_finish, int *err)
TRACEPOINT(bpf_trigger_tp, int nonce)
TRACEPOINT(contention_begin, void *lock, unsigned int flags)
TRACEPOINT(contention_end, void *lock, int ret)
TRACEPOINT(kfree, unsigned long call_site, const void *ptr)
