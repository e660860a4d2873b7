#include "oracle.h"

#include <fmt/format.h>

#include <algorithm>

#include "claims.h"
#include "progtypes/func_ids.h"

namespace skep::fuzz {
namespace {

constexpr u32 COMPARED_STEPS = 2500;

const char* fault_name(FaultKind kind) {
  static constexpr const char* NAMES[] = {"None",      "BadOpcode",  "BadRegister",   "BadPc",        "BadRead",
                                          "BadWrite",  "Misaligned", "UnknownHelper", "BadHelperArg", "CallDepth",
                                          "StepLimit", "UninitRead", "LockStuck"};
  return static_cast<u32>(kind) < std::size(NAMES) ? NAMES[static_cast<u32>(kind)] : "?";
}

bool may_run_long(const Program& program) {
  return std::any_of(program.insns.begin(), program.insns.end(), [](const bpf_insn& insn) {
    return is_may_goto(insn) || (is_helper_call(insn) && (insn.imm == func::loop || insn.imm == func::for_each_map_elem));
  });
}

/// What Linux lets happen too, or what skep does not run.
bool is_excused(const Program& program, const Fault& fault) {
  switch (fault.kind) {
    case FaultKind::None:
    case FaultKind::UnknownHelper:
      return true;
    // Linux does not ask atomic operations on map values to be aligned where the machine does not.
    case FaultKind::Misaligned:
      return (program.flags & BPF_F_STRICT_ALIGNMENT) == 0;
    case FaultKind::StepLimit:
      return may_run_long(program);
    default:
      return false;
  }
}

/// Refusals that paths cut short rightly hide, in Linux too: contradictory ranges on branches that nothing takes; the privileged reading
/// bytes of a spilled pointer, which an explored state has not written at all; and in loops that may_goto bounds, where what is widened
/// hangs on which states were kept.
bool is_excused_refusal(VerifierInput input, const Program& program, int error) {
  if (error == EFAULT) return (program.flags & BPF_F_TEST_REG_INVARIANTS) != 0;
  if (error != EACCES || !program.privileged) return false;
  if (std::any_of(program.insns.begin(), program.insns.end(), [](const bpf_insn& insn) { return is_may_goto(insn); })) return true;
  input.observe = nullptr;
  VerifierLog log(1, 1u << 14);
  (void)verify(input, log);
  const std::string words = std::move(log).finish().bytes;
  return words.find("invalid size of register fill") != words.npos || words.find("corrupted spill memory") != words.npos;
}

/// Spills around a call that does not need them may be gone from what runs.
bool spills_may_be_gone(const Program& program) {
  return std::any_of(program.insns.begin(), program.insns.end(),
                     [](const bpf_insn& insn) { return is_helper_call(insn) && insn.imm == func::get_smp_processor_id; });
}

/// Holds each step of a run against what was claimed.
struct Comparison {
  const Claims& claims;
  const World& world;
  const Runnable& runnable;
  const std::vector<u32>& orig_idx;
  std::vector<bool> first;  ///< the first of the instructions that one became
  bool with_stack;
  u32 steps = 0;
  std::string missed = {};

  static void on_step(void* who, RunCtx& run, u32 pc, const u64* regs) { static_cast<Comparison*>(who)->step(run, pc, regs); }
  void step(RunCtx& run, u32 pc, const u64* regs) {
    if (!missed.empty() || run.prog != &runnable.image || pc >= first.size() || !first[pc] || steps >= COMPARED_STEPS) return;
    ++steps;
    const std::string why = claims.miss(orig_idx[pc], run, regs, world, with_stack);
    if (!why.empty()) missed = fmt::format("before instruction {} (step {}): {}", orig_idx[pc], run.steps, why);
  }
};

std::vector<bool> firsts(const std::vector<u32>& orig_idx) {
  std::vector<bool> first(orig_idx.size());
  std::vector<bool> seen(orig_idx.empty() ? 0 : *std::max_element(orig_idx.begin(), orig_idx.end()) + 1);
  for (std::size_t i = 0; i < orig_idx.size(); ++i) {
    first[i] = !seen[orig_idx[i]];
    seen[orig_idx[i]] = true;
  }
  return first;
}

/// The same with every path walked to its end.
void compare(World& world, const Program& program, const VerifiedProg& verified, const Runnable& runnable, u64 seed,
             const Effort& effort, Judgement& out) {
  Claims claims(program.insns.size());
  VerifierInput input = world.input(program);
  input.explore_all_paths = true;
  input.observe = [&](u32 insn, const VerifierState& state) { return claims.observe(insn, state); };
  VerifierLog log(0, 0);
  const Result<VerifiedProg> again = verify(input, log);
  if (!again.ok()) {
    if (again.error() == Errno(E2BIG) || is_excused_refusal(input, program, again.error().value())) return;
    out.failure = fmt::format("refused with {} once all paths are walked", again.error().value());
    return;
  }
  out.claims_held = true;
  const auto& orig_idx = verified.report().orig_idx;
  Comparison comparison{claims, world, runnable, orig_idx, firsts(orig_idx), !spills_may_be_gone(program)};
  for (u32 i = 0; i < effort.compared_runs && comparison.missed.empty(); ++i)
    world.run(program, runnable, seed * 1000 + i, Comparison::on_step, &comparison);
  out.steps = comparison.steps;
  if (comparison.missed.empty()) return;
  out.failure = "a run leaves what was claimed";
  out.detail = comparison.missed;
}

}  // namespace

Judgement judge(World& world, const Program& program, u64 seed, const Effort& effort) {
  Judgement out;
  VerifierLog log(0, 0);
  VerifierInput input = world.input(program);
  u32 steps = 0;
  input.observe = [&](u32, const VerifierState&) { return ++steps <= effort.judged_steps; };
  const Result<VerifiedProg> verified = verify(input, log);
  if (!verified.ok()) {
    out.error = verified.error().value();
    // That flag makes an error of ranges that contradict each other, as Linux's do on branches that nothing takes.
    if (out.error == EFAULT && (program.flags & BPF_F_TEST_REG_INVARIANTS) == 0) out.failure = "internal error of the verifier";
    return out;
  }
  const std::unique_ptr<Runnable> runnable = world.link(*verified);
  for (u32 i = 0; i < effort.runs; ++i) {
    world.run(program, *runnable, seed * 1000 + i, nullptr, nullptr);
    const Fault& fault = world.last_run().fault;
    out.ran |= fault.kind == FaultKind::None;
    if (is_excused(program, fault)) continue;
    const auto& orig_idx = verified->report().orig_idx;
    out.failure = fmt::format("fault {}", fault_name(fault.kind));
    out.detail = fmt::format("at instruction {} (rewritten {}), address {:#x}, run {}",
                             fault.insn < orig_idx.size() ? orig_idx[fault.insn] : ~0u, fault.insn, fault.addr, i);
    return out;
  }
  compare(world, program, *verified, *runnable, seed, effort, out);
  return out;
}

std::string verifier_log(const World& world, const Program& program, int* error) {
  VerifierLog log(2, 1u << 20);
  const Result<VerifiedProg> verified = verify(world.input(program), log);
  if (error != nullptr) *error = verified.ok() ? 0 : verified.error().value();
  return std::move(log).finish().bytes;
}

Program shrink(World& world, const Program& program, u64 seed, const Effort& effort, const std::string& failure) {
  return shrunk(program, [&](const Program& p) { return judge(world, p, seed, effort).failure == failure; });
}

}  // namespace skep::fuzz
