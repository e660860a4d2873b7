// syscall: BPF_PROG_TEST_RUN, up to where the caller's memory is needed; the rest is testrun/. And what may be run at all.
// Linux: kernel/bpf/syscall.c:bpf_prog_test_run()
#include <fmt/format.h>

#include "helpers/runnable.h"
#include "isa/func_names.h"
#include "maps/map_ops.h"
#include "syscall/commands.h"

namespace skep {
namespace {

/// Types whose ops have a test_run. Linux: net/core/filter.c, kernel/trace/bpf_trace.c, kernel/bpf/syscall.c ...
bool has_test_run(u32 type) {
  switch (type) {
    case BPF_PROG_TYPE_SOCKET_FILTER:
    case BPF_PROG_TYPE_SCHED_CLS:
    case BPF_PROG_TYPE_SCHED_ACT:
    case BPF_PROG_TYPE_XDP:
    case BPF_PROG_TYPE_CGROUP_SKB:
    case BPF_PROG_TYPE_LWT_IN:
    case BPF_PROG_TYPE_LWT_OUT:
    case BPF_PROG_TYPE_LWT_XMIT:
    case BPF_PROG_TYPE_LWT_SEG6LOCAL:
    case BPF_PROG_TYPE_FLOW_DISSECTOR:
    case BPF_PROG_TYPE_SK_LOOKUP:
    case BPF_PROG_TYPE_SYSCALL:
    case BPF_PROG_TYPE_RAW_TRACEPOINT:
    case BPF_PROG_TYPE_TRACING:
    case BPF_PROG_TYPE_STRUCT_OPS:
    case BPF_PROG_TYPE_NETFILTER:
      return true;
    default:
      return false;
  }
}

std::string obstacle_text(const Obstacle& o) {
  switch (o.kind) {
    case ObstacleKind::Helper:
      return fmt::format("helper {}", func_id_name(static_cast<s64>(o.id)));
    case ObstacleKind::KernelFunction:
      return fmt::format("kernel function with BTF id {}", o.id);
    case ObstacleKind::MapKind: {
      const MapOps* ops = map_ops(static_cast<u32>(o.id));
      return fmt::format("map of kind {}", ops != nullptr ? std::string(ops->name) : std::to_string(o.id));
    }
    default:
      return fmt::format("program type {}", o.id);
  }
}

}  // namespace

Status check_runnable(Kernel& kernel, const Prog& prog) {
  const Obstacle o = prog.image == nullptr ? Obstacle{ObstacleKind::ProgType, prog.type} : find_obstacle(*prog.image);
  if (o.kind == ObstacleKind::None && !prog.reads_map_structs) return ok_status();
  const std::string what = o.kind == ObstacleKind::None ? "members of struct bpf_map" : obstacle_text(o);
  kernel.doctor.note(fmt::format("program {} \"{}\": {}: nothing here runs that: ENOTSUPP", prog.id, prog.name, what));
  return Errno(ENOTSUPP_);
}

Result<s64> prog_test_run(CallContext& ctx, const bpf_attr& attr, const UserAttr& uattr) {
  const bpf_test_run_attr& a = attr.test;
  if ((a.ctx_size_in != 0) != (a.ctx_in != 0)) return Errno(EINVAL);
  if ((a.ctx_size_out != 0) != (a.ctx_out != 0)) return Errno(EINVAL);
  const std::shared_ptr<Prog> prog = TRY(ctx.object<Prog>(static_cast<s32>(a.prog_fd)));
  if (!has_test_run(prog->type)) return Errno(ENOTSUPP_);
  TRY(check_runnable(ctx.kernel, *prog));
  if (!ctx.run_test) return Errno(ENOTSUPP_);
  return ctx.run_test(TestRunPlan{prog->image, uattr.addr, prog->expected_attach_type, prog->max_ctx_offset, a});
}

}  // namespace skep
