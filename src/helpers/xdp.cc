// helpers: packets of XDP programs. Linux: net/core/filter.c
#include <cerrno>

#include "helpers/helper_list.h"
#include "helpers/packet.h"

namespace skep {
namespace {

u64 ret(long value) noexcept { return static_cast<u64>(value); }

void move_bytes(u8* to, const u8* from, u64 len) noexcept {
  u8 copy[XDP_META_MAX + 1];
  copy_bytes(copy, from, len);
  copy_bytes(to, copy, len);
}

u32 frag_count(u32 size) noexcept { return static_cast<u32>((size + PAGE_SIZE - 1) / PAGE_SIZE); }

/// Frags are whole pages but for the last, which goes when it is empty. Linux: filter.c:bpf_xdp_frags_shrink_tail()
long shrink_frags(PacketXdp& xdp, u32 by) noexcept {
  if (static_cast<s64>(by) > static_cast<s64>(xdp_buff_len(xdp)) - ETH_HLEN) return -EINVAL;
  SkbSharedInfo& info = xdp_shared_info(xdp);
  const u32 freed = by < info.xdp_frags_size ? by : info.xdp_frags_size;
  info.xdp_frags_size -= freed;
  info.nr_frags = static_cast<u8>(frag_count(info.xdp_frags_size));
  if (info.nr_frags != 0) return 0;
  xdp.flags &= ~XDP_FLAGS_HAS_FRAGS;
  xdp.data_end -= by - freed;
  return 0;
}

/// Linux: filter.c:bpf_xdp_frags_increase_tail()
long grow_frags(PacketXdp& xdp, u32 by) noexcept {
  SkbSharedInfo& info = xdp_shared_info(xdp);
  const u32 room = static_cast<u32>(info.nr_frags * PAGE_SIZE) - info.xdp_frags_size;
  if (by > room) return -EINVAL;
  zero_bytes(xdp.frags + info.xdp_frags_size, by);
  info.xdp_frags_size += by;
  return 0;
}

/// Linux: filter.c:bpf_xdp_pointer()
long check_span(const PacketXdp& xdp, u32 offset, u64 len) noexcept {
  if (offset > 0xffff || len > 0xffff) return -EFAULT;
  return offset + len > xdp_buff_len(xdp) ? -EINVAL : 0;
}

/// Calls f(place, bytes before it, count) for the one or two pieces of the span.
template <typename F>
void each_piece(const PacketXdp& xdp, u32 offset, u64 len, F&& f) noexcept {
  const u64 linear = static_cast<u64>(xdp.data_end - xdp.data);
  const u64 first = offset >= linear ? 0 : len < linear - offset ? len : linear - offset;
  if (first != 0) f(xdp.data + offset, u64{0}, first);
  if (first != len) f(xdp.frags + (offset + first - linear), first, len - first);
}

}  // namespace

u64 bpf_xdp_adjust_head(RunCtx& run, u64, u64 offset, u64, u64, u64) noexcept {
  PacketXdp& xdp = packet_xdp(run);
  const s64 by = static_cast<s32>(offset);
  const s64 meta = xdp.data - xdp.data_meta;
  const s64 at = xdp.data - xdp.data_hard_start + by;
  if (at < s64{SIZEOF_XDP_FRAME} + meta || at > xdp.data_end - xdp.data_hard_start - s64{ETH_HLEN}) return ret(-EINVAL);
  if (meta != 0) move_bytes(xdp.data_meta + by, xdp.data_meta, static_cast<u64>(meta));
  xdp.data_meta += by;
  xdp.data += by;
  return 0;
}

u64 bpf_xdp_adjust_tail(RunCtx& run, u64, u64 offset, u64, u64, u64) noexcept {
  PacketXdp& xdp = packet_xdp(run);
  const s64 by = static_cast<s32>(offset);
  if (xdp_has_frags(xdp)) return ret(by < 0 ? shrink_frags(xdp, static_cast<u32>(-by)) : grow_frags(xdp, static_cast<u32>(by)));
  const s64 end = xdp.data_end - xdp.data_hard_start + by;
  if (end > xdp_hard_end(xdp) - xdp.data_hard_start || end < xdp.data - xdp.data_hard_start + s64{ETH_HLEN}) return ret(-EINVAL);
  if (by > 0) zero_bytes(xdp.data_end, static_cast<u64>(by));
  xdp.data_end += by;
  return 0;
}

u64 bpf_xdp_adjust_meta(RunCtx& run, u64, u64 offset, u64, u64, u64) noexcept {
  PacketXdp& xdp = packet_xdp(run);
  const s64 at = xdp.data_meta - xdp.data_hard_start + static_cast<s32>(offset), data = xdp.data - xdp.data_hard_start;
  if (at < s64{SIZEOF_XDP_FRAME} || at > data) return ret(-EINVAL);
  if (xdp_metalen_invalid(static_cast<u64>(data - at))) return ret(-EACCES);
  xdp.data_meta = xdp.data_hard_start + at;
  return 0;
}

u64 bpf_xdp_get_buff_len(RunCtx& run, u64, u64, u64, u64, u64) noexcept { return xdp_buff_len(packet_xdp(run)); }

u64 bpf_xdp_load_bytes(RunCtx& run, u64, u64 offset, u64 buf, u64 len, u64) noexcept {
  const PacketXdp& xdp = packet_xdp(run);
  if (const long err = check_span(xdp, static_cast<u32>(offset), len); err != 0) return ret(err);
  each_piece(xdp, static_cast<u32>(offset), len,
             [&](const u8* at, u64 done, u64 n) { copy_bytes(reinterpret_cast<u8*>(buf) + done, at, n); });
  return 0;
}

u64 bpf_xdp_store_bytes(RunCtx& run, u64, u64 offset, u64 buf, u64 len, u64) noexcept {
  const PacketXdp& xdp = packet_xdp(run);
  if (const long err = check_span(xdp, static_cast<u32>(offset), len); err != 0) return ret(err);
  each_piece(xdp, static_cast<u32>(offset), len,
             [&](u8* at, u64 done, u64 n) { copy_bytes(at, reinterpret_cast<const u8*>(buf) + done, n); });
  return 0;
}

}  // namespace skep
