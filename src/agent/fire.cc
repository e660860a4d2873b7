// agent: an event: the programs attached to this system call run, here, now. Linux: kernel/trace/trace_syscalls.c:perf_syscall_enter(),
// kernel/trace/trace_kprobe.c:kprobe_perf_func()
//
// Who may run: a thread that is in no run already (else recursion_misses) and gets a slot (else missed). Two runs never share a slot; a
// program with per-CPU data needs one that is a virtual CPU, others make do with any when every virtual CPU is taken (its holder was
// preempted, or stopped). The slot is taken before the list is looked at: the host frees what it unpublished once every slot owned at that time has moved on.
#include "agent/agent.h"
#include "agent/fire_context.h"
#include "agent/identity.h"
#include "agent/run_env.h"
#include "agent/run_signals.h"
#include "base/atomic.h"
#include "base/bytes.h"
#include "jit/run.h"

namespace skep::agent {
namespace {

/// False when this thread is in the middle of a run (a signal handler interrupted it): the event is skipped and counted.
bool may_run(u64 sp) {
  if (thread.in_run == 0) return true;
  RunSlot* slot = &session.window.ram->slots[thread.in_run - 1];
  if (!left_behind(sp)) {
    fetch_add(&session.window.ram->recursion_misses, 1);
    return false;
  }
  // The run was left by siglongjmp. Unless the host has recovered the slot, it still is this thread's to clean up.
  thread.in_run = 0;
  if (load_acquire(&slot->owner) == process->owner && load_relaxed(&slot->seq) == thread.in_run_seq)
    recover_own_slot(slot);
  return true;
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

/// On a virtual CPU of its own where it needs one and the event has none. Returns what the program does.
u64 run_on(RunCtx& run, const EventRun& e) {
  run.op = OpCtx{session.window, e.slot, e.cpu};
  if (e.on_cpu || run.prog->per_cpu == 0) {
    return run_program(run);
  } else if (RunSlot* cpu = take_cpu()) {
    run.op = OpCtx{session.window, cpu, slot_index(session.window, cpu)};
    const u64 r0 = run_program(run);
    slot_release(cpu);
    return r0;
  } else {
    fetch_add(&session.window.ram->missed, 1);
    fetch_add(&run.prog->stats->missed, 1);
  }
  return 0;
}

/// Of this clock, and only in the process that the event was opened for.
bool is_meant(const ProbeEntry& p, const EventSource& source) {
  if (p.kind == ProbeKind::Clock && p.event_id != source.clock_id) return false;
  return p.tgid == 0 || static_cast<u64>(p.tgid) == current_pid_tgid() >> 32;
}

void run_entry(const ProbeEntry& p, EventRun& e, RunEnv* env) {
  Context context;
  RunCtx run;
  run.env = env;
  run.prog = p.prog;
  run.probe = &p;
  make_context(run, context, p, e);
  run.user = user_place(e.source);
  // A context that leads there is one whose registers are filled; a task is zero until its address has been asked for.
  run.extra = e.has_user ? AddrRange{reinterpret_cast<u64>(&e.synthetic), sizeof e.synthetic}
                         : AddrRange{reinterpret_cast<u64>(&e.synthetic.task), sizeof e.synthetic.task};
  run.hidden = agent_stacks();
  run.overrides = false;
  run.fault.kind = FaultKind::None;
  const u64 r0 = run_on(run, e);
  if (run.fault.kind == FaultKind::BadCode) tell_bad_code(*p.prog);
  if (p.kind == ProbeKind::ModifyReturn && run.fault.kind == FaultKind::None && static_cast<s32>(r0) != 0) e.override_with(static_cast<s32>(r0));
  if (run.overrides) e.override_with(run.override_ret);
}

void run_list(const ProbeList* list, EventRun& e, RunEnv* env) {
  if (list == nullptr) return;
  bool refused = false;  // by a program that modifies the return value: others of its kind are not asked any more
  for (u32 i = 0; i < list->count; ++i) {
    const ProbeEntry& p = list->entries[i];
    const bool modifies = p.kind == ProbeKind::ModifyReturn;
    if (!is_meant(p, e.source) || (modifies && refused)) continue;
    run_entry(p, e, env);
    refused = refused || (modifies && e.overridden);
  }
}

/// This process is one that runs programs. On the program's own stack a run could not be told from one left by siglongjmp; and a process
/// that filters its own system calls might be killed for one of ours.
bool can_run(bool on_agent_stack) {
  if (!on_agent_stack || session.seccomp || session.shared_tls) {
    fetch_add(&session.window.ram->skipped, 1);
    return false;
  }
  return load_relaxed(&process->owner) != 0 || registered();
}

/// The lists of one event, in the order in which they run.
struct Lists {
  const ProbeList* const* first;
  const ProbeList* const* second;  ///< may be null
};

/// Everything that runs at one event of this thread, which is at `sp` in its own code. True: a program has overridden the call.
bool run_programs(const Lists& at, const EventSource& source, u64 sp, bool on_agent_stack) {
  if (!may_run(sp) || !can_run(on_agent_stack)) return false;
  RunSlot* slot = take_slot();
  if (slot == nullptr) {
    fetch_add(&session.window.ram->missed, 1);
    return false;
  }
  const u32 nr_cpus = session.window.rom->nr_cpus;
  const u32 index = slot_index(session.window, slot);
  const bool on_cpu = index < nr_cpus;
  thread.in_run_seq = load_relaxed(&slot->seq);
  thread.in_run = index + 1;
  // Pairs with the store in objects/attach.cc:set_list().
  const ProbeList* first = load_seq_cst(at.first);
  const ProbeList* second = at.second != nullptr ? load_seq_cst(at.second) : nullptr;
  const bool any = first != nullptr || second != nullptr;
  Synthetic synthetic;
  EventRun event{source, slot, on_cpu ? index : this_cpu() % nr_cpus, on_cpu, synthetic};
  // After the lists: a ring is told of before a program that uses it can be attached. The lists in hand keep it where it is.
  if (any && sync_ring_maps()) {
    RunEnv* env = env_of_run(&synthetic.task);
    run_list(first, event, env);
    run_list(second, event, env);
  } else if (any) {
    fetch_add(&session.window.ram->missed, 1);
  }
  thread.in_run = 0;
  slot_release(slot);
  if (event.overridden) *source.override_ret = event.override_ret;
  send_queued_signals();
  return event.overridden;
}

const ProbeList* const* list_of(EventPlace place) { return &session.window.rom->events[static_cast<u32>(place)]; }

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
  if (whole && tell_debugger()) store_release(&session.ring_generation, generation);
  return whole;
}

bool fire_enter(TrapFrame* f) {
  if (f->nr >= MAX_SYSCALLS) return false;
  s64 ret = 0;
  EventSource source;
  source.frame = f;
  source.ret = -ENOSYS_;
  source.override_ret = &ret;
  if (!run_programs({list_of(EventPlace::SysEnter), &session.window.rom->enter[f->nr]}, source, f->sp, f->stack != 0)) return false;
  f->answer(ret);
  return true;
}

void fire_exit(TrapFrame* f, s64 ret) {
  if (f->nr >= MAX_SYSCALLS) return;
  EventSource source;
  source.frame = f;
  source.exit_side = true;
  source.ret = ret;
  run_programs({&session.window.rom->exit[f->nr], list_of(EventPlace::SysExit)}, source, f->sp, f->stack != 0);
}

bool is_watched(EventPlace place, const TrapFrame& at) {
  if (session.window.rom == nullptr || load_relaxed(list_of(place)) == nullptr) return false;
  // What making the event takes, system calls and room on the stack, is not to be had either where no program may run.
  if (at.stack != 0 && !session.seccomp && !session.shared_tls) return true;
  fetch_add(&session.window.ram->skipped, 1);
  return false;
}

void fire_event(EventPlace place, const EventSource& source, const TrapFrame& at) {
  run_programs({list_of(place), nullptr}, source, at.sp, at.stack != 0);
}

/// A successful execve returns in nobody: the new image says so. Linux: fs/exec.c:exec_binprm(), the syscall exit of the new program.
void fire_exec_exit(const char* filename) {
  if (session.window.rom == nullptr) return;
  TrapFrame f{};
  f.nr = NR_execve;
  f.sp = reinterpret_cast<u64>(&f);
  f.stack = 1;  // one thread, at its very start: nothing can interrupt this
  tell_exec(filename, f);
  if ((session.window.rom->interest[NR_execve] & INTEREST_EXIT) != 0) fire_exit(&f, 0);
}

}  // namespace skep::agent
