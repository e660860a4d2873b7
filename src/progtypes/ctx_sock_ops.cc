// progtypes: bpf_sock_ops. Its socket may be a mere request; then the fields of a full one read as 0 and are not written.
// Linux: filter.c:sock_ops_is_valid_access(), sock_ops_convert_ctx_access()
#include "progtypes/ctx_table.h"

namespace skep {
namespace {

#define UAPI(member) SKEP_UAPI(bpf_sock_ops, member)
#define OPS(member) SKEP_KERN(SockOpsKern, member)
#define COMMON(member) SKEP_KERN(SockCommon, member)

/// What a fetch leaves out when the socket is no full one: the load of the socket and of its field, or only the former.
void fetch_if_fullsock(CtxEmitter& e, KernField f) {
  const u32 dst = e.insn.dst_reg, ctx = e.insn.src_reg, reg = e.spare_reg();
  const bool same = dst == ctx, of_sock = f.size != 0;
  const u32 flag = same ? reg : dst;
  if (same) e.save(ctx, offsetof(SockOpsKern, temp), reg);
  e.load(1, flag, ctx, offsetof(SockOpsKern, is_fullsock));
  e.jump(BPF_JEQ, flag, 0, (of_sock ? 2 : 1) + (same ? 2 : 0));
  if (same) e.load(8, reg, ctx, offsetof(SockOpsKern, temp));
  e.load(8, dst, ctx, offsetof(SockOpsKern, sk));
  if (of_sock) e.load(f.size, dst, dst, f.off);
  if (!same) return;
  e.emit(BPF_JMP | BPF_JA, 0, 0, 2);
  e.load(8, reg, ctx, offsetof(SockOpsKern, temp));
  e.emit(BPF_ALU64 | BPF_MOV | BPF_K, dst, 0, 0);
}

void store_if_fullsock(CtxEmitter& e, KernField f) {
  const u32 ctx = e.insn.dst_reg, reg = e.spare_reg();
  e.save(ctx, offsetof(SockOpsKern, temp), reg);
  e.load(1, reg, ctx, offsetof(SockOpsKern, is_fullsock));
  e.jump(BPF_JEQ, reg, 0, 2);
  e.load(8, reg, ctx, offsetof(SockOpsKern, sk));
  e.store(f.size, reg, f.off);
  e.load(8, reg, ctx, offsetof(SockOpsKern, temp));
}

void convert_full_field(CtxEmitter& e, const CtxConv& c) {
  return e.type == BPF_READ ? fetch_if_fullsock(e, c.field) : store_if_fullsock(e, c.field);
}
void convert_sk(CtxEmitter& e, const CtxConv&) {
  fetch_if_fullsock(e, {});
  e.target_size = 8;
}

void convert_hwtstamp(CtxEmitter& e, const CtxConv& c) {
  const u32 dst = e.insn.dst_reg;
  e.load(8, dst, e.insn.src_reg, offsetof(SockOpsKern, skb));
  e.jump(BPF_JEQ, dst, 0, 4);
  emit_shinfo(e, dst, dst);
  e.load(c.field.size, dst, dst, c.field.off);
}

constexpr CtxConv of_sock(KernField f) { return via(OPS(sk), f); }
constexpr CtxConv of_full(KernField f) { return by(convert_full_field, f); }
#define TCP_FIELD(member) word(UAPI(member)).is(of_full(SKEP_KERN(TcpSock, member)))

constexpr CtxField FIELDS[] = {
    word(UAPI(op)).is(at(OPS(op))),
    field(UAPI(reply)).writes(4).only_at_start().is(at(OPS(reply))),
    word(UAPI(replylong)).is(at({OPS(replylong).off, 4})),
    word(UAPI(family)).is(of_sock(COMMON(skc_family))),
    word(UAPI(remote_ip4)).is(of_sock(COMMON(skc_daddr))),
    word(UAPI(local_ip4)).is(of_sock(COMMON(skc_rcv_saddr))),
    word(UAPI(remote_ip6)).is(of_sock(COMMON(skc_v6_daddr.s6_addr32[0]))),
    word(UAPI(local_ip6)).is(of_sock(COMMON(skc_v6_rcv_saddr.s6_addr32[0]))),
    word(UAPI(remote_port)).is(of_sock(COMMON(skc_dport)).as_port()),
    word(UAPI(local_port)).is(of_sock(COMMON(skc_num))),
    word(UAPI(is_fullsock)).is(at(OPS(is_fullsock))),
    TCP_FIELD(snd_cwnd), TCP_FIELD(srtt_us), TCP_FIELD(bpf_sock_ops_cb_flags),
    word(UAPI(state)).is(of_sock(COMMON(skc_state))),
    TCP_FIELD(rtt_min), TCP_FIELD(snd_ssthresh), TCP_FIELD(rcv_nxt), TCP_FIELD(snd_nxt), TCP_FIELD(snd_una), TCP_FIELD(mss_cache),
    TCP_FIELD(ecn_flags), TCP_FIELD(rate_delivered), TCP_FIELD(rate_interval_us), TCP_FIELD(packets_out), TCP_FIELD(retrans_out),
    TCP_FIELD(total_retrans), TCP_FIELD(segs_in), TCP_FIELD(data_segs_in), TCP_FIELD(segs_out), TCP_FIELD(data_segs_out),
    TCP_FIELD(lost_out), TCP_FIELD(sacked_out),
    word(UAPI(sk_txhash)).writes(4).is(of_full(SKEP_KERN(Sock, sk_txhash))),
    dword(UAPI(bytes_received)).is(of_full(SKEP_KERN(TcpSock, bytes_received))),
    dword(UAPI(bytes_acked)).is(of_full(SKEP_KERN(TcpSock, bytes_acked))),
    dword(UAPI(sk)).as(PTR_TO_SOCKET_OR_NULL).is(by(convert_sk)),
    dword(UAPI(skb_data)).as(PTR_TO_PACKET).is(via(OPS(skb), SKEP_KERN(SkBuff, data)).or_null()),
    dword(UAPI(skb_data_end)).as(PTR_TO_PACKET_END).is(at(OPS(skb_data_end))),
    word(UAPI(skb_len)).is(via(OPS(skb), SKEP_KERN(SkBuff, len)).or_null()),
    narrow(UAPI(skb_tcp_flags)).only_at_start()
        .is(via(OPS(skb), in(SKEP_KERN(SkBuff, cb), SKEP_KERN(TcpSkbCb, tcp_flags))).or_null()),
    dword(UAPI(skb_hwtstamp)).is(by(convert_hwtstamp, SKEP_KERN(SkbSharedInfo, hwtstamps))),
};

}  // namespace

CtxKind sock_ops_ctx() { return {sizeof(bpf_sock_ops), true, FIELDS}; }

}  // namespace skep
