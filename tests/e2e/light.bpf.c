// Counts this process's calls of getpgid(), by thread group.
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

enum { NR_GETPGID = 121 };

const volatile int wanted = 0;
long seen = 0;

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 16);
  __type(key, __u32);
  __type(value, __u64);
} calls SEC(".maps");

SEC("raw_tp/sys_enter")
int on_enter(struct bpf_raw_tracepoint_args* ctx) {
  __u32 tgid = bpf_get_current_pid_tgid() >> 32;
  if (ctx->args[1] != NR_GETPGID || tgid != (__u32)wanted) return 0;
  __u64 one = 1, *n = bpf_map_lookup_elem(&calls, &tgid);
  if (n)
    __sync_fetch_and_add(n, 1);
  else
    bpf_map_update_elem(&calls, &tgid, &one, 0);
  __sync_fetch_and_add(&seen, 1);
  return 0;
}
