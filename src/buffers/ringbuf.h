// buffers: the BPF ring buffer, many producers and one consumer, bit for bit as clients of Linux map it.
//
//   consumer page   cons_pos                           written by the consumer
//   producer page   prod_pos, pending_pos, lock        pending_pos: every record before it is committed (6.12)
//   data            { u32 len | BUSY | DISCARD ; u32 pg_off } bytes, rounded up to 8 ...      mapped twice in a row
//
// Positions only grow; position & (data_size - 1) is the place. A record is published BUSY, filled, then committed in any order.
//
// Invariants, whole after every store, so that a producer may die at any instruction:
//  1. Below prod_pos every header is written. A header at prod_pos is written, under the lock, before prod_pos moves past it.
//  2. A published BUSY record is named in reserved[] of its producer's slot: named before prod_pos moves, un-named after the commit
//     and after its wake-up. So what the dead left open, or committed without ringing, is known.
//  3. prod_pos - pending_pos < data_size and pending_pos <= position of any BUSY record. So nobody writes over a BUSY header, however
//     far user space has pushed cons_pos. Linux: kernel/bpf/ringbuf.c:__bpf_ringbuf_reserve()
//
// What it costs: two locked instructions a record, the lock's and the one before the consumer's position is read; one where the
// program says BPF_RB_NO_WAKEUP. The lock stands in the line of the positions, so that producers pass one line between them.
//
// Everything but the RingDesc may be scribbled on by any process of the session. Then records are lost or read as garbage; no
// access leaves the ring's own pages, no loop runs without a bound. Freestanding.
#pragma once
#include "shm/op_ctx.h"

namespace skep {

/// In the producer page, behind the two positions it guards: the producers' RobustLock.
constexpr u64 RINGBUF_LOCK_OFFSET = 16;

/// bpf_ringbuf_reserve(). Null when: flags != 0; the record does not fit; the lock is contended; the run holds MAX_RESERVATIONS
/// already. All but the first are counted in RingCtl::lost and lost_total. The record must be given to ringbuf_commit() by the same
/// run.
void* ringbuf_reserve(const OpCtx& ctx, const RingDesc* ring, u64 size, u64 flags) noexcept;

/// bpf_ringbuf_submit() and bpf_ringbuf_discard(). A `sample` that is no open reservation of this slot on this ring is left alone.
/// *futex_wake is set when the caller has to wake the host (doorbell.h), and never cleared: one bool serves a whole run.
void ringbuf_commit(const OpCtx& ctx, const RingDesc* ring, void* sample, u64 flags, bool discard, bool* futex_wake) noexcept;

/// The same on whatever ring `sample` was reserved on.
void ringbuf_close(const OpCtx& ctx, void* sample, u64 flags, bool discard, bool* futex_wake) noexcept;

/// bpf_ringbuf_output(): 0, -EINVAL (flags), -EAGAIN (whenever reserve says null). REQUIRES: data[0, size) can be read.
long ringbuf_output(const OpCtx& ctx, const RingDesc* ring, const void* data, u64 size, u64 flags, bool* futex_wake) noexcept;

/// bpf_ringbuf_query(): one of BPF_RB_*; 0 for others.
u64 ringbuf_query(const RingDesc* ring, u64 flags) noexcept;

/// The ring that `sample` was reserved on by this slot, for helpers that are given the record alone; null when it is none.
const RingDesc* ringbuf_of(const OpCtx& ctx, const void* sample) noexcept;
/// True when [addr, addr + size) lies inside one open reservation of this slot.
bool ringbuf_owns(const OpCtx& ctx, u64 addr, u64 size) noexcept;

/// SlotRecovery::ring_record: the record at `pos` belonged to a run that is gone. Still BUSY: becomes DISCARD. Never published, or
/// consumed and overwritten since: left alone. The ring's pending bit and the doorbell are always moved, since the dead may have
/// committed without ringing; see doorbell_must_wake(). Any argument is safe.
/// REQUIRES: a ring's index and pages are not reused before every slot that was taken while it lived is released or recovered.
void ringbuf_recover_record(const Window& w, u32 ring_index, u64 pos) noexcept;

/// Consumer side. Gets each committed record; its bytes may change meanwhile if a process of the session is hostile. False: stop
/// after it.
using RingbufSampleFn = bool (*)(void* arg, const void* data, u32 size);
/// Reads up to `budget` records (discarded ones count) and frees them. Number of samples given to `fn`, or -EBADMSG when a header
/// or position made no sense: all that was published is then skipped. One consumer at a time.
long ringbuf_consume(const RingDesc* ring, RingbufSampleFn fn, void* arg, u32 budget) noexcept;

}  // namespace skep
