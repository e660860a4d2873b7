// helpers: one run of a program, and what the process it runs in supplies. Freestanding: also compiled into the agent.
#pragma once
#include "isa/insn.h"
#include "shm/op_ctx.h"

namespace skep {

/// What helpers ask of the process of the run: the agent's own functions in production, fakes in tests. None may block, allocate or
/// call libc; each may be called at any instruction of the process.
struct RunEnv {
  u64 (*pid_tgid)(RunEnv*) noexcept;      ///< tgid << 32 | pid
  u64 (*uid_gid)(RunEnv*) noexcept;       ///< gid << 32 | uid
  void (*comm)(RunEnv*, char out[16]) noexcept;  ///< NUL-terminated
  u64 (*current_task)(RunEnv*) noexcept;  ///< address of the synthetic task_struct
  u64 (*ktime_ns)(RunEnv*) noexcept;      ///< CLOCK_MONOTONIC
  u64 (*boot_ns)(RunEnv*) noexcept;       ///< CLOCK_BOOTTIME
  /// Guarded copy: 0, or -EFAULT with dst undefined. Which addresses may be asked for is the caller's affair.
  long (*read_memory)(RunEnv*, void* dst, const void* src, u64 len) noexcept;
  /// Guarded string copy, at most size bytes with the NUL: the length with its NUL, or -EFAULT with dst undefined. A longer string
  /// is cut: dst ends with a NUL and the answer is size. Bytes behind the NUL stay as they were. Linux:
  /// mm/maccess.c:strncpy_from_user_nofault()
  long (*read_string)(RunEnv*, void* dst, u64 size, const void* src) noexcept;
  void (*futex_wake_host)(RunEnv*) noexcept;  ///< rings the session's doorbell
};

struct AddrRange {
  u64 addr, len;
  /// True when [a, a + size) lies inside, without wrapping.
  constexpr bool holds(u64 a, u64 size) const noexcept { return a >= addr && a - addr <= len && size <= len - (a - addr); }
};

/// Why the interpreter ended a run.
enum class FaultKind : u32 {
  None,
  BadOpcode,     ///< unknown, or of a kind that does not run here (LD_ABS, kfunc, PSEUDO_FUNC)
  BadRegister,   ///< above r10, or a write to r10
  BadPc,         ///< outside the program
  BadRead,
  BadWrite,
  Misaligned,    ///< atomic operation
  UnknownHelper,  ///< none of that id, or not for this program type
  BadHelperArg,
  CallDepth,     ///< more than MAX_CALL_FRAMES
  StepLimit,
};

struct Fault {
  FaultKind kind;
  u32 insn;
  u64 addr;  ///< the address touched, the helper's id, or the argument
};

/// One run. The caller fills the first part and zeroes nothing else: interp_run() does. 4.2 KiB.
struct RunCtx {
  OpCtx op;                 ///< op.slot is held for the whole run
  const ProgImage* prog;
  const ProbeEntry* probe;  ///< null when run on demand
  u8* ctx;                  ///< what r1 holds on entry
  u32 ctx_size;
  RunEnv* env;
  AddrRange extra;          ///< memory that probe_read_kernel() may read beside the window: a synthetic pt_regs. len 0: none

  u32 steps;                ///< instructions executed
  u32 frame;                ///< current call depth, 0 = entry function
  u32 prandom_calls;
  u32 last_map;             ///< index into prog->maps that held the last map value touched: asked first
  Fault fault;
  alignas(8) u8 stack[MAX_CALL_FRAMES][MAX_BPF_STACK];  ///< r10 of frame i = end of stack[i]
};

}  // namespace skep
