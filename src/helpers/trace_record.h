// helpers: what bpf_trace_printk() writes into the session's trace ring, for the host to show as trace_pipe.
#pragma once
#include "base/types.h"

namespace skep {

constexpr u32 TRACE_TEXT_SIZE = 1024;  ///< with its NUL. Linux: MAX_BPRINTF_BUF

/// One record: this header, then `len` bytes of text without a NUL.
struct TraceRecord {
  u64 ts_ns;  ///< CLOCK_MONOTONIC
  u32 pid;    ///< the thread's
  u32 cpu;
  char comm[16];
  u32 len;
  u32 pad;
};
static_assert(sizeof(TraceRecord) == 40);

}  // namespace skep
