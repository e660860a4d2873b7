// What dlopen.bpf.c and dlopen_client.c share: the object's .bss.
#define WANTED_SIZE 128

struct counts {
  unsigned long long opens, refusals, reads, maps, closes, unmaps;  // of the wanted file
  unsigned long long base;                                         // where it is
  int fd, pad;                                                     // the last that an openat gave
};

struct facts {
  struct counts seen;
  char wanted[WANTED_SIZE];
  unsigned int process, denied;
};
