// syscall: one function a bpf(2) command, all of one shape, listed in the table of dispatch.cc.
// Each returns >= 0, or the errno that Linux 6.12 gives, checked in Linux's order. `uattr` is the caller's attr, for results.
#pragma once
#include "syscall/context.h"
#include "uapi/bpf.h"

namespace skep {

struct UserAttr {
  u64 addr = 0;
  u32 size = 0;
};

using Command = Result<s64> (*)(CallContext&, const bpf_attr&, const UserAttr&);

Result<s64> map_create(CallContext&, const bpf_attr&, const UserAttr&);
Result<s64> map_lookup_elem(CallContext&, const bpf_attr&, const UserAttr&);
Result<s64> map_update_elem(CallContext&, const bpf_attr&, const UserAttr&);
Result<s64> map_delete_elem(CallContext&, const bpf_attr&, const UserAttr&);
Result<s64> map_get_next_key(CallContext&, const bpf_attr&, const UserAttr&);
Result<s64> map_lookup_and_delete_elem(CallContext&, const bpf_attr&, const UserAttr&);
Result<s64> map_lookup_batch(CallContext&, const bpf_attr&, const UserAttr&);
Result<s64> map_lookup_and_delete_batch(CallContext&, const bpf_attr&, const UserAttr&);
Result<s64> map_update_batch(CallContext&, const bpf_attr&, const UserAttr&);
Result<s64> map_delete_batch(CallContext&, const bpf_attr&, const UserAttr&);
Result<s64> map_freeze(CallContext&, const bpf_attr&, const UserAttr&);
Result<s64> prog_load(CallContext&, const bpf_attr&, const UserAttr&);
Result<s64> prog_test_run(CallContext&, const bpf_attr&, const UserAttr&);
Result<s64> prog_bind_map(CallContext&, const bpf_attr&, const UserAttr&);
Result<s64> btf_load(CallContext&, const bpf_attr&, const UserAttr&);
Result<s64> obj_pin(CallContext&, const bpf_attr&, const UserAttr&);
Result<s64> obj_get(CallContext&, const bpf_attr&, const UserAttr&);
Result<s64> obj_get_info_by_fd(CallContext&, const bpf_attr&, const UserAttr&);
Result<s64> prog_get_next_id(CallContext&, const bpf_attr&, const UserAttr&);
Result<s64> map_get_next_id(CallContext&, const bpf_attr&, const UserAttr&);
Result<s64> btf_get_next_id(CallContext&, const bpf_attr&, const UserAttr&);
Result<s64> link_get_next_id(CallContext&, const bpf_attr&, const UserAttr&);
Result<s64> prog_get_fd_by_id(CallContext&, const bpf_attr&, const UserAttr&);
Result<s64> map_get_fd_by_id(CallContext&, const bpf_attr&, const UserAttr&);
Result<s64> btf_get_fd_by_id(CallContext&, const bpf_attr&, const UserAttr&);
Result<s64> link_get_fd_by_id(CallContext&, const bpf_attr&, const UserAttr&);
Result<s64> task_fd_query(CallContext&, const bpf_attr&, const UserAttr&);
Result<s64> link_create(CallContext&, const bpf_attr&, const UserAttr&);
Result<s64> link_update(CallContext&, const bpf_attr&, const UserAttr&);
Result<s64> link_detach(CallContext&, const bpf_attr&, const UserAttr&);
Result<s64> raw_tracepoint_open(CallContext&, const bpf_attr&, const UserAttr&);

/// ENOTSUPP, and a line for doctor, for a program that was judged good but uses what nothing here can run (helpers/runnable.h): asked
/// before it is attached or run.
Status check_runnable(Kernel& kernel, const Prog& prog);
/// How much of an info struct of `ours` bytes the caller takes. E2BIG, EFAULT.
Result<u32> info_length(CallContext&, const bpf_attr&, u32 ours);
/// Hands an info struct out: the call's result.
Result<s64> give_info(CallContext&, const bpf_attr&, const UserAttr&, const void* info, u32 len);
Result<s64> link_info(CallContext&, const bpf_attr&, const UserAttr&, const Link&);
/// Copies an object name: alphanumerics, '_' and '.', NUL-terminated within BPF_OBJ_NAME_LEN. EINVAL.
/// Linux: kernel/bpf/syscall.c:bpf_obj_name_cpy()
Result<std::string> copy_object_name(const char (&name)[BPF_OBJ_NAME_LEN]);
/// BPF_F_RDONLY / BPF_F_WRONLY in map or open flags -> FILE_*; EINVAL for both. Linux: syscall.c:bpf_get_file_flag()
Result<u32> file_mode_of(u32 flags);
/// A copied-in blob. EFAULT; ENOMEM past 16 MiB... see callers for their own bounds.
Result<std::vector<u8>> read_blob(CallContext&, u64 addr, u64 len);

}  // namespace skep
