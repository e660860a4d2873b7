// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Counts the packets of an interface and says so in the trace pipe. After "Learning eBPF", chapter 3.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

int counter = 0;

SEC("xdp")
int hello(struct xdp_md* ctx) {
  bpf_printk("Hello World %d", counter);
  counter++;
  return XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
