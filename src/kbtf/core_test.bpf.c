// kbtf: a CO-RE program for core_test.cc. Its structs are in nobody's order, with flavours and a field that no kernel has.
#define CORE __attribute__((preserve_access_index))
struct nsproxy___core_test {
  struct pid_namespace *pid_ns_for_children;
} CORE;
struct cred___core_test {
  struct {
    unsigned val;
  } uid;
} CORE;
struct task_struct___core_test {
  struct nsproxy___core_test *nsproxy;
  char comm[16];
  int tgid, no_such_field;
  struct cred___core_test *cred;
  struct task_struct___core_test *real_parent;
  unsigned long long start_time;
  int pid;
} CORE;
struct trace_event_raw_sys_enter {
  unsigned long args[6];
  long id;
} CORE;
struct pt_regs {
  unsigned long di;
} CORE;

__attribute__((section("tp"), used)) long core_test(struct trace_event_raw_sys_enter *ctx) {
  struct task_struct___core_test *t = (void *)ctx->args[3];
  struct pt_regs *regs = (void *)ctx->args[4];
  long sum = ctx->id + t->pid + t->tgid + t->comm[3] + t->real_parent->pid + t->cred->uid.val + regs->di + (long)t->start_time;
  if (t->nsproxy->pid_ns_for_children) ++sum;
  if (__builtin_preserve_field_info(t->no_such_field, 2)) ++sum;
  return sum;
}
