// buffers: the perf ring of a PERF_COUNT_SW_BPF_OUTPUT event: one producer, the run that owns the event's virtual CPU, and one
// consumer.
//
//   user page   data_tail (consumer)  data_head (published)      perf_event_mmap_page
//   data        { type, misc, size } fields ... , multiples of 8, wrapping byte for byte at the end
//
// RingCtl::head is where the next record goes; data_head follows it. Order of stores of one output: bytes, head, data_head, lost,
// wake-up state, wake_seq and doorbell. So a producer killed while it writes bytes leaves no record and a ring that the next owner
// of the CPU goes on with; killed later it leaves a whole record, which perf_ring_recover() publishes and rings for. A LOST record
// may then be told twice, never lost.
//
// What user space or a hostile process writes into the user page and RingCtl makes records lost or garbled; no access leaves the
// ring's pages. Freestanding. Linux: kernel/events/ring_buffer.c, kernel/events/core.c:perf_output_sample()
#pragma once
#include "shm/op_ctx.h"
#include "uapi/perf_event.h"

namespace skep {

/// The PERF_SAMPLE_* that a ring can fill; perf_event_open() has to refuse others for events of ours.
constexpr u64 PERF_RING_SAMPLE_TYPES = PERF_SAMPLE_IDENTIFIER | PERF_SAMPLE_IP | PERF_SAMPLE_TID | PERF_SAMPLE_TIME |
                                       PERF_SAMPLE_ADDR | PERF_SAMPLE_ID | PERF_SAMPLE_STREAM_ID | PERF_SAMPLE_CPU |
                                       PERF_SAMPLE_PERIOD | PERF_SAMPLE_RAW;
/// In RingDesc::sample_type, above every PERF_SAMPLE_*: attr.sample_id_all.
constexpr u64 PERF_RING_SAMPLE_ID_ALL = 1ULL << 63;

/// What the caller knows of an event. `raw` is data[0, raw_size), readable.
struct PerfSample {
  u64 ip = 0, time = 0, addr = 0, period = 0;
  u32 pid = 0, tid = 0;
  u16 misc = PERF_RECORD_MISC_KERNEL;  ///< PERF_RECORD_MISC_USER for a uprobe's registers
  const void* raw = nullptr;
  u64 raw_size = 0;
};

/// bpf_perf_event_output() once the ring is found. 0, or in this order: -EOPNOTSUPP (event disabled, or on another CPU than
/// ctx.cpu); -EINVAL (sample_type we cannot fill); -ENOSPC (never mapped); -E2BIG (record over 65535 bytes); -ENOSPC (full). The
/// last two are counted, and told in a PERF_RECORD_LOST before the next record that fits. *futex_wake is set when the caller has to
/// wake the host, and never cleared.
long perf_ring_output(const OpCtx& ctx, const RingDesc* ring, const PerfSample& sample, bool* futex_wake) noexcept;

/// Fills the user page as a fresh mmap shows it and starts the ring from 0. REQUIRES: user_page, data, data_size are set; no
/// producer yet.
void perf_ring_init_page(const RingDesc* ring) noexcept;

/// To be called before slot_recover() of virtual CPU `cpu`: publishes what its dead run had written whole, and rings for every ring
/// of the CPU that holds unread data. REQUIRES: nobody runs on the CPU.
void perf_ring_recover(const Window& w, u32 cpu) noexcept;

}  // namespace skep
