// SPDX-License-Identifier: Apache-2.0
// Refused by the verifier: the index is compared on one side only, and a record is not given back on one path.
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __type(key, int);
  __type(value, long[4]);
} config SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 4096);
} output SEC(".maps");

SEC("kprobe/__x64_sys_execve")
int indexed(void *ctx) {
  int key = 0;
  long *values = bpf_map_lookup_elem(&config, &key);
  if (!values) return 0;
  long index = values[0];
  if (index > 3) return 0;
  return (int)values[index];  // too far below
}

SEC("kprobe/__x64_sys_execve")
int kept(void *ctx) {
  long *record = bpf_ringbuf_reserve(&output, sizeof *record, 0);
  if (!record) return 0;
  *record = bpf_get_current_pid_tgid();
  if (*record & 1) return 1;  // still held
  bpf_ringbuf_submit(record, 0);
  return 0;
}

char LICENSE[] SEC("license") = "GPL";
