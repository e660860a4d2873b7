// What ld.so asks the kernel for: counted for one process, and refused to it on demand.
#include <linux/bpf.h>
#include <linux/ptrace.h>

#include <bpf/bpf_helpers.h>

#include "dlopen_counts.h"

char LICENSE[] SEC("license") = "GPL";

struct enter {
  unsigned long long pad;
  long nr;
  unsigned long args[6];
};
struct leave {
  unsigned long long pad;
  long nr;
  long ret;
};

struct facts facts;

static __always_inline int is_ours(void) { return (bpf_get_current_pid_tgid() >> 32) == facts.process; }

SEC("tracepoint/syscalls/sys_enter_openat")
int enter_openat(struct enter* ctx) {
  char path[WANTED_SIZE];
  if (!is_ours() || bpf_probe_read_user_str(path, sizeof path, (void*)ctx->args[1]) < 0) return 0;
  for (int i = 0; i < WANTED_SIZE; ++i) {
    if (path[i] != facts.wanted[i]) return 0;
    if (path[i] == 0) break;
  }
  __sync_fetch_and_add(&facts.seen.opens, 1);
  return 0;
}

SEC("tracepoint/syscalls/sys_exit_openat")
int exit_openat(struct leave* ctx) {
  if (!is_ours()) return 0;
  if (ctx->ret < 0)
    __sync_fetch_and_add(&facts.seen.refusals, 1);
  else
    facts.seen.fd = ctx->ret;
  return 0;
}

SEC("tracepoint/syscalls/sys_enter_read")
int enter_read(struct enter* ctx) {
  if (is_ours() && ctx->args[0] == (unsigned long)facts.seen.fd) __sync_fetch_and_add(&facts.seen.reads, 1);
  return 0;
}

SEC("tracepoint/syscalls/sys_enter_mmap")
int enter_mmap(struct enter* ctx) {
  if (is_ours() && (int)ctx->args[4] == facts.seen.fd) __sync_fetch_and_add(&facts.seen.maps, 1);
  return 0;
}

SEC("tracepoint/syscalls/sys_enter_close")
int enter_close(struct enter* ctx) {
  if (is_ours() && (int)ctx->args[0] == facts.seen.fd) __sync_fetch_and_add(&facts.seen.closes, 1);
  return 0;
}

SEC("tracepoint/syscalls/sys_enter_munmap")
int enter_munmap(struct enter* ctx) {
  if (is_ours() && ctx->args[0] == facts.seen.base) __sync_fetch_and_add(&facts.seen.unmaps, 1);
  return 0;
}

SEC("kprobe/__x64_sys_openat")
int deny_openat(struct pt_regs* ctx) {
  if (facts.denied && is_ours()) bpf_override_return(ctx, -13 /* EACCES */);
  return 0;
}
