// no_real_bpf [--user UID] CMD...: runs CMD where a real bpf(2) or perf_event_open(2) is death.
//
// CMD and all it starts have no capabilities, cannot gain any (no_new_privs), and are killed by SIGSYS at the first bpf,
// perf_event_open or 32-bit system call that reaches the kernel. What works under this launcher works without the machine's help.
// Started by root it becomes UID first (65534, nobody, unless told); started by anybody else it stays who it is.
#include <errno.h>
#include <grp.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <linux/securebits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CANNOT_START 124
#define X32_SYSCALL_BIT 0x40000000u

static _Noreturn void give_up(const char* what) {
  fprintf(stderr, "no_real_bpf: %s: %s\n", what, strerror(errno));
  exit(CANNOT_START);
}

// Uid 0 without capabilities is a user like any other, as long as execve does not give them back: that is what NOROOT is for.
static void drop_capabilities(void) {
  if (prctl(PR_SET_SECUREBITS, SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE) != 0) give_up("securebits");
  for (int cap = 0; prctl(PR_CAPBSET_READ, cap) >= 0; ++cap)
    if (prctl(PR_CAPBSET_DROP, cap) != 0) give_up("bounding set");
}

static void clear_capabilities(void) {
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct none[2];
  memset(none, 0, sizeof none);
  if (syscall(SYS_capset, &header, none) != 0) give_up("capset");
}

static void become(uid_t user) {
  drop_capabilities();
  if (setgroups(0, NULL) != 0 || setgid(user) != 0 || setuid(user) != 0) give_up("setuid");
}

static void forbid_bpf(void) {
  struct sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 0, 5),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, X32_SYSCALL_BIT, 3, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_bpf, 2, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_perf_event_open, 1, 0),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
  };
  struct sock_fprog program = {sizeof filter / sizeof filter[0], filter};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) give_up("no_new_privs");
  if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) give_up("seccomp");
}

int main(int argc, char** argv) {
  uid_t user = 65534;
  int first = 1;
  if (argc > 2 && strcmp(argv[1], "--user") == 0) {
    user = (uid_t)strtoul(argv[2], NULL, 10);
    first = 3;
  }
  if (first >= argc) {
    fprintf(stderr, "usage: no_real_bpf [--user UID] CMD...\n");
    return CANNOT_START;
  }
  if (geteuid() == 0) become(user);
  clear_capabilities();
  forbid_bpf();
  execvp(argv[first], argv + first);
  give_up(argv[first]);
}
