// agent: signals that one task sends another. Linux: include/trace/events/signal.h, kernel/signal.c:__send_signal_locked()
//
// Told by the sender, just before it makes the call: one that kills itself does not come back from it. Whether the call will succeed is
// asked first, with signal 0. Not told: signals of the kernel (a child's death, a terminal, a timer, a fault), and those to process groups.
#include "agent/fire_context.h"
#include "agent/agent.h"
#include "agent/identity.h"
#include "agent/proc_file.h"
#include "base/bytes.h"

namespace skep::agent {
namespace {

constexpr u32 NR_kill = 62, NR_rt_sigqueueinfo = 129, NR_tkill = 200, NR_rt_tgsigqueueinfo = 297;
constexpr s32 SI_USER_ = 0, SI_TKILL_ = -6;
constexpr u32 SIGRTMIN_ = 32;
constexpr s32 DELIVERED = 0, IGNORED = 1, ALREADY_PENDING = 2;  // Linux: enum in include/trace/events/signal.h

struct Record {
  u64 common;
  s32 sig, error, code;
  char comm[16];
  s32 pid, group, result;
};
static_assert(offsetof(Record, comm) == 20 && offsetof(Record, pid) == 36 && sizeof(Record) == 48);

struct Sent {
  s32 pid;     ///< of the task that gets it
  u32 sig;
  s32 code;
  bool group;  ///< to its whole process
};

/// What rt_sigqueueinfo() was given; SI_QUEUE where it cannot be read.
s32 code_of(u64 info) {
  s32 code = -1;
  read_user(&code, info + 8, sizeof code);
  return code;
}

/// False: a call that sends nothing, or to more than one.
bool what_is_sent(const TrapFrame& f, Sent& s) {
  const auto int_arg = [&](int i) { return static_cast<s32>(f.arg(i)); };
  switch (f.nr) {
    case NR_kill: s = {int_arg(0), static_cast<u32>(f.si), SI_USER_, true}; break;
    case NR_tkill: s = {int_arg(0), static_cast<u32>(f.si), SI_TKILL_, false}; break;
    case NR_tgkill: s = {int_arg(1), static_cast<u32>(f.dx), SI_TKILL_, false}; break;
    case NR_rt_sigqueueinfo: s = {int_arg(0), static_cast<u32>(f.si), code_of(f.dx), true}; break;
    default: s = {int_arg(1), static_cast<u32>(f.dx), code_of(f.r10), false}; break;
  }
  if (s.pid <= 0 || s.sig == 0 || s.sig > 64) return false;
  if (f.nr == NR_tgkill || f.nr == NR_rt_tgsigqueueinfo) return sys(NR_tgkill, int_arg(0), s.pid, 0) == 0;
  return sys(f.nr == NR_tkill ? NR_tkill : NR_kill, s.pid, 0) == 0;
}

bool is_ignored_by_default(u32 sig) { return sig == 17 /* CHLD */ || sig == 18 /* CONT */ || sig == 23 /* URG */ || sig == 28 /* WINCH */; }

/// Linux: kernel/signal.c:prepare_signal(), legacy_queue()
s32 result_of(const Sent& s, const TaskFacts& t) {
  const u64 bit = 1ULL << (s.sig - 1);
  const bool unhandled = (t.ignored & bit) != 0 || ((t.caught & bit) == 0 && is_ignored_by_default(s.sig));
  if ((t.blocked & bit) == 0 && unhandled) return IGNORED;
  const u64 pending = s.group ? t.shared_pending : t.pending;
  return s.sig < SIGRTMIN_ && (pending & bit) != 0 ? ALREADY_PENDING : DELIVERED;
}

}  // namespace

void on_send_signal(TrapFrame* f) {
  if (!is_watched(EventPlace::SignalGenerate, *f)) return;
  Sent s;
  TaskFacts target;
  if (!what_is_sent(*f, s) || !facts_of_task(s.pid, target)) return;
  Record r;
  r.common = 0;
  r.sig = static_cast<s32>(s.sig);
  r.error = 0;
  r.code = s.code;
  copy_bytes(r.comm, target.comm, sizeof r.comm);
  r.pid = s.pid;
  r.group = s.group ? 1 : 0;
  r.result = result_of(s, target);
  EventSource source;
  source.frame = f;
  source.record = &r;
  source.record_size = sizeof r;
  source.args[0] = s.sig;
  source.current_args = s.pid == static_cast<s32>(current_pid_tgid()) ? 1u << 2 : 0;
  source.args[3] = s.group ? 1 : 0;
  source.args[4] = static_cast<u64>(r.result);
  fire_event(EventPlace::SignalGenerate, source, *f);
}

}  // namespace skep::agent
