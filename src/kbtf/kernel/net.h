// kbtf: packets and sockets. The heads of sk_buff, sock_common, xdp_buff and their like are laid out as progtypes/kernel_ctx.h has
// them, held together by a test. Linux: include/linux/{skbuff,netdevice,tcp,udp,net,filter}.h, include/net/*.h
#pragma once
#include "kbtf/kernel/bpf.h"

struct ack_sample;
struct net;
struct proto;
struct rate_sample;
struct socket;
struct sk_buff;
struct sock;
union tcp_cc_info;

struct in_addr {
  __be32 s_addr;
} KEEP(in_addr);
struct sockaddr {
  sa_family_t sa_family;
  char sa_data[14];
} KEEP(sockaddr);
struct sockaddr_in {
  sa_family_t sin_family;
  __be16 sin_port;
  struct in_addr sin_addr;
  unsigned char __pad[8];
} KEEP(sockaddr_in);
struct sockaddr_in6 {
  unsigned short sin6_family;
  __be16 sin6_port;
  __be32 sin6_flowinfo;
  struct in6_addr sin6_addr;
  __u32 sin6_scope_id;
} KEEP(sockaddr_in6);

typedef struct {
  struct net *net;
} possible_net_t;

struct dev_ifalias {
  struct callback_head rcuhead;
  char ifalias[0];
} KEEP(dev_ifalias);
struct net_device {
  int ifindex;
  unsigned int flags;
  char name[16];
  unsigned int mtu;
  unsigned short type, hard_header_len;
  unsigned char addr_len;
  unsigned char perm_addr[32];
  const unsigned char *dev_addr;
  possible_net_t nd_net;
  netdev_features_t features;
  unsigned int num_rx_queues, real_num_rx_queues, num_tx_queues, real_num_tx_queues;
  struct bpf_prog __rcu *xdp_prog;
  struct dev_ifalias __rcu *ifalias;
} KEEP(net_device);
struct inet_timewait_death_row {
  refcount_t tw_refcount;
  struct inet_hashinfo *hashinfo;
  int sysctl_max_tw_buckets;
} KEEP(inet_timewait_death_row);
struct netns_ipv4 {
  struct inet_timewait_death_row tcp_death_row;
  struct udp_table *udp_table;
} KEEP(netns_ipv4);
OPAQUE(inet_hashinfo);
OPAQUE(udp_table);
struct net {
  refcount_t passive;
  TO(16, 12);
  int ifindex;
  TO(88, 68);
  struct user_namespace *user_ns;
  TO(128, 32);
  struct ns_common ns;
  TO(328, 176);
  u32 hash_mix;
  struct net_device *loopback_dev;
  TO(704, 360);
  struct netns_ipv4 ipv4;
  TO(4096, 3360);
  atomic64_t net_cookie;
} KEEP(net);
struct proto {
  char name[32];
} KEEP(proto);

struct sock_common {
  union {
    __addrpair skc_addrpair;
    struct {
      __be32 skc_daddr, skc_rcv_saddr;
    };
  };
  union {
    __portpair skc_portpair;
    struct {
      __be16 skc_dport;
      __u16 skc_num;
    };
  };
  unsigned short skc_family;
  volatile unsigned char skc_state;
  unsigned char skc_reuse : 4, skc_reuseport : 1, skc_ipv6only : 1, skc_net_refcnt : 1;
  unsigned short skc_rx_queue_mapping;
  int skc_bound_dev_if;
  struct in6_addr skc_v6_daddr, skc_v6_rcv_saddr;
  unsigned int skc_hash;
  refcount_t skc_refcnt;
  struct proto *skc_prot;
  possible_net_t skc_net;
  atomic64_t skc_cookie;
  unsigned long skc_flags;
  unsigned short skc_tx_queue_mapping;
  int skc_incoming_cpu;
} KEEP(sock_common);
struct sock_cgroup_data {
  struct cgroup *cgroup;
} KEEP(sock_cgroup_data);
struct sk_buff_head {
  struct sk_buff *next, *prev;
  __u32 qlen;
} KEEP(sk_buff_head);

struct sock {
  struct sock_common __sk_common;
  u16 sk_type, sk_protocol;
  u32 sk_priority, sk_mark, sk_txhash;
  int sk_rcvlowat, sk_err, sk_err_soft, sk_sndbuf, sk_rcvbuf, sk_forward_alloc, sk_wmem_queued;
  struct socket *sk_socket;
  struct sk_buff_head sk_receive_queue, sk_write_queue;
  struct {
    atomic_t rmem_alloc;
    int len;
    struct sk_buff *head, *tail;
  } sk_backlog;
  atomic_t sk_drops;
  struct timer_list sk_timer;
  refcount_t sk_wmem_alloc;
  u32 sk_pacing_status;
  unsigned long sk_pacing_rate, sk_max_pacing_rate;
  kuid_t sk_uid;
  u8 sk_gso_disabled : 1, sk_kern_sock : 1, sk_no_check_tx : 1, sk_no_check_rx : 1;
  u8 sk_shutdown, sk_pacing_shift;
  u16 sk_gso_type, sk_gso_max_segs;
  u32 sk_ack_backlog, sk_max_ack_backlog;
  struct pid *sk_peer_pid;
  const struct cred *sk_peer_cred;
  void *sk_user_data, *sk_security;
  struct sock_cgroup_data sk_cgrp_data;
  struct bpf_local_storage __rcu *sk_bpf_storage;
} KEEP(sock);

typedef enum { SS_FREE, SS_UNCONNECTED, SS_CONNECTING, SS_CONNECTED, SS_DISCONNECTING } socket_state;
struct proto_ops {
  int family;
} KEEP(proto_ops);
struct socket {
  socket_state state;
  short type;
  unsigned long flags;
  struct file *file;
  struct sock *sk;
  const struct proto_ops *ops;
} KEEP(socket);
struct socket_alloc {
  struct socket socket;
  struct inode vfs_inode;
} KEEP(socket_alloc);
struct msghdr {
  void *msg_name;
  int msg_namelen, msg_inq;
  unsigned int msg_flags;
  size_t msg_controllen;
} KEEP(msghdr);

struct ipv6_pinfo {
  struct in6_addr saddr;
} KEEP(ipv6_pinfo);
struct inet_sock {
  struct sock sk;
  struct ipv6_pinfo *pinet6;
  unsigned long inet_flags;
  __be32 inet_saddr;
  __s16 uc_ttl;
  __be16 inet_sport;
  __u8 tos, min_ttl, mc_ttl, pmtudisc;
} KEEP(inet_sock);
struct request_sock_queue {
  atomic_t qlen, young;
} KEEP(request_sock_queue);
struct inet_connection_sock {
  struct inet_sock icsk_inet;
  struct request_sock_queue icsk_accept_queue;
  unsigned long icsk_timeout;
  struct timer_list icsk_retransmit_timer, icsk_delack_timer;
  __u32 icsk_rto, icsk_rto_min, icsk_delack_max, icsk_pmtu_cookie;
  const struct tcp_congestion_ops *icsk_ca_ops;
  __u8 icsk_ca_state : 5, icsk_ca_initialized : 1, icsk_ca_setsockopt : 1, icsk_ca_dst_locked : 1;
  __u8 icsk_retransmits, icsk_pending, icsk_backoff, icsk_syn_retries, icsk_probes_out;
  __u16 icsk_ext_hdr_len;
  struct {
    __u8 pending, quick, pingpong, retry;
    __u32 ato : 8, lrcv_flowlabel : 20;
    unsigned long timeout;
    __u32 lrcvtime;
    __u16 last_seg_size, rcv_mss;
  } icsk_ack;
  u32 icsk_user_timeout;
  u64 icsk_ca_priv[13];
} KEEP(inet_connection_sock);
struct minmax_sample {
  u32 t, v;
} KEEP(minmax_sample);
struct minmax {
  struct minmax_sample s[3];
} KEEP(minmax);
struct tcp_options_received {
  int ts_recent_stamp;
  u32 ts_recent, rcv_tsval, rcv_tsecr;
  u16 saw_tstamp : 1, tstamp_ok : 1, dsack : 1, wscale_ok : 1, sack_ok : 3, smc_ok : 1, snd_wscale : 4, rcv_wscale : 4;
  u16 user_mss, mss_clamp;
} KEEP(tcp_options_received);
struct tcp_sock {
  struct inet_connection_sock inet_conn;
  u32 max_window, rcv_ssthresh, reordering, notsent_lowat, tsoffset, snd_wnd, mss_cache, snd_cwnd, prr_out, lost_out, sacked_out;
  u16 gso_segs, tcp_header_len;
  u8 scaling_ratio;
  u8 chrono_type : 2, repair : 1, tcp_usec_ts : 1, is_sack_reneg : 1, is_cwnd_limited : 1;
  u32 copied_seq, rcv_tstamp, snd_wl1, tlp_high_seq, rttvar_us, retrans_out;
  u16 advmss, urg_data;
  u32 lost, snd_ssthresh;
  struct minmax rtt_min;
  u32 segs_out, data_segs_out;
  u64 bytes_sent;
  u32 snd_sml, chrono_start, write_seq, pushed_seq, lsndtime, mdev_us, rtt_seq;
  u64 tcp_wstamp_ns, tcp_clock_cache, tcp_mstamp;
  u8 ecn_flags, nonagle;
  u32 rcv_nxt, snd_nxt, snd_una, window_clamp, srtt_us, packets_out, snd_up, delivered, delivered_ce, app_limited, rcv_wnd;
  struct tcp_options_received rx_opt;
  u64 bytes_received;
  u32 segs_in, data_segs_in, rcv_wup, max_packets_out, cwnd_usage_seq, rate_delivered, rate_interval_us, rcv_rtt_last_tsecr;
  u64 first_tx_mstamp, delivered_mstamp, bytes_acked;
  u32 dsack_dups, snd_cwnd_cnt, snd_cwnd_clamp, snd_cwnd_used, snd_cwnd_stamp, prior_cwnd, prr_delivered, prior_ssthresh, high_seq,
      retrans_stamp, undo_marker;
  int undo_retrans;
  u64 bytes_retrans;
  u32 total_retrans;
  u8 keepalive_probes;
  u8 bpf_sock_ops_cb_flags;
  bool is_mptcp;
} KEEP(tcp_sock);
struct tcp6_sock {
  struct tcp_sock tcp;
  struct ipv6_pinfo inet6;
} KEEP(tcp6_sock);
struct mptcp_sock {
  struct inet_connection_sock sk;
  u64 local_key, remote_key, write_seq, snd_nxt, ack_seq;
  u32 token;
  struct sock *first;
  char ca_name[16];
} KEEP(mptcp_sock);
struct udp_sock {
  struct inet_sock inet;
  unsigned long udp_flags;
  int pending;
  __u8 encap_type;
  __u16 len, gso_size;
  struct sk_buff_head reader_queue;
  int forward_deficit, forward_threshold;
} KEEP(udp_sock);
struct udp6_sock {
  struct udp_sock udp;
  struct ipv6_pinfo inet6;
} KEEP(udp6_sock);
struct sockaddr_un {
  sa_family_t sun_family;
  char sun_path[108];
} KEEP(sockaddr_un);
struct unix_address {
  refcount_t refcnt;
  int len;
  struct sockaddr_un name[0];
} KEEP(unix_address);
struct unix_sock {
  struct sock sk;
  struct unix_address *addr;
  struct path path;
  struct sock *peer, *listener;
} KEEP(unix_sock);
struct netlink_sock {
  struct sock sk;
  unsigned long flags;
  u32 portid, dst_portid, dst_group, subscriptions, ngroups;
  unsigned long *groups, state;
  size_t max_recvmsg_len;
  bool bound, cb_running;
  int dump_done_errno;
} KEEP(netlink_sock);
struct xdp_sock {
  struct sock sk;
  struct net_device *dev;
  u16 queue_id;
} KEEP(xdp_sock);
struct request_sock {
  struct sock_common __req_common;
  struct request_sock *dl_next;
  u16 mss;
  u8 num_retrans, syncookie : 1, num_timeout : 7;
  u32 ts_recent;
  struct timer_list rsk_timer;
  struct sock *sk;
  u32 secid, peer_secid, timeout;
} KEEP(request_sock);
struct inet_request_sock {
  struct request_sock req;
  u16 snd_wscale : 4, rcv_wscale : 4, tstamp_ok : 1, sack_ok : 1, wscale_ok : 1, ecn_ok : 1, acked : 1, no_srccheck : 1, smc_ok : 1;
  u32 ir_mark;
} KEEP(inet_request_sock);
struct tcp_request_sock {
  struct inet_request_sock req;
  u64 snt_synack;
  bool tfo_listener, is_mptcp;
  u32 txhash, rcv_isn, snt_isn, ts_off, last_oow_ack_time, rcv_nxt;
  u8 syn_tos;
} KEEP(tcp_request_sock);
struct inet_timewait_sock {
  struct sock_common __tw_common;
  __u32 tw_mark;
  volatile unsigned char tw_substate;
  unsigned char tw_rcv_wscale;
  __be16 tw_sport;
  u32 tw_txhash, tw_priority;
  struct timer_list tw_timer;
} KEEP(inet_timewait_sock);
struct tcp_timewait_sock {
  struct inet_timewait_sock tw_sk;
  u32 tw_rcv_wnd, tw_ts_offset, tw_ts_recent, tw_last_oow_ack_time;
  int tw_ts_recent_stamp;
} KEEP(tcp_timewait_sock);

struct sk_buff {
  struct net_device *dev;
  struct sock *sk;
  union {
    ktime_t tstamp;
    u64 skb_mstamp_ns;
  };
  char cb[48];
  unsigned int len, data_len;
  __u16 mac_len, queue_mapping;
  __u8 cloned : 1;
  __u8 : 0;
  __u8 pkt_type : 3;
  __u8 : 0;
  __u8 tstamp_type : 2, tc_at_ingress : 1;
  __u8 : 0;
  __u8 ip_summed;
  __u32 priority;
  int skb_iif;
  __u32 hash;
  union {
    u32 vlan_all;
    struct {
      __be16 vlan_proto;
      __u16 vlan_tci;
    };
  };
  unsigned int napi_id;
  __u32 mark;
  __be16 protocol;
  __u16 tc_index, transport_header, network_header, mac_header;
  sk_buff_data_t tail, end;
  unsigned char *head, *data;
  struct sk_buff *next, *prev;
  __u16 hdr_len, inner_transport_header, inner_network_header, inner_mac_header;
  __u8 encapsulation : 1, l4_hash : 1, sw_hash : 1;
  __wsum csum;
  unsigned int truesize;
  refcount_t users;
} KEEP(sk_buff);
struct skb_shared_info {
  __u8 flags, meta_len, nr_frags, tx_flags;
  unsigned short gso_size, gso_segs;
  u64 hwtstamps;
  unsigned int gso_type;
  u32 xdp_frags_size;
  struct sk_buff *frag_list;
  u32 tskey;
  atomic_t dataref;
} KEEP(skb_shared_info);

struct xdp_rxq_info {
  struct net_device *dev;
  u32 queue_index, reg_state, frag_size;
} KEEP(xdp_rxq_info);
struct xdp_txq_info {
  struct net_device *dev;
} KEEP(xdp_txq_info);
struct xdp_buff {
  void *data, *data_end, *data_meta, *data_hard_start;
  struct xdp_rxq_info *rxq;
  struct xdp_txq_info *txq;
  u32 frame_sz, flags;
} KEEP(xdp_buff);
struct xdp_frame {
  void *data;
  u32 len, headroom, metasize, frame_sz;
  struct net_device *dev_rx;
} KEEP(xdp_frame);
struct xdp_cpumap_stats {
  unsigned int redirect, pass, drop;
} KEEP(xdp_cpumap_stats);

struct tcp_congestion_ops {
  u32 (*ssthresh)(struct sock *sk);
  void (*cong_avoid)(struct sock *sk, u32 ack, u32 acked);
  void (*set_state)(struct sock *sk, u8 new_state);
  void (*cwnd_event)(struct sock *sk, int ev);
  void (*in_ack_event)(struct sock *sk, u32 flags);
  void (*pkts_acked)(struct sock *sk, const struct ack_sample *sample);
  u32 (*min_tso_segs)(struct sock *sk);
  void (*cong_control)(struct sock *sk, u32 ack, int flag, const struct rate_sample *rs);
  u32 (*undo_cwnd)(struct sock *sk);
  u32 (*sndbuf_expand)(struct sock *sk);
  size_t (*get_info)(struct sock *sk, u32 ext, int *attr, union tcp_cc_info *info);
  char name[16];
  struct module *owner;
  struct list_head list;
  u32 key, flags;
  void (*init)(struct sock *sk);
  void (*release)(struct sock *sk);
} KEEP(tcp_congestion_ops);
struct ack_sample {
  u32 pkts_acked;
  s32 rtt_us;
  u32 in_flight;
} KEEP(ack_sample);
struct rate_sample {
  u64 prior_mstamp;
  u32 prior_delivered, prior_delivered_ce;
  s32 delivered, delivered_ce;
  long interval_us;
  u32 snd_interval_us, rcv_interval_us;
  long rtt_us;
  int losses;
  u32 acked_sacked, prior_in_flight, last_end_seq;
  bool is_app_limited, is_retrans, is_ack_delayed;
} KEEP(rate_sample);

struct fib_nh_common {
  struct net_device *nhc_dev;
  int nhc_oif;
  unsigned char nhc_scope;
  u8 nhc_family, nhc_gw_family;
  unsigned char nhc_flags;
  union {
    __be32 ipv4;
    struct in6_addr ipv6;
  } nhc_gw;
  int nhc_weight;
} KEEP(fib_nh_common);
struct fib6_nh {
  struct fib_nh_common nh_common;
} KEEP(fib6_nh);
struct rt6key {
  struct in6_addr addr;
  int plen;
} KEEP(rt6key);
struct nexthop {
  refcount_t refcnt;
  struct net *net;
  u32 id;
  u8 protocol, nh_flags;
  bool is_group;
} KEEP(nexthop);
struct fib6_info {
  struct fib6_info __rcu *fib6_next;
  unsigned int fib6_nsiblings;
  refcount_t fib6_ref;
  unsigned long expires;
  struct rt6key fib6_dst;
  u32 fib6_flags;
  struct rt6key fib6_src, fib6_prefsrc;
  u32 fib6_metric;
  u8 fib6_protocol, fib6_type, offload, trap, offload_failed;
  u8 should_flush : 1, dst_nocount : 1, dst_nopolicy : 1, fib6_destroying : 1, unused : 4;
  struct nexthop *nh;
  struct fib6_nh fib6_nh[0];
} KEEP(fib6_info);
struct nf_hook_state {
  u8 hook, pf;
  struct net_device *in, *out;
  struct sock *sk;
  struct net *net;
  int (*okfn)(struct net *, struct sock *, struct sk_buff *);
} KEEP(nf_hook_state);
struct bpf_tcp_req_attrs {
  u32 rcv_tsval, rcv_tsecr;
  u16 mss;
  u8 rcv_wscale, snd_wscale, ecn_ok, wscale_ok, sack_ok, tstamp_ok, usec_ts_ok;
  u8 reserved[3];
} KEEP(bpf_tcp_req_attrs);
