// progtypes: what each helper of Linux 6.12 takes, returns and to whom it is open, as data; whether skep can run it is another
// matter (helpers/). Freestanding. Linux: include/linux/bpf.h:bpf_func_proto
#pragma once
#include "progtypes/prog_traits.h"
#include "progtypes/types.h"

namespace skep {

/// Where a helper may be called from, beyond its program types. Linux: bpf_func_proto.allowed
enum class FuncAllowed : u8 {
  Always,
  DPathHook,         ///< bpf_d_path_allowed()
  SkStorageTracing,  ///< bpf_sk_storage_tracing_allowed()
  SleepableLsmHook,  ///< bpf_ima_inode_hash_allowed()
};

/// The struct in vmlinux BTF that one argument points to. Reads like an array of five names, of which at most one is not null.
struct ArgBtf {
  u32 arg = 0;
  const char* name = nullptr;
  constexpr const char* operator[](std::size_t i) const noexcept { return i == arg ? name : nullptr; }
};

struct FuncProto {
  u32 id = 0;  ///< BPF_FUNC_*
  bool gpl_only = false;
  bool pkt_access = false;  ///< may be handed packet pointers
  bool might_sleep = false;
  bool allow_fastcall = false;  ///< clobbers only r0 and its own arguments
  FuncAllowed allowed = FuncAllowed::Always;
  u32 ret = RET_INTEGER;  ///< bpf_return_type
  u32 args[5] = {};       ///< bpf_arg_type
  u8 arg_size[5] = {};    ///< with MEM_FIXED_SIZE: bytes. 0 otherwise
  /// With ARG_PTR_TO_BTF_ID: the struct's name. Null: any, or not needed (ARG_KPTR_XCHG_DEST, ARG_PTR_TO_SPIN_LOCK, *_SOCK_COMMON).
  ArgBtf arg_btf = {};
  const char* ret_btf = nullptr;  ///< struct that RET_PTR_TO_BTF_ID names; null otherwise
};

/// The proto that programs of these traits get for helper `id`; null: they may not call it, or there is no such helper. Several ids
/// have more than one proto (get_stack, get_func_ip, sk_storage_get, setsockopt ...): the program chooses. Whether the licence and
/// FuncProto.allowed fit is the caller's to ask, for Linux has other words for that. Linux: each type's
/// bpf_verifier_ops.get_func_proto. DIFFERS: nothing is locked down, and CAP_SYS_ADMIN (probe_write_user) is not asked for.
const FuncProto* get_func_proto(s64 id, const ProgTraits& prog) noexcept;

/// The same by type alone, for what runs programs that were judged: the proto that some program of `prog_type` gets. All that a
/// type may get for one id take the same arguments.
const FuncProto* run_func_proto(u64 id, u32 prog_type) noexcept;

/// Whether FuncProto.allowed lets programs of these traits call. Those attached to another program's function have no
/// attach_func_name: it is not in vmlinux. Linux: verifier.c:check_helper_call(), "helper call is not allowed in probe"
bool func_allowed(const FuncProto& proto, const ProgTraits& prog) noexcept;

/// Whether programs at this LSM hook (its name, with or without "bpf_lsm_") may sleep. Linux: bpf_lsm.c:bpf_lsm_is_sleepable_hook()
bool lsm_hook_is_sleepable(const char* hook) noexcept;

/// Whether a map of `map_type` may be handed to helper `id`, both ways round. For map_update_elem and map_delete_elem on a SOCKMAP
/// or SOCKHASH may_update_sockmap() has the last word. Linux: verifier.c:check_map_func_compatibility()
bool map_func_compatible(u32 map_type, u64 id) noexcept;

/// Whether a program may change a SOCKMAP or SOCKHASH by helper `id`, map_update_elem or map_delete_elem: when not, Linux says
/// "cannot update sockmap in this context" before its line about the map. Linux: verifier.c:may_update_sockmap()
bool may_update_sockmap(u64 id, const ProgTraits& prog) noexcept;

/// Whether helper `id` changes the map it is given: closed to maps of BPF_F_RDONLY_PROG. Linux: verifier.c:record_func_map()
bool func_writes_map(u64 id) noexcept;

constexpr u64 prog_type_bit(u32 type) noexcept { return type < 64 ? 1ULL << type : 0; }
template <typename... Types>
constexpr u64 prog_types(Types... types) noexcept {
  return (prog_type_bit(types) | ...);
}

}  // namespace skep
