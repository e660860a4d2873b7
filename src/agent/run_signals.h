// agent: signals that programs send: kept until the run is over. Linux: kernel/trace/bpf_trace.c:bpf_send_signal_common(),
// do_bpf_send_signal()
#pragma once
#include "base/types.h"

namespace skep::agent {

constexpr u32 MAX_QUEUED_SIGNALS = 8;

struct SignalQueue {
  u32 count;
  s32 tgid;  ///< that they are for: not the child that a signal handler forks in the middle of a run
  struct {
    u8 signal;
    bool to_thread;
  } at[MAX_QUEUED_SIGNALS];
};
extern __thread SignalQueue signal_queue __attribute__((tls_model("initial-exec")));

/// -EBUSY: too many wait.
long queue_signal(u32 signal, bool to_thread);
void send_them();
/// REQUIRES: this thread is in no run and holds nothing: a handler may run here and now, and never come back.
/// DIFFERS: on Linux a signal sent at the entry of a system call is seen by the call, which may end with -EINTR; here it comes
/// before.
inline void send_queued_signals() {
  if (signal_queue.count != 0) [[unlikely]]
    send_them();
}

}  // namespace skep::agent
