#include "buffers/perf_ring.h"

#include <cerrno>

#include "base/bytes.h"
#include "buffers/doorbell.h"
#include "buffers/ring_lock.h"

namespace skep {
namespace {

perf_event_mmap_page* user_page(const RingDesc& ring) noexcept { return reinterpret_cast<perf_event_mmap_page*>(ring.user_page); }

/// Where the next byte goes. Words are put at multiples of 8, so that none of them wraps; bytes wrap as often as it takes.
struct Cursor {
  u8* data;
  u64 size;
  u64 pos;
  void put(u64 v) noexcept {
    __builtin_memcpy(data + (pos & (size - 1)), &v, sizeof v);
    pos += sizeof v;
  }
  void put(u32 low, u32 high) noexcept { put(u64{high} << 32 | low); }
  void put(const perf_event_header& h) noexcept { put(h.type, u32{h.size} << 16 | h.misc); }
  /// REQUIRES: pos is a multiple of 4.
  void put_half(u32 v) noexcept {
    __builtin_memcpy(data + (pos & (size - 1)), &v, sizeof v);
    pos += sizeof v;
  }
  void write(const void* src, u64 n) noexcept {
    const u8* from = static_cast<const u8*>(src);
    while (n > 0) {
      const u64 at = pos & (size - 1);
      const u64 chunk = n < size - at ? n : size - at;
      copy_bytes(data + at, from, chunk);
      pos += chunk;
      from += chunk;
      n -= chunk;
    }
  }
};

/// One output, planned before a byte is written.
struct Plan {
  u64 head, data_size;
  u32 sample_size;  ///< the PERF_RECORD_SAMPLE
  u32 lost_size;    ///< the PERF_RECORD_LOST before it, or 0
  u64 lost;
};

u64 raw_field_size(u64 raw_size) noexcept { return round_up(raw_size + sizeof(u32), 8); }

u32 count_bits(u64 v) noexcept {
  u32 n = 0;
  for (; v != 0; v &= v - 1) ++n;
  return n;
}

/// Each of our sample fields but RAW is one word, in SAMPLE records and in the trailers of others.
u64 sample_record_size(u64 type, u64 raw_size) noexcept {
  const u64 fixed = sizeof(perf_event_header) + 8 * count_bits(type & PERF_RING_SAMPLE_TYPES & ~u64{PERF_SAMPLE_RAW});
  return fixed + ((type & PERF_SAMPLE_RAW) != 0 ? raw_field_size(raw_size) : 0);
}

constexpr u64 TRAILER_TYPES =
    PERF_SAMPLE_TID | PERF_SAMPLE_TIME | PERF_SAMPLE_ID | PERF_SAMPLE_STREAM_ID | PERF_SAMPLE_CPU | PERF_SAMPLE_IDENTIFIER;

u32 lost_record_size(u64 type) noexcept {
  const u32 trailer = (type & PERF_RING_SAMPLE_ID_ALL) != 0 ? 8 * count_bits(type & TRAILER_TYPES) : 0;
  return static_cast<u32>(sizeof(perf_event_header)) + 16 + trailer;
}

/// Linux: kernel/events/core.c:perf_event__output_id_sample() (6.12: __perf_event__output_id_sample())
void put_trailer(Cursor* out, const RingDesc& ring, const PerfSample& s) noexcept {
  const u64 type = ring.sample_type;
  if ((type & PERF_SAMPLE_TID) != 0) out->put(s.pid, s.tid);
  if ((type & PERF_SAMPLE_TIME) != 0) out->put(s.time);
  if ((type & PERF_SAMPLE_ID) != 0) out->put(ring.event_id);
  if ((type & PERF_SAMPLE_STREAM_ID) != 0) out->put(ring.event_id);
  if ((type & PERF_SAMPLE_CPU) != 0) out->put(ring.cpu, 0);
  if ((type & PERF_SAMPLE_IDENTIFIER) != 0) out->put(ring.event_id);
}

void write_lost(Cursor* out, const RingDesc& ring, const PerfSample& s, const Plan& plan) noexcept {
  out->put(perf_event_header{PERF_RECORD_LOST, 0, static_cast<u16>(plan.lost_size)});
  out->put(ring.event_id);
  out->put(plan.lost);
  if ((ring.sample_type & PERF_RING_SAMPLE_ID_ALL) != 0) put_trailer(out, ring, s);
}

/// Order of fields: Linux: kernel/events/core.c:perf_output_sample()
void write_sample(Cursor* out, const RingDesc& ring, const PerfSample& s, const Plan& plan) noexcept {
  const u64 type = ring.sample_type;
  out->put(perf_event_header{PERF_RECORD_SAMPLE, s.misc, static_cast<u16>(plan.sample_size)});
  if ((type & PERF_SAMPLE_IDENTIFIER) != 0) out->put(ring.event_id);
  if ((type & PERF_SAMPLE_IP) != 0) out->put(s.ip);
  if ((type & PERF_SAMPLE_TID) != 0) out->put(s.pid, s.tid);
  if ((type & PERF_SAMPLE_TIME) != 0) out->put(s.time);
  if ((type & PERF_SAMPLE_ADDR) != 0) out->put(s.addr);
  if ((type & PERF_SAMPLE_ID) != 0) out->put(ring.event_id);
  if ((type & PERF_SAMPLE_STREAM_ID) != 0) out->put(ring.event_id);
  if ((type & PERF_SAMPLE_CPU) != 0) out->put(ring.cpu, 0);
  if ((type & PERF_SAMPLE_PERIOD) != 0) out->put(s.period);
  if ((type & PERF_SAMPLE_RAW) == 0) return;
  const u64 field = raw_field_size(s.raw_size);
  out->put_half(static_cast<u32>(field - sizeof(u32)));
  out->write(s.raw, s.raw_size);
  // Padding is stepped over: what an earlier lap left there shows through, as on Linux.
  out->pos += field - sizeof(u32) - s.raw_size;
}

/// Linux: include/linux/circ_buf.h:CIRC_SPACE(), which takes any tail.
bool has_space(u64 head, u64 tail, u64 data_size, u64 need) noexcept { return ((tail - head - 1) & (data_size - 1)) >= need; }

/// True when this output ends in a wake-up. Without a watermark of the event's own, half the ring is one; wakeup_events come on
/// top. Linux: kernel/events/ring_buffer.c:ring_buffer_init(), __perf_output_begin(); kernel/events/core.c:perf_output_sample()
bool account_wakeup(const RingDesc& ring, u64 head, u64 data_size) noexcept {
  RingCtl* ctl = ring.ctl;
  u64 watermark = data_size / 2;
  if (ring.watermark != 0 && ring.wakeup_watermark != 0)
    watermark = ring.wakeup_watermark < data_size ? ring.wakeup_watermark : data_size;
  const u64 before = load_relaxed(&ctl->wakeup_at);
  u64 at = before;
  if (head - at > watermark) at += watermark;
  if (ring.watermark == 0 && ring.wakeup_events != 0) {
    u32 events = load_relaxed(&ctl->events) + 1;
    if (static_cast<s32>(events) >= static_cast<s32>(ring.wakeup_events)) {
      events -= ring.wakeup_events;
      ++at;
    }
    store_relaxed(&ctl->events, events);
  }
  store_relaxed(&ctl->wakeup_at, at);
  return at != before;
}

/// Under the ring's lock; who could not get it counts with locked instructions, and one of the two may be lost to the other.
void count_lost(RingCtl* ctl) noexcept {
  store_relaxed(&ctl->lost, load_relaxed(&ctl->lost) + 1);
  store_relaxed(&ctl->lost_total, load_relaxed(&ctl->lost_total) + 1);
}

void publish(const RingDesc& ring, const Plan& plan, u64 head) noexcept {
  store_release(&ring.ctl->head, head);
  store_release(&user_page(ring)->data_head, head);  // pairs with the consumer's acquire load (Linux: "B matches C")
  if (plan.lost != 0) store_relaxed(&ring.ctl->lost, load_relaxed(&ring.ctl->lost) - plan.lost);
}

/// Writes one record. REQUIRES: the ring's lock is held.
long write_record(const OpCtx& ctx, const RingDesc* ring, const PerfSample& sample, bool* futex_wake) noexcept {
  Plan plan{};
  plan.data_size = load_acquire(&ring->data_size);  // pairs with the host's store at the first mmap: pages before size
  if (plan.data_size == 0) return -ENOSPC;
  // DIFFERS: Linux says 0, cuts the size in the header to 16 bits and writes the record's end over what follows it.
  if (sample.raw_size > 0xffff || sample_record_size(ring->sample_type, sample.raw_size) > 0xffff) {
    count_lost(ring->ctl);
    return -E2BIG;
  }
  plan.sample_size = static_cast<u32>(sample_record_size(ring->sample_type, sample.raw_size));
  plan.lost = load_relaxed(&ring->ctl->lost);
  plan.lost_size = plan.lost != 0 ? lost_record_size(ring->sample_type) : 0;
  plan.head = load_relaxed(&ring->ctl->head) & ~u64{7};
  const u64 need = u64{plan.lost_size} + plan.sample_size;
  // The load of the tail pairs with the consumer's barrier before its store of it: what it has read may be written over.
  if (ring->overwrite == 0 && !has_space(plan.head, load_acquire(&user_page(*ring)->data_tail), plan.data_size, need)) {
    count_lost(ring->ctl);
    return -ENOSPC;
  }
  Cursor out{ring->data, plan.data_size, plan.head};
  if (plan.lost_size != 0) write_lost(&out, *ring, sample, plan);
  write_sample(&out, *ring, sample, plan);
  publish(*ring, plan, plan.head + need);
  if (account_wakeup(*ring, plan.head + need, plan.data_size) && ring_notify(ctx.window, *ring)) *futex_wake = true;
  return 0;
}

}  // namespace

long perf_ring_output(const OpCtx& ctx, const RingDesc* ring, const PerfSample& sample, bool* futex_wake) noexcept {
  if (ring->no_output != 0) return -EINVAL;
  // A disabled event is on no CPU. Linux: kernel/trace/bpf_trace.c:__bpf_perf_event_output()
  if (load_relaxed(&ring->enabled) == 0 || ring->cpu != ctx.cpu) return -EOPNOTSUPP;
  if ((ring->sample_type & ~(PERF_RING_SAMPLE_TYPES | PERF_RING_SAMPLE_ID_ALL)) != 0) return -EINVAL;
  // Nearly always free: only runs that found every virtual CPU taken share a CPU's ring with its owner.
  if (!ring_lock(ctx, &ring->ctl->lock)) [[unlikely]] {
    fetch_add(&ring->ctl->lost, 1);
    fetch_add(&ring->ctl->lost_total, 1);
    return -ENOSPC;
  }
  const long rc = write_record(ctx, ring, sample, futex_wake);
  robust_unlock(&ring->ctl->lock);
  return rc;
}

void perf_ring_init_page(const RingDesc* ring) noexcept {
  perf_event_mmap_page* page = user_page(*ring);
  zero_bytes(page, PAGE_SIZE);
  // Linux leaves version and compat_version 0. No cap_user_time, no rdpmc: we keep neither clock nor counter there.
  // Linux: kernel/events/core.c:perf_event_init_userpage()
  page->cap_bit0_is_deprecated = 1;
  page->size = offsetof(perf_event_mmap_page, __reserved);
  page->data_offset = PAGE_SIZE;
  page->data_size = ring->data_size;
  RingCtl* ctl = ring->ctl;
  store_relaxed(&ctl->head, 0);
  store_relaxed(&ctl->lost, 0);
  store_relaxed(&ctl->wakeup_at, 0);
  store_relaxed(&ctl->events, 0);
}

void perf_ring_recover(const Window& w, u32 cpu) noexcept {
  for (u32 i = 0; i < MAX_RINGS; ++i) {
    const RingDesc* ring = load_acquire(&w.rom->rings[i]);
    if (ring == nullptr || ring->kind != RingKind::Perf || ring->cpu != cpu || load_acquire(&ring->data_size) == 0) continue;
    perf_event_mmap_page* page = user_page(*ring);
    const u64 head = load_relaxed(&ring->ctl->head);
    store_release(&page->data_head, head);  // pairs with the consumer's acquire load
    if (head != load_relaxed(&page->data_tail)) ring_notify_always(w, *ring);
  }
}

}  // namespace skep
