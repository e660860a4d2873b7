// syscall: how each kind of link is made; LINK_CREATE and RAW_TRACEPOINT_OPEN choose. Each answers a new fd, or Linux's errno in
// Linux's order. Linux: kernel/bpf/syscall.c:link_create()
#pragma once
#include "syscall/context.h"
#include "uapi/bpf.h"

namespace skep {

/// A raw tracepoint, by its name without its system: RAW_TRACEPOINT programs, and TRACING ones of BPF_TRACE_RAW_TP.
Result<s64> attach_raw_tracepoint(CallContext&, const std::shared_ptr<Prog>&, const std::string& name, u64 cookie);
/// What a TRACING program of BPF_TRACE_RAW_TP was loaded for.
Result<s64> attach_btf_tracepoint(CallContext&, const std::shared_ptr<Prog>&, u64 cookie);
/// The function that a TRACING program of BPF_TRACE_FENTRY, BPF_TRACE_FEXIT or BPF_MODIFY_RETURN was loaded for; others are refused.
Result<s64> attach_tracing(CallContext&, const std::shared_ptr<Prog>&, u32 target_fd, u32 target_btf_id, u64 cookie);
Result<s64> attach_kprobe_multi(CallContext&, const std::shared_ptr<Prog>&, const bpf_attr&);

/// Gives the link its id and its fd.
s64 settle_link(CallContext&, const std::shared_ptr<Link>&);
/// A link without an id yet, that holds `prog`.
std::shared_ptr<Link> new_link(CallContext&, u32 type, const std::shared_ptr<Prog>& prog);

}  // namespace skep
