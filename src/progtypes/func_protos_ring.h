// progtypes: protos of helpers: ring buffers and dynptrs. Internal to the room: get_func_proto.cc makes one table of all. Linux:
// kernel/bpf/ringbuf.c, kernel/bpf/helpers.c
#pragma once
#include "progtypes/proto_table.h"

namespace skep {

inline constexpr FuncProto bpf_ringbuf_output_proto = {
    .id = func::ringbuf_output, .args = {ARG_CONST_MAP_PTR, RDONLY_MEM, ARG_CONST_SIZE_OR_ZERO, ARG_ANYTHING}};
inline constexpr FuncProto bpf_ringbuf_reserve_proto = {.id = func::ringbuf_reserve,
                                                        .ret = RET_PTR_TO_RINGBUF_MEM_OR_NULL,
                                                        .args = {ARG_CONST_MAP_PTR, ARG_CONST_ALLOC_SIZE_OR_ZERO, ARG_ANYTHING}};
inline constexpr FuncProto bpf_ringbuf_submit_proto = {
    .id = func::ringbuf_submit, .ret = RET_VOID, .args = {RELEASED_RINGBUF_MEM, ARG_ANYTHING}};
inline constexpr FuncProto bpf_ringbuf_discard_proto = {
    .id = func::ringbuf_discard, .ret = RET_VOID, .args = {RELEASED_RINGBUF_MEM, ARG_ANYTHING}};
inline constexpr FuncProto bpf_ringbuf_query_proto = {.id = func::ringbuf_query, .args = {ARG_CONST_MAP_PTR, ARG_ANYTHING}};
inline constexpr FuncProto bpf_dynptr_from_mem_proto = {
    .id = func::dynptr_from_mem, .args = {ARG_PTR_TO_UNINIT_MEM, ARG_CONST_SIZE_OR_ZERO, ARG_ANYTHING, UNINIT_LOCAL_DYNPTR}};
inline constexpr FuncProto bpf_ringbuf_reserve_dynptr_proto = {
    .id = func::ringbuf_reserve_dynptr, .args = {ARG_CONST_MAP_PTR, ARG_ANYTHING, ARG_ANYTHING, UNINIT_RINGBUF_DYNPTR}};
inline constexpr FuncProto bpf_ringbuf_submit_dynptr_proto = {
    .id = func::ringbuf_submit_dynptr, .ret = RET_VOID, .args = {RELEASED_RINGBUF_DYNPTR, ARG_ANYTHING}};
inline constexpr FuncProto bpf_ringbuf_discard_dynptr_proto = {
    .id = func::ringbuf_discard_dynptr, .ret = RET_VOID, .args = {RELEASED_RINGBUF_DYNPTR, ARG_ANYTHING}};
inline constexpr FuncProto bpf_dynptr_read_proto = {
    .id = func::dynptr_read, .args = {ARG_PTR_TO_UNINIT_MEM, ARG_CONST_SIZE_OR_ZERO, RDONLY_DYNPTR, ARG_ANYTHING, ARG_ANYTHING}};
inline constexpr FuncProto bpf_dynptr_write_proto = {
    .id = func::dynptr_write, .args = {RDONLY_DYNPTR, ARG_ANYTHING, RDONLY_MEM, ARG_CONST_SIZE_OR_ZERO, ARG_ANYTHING}};
inline constexpr FuncProto bpf_dynptr_data_proto = {.id = func::dynptr_data,
                                                    .ret = RET_PTR_TO_DYNPTR_MEM_OR_NULL,
                                                    .args = {RDONLY_DYNPTR, ARG_ANYTHING, ARG_CONST_ALLOC_SIZE_OR_ZERO}};
inline constexpr FuncProto bpf_user_ringbuf_drain_proto = {
    .id = func::user_ringbuf_drain, .args = {ARG_CONST_MAP_PTR, ARG_PTR_TO_FUNC, ARG_PTR_TO_STACK_OR_NULL, ARG_ANYTHING}};

}  // namespace skep
