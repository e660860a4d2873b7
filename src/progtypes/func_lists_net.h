// progtypes: the lists of helpers that the chains of program types are made of: the net. Data for func_table.cc. Linux:
// net/core/filter.c
#pragma once
#include "progtypes/func_lists.h"

namespace skep {

// clang-format off
/// Linux: bpf_sk_base_func_proto()
constexpr Opens SK_BASE_LIST[] = {
    {bpf_skc_to_tcp6_sock_proto, When::Perfmon}, {bpf_skc_to_tcp_sock_proto, When::Perfmon},
    {bpf_skc_to_tcp_timewait_sock_proto, When::Perfmon}, {bpf_skc_to_tcp_request_sock_proto, When::Perfmon},
    {bpf_skc_to_udp6_sock_proto, When::Perfmon}, {bpf_skc_to_unix_sock_proto, When::Perfmon},
    {bpf_skc_to_mptcp_sock_proto, When::Perfmon}, bpf_ktime_get_coarse_ns_proto,
};

/// Linux: sk_filter_func_proto()
constexpr Opens SK_FILTER_LIST[] = {
    bpf_skb_load_bytes_proto, bpf_skb_load_bytes_relative_proto, bpf_get_socket_cookie_proto, bpf_get_socket_uid_proto,
    bpf_perf_event_output_proto,
};

/// Linux: cg_skb_func_proto()
constexpr Opens CGROUP_SKB_LIST[] = {
    bpf_sk_fullsock_proto, bpf_sk_storage_get_proto, bpf_sk_storage_delete_proto, bpf_perf_event_output_proto,
    bpf_skb_cgroup_id_proto, bpf_skb_ancestor_cgroup_id_proto, bpf_sk_cgroup_id_proto, bpf_sk_ancestor_cgroup_id_proto,
    bpf_sk_lookup_tcp_proto, bpf_sk_lookup_udp_proto, bpf_sk_release_proto, bpf_skc_lookup_tcp_proto, bpf_tcp_sock_proto,
    bpf_get_listener_sock_proto, bpf_skb_ecn_set_ce_proto,
};

/// Linux: sock_filter_func_proto()
constexpr Opens CGROUP_SOCK_LIST[] = {
    bpf_get_socket_cookie_proto, bpf_get_netns_cookie_proto, bpf_perf_event_output_proto, bpf_sk_storage_get_cg_sock_proto,
    bpf_ktime_get_coarse_ns_proto,
};

/// Linux: sock_addr_func_proto()
constexpr Opens SOCK_ADDR_LIST[] = {
    {bpf_bind_proto, When::BindAttach}, bpf_get_socket_cookie_proto, bpf_get_netns_cookie_proto, bpf_perf_event_output_proto,
    bpf_sock_addr_sk_lookup_tcp_proto, bpf_sock_addr_sk_lookup_udp_proto, bpf_sk_release_proto, bpf_sock_addr_skc_lookup_tcp_proto,
    bpf_sk_storage_get_proto, bpf_sk_storage_delete_proto, {bpf_sock_addr_setsockopt_proto, When::SockAddrSockoptAttach},
    {bpf_sock_addr_getsockopt_proto, When::SockAddrSockoptAttach},
};

/// Linux: sock_ops_func_proto()
constexpr Opens SOCK_OPS_LIST[] = {
    bpf_sock_addr_setsockopt_proto, bpf_sock_addr_getsockopt_proto, bpf_sock_ops_cb_flags_set_proto, bpf_sock_map_update_proto,
    bpf_sock_hash_update_proto, bpf_get_socket_cookie_proto, bpf_perf_event_output_proto, bpf_sk_storage_get_proto,
    bpf_sk_storage_delete_proto, bpf_get_netns_cookie_proto, bpf_sock_ops_load_hdr_opt_proto, bpf_sock_ops_store_hdr_opt_proto,
    bpf_sock_ops_reserve_hdr_opt_proto, bpf_tcp_sock_proto,
};

/// Linux: tc_cls_act_func_proto()
constexpr Opens SCHED_LIST[] = {
    bpf_skb_store_bytes_proto, bpf_skb_load_bytes_proto, bpf_skb_load_bytes_relative_proto, bpf_skb_pull_data_proto,
    bpf_csum_diff_proto, bpf_csum_update_proto, bpf_csum_level_proto, bpf_l3_csum_replace_proto, bpf_l4_csum_replace_proto,
    bpf_clone_redirect_proto, bpf_get_cgroup_classid_proto, bpf_skb_vlan_push_proto, bpf_skb_vlan_pop_proto,
    bpf_skb_change_proto_proto, bpf_skb_change_type_proto, bpf_skb_adjust_room_proto, bpf_skb_change_tail_proto,
    bpf_skb_change_head_proto, bpf_skb_get_tunnel_key_proto, bpf_skb_set_tunnel_key_proto, bpf_skb_get_tunnel_opt_proto,
    bpf_skb_set_tunnel_opt_proto, bpf_redirect_proto, bpf_redirect_neigh_proto, bpf_redirect_peer_proto, bpf_get_route_realm_proto,
    bpf_get_hash_recalc_proto, bpf_set_hash_invalid_proto, bpf_set_hash_proto, bpf_perf_event_output_proto,
    bpf_get_smp_processor_id_proto, bpf_skb_under_cgroup_proto, bpf_get_socket_cookie_proto, bpf_get_socket_uid_proto,
    bpf_fib_lookup_proto, bpf_check_mtu_proto, bpf_sk_fullsock_proto, bpf_sk_storage_get_proto, bpf_sk_storage_delete_proto,
    bpf_skb_get_xfrm_state_proto, bpf_skb_cgroup_classid_proto, bpf_skb_cgroup_id_proto, bpf_skb_ancestor_cgroup_id_proto,
    bpf_sk_lookup_tcp_proto, bpf_sk_lookup_udp_proto, bpf_sk_release_proto, bpf_tcp_sock_proto, bpf_get_listener_sock_proto,
    bpf_skc_lookup_tcp_proto, bpf_tcp_check_syncookie_proto, bpf_skb_ecn_set_ce_proto, bpf_tcp_gen_syncookie_proto,
    bpf_sk_assign_proto, bpf_skb_set_tstamp_proto, bpf_tcp_raw_gen_syncookie_ipv4_proto, bpf_tcp_raw_gen_syncookie_ipv6_proto,
    bpf_tcp_raw_check_syncookie_ipv4_proto, bpf_tcp_raw_check_syncookie_ipv6_proto,
};

/// Linux: xdp_func_proto()
constexpr Opens XDP_LIST[] = {
    bpf_perf_event_output_proto, bpf_get_smp_processor_id_proto, bpf_csum_diff_proto, bpf_xdp_adjust_head_proto,
    bpf_xdp_adjust_meta_proto, bpf_redirect_proto, bpf_xdp_redirect_map_proto, bpf_xdp_adjust_tail_proto,
    bpf_xdp_get_buff_len_proto, bpf_xdp_load_bytes_proto, bpf_xdp_store_bytes_proto, bpf_fib_lookup_proto, bpf_check_mtu_proto,
    bpf_sk_lookup_udp_proto, bpf_sk_lookup_tcp_proto, bpf_sk_release_proto, bpf_skc_lookup_tcp_proto, bpf_tcp_check_syncookie_proto,
    bpf_tcp_gen_syncookie_proto, bpf_tcp_raw_gen_syncookie_ipv4_proto, bpf_tcp_raw_gen_syncookie_ipv6_proto,
    bpf_tcp_raw_check_syncookie_ipv4_proto, bpf_tcp_raw_check_syncookie_ipv6_proto,
};

/// Linux: sk_msg_func_proto()
constexpr Opens SK_MSG_LIST[] = {
    bpf_msg_redirect_map_proto, bpf_msg_redirect_hash_proto, bpf_msg_apply_bytes_proto, bpf_msg_cork_bytes_proto,
    bpf_msg_pull_data_proto, bpf_msg_push_data_proto, bpf_msg_pop_data_proto, bpf_perf_event_output_proto,
    bpf_get_current_uid_gid_proto, bpf_sk_storage_get_proto, bpf_sk_storage_delete_proto, bpf_get_netns_cookie_proto,
    bpf_get_cgroup_classid_curr_proto,
};

/// Linux: sk_skb_func_proto()
constexpr Opens SK_SKB_LIST[] = {
    bpf_skb_store_bytes_proto, bpf_skb_load_bytes_proto, bpf_skb_pull_data_proto, bpf_skb_change_tail_proto,
    bpf_skb_change_head_proto, bpf_skb_adjust_room_proto, bpf_get_socket_cookie_proto, bpf_get_socket_uid_proto,
    bpf_sk_redirect_map_proto, bpf_sk_redirect_hash_proto, bpf_perf_event_output_proto, bpf_sk_lookup_tcp_proto,
    bpf_sk_lookup_udp_proto, bpf_sk_release_proto, bpf_skc_lookup_tcp_proto,
};

/// Linux: sk_reuseport_func_proto()
constexpr Opens SK_REUSEPORT_LIST[] = {
    bpf_sk_select_reuseport_proto, bpf_skb_load_bytes_proto, bpf_skb_load_bytes_relative_proto, bpf_get_socket_ptr_cookie_proto,
    bpf_ktime_get_coarse_ns_proto,
};

/// Linux: sk_lookup_func_proto()
constexpr Opens SK_LOOKUP_LIST[] = {bpf_perf_event_output_proto, bpf_sk_lookup_assign_proto, bpf_sk_release_proto};

/// Linux: flow_dissector_func_proto()
constexpr Opens FLOW_DISSECTOR_LIST[] = {bpf_skb_load_bytes_proto};

/// Linux: lwt_out_func_proto()
constexpr Opens LWT_OUT_LIST[] = {
    bpf_skb_load_bytes_proto, bpf_skb_pull_data_proto, bpf_csum_diff_proto, bpf_get_cgroup_classid_proto, bpf_get_route_realm_proto,
    bpf_get_hash_recalc_proto, bpf_perf_event_output_proto, bpf_get_smp_processor_id_proto, bpf_skb_under_cgroup_proto,
};

/// Linux: lwt_in_func_proto()
constexpr Opens LWT_IN_LIST[] = {bpf_lwt_push_encap_proto};

/// Linux: lwt_xmit_func_proto()
constexpr Opens LWT_XMIT_LIST[] = {
    bpf_skb_get_tunnel_key_proto, bpf_skb_set_tunnel_key_proto, bpf_skb_get_tunnel_opt_proto, bpf_skb_set_tunnel_opt_proto,
    bpf_redirect_proto, bpf_clone_redirect_proto, bpf_skb_change_tail_proto, bpf_skb_change_head_proto, bpf_skb_store_bytes_proto,
    bpf_csum_update_proto, bpf_csum_level_proto, bpf_l3_csum_replace_proto, bpf_l4_csum_replace_proto, bpf_set_hash_invalid_proto,
    bpf_lwt_push_encap_proto,
};

/// Linux: lwt_seg6local_func_proto()
constexpr Opens LWT_SEG6LOCAL_LIST[] = {
    {bpf_skb_pull_data_proto, When::Never}, bpf_lwt_seg6_store_bytes_proto, bpf_lwt_seg6_action_proto,
    bpf_lwt_seg6_adjust_srh_proto,
};

// clang-format on

}  // namespace skep
