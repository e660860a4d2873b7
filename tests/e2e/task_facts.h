// What task.bpf.c finds and task_client.c holds against /proc.
#pragma once
#define MARK (-4242)
/// Of a child, by its parent's fork; and of a task that ends.
struct child_facts {
  unsigned long long address, parent;
  int tgid, parent_tgid;
  char comm[16];
};
struct facts {
  unsigned long long address, leader, parent;
  int pid, tgid, leader_pid, parent_tgid, grandparent_tgid, typed_tgid, inner_pid, pgrp;
  unsigned flags, level, uid, euid, suid, fsuid, gid, typed_uid;
  unsigned mnt, pid_ns, net, ipc, uts, cgroup, user, typed_mnt;
  unsigned long long cap_effective, start_boottime, arg_start, arg_end, env_start;
  char comm[16], parent_comm[16], nodename[65];
};
