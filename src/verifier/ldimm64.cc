// verifier: 64-bit immediates and the maps, functions and kernel variables they name; opcodes.
// Linux: verifier.c:resolve_pseudo_ldimm64()
#include <algorithm>

#include "verifier/verifier_env.h"

namespace skep {
namespace {

bool is_zero_half(const bpf_insn& insn) { return insn.code == 0 && insn.dst_reg == 0 && insn.src_reg == 0 && insn.off == 0; }

Result<s32> map_fd(VerifierEnv& env, const bpf_insn& insn) {
  if (insn.src_reg != BPF_PSEUDO_MAP_IDX && insn.src_reg != BPF_PSEUDO_MAP_IDX_VALUE) return s32{insn.imm};
  if (!env.input.fd_array) return env.refuse(EPROTO, "fd_idx without fd_array is invalid");
  return env.input.fd_array(static_cast<u32>(insn.imm));
}

/// Linux: verifier.c:add_used_map_from_fd()
Result<u32> add_used_map(VerifierEnv& env, s32 fd, bool* reused) {
  auto& used = env.used_maps;
  const Result<const VerifierMap*> map = env.input.map_by_fd(fd);
  if (!map.ok()) return env.refuse(map.error().value(), "fd {} is not pointing to valid bpf_map", fd);
  const auto known = std::find_if(used.begin(), used.end(), [&](const VerifierMap* m) { return m->identity == (*map)->identity; });
  *reused = known != used.end();
  if (*reused) return static_cast<u32>(known - used.begin());
  if (used.size() >= MAX_USED_MAPS)
    return env.refuse(E2BIG, "The total number of maps per program has reached the limit of {}", MAX_USED_MAPS);
  used.push_back(*map);
  return static_cast<u32>(used.size() - 1);
}

bool sleepable_may_use(u32 map_type) {
  switch (map_type) {
    case BPF_MAP_TYPE_HASH:
    case BPF_MAP_TYPE_LRU_HASH:
    case BPF_MAP_TYPE_ARRAY:
    case BPF_MAP_TYPE_PERCPU_HASH:
    case BPF_MAP_TYPE_PERCPU_ARRAY:
    case BPF_MAP_TYPE_LRU_PERCPU_HASH:
    case BPF_MAP_TYPE_ARRAY_OF_MAPS:
    case BPF_MAP_TYPE_HASH_OF_MAPS:
    case BPF_MAP_TYPE_RINGBUF:
    case BPF_MAP_TYPE_USER_RINGBUF:
    case BPF_MAP_TYPE_INODE_STORAGE:
    case BPF_MAP_TYPE_SK_STORAGE:
    case BPF_MAP_TYPE_TASK_STORAGE:
    case BPF_MAP_TYPE_CGRP_STORAGE:
    case BPF_MAP_TYPE_QUEUE:
    case BPF_MAP_TYPE_STACK:
    case BPF_MAP_TYPE_ARENA: return true;
    default: return false;
  }
}

/// Linux: verifier.c:check_map_prog_compatibility()
Status check_map_prog_compatibility(VerifierEnv& env, const VerifierMap& map) {
  const auto has = [&](u32 field) { return map.record != nullptr && map.record->has_field(field); };
  const bool tracing = is_tracing_prog_type(env.prog.type);
  if (has(BPF_LIST_HEAD | BPF_RB_ROOT) && tracing)
    return env.refuse(EINVAL, "tracing progs cannot use bpf_{{list_head,rb_root}} yet");
  if (has(BPF_SPIN_LOCK)) {
    if (env.prog.type == BPF_PROG_TYPE_SOCKET_FILTER) return env.refuse(EINVAL, "socket filter progs cannot use bpf_spin_lock yet");
    if (tracing) return env.refuse(EINVAL, "tracing progs cannot use bpf_spin_lock yet");
  }
  if (has(BPF_TIMER) && tracing) return env.refuse(EINVAL, "tracing progs cannot use bpf_timer yet");
  if (has(BPF_WORKQUEUE) && tracing) return env.refuse(EINVAL, "tracing progs cannot use bpf_wq yet");
  if (map.type == BPF_MAP_TYPE_STRUCT_OPS) return env.refuse(EINVAL, "bpf_struct_ops map cannot be used in prog");
  if (env.prog.sleepable && !sleepable_may_use(map.type))
    return env.refuse(EINVAL, "Sleepable programs can only use array, hash, ringbuf and local storage maps");
  return ok_status();
}

/// The one-per-program rules of a map that is new. Linux: bpf_cgroup_storage_assign(); resolve_pseudo_ldimm64()
Status check_new_map(VerifierEnv& env, const VerifierMap& map) {
  const bool storage = map.type == BPF_MAP_TYPE_CGROUP_STORAGE || map.type == BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE;
  if (storage) {
    const VerifierMap*& held = env.cgroup_storage[map.type == BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE ? 1 : 0];
    if (held != nullptr && held != &map) return env.refuse(EBUSY, "only one cgroup storage of each type is allowed");
    held = &map;
  }
  if (map.type == BPF_MAP_TYPE_ARENA) return env.refuse(EOPNOTSUPP, "JIT doesn't support arena");
  return ok_status();
}

bool has_direct_value(u32 map_type) { return map_type == BPF_MAP_TYPE_ARRAY || map_type == BPF_MAP_TYPE_ARENA; }

Status check_direct_value(VerifierEnv& env, const VerifierMap& map, u32 off) {
  if (off >= BPF_MAX_VAR_OFF) return env.refuse(EINVAL, "direct value offset of {} is not allowed", off);
  if (!has_direct_value(map.type)) return env.refuse(EINVAL, "no direct value access support for this map type");
  // Linux: arraymap.c:array_map_direct_value_addr()
  const int err = map.max_entries != 1 ? ENOTSUPP_ : off >= map.value_size ? EINVAL : 0;
  if (err != 0) return env.refuse(err, "invalid access to map value pointer, value_size={} off={}", map.value_size, off);
  return ok_status();
}

Status check_map_ref(VerifierEnv& env, u32 i) {
  const bpf_insn* insn = &env.insns[i];
  const bool is_value = insn->src_reg == BPF_PSEUDO_MAP_VALUE || insn->src_reg == BPF_PSEUDO_MAP_IDX_VALUE;
  const bool is_map = insn->src_reg == BPF_PSEUDO_MAP_FD || insn->src_reg == BPF_PSEUDO_MAP_IDX;
  if (!is_value && (!is_map || insn[1].imm != 0)) return env.refuse(EINVAL, "unrecognized bpf_ld_imm64 insn");
  const s32 fd = TRY(map_fd(env, *insn));
  bool reused = false;
  const u32 index = TRY(add_used_map(env, fd, &reused));
  const VerifierMap& map = *env.used_maps[index];
  InsnAux& aux = env.aux[i];
  aux.map_number = index + 1;
  TRY(check_map_prog_compatibility(env, map));
  if (is_value) {
    aux.map_off = static_cast<u32>(insn[1].imm);
    TRY(check_direct_value(env, map, aux.map_off));
  }
  return reused ? ok_status() : check_new_map(env, map);
}

Status check_ldimm64(VerifierEnv& env, u32 i) {
  if (i == env.insn_cnt() - 1 || !is_zero_half(env.insns[i + 1])) return env.refuse(EINVAL, "invalid bpf_ld_imm64 insn");
  switch (env.insns[i].src_reg) {
    case 0: return ok_status();
    case BPF_PSEUDO_BTF_ID: return check_pseudo_btf_id(env, i);
    case BPF_PSEUDO_FUNC: env.aux[i].ptr_type = PTR_TO_FUNC; return ok_status();
    default: return check_map_ref(env, i);
  }
}

/// The size of a kernel variable that is no struct. Linux: btf.c:btf_resolve_size()
bool is_percpu_var(const Btf& btf, u32 var_id) {
  const Result<u32> datasec = btf.find_by_name_kind(".data..percpu", BTF_KIND_DATASEC);
  if (!datasec.ok()) return false;
  const btf_type* t = btf.type_by_id(*datasec);
  const btf_var_secinfo* vsi = btf_var_secinfos(t);
  return std::any_of(vsi, vsi + btf_vlen(t), [&](const btf_var_secinfo& v) { return v.type == var_id; });
}

}  // namespace

/// Linux: verifier.c:check_pseudo_btf_id()
Status check_pseudo_btf_id(VerifierEnv& env, u32 i) {
  const bpf_insn* insn = &env.insns[i];
  // There are no modules, so no fd names the BTF of one.
  if (insn[1].imm != 0) return env.refuse(EINVAL, "invalid module BTF object FD specified.");
  const Btf* btf = env.vmlinux();
  if (btf == nullptr) return env.refuse(EINVAL, "kernel is missing BTF, make sure CONFIG_DEBUG_INFO_BTF=y is specified in Kconfig.");
  const u32 id = static_cast<u32>(insn->imm);
  const btf_type* t = btf->type_by_id(id);
  if (t == nullptr) return env.refuse(ENOENT, "ldimm64 insn specifies invalid btf_id {}.", insn->imm);
  if (!btf_is_var(t) && !btf_is_func(t))
    return env.refuse(EINVAL, "pseudo btf_id {} in ldimm64 isn't KIND_VAR or KIND_FUNC", insn->imm);
  auto& var = env.aux[i].btf_var;
  if (btf_is_func(t)) {
    var.reg_type = PTR_TO_MEM | MEM_RDONLY;
    return ok_status();
  }
  const btf_type* target = btf->skip_modifiers(t->type);
  if (is_percpu_var(*btf, id)) {
    var.reg_type = PTR_TO_BTF_ID | MEM_PERCPU;
  } else if (btf_is_composite(target)) {
    var.reg_type = PTR_TO_BTF_ID;
  } else {
    const Result<u32> size = btf->type_size(t->type);
    if (!size.ok())
      return env.refuse(EINVAL, "ldimm64 unable to resolve the size of type '{}': {}", btf->name_or_word(target->name_off),
                        -size.error().value());
    var.reg_type = PTR_TO_MEM | MEM_RDONLY;
    var.mem_size = *size;
    return ok_status();
  }
  var.btf = btf;
  var.btf_id = t->type;
  return ok_status();
}

Status resolve_pseudo_ldimm64(VerifierEnv& env) {
  for (u32 i = 0; i < env.insn_cnt(); ++i) {
    const bpf_insn& insn = env.insns[i];
    const u8 mode = bpf_mode(insn.code);
    if (bpf_class(insn.code) == BPF_LDX && ((mode != BPF_MEM && mode != BPF_MEMSX) || insn.imm != 0))
      return env.refuse(EINVAL, "BPF_LDX uses reserved fields");
    if (is_ldimm64(insn)) {
      TRY(check_ldimm64(env, i));
      ++i;
    } else if (!opcode_known(insn.code)) {
      return env.refuse(EINVAL, "unknown opcode {:02x}", insn.code);
    }
  }
  return ok_status();
}

}  // namespace skep
