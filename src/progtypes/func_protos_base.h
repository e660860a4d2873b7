// progtypes: protos of helpers: who, where, when, and strings. Internal to the room: get_func_proto.cc makes one table of all.
// Linux: kernel/bpf/helpers.c, kernel/bpf/bpf_iter.c
#pragma once
#include "progtypes/proto_table.h"

namespace skep {

inline constexpr FuncProto bpf_ktime_get_ns_proto = {.id = func::ktime_get_ns};
inline constexpr FuncProto bpf_get_prandom_u32_proto = {.id = func::get_prandom_u32};
inline constexpr FuncProto bpf_get_smp_processor_id_proto = {.id = func::get_smp_processor_id, .allow_fastcall = true};
inline constexpr FuncProto bpf_get_raw_smp_processor_id_proto = {.id = func::get_smp_processor_id};
inline constexpr FuncProto bpf_get_current_pid_tgid_proto = {.id = func::get_current_pid_tgid};
inline constexpr FuncProto bpf_get_current_uid_gid_proto = {.id = func::get_current_uid_gid};
inline constexpr FuncProto bpf_get_current_comm_proto = {.id = func::get_current_comm,
                                                         .args = {ARG_PTR_TO_UNINIT_MEM, ARG_CONST_SIZE}};
inline constexpr FuncProto bpf_current_task_under_cgroup_proto = {.id = func::current_task_under_cgroup,
                                                                  .args = {ARG_CONST_MAP_PTR, ARG_ANYTHING}};
inline constexpr FuncProto bpf_get_numa_node_id_proto = {.id = func::get_numa_node_id};
inline constexpr FuncProto bpf_get_current_cgroup_id_proto = {.id = func::get_current_cgroup_id};
inline constexpr FuncProto bpf_strtol_proto = {
    .id = func::strtol, .args = {RDONLY_MEM, ARG_CONST_SIZE, ARG_ANYTHING, UNINIT_FIXED_SIZE_MEM}, .arg_size = {0, 0, 0, 8}};
inline constexpr FuncProto bpf_strtoul_proto = {
    .id = func::strtoul, .args = {RDONLY_MEM, ARG_CONST_SIZE, ARG_ANYTHING, UNINIT_FIXED_SIZE_MEM}, .arg_size = {0, 0, 0, 8}};
inline constexpr FuncProto bpf_jiffies64_proto = {.id = func::jiffies64};
inline constexpr FuncProto bpf_get_ns_current_pid_tgid_proto = {
    .id = func::get_ns_current_pid_tgid, .args = {ARG_ANYTHING, ARG_ANYTHING, ARG_PTR_TO_UNINIT_MEM, ARG_CONST_SIZE}};
inline constexpr FuncProto bpf_get_current_ancestor_cgroup_id_proto = {.id = func::get_current_ancestor_cgroup_id,
                                                                       .args = {ARG_ANYTHING}};
inline constexpr FuncProto bpf_ktime_get_boot_ns_proto = {.id = func::ktime_get_boot_ns};
inline constexpr FuncProto bpf_per_cpu_ptr_proto = {
    .id = func::per_cpu_ptr, .ret = RET_RDONLY_MEM_OR_BTF_ID_OR_NULL, .args = {ARG_PTR_TO_PERCPU_BTF_ID, ARG_ANYTHING}};
inline constexpr FuncProto bpf_this_cpu_ptr_proto = {
    .id = func::this_cpu_ptr, .ret = RET_RDONLY_MEM_OR_BTF_ID, .args = {ARG_PTR_TO_PERCPU_BTF_ID}};
inline constexpr FuncProto bpf_ktime_get_coarse_ns_proto = {.id = func::ktime_get_coarse_ns};
// DIFFERS: Linux 6.12 does not say that the text is written, and so lets it go to keys of maps and to read-only values.
inline constexpr FuncProto bpf_snprintf_proto = {
    .id = func::snprintf,
    .gpl_only = true,
    .args = {u32{ARG_PTR_TO_MEM_OR_NULL} | MEM_WRITE, ARG_CONST_SIZE_OR_ZERO, ARG_PTR_TO_CONST_STR, RDONLY_MEM_OR_NULL,
             ARG_CONST_SIZE_OR_ZERO}};
inline constexpr FuncProto bpf_loop_proto = {.id = func::loop,
                                             .args = {ARG_SCALAR, ARG_PTR_TO_FUNC, ARG_PTR_TO_STACK_OR_NULL, ARG_ANYTHING}};
inline constexpr FuncProto bpf_strncmp_proto = {.id = func::strncmp, .args = {RDONLY_MEM, ARG_CONST_SIZE, ARG_PTR_TO_CONST_STR}};
inline constexpr FuncProto bpf_ktime_get_tai_ns_proto = {.id = func::ktime_get_tai_ns};

}  // namespace skep
