// progtypes: the lists of helpers that the chains of program types are made of: base, tracing, control groups. Data for
// func_table.cc. Linux: kernel/bpf/helpers.c, kernel/trace/bpf_trace.c, kernel/bpf/bpf_lsm.c, syscall.c, cgroup.c
#pragma once
#include "progtypes/func_protos_base.h"
#include "progtypes/func_protos_cgroup.h"
#include "progtypes/func_protos_maps.h"
#include "progtypes/func_protos_ring.h"
#include "progtypes/func_protos_skb.h"
#include "progtypes/func_protos_sock.h"
#include "progtypes/func_protos_trace.h"
#include "progtypes/func_protos_xdp.h"
#include "progtypes/func_table.h"

namespace skep {

/// A row as it is written.
struct Opens {
  const FuncProto* proto;
  When when;
  constexpr Opens(const FuncProto& p, When w = When::Always) noexcept : proto(&p), when(w) {}
};

// clang-format off
/// Linux: bpf_base_func_proto()
constexpr Opens BASE_LIST[] = {
    bpf_map_lookup_elem_proto, bpf_map_update_elem_proto, bpf_map_delete_elem_proto, bpf_map_push_elem_proto,
    bpf_map_pop_elem_proto, bpf_map_peek_elem_proto, bpf_map_lookup_percpu_elem_proto, bpf_get_prandom_u32_proto,
    bpf_get_raw_smp_processor_id_proto, bpf_get_numa_node_id_proto, bpf_tail_call_proto, bpf_ktime_get_ns_proto,
    bpf_ktime_get_boot_ns_proto, bpf_ktime_get_tai_ns_proto, bpf_ringbuf_output_proto, bpf_ringbuf_reserve_proto,
    bpf_ringbuf_submit_proto, bpf_ringbuf_discard_proto, bpf_ringbuf_query_proto, bpf_strncmp_proto, bpf_strtol_proto,
    bpf_strtoul_proto, bpf_get_current_pid_tgid_proto, bpf_get_ns_current_pid_tgid_proto, {bpf_spin_lock_proto, When::Bpf},
    {bpf_spin_unlock_proto, When::Bpf}, {bpf_jiffies64_proto, When::Bpf}, {bpf_per_cpu_ptr_proto, When::Bpf},
    {bpf_this_cpu_ptr_proto, When::Bpf}, {bpf_timer_init_proto, When::Bpf}, {bpf_timer_set_callback_proto, When::Bpf},
    {bpf_timer_start_proto, When::Bpf}, {bpf_timer_cancel_proto, When::Bpf}, {bpf_kptr_xchg_proto, When::Bpf},
    {bpf_for_each_map_elem_proto, When::Bpf}, {bpf_loop_proto, When::Bpf}, {bpf_user_ringbuf_drain_proto, When::Bpf},
    {bpf_ringbuf_reserve_dynptr_proto, When::Bpf}, {bpf_ringbuf_submit_dynptr_proto, When::Bpf},
    {bpf_ringbuf_discard_dynptr_proto, When::Bpf}, {bpf_dynptr_from_mem_proto, When::Bpf}, {bpf_dynptr_read_proto, When::Bpf},
    {bpf_dynptr_write_proto, When::Bpf}, {bpf_dynptr_data_proto, When::Bpf}, {bpf_cgrp_storage_get_proto, When::Bpf},
    {bpf_cgrp_storage_delete_proto, When::Bpf}, {bpf_get_current_cgroup_id_proto, When::Bpf},
    {bpf_get_current_ancestor_cgroup_id_proto, When::Bpf}, {bpf_trace_printk_proto, When::BpfPerfmon},
    {bpf_get_current_task_proto, When::BpfPerfmon}, {bpf_get_current_task_btf_proto, When::BpfPerfmon},
    {bpf_probe_read_user_proto, When::BpfPerfmon}, {bpf_probe_read_kernel_proto, When::BpfPerfmon},
    {bpf_probe_read_user_str_proto, When::BpfPerfmon}, {bpf_probe_read_kernel_str_proto, When::BpfPerfmon},
    {bpf_snprintf_btf_proto, When::BpfPerfmon}, {bpf_snprintf_proto, When::BpfPerfmon}, {bpf_task_pt_regs_proto, When::BpfPerfmon},
    {bpf_trace_vprintk_proto, When::BpfPerfmon},
};

/// Linux: bpf_tracing_func_proto(), without what BASE_LIST opens to all
constexpr Opens TRACING_COMMON_LIST[] = {
    bpf_get_current_task_proto, bpf_get_current_task_btf_proto, bpf_task_pt_regs_proto, bpf_get_current_uid_gid_proto,
    bpf_get_current_comm_proto, bpf_trace_printk_proto, bpf_get_smp_processor_id_proto, bpf_perf_event_read_proto,
    bpf_probe_write_user_proto, bpf_probe_read_user_proto, bpf_probe_read_kernel_proto, bpf_probe_read_user_str_proto,
    bpf_probe_read_kernel_str_proto, bpf_probe_read_compat_proto, bpf_probe_read_compat_str_proto, bpf_cgrp_storage_get_proto,
    bpf_cgrp_storage_delete_proto, bpf_current_task_under_cgroup_proto, bpf_send_signal_proto, bpf_send_signal_thread_proto,
    bpf_perf_event_read_value_proto, bpf_jiffies64_proto, {bpf_get_task_stack_sleepable_proto, When::Sleepable},
    bpf_get_task_stack_proto, bpf_copy_from_user_proto, bpf_copy_from_user_task_proto, bpf_snprintf_btf_proto,
    bpf_per_cpu_ptr_proto, bpf_this_cpu_ptr_proto, bpf_task_storage_get_proto, bpf_task_storage_delete_proto,
    bpf_for_each_map_elem_proto, bpf_snprintf_proto, bpf_get_func_ip_tracing_proto, bpf_get_branch_snapshot_proto,
    bpf_find_vma_proto, bpf_trace_vprintk_proto,
};

/// Linux: kprobe_prog_func_proto()
constexpr Opens KPROBE_LIST[] = {
    bpf_perf_event_output_proto, bpf_get_stackid_proto, {bpf_get_stack_sleepable_proto, When::Sleepable}, bpf_get_stack_proto,
    bpf_override_return_proto, {bpf_get_func_ip_kprobe_multi_proto, When::MultiProbe}, bpf_get_func_ip_tracing_proto,
    bpf_get_attach_cookie_proto,
};

/// Linux: tp_prog_func_proto()
constexpr Opens TRACEPOINT_LIST[] = {
    bpf_perf_event_output_proto, bpf_get_stackid_proto, bpf_get_stack_proto, bpf_get_attach_cookie_proto,
};

/// Linux: pe_prog_func_proto()
constexpr Opens PERF_EVENT_LIST[] = {
    bpf_perf_event_output_proto, bpf_get_stackid_pe_proto, bpf_get_stack_proto, bpf_perf_prog_read_value_proto,
    bpf_read_branch_records_proto, bpf_get_attach_cookie_proto,
};

/// Linux: raw_tp_prog_func_proto()
constexpr Opens RAW_TRACEPOINT_LIST[] = {
    bpf_perf_event_output_proto, bpf_get_stackid_proto, bpf_get_stack_raw_tp_proto, bpf_get_attach_cookie_proto,
};

/// Linux: tracing_prog_func_proto()
constexpr Opens TRACING_LIST[] = {
    bpf_skb_output_proto, bpf_xdp_output_proto, bpf_skc_to_tcp6_sock_proto, bpf_skc_to_tcp_sock_proto,
    bpf_skc_to_tcp_timewait_sock_proto, bpf_skc_to_tcp_request_sock_proto, bpf_skc_to_udp6_sock_proto, bpf_skc_to_unix_sock_proto,
    bpf_skc_to_mptcp_sock_proto, bpf_sk_storage_get_tracing_proto, bpf_sk_storage_delete_tracing_proto, bpf_sock_from_file_proto,
    bpf_get_socket_ptr_cookie_proto, bpf_xdp_get_buff_len_trace_proto, {bpf_seq_printf_proto, When::TraceIter},
    {bpf_seq_write_proto, When::TraceIter}, {bpf_seq_printf_btf_proto, When::TraceIter}, bpf_d_path_proto,
    {bpf_get_func_arg_proto, When::Trampoline}, {bpf_get_func_ret_proto, When::Trampoline},
    {bpf_get_func_arg_cnt_proto, When::Trampoline}, {bpf_get_attach_cookie_proto, When::TrampolineOrRawTp},
};

/// Asked last by TRACING. Linux: bpf_iter_get_func_proto(), of which "tcp" is the only one. net/ipv4/tcp_ipv4.c
constexpr Opens ITER_LIST[] = {{bpf_sk_setsockopt_proto, When::TcpIter}, {bpf_sk_getsockopt_proto, When::TcpIter}};

/// Linux: bpf_lsm_func_proto()
constexpr Opens LSM_LIST[] = {
    {bpf_get_local_storage_proto, When::LsmCgroup}, {bpf_get_retval_proto, When::LsmCgroup},
    {bpf_set_retval_proto, When::LsmCgroup}, bpf_inode_storage_get_proto, bpf_inode_storage_delete_proto, bpf_sk_storage_get_proto,
    bpf_sk_storage_delete_proto, bpf_spin_lock_proto, bpf_spin_unlock_proto, bpf_bprm_opts_set_proto, bpf_ima_inode_hash_proto,
    bpf_ima_file_hash_proto, {bpf_get_attach_cookie_proto, When::Trampoline}, {bpf_sk_setsockopt_proto, When::LsmSockoptHook},
    {bpf_sk_getsockopt_proto, When::LsmSockoptHook},
};

/// Linux: syscall_prog_func_proto()
constexpr Opens SYSCALL_LIST[] = {
    {bpf_sys_bpf_proto, When::Perfmon}, bpf_btf_find_by_name_kind_proto, bpf_sys_close_proto, bpf_kallsyms_lookup_name_proto,
};

/// Each kernel struct has its own function: bpf_tcp_ca_get_func_proto(), bpf_scx_get_func_proto(); others: BASE_LIST's alone.
constexpr Opens STRUCT_OPS_LIST[] = {
    {bpf_tcp_send_ack_proto, When::TcpCa}, {bpf_sk_storage_get_proto, When::TcpCa}, {bpf_sk_storage_delete_proto, When::TcpCa},
    {bpf_sk_setsockopt_proto, When::TcpCaNotRelease}, {bpf_sk_getsockopt_proto, When::TcpCaNotRelease},
    {bpf_ktime_get_coarse_ns_proto, When::TcpCa}, {bpf_task_storage_get_proto, When::SchedExt},
    {bpf_task_storage_delete_proto, When::SchedExt},
};

/// Linux: cgroup_common_func_proto()
constexpr Opens CGROUP_COMMON_LIST[] = {
    bpf_get_local_storage_proto, {bpf_get_retval_proto, When::RetvalAttach}, {bpf_set_retval_proto, When::RetvalAttach},
};

/// Linux: cgroup_current_func_proto()
constexpr Opens CGROUP_CURRENT_LIST[] = {
    bpf_get_current_uid_gid_proto, bpf_get_current_comm_proto, bpf_get_cgroup_classid_curr_proto,
    bpf_current_task_under_cgroup_proto,
};

/// Linux: cgroup_dev_func_proto()
constexpr Opens CGROUP_DEVICE_LIST[] = {bpf_perf_event_output_proto};

/// Linux: sysctl_func_proto()
constexpr Opens CGROUP_SYSCTL_LIST[] = {
    bpf_sysctl_get_name_proto, bpf_sysctl_get_current_value_proto, bpf_sysctl_get_new_value_proto, bpf_sysctl_set_new_value_proto,
    bpf_ktime_get_coarse_ns_proto, bpf_perf_event_output_proto,
};

/// Linux: cg_sockopt_func_proto()
constexpr Opens CGROUP_SOCKOPT_LIST[] = {
    bpf_get_netns_cookie_proto, bpf_sk_storage_get_proto, bpf_sk_storage_delete_proto,
    {bpf_sk_setsockopt_proto, When::SetsockoptAttach}, {bpf_sk_getsockopt_proto, When::SetsockoptAttach}, bpf_tcp_sock_proto,
    bpf_perf_event_output_proto,
};

/// Linux: lirc_mode2_func_proto()
constexpr Opens LIRC_MODE2_LIST[] = {
    bpf_rc_repeat_proto, bpf_rc_keydown_proto, bpf_rc_pointer_rel_proto, bpf_map_lookup_elem_proto, bpf_map_update_elem_proto,
    bpf_map_delete_elem_proto, bpf_map_push_elem_proto, bpf_map_pop_elem_proto, bpf_map_peek_elem_proto, bpf_ktime_get_ns_proto,
    bpf_ktime_get_boot_ns_proto, bpf_tail_call_proto, bpf_get_prandom_u32_proto, {bpf_trace_printk_proto, When::Perfmon},
};

// clang-format on

}  // namespace skep
