// A 32-bit program that needs no 32-bit libc: `hello` prints "hello" and exits 42; `bpf` prints the errno of the 32-bit bpf(2).
#define NR_EXIT 1
#define NR_WRITE 4
#define NR_PERF_EVENT_OPEN 336
#define NR_BPF 357

static long call(long nr, long a, long b, long c) {
  long ret;
  __asm__ volatile("int $0x80" : "=a"(ret) : "a"(nr), "b"(a), "c"(b), "d"(c), "S"(-1L), "D"(0L) : "memory");
  return ret;
}

static void print_errno(long rc) {
  char text[4];
  int n = 0;
  const long value = rc < 0 ? -rc : 0;
  if (value >= 10) text[n++] = (char)('0' + value / 10 % 10);
  text[n++] = (char)('0' + value % 10);
  text[n++] = '\n';
  call(NR_WRITE, 1, (long)text, n);
}

__attribute__((used)) static void run(long argc, char** argv) {
  static char attr[72] = {2, 0, 0, 0, 4, 0, 0, 0, 4, 0, 0, 0, 1};  // BPF_MAP_TYPE_ARRAY, 4, 4, 1
  static char event[64] = {1, 0, 0, 0, 64};                        // PERF_TYPE_SOFTWARE, PERF_ATTR_SIZE_VER0
  const char what = argc == 2 ? argv[1][0] : 0;
  if (what == 'h') {
    call(NR_WRITE, 1, (long)"hello\n", 6);
    call(NR_EXIT, 42, 0, 0);
  }
  if (what == 'b') print_errno(call(NR_BPF, 0, (long)attr, sizeof attr));
  if (what == 'p') print_errno(call(NR_PERF_EVENT_OPEN, (long)event, 0, -1));
  call(NR_EXIT, 0, 0, 0);
}

__asm__(
    ".globl _start\n"
    "_start:\n"
    "  mov (%esp), %eax\n"
    "  lea 4(%esp), %ecx\n"
    "  push %ecx\n"
    "  push %eax\n"
    "  call run\n");
