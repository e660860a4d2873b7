#include "executors.h"

#include <fmt/format.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/time.h>
#include <ucontext.h>

#include <algorithm>
#include <cstring>

#include "jit/fault.h"

namespace skep::fuzz {
namespace {

constexpr u32 JUDGED_STEPS = 150000;

sigjmp_buf g_out;
volatile sig_atomic_t g_running = 0;

/// A load that may fault goes on; all else ends the run here.
void on_signal(int signal, siginfo_t*, void* context) {
  greg_t* const regs = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
  const Resume resume = signal == SIGSEGV || signal == SIGBUS ? code_fault(static_cast<u64>(regs[REG_RIP]), static_cast<u64>(regs[REG_RSP])) : Resume{};
  if (resume.rip != 0 && resume.rsp == static_cast<u64>(regs[REG_RSP])) {
    regs[REG_RIP] = static_cast<greg_t>(resume.rip);
    return;
  }
  if (g_running == 0) {
    ::signal(signal, SIG_DFL);
    return;
  }
  g_running = 0;
  siglongjmp(g_out, signal);
}

void catch_signals() {
  struct sigaction action {};
  action.sa_sigaction = on_signal;
  action.sa_flags = SA_SIGINFO | SA_NODEFER;
  for (const int signal : {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGALRM}) sigaction(signal, &action, nullptr);
}

void set_alarm(s64 seconds) {
  const itimerval timer{{0, 0}, {seconds, 0}};
  setitimer(ITIMER_REAL, &timer, nullptr);
}

/// Where `compiled` is not as the interpreter's two agree it must be: an offset, or -1. A byte of an address may be equal by chance:
/// what lies around one that is not does not count either.
s64 first_difference(const std::vector<u8>& plain, const std::vector<u8>& disturbed, const std::vector<u8>& compiled) {
  constexpr std::size_t NEAR = 8;
  std::vector<bool> counts(plain.size(), true);
  for (std::size_t i = 0; i < plain.size(); ++i) {
    if (plain[i] == disturbed[i]) continue;
    for (std::size_t j = i < NEAR ? 0 : i - NEAR + 1; j < std::min(plain.size(), i + NEAR); ++j) counts[j] = false;
  }
  for (std::size_t i = 0; i < plain.size(); ++i)
    if (counts[i] && plain[i] != compiled[i]) return static_cast<s64>(i);
  return -1;
}

u64 word_at(const std::vector<u8>& bytes, s64 at) {
  u64 word = 0;
  std::memcpy(&word, bytes.data() + (at & ~7), 8);
  return word;
}

}  // namespace

Executors::Executors() : world_(std::make_unique<World>()) { catch_signals(); }

std::string Executors::run_compiled(const Program& program, const Runnable& runnable, u64 seed) {
  const int signal = sigsetjmp(g_out, 1);
  if (signal == 0) {
    set_alarm(5);
    g_running = 1;
    world_->run_by(Executor::Compiled, program, runnable, seed);
  }
  g_running = 0;
  set_alarm(0);
  if (signal == 0) return "";
  world_ = std::make_unique<World>();
  return signal == SIGALRM ? "compiled code does not come to an end" : fmt::format("compiled code dies of {}", sigabbrev_np(signal));
}

Comparison Executors::compare(const Program& program, u64 seed, u32 runs) {
  Comparison out;
  VerifierLog log(0, 0);
  VerifierInput input = world_->input(program);
  u32 steps = 0;
  input.observe = [&](u32, const VerifierState&) { return ++steps <= JUDGED_STEPS; };
  const Result<VerifiedProg> verified = verify(input, log);
  if (!verified.ok()) {
    out.error = verified.error().value();
    return out;
  }
  const std::unique_ptr<Runnable> runnable = world_->link(*verified);
  if (const Status status = world_->compile(*runnable, true); !status.ok()) {
    out.failure = "does not compile";
    out.detail = fmt::format("errno {}", status.error().value());
    return out;
  }
  World* const compiled_in = world_.get();
  compare_runs(program, *runnable, seed, runs, &out);
  if (world_.get() == compiled_in) world_->withdraw(*runnable);
  return out;
}

/// Whether interpreted runs differ too, once the stack lies elsewhere: what a program does with the bits of its addresses is its affair.
bool Executors::hangs_on_addresses(const Program& program, const Runnable& runnable, u64 seed, const std::vector<u8>& plain) {
  constexpr u32 PLACES = 64;
  Rng rng(seed);
  for (u32 i = 0; i < PLACES; ++i) {
    world_->disturb(rng);
    world_->run_by(Executor::Disturbed, program, runnable, seed);
    const std::vector<u8> there = world_->outcome();
    if (there.size() != plain.size() || !std::equal(there.begin(), there.begin() + 8, plain.begin())) return true;
  }
  return false;
}

void Executors::compare_runs(const Program& program, const Runnable& runnable, u64 seed, u32 runs, Comparison* out) {
  for (u32 i = 0; i < runs; ++i) {
    const u64 run_seed = seed * 1000 + i;
    world_->run_by(Executor::Interpreter, program, runnable, run_seed);
    if (world_->last_run().fault.kind != FaultKind::None) continue;  // what it does not run, or not for so long
    const std::vector<u8> plain = world_->outcome();
    world_->run_by(Executor::Disturbed, program, runnable, run_seed);
    const bool same_end = world_->last_run().fault.kind == FaultKind::None;
    const std::vector<u8> disturbed = world_->outcome();
    if (!same_end || disturbed.size() != plain.size()) continue;
    out->failure = run_compiled(program, runnable, run_seed);
    out->detail = fmt::format("run {}", i);
    if (!out->failure.empty()) return;
    if (world_->last_run().fault.kind != FaultKind::None) {
      out->failure = "compiled code faults";
      return;
    }
    const std::vector<u8> compiled = world_->outcome();
    ++out->compared;
    const s64 at = compiled.size() == plain.size() ? first_difference(plain, disturbed, compiled) : 0;
    if (at < 0 || hangs_on_addresses(program, runnable, run_seed, plain)) continue;
    out->failure = at < 8 ? "another result" : "other memory";
    out->detail = fmt::format("run {}, at {} of {} ({}): interpreted {:#x}, compiled {:#x}", i, at, plain.size(), compiled.size(),
                             word_at(plain, at), word_at(compiled, at));
    return;
  }
  out->detail.clear();
}

Program Executors::shrink(const Program& program, u64 seed, u32 runs, const std::string& failure) {
  return shrunk(program, [&](const Program& p) { return compare(p, seed, runs).failure == failure; });
}

}  // namespace skep::fuzz
