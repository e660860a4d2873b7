// progtypes: what really lies behind r1 of a converted program: our layouts of the kernel's structures. convert_ctx_access() turns
// accesses of the uapi contexts into accesses of these; whoever runs a program of such a type fills them. Offsets are ours, the
// shape (what is a field, what lies behind which pointer) is Linux's, since `bpftool prog dump xlated` shows it. Linux:
// include/linux/skbuff.h, include/net/sock.h, include/net/xdp.h, include/linux/filter.h
//
//   SkBuff --dev--> NetDevice         XdpBuff --rxq--> XdpRxqInfo --dev--> NetDevice
//     |  \--sk----> Sock (SockCommon first; TcpSock, XdpSock begin with one)
//     \--head + end--> SkbSharedInfo (just behind the packet's room)
#pragma once
#include "uapi/contexts.h"

namespace skep {

static_assert(sizeof(void*) == 8);

/// sizeof(struct task_struct) in our own vmlinux BTF (kbtf/kernel/task.h).
constexpr u32 TASK_STRUCT_BYTES = 5568;

struct NetDevice {
  u32 ifindex;
};

struct In6Addr {
  u32 s6_addr32[4];
};

/// What every kind of socket has, request and time-wait sockets too. Addresses and dport in network order. Linux: struct
/// sock_common
struct SockCommon {
  u32 skc_daddr, skc_rcv_saddr;
  u16 skc_dport, skc_num;
  u16 skc_family;
  u8 skc_state, skc_reuse;
  u16 skc_rx_queue_mapping;  ///< NO_QUEUE_MAPPING: none
  u32 skc_bound_dev_if;
  In6Addr skc_v6_daddr, skc_v6_rcv_saddr;
};

constexpr u16 NO_QUEUE_MAPPING = 0xffff;

struct Sock {
  SockCommon sk_common;
  u16 sk_type, sk_protocol;
  u32 sk_priority, sk_mark, sk_txhash;
};

/// With the fields of Linux's inet_connection_sock that programs see.
struct TcpSock {
  Sock sk;
  u8 icsk_retransmits;
  u8 ecn_flags;
  u8 bpf_sock_ops_cb_flags;
  u32 snd_cwnd, srtt_us;
  u32 rtt_min;  ///< Linux: tcp_sock.rtt_min.s[0].v
  u32 snd_ssthresh, rcv_nxt, snd_nxt, snd_una, mss_cache, rate_delivered, rate_interval_us, packets_out, retrans_out, total_retrans,
      segs_in, data_segs_in, segs_out, data_segs_out, lost_out, sacked_out, dsack_dups, delivered, delivered_ce;
  u64 bytes_received, bytes_acked;
};

struct XdpSock {
  Sock sk;
  NetDevice* dev;
  u16 queue_id;
};

/// Behind the packet's room, at head + end. Linux: struct skb_shared_info
struct SkbSharedInfo {
  u8 flags, meta_len, nr_frags, tx_flags;
  u16 gso_size, gso_segs;
  u64 hwtstamps;
  u32 gso_type, xdp_frags_size;
};

// The readings of SkBuff::cb.
struct QdiscSkbCb {
  u32 pkt_len;
  u16 slave_dev_queue_mapping, tc_classid;
  u8 data[20];  ///< __sk_buff.cb
};
struct BpfSkbDataEnd {
  QdiscSkbCb qdisc_cb;
  u8* data_meta;
  u8* data_end;
};
struct SkSkbCb {
  u8 data[20];  ///< __sk_buff.cb of SK_SKB programs
  u8 pad[4];
  u32 strp_full_len, strp_offset;
  u64 temp_reg;  ///< one register of the program while data_end is computed
};
struct TcpSkbCb {
  u32 seq, end_seq, tcp_gso;
  u8 tcp_flags, sacked;
};

struct SkBuff {
  NetDevice* dev;  ///< not null for SCHED_CLS and SCHED_ACT
  Sock* sk;        ///< not null for CGROUP_SKB and SK_SKB
  u64 tstamp;
  u8 cb[48];
  u32 len, data_len;  ///< of the whole packet; of what is not in [data, tail)
  u16 mac_len, queue_mapping;
  u8 cloned;    ///< bits: SKB_CLONED_MASK
  u8 pkt_type;  ///< bits: SKB_PKT_TYPE_MAX
  u8 mono_tc;   ///< bits: SKB_TSTAMP_TYPE_MASK, TC_AT_INGRESS_MASK
  u8 ip_summed;
  u32 priority, skb_iif, hash;
  union {
    u32 vlan_all;
    struct {
      u16 vlan_proto, vlan_tci;
    };
  };
  u32 napi_id, mark;
  u16 protocol, tc_index;
  u16 transport_header, network_header, mac_header;
  u32 tail, end;  ///< distances from head
  u8* head;
  u8* data;
};
static_assert(offsetof(SkBuff, cb) % 8 == 0 && offsetof(QdiscSkbCb, data) % 8 == 0, "8-byte accesses of cb[] are allowed");
static_assert(sizeof(BpfSkbDataEnd) <= sizeof(SkBuff::cb) && sizeof(SkSkbCb) <= sizeof(SkBuff::cb));
constexpr s32 SKB_CLONED_MASK = 1, SKB_PKT_TYPE_MAX = 7, SKB_TSTAMP_TYPE_MASK = 3, TC_AT_INGRESS_MASK = 4;
/// Smaller ones are not NAPI ids but CPU numbers: NR_CPUS + 1 of the pinned kernel's configuration.
constexpr s32 MIN_NAPI_ID = 8193;

struct XdpRxqInfo {
  NetDevice* dev;
  u32 queue_index;
};
struct XdpTxqInfo {
  NetDevice* dev;
};
/// rxq with its device is there always, txq for programs of attach type XDP_DEVMAP.
struct XdpBuff {
  u8* data;
  u8* data_end;
  u8* data_meta;
  u8* data_hard_start;
  XdpRxqInfo* rxq;
  XdpTxqInfo* txq;
  u32 frame_sz, flags;
};

/// r1 of FLOW_DISSECTOR programs. Linux: struct bpf_flow_dissector
struct FlowDissectorKern {
  bpf_flow_keys* flow_keys;
  const SkBuff* skb;
  const u8* data;
  const u8* data_end;
};

/// Linux: struct bpf_sk_lookup_kern
struct SkLookupKern {
  u16 family, protocol;
  u16 sport;  ///< network order
  u16 dport;  ///< host order
  struct {
    u32 saddr, daddr;
  } v4;
  struct {
    const In6Addr* saddr;
    const In6Addr* daddr;
  } v6;
  Sock* selected_sk;
  u32 ingress_ifindex;
  bool no_reuseport;
};

/// Linux: struct sk_reuseport_kern
struct SkReuseportKern {
  SkBuff* skb;
  Sock* sk;
  Sock* selected_sk;
  Sock* migrating_sk;
  u8* data_end;
  u32 hash, reuseport_id;
  u8 bind_inany;
};

/// Linux: struct sk_msg
struct SkMsg {
  u32 sg_size;  ///< bytes of the whole message
  u8* data;
  u8* data_end;
  Sock* sk;
};

/// Linux: struct bpf_sock_ops_kern
struct SockOpsKern {
  Sock* sk;
  union {
    u32 args[4], reply, replylong[4];
  };
  SkBuff* syn_skb;
  SkBuff* skb;
  u8* skb_data_end;
  u8 op, is_fullsock, remaining_opt_len;
  u64 temp;  ///< one register of the program while a field is fetched
};

// What uaddr of SockAddrKern points to; the head is the same in both.
struct SockaddrIn {
  u16 sin_family, sin_port;
  u32 sin_addr;
};
struct SockaddrIn6 {
  u16 sin6_family, sin6_port;
  u32 sin6_flowinfo;
  In6Addr sin6_addr;
  u32 sin6_scope_id;
};

/// Linux: struct bpf_sock_addr_kern
struct SockAddrKern {
  Sock* sk;
  void* uaddr;
  u64 tmp_reg;  ///< one register of the program while a field is stored
  void* t_ctx;  ///< UDP4_SENDMSG: a u32, UDP6_SENDMSG: an In6Addr: the source address
  u32 uaddrlen;
};

/// Linux: struct bpf_sysctl_kern
struct SysctlKern {
  s32 write;
  s64* ppos;
  u64 tmp_reg;
};

// A hook's result so far lies with the task. Linux: struct bpf_cg_run_ctx, task_struct.bpf_ctx
struct CgRunCtx {
  s32 retval;
};
struct TaskCtx {
  CgRunCtx* bpf_ctx;
};
/// Linux: struct bpf_sockopt_kern
struct SockoptKern {
  Sock* sk;
  u8* optval;
  u8* optval_end;
  s32 level, optname, optlen;
  TaskCtx* current_task;
  u64 tmp_reg;
};

struct PerfSampleData {
  u64 period, addr;
};
/// r1 of PERF_EVENT programs. Linux: struct bpf_perf_event_data_kern
struct PerfEventDataKern {
  PtRegs* regs;
  PerfSampleData* data;
};

}  // namespace skep
