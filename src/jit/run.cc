#include "jit/run.h"

#include "base/atomic.h"
#include "helpers/memory.h"
#include "interp/interp.h"
#include "jit/enter.h"
#include "jit/fault.h"
#include "maps/object_maps.h"

namespace skep {

bool code_is_mapped = true;

namespace {

constexpr u64 STACK_REACH = 1 << 20;  ///< no run needs as much

bool call_compiled(RunCtx& run, u64 func, const u64 (&args)[5], u64* r0) noexcept {
  *r0 = reinterpret_cast<JitFn*>(func)(&run, args[0], args[1], args[2], args[3], args[4]);
  return true;  // else the run would have been left
}

/// What helpers and compiled code look at, in as few stores as it takes. The rest of RunCtx is the interpreter's.
inline void begin(RunCtx& run) noexcept {
  run.steps = run.frame = 0;
  run.prandom_calls = run.last_map = 0;
  run.fault.kind = FaultKind::None;
  run.held_lock = nullptr;
  run.keys = nullptr;
  run.n_inner_maps = 0;
  run.call_func = call_compiled;
  run.tail_calls = 0;
}

bool has_reservation(const RunSlot& slot) noexcept {
  u32 any = 0;
  for (const auto& open : slot.reserved) any |= load_relaxed(&open.ring);
  return any != 0;
}

void clean_up(RunCtx& run) noexcept {
  if (has_reservation(*run.op.slot)) run_discard_reservations(run);
  if (run.held_lock != nullptr) robust_unlock(run.held_lock);
  run.held_lock = nullptr;
}

const CodeBlock* find_block(const CodeIndex& index, u64 rip) noexcept {
  u32 low = 0, high = index.count;
  while (low < high) {
    const u32 middle = low + (high - low) / 2;
    const CodeBlock& b = index.blocks[middle];
    if (rip - b.addr < b.size) return &b;
    if (rip < b.addr)
      high = middle;
    else
      low = middle + 1;
  }
  return nullptr;
}

const CodeFault* find_fault(const CodeBlock& block, u32 at) noexcept {
  u32 low = 0, high = block.n_faults;
  while (low < high) {
    const u32 middle = low + (high - low) / 2;
    if (block.faults[middle].at == at) return &block.faults[middle];
    if (at < block.faults[middle].at)
      high = middle;
    else
      low = middle + 1;
  }
  return nullptr;
}

/// JitFn of all programs that have no code.
u64 interpret(RunCtx* run, u64 ctx, u64, u64, u64, u64) noexcept {
  const u64 sp = run->native_sp;
  const u32 tail_calls = run->tail_calls;
  run->ctx = reinterpret_cast<u8*>(ctx);
  const ShownKey* const keys = run->keys;
  const u64 r0 = interp_part(*run);
  if (run->fault.kind != FaultKind::None) skep_jit_leave(sp);
  run->native_sp = sp;
  run->keys = keys;
  run->tail_calls = tail_calls;
  run->call_func = call_compiled;
  return r0;
}

}  // namespace

u64 run_program(RunCtx& run) noexcept {
  const ProgImage* const prog = run.prog;
  if (prog->entry == 0 || !code_is_mapped) return interp_run(run);
  begin(run);
  return skep_jit_enter(&run, reinterpret_cast<u64>(run.ctx), &run.native_sp, prog, prog->entry);
}

void end_run(RunCtx* run) noexcept { skep_jit_leave(run->native_sp); }

JitFn* tail_call(RunCtx* run, u64 map, u64 index) noexcept {
  const auto* next = static_cast<const ProgImage*>(object_at(*reinterpret_cast<const MapDesc*>(map), static_cast<u32>(index)));
  if (next == nullptr || run->tail_calls >= MAX_TAIL_CALL_CNT) return nullptr;
  ++run->tail_calls;
  run->prog = next;
  return next->entry != 0 ? reinterpret_cast<JitFn*>(next->entry) : interpret;
}

Resume code_fault(u64 rip, u64 rsp) noexcept {
  constexpr Resume NOT_OURS{0, 0};
  // Where the run was left by siglongjmp its frame is not above this stack pointer.
  const u64 frame = reinterpret_cast<u64>(skep_jit_running);
  if (frame == 0 || frame - rsp >= STACK_REACH) return NOT_OURS;
  RunCtx* const run = skep_jit_running->run;
  const RomHeader& rom = *run->op.window.rom;
  if (rip - rom.code_base >= rom.code_size) return NOT_OURS;
  // Pairs with the release in WindowHost::rebuild_code_index(). The run's slot keeps what is found here.
  const CodeIndex* index = load_acquire(&rom.code_index);
  const CodeBlock* block = index != nullptr ? find_block(*index, rip) : nullptr;
  if (block != nullptr) {
    if (const CodeFault* f = find_fault(*block, static_cast<u32>(rip - block->addr))) return {block->addr + f->fixup, rsp};
    run->prog = block->prog;
  }
  run->fault = {FaultKind::BadCode, ~0u, rip};
  return {reinterpret_cast<u64>(skep_jit_left), frame};
}

}  // namespace skep

__thread constinit skep::EnterFrame* skep_jit_running __attribute__((tls_model("initial-exec"), visibility("hidden"))) = nullptr;

skep::u64 skep_jit_ended(skep::RunCtx* run, const skep::ProgImage* prog, skep::u64 r0) noexcept {
  using namespace skep;
  // A run that has gone on in another program began in one with `cleanup`.
  if ((prog->cleanup | static_cast<u32>(run->fault.kind)) == 0) return r0;
  if (prog->cleanup != 0) clean_up(*run);
  // What the interpreter has ended, which sets native_sp to 0, it has counted.
  if (run->fault.kind != FaultKind::None && run->native_sp != 0 && run->prog->stats != nullptr)
    fetch_add(&run->prog->stats->faults, u64{1});
  run->prog = prog;
  return r0;
}
