// progtypes tests: our structures of the kernel, filled at random, and what the uapi's contexts show of them, written down field by
// field beside the tables of the room.
#pragma once
#include <array>
#include <random>

#include "progtypes/ctx_rewrite_test.h"
#include "progtypes/kernel_ctx.h"

namespace skep::test {

using View = std::vector<u8>;

struct WorldData {
  NetDevice in_dev, out_dev;
  TcpSock tcp;
  SkBuff skb;
  alignas(8) u8 room[256];
  XdpRxqInfo rxq;
  XdpTxqInfo txq;
  XdpBuff xdp;
  bpf_flow_keys flow_keys;
  FlowDissectorKern dissector;
  In6Addr saddr, daddr, source;
  SkLookupKern lookup;
  SkReuseportKern reuse;
  SkMsg msg;
  SockOpsKern ops;
  SockaddrIn6 uaddr;
  SockAddrKern addr;
  s64 file_pos;
  SysctlKern sysctl;
  CgRunCtx run;
  TaskCtx task;
  SockoptKern opt;
  PtRegs pt_regs;
  PerfSampleData sample;
  PerfEventDataKern perf;
};
static_assert(std::is_trivially_copyable_v<WorldData>);

class World {
 public:
  World(std::mt19937& random, u32 round, const CtxCase& c) {
    u8* bytes = reinterpret_cast<u8*>(&d_);
    for (size_t i = 0; i + 4 <= sizeof d_; i += 4) {
      const u32 word = static_cast<u32>(random());
      std::memcpy(bytes + i, &word, 4);
    }
    link();
    const bool tc = c.type == BPF_PROG_TYPE_SCHED_CLS || c.type == BPF_PROG_TYPE_SCHED_ACT;
    if ((round & 1) != 0) {
      if (!tc) d_.skb.dev = nullptr;
      d_.lookup.v6 = {nullptr, nullptr};
      d_.ops.skb = nullptr;
      d_.skb.vlan_all = 0;
    }
    if ((round & 2) != 0) {
      d_.tcp.sk.sk_common.skc_rx_queue_mapping = NO_QUEUE_MAPPING;
      d_.skb.napi_id = 8192;
    }
    d_.ops.is_fullsock = (round & 4) != 0;
  }
  World(const World&) = delete;

  u64 ctx(const CtxCase& c) { return reinterpret_cast<u64>(ctx_pointer(c.type)); }
  View view(const CtxCase& c) const;
  /// What a four-byte field yields that is a pointer; 0: no such field.
  u64 wide_pointer(const CtxCase& c, s32 off) const;
  /// What a store leaves behind in the view.
  void note_store(const CtxCase& c, s32 off, u32 size, u64 value, View* view) const;

  /// A field that lies in fewer bytes than the uapi shows. Linux loads them for each narrow access that is no narrower than they
  /// are, wherever in the field it is.
  struct Small {
    s32 off;
    u32 bytes;
  };
  static std::vector<Small> small_fields(u32 type);

 private:
  void link() {
    d_.skb.dev = &d_.in_dev;
    d_.skb.sk = &d_.tcp.sk;
    d_.skb.head = d_.room;
    d_.skb.end = 128;
    d_.rxq.dev = &d_.in_dev;
    d_.txq.dev = &d_.out_dev;
    d_.xdp.rxq = &d_.rxq;
    d_.xdp.txq = &d_.txq;
    d_.lookup.v6 = {&d_.saddr, &d_.daddr};
    d_.reuse.skb = d_.ops.skb = &d_.skb;
    d_.reuse.sk = d_.msg.sk = d_.ops.sk = d_.addr.sk = &d_.tcp.sk;
    d_.addr.uaddr = &d_.uaddr;
    d_.addr.t_ctx = &d_.source;
    d_.sysctl.ppos = &d_.file_pos;
    d_.task.bpf_ctx = &d_.run;
    d_.opt.current_task = &d_.task;
    d_.perf = {&d_.pt_regs, &d_.sample};
  }
  void* ctx_pointer(u32 type);
  __sk_buff skb_view(u32 type) const;
  bpf_sock_ops ops_view() const;
  bpf_sock sock_view() const;
  const SkbSharedInfo& shinfo() const { return *reinterpret_cast<const SkbSharedInfo*>(d_.skb.head + d_.skb.end); }
  template <typename T>
  T from_cb() const {
    T t;
    std::memcpy(&t, d_.skb.cb, sizeof t);
    return t;
  }
  static u64 address(const void* p) { return reinterpret_cast<u64>(p); }
  static void copy(u32 (&dst)[4], const In6Addr& a) { std::memcpy(dst, a.s6_addr32, 16); }

  WorldData d_;
};

inline void* World::ctx_pointer(u32 type) {
  switch (type) {
    case BPF_PROG_TYPE_XDP:
      return &d_.xdp;
    case BPF_PROG_TYPE_FLOW_DISSECTOR:
      return &d_.dissector;
    case BPF_PROG_TYPE_SK_LOOKUP:
      return &d_.lookup;
    case BPF_PROG_TYPE_SK_REUSEPORT:
      return &d_.reuse;
    case BPF_PROG_TYPE_SK_MSG:
      return &d_.msg;
    case BPF_PROG_TYPE_SOCK_OPS:
      return &d_.ops;
    case BPF_PROG_TYPE_CGROUP_SOCK:
      return &d_.tcp;
    case BPF_PROG_TYPE_CGROUP_SOCK_ADDR:
      return &d_.addr;
    case BPF_PROG_TYPE_CGROUP_SYSCTL:
      return &d_.sysctl;
    case BPF_PROG_TYPE_CGROUP_SOCKOPT:
      return &d_.opt;
    case BPF_PROG_TYPE_PERF_EVENT:
      return &d_.perf;
    default:
      return &d_.skb;
  }
}

inline __sk_buff World::skb_view(u32 type) const {
  const SkBuff& s = d_.skb;
  const SockCommon& sk = s.sk->sk_common;
  const auto qdisc = from_cb<QdiscSkbCb>();
  __sk_buff v{};
  v.len = s.len, v.pkt_type = s.pkt_type & 7, v.mark = s.mark, v.queue_mapping = s.queue_mapping, v.protocol = s.protocol;
  v.vlan_present = s.vlan_all != 0, v.vlan_tci = s.vlan_tci, v.vlan_proto = s.vlan_proto, v.priority = s.priority;
  v.ingress_ifindex = s.skb_iif, v.ifindex = s.dev != nullptr ? s.dev->ifindex : 0, v.tc_index = s.tc_index;
  if (type == BPF_PROG_TYPE_SK_SKB)
    std::memcpy(v.cb, from_cb<SkSkbCb>().data, 20);
  else
    std::memcpy(v.cb, qdisc.data, 20);
  v.hash = s.hash, v.tc_classid = qdisc.tc_classid, v.napi_id = s.napi_id > 8192 ? s.napi_id : 0;
  v.family = sk.skc_family, v.remote_ip4 = sk.skc_daddr, v.local_ip4 = sk.skc_rcv_saddr;
  copy(v.remote_ip6, sk.skc_v6_daddr), copy(v.local_ip6, sk.skc_v6_rcv_saddr);
  v.remote_port = static_cast<u32>(sk.skc_dport) << 16, v.local_port = sk.skc_num;
  v.tstamp_type = s.mono_tc & 3;
  v.tstamp = (s.mono_tc & 4) != 0 && v.tstamp_type != 0 ? 0 : s.tstamp;
  v.wire_len = qdisc.pkt_len, v.sk = address(s.sk);
  v.gso_segs = shinfo().gso_segs, v.gso_size = shinfo().gso_size, v.hwtstamp = shinfo().hwtstamps;
  return v;
}

inline bpf_sock World::sock_view() const {
  const Sock& s = d_.tcp.sk;
  const SockCommon& k = s.sk_common;
  bpf_sock v{};
  v.bound_dev_if = k.skc_bound_dev_if, v.family = k.skc_family, v.type = s.sk_type, v.protocol = s.sk_protocol, v.mark = s.sk_mark;
  v.priority = s.sk_priority, v.src_ip4 = k.skc_rcv_saddr, v.src_port = k.skc_num, v.dst_port = k.skc_dport,
  v.dst_ip4 = k.skc_daddr;
  copy(v.src_ip6, k.skc_v6_rcv_saddr), copy(v.dst_ip6, k.skc_v6_daddr);
  v.state = k.skc_state, v.rx_queue_mapping = k.skc_rx_queue_mapping == 0xffff ? -1 : k.skc_rx_queue_mapping;
  return v;
}

inline bpf_sock_ops World::ops_view() const {
  const TcpSock& t = d_.tcp;
  const SockCommon& k = t.sk.sk_common;
  bpf_sock_ops v{};
  if (d_.ops.is_fullsock != 0) {
    v.snd_cwnd = t.snd_cwnd, v.srtt_us = t.srtt_us, v.bpf_sock_ops_cb_flags = t.bpf_sock_ops_cb_flags, v.rtt_min = t.rtt_min;
    v.snd_ssthresh = t.snd_ssthresh, v.rcv_nxt = t.rcv_nxt, v.snd_nxt = t.snd_nxt, v.snd_una = t.snd_una, v.mss_cache = t.mss_cache;
    v.ecn_flags = t.ecn_flags, v.rate_delivered = t.rate_delivered, v.rate_interval_us = t.rate_interval_us;
    v.packets_out = t.packets_out, v.retrans_out = t.retrans_out, v.total_retrans = t.total_retrans, v.segs_in = t.segs_in;
    v.data_segs_in = t.data_segs_in, v.segs_out = t.segs_out, v.data_segs_out = t.data_segs_out, v.lost_out = t.lost_out;
    v.sacked_out = t.sacked_out, v.sk_txhash = t.sk.sk_txhash, v.bytes_received = t.bytes_received, v.bytes_acked = t.bytes_acked;
    v.sk = address(d_.ops.sk);
  }
  v.op = d_.ops.op, v.family = k.skc_family, v.remote_ip4 = k.skc_daddr, v.local_ip4 = k.skc_rcv_saddr;
  std::memcpy(v.replylong, d_.ops.replylong, 16);
  copy(v.remote_ip6, k.skc_v6_daddr), copy(v.local_ip6, k.skc_v6_rcv_saddr);
  v.remote_port = static_cast<u32>(k.skc_dport) << 16, v.local_port = k.skc_num, v.is_fullsock = d_.ops.is_fullsock;
  v.state = k.skc_state, v.skb_data_end = address(d_.ops.skb_data_end);
  if (d_.ops.skb == nullptr) return v;
  v.skb_data = address(d_.skb.data), v.skb_len = d_.skb.len, v.skb_tcp_flags = from_cb<TcpSkbCb>().tcp_flags;
  v.skb_hwtstamp = shinfo().hwtstamps;
  return v;
}

template <typename T>
View as_bytes(const T& v) {
  const u8* p = reinterpret_cast<const u8*>(&v);
  return View(p, p + sizeof v);
}

inline View World::view(const CtxCase& c) const {
  const SockCommon& k = d_.tcp.sk.sk_common;
  switch (c.type) {
    case BPF_PROG_TYPE_XDP:
      return as_bytes(xdp_md{0, 0, 0, d_.in_dev.ifindex, d_.rxq.queue_index, d_.out_dev.ifindex});
    case BPF_PROG_TYPE_FLOW_DISSECTOR: {
      __sk_buff v{};
      v.flow_keys = address(d_.dissector.flow_keys);
      return as_bytes(v);
    }
    case BPF_PROG_TYPE_SK_LOOKUP: {
      bpf_sk_lookup v{};
      v.sk = address(d_.lookup.selected_sk), v.family = d_.lookup.family, v.protocol = d_.lookup.protocol;
      v.remote_ip4 = d_.lookup.v4.saddr, v.local_ip4 = d_.lookup.v4.daddr, v.remote_port = d_.lookup.sport;
      v.local_port = d_.lookup.dport, v.ingress_ifindex = d_.lookup.ingress_ifindex;
      if (d_.lookup.v6.saddr != nullptr) copy(v.remote_ip6, d_.saddr), copy(v.local_ip6, d_.daddr);
      return as_bytes(v);
    }
    case BPF_PROG_TYPE_SK_REUSEPORT: {
      sk_reuseport_md v{};
      v.data = address(d_.skb.data), v.data_end = address(d_.reuse.data_end), v.len = d_.skb.len, v.eth_protocol = d_.skb.protocol;
      v.ip_protocol = d_.tcp.sk.sk_protocol, v.bind_inany = d_.reuse.bind_inany, v.hash = d_.reuse.hash;
      v.sk = address(d_.reuse.sk), v.migrating_sk = address(d_.reuse.migrating_sk);
      return as_bytes(v);
    }
    case BPF_PROG_TYPE_SK_MSG: {
      sk_msg_md v{};
      v.data = address(d_.msg.data), v.data_end = address(d_.msg.data_end), v.family = k.skc_family, v.remote_ip4 = k.skc_daddr;
      v.local_ip4 = k.skc_rcv_saddr, v.remote_port = static_cast<u32>(k.skc_dport) << 16, v.local_port = k.skc_num;
      copy(v.remote_ip6, k.skc_v6_daddr), copy(v.local_ip6, k.skc_v6_rcv_saddr);
      v.size = d_.msg.sg_size, v.sk = address(d_.msg.sk);
      return as_bytes(v);
    }
    case BPF_PROG_TYPE_SOCK_OPS:
      return as_bytes(ops_view());
    case BPF_PROG_TYPE_CGROUP_SOCK:
      return as_bytes(sock_view());
    case BPF_PROG_TYPE_CGROUP_SOCK_ADDR: {
      bpf_sock_addr v{};
      v.user_family = d_.uaddr.sin6_family, v.user_port = d_.uaddr.sin6_port, v.family = k.skc_family;
      v.type = d_.tcp.sk.sk_type, v.protocol = d_.tcp.sk.sk_protocol, v.sk = address(d_.addr.sk);
      v.user_ip4 = d_.uaddr.sin6_flowinfo;  // where sockaddr_in has its address
      copy(v.user_ip6, d_.uaddr.sin6_addr);
      if (c.attach == 14) v.msg_src_ip4 = d_.source.s6_addr32[0];
      if (c.attach == 15) copy(v.msg_src_ip6, d_.source);
      return as_bytes(v);
    }
    case BPF_PROG_TYPE_CGROUP_SYSCTL:
      return as_bytes(bpf_sysctl{static_cast<u32>(d_.sysctl.write), static_cast<u32>(d_.file_pos)});
    case BPF_PROG_TYPE_CGROUP_SOCKOPT:
      return as_bytes(bpf_sockopt{address(d_.opt.sk), address(d_.opt.optval), address(d_.opt.optval_end), d_.opt.level,
                                  d_.opt.optname, d_.opt.optlen, d_.run.retval});
    case BPF_PROG_TYPE_PERF_EVENT:
      return as_bytes(bpf_perf_event_data{d_.pt_regs, d_.sample.period, d_.sample.addr});
    default:
      return as_bytes(skb_view(c.type));
  }
}

inline u64 World::wide_pointer(const CtxCase& c, s32 off) const {
  if (c.type == BPF_PROG_TYPE_XDP) {
    if (off == offsetof(xdp_md, data)) return address(d_.xdp.data);
    if (off == offsetof(xdp_md, data_end)) return address(d_.xdp.data_end);
    return off == offsetof(xdp_md, data_meta) ? address(d_.xdp.data_meta) : 0;
  }
  if (ctx_size(c.type) != sizeof(__sk_buff)) return 0;
  const bool dissector = c.type == BPF_PROG_TYPE_FLOW_DISSECTOR;
  if (off == offsetof(__sk_buff, data)) return address(dissector ? d_.dissector.data : d_.skb.data);
  if (off == offsetof(__sk_buff, data_meta)) return address(from_cb<BpfSkbDataEnd>().data_meta);
  if (off != offsetof(__sk_buff, data_end)) return 0;
  if (c.type == BPF_PROG_TYPE_SK_SKB) return address(d_.skb.data) + d_.skb.len - d_.skb.data_len;
  return address(dissector ? d_.dissector.data_end : from_cb<BpfSkbDataEnd>().data_end);
}

inline void World::note_store(const CtxCase& c, s32 off, u32 size, u64 value, View* view) const {
  if (c.type == BPF_PROG_TYPE_SOCK_OPS && off == offsetof(bpf_sock_ops, sk_txhash) && d_.ops.is_fullsock == 0) return;
  std::memcpy(view->data() + off, &value, size);
  const bool skb = ctx_size(c.type) == sizeof(__sk_buff);
  if (skb && off == offsetof(__sk_buff, tstamp) && (d_.skb.mono_tc & 4) != 0) (*view)[offsetof(__sk_buff, tstamp_type)] = 0;
}

inline std::vector<World::Small> World::small_fields(u32 type) {
  switch (type) {
    case BPF_PROG_TYPE_SK_LOOKUP:
      return {
          {offsetof(bpf_sk_lookup, family), 2}, {offsetof(bpf_sk_lookup, protocol), 2}, {offsetof(bpf_sk_lookup, local_port), 2}};
    case BPF_PROG_TYPE_SK_REUSEPORT:
      return {{offsetof(sk_reuseport_md, eth_protocol), 2},
              {offsetof(sk_reuseport_md, ip_protocol), 2},
              {offsetof(sk_reuseport_md, bind_inany), 1}};
    case BPF_PROG_TYPE_CGROUP_SOCK_ADDR:
      return {{offsetof(bpf_sock_addr, user_port), 2}};
    default:
      break;
  }
  if (ctx_size(type) != sizeof(__sk_buff)) return {};
  return {{offsetof(__sk_buff, pkt_type), 1},   {offsetof(__sk_buff, queue_mapping), 2}, {offsetof(__sk_buff, protocol), 2},
          {offsetof(__sk_buff, vlan_tci), 2},   {offsetof(__sk_buff, vlan_proto), 2},    {offsetof(__sk_buff, tc_index), 2},
          {offsetof(__sk_buff, tc_classid), 2}, {offsetof(__sk_buff, family), 2},        {offsetof(__sk_buff, local_port), 2},
          {offsetof(__sk_buff, gso_segs), 2},   {offsetof(__sk_buff, gso_size), 2}};
}

}  // namespace skep::test
