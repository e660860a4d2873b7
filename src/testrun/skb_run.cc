// testrun: skb programs: a packet as it would arrive on the loopback device. Linux: net/bpf/test_run.c:bpf_prog_test_run_skb()
#include "testrun/job.h"

namespace skep {
namespace {

// Sizes and numbers of x86-64. Linux: include/linux/skbuff.h, if_ether.h, netdevice.h, if_packet.h
constexpr u32 NET_SKB_PAD = 64;
constexpr u32 GSO_LEGACY_MAX_SIZE = 65536, GSO_MAX_SEGS = 65535;
constexpr u16 ETH_P_802_3_MIN = 0x0600, ETH_P_802_3 = 0x0001, ETH_P_802_2 = 0x0004, ETH_P_IP = 0x0800, ETH_P_IPV6 = 0x86dd;
constexpr u8 PACKET_MULTICAST = 2, PACKET_OTHERHOST = 3;
constexpr u32 IPV4_HLEN = 20, IPV6_HLEN = 40;
constexpr u8 TCP_CLOSE = 7;
constexpr u16 AF_INET = 2, AF_INET6 = 10;
constexpr int EBADMSG_ = 74;

constexpr u16 htons(u16 v) noexcept { return __builtin_bswap16(v); }

bool is_l2(u32 type) noexcept { return type == BPF_PROG_TYPE_SCHED_CLS || type == BPF_PROG_TYPE_SCHED_ACT; }
bool sees_packet(u32 type) noexcept {
  return is_l2(type) || type == BPF_PROG_TYPE_LWT_IN || type == BPF_PROG_TYPE_LWT_OUT || type == BPF_PROG_TYPE_LWT_XMIT;
}

void push(SkBuff& skb, u32 n) noexcept {
  skb.data -= n;
  skb.len += n;
}
void pull(SkBuff& skb, u32 n) noexcept {
  skb.data += n;
  skb.len -= n;
}
u16 place(const SkBuff& skb) noexcept { return static_cast<u16>(skb.data - skb.head); }

void build(Job& job) noexcept {
  PacketSkb& skb = job.kernel.skb;
  job.kernel.dev.ifindex = LOOPBACK_IFINDEX;
  job.kernel.sk.sk_common.skc_state = TCP_CLOSE;
  job.kernel.sk.sk_common.skc_rx_queue_mapping = NO_QUEUE_MAPPING;
  skb.sk = &job.kernel.sk;
  skb.dev = &job.kernel.dev;
  skb.head = job.mem.packet;
  skb.end = PAGE_SIZE - SKB_SHARED_INFO_ROOM;
  skb.data = skb.head + NET_SKB_PAD;
  skb.len = job.attr.data_size_in;
  skb.tail = NET_SKB_PAD + skb.len;
  skb.transport_header = 0xffff;
}

/// The loopback device has the address 0:0:0:0:0:0 and no broadcast address. Linux: net/ethernet/eth.c:eth_type_trans()
u16 eth_type_trans(SkBuff& skb) noexcept {
  skb.mac_header = place(skb);
  const u8* eth = skb.data;
  pull(skb, ETH_HLEN);
  if (!range_is_zero(eth, 0, ETH_ALEN)) skb.pkt_type = (eth[0] & 1) != 0 ? PACKET_MULTICAST : PACKET_OTHERHOST;
  u16 type;
  copy_bytes(&type, eth + 2 * ETH_ALEN, sizeof type);
  if (htons(type) >= ETH_P_802_3_MIN) return type;
  // A length: Novell's packets begin with two bytes of ones.
  return htons(skb.len >= 2 && skb.data[0] == 0xff && skb.data[1] == 0xff ? ETH_P_802_3 : ETH_P_802_2);
}

/// The socket has the packet's addresses.
long fill_socket(const SkBuff& skb, Sock& sk) noexcept {
  SockCommon& common = sk.sk_common;
  if (skb.protocol == htons(ETH_P_IP)) {
    if (skb.len < IPV4_HLEN) return -EINVAL;
    common.skc_family = AF_INET;
    copy_bytes(&common.skc_rcv_saddr, skb.data + 12, 4);
    copy_bytes(&common.skc_daddr, skb.data + 16, 4);
  } else if (skb.protocol == htons(ETH_P_IPV6)) {
    if (skb.len < IPV6_HLEN) return -EINVAL;
    common.skc_family = AF_INET6;
    copy_bytes(&common.skc_v6_rcv_saddr, skb.data + 8, 16);
    copy_bytes(&common.skc_v6_daddr, skb.data + 24, 16);
  }
  return 0;
}

#define AFTER(field) (offsetof(__sk_buff, field) + sizeof(__sk_buff::field))

/// Linux: test_run.c:convert___skb_to_skb()
long take_ctx(const __sk_buff& ctx, PacketSkb& skb) noexcept {
  const struct {
    u64 from, to;
  } unused[] = {{0, offsetof(__sk_buff, mark)},
                {AFTER(mark), offsetof(__sk_buff, priority)},
                {AFTER(ifindex), offsetof(__sk_buff, cb)},
                {AFTER(cb), offsetof(__sk_buff, tstamp)},
                {AFTER(gso_segs), offsetof(__sk_buff, gso_size)},
                {AFTER(gso_size), offsetof(__sk_buff, hwtstamp)}};
  for (const auto& gap : unused)
    if (!range_is_zero(&ctx, gap.from, gap.to)) return -EINVAL;
  auto& cb = reinterpret_cast<QdiscSkbCb&>(skb.cb);
  skb.mark = ctx.mark;
  skb.priority = ctx.priority;
  skb.skb_iif = ctx.ingress_ifindex;
  skb.tstamp = ctx.tstamp;
  copy_bytes(cb.data, ctx.cb, sizeof cb.data);
  if (ctx.wire_len != 0 && (ctx.wire_len < skb.len || ctx.wire_len > GSO_LEGACY_MAX_SIZE)) return -EINVAL;
  cb.pkt_len = ctx.wire_len == 0 ? skb.len : ctx.wire_len;
  if (ctx.gso_segs > GSO_MAX_SEGS) return -EINVAL;
  SkbSharedInfo& info = skb_shared_info(skb);
  info.gso_segs = static_cast<u16>(ctx.gso_segs);
  info.gso_size = static_cast<u16>(ctx.gso_size);
  info.hwtstamps = ctx.hwtstamp;
  return 0;
}

/// Linux: test_run.c:convert_skb_to___skb()
void give_ctx(const PacketSkb& skb, __sk_buff& ctx) noexcept {
  const auto& cb = reinterpret_cast<const QdiscSkbCb&>(skb.cb);
  const SkbSharedInfo& info = skb_shared_info(skb);
  ctx.mark = skb.mark;
  ctx.priority = skb.priority;
  ctx.ingress_ifindex = skb.skb_iif;
  ctx.ifindex = skb.dev->ifindex;
  ctx.tstamp = skb.tstamp;
  copy_bytes(ctx.cb, cb.data, sizeof cb.data);
  ctx.wire_len = cb.pkt_len;
  ctx.gso_segs = info.gso_segs;
  ctx.hwtstamp = info.hwtstamps;
}

/// Of all from the network header on.
u32 network_csum(const SkBuff& skb) noexcept {
  return csum_partial(skb.head + skb.network_header, skb.tail - skb.network_header, 0);
}

/// The packet, its socket and what the caller says of it, ready to be run on.
long prepare(Job& job, bool has_ctx) noexcept {
  PacketSkb& skb = job.kernel.skb;
  const u32 type = job.plan.prog->type;
  build(job);
  if (has_ctx && job.kernel.user.skb.ifindex > LOOPBACK_IFINDEX) return -ENODEV;
  skb.protocol = eth_type_trans(skb);
  skb.network_header = place(skb);
  if (const long err = fill_socket(skb, job.kernel.sk); err != 0) return err;
  if (is_l2(type)) push(skb, ETH_HLEN);
  if (sees_packet(type)) skb_compute_data_pointers(skb);
  if (has_ctx)
    if (const long err = take_ctx(job.kernel.user.skb, skb); err != 0) return err;
  if ((job.attr.flags & BPF_F_TEST_SKB_CHECKSUM_COMPLETE) != 0) {
    skb.csum = network_csum(skb);
    skb.ip_summed = CHECKSUM_COMPLETE;
  }
  return 0;
}

}  // namespace

long test_run_skb(Job& job) noexcept {
  const bpf_test_run_attr& attr = job.attr;
  PacketSkb& skb = job.kernel.skb;
  if ((attr.flags & ~BPF_F_TEST_SKB_CHECKSUM_COMPLETE) != 0 || attr.cpu != 0 || attr.batch_size != 0) return -EINVAL;
  if (attr.data_size_in < ETH_HLEN) return -EINVAL;
  if (const long err = job.copy_packet(attr.data_size_in, NET_SKB_PAD, SKB_SHARED_INFO_ROOM); err != 0) return err;
  bool has_ctx = false;
  if (const long err = job.copy_ctx(&job.kernel.user.skb, sizeof(__sk_buff), &has_ctx); err != 0) return err;
  if (const long err = prepare(job, has_ctx); err != 0) return err;
  job.set_ctx(&skb, sizeof(PacketSkb), PacketKind::Skb);
  u32 retval = 0, duration = 0;
  if (const long err = job.run(&retval, &duration); err != 0) return err;
  if (!is_l2(job.plan.prog->type)) {
    push(skb, ETH_HLEN);
    zero_bytes(skb.data, ETH_HLEN);
  }
  if ((attr.flags & BPF_F_TEST_SKB_CHECKSUM_COMPLETE) != 0 && csum_fold(skb.csum) != csum_fold(network_csum(skb))) return -EBADMSG_;
  if (has_ctx) give_ctx(skb, job.kernel.user.skb);
  if (const long err = job.finish(skb.data, skb.len, nullptr, 0, retval, duration); err != 0) return err;
  return job.finish_ctx(has_ctx, &job.kernel.user.skb, sizeof(__sk_buff));
}

}  // namespace skep
