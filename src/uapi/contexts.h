// uapi: what programs get in r1, byte for byte. Linux: arch/x86/include/asm/ptrace.h, kernel/trace/trace_syscalls.c:syscall_tp_t
#pragma once
#include "base/types.h"

namespace skep {

/// Linux: struct pt_regs of x86-64.
struct PtRegs {
  u64 r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di, orig_ax, ip, cs, flags, sp, ss;
};
static_assert(sizeof(PtRegs) == 168);

struct TpEnterRecord {
  u16 common_type;
  u8 common_flags, common_preempt_count;
  s32 common_pid;
  s32 syscall_nr;
  u32 pad;
  u64 args[6];
};
static_assert(sizeof(TpEnterRecord) == 64);

struct TpExitRecord {
  u16 common_type;
  u8 common_flags, common_preempt_count;
  s32 common_pid;
  s32 syscall_nr;
  u32 pad;
  s64 ret;
};
static_assert(sizeof(TpExitRecord) == 24);

}  // namespace skep
