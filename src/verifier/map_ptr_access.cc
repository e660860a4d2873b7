// verifier: loads through a pointer to a map itself: members of the kernel's struct behind it.
// Linux: kernel/bpf/verifier.c:check_ptr_to_map_access()
#include "uapi/btf.h"
#include "verifier/mem_access.h"

namespace skep {
namespace {

/// The kernel's struct of a kind of map; null: not told. Linux: bpf_map_ops.map_btf_id
const char* map_struct_name(u32 type) {
  switch (type) {
    case BPF_MAP_TYPE_HASH:
    case BPF_MAP_TYPE_LRU_HASH:
    case BPF_MAP_TYPE_PERCPU_HASH:
    case BPF_MAP_TYPE_LRU_PERCPU_HASH:
    case BPF_MAP_TYPE_HASH_OF_MAPS:
      return "bpf_htab";
    case BPF_MAP_TYPE_ARRAY:
    case BPF_MAP_TYPE_PERCPU_ARRAY:
    case BPF_MAP_TYPE_PROG_ARRAY:
    case BPF_MAP_TYPE_PERF_EVENT_ARRAY:
    case BPF_MAP_TYPE_CGROUP_ARRAY:
    case BPF_MAP_TYPE_ARRAY_OF_MAPS:
      return "bpf_array";
    case BPF_MAP_TYPE_STACK_TRACE:
      return "bpf_stack_map";
    case BPF_MAP_TYPE_LPM_TRIE:
      return "lpm_trie";
    case BPF_MAP_TYPE_DEVMAP:
    case BPF_MAP_TYPE_DEVMAP_HASH:
      return "bpf_dtab";
    case BPF_MAP_TYPE_SOCKMAP:
      return "bpf_stab";
    case BPF_MAP_TYPE_SOCKHASH:
      return "bpf_shtab";
    case BPF_MAP_TYPE_CPUMAP:
      return "bpf_cpu_map";
    case BPF_MAP_TYPE_XSKMAP:
      return "xsk_map";
    case BPF_MAP_TYPE_CGROUP_STORAGE:
    case BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE:
      return "bpf_cgroup_storage_map";
    case BPF_MAP_TYPE_REUSEPORT_SOCKARRAY:
      return "reuseport_array";
    case BPF_MAP_TYPE_QUEUE:
    case BPF_MAP_TYPE_STACK:
      return "bpf_queue_stack";
    case BPF_MAP_TYPE_SK_STORAGE:
    case BPF_MAP_TYPE_INODE_STORAGE:
    case BPF_MAP_TYPE_TASK_STORAGE:
    case BPF_MAP_TYPE_CGRP_STORAGE:
      return "bpf_local_storage_map";
    case BPF_MAP_TYPE_STRUCT_OPS:
      return "bpf_struct_ops_map";
    case BPF_MAP_TYPE_RINGBUF:
    case BPF_MAP_TYPE_USER_RINGBUF:
      return "bpf_ringbuf_map";
    case BPF_MAP_TYPE_BLOOM_FILTER:
      return "bpf_bloom_filter";
    case BPF_MAP_TYPE_ARENA:
      return "bpf_arena";
    default:
      return nullptr;
  }
}

}  // namespace

Status check_ptr_to_map_access(VerifierEnv& env, u32 regno, s32 off, u32 size, AccessType atype, s32 value_regno) {
  RegState* const regs = env.cur_regs();
  const VerifierMap& map = *regs[regno].map_ptr;
  const Btf* const vmlinux = env.vmlinux();
  if (vmlinux == nullptr) return env.refuse(ENOTSUPP_, "map_ptr access not supported without CONFIG_DEBUG_INFO_BTF");
  const char* const tname = map_struct_name(map.type);
  const Result<u32> id = tname == nullptr ? Result<u32>(Errno(ENOENT)) : vmlinux->find_by_name_kind(tname, BTF_KIND_STRUCT);
  if (!id.ok()) return env.refuse(ENOTSUPP_, "map_ptr access not supported for map type {}", map.type);
  if (!env.allow_ptr_leaks) return env.refuse(EPERM, "'struct {}' access is allowed only to CAP_PERFMON and CAP_SYS_ADMIN", tname);
  if (off < 0) return env.refuse(EACCES, "R{} is {} invalid negative access: off={}", regno, tname, off);
  if (atype != BPF_READ) return env.refuse(EACCES, "only read from {} is supported", tname);

  env.reads_map_structs = true;
  // The access is one through a PTR_TO_BTF_ID of that struct.
  RegState map_reg;
  std::memset(static_cast<void*>(&map_reg), 0, sizeof(map_reg));
  mark_btf_ld_reg(env, &map_reg, 0, PTR_TO_BTF_ID, vmlinux, *id, 0);
  const BtfAccess found = TRY(btf_struct_access(env, map_reg, off, size, atype));
  if (value_regno >= 0)
    mark_btf_ld_reg(env, regs, static_cast<u32>(value_regno), found.reg_type, vmlinux, found.btf_id, found.flag);
  return ok_status();
}

}  // namespace skep
