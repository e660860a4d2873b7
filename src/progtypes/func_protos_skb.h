// progtypes: protos of helpers: packets in socket buffers. Internal to the room: get_func_proto.cc makes one table of all. Linux:
// net/core/filter.c
#pragma once
#include "progtypes/proto_table.h"

namespace skep {

inline constexpr FuncProto bpf_skb_store_bytes_proto = {
    .id = func::skb_store_bytes, .args = {ARG_PTR_TO_CTX, ARG_ANYTHING, RDONLY_MEM, ARG_CONST_SIZE, ARG_ANYTHING}};
inline constexpr FuncProto bpf_l3_csum_replace_proto = {
    .id = func::l3_csum_replace, .args = {ARG_PTR_TO_CTX, ARG_ANYTHING, ARG_ANYTHING, ARG_ANYTHING, ARG_ANYTHING}};
inline constexpr FuncProto bpf_l4_csum_replace_proto = {
    .id = func::l4_csum_replace, .args = {ARG_PTR_TO_CTX, ARG_ANYTHING, ARG_ANYTHING, ARG_ANYTHING, ARG_ANYTHING}};
inline constexpr FuncProto bpf_clone_redirect_proto = {.id = func::clone_redirect,
                                                       .args = {ARG_PTR_TO_CTX, ARG_ANYTHING, ARG_ANYTHING}};
inline constexpr FuncProto bpf_get_cgroup_classid_curr_proto = {.id = func::get_cgroup_classid};
inline constexpr FuncProto bpf_get_cgroup_classid_proto = {.id = func::get_cgroup_classid, .args = {ARG_PTR_TO_CTX}};
inline constexpr FuncProto bpf_skb_vlan_push_proto = {.id = func::skb_vlan_push,
                                                      .args = {ARG_PTR_TO_CTX, ARG_ANYTHING, ARG_ANYTHING}};
inline constexpr FuncProto bpf_skb_vlan_pop_proto = {.id = func::skb_vlan_pop, .args = {ARG_PTR_TO_CTX}};
inline constexpr FuncProto bpf_skb_get_tunnel_key_proto = {
    .id = func::skb_get_tunnel_key, .args = {ARG_PTR_TO_CTX, ARG_PTR_TO_UNINIT_MEM, ARG_CONST_SIZE, ARG_ANYTHING}};
inline constexpr FuncProto bpf_skb_set_tunnel_key_proto = {.id = func::skb_set_tunnel_key,
                                                           .args = {ARG_PTR_TO_CTX, RDONLY_MEM, ARG_CONST_SIZE, ARG_ANYTHING}};
inline constexpr FuncProto bpf_redirect_proto = {.id = func::redirect, .args = {ARG_ANYTHING, ARG_ANYTHING}};
inline constexpr FuncProto bpf_get_route_realm_proto = {.id = func::get_route_realm, .args = {ARG_PTR_TO_CTX}};
inline constexpr FuncProto bpf_skb_load_bytes_proto = {
    .id = func::skb_load_bytes, .args = {ARG_PTR_TO_CTX, ARG_ANYTHING, ARG_PTR_TO_UNINIT_MEM, ARG_CONST_SIZE}};
inline constexpr FuncProto bpf_csum_diff_proto = {
    .id = func::csum_diff,
    .pkt_access = true,
    .args = {RDONLY_MEM_OR_NULL, ARG_CONST_SIZE_OR_ZERO, RDONLY_MEM_OR_NULL, ARG_CONST_SIZE_OR_ZERO, ARG_ANYTHING}};
inline constexpr FuncProto bpf_skb_get_tunnel_opt_proto = {.id = func::skb_get_tunnel_opt,
                                                           .args = {ARG_PTR_TO_CTX, ARG_PTR_TO_UNINIT_MEM, ARG_CONST_SIZE}};
inline constexpr FuncProto bpf_skb_set_tunnel_opt_proto = {.id = func::skb_set_tunnel_opt,
                                                           .args = {ARG_PTR_TO_CTX, RDONLY_MEM, ARG_CONST_SIZE}};
inline constexpr FuncProto bpf_skb_change_proto_proto = {.id = func::skb_change_proto,
                                                         .args = {ARG_PTR_TO_CTX, ARG_ANYTHING, ARG_ANYTHING}};
inline constexpr FuncProto bpf_skb_change_type_proto = {.id = func::skb_change_type, .args = {ARG_PTR_TO_CTX, ARG_ANYTHING}};
inline constexpr FuncProto bpf_skb_under_cgroup_proto = {.id = func::skb_under_cgroup,
                                                         .args = {ARG_PTR_TO_CTX, ARG_CONST_MAP_PTR, ARG_ANYTHING}};
inline constexpr FuncProto bpf_get_hash_recalc_proto = {.id = func::get_hash_recalc, .args = {ARG_PTR_TO_CTX}};
inline constexpr FuncProto bpf_skb_change_tail_proto = {.id = func::skb_change_tail,
                                                        .args = {ARG_PTR_TO_CTX, ARG_ANYTHING, ARG_ANYTHING}};
inline constexpr FuncProto bpf_skb_pull_data_proto = {.id = func::skb_pull_data, .args = {ARG_PTR_TO_CTX, ARG_ANYTHING}};
inline constexpr FuncProto bpf_csum_update_proto = {.id = func::csum_update, .args = {ARG_PTR_TO_CTX, ARG_ANYTHING}};
inline constexpr FuncProto bpf_set_hash_invalid_proto = {.id = func::set_hash_invalid, .args = {ARG_PTR_TO_CTX}};
inline constexpr FuncProto bpf_skb_change_head_proto = {.id = func::skb_change_head,
                                                        .args = {ARG_PTR_TO_CTX, ARG_ANYTHING, ARG_ANYTHING}};
inline constexpr FuncProto bpf_set_hash_proto = {.id = func::set_hash, .args = {ARG_PTR_TO_CTX, ARG_ANYTHING}};
inline constexpr FuncProto bpf_skb_adjust_room_proto = {.id = func::skb_adjust_room,
                                                        .args = {ARG_PTR_TO_CTX, ARG_ANYTHING, ARG_ANYTHING, ARG_ANYTHING}};
inline constexpr FuncProto bpf_skb_get_xfrm_state_proto = {
    .id = func::skb_get_xfrm_state, .args = {ARG_PTR_TO_CTX, ARG_ANYTHING, ARG_PTR_TO_UNINIT_MEM, ARG_CONST_SIZE, ARG_ANYTHING}};
inline constexpr FuncProto bpf_skb_load_bytes_relative_proto = {
    .id = func::skb_load_bytes_relative,
    .args = {ARG_PTR_TO_CTX, ARG_ANYTHING, ARG_PTR_TO_UNINIT_MEM, ARG_CONST_SIZE, ARG_ANYTHING}};
inline constexpr FuncProto bpf_fib_lookup_proto = {
    .id = func::fib_lookup, .gpl_only = true, .args = {ARG_PTR_TO_CTX, ARG_PTR_TO_MEM, ARG_CONST_SIZE, ARG_ANYTHING}};
inline constexpr FuncProto bpf_lwt_push_encap_proto = {.id = func::lwt_push_encap,
                                                       .args = {ARG_PTR_TO_CTX, ARG_ANYTHING, RDONLY_MEM, ARG_CONST_SIZE}};
inline constexpr FuncProto bpf_lwt_seg6_store_bytes_proto = {.id = func::lwt_seg6_store_bytes,
                                                             .args = {ARG_PTR_TO_CTX, ARG_ANYTHING, RDONLY_MEM, ARG_CONST_SIZE}};
inline constexpr FuncProto bpf_lwt_seg6_adjust_srh_proto = {.id = func::lwt_seg6_adjust_srh,
                                                            .args = {ARG_PTR_TO_CTX, ARG_ANYTHING, ARG_ANYTHING}};
inline constexpr FuncProto bpf_lwt_seg6_action_proto = {.id = func::lwt_seg6_action,
                                                        .args = {ARG_PTR_TO_CTX, ARG_ANYTHING, RDONLY_MEM, ARG_CONST_SIZE}};
inline constexpr FuncProto bpf_skb_cgroup_id_proto = {.id = func::skb_cgroup_id, .args = {ARG_PTR_TO_CTX}};
inline constexpr FuncProto bpf_skb_ancestor_cgroup_id_proto = {.id = func::skb_ancestor_cgroup_id,
                                                               .args = {ARG_PTR_TO_CTX, ARG_ANYTHING}};
inline constexpr FuncProto bpf_skb_ecn_set_ce_proto = {.id = func::skb_ecn_set_ce, .args = {ARG_PTR_TO_CTX}};
inline constexpr FuncProto bpf_skb_output_proto = {
    .id = func::skb_output,
    .gpl_only = true,
    .args = {ARG_PTR_TO_BTF_ID, ARG_CONST_MAP_PTR, ARG_ANYTHING, RDONLY_MEM, ARG_CONST_SIZE_OR_ZERO},
    .arg_btf = {0, "sk_buff"}};
inline constexpr FuncProto bpf_csum_level_proto = {.id = func::csum_level, .args = {ARG_PTR_TO_CTX, ARG_ANYTHING}};
inline constexpr FuncProto bpf_skb_cgroup_classid_proto = {.id = func::skb_cgroup_classid, .args = {ARG_PTR_TO_CTX}};
inline constexpr FuncProto bpf_redirect_neigh_proto = {
    .id = func::redirect_neigh, .args = {ARG_ANYTHING, RDONLY_MEM_OR_NULL, ARG_CONST_SIZE_OR_ZERO, ARG_ANYTHING}};
inline constexpr FuncProto bpf_redirect_peer_proto = {.id = func::redirect_peer, .args = {ARG_ANYTHING, ARG_ANYTHING}};
inline constexpr FuncProto bpf_check_mtu_proto = {
    .id = func::check_mtu,
    .gpl_only = true,
    .args = {ARG_PTR_TO_CTX, ARG_ANYTHING, WRITTEN_FIXED_SIZE_MEM, ARG_ANYTHING, ARG_ANYTHING},
    .arg_size = {0, 0, 4}};
inline constexpr FuncProto bpf_skb_set_tstamp_proto = {.id = func::skb_set_tstamp,
                                                       .args = {ARG_PTR_TO_CTX, ARG_ANYTHING, ARG_ANYTHING}};

}  // namespace skep
