// kbtf: offsets. The BTF says what C++ says of the same headers; what skep's own structs share with them lies at the same places.
#include <gtest/gtest.h>

#include <cerrno>
#include <optional>

#include "kbtf/kernel_btf.h"
#include "progtypes/kernel_ctx.h"
#include "uapi/bpf.h"
#include "uapi/contexts.h"

namespace skep::kernel {
#include "kbtf/kernel/security.h"
}  // namespace skep::kernel

namespace skep {
namespace {

/// Byte offset of a member of a struct of the BTF, anonymous structs and unions looked through.
std::optional<u32> offset_in(const Btf& btf, u32 id, std::string_view name, u32 base = 0) {
  const btf_type* t = btf.type_by_id(id);
  for (u32 i = 0; i < btf_vlen(t); ++i) {
    const btf_member& m = btf_members(t)[i];
    const u32 at = base + (btf_kflag(t) ? BTF_MEMBER_BIT_OFFSET(m.offset) : m.offset) / 8;
    if (m.name_off != 0) {
      if (btf.name_is(m.name_off, name)) return at;
      continue;
    }
    if (const auto inner = offset_in(btf, btf.resolve_modifiers(m.type), name, at)) return inner;
  }
  return std::nullopt;
}

class KernelLayout : public ::testing::Test {
 protected:
  KernelLayout() : btf_(std::move(*load_kernel_btf())) {}
  s64 at(const char* in, const char* field) const {
    const Result<u32> id = btf_->find_by_name_kind(in, BTF_KIND_STRUCT);
    if (!id.ok()) return -1;
    const auto off = offset_in(*btf_, *id, field);
    return off ? s64{*off} : -2;
  }
  s64 size(const char* name) const {
    const Result<u32> id = btf_->find_by_name_kind(name, BTF_KIND_STRUCT);
    return id.ok() ? s64{btf_->type_by_id(*id)->size} : -1;
  }
  std::unique_ptr<Btf> btf_;
};

#define EXPECT_AT(type, field) EXPECT_EQ(at(#type, #field), static_cast<s64>(offsetof(kernel::type, field))) << #type "." #field
#define EXPECT_SIZE(type) EXPECT_EQ(size(#type), static_cast<s64>(sizeof(kernel::type))) << #type

TEST_F(KernelLayout, IsTheSameForBothCompilers) {
  EXPECT_SIZE(task_struct);
  EXPECT_EQ(sizeof(kernel::task_struct), TASK_STRUCT_BYTES);
  EXPECT_AT(task_struct, comm);
  EXPECT_AT(task_struct, mm);
  EXPECT_AT(task_struct, real_parent);
  EXPECT_AT(task_struct, start_time);
  EXPECT_AT(task_struct, cgroups);
  EXPECT_SIZE(cred);
  EXPECT_AT(cred, user_ns);
  EXPECT_SIZE(mm_struct);
  EXPECT_SIZE(signal_struct);
  EXPECT_SIZE(nsproxy);
  EXPECT_SIZE(file);
  EXPECT_SIZE(inode);
  EXPECT_SIZE(dentry);
  EXPECT_SIZE(linux_binprm);
  EXPECT_SIZE(bpf_map);
  EXPECT_SIZE(bpf_prog);
  EXPECT_SIZE(sock);
  EXPECT_SIZE(tcp_sock);
  EXPECT_AT(tcp_sock, bpf_sock_ops_cb_flags);
  EXPECT_SIZE(sk_buff);
  EXPECT_AT(sk_buff, users);
  EXPECT_SIZE(bpf_iter__task_file);
  EXPECT_AT(bpf_iter__task_file, file);
  EXPECT_SIZE(trace_event_raw_sched_switch);
}

TEST_F(KernelLayout, ArgumentOfBpfIsTheUapis) {
  const Result<u32> id = btf_->find_by_name_kind("bpf_attr", BTF_KIND_UNION);
  ASSERT_TRUE(id.ok());
  EXPECT_EQ(btf_->type_by_id(*id)->size, sizeof(bpf_attr));
  const auto off = [&](const char* field) { return offset_in(*btf_, *id, field).value_or(~0u); };
  EXPECT_EQ(off("map_token_fd"), offsetof(bpf_attr, map_create.map_token_fd));
  EXPECT_EQ(off("next_key"), offsetof(bpf_attr, elem.value));
  EXPECT_EQ(off("prog_token_fd"), offsetof(bpf_attr, prog_load.prog_token_fd));
  EXPECT_EQ(off("path_fd"), offsetof(bpf_attr, obj.path_fd));
  EXPECT_EQ(off("open_flags"), offsetof(bpf_attr, get_id.open_flags));
  EXPECT_EQ(off("btf_token_fd"), offsetof(bpf_attr, btf_load.btf_token_fd));
}

TEST_F(KernelLayout, ContextsAreTheUapis) {
  EXPECT_EQ(size("__sk_buff"), s64{sizeof(__sk_buff)});
  EXPECT_EQ(at("__sk_buff", "hwtstamp"), s64{offsetof(__sk_buff, hwtstamp)});
  EXPECT_EQ(size("xdp_md"), s64{sizeof(xdp_md)});
  EXPECT_EQ(size("bpf_sock"), s64{sizeof(bpf_sock)});
  EXPECT_EQ(at("bpf_sock", "dst_ip4"), s64{offsetof(bpf_sock, dst_ip4)});
  EXPECT_EQ(size("bpf_tcp_sock"), s64{sizeof(bpf_tcp_sock)});
  EXPECT_EQ(size("sk_msg_md"), s64{sizeof(sk_msg_md)});
  EXPECT_EQ(size("sk_reuseport_md"), s64{sizeof(sk_reuseport_md)});
  EXPECT_EQ(size("bpf_sock_addr"), s64{sizeof(bpf_sock_addr)});
  EXPECT_EQ(size("bpf_sock_ops"), s64{sizeof(bpf_sock_ops)});
  EXPECT_EQ(at("bpf_sock_ops", "skb_hwtstamp"), s64{offsetof(bpf_sock_ops, skb_hwtstamp)});
  EXPECT_EQ(size("bpf_cgroup_dev_ctx"), s64{sizeof(bpf_cgroup_dev_ctx)});
  EXPECT_EQ(size("bpf_sysctl"), s64{sizeof(bpf_sysctl)});
  EXPECT_EQ(size("bpf_sockopt"), s64{sizeof(bpf_sockopt)});
  EXPECT_EQ(size("bpf_sk_lookup"), s64{sizeof(bpf_sk_lookup)});
  EXPECT_EQ(size("bpf_flow_keys"), s64{sizeof(bpf_flow_keys)});
  EXPECT_EQ(size("bpf_perf_event_data"), s64{sizeof(bpf_perf_event_data)});
  EXPECT_EQ(size("pt_regs"), s64{sizeof(PtRegs)});
  EXPECT_EQ(at("pt_regs", "orig_ax"), s64{offsetof(PtRegs, orig_ax)});
  EXPECT_EQ(at("pt_regs", "ss"), s64{offsetof(PtRegs, ss)});
}

#define EXPECT_SHARED(linux_name, ours, field) \
  EXPECT_EQ(at(linux_name, #field), static_cast<s64>(offsetof(ours, field))) << linux_name "." #field

TEST_F(KernelLayout, HeadsAreThoseOfConvertedContexts) {
  EXPECT_SHARED("net_device", NetDevice, ifindex);
  for (const auto& [field, off] : {std::pair<const char*, std::size_t>{"skc_daddr", offsetof(SockCommon, skc_daddr)},
                                   {"skc_dport", offsetof(SockCommon, skc_dport)},
                                   {"skc_num", offsetof(SockCommon, skc_num)},
                                   {"skc_family", offsetof(SockCommon, skc_family)},
                                   {"skc_state", offsetof(SockCommon, skc_state)},
                                   {"skc_rx_queue_mapping", offsetof(SockCommon, skc_rx_queue_mapping)},
                                   {"skc_bound_dev_if", offsetof(SockCommon, skc_bound_dev_if)},
                                   {"skc_v6_daddr", offsetof(SockCommon, skc_v6_daddr)},
                                   {"skc_v6_rcv_saddr", offsetof(SockCommon, skc_v6_rcv_saddr)}})
    EXPECT_EQ(at("sock_common", field), static_cast<s64>(off)) << field;
  EXPECT_SHARED("sk_buff", SkBuff, dev);
  EXPECT_SHARED("sk_buff", SkBuff, sk);
  EXPECT_SHARED("sk_buff", SkBuff, tstamp);
  EXPECT_SHARED("sk_buff", SkBuff, cb);
  EXPECT_SHARED("sk_buff", SkBuff, len);
  EXPECT_SHARED("sk_buff", SkBuff, data_len);
  EXPECT_SHARED("sk_buff", SkBuff, mac_len);
  EXPECT_SHARED("sk_buff", SkBuff, queue_mapping);
  EXPECT_SHARED("sk_buff", SkBuff, cloned);
  EXPECT_SHARED("sk_buff", SkBuff, pkt_type);
  EXPECT_EQ(at("sk_buff", "tstamp_type"), s64{offsetof(SkBuff, mono_tc)});
  EXPECT_SHARED("sk_buff", SkBuff, ip_summed);
  EXPECT_SHARED("sk_buff", SkBuff, hash);
  EXPECT_SHARED("sk_buff", SkBuff, vlan_all);
  EXPECT_SHARED("sk_buff", SkBuff, vlan_tci);
  EXPECT_SHARED("sk_buff", SkBuff, napi_id);
  EXPECT_SHARED("sk_buff", SkBuff, protocol);
  EXPECT_SHARED("sk_buff", SkBuff, mac_header);
  EXPECT_SHARED("sk_buff", SkBuff, tail);
  EXPECT_SHARED("sk_buff", SkBuff, head);
  EXPECT_SHARED("sk_buff", SkBuff, data);
  EXPECT_SHARED("skb_shared_info", SkbSharedInfo, gso_segs);
  EXPECT_SHARED("skb_shared_info", SkbSharedInfo, hwtstamps);
  EXPECT_SHARED("skb_shared_info", SkbSharedInfo, xdp_frags_size);
  EXPECT_SHARED("xdp_rxq_info", XdpRxqInfo, queue_index);
  EXPECT_SHARED("xdp_buff", XdpBuff, data_hard_start);
  EXPECT_SHARED("xdp_buff", XdpBuff, txq);
  EXPECT_SHARED("xdp_buff", XdpBuff, flags);
  EXPECT_SHARED("bpf_sk_lookup_kern", SkLookupKern, no_reuseport);
  EXPECT_SHARED("sk_reuseport_kern", SkReuseportKern, bind_inany);
  EXPECT_SHARED("sk_msg", SkMsg, sk);
  EXPECT_SHARED("bpf_sock_ops_kern", SockOpsKern, temp);
  EXPECT_SHARED("bpf_sock_addr_kern", SockAddrKern, uaddrlen);
  EXPECT_SHARED("bpf_sysctl_kern", SysctlKern, tmp_reg);
  EXPECT_SHARED("bpf_sockopt_kern", SockoptKern, tmp_reg);
  EXPECT_SHARED("bpf_perf_event_data_kern", PerfEventDataKern, data);
}

}  // namespace
}  // namespace skep
