// agent: an event: the programs attached to this system call run, here, now. Linux: kernel/trace/trace_syscalls.c:perf_syscall_enter(),
// kernel/trace/trace_kprobe.c:kprobe_perf_func()
//
// Who may run: a thread that is in no run already (else recursion_misses) and gets a slot (else missed). Two runs never share a slot; a
// program with per-CPU data needs one that is a virtual CPU, others make do with any when every virtual CPU is taken (its holder was
// preempted, or stopped). The slot is taken before the list is looked at: the host frees what it unpublished once every slot owned at that time has moved on.
#include "agent/agent.h"
#include "agent/run_env.h"
#include "base/atomic.h"
#include "base/bytes.h"
#include "jit/run.h"
#include "uapi/contexts.h"

namespace skep::agent {
namespace {

/// What a run shows beside its context; readable by probe_read_kernel().
struct Synthetic {
  PtRegs user;  ///< the caller's, as the kernel saves them at entry; a kprobe's context points here
  SyntheticTask task;
};

/// False when this thread is in the middle of a run (a signal handler interrupted it): the event is skipped and counted.
bool may_run(const TrapFrame* f) {
  if (thread.in_run == 0) return true;
  RunSlot* slot = &session.window.ram->slots[thread.in_run - 1];
  if (!left_behind(f->sp)) {
    fetch_add(&session.window.ram->recursion_misses, 1);
    return false;
  }
  // The run was left by siglongjmp. Unless the host has recovered the slot, it still is this thread's to clean up.
  thread.in_run = 0;
  if (load_acquire(&slot->owner) == process->owner && load_relaxed(&slot->seq) == thread.in_run_seq)
    recover_own_slot(slot);
  return true;
}

/// At the system call's entry or exit.
void fill_user(PtRegs& user, const TrapFrame& f, s64 ax) {
  __builtin_memcpy(&user, &f, 15 * sizeof(u64));
  user.ax = static_cast<u64>(ax);
  user.cx = f.ret;
  user.r11 = 0x246;
  user.orig_ax = f.nr;
  user.ip = f.ret;
  user.cs = 0x33;
  user.ss = 0x2b;
  user.flags = 0x246;
  user.sp = f.sp;
}

/// At the probed function, whose one argument is what the kernel saved of the caller. Member by member: no call of memset().
void fill_kernel(PtRegs& r, const PtRegs* user, u64 ip, u64 ax) {
  r.r15 = r.r14 = r.r13 = r.r12 = r.bp = r.bx = r.r11 = r.r10 = r.r9 = r.r8 = r.cx = r.dx = r.si = 0;
  r.ax = ax;
  r.di = r.sp = reinterpret_cast<u64>(user);
  r.orig_ax = ~0ULL;
  r.ip = ip;
  r.cs = 0x10;
  r.flags = 0x246;
  r.ss = 0x18;
}

union Context {
  PtRegs regs;
  TpEnterRecord enter;
  TpExitRecord exit;
};

/// An event on its way through its programs.
struct Event {
  const TrapFrame& frame;
  bool exit_side;
  s64 ret;  ///< of the call, at its exit
  RunSlot* slot;
  u32 cpu;
  bool on_cpu;  ///< the slot is that virtual CPU
  Synthetic& synthetic;
  bool has_user = false;  ///< synthetic.user is filled
};

u32 make_context(Context& c, const ProbeEntry& p, Event& e) {
  const TrapFrame& f = e.frame;
  switch (p.kind) {
    case ProbeKind::Kprobe:
    case ProbeKind::Kretprobe:
      if (!e.has_user) fill_user(e.synthetic.user, f, e.exit_side ? e.ret : -ENOSYS_);
      e.has_user = true;
      fill_kernel(c.regs, &e.synthetic.user, p.symbol_addr, p.kind == ProbeKind::Kretprobe ? static_cast<u64>(e.ret) : 0);
      return sizeof(PtRegs);
    case ProbeKind::TpEnter:
      c.enter = TpEnterRecord{};
      c.enter.common_type = static_cast<u16>(p.event_id);
      c.enter.syscall_nr = static_cast<s32>(f.nr);
      c.enter.args[0] = f.di;
      c.enter.args[1] = f.si;
      c.enter.args[2] = f.dx;
      c.enter.args[3] = f.r10;
      c.enter.args[4] = f.r8;
      c.enter.args[5] = f.r9;
      return sizeof(TpEnterRecord);
    default:
      c.exit = TpExitRecord{};
      c.exit.common_type = static_cast<u16>(p.event_id);
      c.exit.syscall_nr = static_cast<s32>(f.nr);
      c.exit.ret = e.ret;
      return sizeof(TpExitRecord);
  }
}

/// Compiled code that touched what is not there: a fault of the verifier's or the compiler's. Doctor is told once a process.
void tell_bad_code(const ProgImage& prog) {
  static u32 told;
  if (exchange(&told, 1u) != 0) return;
  char text[128];
  text[0] = '\0';
  append(text, sizeof text, "program \"");
  append(text, sizeof text, prog.name);
  append(text, sizeof text, "\": its machine code touched what is not there, which is a fault of skep: runs were ended");
  note(text);
}

/// The program's own virtual CPU where it needs one and the event has none.
void run_on(RunCtx& run, const Event& e) {
  run.op = OpCtx{session.window, e.slot, e.cpu};
  if (e.on_cpu || run.prog->per_cpu == 0) {
    run_program(run);
  } else if (RunSlot* cpu = take_cpu()) {
    run.op = OpCtx{session.window, cpu, slot_index(session.window, cpu)};
    run_program(run);
    slot_release(cpu);
  } else {
    fetch_add(&session.window.ram->missed, 1);
    fetch_add(&run.prog->stats->missed, 1);
  }
}

void run_entry(const ProbeEntry& p, Event& e, RunEnv* env) {
  Context context;
  RunCtx run;
  run.ctx_size = make_context(context, p, e);
  run.prog = p.prog;
  run.probe = &p;
  run.ctx = reinterpret_cast<u8*>(&context);
  run.env = env;
  // A context that leads there is one whose registers are filled; a task is zero until its address has been asked for.
  run.extra = e.has_user ? AddrRange{reinterpret_cast<u64>(&e.synthetic), sizeof e.synthetic}
                         : AddrRange{reinterpret_cast<u64>(&e.synthetic.task), sizeof e.synthetic.task};
  run.fault.kind = FaultKind::None;
  run_on(run, e);
  if (run.fault.kind == FaultKind::BadCode) tell_bad_code(*p.prog);
}

void run_list(const ProbeList& list, Event& e) {
  RunEnv* env = env_of_run(&e.synthetic.task);
  for (u32 i = 0; i < list.count; ++i) run_entry(list.entries[i], e, env);
}

/// This process is one that runs programs. On the program's own stack a run could not be told from one left by siglongjmp; and a process
/// that filters its own system calls might be killed for one of ours.
bool can_run(const TrapFrame* f) {
  if (f->stack == 0 || session.seccomp || session.shared_tls) {
    fetch_add(&session.window.ram->skipped, 1);
    return false;
  }
  return load_relaxed(&process->owner) != 0 || registered();
}

void run_programs(TrapFrame* f, bool exit_side, s64 ret) {
  if (f->nr >= MAX_SYSCALLS || !may_run(f) || !can_run(f)) return;
  RunSlot* slot = take_slot();
  if (slot == nullptr) {
    fetch_add(&session.window.ram->missed, 1);
    return;
  }
  const RomHeader* rom = session.window.rom;
  const u32 index = slot_index(session.window, slot);
  const bool on_cpu = index < rom->nr_cpus;
  thread.in_run_seq = load_relaxed(&slot->seq);
  thread.in_run = index + 1;
  // Pairs with the store in objects/attach.cc:publish().
  const ProbeList* list = load_seq_cst(exit_side ? &rom->exit[f->nr] : &rom->enter[f->nr]);
  // After the list: a ring is told of before a program that uses it can be attached. The list in hand keeps it where it is.
  if (list != nullptr && sync_ring_maps()) {
    Synthetic synthetic;
    Event event{*f, exit_side, ret, slot, on_cpu ? index : this_cpu() % rom->nr_cpus, on_cpu, synthetic};
    run_list(*list, event);
  } else if (list != nullptr) {
    fetch_add(&session.window.ram->missed, 1);
  }
  thread.in_run = 0;
  slot_release(slot);
}

RingMapping mapped[MAX_RINGS];

}  // namespace

bool sync_ring_maps() {
  const RomHeader* rom = session.window.rom;
  const u32 generation = load_acquire(&rom->ring_generation);
  if (generation == load_acquire(&session.ring_generation)) return true;
  HostCall c{};
  c.op = WireOp::RamFile;
  if (host_call(c) != 0 || c.n_fds != 1) return false;
  bool whole = true;
  for (u32 i = 0; i < rom->nr_ring_maps && i < MAX_RINGS; ++i) {
    const RingMapping m = rom->ring_maps[i];
    if (m.addr == mapped[i].addr && m.ram_offset == mapped[i].ram_offset && m.data_size == mapped[i].data_size) continue;
    if (m.addr == 0) {
      mapped[i] = m;
      continue;
    }
    constexpr u64 SHARED_FIXED_NORESERVE = 0x4011;
    const u64 head = 2 * PAGE_SIZE, second = m.addr + head + m.data_size;
    whole = whole && static_cast<u64>(sys(NR_mmap, m.addr, head + m.data_size, 3, SHARED_FIXED_NORESERVE, c.fds[0], m.ram_offset)) == m.addr &&
            static_cast<u64>(sys(NR_mmap, second, m.data_size, 3, SHARED_FIXED_NORESERVE, c.fds[0], m.ram_offset + head)) == second;
    if (!whole) break;
    mapped[i] = m;  // two threads may both do this; neither goes on before it is done
    sys(NR_madvise, m.addr, head + 2 * m.data_size, 16 /* MADV_DONTDUMP */);
  }
  sys(NR_close, c.fds[0]);
  if (whole) store_release(&session.ring_generation, generation);
  return whole;
}

void fire_enter(TrapFrame* f) { run_programs(f, false, 0); }
void fire_exit(TrapFrame* f, s64 ret) { run_programs(f, true, ret); }

/// A successful execve returns in nobody: the new image says so. Linux: the syscall exit of the new program.
void fire_exec_exit() {
  if (session.window.rom == nullptr || (session.window.rom->interest[NR_execve] & INTEREST_EXIT) == 0) return;
  TrapFrame f{};
  f.nr = NR_execve;
  f.sp = reinterpret_cast<u64>(&f);
  f.stack = 1;  // one thread, at its very start: nothing can interrupt this
  fire_exit(&f, 0);
}

}  // namespace skep::agent
