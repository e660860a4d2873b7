#include "agent/run_env.h"

#include "agent/agent.h"
#include "agent/cgroups.h"
#include "agent/identity.h"
#include "agent/run_bpf.h"
#include "agent/run_signals.h"
#include "agent/vdso.h"
#include "base/atomic.h"
#include "base/bytes.h"
#include "buffers/ringbuf.h"
#include "helpers/helper.h"
#include "jit/gates.h"
#include "maps/map_ops.h"
#include "progtypes/func_ids.h"

namespace skep::agent {
namespace {

constexpr u32 CPU_TRIES = 16;
constexpr s32 CLOCK_MONOTONIC_ = 1, CLOCK_MONOTONIC_COARSE_ = 6, CLOCK_BOOTTIME_ = 7, CLOCK_TAI_ = 11;

/// Of the run under way.
__thread SyntheticTask* spare_of_run __attribute__((tls_model("initial-exec")));
__thread u64 task_of_run __attribute__((tls_model("initial-exec")));  ///< once a program has asked for it

u64 pid_tgid(RunEnv*) noexcept { return current_pid_tgid(); }
// Never kept: another thread may change them, and name this one through /proc.
u64 uid_gid(RunEnv*) noexcept {
  if (session.worker) return 0;
  return static_cast<u64>(sys(NR_getgid)) << 32 | static_cast<u32>(sys(NR_getuid));
}
void comm(RunEnv*, char out[16]) noexcept {
  zero_bytes(out, 16);
  if (session.worker) {
    append(out, 16, "swapper/");
    append_number(out, 16, this_cpu());
    return;
  }
  sys(NR_prctl, 16 /* PR_GET_NAME */, out);
}
u64 ktime(RunEnv*) noexcept { return clock_ns(CLOCK_MONOTONIC_); }
u64 boottime(RunEnv*) noexcept { return clock_ns(CLOCK_BOOTTIME_); }
u64 coarse(RunEnv*) noexcept { return clock_ns(CLOCK_MONOTONIC_COARSE_); }
u64 tai(RunEnv*) noexcept { return clock_ns(CLOCK_TAI_); }

/// A program gets at the task by its address alone, and that only here.
u64 current_task(RunEnv*) noexcept {
  if (task_of_run == 0) task_of_run = describe_current_task(*spare_of_run);
  return task_of_run;
}
long read_memory(RunEnv*, void* dst, const void* src, u64 n) noexcept { return skep_guarded_copy(dst, src, n); }
long read_string(RunEnv*, void* dst, u64 size, const void* src) noexcept {
  if (size == 0) return 0;
  const s64 n = read_user_string(static_cast<char*>(dst), size, reinterpret_cast<u64>(src));
  if (n > static_cast<s64>(size)) {
    static_cast<char*>(dst)[size - 1] = '\0';
    return static_cast<long>(size);
  }
  return n;
}
void wake_host(RunEnv*) noexcept { sys(NR_futex, &session.window.ram->doorbell, 1 /* FUTEX_WAKE */, 1, 0, 0, 0); }

// glibc tells where its restartable sequence of a thread lies, whose head the kernel keeps up to date. Source: <sys/rseq.h>
extern "C" const s64 __rseq_offset __attribute__((weak));
constexpr u64 RSEQ_CPU_ID = 4;

/// Node << 12 | processor. Linux: arch/x86/include/asm/segment.h:vdso_read_cpunode()
u32 cpu_and_node() {
  u32 limit = 0;
  asm volatile("lsl %1, %0" : "=r"(limit) : "r"(0x7bu));
  return limit;
}
u32 numa_node(RunEnv*) noexcept { return cpu_and_node() >> 12; }

// An idle task has no user memory and takes no signals. Linux: kernel/trace/bpf_trace.c:bpf_probe_write_user(), bpf_send_signal_common()
long write_memory(RunEnv*, void* dst, const void* src, u64 n) noexcept {
  return session.worker ? -EPERM_ : skep_guarded_copy(dst, src, n);
}
long send_signal(RunEnv*, u32 signal, bool to_thread) noexcept { return session.worker ? -EPERM_ : queue_signal(signal, to_thread); }
bool pid_namespace(RunEnv*, u64* dev, u64* ino) noexcept { return current_pid_namespace(dev, ino); }
const CgroupPath* cgroups(RunEnv*) noexcept { return current_cgroups(); }
s64 sys_bpf(RunEnv*, u32 cmd, u64 attr, u32 size) noexcept { return bpf_of_run(cmd, attr, size); }
long close_fd(RunEnv*, s32 fd) noexcept { return close_of_run(fd); }
s64 symbol(RunEnv*, const char* name, u32 kind, u64* address) noexcept { return find_symbol(name, kind, address); }

/// The same for all: what differs is the thread's.
constinit RunEnv env_of_process = {pid_tgid, uid_gid, comm,      current_task, ktime,       boottime,
                                   coarse,   tai,     numa_node, read_memory,  read_string, wake_host,
                                   write_memory, send_signal, pid_namespace, cgroups, sys_bpf, close_fd, symbol};

/// slot_acquire_cpu(), where the wanted one is free.
RunSlot* acquire_cpu(u32 cpu) {
  const Window& w = session.window;
  if (cpu < w.rom->nr_cpus) [[likely]] {
    RunSlot* slot = &w.ram->slots[cpu];
    u64 expected = 0;
    // Pairs with the release store in slot_release().
    if (compare_exchange(&slot->owner, expected, process->owner)) [[likely]] return slot;
  }
  return slot_acquire_cpu(w, process->owner, cpu);
}

MapDesc* find_map(const Window& w, u64 addr) noexcept {
  const u32 n = load_acquire(&w.rom->nr_maps);
  for (u32 i = 0; i < n && i < MAX_LISTED_MAPS; ++i)
    if (MapDesc* map = load_acquire(&w.rom->maps[i]); reinterpret_cast<u64>(map) == addr) return map;
  return nullptr;
}
void recover_intent(const Window& w, RunSlot* slot) noexcept { recover_map_intent(w, slot, find_map); }

/// Helpers (helpers/helper.h:HelperBody) that need nothing of the run: without the way through its RunEnv, which is this process's anyway.
template <s32 CLOCK>
u64 clock_helper(RunCtx&, u64, u64, u64, u64, u64) noexcept { return clock_ns(CLOCK); }

}  // namespace

void fill_own_gates(u64* gates) {
  const auto set = [gates](u32 helper, HelperBody* body) { gates[GATE_HELPER + helper] = reinterpret_cast<u64>(body); };
  set(func::ktime_get_ns, clock_helper<CLOCK_MONOTONIC_>);
  set(func::ktime_get_boot_ns, clock_helper<CLOCK_BOOTTIME_>);
  set(func::ktime_get_coarse_ns, clock_helper<CLOCK_MONOTONIC_COARSE_>);
  set(func::ktime_get_tai_ns, clock_helper<CLOCK_TAI_>);
}

void recover_own_slot(RunSlot* slot) { slot_recover(session.window, slot, SlotRecovery{recover_intent, ringbuf_recover_record}); }

RunEnv* env_of_run(SyntheticTask* spare) {
  spare_of_run = spare;
  task_of_run = 0;
  return &env_of_process;
}

void current_comm(char (&out)[16]) { comm(nullptr, out); }

KeepTaskOfRun::KeepTaskOfRun() : spare_(spare_of_run), task_(task_of_run) {}
KeepTaskOfRun::~KeepTaskOfRun() {
  spare_of_run = spare_;
  task_of_run = task_;
}

/// Without a registered sequence (of a thread that is not glibc's, a child of vfork) its number is none, or the parent's last: only a hint
/// of which virtual CPU to take, and the slow way, which takes 10 ns, is for the first.
u32 this_cpu() {
  constexpr u32 MOST = 0xfff;
  if (&__rseq_offset != nullptr) {
    const auto* cpu = reinterpret_cast<const u32*>(reinterpret_cast<const u8*>(__builtin_thread_pointer()) + __rseq_offset + RSEQ_CPU_ID);
    if (const u32 id = load_relaxed(cpu); id <= MOST) [[likely]] return id;
  }
  return cpu_and_node() & MOST;
}

RunSlot* take_cpu() {
  for (u32 i = 0; i < CPU_TRIES; ++i) {
    if (RunSlot* slot = acquire_cpu(this_cpu())) return slot;
    sys(NR_sched_yield);
  }
  return nullptr;
}

RunSlot* take_this_cpu(u32 cpu) {
  for (u32 i = 0; i < CPU_TRIES; ++i) {
    RunSlot* slot = acquire_cpu(cpu);
    if (slot != nullptr && slot_index(session.window, slot) == cpu) return slot;
    if (slot != nullptr) slot_release(slot);
    sys(NR_sched_yield);
  }
  return nullptr;
}

RunSlot* take_client_slot() {
  return slot_acquire_client(session.window, process->owner, static_cast<u32>(reinterpret_cast<u64>(&thread) >> 6));
}

RunSlot* take_slot() {
  if (RunSlot* slot = acquire_cpu(this_cpu())) return slot;
  return take_client_slot();
}

}  // namespace skep::agent
