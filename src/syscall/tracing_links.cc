// syscall: links on raw tracepoints and on functions by BTF id. Linux: kernel/bpf/syscall.c:bpf_raw_tp_link_attach(),
// bpf_tracing_prog_attach(); kernel/bpf/trampoline.c
#include <fmt/format.h>

#include "objects/attach.h"
#include "probes/events.h"
#include "probes/syscalls.h"
#include "syscall/attr.h"
#include "syscall/commands.h"
#include "syscall/links.h"

namespace skep {
namespace {

constexpr u64 TP_NAME_MAX = 127;
constexpr std::string_view TRACE_PREFIX = "btf_trace_";
constexpr u32 MAX_TRAMP_LINKS = 38;  // Linux: include/linux/bpf.h:BPF_MAX_TRAMP_LINKS

bool is_on_function(ProbeKind kind) { return kind == ProbeKind::Fentry || kind == ProbeKind::Fexit || kind == ProbeKind::ModifyReturn; }

ProbeKind kind_of(u32 attach_type) {
  if (attach_type == BPF_TRACE_FEXIT) return ProbeKind::Fexit;
  return attach_type == BPF_MODIFY_RETURN ? ProbeKind::ModifyReturn : ProbeKind::Fentry;
}

/// Linux: trampoline.c:__bpf_trampoline_link_prog()
Status check_room(const Kernel& kernel, u32 syscall_nr, const Prog& prog) {
  u32 count = 0;
  bool linked = false;
  for (const Attachment& a : kernel.attachments) {
    if (!is_on_function(a.target.kind) || a.target.syscall_nr != syscall_nr) continue;
    ++count;
    linked |= a.prog.get() == &prog;
  }
  if (count >= MAX_TRAMP_LINKS) return Errno(E2BIG);
  return linked ? Status(Errno(EBUSY)) : ok_status();
}

/// What the program was loaded for, by the name that the kernel's BTF gives it.
std::string target_name(const Kernel& kernel, const Prog& prog) {
  return kernel.vmlinux == nullptr ? std::string() : std::string(kernel.vmlinux->type_name(prog.attach_btf_id));
}

/// Linux: verifier.c:bpf_check_attach_target(), the search for the function's address
Result<ProbeTarget> function_target(Kernel& kernel, const Prog& prog) {
  ProbeTarget t;
  t.symbol = target_name(kernel, prog);
  const SyscallInfo* s = syscall_by_function(t.symbol);
  if (s == nullptr) {
    kernel.doctor.note(fmt::format("program {} \"{}\" on function {}: only system call functions (__x64_sys_*) are here: ENOENT", prog.id,
                                   prog.name, t.symbol));
    return Errno(ENOENT);
  }
  t.kind = kind_of(prog.expected_attach_type);
  t.syscall_nr = s->nr;
  t.symbol_addr = syscall_symbol_addr(*s);
  return t;
}

bool has_function_target(const Prog& prog) {
  if (prog.type == BPF_PROG_TYPE_LSM) return prog.expected_attach_type == BPF_LSM_MAC;
  const u32 attach = prog.expected_attach_type;
  return prog.type == BPF_PROG_TYPE_TRACING && (attach == BPF_TRACE_FENTRY || attach == BPF_TRACE_FEXIT || attach == BPF_MODIFY_RETURN);
}

}  // namespace

std::shared_ptr<Link> new_link(CallContext& ctx, u32 type, const std::shared_ptr<Prog>& prog) {
  auto link = std::make_shared<Link>();
  link->kernel = &ctx.kernel;
  link->type = type;
  link->attach_type = prog->expected_attach_type;
  link->prog = prog;
  return link;
}

s64 settle_link(CallContext& ctx, const std::shared_ptr<Link>& link) {
  link->id = ctx.kernel.links.add(link);
  ctx.install(link, FILE_READ | FILE_WRITE);
  ctx.new_file->link_text = "anon_inode:bpf_link";  // Linux: syscall.c:bpf_link_prime() spells it so, bpf_link_new_fd() with a dash
  return 0;
}

Result<s64> attach_raw_tracepoint(CallContext& ctx, const std::shared_ptr<Prog>& prog, const std::string& name, u64 cookie) {
  const EventInfo* event = event_by_raw_name(name);
  if (event == nullptr) {
    ctx.kernel.doctor.note(fmt::format("raw tracepoint {}: not here: ENOENT", name));
    return Errno(ENOENT);
  }
  // Linux: kernel/trace/bpf_trace.c:bpf_probe_register(); none of these has a writable argument.
  if (prog->max_ctx_offset > event->raw_args * sizeof(u64) || prog->max_tp_access > 0) return Errno(EINVAL);
  TRY(check_runnable(ctx.kernel, *prog));
  const std::shared_ptr<Link> link = new_link(ctx, BPF_LINK_TYPE_RAW_TRACEPOINT, prog);
  link->name = name;
  link->cookie = cookie;
  AttachPoint point;
  point.target.kind = ProbeKind::RawTp;
  point.target.place = event->place;
  point.target.symbol = name;
  point.cookie = cookie;
  TRY(attach_points(ctx.kernel, link.get(), prog, {&point, 1}));
  return settle_link(ctx, link);
}

Result<s64> attach_btf_tracepoint(CallContext& ctx, const std::shared_ptr<Prog>& prog, u64 cookie) {
  const std::string name = target_name(ctx.kernel, *prog);
  return attach_raw_tracepoint(ctx, prog, name.starts_with(TRACE_PREFIX) ? name.substr(TRACE_PREFIX.size()) : name, cookie);
}

Result<s64> attach_tracing(CallContext& ctx, const std::shared_ptr<Prog>& prog, u32 target_fd, u32 target_btf_id, u64 cookie) {
  if (!has_function_target(*prog)) return Errno(EINVAL);
  // A target at this point is for EXT programs, which are not here.
  if (target_fd != 0 || target_btf_id != 0) return Errno(EINVAL);
  TRY(check_runnable(ctx.kernel, *prog));
  const ProbeTarget target = TRY(function_target(ctx.kernel, *prog));
  TRY(check_room(ctx.kernel, target.syscall_nr, *prog));
  const std::shared_ptr<Link> link = new_link(ctx, BPF_LINK_TYPE_TRACING, prog);
  link->target_btf_id = prog->attach_btf_id;
  link->cookie = cookie;
  const AttachPoint point{target, cookie};
  TRY(attach_points(ctx.kernel, link.get(), prog, {&point, 1}));
  return settle_link(ctx, link);
}

Result<s64> raw_tracepoint_open(CallContext& ctx, const bpf_attr& attr, const UserAttr&) {
  const auto& a = attr.raw_tracepoint;
  const std::shared_ptr<Prog> prog = TRY(ctx.object<Prog>(static_cast<s32>(a.prog_fd)));
  switch (prog->type) {
    case BPF_PROG_TYPE_TRACING:
    case BPF_PROG_TYPE_EXT:
    case BPF_PROG_TYPE_LSM:
      if (a.name != 0) return Errno(EINVAL);  // they have named their target at load
      if (prog->type == BPF_PROG_TYPE_TRACING && prog->expected_attach_type == BPF_TRACE_RAW_TP)
        return attach_btf_tracepoint(ctx, prog, a.cookie);
      return attach_tracing(ctx, prog, 0, 0, 0);
    case BPF_PROG_TYPE_RAW_TRACEPOINT:
    case BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE: {
      const Result<std::string> name = ctx.mem.read_string(a.name, TP_NAME_MAX + 1);
      if (!name.ok() && name.error() != Errno(E2BIG)) return name.error();
      return attach_raw_tracepoint(ctx, prog, name.ok() ? *name : "with a name of more than 127 bytes", a.cookie);
    }
    default:
      return Errno(EINVAL);
  }
}

}  // namespace skep
