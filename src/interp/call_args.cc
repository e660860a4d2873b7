#include "interp/call_args.h"

#include "buffers/ringbuf.h"
#include "helpers/memory.h"

namespace skep {
namespace {

/// Linux: kernel/bpf/verifier.c:record_func_map() for the second rule.
bool map_fits(const MapDesc* map, u32 func) noexcept {
  if (map == nullptr || !map_func_compatible(map->type, func)) return false;
  return !func_writes_map(func) || (map->map_flags & BPF_F_RDONLY_PROG) == 0;
}

/// The size that goes with the memory argument before it. Linux: kernel/bpf/verifier.c:check_mem_size_reg()
bool size_fits(ArgType type, u64 size) noexcept {
  if (type != ARG_CONST_SIZE && type != ARG_CONST_SIZE_OR_ZERO) return false;
  return size < BPF_MAX_VAR_SIZ && (size != 0 || type == ARG_CONST_SIZE_OR_ZERO);
}

struct Call {
  RunCtx& run;
  const FuncProto& proto;
  const u64* args;
  const MapDesc* map = nullptr;

  bool fits(u32 i) noexcept {
    const u64 arg = args[i];
    switch (proto.args[i]) {
      case ARG_DONTCARE:
      case ARG_ANYTHING: return true;
      case ARG_CONST_MAP_PTR: map = run_map(run, arg); return map_fits(map, proto.id);
      case ARG_PTR_TO_MAP_KEY: return run_may_read(run, arg, map->key_size);
      case ARG_PTR_TO_MAP_VALUE: return run_may_read(run, arg, map->value_size);
      case ARG_PTR_TO_MEM:
        return size_fits(proto.args[i + 1], args[i + 1]) && (args[i + 1] == 0 || run_may_read(run, arg, args[i + 1]));
      case ARG_PTR_TO_UNINIT_MEM:
        return size_fits(proto.args[i + 1], args[i + 1]) && (args[i + 1] == 0 || run_may_write(run, arg, args[i + 1]));
      case ARG_CONST_SIZE:
      case ARG_CONST_SIZE_OR_ZERO: return true;  // looked at with the memory before it
      case ARG_CONST_ALLOC_SIZE_OR_ZERO: return arg < BPF_MAX_VAR_SIZ;
      case ARG_PTR_TO_CTX: return arg == reinterpret_cast<u64>(run.ctx);
      case ARG_PTR_TO_RINGBUF_MEM: return ringbuf_of(run.op, reinterpret_cast<const void*>(arg)) != nullptr;
    }
    return false;
  }
};

}  // namespace

u32 check_call_args(RunCtx& run, const FuncProto& proto, const u64* args) noexcept {
  Call call{run, proto, args};
  for (u32 i = 0; i < 5; ++i)
    if (!call.fits(i)) return i + 1;
  return 0;
}

}  // namespace skep
