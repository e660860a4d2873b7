#include "helpers/runnable.h"

#include "helpers/helper.h"
#include "maps/map_ops.h"
#include "progtypes/func_ids.h"

namespace skep {

bool helper_is_runnable(u64 id) noexcept { return id == func::tail_call || helper_fn(id) != nullptr; }

bool map_kind_is_runnable(u32 type) noexcept {
  const MapOps* ops = map_ops(type);
  return ops != nullptr && !ops->judge_only;
}

bool prog_type_is_runnable(u32 type) noexcept {
  switch (type) {
    case BPF_PROG_TYPE_KPROBE:
    case BPF_PROG_TYPE_TRACEPOINT:
    case BPF_PROG_TYPE_RAW_TRACEPOINT:
    case BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE:
    case BPF_PROG_TYPE_PERF_EVENT:
    case BPF_PROG_TYPE_TRACING:
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
      return true;
    default:
      return false;
  }
}

Obstacle find_obstacle(const ProgImage& prog) noexcept {
  for (u32 i = 0; i < prog.insn_cnt; i += insn_slots(prog.insns[i])) {
    const bpf_insn& insn = prog.insns[i];
    const u64 id = static_cast<u32>(insn.imm);
    if (is_kfunc_call(insn)) return {ObstacleKind::KernelFunction, id};
    if (is_helper_call(insn) && !helper_is_runnable(id)) return {ObstacleKind::Helper, id};
  }
  for (u32 i = 0; i < prog.n_maps; ++i)
    if (!map_kind_is_runnable(prog.maps[i]->type)) return {ObstacleKind::MapKind, prog.maps[i]->type};
  if (!prog_type_is_runnable(prog.type)) return {ObstacleKind::ProgType, prog.type};
  return {ObstacleKind::None, 0};
}

}  // namespace skep
