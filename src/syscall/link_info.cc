// syscall: what links and perf events tell of themselves. Linux: kernel/bpf/syscall.c:bpf_link_get_info_by_fd(), bpf_task_fd_query()
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "syscall/commands.h"

namespace skep {
namespace {

bool is_tracepoint(ProbeKind k) { return k == ProbeKind::TpEnter || k == ProbeKind::TpExit || k == ProbeKind::Tracepoint; }

/// As much of a name as fits, with its NUL; ENOSPC when that is not all. Linux: syscall.c:bpf_copy_to_user()
Status give_name(CallContext& ctx, u64 to, u32 room, const std::string& name) {
  const std::string text = name.substr(0, room - 1);
  TRY(ctx.mem.write(to, text.c_str(), text.size() + 1));
  return text.size() < name.size() ? Status(Errno(ENOSPC)) : ok_status();
}

/// A name where the caller wants one, and its length with the NUL.
Status fill_name(CallContext& ctx, u64 to, u32* room, const std::string& name) {
  const u32 given = *room;
  if ((to == 0) != (given == 0)) return Errno(EINVAL);
  *room = static_cast<u32>(name.size() + 1);
  return to == 0 ? ok_status() : give_name(ctx, to, given, name);
}

/// Linux: syscall.c:bpf_perf_link_fill_link_info()
Status fill_perf_event(CallContext& ctx, const Link& l, bpf_link_info* i) {
  auto& p = i->perf_event;
  const ProbeTarget& t = *l.event->probe;
  if (t.kind == ProbeKind::Clock) {
    p.type = BPF_PERF_EVENT_EVENT;
    p.event.type = l.event->type;
    p.event.config = l.event->config;
    p.event.cookie = l.cookie;
    return ok_status();
  }
  if (is_tracepoint(t.kind)) {
    TRY(fill_name(ctx, p.tracepoint.tp_name, &p.tracepoint.name_len, t.symbol));
    p.type = BPF_PERF_EVENT_TRACEPOINT;
    p.tracepoint.cookie = l.cookie;
    return ok_status();
  }
  TRY(fill_name(ctx, p.kprobe.func_name, &p.kprobe.name_len, t.symbol));
  p.type = t.kind == ProbeKind::Kretprobe ? BPF_PERF_EVENT_KRETPROBE : BPF_PERF_EVENT_KPROBE;
  p.kprobe.offset = 0;
  p.kprobe.addr = t.symbol_addr;
  p.kprobe.missed = 0;
  p.kprobe.cookie = l.cookie;
  return ok_status();
}

/// Linux: kernel/trace/bpf_trace.c:bpf_kprobe_multi_link_fill_link_info()
Status fill_kprobe_multi(CallContext& ctx, const Link& l, bpf_link_info* i) {
  auto& k = i->kprobe_multi;
  const u32 room = k.count, there = static_cast<u32>(l.addrs.size()), count = std::min(room, there);
  if ((k.addrs == 0) != (room == 0)) return Errno(EINVAL);
  if (k.cookies != 0 && room == 0) return Errno(EINVAL);
  k.count = there;
  k.flags = l.kretprobe ? BPF_F_KPROBE_MULTI_RETURN : 0;
  k.missed = 0;
  if (k.addrs == 0) return ok_status();
  const std::vector<u64> none(l.cookies.empty() ? there : 0);
  if (k.cookies != 0) TRY(ctx.mem.write(k.cookies, (l.cookies.empty() ? none : l.cookies).data(), u64{count} * sizeof(u64)));
  TRY(ctx.mem.write(k.addrs, l.addrs.data(), u64{count} * sizeof(u64)));
  return room < there ? Status(Errno(ENOSPC)) : ok_status();
}

Status fill_kind(CallContext& ctx, const Link& l, bpf_link_info* i) {
  switch (l.type) {
    case BPF_LINK_TYPE_RAW_TRACEPOINT:
      return fill_name(ctx, i->raw_tracepoint.tp_name, &i->raw_tracepoint.tp_name_len, l.name);
    case BPF_LINK_TYPE_TRACING:
      i->tracing.attach_type = l.attach_type;
      i->tracing.target_obj_id = VMLINUX_BTF_ID;
      i->tracing.target_btf_id = l.target_btf_id;
      return ok_status();
    case BPF_LINK_TYPE_KPROBE_MULTI:
      return fill_kprobe_multi(ctx, l, i);
    default:
      return fill_perf_event(ctx, l, i);
  }
}

/// What BPF_TASK_FD_QUERY answers.
struct FdAnswer {
  std::string name;
  u32 prog_id = 0, fd_type = 0;
  u64 addr = 0;
};

/// Linux: kernel/trace/bpf_trace.c:bpf_get_perf_event_info()
Result<FdAnswer> ask_event(const Kernel& kernel, const PerfEvent& event) {
  if (!event.probe) return Errno(ENOENT);  // never a program
  std::shared_ptr<Prog> prog;
  for (const Attachment& at : kernel.attachments)
    if (at.owner == &event) prog = at.prog;
  if (prog == nullptr) return Errno(ENOENT);
  const ProbeTarget& t = *event.probe;
  if (t.kind == ProbeKind::Clock) return Errno(EOPNOTSUPP);
  FdAnswer answer{t.symbol, prog->id, BPF_FD_TYPE_TRACEPOINT, 0};
  if (!is_tracepoint(t.kind)) {
    answer.fd_type = t.kind == ProbeKind::Kretprobe ? BPF_FD_TYPE_KRETPROBE : BPF_FD_TYPE_KPROBE;
    answer.addr = t.symbol_addr;
  }
  return answer;
}

Result<FdAnswer> ask_file(const Kernel& kernel, const File& file) {
  if (const auto link = object_as<Link>(file.object); link != nullptr && link->type == BPF_LINK_TYPE_RAW_TRACEPOINT)
    return FdAnswer{link->name, link->prog->id, BPF_FD_TYPE_RAW_TRACEPOINT, 0};
  if (const auto event = object_as<PerfEvent>(file.object)) return ask_event(kernel, *event);
  return Errno(ENOTSUPP_);
}

/// Our file behind another process's fd.
Result<std::shared_ptr<File>> file_of_task(const Kernel& kernel, u32 pid, u32 fd) {
  // The kernel half has no fds of its own to show: our ends of the clients' pipes are not theirs.
  if (static_cast<pid_t>(pid) == getpid()) return Errno(EBADF);
  const std::string task = "/proc/" + std::to_string(pid);
  struct stat st {};
  if (stat(task.c_str(), &st) != 0) return Errno(ENOENT);
  if (stat((task + "/fd/" + std::to_string(fd)).c_str(), &st) != 0) return Errno(EBADF);
  const auto it = kernel.files.find(st.st_ino);
  if (it == kernel.files.end() || it->second->dev != st.st_dev) return Errno(ENOTSUPP_);
  return it->second;
}

/// Linux: syscall.c:bpf_task_fd_query_copy()
Status give_answer(CallContext& ctx, const bpf_attr& attr, const UserAttr& uattr, const FdAnswer& answer) {
  const auto& a = attr.task_fd_query;
  const auto put = [&](std::size_t at, const auto& value) { return ctx.mem.write(uattr.addr + at, &value, sizeof value); };
  Status name = ok_status();
  if (a.buf != 0 && a.buf_len != 0) name = give_name(ctx, a.buf, a.buf_len, answer.name);
  if (!name.ok() && name.error() != Errno(ENOSPC)) return name;
  TRY(put(offsetof(bpf_attr, task_fd_query.buf_len), static_cast<u32>(answer.name.size())));
  TRY(put(offsetof(bpf_attr, task_fd_query.prog_id), answer.prog_id));
  TRY(put(offsetof(bpf_attr, task_fd_query.fd_type), answer.fd_type));
  TRY(put(offsetof(bpf_attr, task_fd_query.probe_offset), u64{0}));
  TRY(put(offsetof(bpf_attr, task_fd_query.probe_addr), answer.addr));
  return name;
}

}  // namespace

Result<s64> link_info(CallContext& ctx, const bpf_attr& attr, const UserAttr& uattr, const Link& l) {
  const u32 len = TRY(info_length(ctx, attr, sizeof(bpf_link_info)));
  bpf_link_info i{};
  TRY(ctx.mem.read(&i, attr.info.info, len));
  i.type = l.type;
  i.id = l.id;
  i.prog_id = l.prog != nullptr ? l.prog->id : 0;
  TRY(fill_kind(ctx, l, &i));
  return give_info(ctx, attr, uattr, &i, len);
}

Result<s64> task_fd_query(CallContext& ctx, const bpf_attr& attr, const UserAttr& uattr) {
  const auto& a = attr.task_fd_query;
  if (a.flags != 0) return Errno(EINVAL);
  const std::shared_ptr<File> file = TRY(file_of_task(ctx.kernel, a.pid, a.fd));
  const FdAnswer answer = TRY(ask_file(ctx.kernel, *file));
  TRY(give_answer(ctx, attr, uattr, answer));
  return s64{0};
}

}  // namespace skep
