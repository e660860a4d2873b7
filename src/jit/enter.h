// jit: enter.S as C++ sees it. Internal to the room.
#pragma once
#include "helpers/run_ctx.h"

namespace skep {

/// At the stack pointer that skep_jit_enter() notes.
struct EnterFrame {
  EnterFrame* outer;      ///< of the run that a signal handler has interrupted, which then runs a program itself; or left behind
  RunCtx* run;
  const ProgImage* prog;  ///< the run began with
};
static_assert(offsetof(EnterFrame, outer) == 0 && offsetof(EnterFrame, run) == 8 && offsetof(EnterFrame, prog) == 16);

}  // namespace skep

extern "C" {
[[gnu::visibility("hidden")]] skep::u64 skep_jit_enter(skep::RunCtx* run, skep::u64 ctx, skep::u64* sp, const skep::ProgImage* prog,
                                                       skep::u64 entry) noexcept;
/// REQUIRES: `sp` was noted by a call of skep_jit_enter() that has not returned.
[[noreturn, gnu::visibility("hidden")]] void skep_jit_leave(skep::u64 sp) noexcept;
extern const char skep_jit_left[] __attribute__((visibility("hidden")));
/// What skep_jit_enter() returns.
[[gnu::visibility("hidden")]] skep::u64 skep_jit_ended(skep::RunCtx* run, const skep::ProgImage* prog, skep::u64 r0) noexcept;
/// The EnterFrame of compiled code under way in this thread; null: none. A run that was left by siglongjmp leaves it behind.
extern __thread skep::EnterFrame* skep_jit_running __attribute__((tls_model("initial-exec"), visibility("hidden")));
}
