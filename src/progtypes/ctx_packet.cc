// progtypes: contexts of packet programs that are no __sk_buff: XDP, SK_LOOKUP, SK_REUSEPORT, SK_MSG, NETFILTER.
#include "progtypes/ctx_table.h"

namespace skep {
namespace {

// Linux: filter.c:xdp_is_valid_access(). Writes are for offloaded programs only, of which skep has none.
#define XDP(member) SKEP_UAPI(xdp_md, member)
#define BUFF(member) SKEP_KERN(XdpBuff, member)
constexpr CtxField XDP_FIELDS[] = {
    word(XDP(data)).unsigned_only().as(PTR_TO_PACKET).is(at(BUFF(data))),
    word(XDP(data_end)).unsigned_only().as(PTR_TO_PACKET_END).is(at(BUFF(data_end))),
    word(XDP(data_meta)).unsigned_only().as(PTR_TO_PACKET_META).is(at(BUFF(data_meta))),
    word(XDP(ingress_ifindex)).is(via(BUFF(rxq), SKEP_KERN(XdpRxqInfo, dev), SKEP_KERN(NetDevice, ifindex))),
    word(XDP(rx_queue_index)).is(via(BUFF(rxq), SKEP_KERN(XdpRxqInfo, queue_index))),
    word(XDP(egress_ifindex)).only_for(for_attach(BPF_XDP_DEVMAP))
        .is(via(BUFF(txq), SKEP_KERN(XdpTxqInfo, dev), SKEP_KERN(NetDevice, ifindex))),
};

/// Two bytes of zero beside the port.
void convert_zero_padding(CtxEmitter& e, const CtxConv&) {
  e.alu32(BPF_MOV, e.insn.dst_reg, 0);
  e.target_size = 2;
}

// Linux: filter.c:sk_lookup_is_valid_access(). The port was declared as four bytes once: reading four still is allowed.
#define LOOKUP(member) SKEP_UAPI(bpf_sk_lookup, member)
#define KLOOKUP(member) SKEP_KERN(SkLookupKern, member)
constexpr CtxField SK_LOOKUP_FIELDS[] = {
    dword(LOOKUP(sk)).as(PTR_TO_SOCKET_OR_NULL).is(at(KLOOKUP(selected_sk))),
    narrow(LOOKUP(family)).is(at(KLOOKUP(family))),
    narrow(LOOKUP(protocol)).is(at(KLOOKUP(protocol))),
    narrow(LOOKUP(remote_ip4)).is(at(KLOOKUP(v4.saddr))),
    narrow(LOOKUP(remote_ip6)).is(via(KLOOKUP(v6.saddr), SKEP_KERN(In6Addr, s6_addr32[0])).or_null()),
    field(LOOKUP(remote_port)).reads(4).is(at(KLOOKUP(sport))),
    field(LOOKUP(remote_port)).reads(1 | 2, 2).is(at(KLOOKUP(sport))),
    field(LOOKUP(pad)).reads(1 | 2, 2).is(by(convert_zero_padding)),
    narrow(LOOKUP(local_ip4)).is(at(KLOOKUP(v4.daddr))),
    narrow(LOOKUP(local_ip6)).is(via(KLOOKUP(v6.daddr), SKEP_KERN(In6Addr, s6_addr32[0])).or_null()),
    narrow(LOOKUP(local_port)).is(at(KLOOKUP(dport))),
    narrow(LOOKUP(ingress_ifindex)).is(at(KLOOKUP(ingress_ifindex))),
};

// Linux: filter.c:sk_reuseport_is_valid_access()
#define REUSE(member) SKEP_UAPI(sk_reuseport_md, member)
#define KREUSE(member) SKEP_KERN(SkReuseportKern, member)
constexpr CtxField SK_REUSEPORT_FIELDS[] = {
    dword(REUSE(data)).as(PTR_TO_PACKET).is(via(KREUSE(skb), SKEP_KERN(SkBuff, data))),
    dword(REUSE(data_end)).as(PTR_TO_PACKET_END).is(at(KREUSE(data_end))),
    narrow(REUSE(len)).is(via(KREUSE(skb), SKEP_KERN(SkBuff, len))),
    field(REUSE(eth_protocol)).reads(2 | 4, 4).is(via(KREUSE(skb), SKEP_KERN(SkBuff, protocol))),
    narrow(REUSE(ip_protocol)).is(via(KREUSE(sk), SKEP_KERN(Sock, sk_protocol))),
    narrow(REUSE(bind_inany)).is(at(KREUSE(bind_inany))),
    word(REUSE(hash)).is(at(KREUSE(hash))),
    dword(REUSE(sk)).as(PTR_TO_SOCKET).is(at(KREUSE(sk))),
    dword(REUSE(migrating_sk)).as(PTR_TO_SOCK_COMMON_OR_NULL).is(at(KREUSE(migrating_sk))),
};

// Linux: filter.c:sk_msg_is_valid_access()
#define MSG(member) SKEP_UAPI(sk_msg_md, member)
#define KMSG(member) SKEP_KERN(SkMsg, member)
#define COMMON(member) SKEP_KERN(SockCommon, member)
constexpr CtxField SK_MSG_FIELDS[] = {
    dword(MSG(data)).as(PTR_TO_PACKET).is(at(KMSG(data))),
    dword(MSG(data_end)).as(PTR_TO_PACKET_END).is(at(KMSG(data_end))),
    word(MSG(family)).is(via(KMSG(sk), COMMON(skc_family))),
    word(MSG(remote_ip4)).is(via(KMSG(sk), COMMON(skc_daddr))),
    word(MSG(local_ip4)).is(via(KMSG(sk), COMMON(skc_rcv_saddr))),
    word(MSG(remote_ip6)).is(via(KMSG(sk), COMMON(skc_v6_daddr.s6_addr32[0]))),
    word(MSG(local_ip6)).is(via(KMSG(sk), COMMON(skc_v6_rcv_saddr.s6_addr32[0]))),
    word(MSG(remote_port)).is(via(KMSG(sk), COMMON(skc_dport)).as_port()),
    word(MSG(local_port)).is(via(KMSG(sk), COMMON(skc_num))),
    word(MSG(size)).is(at(KMSG(sg_size))),
    dword(MSG(sk)).as(PTR_TO_SOCKET).is(at(KMSG(sk))),
};

// Linux: nf_bpf_link.c:nf_is_valid_access()
constexpr u32 TRUSTED = u32{PTR_TO_BTF_ID} | PTR_TRUSTED;
constexpr CtxField NETFILTER_FIELDS[] = {
    dword(SKEP_UAPI(bpf_nf_ctx, state)).as_btf(TRUSTED, "nf_hook_state"),
    dword(SKEP_UAPI(bpf_nf_ctx, skb)).as_btf(TRUSTED, "sk_buff"),
};

}  // namespace

CtxKind xdp_ctx() { return {sizeof(xdp_md), true, XDP_FIELDS}; }
CtxKind sk_lookup_ctx() { return {sizeof(bpf_sk_lookup), true, SK_LOOKUP_FIELDS}; }
CtxKind sk_reuseport_ctx() { return {sizeof(sk_reuseport_md), true, SK_REUSEPORT_FIELDS}; }
CtxKind sk_msg_ctx() { return {sizeof(sk_msg_md), true, SK_MSG_FIELDS}; }
CtxKind netfilter_ctx() { return {sizeof(bpf_nf_ctx), false, NETFILTER_FIELDS}; }

}  // namespace skep
