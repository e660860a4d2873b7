#include "helpers/proto.h"

#include "helpers/protos.h"

namespace skep {

const FuncProto* func_proto(u64 id) noexcept {
  switch (id) {
    case BPF_FUNC_map_lookup_elem: return &bpf_map_lookup_elem_proto;
    case BPF_FUNC_map_update_elem: return &bpf_map_update_elem_proto;
    case BPF_FUNC_map_delete_elem: return &bpf_map_delete_elem_proto;
    case BPF_FUNC_probe_read: return &bpf_probe_read_proto;
    case BPF_FUNC_ktime_get_ns: return &bpf_ktime_get_ns_proto;
    case BPF_FUNC_trace_printk: return &bpf_trace_printk_proto;
    case BPF_FUNC_get_prandom_u32: return &bpf_get_prandom_u32_proto;
    case BPF_FUNC_get_smp_processor_id: return &bpf_get_smp_processor_id_proto;
    case BPF_FUNC_get_current_pid_tgid: return &bpf_get_current_pid_tgid_proto;
    case BPF_FUNC_get_current_uid_gid: return &bpf_get_current_uid_gid_proto;
    case BPF_FUNC_get_current_comm: return &bpf_get_current_comm_proto;
    case BPF_FUNC_perf_event_output: return &bpf_perf_event_output_proto;
    case BPF_FUNC_get_current_task: return &bpf_get_current_task_proto;
    case BPF_FUNC_probe_read_str: return &bpf_probe_read_str_proto;
    case BPF_FUNC_probe_read_user: return &bpf_probe_read_user_proto;
    case BPF_FUNC_probe_read_kernel: return &bpf_probe_read_kernel_proto;
    case BPF_FUNC_probe_read_user_str: return &bpf_probe_read_user_str_proto;
    case BPF_FUNC_probe_read_kernel_str: return &bpf_probe_read_kernel_str_proto;
    case BPF_FUNC_ktime_get_boot_ns: return &bpf_ktime_get_boot_ns_proto;
    case BPF_FUNC_ringbuf_output: return &bpf_ringbuf_output_proto;
    case BPF_FUNC_ringbuf_reserve: return &bpf_ringbuf_reserve_proto;
    case BPF_FUNC_ringbuf_submit: return &bpf_ringbuf_submit_proto;
    case BPF_FUNC_ringbuf_discard: return &bpf_ringbuf_discard_proto;
    case BPF_FUNC_ringbuf_query: return &bpf_ringbuf_query_proto;
    case BPF_FUNC_get_attach_cookie: return &bpf_get_attach_cookie_proto;
    default: return nullptr;
  }
}

const FuncProto* func_proto_for(u64 id, u32 prog_type) noexcept {
  const FuncProto* proto = func_proto(id);
  return proto != nullptr && (proto->prog_types & prog_type_bit(prog_type)) != 0 ? proto : nullptr;
}

bool map_func_compatible(u32 map_type, u64 id) noexcept {
  const bool ringbuf_func = id == BPF_FUNC_ringbuf_output || id == BPF_FUNC_ringbuf_reserve || id == BPF_FUNC_ringbuf_query;
  const bool perf_func = id == BPF_FUNC_perf_event_output;
  switch (map_type) {
    case BPF_MAP_TYPE_RINGBUF: return ringbuf_func;
    case BPF_MAP_TYPE_PERF_EVENT_ARRAY: return perf_func;
    case BPF_MAP_TYPE_HASH:
    case BPF_MAP_TYPE_ARRAY:
    case BPF_MAP_TYPE_PERCPU_HASH:
    case BPF_MAP_TYPE_PERCPU_ARRAY:
    case BPF_MAP_TYPE_LRU_HASH:
    case BPF_MAP_TYPE_LRU_PERCPU_HASH:
    case BPF_MAP_TYPE_LPM_TRIE: return !ringbuf_func && !perf_func;
    case BPF_MAP_TYPE_ARRAY_OF_MAPS:
    case BPF_MAP_TYPE_HASH_OF_MAPS: return id == BPF_FUNC_map_lookup_elem;
    // The others take only helpers that are not ours.
    default: return false;
  }
}

}  // namespace skep
