// verifier: loads from and stores to a program's context. Linux: kernel/bpf/verifier.c:check_ctx_access()
#include <algorithm>

#include "uapi/btf.h"
#include "verifier/mem_access.h"

namespace skep {
namespace {

/// Contexts whose layout is known by program type.
bool fixed_ctx_access(VerifierEnv& env, s32 off, u32 size, AccessType t, CtxAccessInfo* info, const Btf** btf, u32* btf_id) {
  std::string words;
  const bool valid = is_valid_ctx_access(off, size, t, env.prog, info, &words);
  if (!words.empty()) env.verbose("{}", words);
  if (!valid || base_type(info->reg_type) != PTR_TO_BTF_ID) return valid;
  if (env.vmlinux() == nullptr || info->btf_struct == nullptr) return false;
  const Result<u32> id = env.vmlinux()->find_by_name_kind(info->btf_struct, BTF_KIND_STRUCT);
  if (!id.ok()) return false;
  *btf = env.vmlinux();
  *btf_id = *id;
  return true;
}

}  // namespace

Status check_ctx_access(VerifierEnv& env, u32 insn_idx, s32 off, u32 size, AccessType t, CtxAccessInfo* info, u32* btf_id,
                        const Btf** btf) {
  const bool valid = ctx_access_is_by_btf(env.prog) ? btf_ctx_access(env, off, size, t, info, btf, btf_id)
                                                    : fixed_ctx_access(env, off, size, t, info, btf, btf_id);
  if (!valid) return env.refuse(EACCES, "invalid bpf_context access off={} size={}", off, size);
  if (base_type(info->reg_type) != PTR_TO_BTF_ID) env.aux[insn_idx].ctx_field_size = info->ctx_field_size;
  env.max_ctx_offset = std::max(env.max_ctx_offset, static_cast<u32>(off) + size);
  return ok_status();
}

}  // namespace skep
