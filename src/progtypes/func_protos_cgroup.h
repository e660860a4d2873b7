// progtypes: protos of helpers: control groups and remote controls. Internal to the room: get_func_proto.cc makes one table of all.
// Linux: kernel/bpf/cgroup.c, drivers/media/rc/bpf-lirc.c
#pragma once
#include "progtypes/proto_table.h"

namespace skep {

inline constexpr FuncProto bpf_rc_repeat_proto = {.id = func::rc_repeat, .gpl_only = true, .args = {ARG_PTR_TO_CTX}};
inline constexpr FuncProto bpf_rc_keydown_proto = {
    .id = func::rc_keydown, .gpl_only = true, .args = {ARG_PTR_TO_CTX, ARG_ANYTHING, ARG_ANYTHING, ARG_ANYTHING}};
inline constexpr FuncProto bpf_get_local_storage_proto = {
    .id = func::get_local_storage, .ret = RET_PTR_TO_MAP_VALUE, .args = {ARG_CONST_MAP_PTR, ARG_ANYTHING}};
inline constexpr FuncProto bpf_rc_pointer_rel_proto = {
    .id = func::rc_pointer_rel, .gpl_only = true, .args = {ARG_PTR_TO_CTX, ARG_ANYTHING, ARG_ANYTHING}};
inline constexpr FuncProto bpf_sysctl_get_name_proto = {.id = func::sysctl_get_name,
                                                        .args = {ARG_PTR_TO_CTX, ARG_PTR_TO_MEM, ARG_CONST_SIZE, ARG_ANYTHING}};
inline constexpr FuncProto bpf_sysctl_get_current_value_proto = {.id = func::sysctl_get_current_value,
                                                                 .args = {ARG_PTR_TO_CTX, ARG_PTR_TO_UNINIT_MEM, ARG_CONST_SIZE}};
inline constexpr FuncProto bpf_sysctl_get_new_value_proto = {.id = func::sysctl_get_new_value,
                                                             .args = {ARG_PTR_TO_CTX, ARG_PTR_TO_UNINIT_MEM, ARG_CONST_SIZE}};
inline constexpr FuncProto bpf_sysctl_set_new_value_proto = {.id = func::sysctl_set_new_value,
                                                             .args = {ARG_PTR_TO_CTX, RDONLY_MEM, ARG_CONST_SIZE}};
inline constexpr FuncProto bpf_get_netns_cookie_proto = {.id = func::get_netns_cookie, .args = {ARG_PTR_TO_CTX_OR_NULL}};
inline constexpr FuncProto bpf_get_retval_proto = {.id = func::get_retval};
inline constexpr FuncProto bpf_set_retval_proto = {.id = func::set_retval, .args = {ARG_ANYTHING}};

}  // namespace skep
