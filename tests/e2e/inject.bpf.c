// Programs that meddle with the process they run in.
#include <linux/bpf.h>
#include <linux/ptrace.h>

#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

enum { EPERM_ = 1, SIGTERM_ = 15, SIGUSR1_ = 10 };

/// Only commands of this name.
static int is_called(const char* name, int size) {
  char comm[16] = {};
  bpf_get_current_comm(comm, sizeof comm);
  for (int i = 0; i < size; ++i)
    if (comm[i] != name[i]) return 0;
  return 1;
}

SEC("kprobe/__x64_sys_mkdir")
int deny_mkdir(struct pt_regs* ctx) {
  if (is_called("mkdir", 6)) bpf_override_return(ctx, -EPERM_);
  return 0;
}

SEC("tracepoint/syscalls/sys_enter_sync")
int term_at_sync(void* ctx) {
  if (is_called("sync", 5)) bpf_send_signal(SIGTERM_);
  return 0;
}

SEC("tracepoint/syscalls/sys_enter_getppid")
int usr1_at_getppid(void* ctx) {
  if (is_called("python3", 8)) bpf_send_signal_thread(SIGUSR1_);
  return 0;
}
