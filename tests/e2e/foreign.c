// foreign WHAT: built for what cannot carry the agent: static, musl. Also the setuid and the unreadable copy.
//   hello    prints "hello UID EUID" and exits 42
//   bpf      a real bpf(2): prints its errno
//   perf     a real perf_event_open(2): prints its errno
//   kill     ends by SIGUSR1
#include <errno.h>
#include <linux/bpf.h>
#include <linux/perf_event.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static int try_bpf(void) {
  union bpf_attr attr;
  memset(&attr, 0, sizeof attr);
  attr.map_type = BPF_MAP_TYPE_ARRAY;
  attr.key_size = 4;
  attr.value_size = 4;
  attr.max_entries = 1;
  return syscall(SYS_bpf, BPF_MAP_CREATE, &attr, sizeof attr) < 0 ? errno : 0;
}

static int try_perf(void) {
  struct perf_event_attr attr;
  memset(&attr, 0, sizeof attr);
  attr.type = PERF_TYPE_SOFTWARE;
  attr.size = sizeof attr;
  attr.config = PERF_COUNT_SW_CPU_CLOCK;
  attr.exclude_kernel = 1;
  return syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0) < 0 ? errno : 0;
}

int main(int argc, char** argv) {
  const char* what = argc == 2 ? argv[1] : "";
  if (strcmp(what, "hello") == 0) {
    printf("hello %u %u\n", (unsigned)getuid(), (unsigned)geteuid());
    return 42;
  }
  if (strcmp(what, "bpf") == 0) return printf("%d\n", try_bpf()) < 0;
  if (strcmp(what, "perf") == 0) return printf("%d\n", try_perf()) < 0;
  if (strcmp(what, "kill") == 0) return raise(SIGUSR1);
  return 2;
}
