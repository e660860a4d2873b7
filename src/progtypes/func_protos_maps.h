// progtypes: protos of helpers: maps, what lies in them and what is kept for kernel objects. Internal to the room:
// get_func_proto.cc makes one table of all. Linux: kernel/bpf/helpers.c, bpf_iter.c, core.c, bpf_*_storage.c,
// net/core/bpf_sk_storage.c
#pragma once
#include "progtypes/proto_table.h"

namespace skep {

inline constexpr FuncProto bpf_map_lookup_elem_proto = {.id = func::map_lookup_elem,
                                                        .pkt_access = true,
                                                        .ret = RET_PTR_TO_MAP_VALUE_OR_NULL,
                                                        .args = {ARG_CONST_MAP_PTR, ARG_PTR_TO_MAP_KEY}};
inline constexpr FuncProto bpf_map_update_elem_proto = {
    .id = func::map_update_elem,
    .pkt_access = true,
    .args = {ARG_CONST_MAP_PTR, ARG_PTR_TO_MAP_KEY, ARG_PTR_TO_MAP_VALUE, ARG_ANYTHING}};
inline constexpr FuncProto bpf_map_delete_elem_proto = {
    .id = func::map_delete_elem, .pkt_access = true, .args = {ARG_CONST_MAP_PTR, ARG_PTR_TO_MAP_KEY}};
inline constexpr FuncProto bpf_tail_call_proto = {
    .id = func::tail_call, .ret = RET_VOID, .args = {ARG_PTR_TO_CTX, ARG_CONST_MAP_PTR, ARG_ANYTHING}};
inline constexpr FuncProto bpf_map_push_elem_proto = {
    .id = func::map_push_elem, .pkt_access = true, .args = {ARG_CONST_MAP_PTR, ARG_PTR_TO_MAP_VALUE, ARG_ANYTHING}};
inline constexpr FuncProto bpf_map_pop_elem_proto = {.id = func::map_pop_elem, .args = {ARG_CONST_MAP_PTR, UNINIT_MAP_VALUE}};
inline constexpr FuncProto bpf_map_peek_elem_proto = {.id = func::map_peek_elem, .args = {ARG_CONST_MAP_PTR, UNINIT_MAP_VALUE}};
inline constexpr FuncProto bpf_spin_lock_proto = {.id = func::spin_lock, .ret = RET_VOID, .args = {ARG_PTR_TO_SPIN_LOCK}};
inline constexpr FuncProto bpf_spin_unlock_proto = {.id = func::spin_unlock, .ret = RET_VOID, .args = {ARG_PTR_TO_SPIN_LOCK}};
inline constexpr FuncProto bpf_sk_storage_get_proto = {
    .id = func::sk_storage_get,
    .ret = RET_PTR_TO_MAP_VALUE_OR_NULL,
    .args = {ARG_CONST_MAP_PTR, ARG_PTR_TO_BTF_ID_SOCK_COMMON, ARG_PTR_TO_MAP_VALUE_OR_NULL, ARG_ANYTHING}};
inline constexpr FuncProto bpf_sk_storage_get_cg_sock_proto = {
    .id = func::sk_storage_get,
    .ret = RET_PTR_TO_MAP_VALUE_OR_NULL,
    .args = {ARG_CONST_MAP_PTR, ARG_PTR_TO_CTX, ARG_PTR_TO_MAP_VALUE_OR_NULL, ARG_ANYTHING}};
inline constexpr FuncProto bpf_sk_storage_get_tracing_proto = {
    .id = func::sk_storage_get,
    .allowed = FuncAllowed::SkStorageTracing,
    .ret = RET_PTR_TO_MAP_VALUE_OR_NULL,
    .args = {ARG_CONST_MAP_PTR, ARG_PTR_TO_BTF_ID_OR_NULL, ARG_PTR_TO_MAP_VALUE_OR_NULL, ARG_ANYTHING},
    .arg_btf = {1, "sock_common"}};
inline constexpr FuncProto bpf_sk_storage_delete_proto = {.id = func::sk_storage_delete,
                                                          .args = {ARG_CONST_MAP_PTR, ARG_PTR_TO_BTF_ID_SOCK_COMMON}};
inline constexpr FuncProto bpf_sk_storage_delete_tracing_proto = {.id = func::sk_storage_delete,
                                                                  .allowed = FuncAllowed::SkStorageTracing,
                                                                  .args = {ARG_CONST_MAP_PTR, ARG_PTR_TO_BTF_ID_OR_NULL},
                                                                  .arg_btf = {1, "sock_common"}};
inline constexpr FuncProto bpf_inode_storage_get_proto = {
    .id = func::inode_storage_get,
    .ret = RET_PTR_TO_MAP_VALUE_OR_NULL,
    .args = {ARG_CONST_MAP_PTR, ARG_PTR_TO_BTF_ID_OR_NULL, ARG_PTR_TO_MAP_VALUE_OR_NULL, ARG_ANYTHING},
    .arg_btf = {1, "inode"}};
inline constexpr FuncProto bpf_inode_storage_delete_proto = {
    .id = func::inode_storage_delete, .args = {ARG_CONST_MAP_PTR, ARG_PTR_TO_BTF_ID_OR_NULL}, .arg_btf = {1, "inode"}};
inline constexpr FuncProto bpf_task_storage_get_proto = {
    .id = func::task_storage_get,
    .ret = RET_PTR_TO_MAP_VALUE_OR_NULL,
    .args = {ARG_CONST_MAP_PTR, ARG_PTR_TO_BTF_ID_OR_NULL, ARG_PTR_TO_MAP_VALUE_OR_NULL, ARG_ANYTHING},
    .arg_btf = {1, "task_struct"}};
inline constexpr FuncProto bpf_task_storage_delete_proto = {
    .id = func::task_storage_delete, .args = {ARG_CONST_MAP_PTR, ARG_PTR_TO_BTF_ID_OR_NULL}, .arg_btf = {1, "task_struct"}};
inline constexpr FuncProto bpf_for_each_map_elem_proto = {
    .id = func::for_each_map_elem, .args = {ARG_CONST_MAP_PTR, ARG_PTR_TO_FUNC, ARG_PTR_TO_STACK_OR_NULL, ARG_ANYTHING}};
inline constexpr FuncProto bpf_timer_init_proto = {
    .id = func::timer_init, .gpl_only = true, .args = {ARG_PTR_TO_TIMER, ARG_CONST_MAP_PTR, ARG_ANYTHING}};
inline constexpr FuncProto bpf_timer_set_callback_proto = {
    .id = func::timer_set_callback, .gpl_only = true, .args = {ARG_PTR_TO_TIMER, ARG_PTR_TO_FUNC}};
inline constexpr FuncProto bpf_timer_start_proto = {
    .id = func::timer_start, .gpl_only = true, .args = {ARG_PTR_TO_TIMER, ARG_ANYTHING, ARG_ANYTHING}};
inline constexpr FuncProto bpf_timer_cancel_proto = {.id = func::timer_cancel, .gpl_only = true, .args = {ARG_PTR_TO_TIMER}};
inline constexpr FuncProto bpf_kptr_xchg_proto = {
    .id = func::kptr_xchg, .ret = RET_PTR_TO_BTF_ID_OR_NULL, .args = {ARG_KPTR_XCHG_DEST, RELEASED_BTF_ID_OR_NULL}};
inline constexpr FuncProto bpf_map_lookup_percpu_elem_proto = {.id = func::map_lookup_percpu_elem,
                                                               .pkt_access = true,
                                                               .ret = RET_PTR_TO_MAP_VALUE_OR_NULL,
                                                               .args = {ARG_CONST_MAP_PTR, ARG_PTR_TO_MAP_KEY, ARG_ANYTHING}};
inline constexpr FuncProto bpf_cgrp_storage_get_proto = {
    .id = func::cgrp_storage_get,
    .ret = RET_PTR_TO_MAP_VALUE_OR_NULL,
    .args = {ARG_CONST_MAP_PTR, ARG_PTR_TO_BTF_ID_OR_NULL, ARG_PTR_TO_MAP_VALUE_OR_NULL, ARG_ANYTHING},
    .arg_btf = {1, "cgroup"}};
inline constexpr FuncProto bpf_cgrp_storage_delete_proto = {
    .id = func::cgrp_storage_delete, .args = {ARG_CONST_MAP_PTR, ARG_PTR_TO_BTF_ID_OR_NULL}, .arg_btf = {1, "cgroup"}};

}  // namespace skep
