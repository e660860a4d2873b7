// helpers: of SYSCALL programs: bpf(2) for programs that load others. Linux: kernel/bpf/syscall.c, btf.c
#include <cerrno>

#include "helpers/helper_list.h"

namespace skep {
namespace {

u64 ret(s64 value) noexcept { return static_cast<u64>(value); }

/// Linux: syscall.c:bpf_sys_bpf()
constexpr bool may_be_called(u32 cmd) noexcept {
  switch (cmd) {
    case BPF_MAP_CREATE:
    case BPF_MAP_DELETE_ELEM:
    case BPF_MAP_UPDATE_ELEM:
    case BPF_MAP_FREEZE:
    case BPF_MAP_GET_FD_BY_ID:
    case BPF_PROG_LOAD:
    case BPF_BTF_LOAD:
    case BPF_LINK_CREATE:
    case BPF_RAW_TRACEPOINT_OPEN:
      return true;
    default:
      return false;
  }
}

/// A string in `size` bytes that ends with its NUL.
bool is_name(u64 name, u64 size) noexcept {
  const s32 n = static_cast<s32>(size);
  return n > 1 && reinterpret_cast<const char*>(name)[n - 1] == '\0';
}

}  // namespace

u64 bpf_sys_bpf(RunCtx& run, u64 cmd, u64 attr, u64 size, u64, u64) noexcept {
  if (!may_be_called(static_cast<u32>(cmd))) return ret(-EINVAL);
  return ret(run.env->sys_bpf(run.env, static_cast<u32>(cmd), attr, static_cast<u32>(size)));
}

u64 bpf_sys_close(RunCtx& run, u64 fd, u64, u64, u64, u64) noexcept {
  return ret(run.env->close_fd(run.env, static_cast<s32>(fd)));
}

u64 bpf_btf_find_by_name_kind(RunCtx& run, u64 name, u64 size, u64 kind, u64 flags, u64) noexcept {
  if (static_cast<u32>(flags) != 0 || !is_name(name, size)) return ret(-EINVAL);
  u64 unused = 0;
  if (static_cast<u32>(kind) == 0) return ret(-ENOENT);
  return ret(run.env->find_symbol(run.env, reinterpret_cast<const char*>(name), static_cast<u32>(kind), &unused));
}

u64 bpf_kallsyms_lookup_name(RunCtx& run, u64 name, u64 size, u64 flags, u64 result, u64) noexcept {
  u64& address = *reinterpret_cast<u64*>(result);
  address = 0;
  if (static_cast<u32>(flags) != 0 || !is_name(name, size)) return ret(-EINVAL);
  return ret(run.env->find_symbol(run.env, reinterpret_cast<const char*>(name), 0, &address));
}

}  // namespace skep
