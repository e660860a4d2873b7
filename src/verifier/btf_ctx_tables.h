// verifier: what BTF does not say of arguments that programs are called with. Internal to the room.
#pragma once
#include <string_view>

#include "progtypes/types.h"

namespace skep {

/// An argument of an iterator's programs with a type of its own. Linux: bpf_iter_reg.ctx_arg_info
struct IterArg {
  std::string_view func;  ///< "bpf_iter_" and the target
  u32 off;                ///< in struct bpf_iter__TARGET, behind `meta` at 0
  u32 reg_type;
  std::string_view btf_struct;  ///< of a PTR_TO_BTF_ID
};
inline constexpr u32 BTF_OR_NULL = PTR_TO_BTF_ID_OR_NULL;
inline constexpr u32 TRUSTED_OR_NULL = u32{PTR_TO_BTF_ID_OR_NULL} | u32{PTR_TRUSTED};
inline constexpr u32 BUF_OR_NULL = u32{PTR_TO_BUF} | u32{PTR_MAYBE_NULL};
/// Linux: kernel/bpf/{task,map,prog,link,cgroup}_iter.c, net/core/{sock_map,bpf_sk_storage}.c, net/ipv4/{tcp_ipv4,udp}.c,
/// net/ipv6/route.c, net/netlink/af_netlink.c, net/unix/af_unix.c, kernel/kallsyms.c
inline constexpr IterArg ITER_ARGS[] = {
    {"bpf_iter_task", 8, TRUSTED_OR_NULL, "task_struct"},
    {"bpf_iter_task_file", 8, BTF_OR_NULL, "task_struct"},
    {"bpf_iter_task_file", 24, BTF_OR_NULL, "file"},
    {"bpf_iter_task_vma", 8, BTF_OR_NULL, "task_struct"},
    {"bpf_iter_task_vma", 16, BTF_OR_NULL, "vm_area_struct"},
    {"bpf_iter_bpf_map", 8, TRUSTED_OR_NULL, "bpf_map"},
    {"bpf_iter_bpf_map_elem", 16, BUF_OR_NULL | MEM_RDONLY, ""},
    {"bpf_iter_bpf_map_elem", 24, BUF_OR_NULL, ""},
    {"bpf_iter_bpf_prog", 8, BTF_OR_NULL, "bpf_prog"},
    {"bpf_iter_bpf_link", 8, BTF_OR_NULL, "bpf_link"},
    {"bpf_iter_cgroup", 8, TRUSTED_OR_NULL, "cgroup"},
    {"bpf_iter_sockmap", 16, BUF_OR_NULL | MEM_RDONLY, ""},
    {"bpf_iter_sockmap", 24, BTF_OR_NULL, "sock"},
    {"bpf_iter_bpf_sk_storage_map", 16, BTF_OR_NULL, "sock"},
    {"bpf_iter_bpf_sk_storage_map", 24, BUF_OR_NULL, ""},
    {"bpf_iter_tcp", 8, TRUSTED_OR_NULL, "sock_common"},
    {"bpf_iter_udp", 8, TRUSTED_OR_NULL, "udp_sock"},
    {"bpf_iter_netlink", 8, BTF_OR_NULL, "netlink_sock"},
    {"bpf_iter_unix", 8, BTF_OR_NULL, "unix_sock"},
    {"bpf_iter_ipv6_route", 8, BTF_OR_NULL, "fib6_info"},
    {"bpf_iter_ksym", 8, BTF_OR_NULL, "kallsym_iter"},
};

/// Tracepoints with arguments that may be null or an error in a pointer's place: bit 4 * n: argument n may be null, bit 4 * n + 1:
/// may be an error. Linux: btf.c:raw_tp_null_args[]
struct RawTpNullArgs {
  std::string_view func;
  u64 mask;
};
// clang-format off
inline constexpr RawTpNullArgs RAW_TP_NULL_ARGS[] = {
    {"sched_pi_setprio", 0x10}, {"sched_process_wait", 0x1}, {"sched_stick_numa", 0x100}, {"sched_swap_numa", 0x100},
    {"afs_make_fs_call", 0x10}, {"afs_make_fs_calli", 0x10}, {"afs_make_fs_call1", 0x10}, {"afs_make_fs_call2", 0x10},
    {"afs_protocol_error", 0x1}, {"afs_flock_ev", 0x10},
    {"cachefiles_lookup", 0x1 | 0x200}, {"cachefiles_unlink", 0x1}, {"cachefiles_rename", 0x1}, {"cachefiles_prep_read", 0x1},
    {"cachefiles_mark_active", 0x1}, {"cachefiles_mark_failed", 0x1}, {"cachefiles_mark_inactive", 0x1}, {"cachefiles_vfs_error", 0x1},
    {"cachefiles_io_error", 0x1}, {"cachefiles_ondemand_open", 0x1}, {"cachefiles_ondemand_copen", 0x1},
    {"cachefiles_ondemand_close", 0x1}, {"cachefiles_ondemand_read", 0x1}, {"cachefiles_ondemand_cread", 0x1},
    {"cachefiles_ondemand_fd_write", 0x1}, {"cachefiles_ondemand_fd_release", 0x1},
    {"ext4_mballoc_discard", 0x10}, {"ext4_mballoc_free", 0x10},
    {"fib_table_lookup", 0x100},
    {"posix_lock_inode", 0x10}, {"fcntl_setlk", 0x10}, {"locks_remove_posix", 0x10}, {"flock_lock_inode", 0x10},
    {"break_lease_noblock", 0x10}, {"break_lease_block", 0x10}, {"break_lease_unblock", 0x10}, {"generic_delete_lease", 0x10},
    {"time_out_leases", 0x10},
    {"host1x_cdma_push_gather", 0x10000},
    {"mm_khugepaged_scan_pmd", 0x10}, {"mm_collapse_huge_page_isolate", 0x1}, {"mm_khugepaged_scan_file", 0x10},
    {"mm_khugepaged_collapse_file", 0x10},
    {"mm_page_alloc", 0x1}, {"mm_page_pcpu_drain", 0x1}, {"mm_page_alloc_zone_locked", 0x1},
    {"netfs_failure", 0x10}, {"device_pm_callback_start", 0x10}, {"qdisc_dequeue", 0x1000},
    {"rxrpc_recvdata", 0x1}, {"rxrpc_resend", 0x10}, {"signal_generate", 0x20}, {"signal_deliver", 0x20}, {"kfree_skb", 0x1000},
    {"xs_stream_read_data", 0x1}, {"xprt_reserve_cong", 0x10}, {"xprt_release_cong", 0x10}, {"xprt_get_cong", 0x10},
    {"xprt_put_cong", 0x10},
    {"tcp_send_reset", 0x11}, {"tegra_dma_tx_status", 0x100}, {"tmigr_update_events", 0x1},
    {"writeback_dirty_folio", 0x10}, {"folio_wait_writeback", 0x10}, {"mr_integ_alloc", 0x2000}, {"bpf_testmod_test_read", 0x0},
};
// clang-format on

/// Hooks that see objects half made or half gone. Linux: bpf_lsm.c:untrusted_lsm_hooks
inline constexpr std::string_view UNTRUSTED_LSM_HOOKS[] = {
    "bpf_lsm_bpf_map_free",      "bpf_lsm_bpf_prog_free",    "bpf_lsm_file_alloc_security", "bpf_lsm_file_free_security",
    "bpf_lsm_sk_alloc_security", "bpf_lsm_sk_free_security", "bpf_lsm_task_free",
};
/// Hooks that return 0 or 1. Linux: bpf_lsm.c:bool_lsm_hooks
inline constexpr std::string_view BOOL_LSM_HOOKS[] = {
    "bpf_lsm_xfrm_state_pol_flow_match",
    "bpf_lsm_audit_rule_known",
    "bpf_lsm_inode_xattr_skipcap",
};

}  // namespace skep
