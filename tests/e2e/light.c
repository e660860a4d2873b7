/* Loads light.bpf.c by its light skeleton: a program of type SYSCALL, run by BPF_PROG_TEST_RUN, makes the maps and loads the
 * program. */
#include <errno.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "light.lskel.h"

int main(void) {
  struct light* skel = light__open();
  if (skel == NULL) return 2;
  skel->rodata->wanted = getpid();
  int err = light__load(skel);
  if (err != 0) {
    printf("load: %d\n", err);
    return 3;
  }
  err = light__attach(skel);
  if (err < 0) {
    printf("attach: %d\n", err);
    return 4;
  }
  for (int i = 0; i < 3; ++i) syscall(SYS_getpgid, 0);
  __u32 key = (__u32)getpid();
  __u64 counted = 0;
  union bpf_attr attr = {
      .map_fd = (__u32)skel->maps.calls.map_fd, .key = (__u64)(unsigned long)&key, .value = (__u64)(unsigned long)&counted};
  if (skel_sys_bpf(BPF_MAP_LOOKUP_ELEM, &attr, sizeof attr) != 0) return 5;
  printf("seen %ld counted %llu\n", skel->bss->seen, (unsigned long long)counted);
  light__destroy(skel);
  return 0;
}
