#include "agent/fire_context.h"

#include "base/bytes.h"

namespace skep::agent {
namespace {

/// At the system call's entry or exit.
void fill_user(PtRegs& user, const TrapFrame& f, s64 ax) {
  __builtin_memcpy(&user, &f, 15 * sizeof(u64));
  user.ax = static_cast<u64>(ax);
  user.cx = f.ret;
  user.r11 = 0x246;
  user.orig_ax = f.nr;
  user.ip = f.ret;
  user.cs = 0x33;
  user.ss = 0x2b;
  user.flags = 0x246;
  user.sp = f.sp;
}

/// At the probed function, whose one argument is what the kernel saved of the caller. Member by member: no call of memset().
void fill_kernel(PtRegs& r, const PtRegs* user, u64 ip, u64 ax) {
  r.r15 = r.r14 = r.r13 = r.r12 = r.bp = r.bx = r.r11 = r.r10 = r.r9 = r.r8 = r.cx = r.dx = r.si = 0;
  r.ax = ax;
  r.di = r.sp = reinterpret_cast<u64>(user);
  r.orig_ax = ~0ULL;
  r.ip = ip;
  r.cs = 0x10;
  r.flags = 0x246;
  r.ss = 0x18;
}

PtRegs* user_regs(EventRun& e) {
  if (!e.has_user) fill_user(e.synthetic.user, *e.source.frame, e.source.ret);
  e.has_user = true;
  return &e.synthetic.user;
}

void fill_enter(TpEnterRecord& r, const ProbeEntry& p, const TrapFrame& f) {
  r = TpEnterRecord{};
  r.common_type = static_cast<u16>(p.event_id);
  r.syscall_nr = static_cast<s32>(f.nr);
  for (int i = 0; i < 6; ++i) r.args[i] = f.arg(i);
}

/// raw_syscalls:sys_enter {id, args[6]} and sys_exit {id, ret}. Linux: include/trace/events/syscalls.h
u32 make_raw_syscall(Context& c, const EventSource& s) {
  c.raw[0] = 0;
  c.raw[1] = s.frame->nr;
  if (s.exit_side) {
    c.raw[2] = static_cast<u64>(s.ret);
    return 3 * sizeof(u64);
  }
  for (int i = 0; i < 6; ++i) c.raw[2 + i] = s.frame->arg(i);
  return 8 * sizeof(u64);
}

u32 make_record(Context& c, const ProbeEntry& p, const EventSource& s) {
  const u32 size = s.record == nullptr ? make_raw_syscall(c, s) : s.record_size;
  if (s.record != nullptr) copy_bytes(c.bytes, s.record, size);
  c.enter.common_type = static_cast<u16>(p.event_id);
  return size;
}

u32 make_sample(Context& c, const ProbeEntry& p, EventRun& e) {
  c.perf = PerfEventDataKern{};
  e.synthetic.sample = PerfSampleData{};
  e.synthetic.sample.period = reinterpret_cast<const ClockDesc*>(p.symbol_addr)->period_ns;
  c.perf.regs = user_regs(e);
  c.perf.data = &e.synthetic.sample;
  return sizeof c.perf;
}

/// As many as Linux lets any program read. Linux: kernel/trace/bpf_trace.c:raw_tp_prog_is_valid_access()
void fill_args(EventRun& e, RunEnv* env) {
  const EventSource& s = e.source;
  u64(&args)[12] = e.synthetic.args;
  for (u64& a : args) a = 0;
  if (s.record == nullptr) {
    args[0] = reinterpret_cast<u64>(user_regs(e));
    args[1] = s.exit_side ? static_cast<u64>(s.ret) : s.frame->nr;
  } else {
    for (u32 i = 0; i < 6; ++i) args[i] = (s.current_args >> i & 1) != 0 ? env->current_task(env) : s.args[i];
  }
}

/// The function has one argument, and behind it stands what it returns.
void fill_function(const ProbeEntry& p, EventRun& e) {
  e.synthetic.args[0] = reinterpret_cast<u64>(user_regs(e));
  e.synthetic.args[1] = p.kind == ProbeKind::Fexit ? static_cast<u64>(e.source.ret) : 0;
}

bool is_tracing(ProbeKind k) {
  return k == ProbeKind::RawTp || k == ProbeKind::Fentry || k == ProbeKind::Fexit || k == ProbeKind::ModifyReturn;
}

void make_tracing_context(RunCtx& run, const ProbeEntry& p, EventRun& e) {
  Synthetic& s = e.synthetic;
  s.func_ip = p.symbol_addr;
  s.nr_args = 1;
  if (p.kind == ProbeKind::RawTp)
    fill_args(e, run.env);
  else
    fill_function(p, e);
  run.ctx = reinterpret_cast<u8*>(s.args);
  run.ctx_size = p.kind == ProbeKind::RawTp ? sizeof s.args : 2 * sizeof(u64);
}

u32 make_other_context(Context& c, const ProbeEntry& p, EventRun& e) {
  switch (p.kind) {
    case ProbeKind::Kprobe:
    case ProbeKind::Kretprobe:
      fill_kernel(c.regs, user_regs(e), p.symbol_addr, p.kind == ProbeKind::Kretprobe ? static_cast<u64>(e.source.ret) : 0);
      return sizeof(PtRegs);
    case ProbeKind::TpEnter:
      fill_enter(c.enter, p, *e.source.frame);
      return sizeof(TpEnterRecord);
    case ProbeKind::TpExit:
      c.exit = TpExitRecord{};
      c.exit.common_type = static_cast<u16>(p.event_id);
      c.exit.syscall_nr = static_cast<s32>(e.source.frame->nr);
      c.exit.ret = e.source.ret;
      return sizeof(TpExitRecord);
    case ProbeKind::Clock:
      return make_sample(c, p, e);
    default:
      return make_record(c, p, e.source);
  }
}

}  // namespace

void make_context(RunCtx& run, Context& c, const ProbeEntry& p, EventRun& e) {
  if (is_tracing(p.kind)) {
    make_tracing_context(run, p, e);
  } else {
    run.ctx = reinterpret_cast<u8*>(&c);
    run.ctx_size = make_other_context(c, p, e);
  }
  // What these are led to by types they load from plainly.
  if (is_tracing(p.kind) || p.kind == ProbeKind::Clock) run.kernel = AddrRange{reinterpret_cast<u64>(&e.synthetic), sizeof e.synthetic};
}

UserPlace user_place(const EventSource& source) { return {source.frame->ret, source.frame->sp, source.frame->bp}; }

}  // namespace skep::agent
