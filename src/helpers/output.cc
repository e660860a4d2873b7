// helpers: records to user space. Linux: kernel/bpf/ringbuf.c, kernel/trace/bpf_trace.c:bpf_perf_event_output()
#include <cerrno>

#include "base/atomic.h"
#include "buffers/perf_ring.h"
#include "buffers/ringbuf.h"
#include "helpers/memory.h"
#include "helpers/protos.h"

namespace skep {
namespace {

MapDesc* as_map(u64 arg) noexcept { return reinterpret_cast<MapDesc*>(arg); }
u64 ret(long value) noexcept { return static_cast<u64>(value); }

void wake(RunCtx& run, bool futex_wake) noexcept {
  if (futex_wake) run.env->futex_wake_host(run.env);
}

u64 ringbuf_output_fn(RunCtx& run, u64 map, u64 data, u64 size, u64 flags, u64) noexcept {
  bool futex_wake = false;
  const long err = ringbuf_output(run.op, as_map(map)->ring, reinterpret_cast<const void*>(data), size, flags, &futex_wake);
  wake(run, futex_wake);
  return ret(err);
}

u64 ringbuf_reserve_fn(RunCtx& run, u64 map, u64 size, u64 flags, u64, u64) noexcept {
  return reinterpret_cast<u64>(ringbuf_reserve(run.op, as_map(map)->ring, size, flags));
}

u64 ringbuf_close(RunCtx& run, u64 arg, u64 flags, bool discard) noexcept {
  void* sample = reinterpret_cast<void*>(arg);
  const RingDesc* ring = ringbuf_of(run.op, sample);
  if (ring == nullptr) return 0;  // refused by the proto before we are called
  bool futex_wake = false;
  ringbuf_commit(run.op, ring, sample, flags, discard, &futex_wake);
  wake(run, futex_wake);
  return 0;
}

u64 ringbuf_submit_fn(RunCtx& run, u64 sample, u64 flags, u64, u64, u64) noexcept {
  return ringbuf_close(run, sample, flags, false);
}
u64 ringbuf_discard_fn(RunCtx& run, u64 sample, u64 flags, u64, u64, u64) noexcept {
  return ringbuf_close(run, sample, flags, true);
}
u64 ringbuf_query_fn(RunCtx&, u64 map, u64 flags, u64, u64, u64) noexcept { return ringbuf_query(as_map(map)->ring, flags); }

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

/// Linux: bpf_perf_event_output(), __bpf_perf_event_output(). The rest of its checks is perf_ring_output()'s.
/// DIFFERS: a sample too big for its record's 16-bit size answers -E2BIG; Linux lets the size wrap.
u64 perf_event_output_fn(RunCtx& run, u64, u64 map, u64 flags, u64 data, u64 size) noexcept {
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

}  // namespace

constinit const FuncProto bpf_ringbuf_output_proto = {
    BPF_FUNC_ringbuf_output, "bpf_ringbuf_output", false, RET_INTEGER,
    {ARG_CONST_MAP_PTR, ARG_PTR_TO_MEM, ARG_CONST_SIZE_OR_ZERO, ARG_ANYTHING}, BASE_PROG_TYPES, ringbuf_output_fn};
constinit const FuncProto bpf_ringbuf_reserve_proto = {
    BPF_FUNC_ringbuf_reserve, "bpf_ringbuf_reserve", false, RET_PTR_TO_RINGBUF_MEM_OR_NULL,
    {ARG_CONST_MAP_PTR, ARG_CONST_ALLOC_SIZE_OR_ZERO, ARG_ANYTHING}, BASE_PROG_TYPES, ringbuf_reserve_fn};
constinit const FuncProto bpf_ringbuf_submit_proto = {
    BPF_FUNC_ringbuf_submit, "bpf_ringbuf_submit", false, RET_VOID, {ARG_PTR_TO_RINGBUF_MEM, ARG_ANYTHING}, BASE_PROG_TYPES,
    ringbuf_submit_fn};
constinit const FuncProto bpf_ringbuf_discard_proto = {
    BPF_FUNC_ringbuf_discard, "bpf_ringbuf_discard", false, RET_VOID, {ARG_PTR_TO_RINGBUF_MEM, ARG_ANYTHING}, BASE_PROG_TYPES,
    ringbuf_discard_fn};
constinit const FuncProto bpf_ringbuf_query_proto = {
    BPF_FUNC_ringbuf_query, "bpf_ringbuf_query", false, RET_INTEGER, {ARG_CONST_MAP_PTR, ARG_ANYTHING}, BASE_PROG_TYPES,
    ringbuf_query_fn};
constinit const FuncProto bpf_perf_event_output_proto = {
    BPF_FUNC_perf_event_output,
    "bpf_perf_event_output",
    true,
    RET_INTEGER,
    {ARG_PTR_TO_CTX, ARG_CONST_MAP_PTR, ARG_ANYTHING, ARG_PTR_TO_MEM, ARG_CONST_SIZE_OR_ZERO},
    TRACING_PROG_TYPES,
    perf_event_output_fn};

}  // namespace skep
