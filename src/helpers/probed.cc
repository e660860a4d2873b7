// helpers: the function that the program is attached to, and what becomes of its call. Linux: kernel/trace/bpf_trace.c
#include <cerrno>

#include "helpers/helper_list.h"

namespace skep {
namespace {

u64 ret(long value) noexcept { return static_cast<u64>(value); }

/// Of a system call's function there is one: what the kernel saved of the caller.
constexpr u64 NR_ARGS = 1;

}  // namespace

u64 bpf_get_func_ip(RunCtx& run, u64, u64, u64, u64, u64) noexcept { return run.probe != nullptr ? run.probe->symbol_addr : 0; }

u64 bpf_get_func_arg(RunCtx&, u64 ctx, u64 n, u64 value, u64, u64) noexcept {
  if (static_cast<u32>(n) >= NR_ARGS) return ret(-EINVAL);
  *reinterpret_cast<u64*>(value) = reinterpret_cast<const u64*>(ctx)[static_cast<u32>(n)];
  return 0;
}

/// Linux: verifier.c:do_misc_fixups() puts -EOPNOTSUPP where the program runs before the function.
u64 bpf_get_func_ret(RunCtx& run, u64 ctx, u64 value, u64, u64, u64) noexcept {
  if (run.probe == nullptr || (run.probe->kind != ProbeKind::Fexit && run.probe->kind != ProbeKind::ModifyReturn))
    return ret(-EOPNOTSUPP);
  *reinterpret_cast<u64*>(value) = reinterpret_cast<const u64*>(ctx)[NR_ARGS];
  return 0;
}

u64 bpf_get_func_arg_cnt(RunCtx&, u64, u64, u64, u64, u64) noexcept { return NR_ARGS; }

/// At a function's entry only: what a call has answered already stays. All functions that skep has are open to it.
u64 bpf_override_return(RunCtx& run, u64, u64 rc, u64, u64, u64) noexcept {
  if (run.probe == nullptr || run.probe->kind != ProbeKind::Kprobe) return 0;
  run.overrides = true;
  run.override_ret = static_cast<s64>(rc);
  return 0;
}

}  // namespace skep
