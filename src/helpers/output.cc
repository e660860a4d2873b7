// helpers: records to user space. Linux: kernel/bpf/ringbuf.c, kernel/trace/bpf_trace.c:bpf_perf_event_output()
#include <cerrno>

#include "base/atomic.h"
#include "buffers/perf_ring.h"
#include "buffers/ringbuf.h"
#include "helpers/helper_list.h"

namespace skep {
namespace {

MapDesc* as_map(u64 arg) noexcept { return reinterpret_cast<MapDesc*>(arg); }
u64 ret(long value) noexcept { return static_cast<u64>(value); }

void wake(RunCtx& run, bool futex_wake) noexcept {
  if (futex_wake) run.env->futex_wake_host(run.env);
}

u64 close_record(RunCtx& run, u64 sample, u64 flags, bool discard) noexcept {
  bool futex_wake = false;
  ringbuf_close(run.op, reinterpret_cast<void*>(sample), flags, discard, &futex_wake);
  wake(run, futex_wake);
  return 0;
}

/// What the kernel would take from the registers, the task and the clock; only what the ring's records show.
PerfSample sample_of(RunCtx& run, const RingDesc& ring, u64 data, u64 size) noexcept {
  PerfSample sample{};
  sample.raw = reinterpret_cast<const void*>(data);
  sample.raw_size = size;
  if (run.probe != nullptr) sample.ip = run.probe->symbol_addr;
  if ((ring.sample_type & PERF_SAMPLE_TIME) != 0) sample.time = run.env->ktime_ns(run.env);
  if ((ring.sample_type & PERF_SAMPLE_TID) != 0) {
    const u64 pid_tgid = run.env->pid_tgid(run.env);
    sample.pid = static_cast<u32>(pid_tgid >> 32);
    sample.tid = static_cast<u32>(pid_tgid);
  }
  return sample;
}

}  // namespace

u64 bpf_ringbuf_output(RunCtx& run, u64 map, u64 data, u64 size, u64 flags, u64) noexcept {
  bool futex_wake = false;
  const long err = ringbuf_output(run.op, as_map(map)->ring, reinterpret_cast<const void*>(data), size, flags, &futex_wake);
  wake(run, futex_wake);
  return ret(err);
}

u64 bpf_ringbuf_reserve(RunCtx& run, u64 map, u64 size, u64 flags, u64, u64) noexcept {
  return reinterpret_cast<u64>(ringbuf_reserve(run.op, as_map(map)->ring, size, flags));
}

u64 bpf_ringbuf_submit(RunCtx& run, u64 sample, u64 flags, u64, u64, u64) noexcept {
  return close_record(run, sample, flags, false);
}
u64 bpf_ringbuf_discard(RunCtx& run, u64 sample, u64 flags, u64, u64, u64) noexcept {
  return close_record(run, sample, flags, true);
}
u64 bpf_ringbuf_query(RunCtx&, u64 map, u64 flags, u64, u64, u64) noexcept { return ringbuf_query(as_map(map)->ring, flags); }

/// Linux: bpf_perf_event_output(), __bpf_perf_event_output(). The rest of its checks is perf_ring_output()'s.
/// DIFFERS: a sample too big for its record's 16-bit size answers -E2BIG; Linux lets the size wrap.
u64 bpf_perf_event_output(RunCtx& run, u64, u64 map, u64 flags, u64 data, u64 size) noexcept {
  if ((flags & ~BPF_F_INDEX_MASK) != 0) return ret(-EINVAL);
  const u64 index = flags == BPF_F_CURRENT_CPU ? run.op.cpu : flags;
  if (index >= as_map(map)->max_entries) return ret(-E2BIG);
  const RingDesc* ring = load_acquire(&as_map(map)->perf_events[index]);  // pairs with the host's store of a ready ring
  if (ring == nullptr) return ret(-ENOENT);
  bool futex_wake = false;
  const long err = perf_ring_output(run.op, ring, sample_of(run, *ring, data, size), &futex_wake);
  wake(run, futex_wake);
  return ret(err);
}

}  // namespace skep
