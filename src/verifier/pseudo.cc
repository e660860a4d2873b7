// verifier: 64-bit immediates and the maps they name; opcodes. Linux: kernel/bpf/verifier.c:resolve_pseudo_ldimm64()
#include <algorithm>

#include "verifier/env.h"

namespace skep {
namespace {

bool is_zero_half(const bpf_insn& insn) { return insn.code == 0 && insn.dst_reg == 0 && insn.src_reg == 0 && insn.off == 0; }

/// Our BTF describes structures, no variables. Linux: verifier.c:check_pseudo_btf_id()
Status check_pseudo_btf_id(StructureEnv& env, const bpf_insn* insn) {
  if (insn[1].imm != 0) return env.refuse(EINVAL, "invalid module BTF object FD specified.");
  return env.refuse(ENOENT, "ldimm64 insn specifies invalid btf_id {}.", insn->imm);
}

Result<s32> map_fd(StructureEnv& env, const bpf_insn& insn) {
  if (insn.src_reg != BPF_PSEUDO_MAP_IDX && insn.src_reg != BPF_PSEUDO_MAP_IDX_VALUE) return s32{insn.imm};
  if (!env.input.fd_array) return env.refuse(EPROTO, "fd_idx without fd_array is invalid");
  return env.input.fd_array(static_cast<u32>(insn.imm));
}

/// Linux: verifier.c:add_used_map_from_fd(), check_map_prog_compatibility()
Result<u32> add_used_map(StructureEnv& env, s32 fd) {
  auto& used = env.report.used_maps;
  const Result<MapInfo> map = env.input.map_by_fd(fd);
  if (!map.ok()) {
    env.log.append("fd {} is not pointing to valid bpf_map\n", fd);
    return map.error();
  }
  const auto known = std::find_if(used.begin(), used.end(), [&](const MapInfo& m) { return m.identity == map->identity; });
  if (known != used.end()) return static_cast<u32>(known - used.begin());
  if (used.size() >= MAX_USED_MAPS)
    return env.refuse(E2BIG, "The total number of maps per program has reached the limit of {}", MAX_USED_MAPS);
  if (map->type == BPF_MAP_TYPE_STRUCT_OPS) return env.refuse(EINVAL, "bpf_struct_ops map cannot be used in prog");
  used.push_back(*map);
  return static_cast<u32>(used.size() - 1);
}

/// Of our kinds only ARRAY has it. Linux: map_ops::map_direct_value_addr, arraymap.c:array_map_direct_value_addr()
Status check_direct_value(StructureEnv& env, const MapInfo& map, u32 off) {
  if (off >= BPF_MAX_VAR_OFF) return env.refuse(EINVAL, "direct value offset of {} is not allowed", off);
  if (map.type != BPF_MAP_TYPE_ARRAY) return env.refuse(EINVAL, "no direct value access support for this map type");
  const int err = map.max_entries != 1 ? ENOTSUPP_ : off >= map.value_size ? EINVAL : 0;
  if (err != 0) return env.refuse(err, "invalid access to map value pointer, value_size={} off={}", map.value_size, off);
  return ok_status();
}

Status check_map_ref(StructureEnv& env, u32 i) {
  const bpf_insn* insn = &env.insns()[i];
  const bool is_value = insn->src_reg == BPF_PSEUDO_MAP_VALUE || insn->src_reg == BPF_PSEUDO_MAP_IDX_VALUE;
  const bool is_map = insn->src_reg == BPF_PSEUDO_MAP_FD || insn->src_reg == BPF_PSEUDO_MAP_IDX;
  if (!is_value && (!is_map || insn[1].imm != 0)) return env.refuse(EINVAL, "unrecognized bpf_ld_imm64 insn");
  const s32 fd = TRY(map_fd(env, *insn));
  const u32 map = TRY(add_used_map(env, fd));
  const u32 off = is_value ? static_cast<u32>(insn[1].imm) : 0;
  if (is_value) TRY(check_direct_value(env, env.report.used_maps[map], off));
  env.report.map_refs.push_back({i, map, is_value, off});
  return ok_status();
}

Status check_ldimm64(StructureEnv& env, u32 i) {
  if (i == env.insn_cnt() - 1 || !is_zero_half(env.insns()[i + 1])) return env.refuse(EINVAL, "invalid bpf_ld_imm64 insn");
  switch (env.insns()[i].src_reg) {
    case 0:
    case BPF_PSEUDO_FUNC: return ok_status();
    case BPF_PSEUDO_BTF_ID: return check_pseudo_btf_id(env, &env.insns()[i]);
    default: return check_map_ref(env, i);
  }
}

}  // namespace

Status resolve_pseudo_ldimm64(StructureEnv& env) {
  for (u32 i = 0; i < env.insn_cnt(); ++i) {
    const bpf_insn& insn = env.insns()[i];
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
