// progtypes: sockets: bpf_sock as a context and behind pointers, bpf_tcp_sock, bpf_xdp_sock.
// Linux: filter.c:bpf_sock_is_valid_access(), __sock_filter_check_attach_type(), bpf_sock_common_is_valid_access(),
// bpf_tcp_sock_is_valid_access(), bpf_xdp_sock_is_valid_access() and their convert functions
#include "progtypes/ctx_table.h"

namespace skep {
namespace {

#define UAPI(member) SKEP_UAPI(bpf_sock, member)
#define SOCK(member) SKEP_KERN(Sock, member)
#define COMMON(member) SKEP_KERN(Sock, sk_common.member)

constexpr u64 CTX = by_type(BPF_PROG_TYPE_CGROUP_SOCK);
constexpr u64 ANY_SOCK = CTX | BY_SOCKET | BY_SOCK_COMMON;
constexpr u64 FULL_SOCK = CTX | BY_SOCKET;
constexpr u64 CREATE_OR_RELEASE = for_attach(BPF_CGROUP_INET_SOCK_CREATE, BPF_CGROUP_INET_SOCK_RELEASE);
constexpr u64 POST_BIND4 = for_attach(BPF_CGROUP_INET4_POST_BIND);
constexpr u64 POST_BIND6 = for_attach(BPF_CGROUP_INET6_POST_BIND);

/// "No queue" reads as -1.
void convert_rx_queue_mapping(CtxEmitter& e, const CtxConv& c) {
  e.load(2, e.insn.dst_reg, e.insn.src_reg, c.field.off);
  e.jump(BPF_JNE, e.insn.dst_reg, NO_QUEUE_MAPPING, 1);
  e.alu32(BPF_MOV, e.insn.dst_reg, -1);
  e.target_size = 4;
}

/// A socket being made may be set up; behind a pointer the same field is only read.
constexpr CtxField set_up(CtxSpan span) { return word(span).writes(4).read_by(CTX).written_by(CTX).only_for(CREATE_OR_RELEASE); }
constexpr CtxField start_narrow(CtxSpan span) { return narrow(span).only_at_start(); }
constexpr CtxSpan TWO_BYTES_OF_DST_PORT = UAPI(dst_port);

constexpr CtxField FIELDS[] = {
    set_up(UAPI(bound_dev_if)).is(at(COMMON(skc_bound_dev_if))),
    word(UAPI(bound_dev_if)).read_by(BY_SOCKET | BY_SOCK_COMMON).is(at(COMMON(skc_bound_dev_if))),
    start_narrow(UAPI(family)).read_by(ANY_SOCK).is(at(COMMON(skc_family))),
    start_narrow(UAPI(type)).read_by(FULL_SOCK).is(at(SOCK(sk_type))),
    start_narrow(UAPI(protocol)).read_by(FULL_SOCK).is(at(SOCK(sk_protocol))),
    set_up(UAPI(mark)).is(at(SOCK(sk_mark))),
    word(UAPI(mark)).read_by(BY_SOCKET).is(at(SOCK(sk_mark))),
    set_up(UAPI(priority)).is(at(SOCK(sk_priority))),
    word(UAPI(priority)).read_by(BY_SOCKET).is(at(SOCK(sk_priority))),

    narrow(UAPI(src_ip4)).read_by(CTX).only_for(POST_BIND4).is(at(COMMON(skc_rcv_saddr))),
    narrow(UAPI(src_ip4)).read_by(BY_SOCKET | BY_SOCK_COMMON).is(at(COMMON(skc_rcv_saddr))),
    narrow(UAPI(src_ip6)).read_by(CTX).only_for(POST_BIND6).is(at(COMMON(skc_v6_rcv_saddr.s6_addr32[0]))),
    narrow(UAPI(src_ip6)).read_by(BY_SOCKET | BY_SOCK_COMMON).is(at(COMMON(skc_v6_rcv_saddr.s6_addr32[0]))),
    start_narrow(UAPI(src_port)).read_by(CTX).only_for(POST_BIND4 | POST_BIND6).is(at(COMMON(skc_num))),
    start_narrow(UAPI(src_port)).read_by(BY_SOCKET | BY_SOCK_COMMON).is(at(COMMON(skc_num))),
    // Two bytes since 5.17; four, as it once was declared, still may be read at its start.
    field(TWO_BYTES_OF_DST_PORT).reads(1 | 2, 2).read_by(ANY_SOCK).is(at(COMMON(skc_dport))),
    field(TWO_BYTES_OF_DST_PORT).reads(4, 4).only_at_start().read_by(ANY_SOCK).is(at(COMMON(skc_dport))),
    narrow(UAPI(dst_ip4)).read_by(ANY_SOCK).is(at(COMMON(skc_daddr))),
    narrow(UAPI(dst_ip6)).read_by(ANY_SOCK).is(at(COMMON(skc_v6_daddr.s6_addr32[0]))),
    start_narrow(UAPI(state)).read_by(ANY_SOCK).is(at(COMMON(skc_state))),
    start_narrow(UAPI(rx_queue_mapping)).read_by(ANY_SOCK).is(by(convert_rx_queue_mapping, COMMON(skc_rx_queue_mapping))),
};

#define TCP_FIELD(member) word(SKEP_UAPI(bpf_tcp_sock, member)).is(at(SKEP_KERN(TcpSock, member)))
constexpr CtxField TCP_SOCK_FIELDS[] = {
    TCP_FIELD(snd_cwnd), TCP_FIELD(srtt_us), TCP_FIELD(rtt_min), TCP_FIELD(snd_ssthresh), TCP_FIELD(rcv_nxt), TCP_FIELD(snd_nxt),
    TCP_FIELD(snd_una), TCP_FIELD(mss_cache), TCP_FIELD(ecn_flags), TCP_FIELD(rate_delivered), TCP_FIELD(rate_interval_us),
    TCP_FIELD(packets_out), TCP_FIELD(retrans_out), TCP_FIELD(total_retrans), TCP_FIELD(segs_in), TCP_FIELD(data_segs_in),
    TCP_FIELD(segs_out), TCP_FIELD(data_segs_out), TCP_FIELD(lost_out), TCP_FIELD(sacked_out),
    // Linux lets the upper halves of these pass here, and fails to convert them.
    word({84, 88}), word({92, 96}),
    dword(SKEP_UAPI(bpf_tcp_sock, bytes_received)).only_at_start().is(at(SKEP_KERN(TcpSock, bytes_received))),
    dword(SKEP_UAPI(bpf_tcp_sock, bytes_acked)).only_at_start().is(at(SKEP_KERN(TcpSock, bytes_acked))),
    TCP_FIELD(dsack_dups), TCP_FIELD(delivered), TCP_FIELD(delivered_ce), TCP_FIELD(icsk_retransmits),
};

constexpr CtxField XDP_SOCK_FIELDS[] = {
    word(SKEP_UAPI(bpf_xdp_sock, queue_id)).is(at(SKEP_KERN(XdpSock, queue_id))),
};

}  // namespace

CtxKind sock_ctx() { return {sizeof(bpf_sock), true, FIELDS}; }
CtxKind tcp_sock_ctx() { return {sizeof(bpf_tcp_sock), true, TCP_SOCK_FIELDS}; }
CtxKind xdp_sock_ctx() { return {sizeof(bpf_xdp_sock), true, XDP_SOCK_FIELDS}; }

}  // namespace skep
