// helpers: what processors count and note, of which nothing is had here. Linux: kernel/trace/bpf_trace.c
#include <cerrno>

#include "base/atomic.h"
#include "base/bytes.h"
#include "helpers/helper_list.h"

namespace skep {
namespace {

u64 ret(long value) noexcept { return static_cast<u64>(value); }

/// Linux: bpf_trace.c:get_map_perf_counter(). DIFFERS: no event of a PERF_EVENT_ARRAY counts anything, so each answers as one of
/// another processor does.
long read_counter(const RunCtx& run, const MapDesc& map, u64 flags) noexcept {
  if ((flags & ~BPF_F_INDEX_MASK) != 0) return -EINVAL;
  const u64 index = flags == BPF_F_CURRENT_CPU ? run.op.cpu : flags;
  if (index >= map.max_entries) return -E2BIG;
  return load_acquire(&map.perf_events[index]) == nullptr ? -ENOENT : -EINVAL;
}

const MapDesc& as_map(u64 map) noexcept { return *reinterpret_cast<const MapDesc*>(map); }

/// Linux: include/uapi/linux/bpf.h:struct bpf_perf_event_value
constexpr u32 SIZEOF_PERF_EVENT_VALUE = 24;
constexpr u64 BPF_F_GET_BRANCH_RECORDS_SIZE = 1;

}  // namespace

u64 bpf_perf_event_read(RunCtx& run, u64 map, u64 flags, u64, u64, u64) noexcept {
  return ret(read_counter(run, as_map(map), flags));
}

u64 bpf_perf_event_read_value(RunCtx& run, u64 map, u64 flags, u64 buf, u64 size, u64) noexcept {
  const u32 n = static_cast<u32>(size);
  zero_bytes(reinterpret_cast<void*>(buf), n);
  return ret(n != SIZEOF_PERF_EVENT_VALUE ? -EINVAL : read_counter(run, as_map(map), flags));
}

u64 bpf_read_branch_records(RunCtx&, u64, u64, u64, u64 flags, u64) noexcept {
  return ret((flags & ~BPF_F_GET_BRANCH_RECORDS_SIZE) != 0 ? -EINVAL : -ENOENT);
}

u64 bpf_get_branch_snapshot(RunCtx&, u64 buf, u64 size, u64, u64, u64) noexcept {
  zero_bytes(reinterpret_cast<void*>(buf), static_cast<u32>(size));  // the program believes it written
  return ret(-ENOENT);
}

}  // namespace skep
