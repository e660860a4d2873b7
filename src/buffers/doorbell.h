// buffers: how a producer in any process wakes a consumer that sleeps, with no fd on the event path.
//
//   producer                                     consumer (agent in a client, about to block)
//   --------                                     --------
//   publish the record                  (P1)     ring_arm(): armed = 1                                (C1)
//   [perf: wake_seq++]                  (P1)     re-check readiness: data, or wake_seq moved          (C2)
//   armed != 0 ?                        (P2)     ready: ring_disarm(), go on; else sleep on the fd
//     ring_pending |= the ring's bit    (P3)
//     armed = 0, was it 1?              (P4)     host
//     doorbell++                        (P5)     ----
//     doorbell_waiting != 0 ?           (P6)     doorbell_waiting = 1; seen = doorbell                (H1)
//       futex_wake(doorbell)                     take_pending(): make those rings' fds readable       (H2)
//                                                none: futex_wait(doorbell, seen)                     (H3)
//
// No wake-up is lost between producer and consumer: P1 ends in a locked instruction, the increment of wake_seq, and so is visible
// before P2 reads; C1 is an exchange, visible before C2 reads. Either P2 sees C1, or C2 sees P1. The same holds between P3..P5
// (locked) / P6 and H1 (exchange) / H2; a doorbell that moves between H1 and H3 makes the futex return at once. A consumer that is
// awake has armed == 0: it costs producers one load and is never woken.
//
// Death. P3 comes before P4, so a producer killed anywhere from P3 on has left the ring's bit, and one killed before P3 has left
// armed == 1. The host reads ring_pending after each death that it learns of, and after slot_recover(), whose ring part
// (ringbuf_recover_record(), perf_ring_recover()) sets the bit again for whatever the dead had published. The price is that a bit
// may be set once too often: a consumer of this protocol checks readiness when it wakes.
//
// Positions in shared memory are written by clients and targets: the answers here may then be wrong, nothing else.
// Freestanding. Linux: kernel/bpf/ringbuf.c:ringbuf_map_poll_kern(), kernel/events/core.c:perf_poll()
#pragma once
#include "base/atomic.h"
#include "shm/layout.h"

namespace skep {

// ---- producers

/// P1 (wake_seq) to P6. To be called after the record is published, when the kernel would wake the ring's waiters. True when the
/// caller has to futex_wake(&ram->doorbell): the host sleeps on it.
bool ring_notify(const Window& w, const RingDesc& ring) noexcept;
/// P3 to P6 whether the ring is armed or not: for recovery, which cannot know how far the dead producer came.
bool ring_notify_always(const Window& w, const RingDesc& ring) noexcept;
/// P6 alone: after something that rang and could not say so (slot_recover()).
inline bool doorbell_must_wake(const Window& w) noexcept { return load_seq_cst(&w.ram->doorbell_waiting) != 0; }

// ---- consumers

/// C1. Idempotent; a wake-up or ring_disarm() undoes it.
inline void ring_arm(const RingDesc& ring) noexcept { exchange(&ring.ctl->armed, 1u); }
inline void ring_disarm(const RingDesc& ring) noexcept { store_relaxed(&ring.ctl->armed, 0); }

/// C2, bpf: readiness is a state. True while the positions differ, the record between them still being written or not.
bool bpf_ring_readable(const RingDesc& ring) noexcept;
/// C2, perf: readiness is an edge. `seen_seq` is what perf_ring_seq() said when the consumer last reported the ring ready.
bool perf_ring_ready(const RingDesc& ring, u32 seen_seq) noexcept;
u32 perf_ring_seq(const RingDesc& ring) noexcept;

// ---- host

/// H1. Returns the value to sleep on. Undone by doorbell_awake().
u32 doorbell_prepare_wait(const Window& w) noexcept;
inline void doorbell_awake(const Window& w) noexcept { store_relaxed(&w.ram->doorbell_waiting, 0); }
/// H2. Takes the bits of rings 64*word .. 64*word+63; 0 when `word` is out of range.
u64 take_pending(const Window& w, u32 word) noexcept;
constexpr u32 PENDING_WORDS = MAX_RINGS / 64;

}  // namespace skep
