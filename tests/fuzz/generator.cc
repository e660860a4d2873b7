#include "generator.h"

#include "function_writer.h"

namespace skep::fuzz {
namespace {

u32 program_type(Rng& rng) {
  static constexpr u32 TYPES[] = {BPF_PROG_TYPE_SOCKET_FILTER, BPF_PROG_TYPE_SOCKET_FILTER, BPF_PROG_TYPE_XDP,   BPF_PROG_TYPE_XDP,
                                  BPF_PROG_TYPE_SCHED_CLS,     BPF_PROG_TYPE_SCHED_CLS,     BPF_PROG_TYPE_KPROBE};
  return rng.of(TYPES);
}

/// Functions go behind those that call them; the reference is filled in.
void write_callees(Writing& w) {
  for (std::size_t i = 0; i < w.calls.size(); ++i) {
    const OpenCall open = w.calls[i];
    const u32 start = static_cast<u32>(w.code.size());
    w.code[open.at].imm = static_cast<s32>(start - open.at - 1);
    w.budget = 4;
    FunctionWriter(w, open.entry, open.depth, open.callback).write(1 + w.rng.below(4));
  }
}

}  // namespace

Program generate(u64 seed) {
  Writing w{.rng = Rng(seed), .type = 0, .privileged = true, .code = {}, .calls = {}, .budget = 0};
  w.type = program_type(w.rng);
  w.privileged = w.type != BPF_PROG_TYPE_SOCKET_FILTER || w.rng.chance(70);
  w.budget = 3 + w.rng.below(w.rng.coin() ? 10 : 28);
  FunctionWriter(w, {}, 0, false).write(w.budget);
  write_callees(w);
  Program program{.type = w.type, .flags = 0, .privileged = w.privileged, .insns = std::move(w.code)};
  if (w.rng.chance(5)) program.flags |= BPF_F_STRICT_ALIGNMENT;
  if (w.rng.chance(10)) program.flags |= BPF_F_TEST_STATE_FREQ;
  if (w.rng.chance(10)) program.flags |= BPF_F_TEST_REG_INVARIANTS;
  return program;
}

}  // namespace skep::fuzz
