// helpers: bpf_trace_printk(). Linux: kernel/trace/bpf_trace.c
#include <cerrno>

#include "base/atomic.h"
#include "base/bytes.h"
#include "buffers/ringbuf.h"
#include "helpers/format.h"
#include "helpers/helper_list.h"
#include "helpers/trace_record.h"

namespace skep {
namespace {

struct FullRecord {
  TraceRecord head;
  char text[TRACE_TEXT_SIZE];
};

void fill_head(RunCtx& run, TraceRecord& head) noexcept {
  head.ts_ns = run.env->ktime_ns(run.env);
  head.pid = static_cast<u32>(run.env->pid_tgid(run.env));
  head.cpu = run.op.cpu;
  zero_bytes(head.comm, sizeof(head.comm));
  run.env->comm(run.env, head.comm);
  head.pad = 0;
}

/// The session's trace ring is ring 0. Without one, or when it is full, the text is lost, as on Linux when nobody reads the trace.
void emit(RunCtx& run, FullRecord& record) noexcept {
  const RingDesc* ring = load_acquire(&run.op.window.rom->rings[0]);  // pairs with the host's release when it registers the ring
  if (ring == nullptr || ring->kind != RingKind::Bpf) return;
  fill_head(run, record.head);
  u32 len = 0;  // a %c of 0 ends the text, as the kernel's string does
  while (len < TRACE_TEXT_SIZE - 1 && record.text[len] != 0) ++len;
  record.head.len = len;
  bool futex_wake = false;
  (void)ringbuf_output(run.op, ring, &record, sizeof(TraceRecord) + len, 0, &futex_wake);
  if (futex_wake) run.env->futex_wake_host(run.env);
}

}  // namespace

u64 bpf_trace_printk(RunCtx& run, u64 fmt, u64 fmt_size, u64 arg1, u64 arg2, u64 arg3) noexcept {
  const u64 args[] = {arg1, arg2, arg3};
  FullRecord record;
  const long len = format_bpf(run, record.text, sizeof(record.text), reinterpret_cast<const char*>(fmt), fmt_size, args, 3);
  if (len >= 0) emit(run, record);
  return static_cast<u64>(len);
}

/// Linux: kernel/trace/bpf_trace.c:bpf_trace_vprintk()
u64 bpf_trace_vprintk(RunCtx& run, u64 fmt, u64 fmt_size, u64 data, u64 data_len, u64) noexcept {
  if (data_len % 8 != 0 || data_len > MAX_BPRINTF_VARARGS * 8 || (data_len != 0 && data == 0)) return static_cast<u64>(-EINVAL);
  u64 args[MAX_BPRINTF_VARARGS];
  copy_bytes(args, reinterpret_cast<const void*>(data), data_len);
  FullRecord record;
  const long len = format_bpf(run, record.text, sizeof(record.text), reinterpret_cast<const char*>(fmt), fmt_size, args,
                              static_cast<u32>(data_len / 8));
  if (len >= 0) emit(run, record);
  return static_cast<u64>(len);
}

}  // namespace skep
