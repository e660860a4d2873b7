// helpers: what a helper takes, returns and to whom it is open, as data. Freestanding: also compiled into the agent.
// Linux: include/linux/bpf.h:bpf_func_proto, bpf_arg_type, bpf_return_type
#pragma once
#include "helpers/run_ctx.h"

namespace skep {

/// The kernel's argument types that helpers of ours use. Its MEM_RDONLY on ARG_PTR_TO_MEM and OBJ_RELEASE on ARG_PTR_TO_RINGBUF_MEM
/// are implied: every ARG_PTR_TO_MEM is read only, every ARG_PTR_TO_RINGBUF_MEM is released.
enum ArgType : u8 {
  ARG_DONTCARE,
  ARG_CONST_MAP_PTR,
  ARG_PTR_TO_MAP_KEY,          ///< key_size readable bytes
  ARG_PTR_TO_MAP_VALUE,        ///< value_size readable bytes
  ARG_PTR_TO_MEM,              ///< readable; its size is the next argument
  ARG_PTR_TO_UNINIT_MEM,       ///< writable, filled by the helper; its size is the next argument
  ARG_CONST_SIZE,              ///< 1 to BPF_MAX_VAR_SIZ - 1
  ARG_CONST_SIZE_OR_ZERO,
  ARG_PTR_TO_CTX,
  ARG_ANYTHING,
  ARG_PTR_TO_RINGBUF_MEM,      ///< start of an open reservation; closed by the call
  ARG_CONST_ALLOC_SIZE_OR_ZERO,
};

enum RetType : u8 { RET_INTEGER, RET_VOID, RET_PTR_TO_MAP_VALUE_OR_NULL, RET_PTR_TO_RINGBUF_MEM_OR_NULL };

using HelperFn = u64 (*)(RunCtx&, u64 r1, u64 r2, u64 r3, u64 r4, u64 r5) noexcept;

struct FuncProto {
  u32 id;
  const char* name;
  bool gpl_only;
  RetType ret;
  ArgType args[5];
  u64 prog_types;  ///< bit per bpf_prog_type
  HelperFn fn;
};

constexpr u64 prog_type_bit(u32 type) noexcept { return type < 64 ? 1ULL << type : 0; }
template <typename... Types>
constexpr u64 prog_types(Types... types) noexcept { return (prog_type_bit(types) | ...); }

/// Program types whose func_proto() ends in bpf_tracing_func_proto(). Linux: kernel/trace/bpf_trace.c, kernel/bpf/bpf_lsm.c
constexpr u64 TRACING_PROG_TYPES =
    prog_types(BPF_PROG_TYPE_KPROBE, BPF_PROG_TYPE_TRACEPOINT, BPF_PROG_TYPE_PERF_EVENT, BPF_PROG_TYPE_RAW_TRACEPOINT,
               BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE, BPF_PROG_TYPE_TRACING, BPF_PROG_TYPE_LSM, BPF_PROG_TYPE_SYSCALL);
/// Those that end in bpf_base_func_proto(), through whatever else: all but EXT (its target's) and STRUCT_OPS (its kernel struct's),
/// which are not ours, and LIRC_MODE2. Linux: net/core/filter.c, kernel/bpf/cgroup.c, kernel/bpf/helpers.c
constexpr u64 BASE_PROG_TYPES =
    (prog_type_bit(MAX_BPF_PROG_TYPE_) - 1) &
    ~prog_types(BPF_PROG_TYPE_UNSPEC, BPF_PROG_TYPE_EXT, BPF_PROG_TYPE_STRUCT_OPS, BPF_PROG_TYPE_LIRC_MODE2);
/// LIRC_MODE2 has a short list of its own. Linux: drivers/media/rc/bpf-lirc.c:lirc_mode2_func_proto()
constexpr u64 BASE_AND_LIRC_PROG_TYPES = BASE_PROG_TYPES | prog_types(BPF_PROG_TYPE_LIRC_MODE2);
/// Those that ask cgroup_current_func_proto(). Linux: kernel/bpf/cgroup.c
constexpr u64 CGROUP_CURRENT_PROG_TYPES =
    prog_types(BPF_PROG_TYPE_CGROUP_DEVICE, BPF_PROG_TYPE_CGROUP_SYSCTL, BPF_PROG_TYPE_CGROUP_SOCKOPT, BPF_PROG_TYPE_CGROUP_SOCK,
               BPF_PROG_TYPE_CGROUP_SOCK_ADDR);

/// The helper of that id, null when there is none of ours.
const FuncProto* func_proto(u64 id) noexcept;
/// The same, null also when programs of `prog_type` may not call it. Linux: verifier.c:get_helper_proto()
const FuncProto* func_proto_for(u64 id, u32 prog_type) noexcept;

/// Whether a map of `map_type` may be handed to helper `id`. Linux: kernel/bpf/verifier.c:check_map_func_compatibility()
bool map_func_compatible(u32 map_type, u64 id) noexcept;
/// Whether helper `id` changes the map it is given. Linux: kernel/bpf/verifier.c:record_func_map()
constexpr bool func_writes_map(u64 id) noexcept { return id == BPF_FUNC_map_update_elem || id == BPF_FUNC_map_delete_elem; }

}  // namespace skep
