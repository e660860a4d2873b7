// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Greets every execve with its user's own message, through a perf buffer (one ring a CPU). After "Learning eBPF", chapter 4.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "hello-buffer-config.h"

struct {
  __uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
  __uint(key_size, sizeof(__u32));
  __uint(value_size, sizeof(__u32));
} output SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 10240);
  __type(key, __u32);
  __type(value, struct user_msg_t);
} config SEC(".maps");

SEC("ksyscall/execve")
int hello(void* ctx) {
  struct data_t data = {};
  struct user_msg_t* p;

  data.pid = bpf_get_current_pid_tgid() >> 32;
  data.uid = bpf_get_current_uid_gid() & 0xFFFFFFFF;
  bpf_get_current_comm(&data.command, sizeof(data.command));

  p = bpf_map_lookup_elem(&config, &data.uid);
  if (p) {
    bpf_probe_read_kernel(&data.message, sizeof(data.message), p->message);
  } else {
    // "Hello World" in two pieces that clang makes plain stores of: copied whole it would stay behind as a section .rodata,
    // and libbpf makes a third map of that.
    __builtin_memcpy(data.message, "Hello Wo", 8);
    __builtin_memcpy(data.message + 8, "rld", 4);
  }

  bpf_perf_event_output(ctx, &output, BPF_F_CURRENT_CPU, &data, sizeof(data));
  return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
