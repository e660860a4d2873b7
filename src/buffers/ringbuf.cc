#include "buffers/ringbuf.h"

#include <cerrno>

#include "base/bytes.h"
#include "buffers/doorbell.h"
#include "buffers/ring_lock.h"

namespace skep {
namespace {

/// Linux: kernel/bpf/ringbuf.c:RINGBUF_MAX_RECORD_SZ
constexpr u64 MAX_RECORD_SIZE = 0xffffffffu / 4;
/// pg_off counts pages from struct bpf_ringbuf: one page of its own (x86-64 and arm64 without lockdep), consumer and producer page.
constexpr u64 META_PAGES = 3;
/// Headers that one reserve looks at to move pending_pos; what is left is for the next one. Keeps the time under the lock bounded.
constexpr u32 PENDING_STEPS = 4096;

struct RecordHeader {
  u32 len;
  u32 pg_off;
};
static_assert(sizeof(RecordHeader) == BPF_RINGBUF_HDR_SZ);

using Reservation = std::remove_reference_t<decltype(RunSlot::reserved[0])>;

u64* consumer_pos(const RingDesc& ring) noexcept { return reinterpret_cast<u64*>(ring.user_page); }
u64* producer_pos(const RingDesc& ring) noexcept { return reinterpret_cast<u64*>(ring.prod_page); }
u64* pending_pos(const RingDesc& ring) noexcept { return reinterpret_cast<u64*>(ring.prod_page) + 1; }
/// Beside the positions it guards, where clients see zeros or a holder: whoever takes it has fetched them too.
RobustLock* producer_lock(const RingDesc& ring) noexcept { return reinterpret_cast<RobustLock*>(ring.prod_page + RINGBUF_LOCK_OFFSET); }
u64 ring_mask(const RingDesc& ring) noexcept { return ring.data_size - 1; }

/// REQUIRES: pos is a multiple of 8.
RecordHeader* header_at(const RingDesc& ring, u64 pos) noexcept {
  return reinterpret_cast<RecordHeader*>(ring.data + (pos & ring_mask(ring)));
}
/// What a record whose header says `len` takes.
u64 record_space(u32 len) noexcept {
  return round_up(u64{len & ~(BPF_RINGBUF_BUSY_BIT | BPF_RINGBUF_DISCARD_BIT)} + BPF_RINGBUF_HDR_SZ, 8);
}

Reservation* free_reservation(RunSlot* slot) noexcept {
  for (auto& r : slot->reserved)
    if (load_relaxed(&r.ring) == 0) return &r;
  return nullptr;
}

/// The ring that an entry names. Entries are in RAM: anything may stand there.
const RingDesc* reservation_ring(const Window& w, const Reservation& r) noexcept {
  const u32 named = load_relaxed(&r.ring);
  if (named == 0 || named > MAX_RINGS) return nullptr;
  const RingDesc* ring = load_acquire(&w.rom->rings[named - 1]);
  if (ring == nullptr || ring->kind != RingKind::Bpf || (load_relaxed(&r.pos) & 7) != 0) return nullptr;
  return ring;
}

Reservation* find_reservation(const OpCtx& ctx, const void* sample) noexcept {
  for (auto& r : ctx.slot->reserved) {
    const RingDesc* ring = reservation_ring(ctx.window, r);
    if (ring != nullptr && header_at(*ring, load_relaxed(&r.pos)) + 1 == sample) return &r;
  }
  return nullptr;
}

[[gnu::cold]] RecordHeader* drop(const RingDesc& ring) noexcept {
  fetch_add(&ring.ctl->lost, u64{1});
  fetch_add(&ring.ctl->lost_total, u64{1});
  return nullptr;
}

/// Moves pending_pos over committed records, under the lock: nearly always over one. Not only when it stands in the way: that header
/// is still in this processor's cache. Linux: kernel/bpf/ringbuf.c:__bpf_ringbuf_reserve()
u64 advance_pending(const RingDesc& ring, u64 prod, u64 cons) noexcept {
  u64 pend = load_relaxed(pending_pos(ring));
  if (prod - pend > ring_mask(ring)) pend = cons;  // scribbled; the consumer's position is a record's start too
  for (u32 step = 0; step < PENDING_STEPS && prod - pend - 1 < ring_mask(ring) && (pend & 7) == 0; ++step) {
    const u32 len = load_relaxed(&header_at(ring, pend)->len);
    if ((len & BPF_RINGBUF_BUSY_BIT) != 0) break;
    const u64 left = prod - pend;
    pend += record_space(len) < left ? record_space(len) : left;
  }
  store_relaxed(pending_pos(ring), pend);
  return pend;
}

/// A new record's header, its reservation named in *named; null, and counted, when there is no room.
RecordHeader* reserve(const OpCtx& ctx, const RingDesc& ring, u64 size, Reservation** named) noexcept {
  if (size > MAX_RECORD_SIZE || record_space(static_cast<u32>(size)) > ring.data_size) return drop(ring);
  Reservation* entry = free_reservation(ctx.slot);
  if (entry == nullptr) return drop(ring);
  // All that ROM says is fetched before the lock: nothing after a locked instruction starts before it is done.
  u64* const prod_at = producer_pos(ring);
  u8* const data = ring.data;
  const u64 mask = ring_mask(ring);
  const u32 name = ring.index + 1;
  // Pairs with the consumer's release store: what it has read may be written over.
  const u64 cons = load_acquire(consumer_pos(ring));
  if (!ring_lock(ctx, producer_lock(ring))) return drop(ring);
  const u64 prod = load_relaxed(prod_at);
  const u64 next = prod + record_space(static_cast<u32>(size));
  const u64 pend = advance_pending(ring, prod, cons);
  if ((prod & 7) != 0 || next - cons > mask || next - pend > mask) [[unlikely]] {
    robust_unlock(producer_lock(ring));
    return drop(ring);
  }
  // The header, the reservation's name, the position: in this order (invariants 1 and 2).
  RecordHeader* hdr = reinterpret_cast<RecordHeader*>(data + (prod & mask));
  store_relaxed(&hdr->pg_off, static_cast<u32>((prod & mask) / PAGE_SIZE + META_PAGES));
  store_relaxed(&hdr->len, static_cast<u32>(size) | BPF_RINGBUF_BUSY_BIT);
  store_relaxed(&entry->pos, prod);
  store_release(&entry->ring, name);
  // Pairs with the acquire loads of prod_pos in the consumer and in ringbuf_recover_record().
  store_release(prod_at, next);
  robust_unlock(producer_lock(ring));
  *named = entry;
  return hdr;
}

/// Whether the consumer has read all before the record at `pos`. Linux: kernel/bpf/ringbuf.c:bpf_ringbuf_commit()
bool caught_up(const RingDesc& ring, u64 pos) noexcept { return ((load_acquire(consumer_pos(ring)) ^ pos) & ring_mask(ring)) == 0; }

/// Makes the record readable, and wakes the consumer when it is due. The header is stored before a locked instruction and the
/// consumer's position looked at behind it, so that either we see that it has caught up or it sees the record. One such instruction
/// does: a consumer that has caught up already cannot pass this record before it is committed, and ring_notify() begins with one.
void finish(const OpCtx& ctx, const RingDesc& ring, RecordHeader* hdr, u64 pos, u32 len, u64 flags, bool* futex_wake) noexcept {
  // The stores and the exchange pair with the consumer's acquire load of the header.
  bool notify = (flags & BPF_RB_FORCE_WAKEUP) != 0;
  if (notify || (flags & BPF_RB_NO_WAKEUP) != 0 || caught_up(ring, pos)) {
    notify = notify || (flags & BPF_RB_NO_WAKEUP) == 0;
    store_release(&hdr->len, len);
  } else {
    exchange(&hdr->len, len);
    notify = caught_up(ring, pos);
  }
  if (notify && ring_notify(ctx.window, ring)) *futex_wake = true;
}

/// REQUIRES: `entry` is what find_reservation() says of `sample`.
void commit(const OpCtx& ctx, const RingDesc& ring, Reservation* entry, void* sample, u64 flags, bool discard, bool* futex_wake) noexcept {
  RecordHeader* hdr = static_cast<RecordHeader*>(sample) - 1;
  const u32 size = load_relaxed(&hdr->len) & ~(BPF_RINGBUF_BUSY_BIT | BPF_RINGBUF_DISCARD_BIT);
  finish(ctx, ring, hdr, load_relaxed(&entry->pos), size | (discard ? BPF_RINGBUF_DISCARD_BIT : 0), flags, futex_wake);
  store_release(&entry->ring, 0);
}

}  // namespace

void* ringbuf_reserve(const OpCtx& ctx, const RingDesc* ring, u64 size, u64 flags) noexcept {
  if (flags != 0) return nullptr;
  Reservation* entry = nullptr;
  RecordHeader* hdr = reserve(ctx, *ring, size, &entry);
  return hdr == nullptr ? nullptr : hdr + 1;
}

void ringbuf_commit(const OpCtx& ctx, const RingDesc* ring, void* sample, u64 flags, bool discard, bool* futex_wake) noexcept {
  Reservation* entry = find_reservation(ctx, sample);
  if (entry == nullptr || load_relaxed(&entry->ring) != ring->index + 1) return;
  commit(ctx, *ring, entry, sample, flags, discard, futex_wake);
}

void ringbuf_close(const OpCtx& ctx, void* sample, u64 flags, bool discard, bool* futex_wake) noexcept {
  Reservation* entry = find_reservation(ctx, sample);
  const RingDesc* ring = entry == nullptr ? nullptr : reservation_ring(ctx.window, *entry);
  if (ring != nullptr) commit(ctx, *ring, entry, sample, flags, discard, futex_wake);
}

long ringbuf_output(const OpCtx& ctx, const RingDesc* ring, const void* data, u64 size, u64 flags, bool* futex_wake) noexcept {
  if ((flags & ~(BPF_RB_NO_WAKEUP | BPF_RB_FORCE_WAKEUP)) != 0) return -EINVAL;
  Reservation* entry = nullptr;
  RecordHeader* hdr = reserve(ctx, *ring, size, &entry);
  if (hdr == nullptr) return -EAGAIN;
  if (size != 0) copy_bytes(hdr + 1, data, size);  // `data` may be null then
  finish(ctx, *ring, hdr, load_relaxed(&entry->pos), static_cast<u32>(size), flags, futex_wake);
  store_release(&entry->ring, 0);
  return 0;
}

u64 ringbuf_query(const RingDesc* ring, u64 flags) noexcept {
  switch (flags) {
    case BPF_RB_AVAIL_DATA: {
      const u64 cons = load_acquire(consumer_pos(*ring));
      return load_acquire(producer_pos(*ring)) - cons;
    }
    case BPF_RB_RING_SIZE:
      return ring->data_size;
    case BPF_RB_CONS_POS:
      return load_acquire(consumer_pos(*ring));
    case BPF_RB_PROD_POS:
      return load_acquire(producer_pos(*ring));
    default:
      return 0;
  }
}

const RingDesc* ringbuf_of(const OpCtx& ctx, const void* sample) noexcept {
  const Reservation* entry = find_reservation(ctx, sample);
  return entry == nullptr ? nullptr : reservation_ring(ctx.window, *entry);
}

bool ringbuf_owns(const OpCtx& ctx, u64 addr, u64 size) noexcept {
  for (const auto& r : ctx.slot->reserved) {
    const RingDesc* ring = reservation_ring(ctx.window, r);
    if (ring == nullptr) continue;
    const RecordHeader* hdr = header_at(*ring, load_relaxed(&r.pos) & ~u64{7});
    const u32 len = load_relaxed(&hdr->len);
    if ((len & BPF_RINGBUF_BUSY_BIT) == 0 || record_space(len) > ring->data_size) continue;
    const u64 bytes = len & ~(BPF_RINGBUF_BUSY_BIT | BPF_RINGBUF_DISCARD_BIT);
    const u64 into = addr - reinterpret_cast<u64>(hdr + 1);
    if (into <= bytes && size <= bytes - into) return true;
  }
  return false;
}

void ringbuf_recover_record(const Window& w, u32 ring_index, u64 pos) noexcept {
  if (ring_index >= MAX_RINGS || (pos & 7) != 0) return;
  const RingDesc* ring = load_acquire(&w.rom->rings[ring_index]);
  if (ring == nullptr || ring->kind != RingKind::Bpf || ring->data_size == 0) return;
  RecordHeader* hdr = header_at(*ring, pos);
  // Header first, position second. A record that takes this one's place is written only once prod_pos has come to pos + data_size
  // (invariant 3), so a position below that, read afterwards, says that the header was still the dead run's.
  u32 len = load_acquire(&hdr->len);
  const u64 ahead = load_acquire(producer_pos(*ring)) - pos;
  if (ahead == 0 || ahead > ring_mask(*ring)) return;
  if ((len & BPF_RINGBUF_BUSY_BIT) != 0) {
    // Pairs with the consumer's acquire load of the header. Fails only against scribblers.
    compare_exchange(&hdr->len, len, (len & ~BPF_RINGBUF_BUSY_BIT) | BPF_RINGBUF_DISCARD_BIT);
  }
  ring_notify_always(w, *ring);
}

long ringbuf_consume(const RingDesc* ring, RingbufSampleFn fn, void* arg, u32 budget) noexcept {
  u64 cons = load_relaxed(consumer_pos(*ring));
  long samples = 0;
  for (bool more = true; more && budget > 0; --budget) {
    const u64 prod = load_acquire(producer_pos(*ring));  // pairs with the release store in reserve()
    if (prod == cons) break;
    const u64 left = prod - cons;
    // Pairs with the exchange in commit(): the record's bytes are seen.
    const u32 len = (cons & 7) == 0 ? load_acquire(&header_at(*ring, cons)->len) : 0;
    const bool sane = (cons & 7) == 0 && left <= ring->data_size && record_space(len) <= left;
    if (!sane) {
      store_release(consumer_pos(*ring), round_up(prod, 8));
      return -EBADMSG;
    }
    if ((len & BPF_RINGBUF_BUSY_BIT) != 0) break;
    if ((len & BPF_RINGBUF_DISCARD_BIT) == 0) {
      more = fn(arg, header_at(*ring, cons) + 1, len);
      ++samples;
    }
    cons += record_space(len);
    store_release(consumer_pos(*ring), cons);  // pairs with the acquire load in reserve()
  }
  return samples;
}

}  // namespace skep
