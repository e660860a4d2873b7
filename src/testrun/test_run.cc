#include "testrun/test_run.h"

#include "jit/run.h"
#include "testrun/job.h"

namespace skep {
namespace {

long dispatch(Job& job) noexcept {
  switch (job.plan.prog->type) {
    case BPF_PROG_TYPE_SOCKET_FILTER:
    case BPF_PROG_TYPE_SCHED_CLS:
    case BPF_PROG_TYPE_SCHED_ACT:
    case BPF_PROG_TYPE_CGROUP_SKB:
    case BPF_PROG_TYPE_LWT_IN:
    case BPF_PROG_TYPE_LWT_OUT:
    case BPF_PROG_TYPE_LWT_XMIT:
    case BPF_PROG_TYPE_LWT_SEG6LOCAL:
      return test_run_skb(job);
    case BPF_PROG_TYPE_XDP:
      return test_run_xdp(job);
    case BPF_PROG_TYPE_FLOW_DISSECTOR:
      return test_run_flow_dissector(job);
    case BPF_PROG_TYPE_SK_LOOKUP:
      return test_run_sk_lookup(job);
    case BPF_PROG_TYPE_RAW_TRACEPOINT:
      return test_run_raw_tp(job);
    case BPF_PROG_TYPE_SYSCALL:
      return test_run_syscall(job);
    default:
      return -TEST_ENOTSUPP;
  }
}

}  // namespace

bool range_is_zero(const void* of, u64 from, u64 to) noexcept {
  const u8* bytes = static_cast<const u8*>(of);
  for (u64 i = from; i < to; ++i)
    if (bytes[i] != 0) return false;
  return true;
}

long Job::copy_packet(u32 user_size, u32 headroom, u32 tailroom) noexcept {
  if (user_size > PAGE_SIZE - headroom - tailroom) return -EINVAL;
  return user_size == 0 ? 0 : env.read_user(&env, mem.packet + headroom, attr.data_in, user_size);
}

/// Linux: include/linux/bpfptr.h: bytes of a larger context than we know must be zero. syscall.c:bpf_check_uarg_tail_zero()
long Job::copy_ctx(void* ctx, u32 max_size, bool* given) noexcept {
  *given = attr.ctx_in != 0 || attr.ctx_out != 0;
  if (attr.ctx_in == 0) return 0;
  if (attr.ctx_size_in > PAGE_SIZE) return -E2BIG;
  if (attr.ctx_size_in > max_size) {
    const u32 more = attr.ctx_size_in - max_size;
    if (const long err = env.read_user(&env, mem.args, attr.ctx_in + max_size, more); err != 0) return err;
    if (!range_is_zero(mem.args, 0, more)) return -E2BIG;
  }
  return env.read_user(&env, ctx, attr.ctx_in, attr.ctx_size_in < max_size ? attr.ctx_size_in : max_size);
}

long Job::put(u64 field, u32 value) noexcept { return env.write_user(&env, plan.uattr + field, &value, sizeof value); }

long Job::write_retval(u32 retval) noexcept { return put(offsetof(bpf_test_run_attr, retval), retval); }

long Job::finish(const u8* data, u32 size, const u8* frags, u32 frags_size, u32 retval, u32 duration) noexcept {
  u32 copied = size;
  bool cut = false;
  if (attr.data_size_out != 0 && copied > attr.data_size_out) {
    copied = attr.data_size_out;
    cut = true;
  }
  if (attr.data_out != 0) {
    if (copied < frags_size) return -ENOSPC;
    const u32 linear = copied - frags_size;
    if (linear != 0 && env.write_user(&env, attr.data_out, data, linear) != 0) return -EFAULT;
    // Where not all fits it is the linear part that is cut, as on Linux.
    if (frags_size != 0 && env.write_user(&env, attr.data_out + linear, frags, frags_size) != 0) return -EFAULT;
  }
  if (put(offsetof(bpf_test_run_attr, data_size_out), size) != 0 || write_retval(retval) != 0 ||
      put(offsetof(bpf_test_run_attr, duration), duration) != 0)
    return -EFAULT;
  return cut ? -ENOSPC : 0;
}

long Job::finish_ctx(bool given, const void* ctx, u32 size) noexcept {
  if (!given || attr.ctx_out == 0) return 0;
  const u32 copied = size < attr.ctx_size_out ? size : attr.ctx_size_out;
  if (env.write_user(&env, attr.ctx_out, ctx, copied) != 0 || put(offsetof(bpf_test_run_attr, ctx_size_out), size) != 0)
    return -EFAULT;
  return copied < size ? -ENOSPC : 0;
}

void Job::set_ctx(void* ctx, u32 size, PacketKind packet) noexcept {
  RunCtx& run = mem.run;
  run.op = env.op;
  run.prog = plan.prog;
  run.probe = nullptr;
  run.ctx = static_cast<u8*>(ctx);
  run.ctx_size = size;
  run.env = env.run;
  run.extra = env.extra;
  constexpr u64 SHARED_INFO_AT = PAGE_SIZE - SKB_SHARED_INFO_ROOM;
  run.kernel = {reinterpret_cast<u64>(mem.packet) + SHARED_INFO_AT, SKB_SHARED_INFO_ROOM + sizeof(TestRunKernel)};
  run.packet = packet;
  run.ctx_writable = plan.prog->type == BPF_PROG_TYPE_SYSCALL;
  run.check_uninit = false;
  run.pid_tgid = run.task = 0;
  run.user = env.user;
}

long Job::run_once(u32* retval) noexcept {
  *retval = static_cast<u32>(run_program(mem.run));
  if (mem.run.fault.kind == FaultKind::None) return 0;
  env.fault = mem.run.fault;
  return -EIO;
}

/// To ask whether a signal waits costs system calls: so seldom that it makes no run dearer, so often that nobody notices the delay.
u32 Job::runs_until_ask() noexcept {
  constexpr u64 OFTEN_NS = 100'000, SELDOM_NS = 1'000'000;
  constexpr u32 MOST = 1024;
  const u64 now = env.run->ktime_ns(env.run), took = now - asked_at_;
  asked_at_ = now;
  if (took < OFTEN_NS && runs_ < MOST) runs_ *= 2;
  if (took > SELDOM_NS) runs_ = static_cast<u32>(runs_ * SELDOM_NS / took);
  if (runs_ == 0) runs_ = 1;
  return runs_;
}

u64 test_run_memory_size() noexcept { return sizeof(TestRunMemory); }

s64 test_run(const TestRunPlan& plan, TestRunEnv& env) noexcept {
  Job job(plan, env);
  return dispatch(job);
}

}  // namespace skep
