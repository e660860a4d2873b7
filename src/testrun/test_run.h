// testrun: BPF_PROG_TEST_RUN in the caller's process. Freestanding: also compiled into the agent. Linux: net/bpf/test_run.c
#pragma once
#include "helpers/run_ctx.h"

namespace skep {

/// What is to be run: found out by whoever has the program's object, and all that test_run() knows of it. Plain bytes, so that it
/// can be sent to another process.
struct TestRunPlan {
  const ProgImage* prog;  ///< stays while the caller of test_run() holds a run slot taken before the plan was made
  u64 uattr;              ///< the caller's attr: where results go
  u32 expected_attach_type;
  u32 max_ctx_offset;  ///< how much of its context the program reads. Linux: bpf_prog_aux::max_ctx_offset
  bpf_test_run_attr attr;
};

/// What the process of the run supplies beside its RunEnv.
struct TestRunEnv {
  RunEnv* run;
  OpCtx op;                               ///< op.slot is held; a virtual CPU where prog->per_cpu asks for one
  u8* memory;                             ///< test_run_memory_size() zeroed bytes, page-aligned
  AddrRange extra = {0, 0};               ///< RunCtx::extra
  UserPlace user = {0, 0, 0};             ///< where the caller is
  Fault fault = {FaultKind::None, 0, 0};  ///< out: why a run was ended
  /// The caller's memory: 0 or -EFAULT.
  long (*read_user)(TestRunEnv*, void* dst, u64 addr, u64 len) noexcept;
  long (*write_user)(TestRunEnv*, u64 addr, const void* src, u64 len) noexcept;
  bool (*interrupted)(TestRunEnv*) noexcept;  ///< a signal waits
  /// Puts the run on this virtual CPU (`op` names it then). False: it cannot be had.
  bool (*take_cpu)(TestRunEnv*, u32 cpu) noexcept;
};

u64 test_run_memory_size() noexcept;

/// Checks, runs, writes results: 0 or -errno, in Linux's order. -ENOTSUPP for program types it has no run for. A run that is
/// ended, which no program that was judged good should see, answers -EIO: env.fault tells why. DIFFERS: the only network
/// device is the loopback device, number 1. XDP frames cannot be sent on: BPF_F_TEST_XDP_LIVE_FRAMES is -ENOTSUPP.
s64 test_run(const TestRunPlan& plan, TestRunEnv& env) noexcept;

}  // namespace skep
