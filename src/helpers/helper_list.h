// helpers: every helper of ours by its kernel name. Freestanding: also compiled into the agent.
#pragma once
#include "helpers/helper.h"

namespace skep {

// map.cc
HelperBody bpf_map_lookup_elem, bpf_map_lookup_percpu_elem, bpf_map_update_elem, bpf_map_delete_elem, bpf_map_push_elem,
    bpf_map_pop_elem, bpf_map_peek_elem, bpf_spin_lock, bpf_spin_unlock;
// callbacks.cc
HelperBody bpf_loop, bpf_for_each_map_elem;
// probe_read.cc
HelperBody bpf_probe_read, bpf_probe_read_str, bpf_probe_read_user, bpf_probe_read_user_str, bpf_probe_read_kernel,
    bpf_probe_read_kernel_str;
// current.cc
HelperBody bpf_get_current_pid_tgid, bpf_get_current_uid_gid, bpf_get_current_comm, bpf_get_current_task, bpf_ktime_get_ns,
    bpf_ktime_get_boot_ns, bpf_ktime_get_coarse_ns, bpf_ktime_get_tai_ns, bpf_jiffies64, bpf_get_numa_node_id,
    bpf_get_smp_processor_id, bpf_get_prandom_u32, bpf_get_attach_cookie;
// stack.cc
HelperBody bpf_get_stackid, bpf_get_stack, bpf_get_task_stack;
// probed.cc
HelperBody bpf_get_func_ip, bpf_get_func_arg, bpf_get_func_ret, bpf_get_func_arg_cnt, bpf_override_return;
// process.cc
HelperBody bpf_probe_write_user, bpf_copy_from_user, bpf_copy_from_user_task, bpf_send_signal, bpf_send_signal_thread,
    bpf_get_current_task_btf, bpf_get_ns_current_pid_tgid, bpf_get_current_cgroup_id, bpf_get_current_ancestor_cgroup_id,
    bpf_current_task_under_cgroup;
// sys_bpf.cc
HelperBody bpf_sys_bpf, bpf_sys_close, bpf_btf_find_by_name_kind, bpf_kallsyms_lookup_name;
// counters.cc
HelperBody bpf_perf_event_read, bpf_perf_event_read_value, bpf_read_branch_records, bpf_get_branch_snapshot;
// output.cc
HelperBody bpf_perf_event_output, bpf_ringbuf_output, bpf_ringbuf_reserve, bpf_ringbuf_submit, bpf_ringbuf_discard,
    bpf_ringbuf_query;
// trace_printk.cc
HelperBody bpf_trace_printk, bpf_trace_vprintk;
// strings.cc
HelperBody bpf_strtol, bpf_strtoul, bpf_strncmp, bpf_snprintf;
// skb.cc
HelperBody bpf_skb_load_bytes, bpf_skb_load_bytes_relative, bpf_skb_store_bytes, bpf_skb_pull_data, bpf_csum_diff, bpf_csum_update,
    bpf_l3_csum_replace, bpf_l4_csum_replace, bpf_get_hash_recalc, bpf_set_hash_invalid, bpf_set_hash, bpf_get_cgroup_classid;
HelperBody skb_load_helper_8, skb_load_helper_16, skb_load_helper_32;
// xdp.cc
HelperBody bpf_xdp_adjust_head, bpf_xdp_adjust_tail, bpf_xdp_adjust_meta, bpf_xdp_get_buff_len, bpf_xdp_load_bytes,
    bpf_xdp_store_bytes;

}  // namespace skep
