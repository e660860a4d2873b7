// syscall: links on perf events. Linux: kernel/bpf/syscall.c:link_create(), bpf_perf_link_attach()
#include <fmt/format.h>

#include "objects/attach.h"
#include "probes/syscalls.h"
#include "syscall/commands.h"
#include "syscall/link_rules.h"

namespace skep {
namespace {

/// Bytes of the record that a tracepoint's program gets: the header, the syscall's number, then its arguments or its result.
/// Linux: kernel/trace/trace_events.c:trace_event_get_offsets()
u32 record_size(const ProbeTarget& probe) {
  constexpr u32 HEADER = 16, WORD = 8;
  if (probe.kind == ProbeKind::TpExit) return HEADER + WORD;
  const SyscallInfo* syscall = syscall_by_nr(probe.syscall_nr);
  return HEADER + WORD * (syscall != nullptr ? syscall->nr_args : 0);
}

}  // namespace

Status check_event_prog(const PerfEvent& event, const Prog& prog) {
  if (!event.probe) return Errno(EINVAL);  // a software counter takes BPF_PROG_TYPE_PERF_EVENT only, which is not here yet
  const bool kprobe = event.probe->kind == ProbeKind::Kprobe || event.probe->kind == ProbeKind::Kretprobe;
  if (kprobe != (prog.type == BPF_PROG_TYPE_KPROBE)) return Errno(EINVAL);
  if (!kprobe && prog.type != BPF_PROG_TYPE_TRACEPOINT) return Errno(EINVAL);
  if (!kprobe && prog.max_ctx_offset > record_size(*event.probe)) return Errno(EACCES);
  return ok_status();
}

Result<s64> link_create(CallContext& ctx, const bpf_attr& attr, const UserAttr&) {
  const auto& a = attr.link_create;
  const std::shared_ptr<Prog> prog = TRY(ctx.object<Prog>(static_cast<s32>(a.prog_fd)));
  if (a.attach_type != BPF_PERF_EVENT) {
    ctx.kernel.doctor.note(fmt::format("LINK_CREATE with attach type {}: not here yet: EINVAL", a.attach_type));
    return Errno(EINVAL);
  }
  if (prog->type != BPF_PROG_TYPE_KPROBE && prog->type != BPF_PROG_TYPE_TRACEPOINT && prog->type != BPF_PROG_TYPE_PERF_EVENT)
    return Errno(EINVAL);
  if (a.flags != 0) return Errno(EINVAL);
  const Result<std::shared_ptr<File>> target = ctx.file(static_cast<s32>(a.target_fd));
  if (!target.ok()) return target.error() == Errno(EINVAL) ? Errno(EBADF) : target.error();
  const std::shared_ptr<PerfEvent> event = object_as<PerfEvent>((*target)->object);
  if (event == nullptr) return Errno(EBADF);
  TRY(check_event_prog(*event, *prog));
  TRY(check_runnable(ctx.kernel, *prog));
  TRY(attach_event(ctx.kernel, event.get(), prog, a.bpf_cookie));
  auto link = std::make_shared<Link>();
  link->kernel = &ctx.kernel;
  link->prog = prog;
  link->event = event;
  link->cookie = a.bpf_cookie;
  link->id = ctx.kernel.links.add(link);
  ctx.install(link, FILE_READ | FILE_WRITE);
  ctx.new_file->link_text = "anon_inode:bpf_link";  // Linux: syscall.c:bpf_link_prime() spells it so, bpf_link_new_fd() with a dash
  return s64{0};
}

/// Linux: syscall.c:link_detach(): perf event links have no detach operation.
Result<s64> link_detach(CallContext& ctx, const bpf_attr& attr, const UserAttr&) {
  (void)TRY(ctx.object<Link>(static_cast<s32>(attr.link_detach.link_fd)));
  return Errno(EOPNOTSUPP);
}

}  // namespace skep
