#include "interp/call_args.h"

#include "buffers/ringbuf.h"
#include "helpers/memory.h"
#include "progtypes/func_ids.h"

namespace skep {
namespace {

/// Linux: kernel/bpf/verifier.c:record_func_map() for the second rule.
bool map_fits(const MapDesc* map, u32 func) noexcept {
  if (map == nullptr || !map_func_compatible(map->type, func)) return false;
  return !func_writes_map(func) || (map->map_flags & BPF_F_RDONLY_PROG) == 0;
}

/// Linux: kernel/bpf/verifier.c:check_mem_size_reg()
bool size_fits(u32 type, u64 size) noexcept {
  if (type != ARG_CONST_SIZE && type != ARG_CONST_SIZE_OR_ZERO) return false;
  return size < BPF_MAX_VAR_SIZ && (size != 0 || type == ARG_CONST_SIZE_OR_ZERO);
}

struct Call {
  RunCtx& run;
  const FuncProto& proto;
  const u64* args;
  const MapDesc* map = nullptr;

  bool map_pointer_fits(u64 arg) noexcept {
    map = run_map(run, arg);
    return map_fits(map, proto.id);
  }

  /// `size` bytes that the helper reads, or writes: MEM_WRITE, as MEM_UNINIT ones always have it. None are good anywhere, at null
  /// too.
  bool bytes_fit(u32 type, u64 addr, u64 size) noexcept {
    if (size == 0) return true;
    if ((type_flag(type) & (MEM_WRITE | MEM_UNINIT)) != 0) return run_may_write(run, addr, size);
    return run_may_read(run, addr, size) && !run_reads_uninit(run, addr, size);
  }

  /// ARG_PTR_TO_MEM of any kind. Its size is its own, or the next argument.
  bool memory_fits(u32 i) noexcept {
    const u32 type = proto.args[i];
    if ((type_flag(type) & MEM_FIXED_SIZE) != 0) {
      const u64 size = proto.arg_size[i];
      return ((type_flag(type) & MEM_ALIGNED) == 0 || args[i] % size == 0) && bytes_fit(type, args[i], size);
    }
    return i + 1 < 5 && size_fits(proto.args[i + 1], args[i + 1]) && bytes_fit(type, args[i], args[i + 1]);
  }

  bool fits(u32 i) noexcept {
    const u32 type = proto.args[i];
    const u64 arg = args[i];
    switch (base_type(type)) {
      case ARG_DONTCARE:
      case ARG_SCALAR:
      case ARG_ANYTHING:
        return true;
      case ARG_CONST_MAP_PTR:
        return map_pointer_fits(arg);
      case ARG_PTR_TO_MAP_KEY:
        return map != nullptr && bytes_fit(type, arg, map->key_size);
      case ARG_PTR_TO_MAP_VALUE: {
        // A bloom filter is asked for the value. Linux: verifier.c:resolve_map_arg_type()
        const bool asks = proto.id == func::map_peek_elem && map != nullptr && map->type == BPF_MAP_TYPE_BLOOM_FILTER;
        return map != nullptr && (is_null(type, arg) || bytes_fit(asks ? base_type(type) : type, arg, map->value_size));
      }
      case ARG_PTR_TO_MEM:
        return memory_fits(i);
      case ARG_CONST_SIZE:
      case ARG_CONST_SIZE_OR_ZERO:
        return true;  // looked at with the memory before it
      case ARG_CONST_ALLOC_SIZE_OR_ZERO:
        return true;  // any constant: what is too large is not to be had
      case ARG_PTR_TO_CTX:
        return is_null(type, arg) || arg == reinterpret_cast<u64>(run.ctx);
      case ARG_PTR_TO_RINGBUF_MEM:
        return ringbuf_of(run.op, reinterpret_cast<const void*>(arg)) != nullptr;
      case ARG_PTR_TO_FUNC:
        // One that is never called may be gone, and is named by the end of the program: calling it would end the run.
        return (arg & RUN_FUNC_TAG) == RUN_FUNC_TAG && (arg & ~RUN_FUNC_TAG) <= run.prog->insn_cnt;
      case ARG_PTR_TO_STACK:
        return is_null(type, arg) || run_on_stack(run, arg);
      case ARG_PTR_TO_SPIN_LOCK:
        return run_value_lock(run, arg) != nullptr;
      case ARG_PTR_TO_BTF_ID:
        // A task, which our helpers compare with the run's own and never follow.
        return is_null(type, arg) || kernel_range(run, arg).len != 0;
      case ARG_PTR_TO_CONST_STR:
        return run_const_string(run, arg) >= 0;
      default:
        return false;
    }
  }

  static bool is_null(u32 type, u64 arg) noexcept { return type_may_be_null(type) && arg == 0; }
};

}  // namespace

u32 check_call_args(RunCtx& run, const FuncProto& proto, const u64* args) noexcept {
  Call call{run, proto, args};
  for (u32 i = 0; i < 5; ++i)
    if (!call.fits(i)) return i + 1;
  return 0;
}

}  // namespace skep
