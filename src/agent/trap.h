// agent: the frame that trap.S makes of a diverted syscall, and what it calls.
#pragma once
#include "base/types.h"

namespace skep::agent {

enum class Action : u64 {
  Pass = 0,      ///< let the kernel do it, at its own place
  Answered = 1,  ///< rax is the result
  Watched = 2,   ///< do it from trap.S and call skep_exit_c() after
};

/// The first fifteen members stand as in struct pt_regs. Lies on the program's own stack, under its red zone.
struct TrapFrame {
  u64 r15, r14, r13, r12, bp, bx, r11, r10, r9, r8;
  s64 ax;  ///< the number; result once answered
  u64 cx, dx, si, di;
  u64 sp;     ///< the program's
  u64 flags;
  Action action;
  u64 nr;     ///< kept for the exit side
  u64 stack;  ///< agent stack in use, index + 1
  u64 ret;    ///< address behind the syscall instruction
  u64 mask;   ///< room for a signal mask that replaces the caller's
  u64 note;   ///< a handler's own, from entry to exit
  u64 want_exit;  ///< probes watch the exit
  u64 changed;    ///< argument index + 1 that was replaced for the length of the call, and what it was
  u64 original;
  u64 pair[2];    ///< pselect6's {mask, size}

  u64 arg(int i) const {
    switch (i) {
      case 0: return di;
      case 1: return si;
      case 2: return dx;
      case 3: return r10;
      case 4: return r8;
      default: return r9;
    }
  }
  u64* slot(int i) {
    u64* const at[6] = {&di, &si, &dx, &r10, &r8, &r9};
    return at[i];
  }
  /// Another value for argument i while the kernel works; the program's register comes back after.
  void replace(int i, u64 value) {
    changed = static_cast<u64>(i) + 1;
    original = *slot(i);
    *slot(i) = value;
    action = Action::Watched;
  }
  void answer(s64 result) {
    ax = result;
    action = Action::Answered;
  }
};
static_assert(offsetof(TrapFrame, ax) == 80 && offsetof(TrapFrame, di) == 112 && offsetof(TrapFrame, sp) == 120 &&
              offsetof(TrapFrame, action) == 136 && offsetof(TrapFrame, stack) == 152 && offsetof(TrapFrame, ret) == 160 &&
              offsetof(TrapFrame, mask) == 168 && sizeof(TrapFrame) == 224);

}  // namespace skep::agent

extern "C" {
void skep_trap_entry();
void skep_trap_c(skep::agent::TrapFrame* f);
void skep_exit_c(skep::agent::TrapFrame* f);
void* skep_stack_take(skep::agent::TrapFrame* f);
void skep_stack_give(skep::agent::TrapFrame* f);
long skep_guarded_copy(void* dst, const void* src, skep::u64 n);
extern char skep_guarded_begin[], skep_guarded_end[], skep_guarded_fail[];
void skep_sigreturn();
extern skep::u8 skep_interest_local[512];
extern const skep::u8* skep_interest_session;
}
