// uapi: what programs get in r1, byte for byte, and the structs that helpers and pointers out of contexts show them. Names and
// layouts of the packet, socket and cgroup contexts are those of include/uapi/linux/bpf.h, pinned at 6.12.
// Linux: arch/x86/include/asm/ptrace.h, kernel/trace/trace_syscalls.c:syscall_tp_t, include/uapi/linux/bpf.h
#pragma once
#include "base/types.h"

namespace skep {

/// Linux: struct pt_regs of x86-64.
struct PtRegs {
  u64 r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di, orig_ax, ip, cs, flags, sp, ss;
};
static_assert(sizeof(PtRegs) == 168);

struct TpEnterRecord {
  u16 common_type;
  u8 common_flags, common_preempt_count;
  s32 common_pid;
  s32 syscall_nr;
  u32 pad;
  u64 args[6];
};
static_assert(sizeof(TpEnterRecord) == 64);

struct TpExitRecord {
  u16 common_type;
  u8 common_flags, common_preempt_count;
  s32 common_pid;
  s32 syscall_nr;
  u32 pad;
  s64 ret;
};
static_assert(sizeof(TpExitRecord) == 24);

/// A pointer member of a uapi context: 64 bits wide on every machine. Linux: __bpf_md_ptr()
using MdPtr = u64;

/// Of SOCKET_FILTER, SCHED_CLS, SCHED_ACT, CGROUP_SKB, LWT_*, SK_SKB and FLOW_DISSECTOR programs.
struct __sk_buff {
  u32 len, pkt_type, mark, queue_mapping, protocol, vlan_present, vlan_tci, vlan_proto, priority, ingress_ifindex, ifindex,
      tc_index;
  u32 cb[5];
  u32 hash, tc_classid, data, data_end, napi_id;
  u32 family, remote_ip4, local_ip4, remote_ip6[4], local_ip6[4], remote_port, local_port;
  u32 data_meta;
  MdPtr flow_keys;
  u64 tstamp;
  u32 wire_len, gso_segs;
  MdPtr sk;
  u32 gso_size;
  u8 tstamp_type;
  u8 pad[3];
  u64 hwtstamp;
};
static_assert(sizeof(__sk_buff) == 192 && offsetof(__sk_buff, sk) == 168 && offsetof(__sk_buff, hwtstamp) == 184);

struct xdp_md {
  u32 data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex;
};
static_assert(sizeof(xdp_md) == 24);

/// Context of CGROUP_SOCK; what PTR_TO_SOCKET and PTR_TO_SOCK_COMMON point to.
struct bpf_sock {
  u32 bound_dev_if, family, type, protocol, mark, priority, src_ip4, src_ip6[4], src_port;
  u16 dst_port, pad;
  u32 dst_ip4, dst_ip6[4], state;
  s32 rx_queue_mapping;
};
static_assert(sizeof(bpf_sock) == 80 && offsetof(bpf_sock, dst_port) == 48);

struct bpf_tcp_sock {
  u32 snd_cwnd, srtt_us, rtt_min, snd_ssthresh, rcv_nxt, snd_nxt, snd_una, mss_cache, ecn_flags, rate_delivered, rate_interval_us,
      packets_out, retrans_out, total_retrans, segs_in, data_segs_in, segs_out, data_segs_out, lost_out, sacked_out;
  u64 bytes_received, bytes_acked;
  u32 dsack_dups, delivered, delivered_ce, icsk_retransmits;
};
static_assert(sizeof(bpf_tcp_sock) == 112 && offsetof(bpf_tcp_sock, bytes_received) == 80);

struct bpf_xdp_sock {
  u32 queue_id;
};

struct sk_msg_md {
  MdPtr data, data_end;
  u32 family, remote_ip4, local_ip4, remote_ip6[4], local_ip6[4], remote_port, local_port, size;
  MdPtr sk;
};
static_assert(sizeof(sk_msg_md) == 80 && offsetof(sk_msg_md, sk) == 72);

struct sk_reuseport_md {
  MdPtr data, data_end;
  u32 len, eth_protocol, ip_protocol, bind_inany, hash;
  MdPtr sk, migrating_sk;
};
static_assert(sizeof(sk_reuseport_md) == 56 && offsetof(sk_reuseport_md, sk) == 40);

struct bpf_sock_addr {
  u32 user_family, user_ip4, user_ip6[4], user_port, family, type, protocol, msg_src_ip4, msg_src_ip6[4];
  MdPtr sk;
};
static_assert(sizeof(bpf_sock_addr) == 72 && offsetof(bpf_sock_addr, sk) == 64);

struct bpf_sock_ops {
  u32 op;
  union {
    u32 args[4], reply, replylong[4];
  };
  u32 family, remote_ip4, local_ip4, remote_ip6[4], local_ip6[4], remote_port, local_port, is_fullsock, snd_cwnd, srtt_us,
      bpf_sock_ops_cb_flags, state, rtt_min, snd_ssthresh, rcv_nxt, snd_nxt, snd_una, mss_cache, ecn_flags, rate_delivered,
      rate_interval_us, packets_out, retrans_out, total_retrans, segs_in, data_segs_in, segs_out, data_segs_out, lost_out,
      sacked_out, sk_txhash;
  u64 bytes_received, bytes_acked;
  MdPtr sk, skb_data, skb_data_end;
  u32 skb_len, skb_tcp_flags;
  u64 skb_hwtstamp;
};
static_assert(sizeof(bpf_sock_ops) == 224 && offsetof(bpf_sock_ops, bytes_received) == 168 &&
              offsetof(bpf_sock_ops, skb_len) == 208);

struct bpf_cgroup_dev_ctx {
  u32 access_type, major, minor;
};
static_assert(sizeof(bpf_cgroup_dev_ctx) == 12);

struct bpf_sysctl {
  u32 write, file_pos;
};
static_assert(sizeof(bpf_sysctl) == 8);

struct bpf_sockopt {
  MdPtr sk, optval, optval_end;
  s32 level, optname, optlen, retval;
};
static_assert(sizeof(bpf_sockopt) == 40);

struct bpf_sk_lookup {
  union {
    MdPtr sk;
    u64 cookie;
  };
  u32 family, protocol, remote_ip4, remote_ip6[4];
  u16 remote_port, pad;
  u32 local_ip4, local_ip6[4], local_port, ingress_ifindex;
};
static_assert(sizeof(bpf_sk_lookup) == 72 && offsetof(bpf_sk_lookup, remote_port) == 36);

/// What PTR_TO_FLOW_KEYS points to.
struct bpf_flow_keys {
  u16 nhoff, thoff, addr_proto;
  u8 is_frag, is_first_frag, is_encap, ip_proto;
  u16 n_proto, sport, dport;
  union {
    struct {
      u32 ipv4_src, ipv4_dst;
    };
    struct {
      u32 ipv6_src[4], ipv6_dst[4];
    };
  };
  u32 flags, flow_label;
};
static_assert(sizeof(bpf_flow_keys) == 56 && offsetof(bpf_flow_keys, flags) == 48);

struct bpf_perf_event_data {
  PtRegs regs;
  u64 sample_period, addr;
};
static_assert(sizeof(bpf_perf_event_data) == 184);

/// Arguments of a raw tracepoint: as many u64 as it has; a program may read MAX_BPF_FUNC_ARGS of them.
struct bpf_raw_tracepoint_args {
  u64 args[12];
};
static_assert(sizeof(bpf_raw_tracepoint_args) == 96);

/// Linux: include/net/netfilter/nf_bpf_link.h
struct bpf_nf_ctx {
  MdPtr state, skb;
};

/// Result of bpf_get_ns_current_pid_tgid().
struct bpf_pidns_info {
  u32 pid, tgid;
};

struct bpf_perf_event_value {
  u64 counter, enabled, running;
};

/// What the sk_lookup helpers take; its size says the family.
struct bpf_sock_tuple {
  union {
    struct {
      u32 saddr, daddr;
      u16 sport, dport;
    } ipv4;
    struct {
      u32 saddr[4], daddr[4];
      u16 sport, dport;
    } ipv6;
  };
};
static_assert(sizeof(bpf_sock_tuple) == 36);

}  // namespace skep
