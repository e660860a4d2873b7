// helpers: every proto of ours by name; each is defined right under its function. Freestanding: also compiled into the agent.
#pragma once
#include "helpers/proto.h"

namespace skep {

// map.cc
extern const FuncProto bpf_map_lookup_elem_proto, bpf_map_update_elem_proto, bpf_map_delete_elem_proto;
// probe_read.cc
extern const FuncProto bpf_probe_read_proto, bpf_probe_read_str_proto, bpf_probe_read_user_proto, bpf_probe_read_user_str_proto,
    bpf_probe_read_kernel_proto, bpf_probe_read_kernel_str_proto;
// current.cc
extern const FuncProto bpf_get_current_pid_tgid_proto, bpf_get_current_uid_gid_proto, bpf_get_current_comm_proto,
    bpf_get_current_task_proto, bpf_ktime_get_ns_proto, bpf_ktime_get_boot_ns_proto, bpf_get_smp_processor_id_proto,
    bpf_get_prandom_u32_proto, bpf_get_attach_cookie_proto;
// output.cc
extern const FuncProto bpf_perf_event_output_proto, bpf_ringbuf_output_proto, bpf_ringbuf_reserve_proto, bpf_ringbuf_submit_proto,
    bpf_ringbuf_discard_proto, bpf_ringbuf_query_proto;
// trace_printk.cc
extern const FuncProto bpf_trace_printk_proto;

}  // namespace skep
