// Who may call which helper, and what it takes. What the kernel says about it: func_proto_linux_test.cc.
#include "progtypes/func_proto.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "isa/func_names.h"
#include "progtypes/func_ids.h"
#include "progtypes/func_table.h"

namespace skep::test {
namespace {

TEST(FuncIds, AreNamedAsInTheLogs) {
#define F(x) \
  { func::x, "bpf_" #x }
  const std::map<u32, std::string> all = {
      // clang-format off
      F(map_lookup_elem), F(map_update_elem), F(map_delete_elem), F(probe_read), F(ktime_get_ns), F(trace_printk),
      F(get_prandom_u32), F(get_smp_processor_id), F(skb_store_bytes), F(l3_csum_replace), F(l4_csum_replace), F(tail_call),
      F(clone_redirect), F(get_current_pid_tgid), F(get_current_uid_gid), F(get_current_comm), F(get_cgroup_classid),
      F(skb_vlan_push), F(skb_vlan_pop), F(skb_get_tunnel_key), F(skb_set_tunnel_key), F(perf_event_read), F(redirect),
      F(get_route_realm), F(perf_event_output), F(skb_load_bytes), F(get_stackid), F(csum_diff), F(skb_get_tunnel_opt),
      F(skb_set_tunnel_opt), F(skb_change_proto), F(skb_change_type), F(skb_under_cgroup), F(get_hash_recalc),
      F(get_current_task), F(probe_write_user), F(current_task_under_cgroup), F(skb_change_tail), F(skb_pull_data),
      F(csum_update), F(set_hash_invalid), F(get_numa_node_id), F(skb_change_head), F(xdp_adjust_head), F(probe_read_str),
      F(get_socket_cookie), F(get_socket_uid), F(set_hash), F(setsockopt), F(skb_adjust_room), F(redirect_map),
      F(sk_redirect_map), F(sock_map_update), F(xdp_adjust_meta), F(perf_event_read_value), F(perf_prog_read_value),
      F(getsockopt), F(override_return), F(sock_ops_cb_flags_set), F(msg_redirect_map), F(msg_apply_bytes), F(msg_cork_bytes),
      F(msg_pull_data), F(bind), F(xdp_adjust_tail), F(skb_get_xfrm_state), F(get_stack), F(skb_load_bytes_relative),
      F(fib_lookup), F(sock_hash_update), F(msg_redirect_hash), F(sk_redirect_hash), F(lwt_push_encap), F(lwt_seg6_store_bytes),
      F(lwt_seg6_adjust_srh), F(lwt_seg6_action), F(rc_repeat), F(rc_keydown), F(skb_cgroup_id), F(get_current_cgroup_id),
      F(get_local_storage), F(sk_select_reuseport), F(skb_ancestor_cgroup_id), F(sk_lookup_tcp), F(sk_lookup_udp),
      F(sk_release), F(map_push_elem), F(map_pop_elem), F(map_peek_elem), F(msg_push_data), F(msg_pop_data), F(rc_pointer_rel),
      F(spin_lock), F(spin_unlock), F(sk_fullsock), F(tcp_sock), F(skb_ecn_set_ce), F(get_listener_sock), F(skc_lookup_tcp),
      F(tcp_check_syncookie), F(sysctl_get_name), F(sysctl_get_current_value), F(sysctl_get_new_value), F(sysctl_set_new_value),
      F(strtol), F(strtoul), F(sk_storage_get), F(sk_storage_delete), F(send_signal), F(tcp_gen_syncookie), F(skb_output),
      F(probe_read_user), F(probe_read_kernel), F(probe_read_user_str), F(probe_read_kernel_str), F(tcp_send_ack),
      F(send_signal_thread), F(jiffies64), F(read_branch_records), F(get_ns_current_pid_tgid), F(xdp_output),
      F(get_netns_cookie), F(get_current_ancestor_cgroup_id), F(sk_assign), F(ktime_get_boot_ns), F(seq_printf), F(seq_write),
      F(sk_cgroup_id), F(sk_ancestor_cgroup_id), F(ringbuf_output), F(ringbuf_reserve), F(ringbuf_submit), F(ringbuf_discard),
      F(ringbuf_query), F(csum_level), F(skc_to_tcp6_sock), F(skc_to_tcp_sock), F(skc_to_tcp_timewait_sock),
      F(skc_to_tcp_request_sock), F(skc_to_udp6_sock), F(get_task_stack), F(load_hdr_opt), F(store_hdr_opt), F(reserve_hdr_opt),
      F(inode_storage_get), F(inode_storage_delete), F(d_path), F(copy_from_user), F(snprintf_btf), F(seq_printf_btf),
      F(skb_cgroup_classid), F(redirect_neigh), F(per_cpu_ptr), F(this_cpu_ptr), F(redirect_peer), F(task_storage_get),
      F(task_storage_delete), F(get_current_task_btf), F(bprm_opts_set), F(ktime_get_coarse_ns), F(ima_inode_hash),
      F(sock_from_file), F(check_mtu), F(for_each_map_elem), F(snprintf), F(sys_bpf), F(btf_find_by_name_kind), F(sys_close),
      F(timer_init), F(timer_set_callback), F(timer_start), F(timer_cancel), F(get_func_ip), F(get_attach_cookie),
      F(task_pt_regs), F(get_branch_snapshot), F(trace_vprintk), F(skc_to_unix_sock), F(kallsyms_lookup_name), F(find_vma),
      F(loop), F(strncmp), F(get_func_arg), F(get_func_ret), F(get_func_arg_cnt), F(get_retval), F(set_retval),
      F(xdp_get_buff_len), F(xdp_load_bytes), F(xdp_store_bytes), F(copy_from_user_task), F(skb_set_tstamp), F(ima_file_hash),
      F(kptr_xchg), F(map_lookup_percpu_elem), F(skc_to_mptcp_sock), F(dynptr_from_mem), F(ringbuf_reserve_dynptr),
      F(ringbuf_submit_dynptr), F(ringbuf_discard_dynptr), F(dynptr_read), F(dynptr_write), F(dynptr_data),
      F(tcp_raw_gen_syncookie_ipv4), F(tcp_raw_gen_syncookie_ipv6), F(tcp_raw_check_syncookie_ipv4),
      F(tcp_raw_check_syncookie_ipv6), F(ktime_get_tai_ns), F(user_ringbuf_drain), F(cgrp_storage_get), F(cgrp_storage_delete),
      // clang-format on
  };
#undef F
  EXPECT_EQ(all.size(), 211u);
  for (const auto& [id, name] : all) EXPECT_EQ(func_id_name(id), name);
}

/// Every row of the table that some program type reaches.
template <typename Fn>
void for_each_row(Fn fn) {
  for (u32 type = 0; type < MAX_BPF_PROG_TYPE_; ++type)
    for (u32 id = 0; id < func::max_id; ++id)
      for (const FuncRow& row : func_rows(id, type)) fn(type, id, row);
}

TEST(FuncTable, HasEveryHelperOfLinux) {
  std::set<u32> ids;
  std::set<const FuncProto*> protos;
  for_each_row([&](u32, u32 id, const FuncRow& row) {
    EXPECT_EQ(row.id, id);
    EXPECT_EQ(func_row_proto(row).id, id);
    ids.insert(id);
    protos.insert(&func_row_proto(row));
  });
  EXPECT_EQ(ids.size(), 211u);
  EXPECT_EQ(protos.size(), 229u);  // 275 of the kernel's, less those that differ in the function only
}

TEST(FuncTable, NothingOutsideOfIt) {
  const ProgTraits kprobe = {.type = BPF_PROG_TYPE_KPROBE};
  for (const s64 id : {s64{-1}, s64{0}, s64{212}, s64{256 + 1}, s64{1} << 32 | 1, INT64_MIN}) {
    EXPECT_EQ(get_func_proto(id, kprobe), nullptr) << id;
    EXPECT_EQ(run_func_proto(static_cast<u64>(id), BPF_PROG_TYPE_KPROBE), nullptr) << id;
  }
  for (const u32 type : {u32{BPF_PROG_TYPE_UNSPEC}, u32{BPF_PROG_TYPE_EXT}, u32{MAX_BPF_PROG_TYPE_}, 1000u, ~0u}) {
    EXPECT_EQ(get_func_proto(func::map_lookup_elem, {.type = type}), nullptr) << type;
    EXPECT_EQ(run_func_proto(func::map_lookup_elem, type), nullptr) << type;
  }
}

bool is_mem(u32 type) { return base_type(type) == ARG_PTR_TO_MEM; }
bool is_size(u32 type) { return type == ARG_CONST_SIZE || type == ARG_CONST_SIZE_OR_ZERO; }

/// What Linux asks of a proto. Linux: verifier.c:check_func_proto()
TEST(FuncTable, ProtosAreWhole) {
  for_each_row([&](u32, u32 id, const FuncRow& row) {
    const FuncProto& p = func_row_proto(row);
    SCOPED_TRACE(func_id_name(id));
    int raw = 0, refs = 0, named = 0;
    for (u32 i = 0; i < 5; ++i) {
      const u32 type = p.args[i];
      const bool fixed = (type & MEM_FIXED_SIZE) != 0;
      EXPECT_TRUE(i == 0 || type == ARG_DONTCARE || p.args[i - 1] != ARG_DONTCARE);
      EXPECT_EQ(fixed, p.arg_size[i] != 0);
      EXPECT_TRUE(!is_mem(type) || fixed || (i < 4 && is_size(p.args[i + 1])));
      EXPECT_TRUE(!is_size(type) || (i > 0 && is_mem(p.args[i - 1]) && (p.args[i - 1] & MEM_FIXED_SIZE) == 0));
      EXPECT_TRUE((type & MEM_UNINIT) == 0 || (type & MEM_WRITE) != 0);
      raw += (is_mem(type) && (type & MEM_UNINIT) != 0) || type == (u32{ARG_PTR_TO_MAP_VALUE} | MEM_UNINIT | MEM_WRITE);
      refs += (type & OBJ_RELEASE) != 0;
      if (p.arg_btf[i] != nullptr) {
        ++named;
        EXPECT_EQ(base_type(type), ARG_PTR_TO_BTF_ID);
      } else {
        EXPECT_TRUE(base_type(type) != ARG_PTR_TO_BTF_ID || id == func::kptr_xchg);
      }
    }
    EXPECT_LE(raw, 1);
    EXPECT_LE(refs, 1);
    EXPECT_LE(named, 1);
    EXPECT_EQ(base_type(p.ret) == RET_PTR_TO_BTF_ID, p.ret_btf != nullptr || id == func::kptr_xchg);
  });
}

/// What run_func_proto() promises: the interpreter may take any proto that the type has for the helper.
TEST(FuncTable, OneTypeHasOneWayToCallAHelper) {
  for_each_row([&](u32 type, u32 id, const FuncRow& row) {
    const FuncProto* run = run_func_proto(id, type);
    if (row.when == When::Never) return;
    ASSERT_NE(run, nullptr);
    EXPECT_TRUE(std::equal(run->args, run->args + 5, func_row_proto(row).args)) << type << " " << func_id_name(id);
    EXPECT_TRUE(std::equal(run->arg_size, run->arg_size + 5, func_row_proto(row).arg_size)) << type << " " << func_id_name(id);
    EXPECT_EQ(run->ret, func_row_proto(row).ret) << type << " " << func_id_name(id);
  });
}

bool may(u32 id, const ProgTraits& prog) { return get_func_proto(id, prog) != nullptr; }

TEST(GetFuncProto, Capabilities) {
  const ProgTraits none = {.type = BPF_PROG_TYPE_SOCKET_FILTER, .bpf_capable = false, .perfmon = false};
  const ProgTraits bpf = {.type = BPF_PROG_TYPE_SOCKET_FILTER, .bpf_capable = true, .perfmon = false};
  const ProgTraits perfmon = {.type = BPF_PROG_TYPE_SOCKET_FILTER, .bpf_capable = false, .perfmon = true};
  const ProgTraits all = {.type = BPF_PROG_TYPE_SOCKET_FILTER};
  EXPECT_TRUE(may(func::map_lookup_elem, none));
  EXPECT_FALSE(may(func::spin_lock, none));
  EXPECT_TRUE(may(func::spin_lock, bpf));
  EXPECT_FALSE(may(func::spin_lock, perfmon));
  EXPECT_FALSE(may(func::trace_printk, bpf));
  EXPECT_FALSE(may(func::trace_printk, perfmon));  // asked in this order: without CAP_BPF no further
  EXPECT_TRUE(may(func::trace_printk, all));
  EXPECT_TRUE(may(func::skc_to_tcp_sock, perfmon));
  EXPECT_FALSE(may(func::skc_to_tcp_sock, bpf));
  EXPECT_TRUE(may(func::ktime_get_coarse_ns, none));
  EXPECT_FALSE(may(func::sys_bpf, {.type = BPF_PROG_TYPE_SYSCALL, .sleepable = true, .perfmon = false}));
  EXPECT_TRUE(may(func::trace_printk, {.type = BPF_PROG_TYPE_SYSCALL, .sleepable = true, .perfmon = false}));
}

TEST(GetFuncProto, Probes) {
  const ProgTraits kprobe = {.type = BPF_PROG_TYPE_KPROBE};
  EXPECT_TRUE(get_func_proto(func::get_func_ip, kprobe)->gpl_only);
  for (const u32 attach_type : {BPF_TRACE_KPROBE_MULTI, BPF_TRACE_KPROBE_SESSION, BPF_TRACE_UPROBE_MULTI})
    EXPECT_FALSE(get_func_proto(func::get_func_ip, {.type = BPF_PROG_TYPE_KPROBE, .expected_attach_type = attach_type})->gpl_only);
  const ProgTraits sleepable = {.type = BPF_PROG_TYPE_KPROBE, .sleepable = true};
  EXPECT_FALSE(get_func_proto(func::get_stack, kprobe)->might_sleep);
  EXPECT_TRUE(get_func_proto(func::get_stack, sleepable)->might_sleep);
  EXPECT_TRUE(get_func_proto(func::get_task_stack, sleepable)->might_sleep);
  EXPECT_TRUE(get_func_proto(func::copy_from_user, kprobe)->might_sleep);
  EXPECT_TRUE(get_func_proto(func::get_smp_processor_id, kprobe)->allow_fastcall);
  EXPECT_FALSE(get_func_proto(func::get_smp_processor_id, {.type = BPF_PROG_TYPE_SOCKET_FILTER})->allow_fastcall);
  EXPECT_TRUE(get_func_proto(func::get_stackid, kprobe)->gpl_only);
  EXPECT_FALSE(get_func_proto(func::get_stackid, {.type = BPF_PROG_TYPE_PERF_EVENT})->gpl_only);
  EXPECT_FALSE(may(func::override_return, {.type = BPF_PROG_TYPE_TRACEPOINT}));
  EXPECT_EQ(get_func_proto(func::get_stack, {.type = BPF_PROG_TYPE_RAW_TRACEPOINT})->args[1], u32{ARG_PTR_TO_MEM} | MEM_RDONLY);
}

ProgTraits tracing(u32 attach_type, const char* name = nullptr) {
  return {.type = BPF_PROG_TYPE_TRACING, .expected_attach_type = attach_type, .attach_func_name = name};
}

TEST(GetFuncProto, Tracing) {
  const ProgTraits fentry = tracing(BPF_TRACE_FENTRY, "vfs_read"), raw = tracing(BPF_TRACE_RAW_TP, "sched_switch"),
                   task = tracing(BPF_TRACE_ITER, "bpf_iter_task"), tcp = tracing(BPF_TRACE_ITER, "bpf_iter_tcp");
  EXPECT_TRUE(may(func::get_func_arg, fentry));
  EXPECT_FALSE(may(func::get_func_arg, raw));
  EXPECT_FALSE(may(func::get_func_arg, task));
  EXPECT_TRUE(may(func::get_attach_cookie, fentry));
  EXPECT_TRUE(may(func::get_attach_cookie, raw));
  EXPECT_FALSE(may(func::get_attach_cookie, task));
  EXPECT_TRUE(may(func::seq_write, task));
  EXPECT_FALSE(may(func::seq_write, fentry));
  EXPECT_TRUE(may(func::setsockopt, tcp));
  EXPECT_TRUE(may(func::setsockopt, tracing(BPF_TRACE_ITER, "tcp")));
  EXPECT_FALSE(may(func::setsockopt, task));
  EXPECT_FALSE(may(func::setsockopt, tracing(BPF_TRACE_FENTRY, "bpf_iter_tcp")));
  EXPECT_STREQ(get_func_proto(func::sk_storage_get, fentry)->arg_btf[1], "sock_common");
  ProgTraits freplace = fentry;
  freplace.is_ext = true;
  EXPECT_FALSE(may(func::get_func_arg, freplace));
}

ProgTraits lsm(u32 attach_type, const char* hook) {
  return {.type = BPF_PROG_TYPE_LSM, .expected_attach_type = attach_type, .attach_func_name = hook};
}

TEST(GetFuncProto, Lsm) {
  EXPECT_TRUE(may(func::inode_storage_get, lsm(BPF_LSM_MAC, "file_open")));
  EXPECT_FALSE(may(func::get_local_storage, lsm(BPF_LSM_MAC, "file_open")));
  EXPECT_TRUE(may(func::get_local_storage, lsm(BPF_LSM_CGROUP, "socket_bind")));
  EXPECT_TRUE(may(func::set_retval, lsm(BPF_LSM_CGROUP, "socket_bind")));
  EXPECT_TRUE(may(func::get_attach_cookie, lsm(BPF_LSM_MAC, "file_open")));
  EXPECT_FALSE(may(func::get_attach_cookie, lsm(BPF_LSM_CGROUP, "socket_bind")));
  EXPECT_TRUE(may(func::setsockopt, lsm(BPF_LSM_CGROUP, "bpf_lsm_socket_post_create")));
  EXPECT_TRUE(may(func::getsockopt, lsm(BPF_LSM_CGROUP, "inet_csk_clone")));
  EXPECT_FALSE(may(func::setsockopt, lsm(BPF_LSM_CGROUP, "socket_bind")));
  EXPECT_FALSE(may(func::setsockopt, lsm(BPF_LSM_MAC, "inet_csk_clone")));
}

TEST(GetFuncProto, Cgroups) {
  const auto addr = [](u32 attach_type) {
    return ProgTraits{.type = BPF_PROG_TYPE_CGROUP_SOCK_ADDR, .expected_attach_type = attach_type};
  };
  EXPECT_TRUE(may(func::bind, addr(BPF_CGROUP_INET6_CONNECT)));
  EXPECT_FALSE(may(func::bind, addr(BPF_CGROUP_UNIX_CONNECT)));
  EXPECT_TRUE(may(func::setsockopt, addr(BPF_CGROUP_UNIX_CONNECT)));
  EXPECT_FALSE(may(func::setsockopt, addr(BPF_CGROUP_UNIX_GETPEERNAME)));
  EXPECT_TRUE(may(func::get_retval, addr(BPF_CGROUP_INET4_BIND)));
  EXPECT_FALSE(may(func::get_retval, addr(BPF_CGROUP_UDP4_RECVMSG)));
  EXPECT_FALSE(may(func::set_retval, {.type = BPF_PROG_TYPE_CGROUP_SKB, .expected_attach_type = BPF_CGROUP_INET_EGRESS}));
  EXPECT_FALSE(may(func::set_retval, {.type = BPF_PROG_TYPE_SOCK_OPS, .expected_attach_type = BPF_CGROUP_SOCK_OPS}));
  EXPECT_TRUE(may(func::set_retval, {.type = BPF_PROG_TYPE_CGROUP_DEVICE, .expected_attach_type = BPF_CGROUP_DEVICE}));
  EXPECT_TRUE(may(func::setsockopt, {.type = BPF_PROG_TYPE_CGROUP_SOCKOPT, .expected_attach_type = BPF_CGROUP_SETSOCKOPT}));
  EXPECT_FALSE(may(func::setsockopt, {.type = BPF_PROG_TYPE_CGROUP_SOCKOPT, .expected_attach_type = BPF_CGROUP_GETSOCKOPT}));
  EXPECT_EQ(get_func_proto(func::sk_storage_get, {.type = BPF_PROG_TYPE_CGROUP_SOCK})->args[1], ARG_PTR_TO_CTX);
  EXPECT_FALSE(get_func_proto(func::sk_lookup_tcp, addr(BPF_CGROUP_INET4_BIND))->pkt_access);
  EXPECT_TRUE(get_func_proto(func::sk_lookup_tcp, {.type = BPF_PROG_TYPE_XDP})->pkt_access);
}

TEST(GetFuncProto, Packets) {
  EXPECT_TRUE(may(func::skb_pull_data, {.type = BPF_PROG_TYPE_LWT_OUT}));
  EXPECT_FALSE(may(func::skb_pull_data, {.type = BPF_PROG_TYPE_LWT_SEG6LOCAL}));
  EXPECT_EQ(run_func_proto(func::skb_pull_data, BPF_PROG_TYPE_LWT_SEG6LOCAL), nullptr);
  EXPECT_FALSE(may(func::skb_store_bytes, {.type = BPF_PROG_TYPE_CGROUP_SKB}));
  EXPECT_FALSE(may(func::ringbuf_output, {.type = BPF_PROG_TYPE_LIRC_MODE2}));
  EXPECT_TRUE(may(func::rc_keydown, {.type = BPF_PROG_TYPE_LIRC_MODE2}));
  EXPECT_FALSE(may(func::skc_to_tcp_sock, {.type = BPF_PROG_TYPE_NETFILTER}));
  EXPECT_EQ(get_func_proto(func::sk_assign, {.type = BPF_PROG_TYPE_SK_LOOKUP})->args[1], ARG_PTR_TO_SOCKET_OR_NULL);
  EXPECT_EQ(get_func_proto(func::sk_assign, {.type = BPF_PROG_TYPE_SCHED_ACT})->args[1], ARG_PTR_TO_BTF_ID_SOCK_COMMON);
}

TEST(GetFuncProto, StructOps) {
  const auto ops = [](const char* name, u32 member) {
    return ProgTraits{.type = BPF_PROG_TYPE_STRUCT_OPS, .expected_attach_type = member, .attach_func_name = name};
  };
  EXPECT_TRUE(may(func::tcp_send_ack, ops("tcp_congestion_ops", 1)));
  EXPECT_TRUE(may(func::setsockopt, ops("tcp_congestion_ops", 16)));
  EXPECT_FALSE(may(func::setsockopt, ops("tcp_congestion_ops", 17)));  // release
  EXPECT_FALSE(may(func::tcp_send_ack, ops("sched_ext_ops", 1)));
  EXPECT_TRUE(may(func::task_storage_get, ops("sched_ext_ops", 1)));
  EXPECT_FALSE(may(func::task_storage_get, ops("tcp_congestion_ops", 1)));
  EXPECT_TRUE(may(func::map_lookup_elem, ops("other_ops", 1)));
  EXPECT_FALSE(may(func::map_lookup_elem, ops("bpf_dummy_ops", 1)));
}

TEST(FuncAllowed, Places) {
  const auto allowed = [](u32 id, const ProgTraits& prog) { return func_allowed(*get_func_proto(id, prog), prog); };
  EXPECT_TRUE(allowed(func::map_lookup_elem, tracing(BPF_TRACE_FENTRY)));
  EXPECT_TRUE(allowed(func::d_path, tracing(BPF_TRACE_FENTRY, "vfs_getattr")));
  EXPECT_FALSE(allowed(func::d_path, tracing(BPF_TRACE_FENTRY, "vfs_getattr_nosec")));
  EXPECT_FALSE(allowed(func::d_path, tracing(BPF_TRACE_FENTRY)));
  EXPECT_TRUE(allowed(func::d_path, tracing(BPF_TRACE_ITER, "bpf_iter_task_file")));
  EXPECT_TRUE(allowed(func::d_path, lsm(BPF_LSM_MAC, "bpf_lsm_file_open")));
  EXPECT_FALSE(allowed(func::d_path, lsm(BPF_LSM_MAC, "file_permission")));
  EXPECT_FALSE(allowed(func::d_path, {.type = BPF_PROG_TYPE_SYSCALL}));
  EXPECT_TRUE(allowed(func::ima_file_hash, lsm(BPF_LSM_MAC, "bprm_committed_creds")));
  EXPECT_FALSE(allowed(func::ima_file_hash, lsm(BPF_LSM_MAC, "task_free")));
  EXPECT_TRUE(allowed(func::sk_storage_get, tracing(BPF_TRACE_FEXIT, "tcp_connect")));
  EXPECT_FALSE(allowed(func::sk_storage_get, tracing(BPF_TRACE_FEXIT, "bpf_sk_storage_free")));
  EXPECT_FALSE(allowed(func::sk_storage_get, tracing(BPF_TRACE_FEXIT)));
  EXPECT_FALSE(allowed(func::sk_storage_get, tracing(BPF_MODIFY_RETURN, "tcp_connect")));
  EXPECT_TRUE(allowed(func::sk_storage_delete, tracing(BPF_TRACE_RAW_TP, "sched_switch")));
  EXPECT_TRUE(lsm_hook_is_sleepable("userns_create"));
  EXPECT_FALSE(lsm_hook_is_sleepable("userns"));
  EXPECT_FALSE(lsm_hook_is_sleepable(nullptr));
}

/// Map types by hand, of the helpers that choose; of the others those that take all but what chooses.
TEST(MapFunc, BothWays) {
  const std::set<u32> plain = {BPF_MAP_TYPE_HASH,         BPF_MAP_TYPE_ARRAY,      BPF_MAP_TYPE_PERCPU_HASH,
                               BPF_MAP_TYPE_PERCPU_ARRAY, BPF_MAP_TYPE_LRU_HASH,   BPF_MAP_TYPE_LRU_PERCPU_HASH,
                               BPF_MAP_TYPE_LPM_TRIE,     BPF_MAP_TYPE_STRUCT_OPS, BPF_MAP_TYPE_ARENA};
  const auto types_of = [](u32 id) {
    std::set<u32> types;
    for (u32 t = 0; t < MAX_BPF_MAP_TYPE_ + 5; ++t)
      if (map_func_compatible(t, id)) types.insert(t);
    return types;
  };
  const auto and_plain = [&](std::set<u32> types) {
    types.insert(plain.begin(), plain.end());
    return types;
  };
  using Set = std::set<u32>;
  EXPECT_EQ(types_of(func::map_lookup_elem),
            and_plain({BPF_MAP_TYPE_DEVMAP, BPF_MAP_TYPE_DEVMAP_HASH, BPF_MAP_TYPE_XSKMAP, BPF_MAP_TYPE_ARRAY_OF_MAPS,
                       BPF_MAP_TYPE_HASH_OF_MAPS, BPF_MAP_TYPE_SOCKMAP, BPF_MAP_TYPE_SOCKHASH}));
  EXPECT_EQ(types_of(func::map_update_elem), and_plain({BPF_MAP_TYPE_SOCKMAP, BPF_MAP_TYPE_SOCKHASH}));
  EXPECT_EQ(types_of(func::kptr_xchg),
            and_plain({BPF_MAP_TYPE_SK_STORAGE, BPF_MAP_TYPE_INODE_STORAGE, BPF_MAP_TYPE_TASK_STORAGE, BPF_MAP_TYPE_CGRP_STORAGE}));
  EXPECT_EQ(types_of(func::for_each_map_elem), plain);
  EXPECT_EQ(types_of(func::timer_init), plain);
  EXPECT_EQ(types_of(func::tail_call), Set{BPF_MAP_TYPE_PROG_ARRAY});
  EXPECT_EQ(types_of(func::perf_event_read), Set{BPF_MAP_TYPE_PERF_EVENT_ARRAY});
  EXPECT_EQ(types_of(func::ringbuf_query), Set{BPF_MAP_TYPE_RINGBUF});
  EXPECT_EQ(types_of(func::user_ringbuf_drain), Set{BPF_MAP_TYPE_USER_RINGBUF});
  EXPECT_EQ(types_of(func::get_stackid), Set{BPF_MAP_TYPE_STACK_TRACE});
  EXPECT_EQ(types_of(func::current_task_under_cgroup), Set{BPF_MAP_TYPE_CGROUP_ARRAY});
  EXPECT_EQ(types_of(func::get_local_storage), (Set{BPF_MAP_TYPE_CGROUP_STORAGE, BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE}));
  EXPECT_EQ(types_of(func::redirect_map),
            (Set{BPF_MAP_TYPE_DEVMAP, BPF_MAP_TYPE_DEVMAP_HASH, BPF_MAP_TYPE_CPUMAP, BPF_MAP_TYPE_XSKMAP}));
  EXPECT_EQ(types_of(func::sock_map_update), Set{BPF_MAP_TYPE_SOCKMAP});
  EXPECT_EQ(types_of(func::msg_redirect_hash), Set{BPF_MAP_TYPE_SOCKHASH});
  EXPECT_EQ(types_of(func::sk_select_reuseport),
            (Set{BPF_MAP_TYPE_SOCKMAP, BPF_MAP_TYPE_SOCKHASH, BPF_MAP_TYPE_REUSEPORT_SOCKARRAY}));
  EXPECT_EQ(types_of(func::map_pop_elem), (Set{BPF_MAP_TYPE_QUEUE, BPF_MAP_TYPE_STACK}));
  EXPECT_EQ(types_of(func::map_push_elem), (Set{BPF_MAP_TYPE_QUEUE, BPF_MAP_TYPE_STACK, BPF_MAP_TYPE_BLOOM_FILTER}));
  EXPECT_EQ(types_of(func::map_lookup_percpu_elem),
            (Set{BPF_MAP_TYPE_PERCPU_ARRAY, BPF_MAP_TYPE_PERCPU_HASH, BPF_MAP_TYPE_LRU_PERCPU_HASH}));
  EXPECT_EQ(types_of(func::task_storage_get), Set{BPF_MAP_TYPE_TASK_STORAGE});
  EXPECT_EQ(types_of(func::max_id), Set{});
}

TEST(MapFunc, Sockmaps) {
  EXPECT_TRUE(may_update_sockmap(func::map_update_elem, {.type = BPF_PROG_TYPE_XDP}));
  EXPECT_FALSE(may_update_sockmap(func::map_lookup_elem, {.type = BPF_PROG_TYPE_XDP}));
  EXPECT_FALSE(may_update_sockmap(func::map_update_elem, {.type = BPF_PROG_TYPE_SOCK_OPS}));
  EXPECT_TRUE(may_update_sockmap(func::map_delete_elem, {.type = BPF_PROG_TYPE_SOCK_OPS}));
  EXPECT_FALSE(may_update_sockmap(func::map_update_elem, {.type = BPF_PROG_TYPE_KPROBE}));
  EXPECT_FALSE(may_update_sockmap(func::map_update_elem, tracing(BPF_TRACE_FENTRY)));
  EXPECT_TRUE(may_update_sockmap(func::map_update_elem, tracing(BPF_TRACE_ITER)));
}

TEST(MapFunc, Writers) {
  for (const u32 id : {func::map_update_elem, func::map_delete_elem, func::map_push_elem, func::map_pop_elem})
    EXPECT_TRUE(func_writes_map(id));
  EXPECT_FALSE(func_writes_map(func::map_peek_elem));
  EXPECT_FALSE(func_writes_map(func::map_lookup_elem));
}

}  // namespace
}  // namespace skep::test
