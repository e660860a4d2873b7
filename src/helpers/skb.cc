// helpers: packets of skb programs. Linux: net/core/filter.c
//
// DIFFERS: skbs here are linear and never shared, so "make writable" never copies.
#include <cerrno>

#include "helpers/helper_list.h"
#include "helpers/packet.h"

namespace skep {
namespace {

constexpr u64 RECOMPUTE_CSUM = 1, INVALIDATE_HASH = 2;  // BPF_F_*
constexpr u64 HDR_START_MAC = 0, HDR_START_NET = 1;
constexpr u64 HDR_FIELD_MASK = 15, PSEUDO_HDR = 16, MARK_MANGLED_0 = 32, MARK_ENFORCE = 64, CSUM_IPV6 = 128;
constexpr s32 SKF_NET_OFF = -0x100000, SKF_LL_OFF = -0x200000;

u64 ret(long value) noexcept { return static_cast<u64>(value); }
u8* as_mem(u64 arg) noexcept { return reinterpret_cast<u8*>(arg); }

/// Linux: filter.c:bpf_try_make_writable()
bool make_writable(SkBuff& skb, u64 len) noexcept {
  const bool there = len <= skb.len;
  skb_compute_data_pointers(skb);
  return there;
}

u64 failed_load(u64 to, u64 len) noexcept {
  zero_bytes(as_mem(to), len);
  return ret(-EFAULT);
}

void change_csum(PacketSkb& skb, u32 diff, u32 offset) noexcept {
  if (skb.ip_summed == CHECKSUM_COMPLETE) skb.csum = csum_block_add(skb.csum, diff, offset);
}

/// Negative offsets count from the network or the link header. False: neither.
bool load_start(const PacketSkb& skb, s32 offset, s64* start) noexcept {
  const s64 data = skb.data - skb.head;
  if (offset >= 0)
    *start = offset;
  else if (offset >= SKF_NET_OFF)
    *start = s64{offset} - SKF_NET_OFF + skb.network_header - data;
  else if (offset >= SKF_LL_OFF && skb_mac_header_was_set(skb))
    *start = s64{offset} - SKF_LL_OFF + skb.mac_header - data;
  else
    return false;
  return true;
}

/// Linux: filter.c:bpf_skb_load_helper_8() and its like. In host order; what lies before the packet's data may be read too.
u64 load_abs(RunCtx& run, u64 offset, u32 size) noexcept {
  const PacketSkb& skb = packet_skb(run);
  s64 start;
  if (!load_start(skb, static_cast<s32>(offset), &start)) return ret(-EFAULT);
  if (start < -(skb.data - skb.head) || start + size > static_cast<s64>(skb_headlen(skb))) return ret(-EFAULT);
  u64 value = 0;
  for (u32 i = 0; i < size; ++i) value = value << 8 | skb.data[start + i];
  return value;
}

// Checksums in packets. Linux: include/net/checksum.h, net/core/utils.c
u16 load16(const u8* p) noexcept {
  u16 v;
  copy_bytes(&v, p, sizeof v);
  return v;
}
void store16(u8* p, u16 v) noexcept { copy_bytes(p, &v, sizeof v); }

void replace_by_diff(u8* sum, u32 diff) noexcept { store16(sum, csum_fold(csum_add(diff, ~u32{load16(sum)}))); }
void replace4(u8* sum, u32 from, u32 to) noexcept { store16(sum, csum_fold(csum_add(csum_add(~u32{load16(sum)}, ~from), to))); }
constexpr u16 csum16_add(u16 a, u16 b) noexcept {
  const u32 sum = u32{a} + b;
  return static_cast<u16>(sum + (sum >> 16));
}
void replace2(u8* sum, u16 from, u16 to) noexcept {
  const u16 without = csum16_add(static_cast<u16>(~load16(sum)), static_cast<u16>(~from));
  store16(sum, static_cast<u16>(~csum16_add(without, to)));
}

/// Linux: net/core/utils.c:inet_proto_csum_replace4()
void proto_replace(u8* sum, PacketSkb& skb, u32 from, u32 to, bool pseudo) noexcept {
  replace4(sum, from, to);
  if (skb.ip_summed == CHECKSUM_COMPLETE && pseudo) skb.csum = ~csum_add(csum_add(~skb.csum, ~from), to);
}

/// Linux: net/core/utils.c:inet_proto_csum_replace_by_diff()
void proto_replace_by_diff(u8* sum, PacketSkb& skb, u32 diff, bool pseudo, bool ipv6) noexcept {
  replace_by_diff(sum, diff);
  if (skb.ip_summed == CHECKSUM_COMPLETE && pseudo && !ipv6) skb.csum = ~csum_add(diff, ~skb.csum);
}

/// The place of a checksum in the packet; null: it cannot be written.
u8* csum_place(PacketSkb& skb, u64 offset) noexcept {
  if (static_cast<u32>(offset) > 0xffff || (offset & 1) != 0 || !make_writable(skb, static_cast<u32>(offset) + u64{2}))
    return nullptr;
  return skb.data + static_cast<u32>(offset);
}

/// Any number does that is the same for all packets of a flow; Linux's depends on a secret of each boot.
u32 flow_hash(const PacketSkb& skb) noexcept {
  const u8* at = skb.head + skb.network_header;
  const u8* end = skb_tail(skb);
  u64 hash = skb.protocol;
  const auto mix = [&hash](const u8* p, u64 n) {
    for (u64 i = 0; i < n; ++i) hash = (hash ^ p[i]) * 0x100000001b3ULL;
  };
  const bool ipv4 = skb.protocol == 0x0008 && end - at >= 20, ipv6 = skb.protocol == 0xdd86 && end - at >= 40;
  if (ipv4) {
    mix(at + 9, 1);
    mix(at + 12, 8);
    const u64 ports = (at[0] & 15u) * 4u;
    if ((at[9] == 6 || at[9] == 17) && static_cast<u64>(end - at) >= ports + 4) mix(at + ports, 4);
  } else if (ipv6) {
    mix(at + 6, 1);
    mix(at + 8, 32);
    if ((at[6] == 6 || at[6] == 17) && end - at >= 44) mix(at + 40, 4);
  }
  const u32 folded = static_cast<u32>(hash ^ hash >> 32);
  return folded != 0 ? folded : 1;
}

void clear_hash(PacketSkb& skb) noexcept {
  skb.hash = 0;
  skb.hash_is_set = false;
}

}  // namespace

u64 skb_load_helper_8(RunCtx& run, u64, u64 offset, u64, u64, u64) noexcept { return load_abs(run, offset, 1); }
u64 skb_load_helper_16(RunCtx& run, u64, u64 offset, u64, u64, u64) noexcept { return load_abs(run, offset, 2); }
u64 skb_load_helper_32(RunCtx& run, u64, u64 offset, u64, u64, u64) noexcept { return load_abs(run, offset, 4); }

u64 bpf_skb_load_bytes(RunCtx& run, u64, u64 offset, u64 to, u64 len, u64) noexcept {
  // A flow dissector that is run on bare bytes has no skb. Linux: filter.c:bpf_flow_dissector_load_bytes()
  if (run.packet != PacketKind::Skb) return failed_load(to, len);
  const PacketSkb& skb = packet_skb(run);
  const u64 from = static_cast<u32>(offset);
  if (from > 0x7fffffff || from + len > skb_headlen(skb)) return failed_load(to, len);
  copy_bytes(as_mem(to), skb.data + from, len);
  return 0;
}

u64 bpf_skb_load_bytes_relative(RunCtx& run, u64, u64 offset, u64 to, u64 len, u64 start_header) noexcept {
  const PacketSkb& skb = packet_skb(run);
  const u32 from = static_cast<u32>(offset), header = static_cast<u32>(start_header);
  if (from > 0xffff || header > HDR_START_NET) return failed_load(to, len);
  if (header == HDR_START_MAC && !skb_mac_header_was_set(skb)) return failed_load(to, len);
  const u64 start = u64{header == HDR_START_MAC ? skb.mac_header : skb.network_header} + from;
  if (start + len > skb.tail) return failed_load(to, len);
  copy_bytes(as_mem(to), skb.head + start, len);
  return 0;
}

u64 bpf_skb_store_bytes(RunCtx& run, u64, u64 offset, u64 from, u64 len, u64 flags) noexcept {
  PacketSkb& skb = packet_skb(run);
  const u32 at = static_cast<u32>(offset);
  if ((flags & ~(RECOMPUTE_CSUM | INVALIDATE_HASH)) != 0) return ret(-EINVAL);
  if (at > 0x7fffffff || !make_writable(skb, at + len)) return ret(-EFAULT);
  u8* to = skb.data + at;
  if ((flags & RECOMPUTE_CSUM) != 0) change_csum(skb, ~csum_partial(to, len, 0), at);
  copy_bytes(to, as_mem(from), len);
  if ((flags & RECOMPUTE_CSUM) != 0) change_csum(skb, csum_partial(to, len, 0), at);
  if ((flags & INVALIDATE_HASH) != 0) clear_hash(skb);
  return 0;
}

u64 bpf_skb_pull_data(RunCtx& run, u64, u64 len, u64, u64, u64) noexcept {
  return make_writable(packet_skb(run), static_cast<u32>(len)) ? 0 : ret(-ENOMEM);
}

u64 bpf_csum_diff(RunCtx&, u64 from, u64 from_size, u64 to, u64 to_size, u64 seed) noexcept {
  constexpr u64 SCRATCH = 512;  // Linux: struct bpf_scratchpad
  if (((from_size | to_size) & 3) != 0 || from_size + to_size > SCRATCH) return ret(-EINVAL);
  u8 diff[SCRATCH];
  for (u64 i = 0; i < from_size; ++i) diff[i] = static_cast<u8>(~as_mem(from)[i]);
  if (to_size != 0) copy_bytes(diff + from_size, as_mem(to), to_size);
  return csum_partial(diff, from_size + to_size, static_cast<u32>(seed));
}

u64 bpf_csum_update(RunCtx& run, u64, u64 csum, u64, u64, u64) noexcept {
  PacketSkb& skb = packet_skb(run);
  if (skb.ip_summed != CHECKSUM_COMPLETE) return ret(-524 /* ENOTSUPP */);
  return skb.csum = csum_add(skb.csum, static_cast<u32>(csum));
}

u64 bpf_l3_csum_replace(RunCtx& run, u64, u64 offset, u64 from, u64 to, u64 flags) noexcept {
  if ((flags & ~HDR_FIELD_MASK) != 0) return ret(-EINVAL);
  u8* sum = csum_place(packet_skb(run), offset);
  if (sum == nullptr) return ret(-EFAULT);
  switch (flags) {
    case 0:
      if (from != 0) return ret(-EINVAL);
      replace_by_diff(sum, static_cast<u32>(to));
      return 0;
    case 2:
      replace2(sum, static_cast<u16>(from), static_cast<u16>(to));
      return 0;
    case 4:
      replace4(sum, static_cast<u32>(from), static_cast<u32>(to));
      return 0;
    default:
      return ret(-EINVAL);
  }
}

u64 bpf_l4_csum_replace(RunCtx& run, u64, u64 offset, u64 from, u64 to, u64 flags) noexcept {
  if ((flags & ~(MARK_MANGLED_0 | MARK_ENFORCE | PSEUDO_HDR | HDR_FIELD_MASK | CSUM_IPV6)) != 0) return ret(-EINVAL);
  PacketSkb& skb = packet_skb(run);
  u8* sum = csum_place(skb, offset);
  if (sum == nullptr) return ret(-EFAULT);
  const bool pseudo = (flags & PSEUDO_HDR) != 0, keep_zero = (flags & MARK_MANGLED_0) != 0;
  if (keep_zero && (flags & MARK_ENFORCE) == 0 && load16(sum) == 0) return 0;
  switch (flags & HDR_FIELD_MASK) {
    case 0:
      if (from != 0) return ret(-EINVAL);
      proto_replace_by_diff(sum, skb, static_cast<u32>(to), pseudo, (flags & CSUM_IPV6) != 0);
      break;
    case 2:
      proto_replace(sum, skb, static_cast<u16>(from), static_cast<u16>(to), pseudo);
      break;
    case 4:
      proto_replace(sum, skb, static_cast<u32>(from), static_cast<u32>(to), pseudo);
      break;
    default:
      return ret(-EINVAL);
  }
  if (keep_zero && load16(sum) == 0) store16(sum, 0xffff);
  return 0;
}

u64 bpf_get_hash_recalc(RunCtx& run, u64, u64, u64, u64, u64) noexcept {
  PacketSkb& skb = packet_skb(run);
  if (!skb.hash_is_set) {
    skb.hash = flow_hash(skb);
    skb.hash_is_set = true;
  }
  return skb.hash;
}

u64 bpf_set_hash_invalid(RunCtx& run, u64, u64, u64, u64, u64) noexcept {
  clear_hash(packet_skb(run));
  return 0;
}

u64 bpf_set_hash(RunCtx& run, u64, u64 hash, u64, u64, u64) noexcept {
  packet_skb(run).hash = static_cast<u32>(hash);
  packet_skb(run).hash_is_set = true;
  return 0;
}

/// No process here is in a cgroup of the net_cls kind.
u64 bpf_get_cgroup_classid(RunCtx&, u64, u64, u64, u64, u64) noexcept { return 0; }

}  // namespace skep
