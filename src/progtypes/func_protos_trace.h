// progtypes: protos of helpers: tracing, LSM hooks and SYSCALL programs. Internal to the room: get_func_proto.cc makes one table of
// all. Linux: kernel/trace/bpf_trace.c, kernel/bpf/stackmap.c, task_iter.c, bpf_lsm.c, syscall.c, btf.c
#pragma once
#include "progtypes/proto_table.h"

namespace skep {

inline constexpr FuncProto bpf_probe_read_compat_proto = {
    .id = func::probe_read, .gpl_only = true, .args = {ARG_PTR_TO_UNINIT_MEM, ARG_CONST_SIZE_OR_ZERO, ARG_ANYTHING}};
inline constexpr FuncProto bpf_trace_printk_proto = {
    .id = func::trace_printk, .gpl_only = true, .args = {RDONLY_MEM, ARG_CONST_SIZE}};
inline constexpr FuncProto bpf_perf_event_read_proto = {
    .id = func::perf_event_read, .gpl_only = true, .args = {ARG_CONST_MAP_PTR, ARG_ANYTHING}};
inline constexpr FuncProto bpf_perf_event_output_proto = {
    .id = func::perf_event_output,
    .gpl_only = true,
    .args = {ARG_PTR_TO_CTX, ARG_CONST_MAP_PTR, ARG_ANYTHING, RDONLY_MEM, ARG_CONST_SIZE_OR_ZERO}};
inline constexpr FuncProto bpf_get_stackid_proto = {
    .id = func::get_stackid, .gpl_only = true, .args = {ARG_PTR_TO_CTX, ARG_CONST_MAP_PTR, ARG_ANYTHING}};
inline constexpr FuncProto bpf_get_stackid_pe_proto = {.id = func::get_stackid,
                                                       .args = {ARG_PTR_TO_CTX, ARG_CONST_MAP_PTR, ARG_ANYTHING}};
inline constexpr FuncProto bpf_get_current_task_proto = {.id = func::get_current_task, .gpl_only = true};
inline constexpr FuncProto bpf_probe_write_user_proto = {
    .id = func::probe_write_user, .gpl_only = true, .args = {ARG_ANYTHING, RDONLY_MEM, ARG_CONST_SIZE}};
inline constexpr FuncProto bpf_probe_read_compat_str_proto = {
    .id = func::probe_read_str, .gpl_only = true, .args = {ARG_PTR_TO_UNINIT_MEM, ARG_CONST_SIZE_OR_ZERO, ARG_ANYTHING}};
inline constexpr FuncProto bpf_perf_event_read_value_proto = {
    .id = func::perf_event_read_value,
    .gpl_only = true,
    .args = {ARG_CONST_MAP_PTR, ARG_ANYTHING, ARG_PTR_TO_UNINIT_MEM, ARG_CONST_SIZE}};
inline constexpr FuncProto bpf_perf_prog_read_value_proto = {
    .id = func::perf_prog_read_value, .gpl_only = true, .args = {ARG_PTR_TO_CTX, ARG_PTR_TO_UNINIT_MEM, ARG_CONST_SIZE}};
inline constexpr FuncProto bpf_override_return_proto = {
    .id = func::override_return, .gpl_only = true, .args = {ARG_PTR_TO_CTX, ARG_ANYTHING}};
inline constexpr FuncProto bpf_get_stack_proto = {
    .id = func::get_stack, .gpl_only = true, .args = {ARG_PTR_TO_CTX, ARG_PTR_TO_UNINIT_MEM, ARG_CONST_SIZE_OR_ZERO, ARG_ANYTHING}};
inline constexpr FuncProto bpf_get_stack_sleepable_proto = {
    .id = func::get_stack,
    .gpl_only = true,
    .might_sleep = true,
    .args = {ARG_PTR_TO_CTX, ARG_PTR_TO_UNINIT_MEM, ARG_CONST_SIZE_OR_ZERO, ARG_ANYTHING}};
inline constexpr FuncProto bpf_get_stack_raw_tp_proto = {
    .id = func::get_stack, .gpl_only = true, .args = {ARG_PTR_TO_CTX, RDONLY_MEM, ARG_CONST_SIZE_OR_ZERO, ARG_ANYTHING}};
inline constexpr FuncProto bpf_send_signal_proto = {.id = func::send_signal, .args = {ARG_ANYTHING}};
inline constexpr FuncProto bpf_probe_read_user_proto = {
    .id = func::probe_read_user, .gpl_only = true, .args = {ARG_PTR_TO_UNINIT_MEM, ARG_CONST_SIZE_OR_ZERO, ARG_ANYTHING}};
inline constexpr FuncProto bpf_probe_read_kernel_proto = {
    .id = func::probe_read_kernel, .gpl_only = true, .args = {ARG_PTR_TO_UNINIT_MEM, ARG_CONST_SIZE_OR_ZERO, ARG_ANYTHING}};
inline constexpr FuncProto bpf_probe_read_user_str_proto = {
    .id = func::probe_read_user_str, .gpl_only = true, .args = {ARG_PTR_TO_UNINIT_MEM, ARG_CONST_SIZE_OR_ZERO, ARG_ANYTHING}};
inline constexpr FuncProto bpf_probe_read_kernel_str_proto = {
    .id = func::probe_read_kernel_str, .gpl_only = true, .args = {ARG_PTR_TO_UNINIT_MEM, ARG_CONST_SIZE_OR_ZERO, ARG_ANYTHING}};
inline constexpr FuncProto bpf_send_signal_thread_proto = {.id = func::send_signal_thread, .args = {ARG_ANYTHING}};
inline constexpr FuncProto bpf_read_branch_records_proto = {
    .id = func::read_branch_records,
    .gpl_only = true,
    .args = {ARG_PTR_TO_CTX, ARG_PTR_TO_MEM_OR_NULL, ARG_CONST_SIZE_OR_ZERO, ARG_ANYTHING}};
inline constexpr FuncProto bpf_seq_printf_proto = {
    .id = func::seq_printf,
    .gpl_only = true,
    .args = {ARG_PTR_TO_BTF_ID, RDONLY_MEM, ARG_CONST_SIZE, RDONLY_MEM_OR_NULL, ARG_CONST_SIZE_OR_ZERO},
    .arg_btf = {0, "seq_file"}};
inline constexpr FuncProto bpf_seq_write_proto = {.id = func::seq_write,
                                                  .gpl_only = true,
                                                  .args = {ARG_PTR_TO_BTF_ID, RDONLY_MEM, ARG_CONST_SIZE_OR_ZERO},
                                                  .arg_btf = {0, "seq_file"}};
inline constexpr FuncProto bpf_get_task_stack_proto = {
    .id = func::get_task_stack,
    .args = {ARG_PTR_TO_BTF_ID, ARG_PTR_TO_UNINIT_MEM, ARG_CONST_SIZE_OR_ZERO, ARG_ANYTHING},
    .arg_btf = {0, "task_struct"}};
inline constexpr FuncProto bpf_get_task_stack_sleepable_proto = {
    .id = func::get_task_stack,
    .might_sleep = true,
    .args = {ARG_PTR_TO_BTF_ID, ARG_PTR_TO_UNINIT_MEM, ARG_CONST_SIZE_OR_ZERO, ARG_ANYTHING},
    .arg_btf = {0, "task_struct"}};
inline constexpr FuncProto bpf_d_path_proto = {.id = func::d_path,
                                               .allowed = FuncAllowed::DPathHook,
                                               .args = {ARG_PTR_TO_BTF_ID, ARG_PTR_TO_MEM, ARG_CONST_SIZE_OR_ZERO},
                                               .arg_btf = {0, "path"}};
inline constexpr FuncProto bpf_copy_from_user_proto = {
    .id = func::copy_from_user, .might_sleep = true, .args = {ARG_PTR_TO_UNINIT_MEM, ARG_CONST_SIZE_OR_ZERO, ARG_ANYTHING}};
inline constexpr FuncProto bpf_snprintf_btf_proto = {
    .id = func::snprintf_btf, .args = {ARG_PTR_TO_MEM, ARG_CONST_SIZE, RDONLY_MEM, ARG_CONST_SIZE, ARG_ANYTHING}};
inline constexpr FuncProto bpf_seq_printf_btf_proto = {
    .id = func::seq_printf_btf,
    .gpl_only = true,
    .args = {ARG_PTR_TO_BTF_ID, RDONLY_MEM, ARG_CONST_SIZE_OR_ZERO, ARG_ANYTHING},
    .arg_btf = {0, "seq_file"}};
inline constexpr FuncProto bpf_get_current_task_btf_proto = {
    .id = func::get_current_task_btf, .gpl_only = true, .ret = RET_PTR_TO_BTF_ID_TRUSTED, .ret_btf = "task_struct"};
inline constexpr FuncProto bpf_bprm_opts_set_proto = {
    .id = func::bprm_opts_set, .args = {ARG_PTR_TO_BTF_ID, ARG_ANYTHING}, .arg_btf = {0, "linux_binprm"}};
inline constexpr FuncProto bpf_ima_inode_hash_proto = {.id = func::ima_inode_hash,
                                                       .might_sleep = true,
                                                       .allowed = FuncAllowed::SleepableLsmHook,
                                                       .args = {ARG_PTR_TO_BTF_ID, ARG_PTR_TO_UNINIT_MEM, ARG_CONST_SIZE},
                                                       .arg_btf = {0, "inode"}};
inline constexpr FuncProto bpf_sys_bpf_proto = {
    .id = func::sys_bpf, .might_sleep = true, .args = {ARG_ANYTHING, RDONLY_MEM, ARG_CONST_SIZE}};
inline constexpr FuncProto bpf_btf_find_by_name_kind_proto = {
    .id = func::btf_find_by_name_kind, .might_sleep = true, .args = {RDONLY_MEM, ARG_CONST_SIZE, ARG_ANYTHING, ARG_ANYTHING}};
inline constexpr FuncProto bpf_sys_close_proto = {.id = func::sys_close, .might_sleep = true, .args = {ARG_ANYTHING}};
inline constexpr FuncProto bpf_get_func_ip_tracing_proto = {.id = func::get_func_ip, .gpl_only = true, .args = {ARG_PTR_TO_CTX}};
inline constexpr FuncProto bpf_get_func_ip_kprobe_multi_proto = {.id = func::get_func_ip, .args = {ARG_PTR_TO_CTX}};
inline constexpr FuncProto bpf_get_attach_cookie_proto = {.id = func::get_attach_cookie, .args = {ARG_PTR_TO_CTX}};
inline constexpr FuncProto bpf_task_pt_regs_proto = {.id = func::task_pt_regs,
                                                     .gpl_only = true,
                                                     .ret = RET_PTR_TO_BTF_ID,
                                                     .args = {ARG_PTR_TO_BTF_ID},
                                                     .arg_btf = {0, "task_struct"},
                                                     .ret_btf = "pt_regs"};
inline constexpr FuncProto bpf_get_branch_snapshot_proto = {
    .id = func::get_branch_snapshot, .gpl_only = true, .args = {ARG_PTR_TO_UNINIT_MEM, ARG_CONST_SIZE_OR_ZERO}};
inline constexpr FuncProto bpf_trace_vprintk_proto = {
    .id = func::trace_vprintk, .gpl_only = true, .args = {RDONLY_MEM, ARG_CONST_SIZE, RDONLY_MEM_OR_NULL, ARG_CONST_SIZE_OR_ZERO}};
inline constexpr FuncProto bpf_kallsyms_lookup_name_proto = {
    .id = func::kallsyms_lookup_name,
    .args = {ARG_PTR_TO_MEM, ARG_CONST_SIZE_OR_ZERO, ARG_ANYTHING, UNINIT_FIXED_SIZE_MEM},
    .arg_size = {0, 0, 0, 8}};
inline constexpr FuncProto bpf_find_vma_proto = {
    .id = func::find_vma,
    .args = {ARG_PTR_TO_BTF_ID, ARG_ANYTHING, ARG_PTR_TO_FUNC, ARG_PTR_TO_STACK_OR_NULL, ARG_ANYTHING},
    .arg_btf = {0, "task_struct"}};
inline constexpr FuncProto bpf_get_func_arg_proto = {
    .id = func::get_func_arg, .args = {ARG_PTR_TO_CTX, ARG_ANYTHING, UNINIT_FIXED_SIZE_MEM}, .arg_size = {0, 0, 8}};
inline constexpr FuncProto bpf_get_func_ret_proto = {
    .id = func::get_func_ret, .args = {ARG_PTR_TO_CTX, UNINIT_FIXED_SIZE_MEM}, .arg_size = {0, 8}};
inline constexpr FuncProto bpf_get_func_arg_cnt_proto = {.id = func::get_func_arg_cnt, .args = {ARG_PTR_TO_CTX}};
inline constexpr FuncProto bpf_copy_from_user_task_proto = {
    .id = func::copy_from_user_task,
    .gpl_only = true,
    .might_sleep = true,
    .args = {ARG_PTR_TO_UNINIT_MEM, ARG_CONST_SIZE_OR_ZERO, ARG_ANYTHING, ARG_PTR_TO_BTF_ID, ARG_ANYTHING},
    .arg_btf = {3, "task_struct"}};
inline constexpr FuncProto bpf_ima_file_hash_proto = {.id = func::ima_file_hash,
                                                      .might_sleep = true,
                                                      .allowed = FuncAllowed::SleepableLsmHook,
                                                      .args = {ARG_PTR_TO_BTF_ID, ARG_PTR_TO_UNINIT_MEM, ARG_CONST_SIZE},
                                                      .arg_btf = {0, "file"}};

}  // namespace skep
