// agent: what an event shows its programs: contexts, registers, records.
#pragma once
#include "agent/run_env.h"
#include "agent/trap.h"
#include "progtypes/kernel_ctx.h"
#include "uapi/contexts.h"

namespace skep::agent {

/// Bytes of a tracepoint's record: its fields, and a path behind them.
constexpr u32 MAX_EVENT_RECORD = 4096 + 256;

/// What an event has to show, whoever looks at it.
struct EventSource {
  const TrapFrame* frame = nullptr;  ///< the system call it happens in, with the caller's registers; never null
  bool exit_side = false;            ///< of that system call
  s64 ret = 0;                       ///< what its caller gets, at the exit
  s64* override_ret = nullptr;       ///< where bpf_override_return() may put what the call answers
  // Of a place other than a system call's entry and exit.
  const void* record = nullptr;  ///< tracepoint record; its first 8 bytes are nobody's to read
  u32 record_size = 0;
  u32 current_args = 0;  ///< bit i: args[i] is the current task
  u64 args[6] = {};      ///< of the raw tracepoint
  u64 clock_id = 0;      ///< of a clock
};

/// What a run shows beside its context; readable by probe_read_kernel().
struct Synthetic {
  PtRegs user;  ///< the caller's, as the kernel saves them at entry; a kprobe's context points here
  PerfSampleData sample;
  // Of tracing programs: r1 is args. What stands in front of it is what bpf_get_func_ip() and bpf_get_func_arg_cnt() are turned into
  // reads of. Linux: kernel/bpf/verifier.c:do_misc_fixups(), kernel/trace/bpf_trace.c:bpf_get_func_arg()
  u64 func_ip, nr_args;
  u64 args[12];
  SyntheticTask task;
};

/// An event on its way through its programs.
struct EventRun {
  const EventSource& source;
  RunSlot* slot;
  u32 cpu;
  bool on_cpu;  ///< the slot is that virtual CPU
  Synthetic& synthetic;
  bool has_user = false;  ///< synthetic.user is filled
  bool overridden = false;
  s64 override_ret = 0;

  void override_with(s64 ret) {
    overridden = true;
    override_ret = ret;
  }
};

/// r1 of programs that are not of the tracing kinds.
union Context {
  PtRegs regs;
  TpEnterRecord enter;
  TpExitRecord exit;
  u64 raw[8];
  PerfEventDataKern perf;
  u64 bytes[MAX_EVENT_RECORD / 8];
};

/// Fills what the entry's program is to see, in `c` or in the event's Synthetic, and tells the run of it.
void make_context(RunCtx& run, Context& c, const ProbeEntry& p, EventRun& e);
/// Where the program itself was.
UserPlace user_place(const EventSource& source);

}  // namespace skep::agent
