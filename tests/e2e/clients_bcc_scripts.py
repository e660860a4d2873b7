"""Scripts on bcc for the tests of it: two in the way of the chapter that everybody begins with, and what others go on with."""

# A hash that user space fills, and a perf buffer. Prints PID UID COMM MESSAGE.
HELLO_PERF = r"""
from bcc import BPF
import ctypes
b = BPF(text=r'''
struct user_msg_t { char message[13]; };
BPF_HASH(config, u32, struct user_msg_t);
BPF_PERF_OUTPUT(output);
struct data_t { int pid; int uid; char command[16]; char message[13]; };
int hello(void *ctx) {
  struct data_t data = {};
  char message[13] = "Hello World";
  struct user_msg_t *p;
  data.pid = bpf_get_current_pid_tgid() >> 32;
  data.uid = bpf_get_current_uid_gid() & 0xFFFFFFFF;
  bpf_get_current_comm(&data.command, sizeof(data.command));
  p = config.lookup(&data.uid);
  if (p != 0) bpf_probe_read_kernel(&data.message, sizeof(data.message), p->message);
  else bpf_probe_read_kernel(&data.message, sizeof(data.message), message);
  output.perf_submit(ctx, &data, sizeof(data));
  return 0;
}
''')
b.attach_kprobe(event=b.get_syscall_fnname("execve"), fn_name="hello")
for uid, text in ((0, b"Hey root!"), (501, b"Hi user 501!")):
    b["config"][ctypes.c_int(uid)] = ctypes.create_string_buffer(text)
def show(cpu, data, size):
    e = b["output"].event(data)
    print(e.pid, e.uid, e.command.decode(), e.message.decode())
b["output"].open_perf_buffer(show)
print("ready")
while True:
    b.perf_buffer_poll()
"""

# The same by a ring buffer; the map is filled before the program is loaded.
HELLO_RING = r"""
from bcc import BPF
import ctypes
b = BPF(text=r'''
struct user_msg_t { char message[12]; };
BPF_HASH(config, u32, struct user_msg_t);
BPF_RINGBUF_OUTPUT(output, 1);
struct data_t { int pid; int uid; char command[16]; char message[12]; };
int hello(void *ctx) {
  struct data_t data = {};
  char message[12] = "Hello World";
  struct user_msg_t *p;
  data.pid = bpf_get_current_pid_tgid() >> 32;
  data.uid = bpf_get_current_uid_gid() & 0xFFFFFFFF;
  bpf_get_current_comm(&data.command, sizeof(data.command));
  p = config.lookup(&data.uid);
  if (p != 0) bpf_probe_read_kernel(&data.message, sizeof(data.message), p->message);
  else bpf_probe_read_kernel(&data.message, sizeof(data.message), message);
  output.ringbuf_output(&data, sizeof(data), 0);
  return 0;
}
''')
b["config"][ctypes.c_int(0)] = ctypes.create_string_buffer(b"Hey root!")
b.attach_kprobe(event=b.get_syscall_fnname("execve"), fn_name="hello")
def show(cpu, data, size):
    e = b["output"].event(data)
    print(e.pid, e.uid, e.command.decode(), e.message.decode())
b["output"].open_ring_buffer(show)
print("ready")
while True:
    b.ring_buffer_poll()
"""

# What lies behind task_struct, by the offsets of the kernel's headers. Prints what the caller of statfs(argv[1]) is.
TASK = r"""
import sys
from bcc import BPF
b = BPF(text=r'''
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/cred.h>
#include <linux/nsproxy.h>
#include <linux/ns_common.h>
#include <linux/pid_namespace.h>
#include <linux/mm_types.h>
#include <linux/utsname.h>
struct data_t {
  u32 tgid, pid, ppid, leader, uid, euid, gid, pid_ns, uts_ns, flags;
  u64 start_time, code, code_end;
  char comm[16], parent_comm[16], name[8];
};
BPF_PERF_OUTPUT(out);
TRACEPOINT_PROBE(syscalls, sys_enter_statfs) {
  struct data_t d = {};
  struct task_struct *t = (struct task_struct *)bpf_get_current_task();
  bpf_probe_read_user_str(d.name, sizeof d.name, args->pathname);
  d.tgid = t->tgid;
  d.pid = t->pid;
  d.ppid = t->real_parent->tgid;
  d.leader = t->group_leader->pid;
  d.uid = t->cred->uid.val;
  d.euid = t->real_cred->euid.val;
  d.gid = t->cred->gid.val;
  d.pid_ns = t->nsproxy->pid_ns_for_children->ns.inum;
  d.uts_ns = t->nsproxy->uts_ns->ns.inum;
  d.flags = t->flags;
  d.start_time = t->start_time;
  d.code = t->mm->start_code;
  d.code_end = t->mm->end_code;
  bpf_probe_read_kernel_str(d.comm, sizeof d.comm, t->comm);
  bpf_probe_read_kernel_str(d.parent_comm, sizeof d.parent_comm, t->real_parent->comm);
  out.perf_submit(args, &d, sizeof d);
  return 0;
}
''')
def show(cpu, data, size):
    e = b["out"].event(data)
    if e.name.decode() == sys.argv[1][:7]:
        print("task", *("%s=%s" % (n, v.decode().replace(" ", "_") if isinstance(v, bytes) else v)
                        for n, v in ((n, getattr(e, n)) for n, *_ in e._fields_)))
b["out"].open_perf_buffer(show)
print("ready")
while True:
    b.perf_buffer_poll()
"""

# A return probe, a stack of user space, a tracepoint with a string, and a line in trace_pipe for each
# getpriority() of who = 1000004711.
PROBES = r"""
from bcc import BPF
import sys
b = BPF(text=r'''
#include <uapi/linux/ptrace.h>
BPF_STACK_TRACE(stacks, 1024);
BPF_HASH(answers, int, u64);
BPF_HASH(calls, int, u64);
BPF_ARRAY(ids, int, 4);
int syscall__entered(struct pt_regs *ctx, int which, int who) {
  int zero = 0, one = 1;
  if (who != 1000004711) return 0;
  calls.increment(which);
  int id = stacks.get_stackid(ctx, BPF_F_USER_STACK);
  ids.update(&zero, &id);
  id = stacks.get_stackid(ctx, 0);
  ids.update(&one, &id);
  bpf_trace_printk("which %d who %d\n", which, who);
  return 0;
}
int returned(struct pt_regs *ctx) {
  int rc = PT_REGS_RC(ctx);
  answers.increment(rc);
  return 0;
}
''')
name = b.get_syscall_fnname("getpriority")
b.attach_kprobe(event=name, fn_name="syscall__entered")
b.attach_kretprobe(event=name, fn_name="returned")
print("ready")
for n in range(3):
    task, pid, cpu, flags, ts, msg = b.trace_fields()
    print("trace", task.decode(), pid, msg.decode())
print("calls", sorted((k.value, v.value) for k, v in b["calls"].items()))
print("answers", sorted((k.value, v.value) for k, v in b["answers"].items()))
user, kernel = b["ids"][0].value, b["ids"][1].value
print("user", user >= 0, len(list(b["stacks"].walk(user))) if user >= 0 else user)
for address in b["stacks"].walk(user):
    print("frame", b.sym(address, int(pid)).decode())
print("kernel", kernel >= 0, [b.ksym(a).decode() for a in b["stacks"].walk(kernel)] if kernel >= 0 else kernel)
"""

# Fails mkdir("/forbidden...") with EPERM before the kernel sees it.
OVERRIDE = r"""
from bcc import BPF
b = BPF(text=r'''
#include <uapi/linux/errno.h>
#include <uapi/linux/ptrace.h>
int no_mkdir(struct pt_regs *ctx) {
  struct pt_regs *regs = (struct pt_regs *)PT_REGS_PARM1(ctx);
  char name[12] = {};
  const char *path;
  bpf_probe_read_kernel(&path, sizeof path, &PT_REGS_PARM1(regs));
  bpf_probe_read_user_str(name, sizeof name, path);
  if (name[0] == '/' && name[1] == 'f' && name[2] == 'o' && name[3] == 'r' && name[4] == 'b') bpf_override_return(ctx, -EXDEV);
  return 0;
}
''')
b.attach_kprobe(event=b.get_syscall_fnname("mkdir"), fn_name="no_mkdir")
print("ready")
b.trace_print()
"""

TCP = r"""
from bcc import BPF
b = BPF(text="int hello(void *ctx) { return 0; }")
b.attach_kprobe(event="tcp_connect", fn_name="hello")
"""

NO_TRACEPOINT = r"""
from bcc import BPF
b = BPF(text="TRACEPOINT_PROBE(no_such, tracepoint) { return 0; }")
"""
