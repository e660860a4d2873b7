// kbtf: what programs get in r1: the uapi's structs (uapi/contexts.h has the same for skep itself), and the kernel's behind them.
// Linux: include/uapi/linux/bpf.h, include/linux/{filter,perf_event,bpf-cgroup}.h
#pragma once
#include "kbtf/kernel/net.h"

/// A pointer that takes 64 bits on every machine. Linux: __bpf_md_ptr()
#define MD_PTR(type, name) \
  union {                  \
    type name;             \
    __u64 : 64;            \
  } __attribute__((aligned(8)))

struct bpf_flow_keys {
  __u16 nhoff, thoff, addr_proto;
  __u8 is_frag, is_first_frag, is_encap, ip_proto;
  __be16 n_proto, sport, dport;
  union {
    struct {
      __be32 ipv4_src, ipv4_dst;
    };
    struct {
      __u32 ipv6_src[4], ipv6_dst[4];
    };
  };
  __u32 flags;
  __be32 flow_label;
} KEEP(bpf_flow_keys);
struct bpf_sock {
  __u32 bound_dev_if, family, type, protocol, mark, priority, src_ip4, src_ip6[4], src_port;
  __be16 dst_port;
  __u16 : 16;
  __u32 dst_ip4, dst_ip6[4], state;
  __s32 rx_queue_mapping;
} KEEP(bpf_sock);
struct bpf_tcp_sock {
  __u32 snd_cwnd, srtt_us, rtt_min, snd_ssthresh, rcv_nxt, snd_nxt, snd_una, mss_cache, ecn_flags, rate_delivered, rate_interval_us,
      packets_out, retrans_out, total_retrans, segs_in, data_segs_in, segs_out, data_segs_out, lost_out, sacked_out;
  __u64 bytes_received, bytes_acked;
  __u32 dsack_dups, delivered, delivered_ce, icsk_retransmits;
} KEEP(bpf_tcp_sock);
struct __sk_buff {
  __u32 len, pkt_type, mark, queue_mapping, protocol, vlan_present, vlan_tci, vlan_proto, priority, ingress_ifindex, ifindex,
      tc_index;
  __u32 cb[5];
  __u32 hash, tc_classid, data, data_end, napi_id, family, remote_ip4, local_ip4, remote_ip6[4], local_ip6[4], remote_port,
      local_port;
  __u32 data_meta;
  MD_PTR(struct bpf_flow_keys *, flow_keys);
  __u64 tstamp;
  __u32 wire_len, gso_segs;
  MD_PTR(struct bpf_sock *, sk);
  __u32 gso_size;
  __u8 tstamp_type;
  __u32 : 24;
  __u64 hwtstamp;
} KEEP(__sk_buff);
struct xdp_md {
  __u32 data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex;
} KEEP(xdp_md);
struct sk_msg_md {
  MD_PTR(void *, data);
  MD_PTR(void *, data_end);
  __u32 family, remote_ip4, local_ip4, remote_ip6[4], local_ip6[4], remote_port, local_port, size;
  MD_PTR(struct bpf_sock *, sk);
} KEEP(sk_msg_md);
struct sk_reuseport_md {
  MD_PTR(void *, data);
  MD_PTR(void *, data_end);
  __u32 len, eth_protocol, ip_protocol, bind_inany, hash;
  MD_PTR(struct bpf_sock *, sk);
  MD_PTR(struct bpf_sock *, migrating_sk);
} KEEP(sk_reuseport_md);
struct bpf_sock_addr {
  __u32 user_family, user_ip4, user_ip6[4], user_port, family, type, protocol, msg_src_ip4, msg_src_ip6[4];
  MD_PTR(struct bpf_sock *, sk);
} KEEP(bpf_sock_addr);
struct bpf_sock_ops {
  __u32 op;
  union {
    __u32 args[4], reply, replylong[4];
  };
  __u32 family, remote_ip4, local_ip4, remote_ip6[4], local_ip6[4], remote_port, local_port, is_fullsock, snd_cwnd, srtt_us,
      bpf_sock_ops_cb_flags, state, rtt_min, snd_ssthresh, rcv_nxt, snd_nxt, snd_una, mss_cache, ecn_flags, rate_delivered,
      rate_interval_us, packets_out, retrans_out, total_retrans, segs_in, data_segs_in, segs_out, data_segs_out, lost_out,
      sacked_out, sk_txhash;
  __u64 bytes_received, bytes_acked;
  MD_PTR(struct bpf_sock *, sk);
  MD_PTR(void *, skb_data);
  MD_PTR(void *, skb_data_end);
  __u32 skb_len, skb_tcp_flags;
  __u64 skb_hwtstamp;
} KEEP(bpf_sock_ops);
struct bpf_cgroup_dev_ctx {
  __u32 access_type, major, minor;
} KEEP(bpf_cgroup_dev_ctx);
struct bpf_sysctl {
  __u32 write, file_pos;
} KEEP(bpf_sysctl);
struct bpf_sockopt {
  MD_PTR(struct bpf_sock *, sk);
  MD_PTR(void *, optval);
  MD_PTR(void *, optval_end);
  __s32 level, optname, optlen, retval;
} KEEP(bpf_sockopt);
struct bpf_sk_lookup {
  union {
    MD_PTR(struct bpf_sock *, sk);
    __u64 cookie;
  };
  __u32 family, protocol, remote_ip4, remote_ip6[4];
  __be16 remote_port;
  __u16 : 16;
  __u32 local_ip4, local_ip6[4], local_port, ingress_ifindex;
} KEEP(bpf_sk_lookup);
struct bpf_perf_event_data {
  struct pt_regs regs;
  __u64 sample_period, addr;
} KEEP(bpf_perf_event_data);
struct bpf_perf_event_value {
  __u64 counter, enabled, running;
} KEEP(bpf_perf_event_value);
struct bpf_raw_tracepoint_args {
  __u64 args[0];
} KEEP(bpf_raw_tracepoint_args);
struct bpf_pidns_info {
  __u32 pid, tgid;
} KEEP(bpf_pidns_info);

// The kernel's own.
struct bpf_nf_ctx {
  const struct nf_hook_state *state;
  struct sk_buff *skb;
} KEEP(bpf_nf_ctx);
struct bpf_flow_dissector {
  struct bpf_flow_keys *flow_keys;
  const struct sk_buff *skb;
  const void *data, *data_end;
} KEEP(bpf_flow_dissector);
struct bpf_sk_lookup_kern {
  u16 family, protocol;
  __be16 sport;
  u16 dport;
  struct {
    __be32 saddr, daddr;
  } v4;
  struct {
    const struct in6_addr *saddr, *daddr;
  } v6;
  struct sock *selected_sk;
  u32 ingress_ifindex;
  bool no_reuseport;
} KEEP(bpf_sk_lookup_kern);
struct sk_reuseport_kern {
  struct sk_buff *skb;
  struct sock *sk, *selected_sk, *migrating_sk;
  void *data_end;
  u32 hash, reuseport_id;
  bool bind_inany;
} KEEP(sk_reuseport_kern);
struct sk_msg {
  u32 sg_size;
  void *data, *data_end;
  struct sock *sk;
  u32 apply_bytes, cork_bytes, flags;
  struct sk_buff *skb;
  struct sock *sk_redir;
} KEEP(sk_msg);
struct bpf_sock_ops_kern {
  struct sock *sk;
  union {
    u32 args[4], reply, replylong[4];
  };
  struct sk_buff *syn_skb, *skb;
  void *skb_data_end;
  u8 op, is_fullsock, remaining_opt_len;
  u64 temp;
} KEEP(bpf_sock_ops_kern);
struct bpf_sock_addr_kern {
  struct sock *sk;
  struct sockaddr *uaddr;
  u64 tmp_reg;
  void *t_ctx;
  u32 uaddrlen;
} KEEP(bpf_sock_addr_kern);
struct bpf_sysctl_kern {
  int write;
  loff_t *ppos;
  u64 tmp_reg;
} KEEP(bpf_sysctl_kern);
struct bpf_sockopt_kern {
  struct sock *sk;
  u8 *optval, *optval_end;
  s32 level, optname, optlen;
  struct task_struct *current_task;
  u64 tmp_reg;
} KEEP(bpf_sockopt_kern);
struct perf_sample_data {
  u64 period, addr;
  u64 sample_flags, time, id, stream_id;
} KEEP(perf_sample_data);
struct perf_event {
  struct list_head event_entry, sibling_list;
  int nr_siblings;
  struct perf_event *group_leader;
  unsigned int attach_state;
  u64 total_time_enabled, total_time_running;
  int oncpu, cpu;
  struct task_struct *owner;
  struct pid_namespace *ns;
  u64 id;
  struct bpf_prog *prog;
  u64 bpf_cookie;
} KEEP(perf_event);
struct bpf_perf_event_data_kern {
  struct pt_regs *regs;
  struct perf_sample_data *data;
  struct perf_event *event;
} KEEP(bpf_perf_event_data_kern);
