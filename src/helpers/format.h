// helpers: the format strings of bpf_trace_printk() and its kin. Freestanding: also compiled into the agent.
#pragma once
#include "helpers/run_ctx.h"

namespace skep {

constexpr u32 MAX_BPRINTF_VARARGS = 12;  ///< arguments that one format takes from an array. Linux: include/linux/bpf.h

/// Formats fmt[0, fmt_size), which holds a NUL, into out[0, size), always NUL-terminated (size > 0). The length that the whole text
/// has, like snprintf; or -EINVAL for what Linux refuses, -ENOSPC when the arguments exceed its 512 bytes of staging; out is then
/// undefined. Strings are read through run.env; a bad address prints nothing. Linux: kernel/bpf/helpers.c:bpf_bprintf_prepare(),
/// lib/vsprintf.c:bstr_printf() DIFFERS: %p and %pK print the address where Linux prints a hash of it; %ps, %pS and %pB print
/// 0xADDRESS, as Linux does where kallsyms knows no name.
long format_bpf(RunCtx& run, char* out, u64 size, const char* fmt, u64 fmt_size, const u64* args, u32 n_args) noexcept;

}  // namespace skep
