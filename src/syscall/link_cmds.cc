// syscall: LINK_CREATE, LINK_UPDATE, LINK_DETACH. Linux: kernel/bpf/syscall.c:link_create(), bpf_perf_link_attach()
#include <fmt/format.h>

#include "objects/attach.h"
#include "probes/events.h"
#include "probes/syscalls.h"
#include "syscall/commands.h"
#include "syscall/link_rules.h"
#include "syscall/links.h"

namespace skep {
namespace {

/// Bytes of the record that a tracepoint's program gets: the header, the syscall's number, then its arguments or its result.
/// Linux: kernel/trace/trace_events.c:trace_event_get_offsets()
u32 record_size(const ProbeTarget& probe) {
  constexpr u32 HEADER = 16, WORD = 8;
  if (probe.kind == ProbeKind::Tracepoint) return event_by_place(probe.place)->record_size();
  if (probe.kind == ProbeKind::TpExit) return HEADER + WORD;
  const SyscallInfo* syscall = syscall_by_nr(probe.syscall_nr);
  return HEADER + WORD * (syscall != nullptr ? syscall->nr_args : 0);
}

Errno refuse(Kernel& kernel, u32 attach_type, Errno error) {
  kernel.doctor.note(fmt::format("LINK_CREATE with attach type {}: not here: errno {}", attach_type, error.value()));
  return error;
}

/// The types whose attach types Linux looks at here in detail; of the rest each attach type has one program type.
/// Linux: syscall.c:bpf_prog_attach_check_attach_type()
bool attach_type_fits(const Prog& prog, u32 attach) {
  switch (prog.type) {
    case BPF_PROG_TYPE_PERF_EVENT:
    case BPF_PROG_TYPE_TRACEPOINT:
      return attach == BPF_PERF_EVENT;
    case BPF_PROG_TYPE_KPROBE: {
      const u32 own = prog.expected_attach_type;
      const bool multi = attach == BPF_TRACE_KPROBE_MULTI || attach == BPF_TRACE_KPROBE_SESSION || attach == BPF_TRACE_UPROBE_MULTI;
      if (own == BPF_TRACE_KPROBE_MULTI || own == BPF_TRACE_KPROBE_SESSION || own == BPF_TRACE_UPROBE_MULTI) return attach == own;
      return multi || attach == BPF_PERF_EVENT;
    }
    case BPF_PROG_TYPE_TRACING:
    case BPF_PROG_TYPE_LSM:
      return attach == prog.expected_attach_type;
    case BPF_PROG_TYPE_CGROUP_SKB:
      return attach == BPF_CGROUP_INET_INGRESS || attach == BPF_CGROUP_INET_EGRESS;
    case BPF_PROG_TYPE_FLOW_DISSECTOR:
      return attach == BPF_FLOW_DISSECTOR;
    case BPF_PROG_TYPE_SK_MSG:
      return attach == BPF_SK_MSG_VERDICT;
    case BPF_PROG_TYPE_SK_SKB:
      return attach == BPF_SK_SKB_STREAM_PARSER || attach == BPF_SK_SKB_STREAM_VERDICT || attach == BPF_SK_SKB_VERDICT;
    case BPF_PROG_TYPE_SOCK_OPS:
      return attach == BPF_CGROUP_SOCK_OPS;
    case BPF_PROG_TYPE_CGROUP_DEVICE:
      return attach == BPF_CGROUP_DEVICE;
    case BPF_PROG_TYPE_CGROUP_SYSCTL:
      return attach == BPF_CGROUP_SYSCTL;
    case BPF_PROG_TYPE_CGROUP_SOCK:
    case BPF_PROG_TYPE_CGROUP_SOCK_ADDR:
    case BPF_PROG_TYPE_CGROUP_SOCKOPT:
    case BPF_PROG_TYPE_SK_LOOKUP:
      return attach == prog.expected_attach_type;
    default:
      return false;  // of types that take part in no link, or in none that is here: XDP, TCX, netkit, netfilter
  }
}

/// Links to cgroups, network namespaces and maps of sockets are not here. What the target's fd is worth is told all the same: clients
/// that want to know whether there are links at all ask with one that is not open.
Errno refuse_by_target(CallContext& ctx, const bpf_attr& attr) {
  const auto& a = attr.link_create;
  if (a.flags != 0) return Errno(EINVAL);
  const Result<FdIdentity> target = ctx.fds.identify(static_cast<s32>(a.target_fd));
  if (!target.ok()) return target.error();
  return refuse(ctx.kernel, a.attach_type, Errno(EINVAL));
}

Result<s64> attach_perf_event(CallContext& ctx, const std::shared_ptr<Prog>& prog, const bpf_attr& attr) {
  const auto& a = attr.link_create;
  if (a.flags != 0) return Errno(EINVAL);
  const Result<std::shared_ptr<File>> target = ctx.file(static_cast<s32>(a.target_fd));
  if (!target.ok()) return target.error() == Errno(EINVAL) ? Errno(EBADF) : target.error();
  const std::shared_ptr<PerfEvent> event = object_as<PerfEvent>((*target)->object);
  if (event == nullptr) return Errno(EBADF);
  TRY(check_event_prog(*event, *prog));
  TRY(check_runnable(ctx.kernel, *prog));
  TRY(attach_event(ctx.kernel, event.get(), prog, a.bpf_cookie));
  const std::shared_ptr<Link> link = new_link(ctx, BPF_LINK_TYPE_PERF_EVENT, prog);
  link->attach_type = BPF_PERF_EVENT;
  link->event = event;
  link->cookie = a.bpf_cookie;
  return settle_link(ctx, link);
}

Result<s64> attach_kprobe(CallContext& ctx, const std::shared_ptr<Prog>& prog, const bpf_attr& attr) {
  if (attr.link_create.attach_type == BPF_PERF_EVENT) return attach_perf_event(ctx, prog, attr);
  if (attr.link_create.attach_type != BPF_TRACE_UPROBE_MULTI) return attach_kprobe_multi(ctx, prog, attr);
  // As a kernel without uprobes answers.
  return refuse(ctx.kernel, BPF_TRACE_UPROBE_MULTI, Errno(EOPNOTSUPP));
}

Result<s64> attach_by_btf(CallContext& ctx, const std::shared_ptr<Prog>& prog, const bpf_attr& attr) {
  const auto& a = attr.link_create;
  if (prog->type == BPF_PROG_TYPE_TRACING && a.attach_type == BPF_TRACE_RAW_TP) return attach_btf_tracepoint(ctx, prog, a.tracing.cookie);
  if (a.attach_type == BPF_TRACE_ITER || a.attach_type == BPF_LSM_CGROUP) return refuse(ctx.kernel, a.attach_type, Errno(EINVAL));
  return attach_tracing(ctx, prog, a.target_fd, a.tracing.target_btf_id, a.tracing.cookie);
}

}  // namespace

Status check_event_prog(const PerfEvent& event, const Prog& prog) {
  if (!event.probe) return Errno(EINVAL);  // an output ring: nothing of it goes off
  const ProbeKind kind = event.probe->kind;
  if (kind == ProbeKind::Clock) return prog.type == BPF_PROG_TYPE_PERF_EVENT ? ok_status() : Status(Errno(EINVAL));
  const bool kprobe = kind == ProbeKind::Kprobe || kind == ProbeKind::Kretprobe;
  if (prog.type != (kprobe ? BPF_PROG_TYPE_KPROBE : BPF_PROG_TYPE_TRACEPOINT)) return Errno(EINVAL);
  if (kprobe && (prog.prog_flags & BPF_F_SLEEPABLE) != 0) return Errno(EINVAL);
  if (!kprobe && prog.max_ctx_offset > record_size(*event.probe)) return Errno(EACCES);
  return ok_status();
}

Result<s64> link_create(CallContext& ctx, const bpf_attr& attr, const UserAttr&) {
  const auto& a = attr.link_create;
  if (a.attach_type == BPF_STRUCT_OPS) {
    (void)TRY(ctx.object<Map>(static_cast<s32>(a.prog_fd)));  // none of them is of callbacks
    return refuse(ctx.kernel, a.attach_type, Errno(EINVAL));
  }
  const std::shared_ptr<Prog> prog = TRY(ctx.object<Prog>(static_cast<s32>(a.prog_fd)));
  if (!attach_type_fits(*prog, a.attach_type)) return refuse(ctx.kernel, a.attach_type, Errno(EINVAL));
  switch (prog->type) {
    case BPF_PROG_TYPE_PERF_EVENT:
    case BPF_PROG_TYPE_TRACEPOINT:
      return attach_perf_event(ctx, prog, attr);
    case BPF_PROG_TYPE_KPROBE:
      return attach_kprobe(ctx, prog, attr);
    case BPF_PROG_TYPE_TRACING:
    case BPF_PROG_TYPE_LSM:
      return attach_by_btf(ctx, prog, attr);
    default:
      return refuse_by_target(ctx, attr);
  }
}

/// Linux: syscall.c:link_update(): none of the kinds that are here can change its program.
Result<s64> link_update(CallContext& ctx, const bpf_attr& attr, const UserAttr&) {
  const auto& a = attr.link_update;
  if ((a.flags & ~BPF_F_REPLACE) != 0) return Errno(EINVAL);
  (void)TRY(ctx.object<Link>(static_cast<s32>(a.link_fd)));
  (void)TRY(ctx.object<Prog>(static_cast<s32>(a.new_prog_fd)));
  if ((a.flags & BPF_F_REPLACE) != 0) (void)TRY(ctx.object<Prog>(static_cast<s32>(a.old_prog_fd)));
  return Errno(EINVAL);
}

/// Linux: syscall.c:link_detach(): nor can one be detached by force.
Result<s64> link_detach(CallContext& ctx, const bpf_attr& attr, const UserAttr&) {
  (void)TRY(ctx.object<Link>(static_cast<s32>(attr.link_detach.link_fd)));
  return Errno(EOPNOTSUPP);
}

}  // namespace skep
