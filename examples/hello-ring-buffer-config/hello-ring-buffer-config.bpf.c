// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Greets every execve with its user's own message, through one BPF ring buffer. After "Learning eBPF", chapter 4.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "hello-ring-buffer-config.h"

struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 4096);
} output SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 10240);
  __type(key, __u32);
  __type(value, struct user_msg_t);
} config SEC(".maps");

__u64 lost = 0;  // a ring buffer, unlike a perf buffer, tells its reader nothing of what did not fit

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

  if (bpf_ringbuf_output(&output, &data, sizeof(data), 0)) __sync_fetch_and_add(&lost, 1);
  return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
