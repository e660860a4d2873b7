// verifier: pointer members of kernel structs that are as trustworthy as the pointer they are read through. Internal to the room.
// Linux: kernel/bpf/verifier.c:BTF_TYPE_SAFE_RCU, BTF_TYPE_SAFE_RCU_OR_NULL, BTF_TYPE_SAFE_TRUSTED, BTF_TYPE_SAFE_TRUSTED_OR_NULL
#pragma once
#include <span>
#include <string_view>

namespace skep {

struct TrustedField {
  std::string_view in_struct, field;
  std::string_view target;  ///< struct that the field points to
};

/// Trusted inside an RCU read section, never null.
inline constexpr TrustedField SAFE_RCU[] = {
    {"task_struct", "cpus_ptr", "cpumask"},
    {"task_struct", "cgroups", "css_set"},
    {"task_struct", "real_parent", "task_struct"},
    {"task_struct", "group_leader", "task_struct"},
    {"cgroup", "kn", "kernfs_node"},
    {"css_set", "dfl_cgrp", "cgroup"},
};
/// The same, and may be null. Sockets that programs see are freed after an RCU grace period, whatever their holder's tag says.
inline constexpr TrustedField SAFE_RCU_OR_NULL[] = {
    {"mm_struct", "exe_file", "file"},
    {"sk_buff", "sk", "sock"},
    {"request_sock", "sk", "sock"},
};
/// Trusted everywhere, never null.
inline constexpr TrustedField SAFE_TRUSTED[] = {
    {"bpf_iter_meta", "seq", "seq_file"},
    {"bpf_iter__task", "meta", "bpf_iter_meta"},
    {"bpf_iter__task", "task", "task_struct"},
    {"linux_binprm", "file", "file"},
    {"file", "f_inode", "inode"},
    {"dentry", "d_inode", "inode"},
};
inline constexpr TrustedField SAFE_TRUSTED_OR_NULL[] = {
    {"socket", "sk", "sock"},
};

/// Structs whose objects live on until the end of an RCU grace period. Linux: rcu_protected_types
inline constexpr std::string_view RCU_PROTECTED_TYPES[] = {"prog_test_ref_kfunc", "cgroup", "bpf_cpumask", "task_struct",
                                                           "bpf_crypto_ctx"};

}  // namespace skep
