// agent: BPF_PROG_TEST_RUN: the host says which program, the run is here, where the caller's memory is.
//
// All signals but our two wait until it is over, as they do on Linux while a process is in the kernel: nothing can jump out of a
// run, and a signal that waits ends a long one (-EINTR). A client slot, taken before the host is asked, keeps the program where it
// is: what the host gives up meanwhile it frees only once that slot is released.
#include "testrun/test_run.h"

#include "agent/agent.h"
#include "agent/run_env.h"
#include "agent/run_signals.h"
#include "base/bytes.h"
#include "jit/run.h"

namespace skep::agent {
namespace {

constexpr u64 ALL_BUT_FAULTS = ~(1ULL << 10 | 1ULL << 6 | 1ULL << 8 | 1ULL << 18);     // SIGSEGV, SIGBUS, SIGKILL, SIGSTOP
constexpr u64 IGNORED_BY_DEFAULT = 1ULL << 16 | 1ULL << 17 | 1ULL << 22 | 1ULL << 27;  // SIGCHLD, SIGCONT, SIGURG, SIGWINCH
constexpr u32 NR_rt_sigpending = 127;
constexpr s64 EBUSY_ = 16;

struct Env : TestRunEnv {
  u64 mask;        ///< the program's own
  RunSlot* spare;  ///< a virtual CPU beside the client slot; null: none
};

bool is_ignored(u32 signal) {
  struct {
    u64 handler, flags, restorer, mask;
  } action{};
  if (sys(NR_rt_sigaction, signal, 0, &action, 8) != 0) return false;
  return action.handler == 1 /* SIG_IGN */ || (action.handler == 0 && (IGNORED_BY_DEFAULT >> (signal - 1) & 1) != 0);
}

/// Linux: signal_pending(): a signal that would be delivered now.
bool interrupted(TestRunEnv* env) noexcept {
  u64 pending = 0;
  if (sys(NR_rt_sigpending, &pending, 8) != 0) return false;
  for (pending &= ~static_cast<Env*>(env)->mask; pending != 0; pending &= pending - 1)
    if (!is_ignored(static_cast<u32>(__builtin_ctzll(pending)) + 1)) return true;
  return false;
}

long read_caller(TestRunEnv*, void* dst, u64 addr, u64 n) noexcept { return read_user(dst, addr, n); }
long write_caller(TestRunEnv*, u64 addr, const void* src, u64 n) noexcept { return write_user(addr, src, n); }

void use_cpu(Env& env, RunSlot* slot) {
  env.spare = slot;
  env.op = OpCtx{session.window, slot, slot_index(session.window, slot)};
}

bool take_other_cpu(TestRunEnv* base, u32 cpu) noexcept {
  Env& env = *static_cast<Env*>(base);
  RunSlot* slot = take_this_cpu(cpu);
  if (slot == nullptr) return false;
  if (env.spare != nullptr) slot_release(env.spare);
  use_cpu(env, slot);
  return true;
}

void tell_fault(const Fault& fault) {
  char text[96];
  text[0] = '\0';
  append(text, sizeof text, "BPF_PROG_TEST_RUN: a run was ended: fault ");
  append_number(text, sizeof text, static_cast<s64>(fault.kind));
  append(text, sizeof text, " at instruction ");
  append_number(text, sizeof text, fault.insn);
  note(text);
}

s64 run_plan(const WireTestRun& w, RunSlot* guard, const TrapFrame& at, u64 mask) {
  if (!sync_ring_maps()) return -EIO_;
  TestRunPlan plan{reinterpret_cast<const ProgImage*>(w.prog), w.uattr, w.expected_attach_type, w.max_ctx_offset, {}};
  copy_bytes(&plan.attr, w.attr, sizeof plan.attr);
  const KeepTaskOfRun keep;
  SyntheticTask task;
  Env env{};
  env.run = env_of_run(&task);
  env.extra = {reinterpret_cast<u64>(&task), sizeof task};
  env.read_user = read_caller;
  env.write_user = write_caller;
  env.interrupted = interrupted;
  env.take_cpu = take_other_cpu;
  env.mask = mask;
  env.user = {at.ret, at.sp, at.bp};
  env.op = OpCtx{session.window, guard, this_cpu() % session.window.rom->nr_cpus};
  const s64 memory = sys(NR_mmap, 0, test_run_memory_size(), 3, 0x22 /* PRIVATE | ANONYMOUS */, -1, 0);
  if (memory < 0 && memory > -4096) return -ENOMEM_;
  env.memory = reinterpret_cast<u8*>(memory);
  RunSlot* cpu = take_cpu();
  if (cpu != nullptr) use_cpu(env, cpu);
  const s64 rc = cpu == nullptr && plan.prog->per_cpu != 0 ? -EBUSY_ : test_run(plan, env);
  if (env.spare != nullptr) slot_release(env.spare);
  sys(NR_munmap, memory, test_run_memory_size());
  if (rc == -EIO_) tell_fault(env.fault);
  return rc;
}

s64 ask_and_run(const TrapFrame* f, u64 mask) {
  RunSlot* guard = registered() ? take_client_slot() : nullptr;
  if (guard == nullptr) return load_relaxed(&process->owner) == 0 ? -EIO_ : -EBUSY_;
  WireTestRun plan{};
  HostCall c{};
  c.op = WireOp::Bpf;
  for (int i = 0; i < 6; ++i) c.a[i] = f->arg(i);
  c.a[0] = static_cast<u32>(f->di);
  c.a[2] = static_cast<u32>(f->dx);
  c.payload = &plan;
  c.payload_cap = sizeof plan;
  s64 rc = host_call(c);
  if (rc == 0 && c.payload_len == sizeof plan) rc = run_plan(plan, guard, *f, mask);
  slot_release(guard);
  return rc;
}

}  // namespace

void on_test_run(TrapFrame* f) {
  // On the program's own stack, which may be small: compiled code counts on ours.
  if (f->stack == 0 && code_is_mapped) return f->answer(-EBUSY_);
  const u64 block = ALL_BUT_FAULTS;
  u64 mask = 0;
  sys(NR_rt_sigprocmask, 0 /* SIG_BLOCK */, &block, &mask, 8);
  const s64 rc = ask_and_run(f, mask);
  sys(NR_rt_sigprocmask, 2 /* SIG_SETMASK */, &mask, 0, 8);
  send_queued_signals();
  f->answer(rc);
}

}  // namespace skep::agent
