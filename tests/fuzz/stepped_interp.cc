// tests/fuzz: the interpreter's own code once more, under another name.
#include "stepped_interp.h"

namespace skep::fuzz {
namespace {

void (*g_on_step)(void*, RunCtx&, u32, const u64*) = nullptr;
void* g_who = nullptr;

u8 g_frame_byte = 0;

void new_frame(u8* bytes, u32 size) noexcept { __builtin_memset(bytes, g_frame_byte, size); }

void tell(RunCtx& run, u32 pc, const u64* regs) noexcept {
  if (g_on_step != nullptr) g_on_step(g_who, run, pc, regs);
}

}  // namespace
}  // namespace skep::fuzz

#define SKEP_ON_STEP(run, pc, regs) ::skep::fuzz::tell(run, pc, regs)
#define SKEP_NEW_FRAME(bytes, size) ::skep::fuzz::new_frame(bytes, size)
#define interp_run stepped_interp_run
#define interp_part stepped_interp_part
#include "../../src/interp/interp.cc"
#undef interp_part
#undef interp_run

namespace skep::fuzz {

u64 stepped_run(RunCtx& run, void (*on_step)(void* who, RunCtx& run, u32 pc, const u64* regs), void* who, u8 frame_byte) {
  g_frame_byte = frame_byte;
  g_on_step = on_step;
  g_who = who;
  return stepped_interp_run(run);
}

}  // namespace skep::fuzz
