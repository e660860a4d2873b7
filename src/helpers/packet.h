// helpers: packets of a run: the kernel's structures that converted programs see (progtypes/kernel_ctx.h), with what only helpers look
// at. Freestanding: also compiled into the agent.
//
//   head ... headroom ... [metadata] data ... packet ... tail ... tailroom ... end: SkbSharedInfo
#pragma once
#include "base/bytes.h"
#include "helpers/run_ctx.h"
#include "progtypes/kernel_ctx.h"

namespace skep {

constexpr u32 ETH_HLEN = 14, ETH_ALEN = 6;
constexpr u8 CHECKSUM_NONE = 0, CHECKSUM_COMPLETE = 2;
constexpr u32 SIZEOF_XDP_FRAME = 40;        ///< Linux: struct xdp_frame, at data_hard_start once a frame goes on
constexpr u32 SKB_SHARED_INFO_ROOM = 320;   ///< Linux: SKB_DATA_ALIGN(sizeof(struct skb_shared_info)), x86-64
constexpr u32 XDP_FLAGS_HAS_FRAGS = 1;      ///< Linux: XDP_FLAGS_HAS_FRAGS, in XdpBuff::flags
constexpr u32 XDP_META_MAX = 255;           ///< Linux: include/net/xdp.h:xdp_metalen_invalid()
constexpr u32 MAX_SKB_FRAGS = 17;

/// r1 of skb programs points to one. Linear: data_len is 0.
struct PacketSkb : SkBuff {
  u32 csum;          ///< of the packet from data on, where ip_summed is CHECKSUM_COMPLETE
  bool hash_is_set;  ///< Linux: l4_hash or sw_hash
};

/// r1 of XDP programs points to one. What does not fit the first page lies, page by page, in `frags`.
struct PacketXdp : XdpBuff {
  u8* frags;
};

inline PacketSkb& packet_skb(const RunCtx& run) noexcept { return *reinterpret_cast<PacketSkb*>(run.ctx); }
inline PacketXdp& packet_xdp(const RunCtx& run) noexcept { return *reinterpret_cast<PacketXdp*>(run.ctx); }

inline SkbSharedInfo& skb_shared_info(const SkBuff& skb) noexcept { return *reinterpret_cast<SkbSharedInfo*>(skb.head + skb.end); }
inline u32 skb_headlen(const SkBuff& skb) noexcept { return skb.len - skb.data_len; }
inline u8* skb_tail(const SkBuff& skb) noexcept { return skb.head + skb.tail; }
inline bool skb_mac_header_was_set(const SkBuff& skb) noexcept { return skb.mac_header != 0xffff; }

inline u8* xdp_hard_end(const XdpBuff& xdp) noexcept { return xdp.data_hard_start + xdp.frame_sz - SKB_SHARED_INFO_ROOM; }
inline SkbSharedInfo& xdp_shared_info(const XdpBuff& xdp) noexcept { return *reinterpret_cast<SkbSharedInfo*>(xdp_hard_end(xdp)); }
inline bool xdp_has_frags(const XdpBuff& xdp) noexcept { return (xdp.flags & XDP_FLAGS_HAS_FRAGS) != 0; }
/// Linux: include/net/xdp.h:xdp_get_buff_len()
inline u32 xdp_buff_len(const XdpBuff& xdp) noexcept {
  return static_cast<u32>(xdp.data_end - xdp.data) + (xdp_has_frags(xdp) ? xdp_shared_info(xdp).xdp_frags_size : 0);
}
/// Linux: include/net/xdp.h:xdp_metalen_invalid()
constexpr bool xdp_metalen_invalid(u64 len) noexcept { return len % 4 != 0 || len > XDP_META_MAX; }

/// Where direct accesses end and begin, in the skb's control block. Linux: include/linux/filter.h:bpf_compute_data_pointers()
inline void skb_compute_data_pointers(SkBuff& skb) noexcept {
  auto* cb = reinterpret_cast<BpfSkbDataEnd*>(skb.cb);
  cb->data_meta = skb.data - skb_shared_info(skb).meta_len;
  cb->data_end = skb.data + skb_headlen(skb);
}

/// One's complement sum of the bytes, added to `sum`. Linux: lib/checksum: csum_partial()
inline u32 csum_partial(const void* bytes, u64 len, u32 sum) noexcept {
  const u8* p = static_cast<const u8*>(bytes);
  u64 total = sum;
  for (; len >= 4; len -= 4, p += 4) {
    u32 word;
    copy_bytes(&word, p, 4);
    total += word;
  }
  if (len > 0) {
    u32 word = 0;
    copy_bytes(&word, p, len);
    total += word;
  }
  total = (total & 0xffffffff) + (total >> 32);
  total = (total & 0xffffffff) + (total >> 32);
  return static_cast<u32>(total);
}
constexpr u32 csum_add(u32 a, u32 b) noexcept {
  const u32 sum = a + b;
  return sum + (sum < b ? 1 : 0);
}
/// A sum of bytes that begin at an odd place counts with its bytes swapped. Linux: include/net/checksum.h:csum_block_add()
constexpr u32 csum_block_add(u32 a, u32 b, u32 offset) noexcept { return csum_add(a, (offset & 1) != 0 ? b >> 8 | b << 24 : b); }
constexpr u16 csum_fold(u32 sum) noexcept {
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<u16>(~sum);
}

}  // namespace skep
