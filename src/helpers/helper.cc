#include "helpers/helper_list.h"
#include "progtypes/func_ids.h"

namespace skep {

// clang-format off
HelperFn helper_fn(u64 id) noexcept {
  switch (id) {
    case func::map_lookup_elem: return bpf_map_lookup_elem;
    case func::map_update_elem: return bpf_map_update_elem;
    case func::map_delete_elem: return bpf_map_delete_elem;
    case func::probe_read: return bpf_probe_read;
    case func::ktime_get_ns: return bpf_ktime_get_ns;
    case func::trace_printk: return bpf_trace_printk;
    case func::get_prandom_u32: return bpf_get_prandom_u32;
    case func::get_smp_processor_id: return bpf_get_smp_processor_id;
    case func::skb_store_bytes: return bpf_skb_store_bytes;
    case func::l3_csum_replace: return bpf_l3_csum_replace;
    case func::l4_csum_replace: return bpf_l4_csum_replace;
    case func::get_current_pid_tgid: return bpf_get_current_pid_tgid;
    case func::get_current_uid_gid: return bpf_get_current_uid_gid;
    case func::get_current_comm: return bpf_get_current_comm;
    case func::get_cgroup_classid: return bpf_get_cgroup_classid;
    case func::perf_event_read: return bpf_perf_event_read;
    case func::perf_event_output: return bpf_perf_event_output;
    case func::skb_load_bytes: return bpf_skb_load_bytes;
    case func::get_stackid: return bpf_get_stackid;
    case func::csum_diff: return bpf_csum_diff;
    case func::get_hash_recalc: return bpf_get_hash_recalc;
    case func::get_current_task: return bpf_get_current_task;
    case func::probe_write_user: return bpf_probe_write_user;
    case func::current_task_under_cgroup: return bpf_current_task_under_cgroup;
    case func::skb_pull_data: return bpf_skb_pull_data;
    case func::csum_update: return bpf_csum_update;
    case func::set_hash_invalid: return bpf_set_hash_invalid;
    case func::get_numa_node_id: return bpf_get_numa_node_id;
    case func::xdp_adjust_head: return bpf_xdp_adjust_head;
    case func::probe_read_str: return bpf_probe_read_str;
    case func::set_hash: return bpf_set_hash;
    case func::xdp_adjust_meta: return bpf_xdp_adjust_meta;
    case func::perf_event_read_value: return bpf_perf_event_read_value;
    case func::override_return: return bpf_override_return;
    case func::xdp_adjust_tail: return bpf_xdp_adjust_tail;
    case func::get_stack: return bpf_get_stack;
    case func::skb_load_bytes_relative: return bpf_skb_load_bytes_relative;
    case func::get_current_cgroup_id: return bpf_get_current_cgroup_id;
    case func::map_push_elem: return bpf_map_push_elem;
    case func::map_pop_elem: return bpf_map_pop_elem;
    case func::map_peek_elem: return bpf_map_peek_elem;
    case func::spin_lock: return bpf_spin_lock;
    case func::spin_unlock: return bpf_spin_unlock;
    case func::strtol: return bpf_strtol;
    case func::strtoul: return bpf_strtoul;
    case func::send_signal: return bpf_send_signal;
    case func::probe_read_user: return bpf_probe_read_user;
    case func::probe_read_kernel: return bpf_probe_read_kernel;
    case func::probe_read_user_str: return bpf_probe_read_user_str;
    case func::probe_read_kernel_str: return bpf_probe_read_kernel_str;
    case func::send_signal_thread: return bpf_send_signal_thread;
    case func::jiffies64: return bpf_jiffies64;
    case func::read_branch_records: return bpf_read_branch_records;
    case func::get_ns_current_pid_tgid: return bpf_get_ns_current_pid_tgid;
    case func::get_current_ancestor_cgroup_id: return bpf_get_current_ancestor_cgroup_id;
    case func::ktime_get_boot_ns: return bpf_ktime_get_boot_ns;
    case func::ringbuf_output: return bpf_ringbuf_output;
    case func::ringbuf_reserve: return bpf_ringbuf_reserve;
    case func::ringbuf_submit: return bpf_ringbuf_submit;
    case func::ringbuf_discard: return bpf_ringbuf_discard;
    case func::ringbuf_query: return bpf_ringbuf_query;
    case func::get_task_stack: return bpf_get_task_stack;
    case func::copy_from_user: return bpf_copy_from_user;
    case func::get_current_task_btf: return bpf_get_current_task_btf;
    case func::ktime_get_coarse_ns: return bpf_ktime_get_coarse_ns;
    case func::for_each_map_elem: return bpf_for_each_map_elem;
    case func::snprintf: return bpf_snprintf;
    case func::sys_bpf: return bpf_sys_bpf;
    case func::btf_find_by_name_kind: return bpf_btf_find_by_name_kind;
    case func::sys_close: return bpf_sys_close;
    case func::get_func_ip: return bpf_get_func_ip;
    case func::get_attach_cookie: return bpf_get_attach_cookie;
    case func::get_branch_snapshot: return bpf_get_branch_snapshot;
    case func::trace_vprintk: return bpf_trace_vprintk;
    case func::kallsyms_lookup_name: return bpf_kallsyms_lookup_name;
    case func::loop: return bpf_loop;
    case func::strncmp: return bpf_strncmp;
    case func::get_func_arg: return bpf_get_func_arg;
    case func::get_func_ret: return bpf_get_func_ret;
    case func::get_func_arg_cnt: return bpf_get_func_arg_cnt;
    case func::xdp_get_buff_len: return bpf_xdp_get_buff_len;
    case func::xdp_load_bytes: return bpf_xdp_load_bytes;
    case func::xdp_store_bytes: return bpf_xdp_store_bytes;
    case func::copy_from_user_task: return bpf_copy_from_user_task;
    case func::map_lookup_percpu_elem: return bpf_map_lookup_percpu_elem;
    case func::ktime_get_tai_ns: return bpf_ktime_get_tai_ns;
    case SKB_LOAD_HELPERS: return skb_load_helper_8;
    case SKB_LOAD_HELPERS + 1: return skb_load_helper_16;
    case SKB_LOAD_HELPERS + 2: return skb_load_helper_32;
    default: return nullptr;
  }
}
// clang-format on

}  // namespace skep
