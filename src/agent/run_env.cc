#include "agent/run_env.h"

#include "agent/agent.h"
#include "base/bytes.h"

namespace skep::agent {
namespace {

constexpr u32 CPU_TRIES = 16;

u64 pid_tgid(RunEnv*) noexcept { return static_cast<u64>(sys(NR_getpid)) << 32 | static_cast<u64>(sys(NR_gettid)); }
u64 uid_gid(RunEnv*) noexcept { return static_cast<u64>(sys(NR_getgid)) << 32 | static_cast<u64>(sys(NR_getuid)); }
void comm(RunEnv*, char out[16]) noexcept {
  zero_bytes(out, 16);
  sys(NR_prctl, 16 /* PR_GET_NAME */, out);
}
u64 clock_ns(int clock) noexcept {
  s64 ts[2] = {};
  sys(228 /* clock_gettime */, clock, ts);
  return static_cast<u64>(ts[0]) * 1000000000ULL + static_cast<u64>(ts[1]);
}
u64 ktime(RunEnv*) noexcept { return clock_ns(1); }
u64 boottime(RunEnv*) noexcept { return clock_ns(7); }
u64 coarse(RunEnv*) noexcept { return clock_ns(6); }
u64 tai(RunEnv*) noexcept { return clock_ns(11); }
u64 current_task(RunEnv* env) noexcept { return reinterpret_cast<u64>(static_cast<ProcessEnv*>(env)->task); }
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

/// Node << 12 | processor. Linux: arch/x86/include/asm/segment.h:vdso_read_cpunode()
u32 cpu_and_node() {
  u32 limit = 0;
  asm volatile("lsl %1, %0" : "=r"(limit) : "r"(0x7bu));
  return limit;
}
u32 numa_node(RunEnv*) noexcept { return cpu_and_node() >> 12; }

}  // namespace

void fill_task(SyntheticTask& task) {
  task.state = 0;
  task.pid = static_cast<s32>(sys(NR_gettid));
  task.tgid = static_cast<s32>(sys(NR_getpid));
  comm(nullptr, task.comm);
}

void fill_env(ProcessEnv& env, const SyntheticTask* task) {
  env.pid_tgid = pid_tgid;
  env.uid_gid = uid_gid;
  env.comm = comm;
  env.current_task = current_task;
  env.ktime_ns = ktime;
  env.boot_ns = boottime;
  env.coarse_ns = coarse;
  env.tai_ns = tai;
  env.numa_node = numa_node;
  env.read_memory = read_memory;
  env.read_string = read_string;
  env.futex_wake_host = wake_host;
  env.task = task;
}

u32 this_cpu() { return cpu_and_node() & 0xfff; }

RunSlot* take_cpu() {
  for (u32 i = 0; i < CPU_TRIES; ++i) {
    if (RunSlot* slot = slot_acquire_cpu(session.window, process->owner, this_cpu())) return slot;
    sys(NR_sched_yield);
  }
  return nullptr;
}

RunSlot* take_this_cpu(u32 cpu) {
  for (u32 i = 0; i < CPU_TRIES; ++i) {
    RunSlot* slot = slot_acquire_cpu(session.window, process->owner, cpu);
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
  if (RunSlot* slot = slot_acquire_cpu(session.window, process->owner, this_cpu())) return slot;
  return take_client_slot();
}

}  // namespace skep::agent
