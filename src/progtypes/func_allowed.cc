// progtypes: helpers that are open at some places of attachment only.
#include "progtypes/func_proto.h"
#include "progtypes/hook_names.h"

namespace skep {
namespace {

/// Linux: bpf_lsm.c:sleepable_lsm_hooks
constexpr const char* SLEEPABLE_LSM_HOOKS[] = {
    "bpf",
    "bpf_map",
    "bpf_map_create",
    "bpf_map_free",
    "bpf_prog",
    "bpf_prog_load",
    "bpf_token_create",
    "bpf_token_free",
    "bpf_token_cmd",
    "bpf_token_capable",
    "bprm_check_security",
    "bprm_committed_creds",
    "bprm_committing_creds",
    "bprm_creds_for_exec",
    "bprm_creds_from_file",
    "capget",
    "capset",
    "cred_prepare",
    "file_ioctl",
    "file_lock",
    "file_open",
    "file_post_open",
    "file_receive",
    "inode_create",
    "inode_free_security",
    "inode_getattr",
    "inode_getxattr",
    "inode_mknod",
    "inode_need_killpriv",
    "inode_post_setxattr",
    "inode_readlink",
    "inode_rename",
    "inode_rmdir",
    "inode_setattr",
    "inode_setxattr",
    "inode_symlink",
    "inode_unlink",
    "kernel_module_request",
    "kernel_read_file",
    "kernfs_init_security",
    "path_unlink",
    "path_mkdir",
    "path_rmdir",
    "path_truncate",
    "path_symlink",
    "path_link",
    "path_rename",
    "path_chmod",
    "path_chown",
    "mmap_file",
    "netlink_send",
    "path_notify",
    "release_secctx",
    "sb_alloc_security",
    "sb_eat_lsm_opts",
    "sb_kern_mount",
    "sb_mount",
    "sb_remount",
    "sb_set_mnt_opts",
    "sb_show_options",
    "sb_statfs",
    "sb_umount",
    "settime",
    "socket_accept",
    "socket_bind",
    "socket_connect",
    "socket_create",
    "socket_getpeername",
    "socket_getpeersec_dgram",
    "socket_getsockname",
    "socket_getsockopt",
    "socket_listen",
    "socket_post_create",
    "socket_recvmsg",
    "socket_sendmsg",
    "socket_shutdown",
    "socket_socketpair",
    "syslog",
    "task_alloc",
    "current_getsecid_subj",
    "task_getsecid_obj",
    "task_prctl",
    "task_setscheduler",
    "userns_create",
};

/// Linux: bpf_trace.c:btf_allowlist_d_path
constexpr const char* D_PATH_FUNCTIONS[] = {
    "security_file_permission",
    "security_inode_getattr",
    "security_file_open",
    "security_path_truncate",
    "vfs_truncate",
    "vfs_fallocate",
    "dentry_open",
    "vfs_getattr",
    "filp_close",
};

/// Linux: bpf_d_path_allowed(). What EXT programs are attached to is a program's function, which is never on the list.
bool d_path_allowed(const ProgTraits& prog) noexcept {
  if (prog.is_ext) return false;
  if (prog.type == BPF_PROG_TYPE_TRACING && prog.expected_attach_type == BPF_TRACE_ITER) return true;
  if (prog.type == BPF_PROG_TYPE_LSM) return lsm_hook_is_sleepable(prog.attach_func_name);
  return name_is_one_of(prog.attach_func_name, D_PATH_FUNCTIONS);
}

/// Linux: bpf_sk_storage_tracing_allowed()
bool sk_storage_tracing_allowed(const ProgTraits& prog) noexcept {
  if (prog.is_ext) return false;
  switch (prog.expected_attach_type) {
    case BPF_TRACE_ITER:
    case BPF_TRACE_RAW_TP:
      return true;
    case BPF_TRACE_FENTRY:
    case BPF_TRACE_FEXIT:
      return prog.attach_func_name != nullptr && !name_starts_with(prog.attach_func_name, "bpf_sk_storage");
    default:
      return false;
  }
}

}  // namespace

bool lsm_hook_is_sleepable(const char* hook) noexcept {
  return name_is_one_of(name_without(hook, "bpf_lsm_"), SLEEPABLE_LSM_HOOKS);
}

bool func_allowed(const FuncProto& proto, const ProgTraits& prog) noexcept {
  switch (proto.allowed) {
    case FuncAllowed::Always:
      return true;
    case FuncAllowed::DPathHook:
      return d_path_allowed(prog);
    case FuncAllowed::SkStorageTracing:
      return sk_storage_tracing_allowed(prog);
    case FuncAllowed::SleepableLsmHook:
      return lsm_hook_is_sleepable(prog.attach_func_name);
  }
  return false;
}

}  // namespace skep
