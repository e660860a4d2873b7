// The system's own <linux/bpf.h>, as numbers: it cannot be included beside ours.
#include <linux/bpf.h>

#include <cstddef>

#include "uapi/bpf_system_test.h"

namespace skep {

const SystemConstant SYSTEM_CONSTANTS[] = {
#define C(name) {#name, static_cast<unsigned long>(name)}
    C(BPF_MAP_CREATE), C(BPF_PROG_LOAD), C(BPF_OBJ_GET), C(BPF_OBJ_GET_INFO_BY_FD), C(BPF_BTF_LOAD), C(BPF_TASK_FD_QUERY), C(BPF_MAP_FREEZE),
    C(BPF_LINK_CREATE), C(BPF_LINK_DETACH), C(BPF_PROG_BIND_MAP), C(BPF_MAP_TYPE_PERF_EVENT_ARRAY), C(BPF_MAP_TYPE_RINGBUF),
    C(BPF_MAP_TYPE_BLOOM_FILTER), C(BPF_PROG_TYPE_KPROBE), C(BPF_PROG_TYPE_XDP), C(BPF_PROG_TYPE_SYSCALL), C(BPF_PERF_EVENT), C(BPF_XDP),
    C(BPF_XDP_CPUMAP), C(BPF_XDP_DEVMAP), C(BPF_LINK_TYPE_PERF_EVENT), C(BPF_LINK_TYPE_KPROBE_MULTI), C(BPF_LINK_TYPE_RAW_TRACEPOINT), C(BPF_LINK_TYPE_TRACING),
    C(BPF_F_REPLACE), C(BPF_F_KPROBE_MULTI_RETURN), C(BPF_FUNC_trace_printk), C(BPF_FUNC_get_current_task),
    C(BPF_FUNC_probe_read_kernel_str), C(BPF_FUNC_ringbuf_query), C(BPF_FUNC_get_attach_cookie), C(BPF_FD_TYPE_KRETPROBE),
    C(BPF_F_MMAPABLE), C(BPF_F_INNER_MAP), C(BPF_F_XDP_HAS_FRAGS), C(BPF_RB_FORCE_WAKEUP), C(BPF_RB_PROD_POS),
    C(BPF_PSEUDO_MAP_IDX_VALUE), C(BPF_JSLE), C(BPF_CMPXCHG), C(BPF_F_CTXLEN_MASK),
#undef C
    {"bpf_insn", sizeof(bpf_insn)},
    {"bpf_map_info", sizeof(bpf_map_info)},
    {"bpf_btf_info", sizeof(bpf_btf_info)},
    {"attr.map_extra", offsetof(bpf_attr, map_extra)},
    {"attr.log_buf", offsetof(bpf_attr, log_buf)},
    {"attr.line_info_cnt", offsetof(bpf_attr, line_info_cnt)},
    {"attr.core_relo_rec_size", offsetof(bpf_attr, core_relo_rec_size)},
    {"attr.btf_log_level", offsetof(bpf_attr, btf_log_level)},
    {"attr.task_fd_query.probe_addr", offsetof(bpf_attr, task_fd_query.probe_addr)},
    {"attr.link_create.perf_event.bpf_cookie", offsetof(bpf_attr, link_create.perf_event.bpf_cookie)},
    {"attr.link_create.kprobe_multi.cookies", offsetof(bpf_attr, link_create.kprobe_multi.cookies)},
    {"attr.link_create.tracing.cookie", offsetof(bpf_attr, link_create.tracing.cookie)},
    {"attr.link_update.old_prog_fd", offsetof(bpf_attr, link_update.old_prog_fd)},
    {"attr.raw_tracepoint.prog_fd", offsetof(bpf_attr, raw_tracepoint.prog_fd)},
    {"link_info.raw_tracepoint.tp_name_len", offsetof(bpf_link_info, raw_tracepoint.tp_name_len)},
    {"link_info.tracing.target_btf_id", offsetof(bpf_link_info, tracing.target_btf_id)},
    {"prog_info.prog_tags", offsetof(bpf_prog_info, prog_tags)},
    {"prog_info.verified_insns", offsetof(bpf_prog_info, verified_insns)},
};
const unsigned long SYSTEM_CONSTANT_COUNT = sizeof SYSTEM_CONSTANTS / sizeof SYSTEM_CONSTANTS[0];

}  // namespace skep
