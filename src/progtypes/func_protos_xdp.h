// progtypes: protos of helpers: packets in XDP buffers. Internal to the room: get_func_proto.cc makes one table of all. Linux:
// net/core/filter.c
#pragma once
#include "progtypes/proto_table.h"

namespace skep {

inline constexpr FuncProto bpf_xdp_adjust_head_proto = {.id = func::xdp_adjust_head, .args = {ARG_PTR_TO_CTX, ARG_ANYTHING}};
inline constexpr FuncProto bpf_xdp_redirect_map_proto = {.id = func::redirect_map,
                                                         .args = {ARG_CONST_MAP_PTR, ARG_ANYTHING, ARG_ANYTHING}};
inline constexpr FuncProto bpf_xdp_adjust_meta_proto = {.id = func::xdp_adjust_meta, .args = {ARG_PTR_TO_CTX, ARG_ANYTHING}};
inline constexpr FuncProto bpf_xdp_adjust_tail_proto = {.id = func::xdp_adjust_tail, .args = {ARG_PTR_TO_CTX, ARG_ANYTHING}};
inline constexpr FuncProto bpf_xdp_output_proto = {
    .id = func::xdp_output,
    .gpl_only = true,
    .args = {ARG_PTR_TO_BTF_ID, ARG_CONST_MAP_PTR, ARG_ANYTHING, RDONLY_MEM, ARG_CONST_SIZE_OR_ZERO},
    .arg_btf = {0, "xdp_buff"}};
inline constexpr FuncProto bpf_xdp_get_buff_len_proto = {.id = func::xdp_get_buff_len, .args = {ARG_PTR_TO_CTX}};
inline constexpr FuncProto bpf_xdp_get_buff_len_trace_proto = {
    .id = func::xdp_get_buff_len, .args = {ARG_PTR_TO_BTF_ID}, .arg_btf = {0, "xdp_buff"}};
inline constexpr FuncProto bpf_xdp_load_bytes_proto = {
    .id = func::xdp_load_bytes, .args = {ARG_PTR_TO_CTX, ARG_ANYTHING, ARG_PTR_TO_UNINIT_MEM, ARG_CONST_SIZE}};
inline constexpr FuncProto bpf_xdp_store_bytes_proto = {.id = func::xdp_store_bytes,
                                                        .args = {ARG_PTR_TO_CTX, ARG_ANYTHING, RDONLY_MEM, ARG_CONST_SIZE}};

}  // namespace skep
