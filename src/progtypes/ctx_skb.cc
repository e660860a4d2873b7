// progtypes: __sk_buff, the context of all programs that see a packet as an skb; each type sees some of it.
// Linux: filter.c:bpf_skb_is_valid_access() and its callers, bpf_convert_ctx_access(), sk_skb_convert_ctx_access()
#include "progtypes/ctx_table.h"

namespace skep {
namespace {

#define UAPI(member) SKEP_UAPI(__sk_buff, member)
#define SKB(member) SKEP_KERN(SkBuff, member)
#define COMMON(member) SKEP_KERN(SockCommon, member)

constexpr u64 FILTER = by_type(BPF_PROG_TYPE_SOCKET_FILTER);
constexpr u64 TC = by_type(BPF_PROG_TYPE_SCHED_CLS) | by_type(BPF_PROG_TYPE_SCHED_ACT);
constexpr u64 CGROUP = by_type(BPF_PROG_TYPE_CGROUP_SKB);
constexpr u64 LWT = by_type(BPF_PROG_TYPE_LWT_IN) | by_type(BPF_PROG_TYPE_LWT_OUT) | by_type(BPF_PROG_TYPE_LWT_XMIT) |
                    by_type(BPF_PROG_TYPE_LWT_SEG6LOCAL);
constexpr u64 SK_SKB = by_type(BPF_PROG_TYPE_SK_SKB);
constexpr u64 EVERY = FILTER | TC | CGROUP | LWT | SK_SKB;

void convert_pkt_type(CtxEmitter& e, const CtxConv& c) {
  e.load(1, e.insn.dst_reg, e.insn.src_reg, c.field.off);
  e.alu32(BPF_AND, e.insn.dst_reg, SKB_PKT_TYPE_MAX);
}

/// A queue number that means "none" is not stored.
void convert_queue_mapping(CtxEmitter& e, const CtxConv& c) {
  if (e.type == BPF_READ) return e.load(2, e.insn.dst_reg, e.insn.src_reg, c.field.off);
  const bool constant = bpf_class(e.insn.code) == BPF_ST;
  if (constant && e.insn.imm >= NO_QUEUE_MAPPING) return e.emit(BPF_JMP | BPF_JA, 0, 0, 0);
  if (!constant) e.jump(BPF_JGE, e.insn.src_reg, NO_QUEUE_MAPPING, 1);
  e.store(2, e.insn.dst_reg, c.field.off);
}

void convert_vlan_present(CtxEmitter& e, const CtxConv& c) {
  e.load(4, e.insn.dst_reg, e.insn.src_reg, c.field.off);
  e.jump(BPF_JEQ, e.insn.dst_reg, 0, 1);
  e.alu32(BPF_MOV, e.insn.dst_reg, 1);
}

void convert_napi_id(CtxEmitter& e, const CtxConv& c) {
  e.load(4, e.insn.dst_reg, e.insn.src_reg, c.field.off);
  e.jump(BPF_JGE, e.insn.dst_reg, MIN_NAPI_ID, 1);
  e.emit(BPF_ALU64 | BPF_MOV | BPF_K, e.insn.dst_reg, 0, 0);
}

void convert_tstamp_type(CtxEmitter& e, const CtxConv& c) {
  e.load(1, e.insn.dst_reg, e.insn.src_reg, c.field.off);
  e.alu32(BPF_AND, e.insn.dst_reg, SKB_TSTAMP_TYPE_MASK);
}

void jump32_set(CtxEmitter& e, u32 reg, s32 mask, u32 distance) {
  e.emit(BPF_JMP32 | BPF_JSET | BPF_K, reg, 0, distance, mask);
}

/// At ingress a delivery time reads as 0 to programs that do not know of delivery times. Linux: filter.c:bpf_convert_tstamp_read()
void read_tstamp(CtxEmitter& e, const CtxConv& c) {
  const u32 dst = e.insn.dst_reg, skb = e.insn.src_reg;
  if (!e.tstamp_type_access) {
    e.load(1, BPF_REG_AX, skb, offsetof(SkBuff, mono_tc));
    jump32_set(e, BPF_REG_AX, TC_AT_INGRESS_MASK, 1);
    e.emit(BPF_JMP | BPF_JA, 0, 0, 4);
    jump32_set(e, BPF_REG_AX, SKB_TSTAMP_TYPE_MASK, 1);
    e.emit(BPF_JMP | BPF_JA, 0, 0, 2);
    e.emit(BPF_ALU64 | BPF_MOV | BPF_K, dst, 0, 0);
    e.emit(BPF_JMP | BPF_JA, 0, 0, 1);
  }
  e.load(8, dst, skb, c.field.off);
}

/// At ingress such programs make it a receive time. Linux: filter.c:bpf_convert_tstamp_write()
void write_tstamp(CtxEmitter& e, const CtxConv& c) {
  const u32 skb = e.insn.dst_reg;
  if (!e.tstamp_type_access) {
    e.load(1, BPF_REG_AX, skb, offsetof(SkBuff, mono_tc));
    jump32_set(e, BPF_REG_AX, TC_AT_INGRESS_MASK, 1);
    e.emit(BPF_JMP | BPF_JA, 0, 0, 2);
    e.alu32(BPF_AND, BPF_REG_AX, ~SKB_TSTAMP_TYPE_MASK);
    e.emit(BPF_STX | BPF_MEM | BPF_B, skb, BPF_REG_AX, offsetof(SkBuff, mono_tc));
  }
  e.store(8, skb, c.field.off);
}

void convert_tstamp(CtxEmitter& e, const CtxConv& c) { return e.type == BPF_READ ? read_tstamp(e, c) : write_tstamp(e, c); }

void convert_shinfo(CtxEmitter& e, const CtxConv& c) {
  emit_shinfo(e, e.insn.dst_reg, e.insn.src_reg);
  e.load(c.field.size, e.insn.dst_reg, e.insn.dst_reg, c.field.off);
}

/// data + len - data_len. With one register for both pointers, another one is saved meanwhile. Linux:
/// filter.c:bpf_convert_data_end_access()
void convert_sk_skb_data_end(CtxEmitter& e, const CtxConv&) {
  const u32 skb = e.insn.src_reg, dst = e.insn.dst_reg;
  constexpr u32 temp = offsetof(SkBuff, cb) + offsetof(SkSkbCb, temp_reg);
  const bool same = skb == dst;
  const u32 reg = same ? e.spare_reg() : dst;
  if (same) e.save(skb, temp, reg);
  e.load(8, reg, skb, offsetof(SkBuff, data));
  e.load(4, BPF_REG_AX, skb, offsetof(SkBuff, len));
  e.emit(BPF_ALU64 | BPF_ADD | BPF_X, reg, BPF_REG_AX, 0);
  e.load(4, BPF_REG_AX, skb, offsetof(SkBuff, data_len));
  e.emit(BPF_ALU64 | BPF_SUB | BPF_X, reg, BPF_REG_AX, 0);
  e.target_size = 8;
  if (!same) return;
  e.emit(BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_AX, skb, 0);
  e.emit(BPF_ALU64 | BPF_MOV | BPF_X, dst, reg, 0);
  e.load(8, reg, BPF_REG_AX, temp);
}

constexpr CtxConv in_cb(KernField f) { return at(in(SKB(cb), f)); }
constexpr CtxConv of_sock(KernField f) { return via(SKB(sk), f); }

constexpr KernField CB_DATA = SKEP_KERN(QdiscSkbCb, data), SK_SKB_CB_DATA = SKEP_KERN(SkSkbCb, data);
/// cb[] but its last word: eight bytes from there would leave it.
constexpr CtxSpan CB_BUT_LAST = till(UAPI(cb[0]), UAPI(cb[3]));
constexpr KernField last_word(KernField data) { return {static_cast<u16>(data.off + 16), 4}; }

constexpr CtxField FIELDS[] = {
    narrow(UAPI(len)).read_by(EVERY).is(at(SKB(len))),
    narrow(UAPI(pkt_type)).read_by(EVERY).is(by(convert_pkt_type, SKB(pkt_type))),
    narrow(UAPI(mark)).writes(4).read_by(EVERY & ~SK_SKB).written_by(CGROUP | LWT | TC).is(at(SKB(mark))),
    narrow(UAPI(queue_mapping)).writes(4).read_by(EVERY).written_by(TC).is(by(convert_queue_mapping, SKB(queue_mapping))),
    narrow(UAPI(protocol)).read_by(EVERY).is(at(SKB(protocol))),
    narrow(UAPI(vlan_present)).read_by(EVERY).is(by(convert_vlan_present, SKB(vlan_all))),
    narrow(UAPI(vlan_tci)).read_by(EVERY).is(at(SKB(vlan_tci))),
    narrow(UAPI(vlan_proto)).read_by(EVERY).is(at(SKB(vlan_proto))),
    narrow(UAPI(priority)).writes(4).read_by(EVERY).written_by(EVERY & ~FILTER).is(at(SKB(priority))),
    narrow(UAPI(ingress_ifindex)).read_by(EVERY).is(at(SKB(skb_iif))),
    narrow(UAPI(ifindex)).read_by(EVERY & ~TC).is(via(SKB(dev), SKEP_KERN(NetDevice, ifindex)).or_null()),
    narrow(UAPI(ifindex)).read_by(TC).is(via(SKB(dev), SKEP_KERN(NetDevice, ifindex))),
    narrow(UAPI(tc_index)).writes(4).read_by(EVERY).written_by(TC | SK_SKB).is(at(SKB(tc_index))),

    field(CB_BUT_LAST).reads(ANY_SIZE).writes(ANY_SIZE).read_by(EVERY & ~SK_SKB).written_by(EVERY & ~SK_SKB)
        .is(in_cb(CB_DATA).as_accessed()),
    field(UAPI(cb[4])).reads(NARROW4).writes(NARROW4).read_by(EVERY & ~SK_SKB).written_by(EVERY & ~SK_SKB)
        .is(in_cb(last_word(CB_DATA)).as_accessed()),
    field(CB_BUT_LAST).reads(ANY_SIZE).read_by(SK_SKB).is(in_cb(SK_SKB_CB_DATA).as_accessed()),
    field(UAPI(cb[4])).reads(NARROW4).read_by(SK_SKB).is(in_cb(last_word(SK_SKB_CB_DATA)).as_accessed()),

    narrow(UAPI(hash)).read_by(EVERY).is(at(SKB(hash))),
    narrow(UAPI(tc_classid)).writes(4).read_by(TC).written_by(TC).is(in_cb(SKEP_KERN(QdiscSkbCb, tc_classid))),
    word(UAPI(data)).unsigned_only().as(PTR_TO_PACKET).read_by(TC | LWT | SK_SKB).is(at(SKB(data))),
    word(UAPI(data)).unsigned_only().as(PTR_TO_PACKET).read_by(CGROUP).with_cap_bpf().is(at(SKB(data))),
    word(UAPI(data_end)).unsigned_only().as(PTR_TO_PACKET_END).read_by(TC | LWT)
        .is(in_cb(SKEP_KERN(BpfSkbDataEnd, data_end))),
    word(UAPI(data_end)).unsigned_only().as(PTR_TO_PACKET_END).read_by(CGROUP).with_cap_bpf()
        .is(in_cb(SKEP_KERN(BpfSkbDataEnd, data_end))),
    word(UAPI(data_end)).unsigned_only().as(PTR_TO_PACKET_END).read_by(SK_SKB).is(by(convert_sk_skb_data_end)),
    word(UAPI(data_meta)).unsigned_only().as(PTR_TO_PACKET_META).read_by(TC).is(in_cb(SKEP_KERN(BpfSkbDataEnd, data_meta))),
    narrow(UAPI(napi_id)).read_by(EVERY).is(by(convert_napi_id, SKB(napi_id))),

    narrow(UAPI(family)).read_by(CGROUP | SK_SKB).is(of_sock(COMMON(skc_family))),
    word(UAPI(remote_ip4)).read_by(CGROUP | SK_SKB).is(of_sock(COMMON(skc_daddr))),
    word(UAPI(local_ip4)).read_by(CGROUP | SK_SKB).is(of_sock(COMMON(skc_rcv_saddr))),
    word(UAPI(remote_ip6)).read_by(CGROUP | SK_SKB).is(of_sock(COMMON(skc_v6_daddr.s6_addr32[0]))),
    word(UAPI(local_ip6)).read_by(CGROUP | SK_SKB).is(of_sock(COMMON(skc_v6_rcv_saddr.s6_addr32[0]))),
    narrow(UAPI(remote_port)).read_by(CGROUP | SK_SKB).is(of_sock(COMMON(skc_dport)).as_port()),
    narrow(UAPI(local_port)).read_by(CGROUP | SK_SKB).is(of_sock(COMMON(skc_num))),

    dword(UAPI(tstamp)).writes(8).read_by(TC | CGROUP).written_by(TC).is(by(convert_tstamp, SKB(tstamp))),
    field(UAPI(tstamp)).writes(8).written_by(CGROUP).with_cap_bpf().is(by(convert_tstamp, SKB(tstamp))),
    narrow(UAPI(wire_len)).read_by(TC).is(in_cb(SKEP_KERN(QdiscSkbCb, pkt_len))),
    narrow(UAPI(gso_segs)).read_by(EVERY).is(by(convert_shinfo, SKEP_KERN(SkbSharedInfo, gso_segs))),
    dword(UAPI(sk)).as(PTR_TO_SOCK_COMMON_OR_NULL).read_by(EVERY).is(at(SKB(sk))),
    narrow(UAPI(gso_size)).read_by(EVERY).is(by(convert_shinfo, SKEP_KERN(SkbSharedInfo, gso_size))),
    field(UAPI(tstamp_type)).reads(1).read_by(TC).tells_tstamp_type().is(by(convert_tstamp_type, SKB(mono_tc))),
    dword(UAPI(hwtstamp)).read_by(TC | CGROUP).is(by(convert_shinfo, SKEP_KERN(SkbSharedInfo, hwtstamps))),
};

// Linux: filter.c:flow_dissector_is_valid_access()
#define DISSECTOR(member) SKEP_KERN(FlowDissectorKern, member)
constexpr CtxField FLOW_DISSECTOR_FIELDS[] = {
    word(UAPI(data)).unsigned_only().as(PTR_TO_PACKET).is(at(DISSECTOR(data))),
    word(UAPI(data_end)).unsigned_only().as(PTR_TO_PACKET_END).is(at(DISSECTOR(data_end))),
    dword(UAPI(flow_keys)).as(PTR_TO_FLOW_KEYS).is(at(DISSECTOR(flow_keys))),
};

}  // namespace

void emit_shinfo(CtxEmitter& e, u32 dst, u32 skb) {
  e.load(4, BPF_REG_AX, skb, offsetof(SkBuff, end));
  e.load(8, dst, skb, offsetof(SkBuff, head));
  e.emit(BPF_ALU64 | BPF_ADD | BPF_X, dst, BPF_REG_AX, 0);
}

CtxKind skb_ctx() { return {sizeof(__sk_buff), true, FIELDS}; }
CtxKind flow_dissector_ctx() { return {sizeof(__sk_buff), true, FLOW_DISSECTOR_FIELDS}; }

}  // namespace skep
