#include "agent/run_signals.h"

#include <cerrno>

#include "agent/sys.h"
#include "base/atomic.h"

namespace skep::agent {
namespace {

constexpr u32 NR_kill = 62, NR_rt_sigqueueinfo = 129, NR_rt_tgsigqueueinfo = 297, SIGBUS_ = 7, SIGSEGV_ = 11;

/// Source: include/uapi/asm-generic/siginfo.h
struct Siginfo {
  s32 signo, error, code, pad;
  u64 rest[14];
};
static_assert(sizeof(Siginfo) == 128);
constexpr s32 SI_KERNEL = 0x80;  ///< as Linux says of these: SEND_SIG_PRIV

/// The two that the agent answers itself come as from another process: from the kernel they would be faults.
bool looks_like_a_fault(u32 signal) { return signal == SIGSEGV_ || signal == SIGBUS_; }

void send(u32 signal, bool to_thread) {
  const s64 tgid = sys(NR_getpid), tid = sys(NR_gettid);
  Siginfo info{static_cast<s32>(signal), 0, SI_KERNEL, 0, {}};
  if (to_thread) {
    if (looks_like_a_fault(signal) || sys(NR_rt_tgsigqueueinfo, tgid, tid, signal, &info) != 0) sys(NR_tgkill, tgid, tid, signal);
  } else {
    // Only the first thread may say of a signal to the whole process that it comes from the kernel.
    if (looks_like_a_fault(signal) || sys(NR_rt_sigqueueinfo, tgid, signal, &info) != 0) sys(NR_kill, tgid, signal);
  }
}

}  // namespace

__thread SignalQueue signal_queue __attribute__((tls_model("initial-exec")));

long queue_signal(u32 signal, bool to_thread) {
  const u32 i = load_relaxed(&signal_queue.count);
  if (i >= MAX_QUEUED_SIGNALS) return -EBUSY;
  const s32 tgid = static_cast<s32>(sys(NR_getpid));
  if (i != 0 && signal_queue.tgid != tgid) return -EBUSY;
  signal_queue.tgid = tgid;
  signal_queue.at[i] = {static_cast<u8>(signal), to_thread};
  store_relaxed(&signal_queue.count, i + 1);
  return 0;
}

void send_them() {
  // A handler may leave for good, or run programs of its own: what is sent is taken out first.
  SignalQueue queue = signal_queue;
  store_relaxed(&signal_queue.count, 0);
  if (queue.tgid != sys(NR_getpid)) return;
  for (u32 i = 0; i < queue.count && i < MAX_QUEUED_SIGNALS; ++i) send(queue.at[i].signal, queue.at[i].to_thread);
}

}  // namespace skep::agent
