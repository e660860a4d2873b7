// progtypes: protos of helpers: sockets. Internal to the room: get_func_proto.cc makes one table of all. Linux: net/core/filter.c,
// net/core/sock_map.c, net/ipv4/bpf_tcp_ca.c
#pragma once
#include "progtypes/proto_table.h"

namespace skep {

inline constexpr FuncProto bpf_get_socket_cookie_proto = {.id = func::get_socket_cookie, .args = {ARG_PTR_TO_CTX}};
inline constexpr FuncProto bpf_get_socket_ptr_cookie_proto = {.id = func::get_socket_cookie, .args = {SOCK_COMMON_OR_NULL}};
inline constexpr FuncProto bpf_get_socket_uid_proto = {.id = func::get_socket_uid, .args = {ARG_PTR_TO_CTX}};
inline constexpr FuncProto bpf_sk_setsockopt_proto = {
    .id = func::setsockopt, .args = {ARG_PTR_TO_BTF_ID_SOCK_COMMON, ARG_ANYTHING, ARG_ANYTHING, RDONLY_MEM, ARG_CONST_SIZE}};
inline constexpr FuncProto bpf_sock_addr_setsockopt_proto = {
    .id = func::setsockopt, .args = {ARG_PTR_TO_CTX, ARG_ANYTHING, ARG_ANYTHING, RDONLY_MEM, ARG_CONST_SIZE}};
inline constexpr FuncProto bpf_sk_redirect_map_proto = {.id = func::sk_redirect_map,
                                                        .args = {ARG_PTR_TO_CTX, ARG_CONST_MAP_PTR, ARG_ANYTHING, ARG_ANYTHING}};
inline constexpr FuncProto bpf_sock_map_update_proto = {
    .id = func::sock_map_update, .pkt_access = true, .args = {ARG_PTR_TO_CTX, ARG_CONST_MAP_PTR, ARG_PTR_TO_MAP_KEY, ARG_ANYTHING}};
inline constexpr FuncProto bpf_sk_getsockopt_proto = {
    .id = func::getsockopt,
    .args = {ARG_PTR_TO_BTF_ID_SOCK_COMMON, ARG_ANYTHING, ARG_ANYTHING, ARG_PTR_TO_UNINIT_MEM, ARG_CONST_SIZE}};
inline constexpr FuncProto bpf_sock_addr_getsockopt_proto = {
    .id = func::getsockopt, .args = {ARG_PTR_TO_CTX, ARG_ANYTHING, ARG_ANYTHING, ARG_PTR_TO_UNINIT_MEM, ARG_CONST_SIZE}};
inline constexpr FuncProto bpf_sock_ops_cb_flags_set_proto = {.id = func::sock_ops_cb_flags_set,
                                                              .args = {ARG_PTR_TO_CTX, ARG_ANYTHING}};
inline constexpr FuncProto bpf_msg_redirect_map_proto = {.id = func::msg_redirect_map,
                                                         .args = {ARG_PTR_TO_CTX, ARG_CONST_MAP_PTR, ARG_ANYTHING, ARG_ANYTHING}};
inline constexpr FuncProto bpf_msg_apply_bytes_proto = {.id = func::msg_apply_bytes, .args = {ARG_PTR_TO_CTX, ARG_ANYTHING}};
inline constexpr FuncProto bpf_msg_cork_bytes_proto = {.id = func::msg_cork_bytes, .args = {ARG_PTR_TO_CTX, ARG_ANYTHING}};
inline constexpr FuncProto bpf_msg_pull_data_proto = {.id = func::msg_pull_data,
                                                      .args = {ARG_PTR_TO_CTX, ARG_ANYTHING, ARG_ANYTHING, ARG_ANYTHING}};
inline constexpr FuncProto bpf_bind_proto = {.id = func::bind, .args = {ARG_PTR_TO_CTX, RDONLY_MEM, ARG_CONST_SIZE}};
inline constexpr FuncProto bpf_sock_hash_update_proto = {
    .id = func::sock_hash_update,
    .pkt_access = true,
    .args = {ARG_PTR_TO_CTX, ARG_CONST_MAP_PTR, ARG_PTR_TO_MAP_KEY, ARG_ANYTHING}};
inline constexpr FuncProto bpf_msg_redirect_hash_proto = {
    .id = func::msg_redirect_hash, .args = {ARG_PTR_TO_CTX, ARG_CONST_MAP_PTR, ARG_PTR_TO_MAP_KEY, ARG_ANYTHING}};
inline constexpr FuncProto bpf_sk_redirect_hash_proto = {
    .id = func::sk_redirect_hash, .args = {ARG_PTR_TO_CTX, ARG_CONST_MAP_PTR, ARG_PTR_TO_MAP_KEY, ARG_ANYTHING}};
inline constexpr FuncProto bpf_sk_select_reuseport_proto = {
    .id = func::sk_select_reuseport, .args = {ARG_PTR_TO_CTX, ARG_CONST_MAP_PTR, ARG_PTR_TO_MAP_KEY, ARG_ANYTHING}};
inline constexpr FuncProto bpf_sk_lookup_tcp_proto = {
    .id = func::sk_lookup_tcp,
    .pkt_access = true,
    .ret = RET_PTR_TO_SOCKET_OR_NULL,
    .args = {ARG_PTR_TO_CTX, RDONLY_MEM, ARG_CONST_SIZE_OR_ZERO, ARG_ANYTHING, ARG_ANYTHING}};
inline constexpr FuncProto bpf_sock_addr_sk_lookup_tcp_proto = {
    .id = func::sk_lookup_tcp,
    .ret = RET_PTR_TO_SOCKET_OR_NULL,
    .args = {ARG_PTR_TO_CTX, RDONLY_MEM, ARG_CONST_SIZE_OR_ZERO, ARG_ANYTHING, ARG_ANYTHING}};
inline constexpr FuncProto bpf_sk_lookup_udp_proto = {
    .id = func::sk_lookup_udp,
    .pkt_access = true,
    .ret = RET_PTR_TO_SOCKET_OR_NULL,
    .args = {ARG_PTR_TO_CTX, RDONLY_MEM, ARG_CONST_SIZE_OR_ZERO, ARG_ANYTHING, ARG_ANYTHING}};
inline constexpr FuncProto bpf_sock_addr_sk_lookup_udp_proto = {
    .id = func::sk_lookup_udp,
    .ret = RET_PTR_TO_SOCKET_OR_NULL,
    .args = {ARG_PTR_TO_CTX, RDONLY_MEM, ARG_CONST_SIZE_OR_ZERO, ARG_ANYTHING, ARG_ANYTHING}};
inline constexpr FuncProto bpf_sk_release_proto = {.id = func::sk_release, .args = {RELEASED_SOCK_COMMON}};
inline constexpr FuncProto bpf_msg_push_data_proto = {.id = func::msg_push_data,
                                                      .args = {ARG_PTR_TO_CTX, ARG_ANYTHING, ARG_ANYTHING, ARG_ANYTHING}};
inline constexpr FuncProto bpf_msg_pop_data_proto = {.id = func::msg_pop_data,
                                                     .args = {ARG_PTR_TO_CTX, ARG_ANYTHING, ARG_ANYTHING, ARG_ANYTHING}};
inline constexpr FuncProto bpf_sk_fullsock_proto = {
    .id = func::sk_fullsock, .ret = RET_PTR_TO_SOCKET_OR_NULL, .args = {ARG_PTR_TO_SOCK_COMMON}};
inline constexpr FuncProto bpf_tcp_sock_proto = {
    .id = func::tcp_sock, .ret = RET_PTR_TO_TCP_SOCK_OR_NULL, .args = {ARG_PTR_TO_SOCK_COMMON}};
inline constexpr FuncProto bpf_get_listener_sock_proto = {
    .id = func::get_listener_sock, .ret = RET_PTR_TO_SOCKET_OR_NULL, .args = {ARG_PTR_TO_SOCK_COMMON}};
inline constexpr FuncProto bpf_skc_lookup_tcp_proto = {
    .id = func::skc_lookup_tcp,
    .pkt_access = true,
    .ret = RET_PTR_TO_SOCK_COMMON_OR_NULL,
    .args = {ARG_PTR_TO_CTX, RDONLY_MEM, ARG_CONST_SIZE_OR_ZERO, ARG_ANYTHING, ARG_ANYTHING}};
inline constexpr FuncProto bpf_sock_addr_skc_lookup_tcp_proto = {
    .id = func::skc_lookup_tcp,
    .ret = RET_PTR_TO_SOCK_COMMON_OR_NULL,
    .args = {ARG_PTR_TO_CTX, RDONLY_MEM, ARG_CONST_SIZE_OR_ZERO, ARG_ANYTHING, ARG_ANYTHING}};
inline constexpr FuncProto bpf_tcp_check_syncookie_proto = {
    .id = func::tcp_check_syncookie,
    .gpl_only = true,
    .pkt_access = true,
    .args = {ARG_PTR_TO_BTF_ID_SOCK_COMMON, RDONLY_MEM, ARG_CONST_SIZE, RDONLY_MEM, ARG_CONST_SIZE}};
inline constexpr FuncProto bpf_tcp_gen_syncookie_proto = {
    .id = func::tcp_gen_syncookie,
    .gpl_only = true,
    .pkt_access = true,
    .args = {ARG_PTR_TO_BTF_ID_SOCK_COMMON, RDONLY_MEM, ARG_CONST_SIZE, RDONLY_MEM, ARG_CONST_SIZE}};
inline constexpr FuncProto bpf_tcp_send_ack_proto = {
    .id = func::tcp_send_ack, .args = {ARG_PTR_TO_BTF_ID, ARG_ANYTHING}, .arg_btf = {0, "tcp_sock"}};
inline constexpr FuncProto bpf_sk_assign_proto = {.id = func::sk_assign,
                                                  .args = {ARG_PTR_TO_CTX, ARG_PTR_TO_BTF_ID_SOCK_COMMON, ARG_ANYTHING}};
inline constexpr FuncProto bpf_sk_lookup_assign_proto = {.id = func::sk_assign,
                                                         .args = {ARG_PTR_TO_CTX, ARG_PTR_TO_SOCKET_OR_NULL, ARG_ANYTHING}};
inline constexpr FuncProto bpf_sk_cgroup_id_proto = {.id = func::sk_cgroup_id, .args = {ARG_PTR_TO_BTF_ID_SOCK_COMMON}};
inline constexpr FuncProto bpf_sk_ancestor_cgroup_id_proto = {.id = func::sk_ancestor_cgroup_id,
                                                              .args = {ARG_PTR_TO_BTF_ID_SOCK_COMMON, ARG_ANYTHING}};
inline constexpr FuncProto bpf_skc_to_tcp6_sock_proto = {.id = func::skc_to_tcp6_sock,
                                                         .ret = RET_PTR_TO_BTF_ID_OR_NULL,
                                                         .args = {ARG_PTR_TO_BTF_ID_SOCK_COMMON},
                                                         .ret_btf = "tcp6_sock"};
inline constexpr FuncProto bpf_skc_to_tcp_sock_proto = {
    .id = func::skc_to_tcp_sock, .ret = RET_PTR_TO_BTF_ID_OR_NULL, .args = {ARG_PTR_TO_BTF_ID_SOCK_COMMON}, .ret_btf = "tcp_sock"};
inline constexpr FuncProto bpf_skc_to_tcp_timewait_sock_proto = {.id = func::skc_to_tcp_timewait_sock,
                                                                 .ret = RET_PTR_TO_BTF_ID_OR_NULL,
                                                                 .args = {ARG_PTR_TO_BTF_ID_SOCK_COMMON},
                                                                 .ret_btf = "tcp_timewait_sock"};
inline constexpr FuncProto bpf_skc_to_tcp_request_sock_proto = {.id = func::skc_to_tcp_request_sock,
                                                                .ret = RET_PTR_TO_BTF_ID_OR_NULL,
                                                                .args = {ARG_PTR_TO_BTF_ID_SOCK_COMMON},
                                                                .ret_btf = "tcp_request_sock"};
inline constexpr FuncProto bpf_skc_to_udp6_sock_proto = {.id = func::skc_to_udp6_sock,
                                                         .ret = RET_PTR_TO_BTF_ID_OR_NULL,
                                                         .args = {ARG_PTR_TO_BTF_ID_SOCK_COMMON},
                                                         .ret_btf = "udp6_sock"};
inline constexpr FuncProto bpf_sock_ops_load_hdr_opt_proto = {.id = func::load_hdr_opt,
                                                              .args = {ARG_PTR_TO_CTX, WRITTEN_MEM, ARG_CONST_SIZE, ARG_ANYTHING}};
inline constexpr FuncProto bpf_sock_ops_store_hdr_opt_proto = {.id = func::store_hdr_opt,
                                                               .args = {ARG_PTR_TO_CTX, RDONLY_MEM, ARG_CONST_SIZE, ARG_ANYTHING}};
inline constexpr FuncProto bpf_sock_ops_reserve_hdr_opt_proto = {.id = func::reserve_hdr_opt,
                                                                 .args = {ARG_PTR_TO_CTX, ARG_ANYTHING, ARG_ANYTHING}};
inline constexpr FuncProto bpf_sock_from_file_proto = {.id = func::sock_from_file,
                                                       .ret = RET_PTR_TO_BTF_ID_OR_NULL,
                                                       .args = {ARG_PTR_TO_BTF_ID},
                                                       .arg_btf = {0, "file"},
                                                       .ret_btf = "socket"};
inline constexpr FuncProto bpf_skc_to_unix_sock_proto = {.id = func::skc_to_unix_sock,
                                                         .ret = RET_PTR_TO_BTF_ID_OR_NULL,
                                                         .args = {ARG_PTR_TO_BTF_ID_SOCK_COMMON},
                                                         .ret_btf = "unix_sock"};
inline constexpr FuncProto bpf_skc_to_mptcp_sock_proto = {
    .id = func::skc_to_mptcp_sock, .ret = RET_PTR_TO_BTF_ID_OR_NULL, .args = {ARG_PTR_TO_SOCK_COMMON}, .ret_btf = "mptcp_sock"};
inline constexpr FuncProto bpf_tcp_raw_gen_syncookie_ipv4_proto = {
    .id = func::tcp_raw_gen_syncookie_ipv4,
    .gpl_only = true,
    .pkt_access = true,
    .args = {ARG_PTR_TO_FIXED_SIZE_MEM, ARG_PTR_TO_MEM, ARG_CONST_SIZE_OR_ZERO},
    .arg_size = {20}};
inline constexpr FuncProto bpf_tcp_raw_gen_syncookie_ipv6_proto = {
    .id = func::tcp_raw_gen_syncookie_ipv6,
    .gpl_only = true,
    .pkt_access = true,
    .args = {ARG_PTR_TO_FIXED_SIZE_MEM, ARG_PTR_TO_MEM, ARG_CONST_SIZE_OR_ZERO},
    .arg_size = {40}};
inline constexpr FuncProto bpf_tcp_raw_check_syncookie_ipv4_proto = {.id = func::tcp_raw_check_syncookie_ipv4,
                                                                     .gpl_only = true,
                                                                     .pkt_access = true,
                                                                     .args = {ARG_PTR_TO_FIXED_SIZE_MEM, ARG_PTR_TO_FIXED_SIZE_MEM},
                                                                     .arg_size = {20, 20}};
inline constexpr FuncProto bpf_tcp_raw_check_syncookie_ipv6_proto = {.id = func::tcp_raw_check_syncookie_ipv6,
                                                                     .gpl_only = true,
                                                                     .pkt_access = true,
                                                                     .args = {ARG_PTR_TO_FIXED_SIZE_MEM, ARG_PTR_TO_FIXED_SIZE_MEM},
                                                                     .arg_size = {40, 20}};

}  // namespace skep
