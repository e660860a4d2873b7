#include "buffers/doorbell.h"

namespace skep {
namespace {

void set_pending(const Window& w, const RingDesc& ring) noexcept {
  // Pairs with the exchange in take_pending(): who takes the bit sees the record.
  fetch_or(&w.ram->ring_pending[ring.index / 64], 1ULL << (ring.index % 64));
}

bool ring_doorbell(const Window& w) noexcept {
  // Pairs with the exchange in doorbell_prepare_wait(): either the host sees the bit, or this load sees the host waiting.
  fetch_add(&w.ram->doorbell, 1u);
  return doorbell_must_wake(w);
}

}  // namespace

bool ring_notify(const Window& w, const RingDesc& ring) noexcept {
  RingCtl* ctl = ring.ctl;
  // Pairs with the load in perf_ring_seq(); the locked increment stands between the record and the load of `armed`.
  fetch_add(&ctl->wake_seq, 1u);
  // Pairs with the exchange in ring_arm().
  if (load_seq_cst(&ctl->armed) == 0) return false;
  set_pending(w, ring);
  if (exchange(&ctl->armed, 0u) == 0) return false;  // another producer came first, and rings
  return ring_doorbell(w);
}

bool ring_notify_always(const Window& w, const RingDesc& ring) noexcept {
  fetch_add(&ring.ctl->wake_seq, 1u);
  set_pending(w, ring);
  exchange(&ring.ctl->armed, 0u);
  return ring_doorbell(w);
}

bool bpf_ring_readable(const RingDesc& ring) noexcept {
  const u64 cons = load_seq_cst(reinterpret_cast<const u64*>(ring.user_page));
  // Pairs with the release store of the producer position in ringbuf_reserve().
  return load_seq_cst(reinterpret_cast<const u64*>(ring.prod_page)) - cons != 0;
}

u32 perf_ring_seq(const RingDesc& ring) noexcept { return load_seq_cst(&ring.ctl->wake_seq); }

bool perf_ring_ready(const RingDesc& ring, u32 seen_seq) noexcept { return perf_ring_seq(ring) != seen_seq; }

u32 doorbell_prepare_wait(const Window& w) noexcept {
  exchange(&w.ram->doorbell_waiting, 1u);  // pairs with the load in doorbell_must_wake()
  return load_seq_cst(&w.ram->doorbell);
}

u64 take_pending(const Window& w, u32 word) noexcept {
  if (word >= PENDING_WORDS || load_seq_cst(&w.ram->ring_pending[word]) == 0) return 0;
  return exchange(&w.ram->ring_pending[word], u64{0});
}

}  // namespace skep
